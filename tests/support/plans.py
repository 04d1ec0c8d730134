"""Plans of every kind, as values: what the golden files of the views are made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowinfra.components.observe import Observed, Registered
from flowinfra.control.plans import enriched
from flowinfra.diagnostics import Source
from flowinfra.model.deployment import Deployment
from flowinfra.model.environment import AccessRule, Environment, Resources
from flowinfra.model.graph import FlowGraph, Foreach, Goto, Location, ParameterSpec, Policy, Retry, StepNode
from flowinfra.model.plan import Action, AppliedDefault, Change, FieldDrift, Finding, Operation, Plan

FLOW = "flowinfra:index:FlowDeployment"
STACK = "urn:pulumi:dev::shop::pulumi:pulumi:Stack::shop-dev"
CHECKOUT = Path("/checkout")

#: What a name, a value or a message may hold to get out of where it is shown.
HOSTILE = "`end` ``` **bold** | <b>html</b> <!-- --> [link](http://x.example) @team #1 </details> \x1b[31mred\x1b[0m \u202e\n# x"


def flow(**changes: Any) -> FlowGraph:
    """A flow that trains a model for each region; *changes* replace fields, ``steps`` updates or removes steps."""
    steps = {
        "start": StepNode(name="start", entrypoint="churn:Churn.start", next=Foreach(to="fit", over="regions")),
        "fit": StepNode(
            name="fit",
            entrypoint="churn:Churn.fit",
            next=Goto(to="join"),
            environment="gpu",
            code_digest="b" * 64,
            policy=Policy(retry=Retry(times=2)),
        ),
        "join": StepNode(name="join", entrypoint="churn:Churn.join", next=Goto(to="end"), join=True),
        "end": StepNode(name="end", entrypoint="churn:Churn.end"),
    }
    for name, update in changes.pop("steps", {}).items():
        if update is None:
            del steps[name]
        else:
            steps[name] = steps[name].model_copy(update=update) if name in steps else StepNode(name=name, **update)
    placed = [
        step.model_copy(update={"source": Location(file="churn.py", line=10 + 7 * i)})
        for i, step in enumerate(steps.values())
    ]
    base: dict[str, Any] = {
        "name": "Churn",
        "start": "start",
        "source": Location(file="churn.py", line=5),
        "parameters": (parameter(0.1),),
        "environments": (gpu(),),
        "steps": tuple(placed),
    }
    return FlowGraph(**{**base, **changes})


def parameter(default: float | None, **more: Any) -> ParameterSpec:
    """The parameter alpha."""
    base: dict[str, Any] = {"name": "alpha", "attribute": "alpha", "type": "float", "json_schema": {"type": "number"}}
    return ParameterSpec(**base, default=default, source=Location(file="churn.py", line=7), **more)


def gpu(*access: AccessRule, **resources: Any) -> Environment:
    """The environment that the step fit is in."""
    return Environment(name="gpu", resources=Resources(**{"cpu": 2, "memory_mib": 4096, **resources}), access=access)


def inputs(graph: FlowGraph, release: str, **deployment: Any) -> dict[str, Any]:
    """What a component has as its inputs."""
    fields = {"flow": graph.name, "name": "nightly", **deployment}
    return {
        "flow": graph.keyed(),
        "deployment": Deployment(**fields).content(),
        "release": release * 8,
        "target": "local",
        "runtime": {"python": "cpython-3.12"},
    }


def component(before: dict[str, Any] | None, after: dict[str, Any] | None, name: str = "churn") -> Change:
    """The change of a deployment from one inputs to the other."""
    action = Action.CREATE if before is None else Action.DELETE if after is None else Action.UPDATE
    return Change(
        address=f"urn:pulumi:dev::shop::{FLOW}::{name}",
        type=FLOW,
        name=name,
        action=Action.SAME if before == after else action,
        custom=False,
        parent=STACK,
        before=before,
        after=after,
    )


def child(kind: str, action: Action, of: str = "churn", **more: Any) -> Change:
    """A resource inside a deployment."""
    name = f"{of}-{kind.lower()}"
    return Change(
        address=f"urn:pulumi:dev::shop::{FLOW}$flowinfra:index:{kind}::{name}",
        type=f"flowinfra:index:{kind}",
        name=name,
        action=action,
        parent=f"urn:pulumi:dev::shop::{FLOW}::{of}",
        **more,
    )


def resource(kind: str, name: str, action: Action, **more: Any) -> Change:
    """A resource beside the deployments."""
    return Change(
        address=f"urn:pulumi:dev::shop::{kind}::{name}", type=kind, name=name, action=action, parent=STACK, **more
    )


def plan(*changes: Change, **more: Any) -> Plan:
    """A plan of the stack shop/dev."""
    base: dict[str, Any] = {"project": "shop", "stack": "dev", "engine": "embedded"}
    return Plan(**{**base, **more}, changes=changes)


def observed(graph: FlowGraph, *defaults: AppliedDefault) -> Observed:
    """What the program has told of the deployment churn."""
    said = Observed()
    said.add(
        Registered(
            "churn",
            graph,
            Deployment(flow=graph.name, name="nightly"),
            Source("/checkout/flows/deploy.py", 30),
            defaults,
            root="/checkout/flows",
        )
    )
    return said


_S3 = AccessRule(mode="write", service="s3", resource="models/")
_LAKE = AccessRule(mode="read", service="s3", resource="lake/")


def _layers() -> Plan:
    before = inputs(flow(environments=(gpu(_LAKE),)), "1", tags=["nightly"], max_workers=4)
    after = flow(
        parameters=(parameter(0.2), ParameterSpec(name="until", attribute="until", type="date", json_schema={})),
        environments=(gpu(_S3, cpu=8),),
        steps={
            "fit": {"code_digest": "c" * 64, "policy": Policy(retry=Retry(times=5), timeout_seconds=3600)},
            "join": {"next": Goto(to="check")},
            "check": {"entrypoint": "churn:Churn.check", "next": Goto(to="end")},
        },
    )
    now = inputs(after, "2", paused=True, tags=["nightly", "team-a"], max_workers=8)
    moved = [child("Bundle", Action.UPDATE), child("Release", Action.UPDATE), child("Token", Action.SAME)]
    return enriched(plan(component(before, now), *moved), observed(after), folder=CHECKOUT)


def _identity() -> Plan:
    graph = flow()
    now = inputs(graph, "1", name="hourly")
    token = child("Token", Action.REPLACE, changed=("deployment",), replaced_by=("deployment",))
    token = token.model_copy(update={"before": {"deployment": "nightly"}, "after": {"deployment": "hourly"}})
    return enriched(plan(component(inputs(graph, "1"), now), token), observed(graph), folder=CHECKOUT)


def _lost() -> Plan:
    definition = '{"StartAt": "fit", "States": {"fit": {"Retry": [], "TimeoutSeconds": %d}}}'
    return enriched(
        plan(
            resource(
                "aws:sfn/stateMachine:StateMachine",
                "train",
                Action.UPDATE,
                changed=("definition", "tags.team"),
                before={"definition": definition % 60, "tags": {"team": "a"}},
                after={"definition": definition % 90, "tags": {"team": "b"}},
                source="infra/__main__.py:40",
            ),
            resource(
                "aws:dynamodb/table:Table",
                "runs",
                Action.REPLACE,
                changed=("hashKey", "rangeKey"),
                replaced_by=("hashKey",),
                before={"hashKey": "run", "rangeKey": "step"},
                after={"hashKey": "task", "rangeKey": "<computed>"},
                source="infra/__main__.py:12",
            ),
            resource("aws:s3/bucketV2:BucketV2", "lake", Action.DELETE, protect=True, reason="it left the program"),
            component(inputs(flow(), "1"), None),
            child("Token", Action.DELETE),
            child("LocalDeployment", Action.DELETE),
            applyable=False,
        )
    )


def _drift() -> Plan:
    return enriched(
        plan(
            component(inputs(flow(), "1"), inputs(flow(), "1")),
            child("LocalDeployment", Action.REFRESH),
            operation=Operation.REFRESH,
            drift=(
                child(
                    "LocalDeployment",
                    Action.UPDATE,
                    drifted=(
                        FieldDrift(path="paused", recorded=False, actual=True, owner="operator"),
                        FieldDrift(path="release", recorded="1" * 64, actual="2" * 64),
                    ),
                ),
                resource("aws:sqs/queue:Queue", "events", Action.DELETE),
            ),
        )
    )


def _defaults() -> Plan:
    graph = flow()
    return enriched(
        plan(component(None, inputs(graph, "1", name="ada-nightly", paused=True)), child("Token", Action.CREATE)),
        observed(
            graph,
            AppliedDefault(
                mode="development", setting="flowinfra:name_prefix", effect="names are prefixed with `ada-`"
            ),
            AppliedDefault(
                mode="development", setting="flowinfra:paused", effect="schedules and triggers start paused"
            ),
        ),
    )


def _hostile() -> Plan:
    before = flow(parameters=(), environments=())
    after = flow(
        name=HOSTILE,
        parameters=(ParameterSpec(name="p", attribute="p", type="str", json_schema={}, default=HOSTILE),),
        environments=(Environment(name="gpu", image=HOSTILE, env_vars={HOSTILE: HOSTILE * 50}),),
        steps={"start": {"next": Foreach(to="fit", over=HOSTILE)}},
    )
    return enriched(
        plan(
            component(inputs(before, "1"), inputs(after, "2", tags=[HOSTILE], description=HOSTILE)),
            resource(
                "aws:s3/bucket:Bucket",
                HOSTILE,
                Action.REPLACE,
                changed=(HOSTILE,),
                replaced_by=("name",),
                before={"name": HOSTILE},
                after={"name": "x"},
                reason=HOSTILE,
            ),
            drift=(
                resource(
                    HOSTILE, HOSTILE, Action.UPDATE, drifted=(FieldDrift(path=HOSTILE, recorded=1, actual=HOSTILE),)
                ),
            ),
            findings=(
                Finding(
                    code="FI399", severity="warning", summary=HOSTILE, detail=HOSTILE, hint=HOSTILE, source=HOSTILE
                ),
            ),
            unknown=(HOSTILE,),
            targets=(HOSTILE,),
            complete=False,
            defaults=(AppliedDefault(mode="production", setting=HOSTILE, effect=HOSTILE),),
        )
    )


def _new() -> Plan:
    made = [child(kind, Action.CREATE) for kind in ("Bundle", "LocalDeployment", "Release", "Token")]
    return enriched(plan(component(None, inputs(flow(), "1")), *made))


def _offline() -> Plan:
    token = child("Token", Action.CREATE)
    unknown = (f"{token.address}: hash", f"{token.address}: value")
    return enriched(plan(component(None, inputs(flow(), "1")), token, engine="recorder", unknown=unknown))


def _errored() -> Plan:
    finding = Finding(
        code="FI606",
        severity="error",
        summary="the provider of aws:sqs/queue:Queue does not answer",
        detail="it was started and ended with exit code 3",
        hint="look at what it printed",
        source="infra/__main__.py:3",
    )
    queue = resource("aws:sqs/queue:Queue", "events", Action.CREATE, source="infra/__main__.py:3")
    return plan(queue, errored=True, complete=False, applyable=False, findings=(finding,))


def _targets() -> Plan:
    queue = resource("aws:sqs/queue:Queue", "events", Action.CREATE)
    return enriched(plan(queue, targets=(queue.address, "**::lake"), complete=False))


def samples() -> dict[str, Plan]:
    """Each kind of plan by its name."""
    same = component(inputs(flow(), "1"), inputs(flow(), "1"))
    return {
        "new": _new(),
        "same": enriched(plan(same, child("Token", Action.SAME), child("Release", Action.SAME))),
        "layers": _layers(),
        "identity": _identity(),
        "data-lost": _lost(),
        "drift": _drift(),
        "defaults": _defaults(),
        "offline": _offline(),
        "errored": _errored(),
        "targets": _targets(),
        "hostile": _hostile(),
    }
