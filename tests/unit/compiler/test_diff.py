"""The diff of two versions of a deployment."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from flowinfra.compiler.diff import Side, diff
from flowinfra.model.deployment import Deployment
from flowinfra.model.diff import Layer
from flowinfra.model.environment import AccessRule, Environment, Resources
from flowinfra.model.graph import Catch, FlowGraph, Foreach, Goto, ParameterSpec, Policy, Retry, StepNode
from tests.strategies import flow_graphs


def graph(**changes: Any) -> FlowGraph:
    """A flow of two steps and a foreach, with *changes*."""
    steps = {
        "start": StepNode(
            name="start", entrypoint="m:F.start", next=Foreach(to="fit", over="xs"), code_digest="a" * 64
        ),
        "fit": StepNode(name="fit", entrypoint="m:F.fit", next=Goto(to="join"), code_digest="b" * 64),
        "join": StepNode(name="join", entrypoint="m:F.join", next=Goto(to="end"), join=True),
        "end": StepNode(name="end", entrypoint="m:F.end"),
    }
    for name, update in changes.pop("steps", {}).items():
        if update is None:
            del steps[name]
        else:
            steps[name] = steps[name].model_copy(update=update) if name in steps else update
    base: dict[str, Any] = {
        "name": "F",
        "start": "start",
        "parameters": (ParameterSpec(name="alpha", attribute="alpha", type="float", json_schema={}, default=0.1),),
        "environments": (Environment(name="default"),),
        "steps": tuple(steps.values()),
    }
    return FlowGraph(**{**base, **changes})


def side(
    release: str = "r1", runtime: dict[str, str] | None = None, deployment: dict[str, Any] | None = None, **changes: Any
) -> Side:
    """One version of the deployment F/d."""
    return Side(graph(**changes), Deployment(flow="F", name="d", **(deployment or {})), release, runtime or {})


@pytest.mark.parametrize(
    ("after", "layer", "subject", "field"),
    [
        (side("r2", deployment={"tags": ("x",)}), Layer.METADATA, "deployment", "tags"),
        (side("r2", deployment={"paused": True}), Layer.SCHEDULE, "deployment", "paused"),
        (side("r2", deployment={"parameters": {"alpha": 1}}), Layer.INTERFACE, "deployment", "parameters.alpha"),
        (side("r2", deployment={"max_workers": 3}), Layer.POLICY, "deployment", "max_workers"),
        (side("r2", parameters=()), Layer.INTERFACE, "parameter alpha", ""),
        (
            side(
                "r2",
                parameters=(ParameterSpec(name="alpha", attribute="alpha", type="float", json_schema={}, default=0.2),),
            ),
            Layer.INTERFACE,
            "parameter alpha",
            "default",
        ),
        (side("r2", steps={"fit": {"code_digest": "c" * 64}}), Layer.CODE, "step fit", "code"),
        (side("r2", steps={"fit": {"policy": Policy(timeout_seconds=5)}}), Layer.POLICY, "step fit", "timeout_seconds"),
        (side("r2", steps={"fit": {"policy": Policy(catch=Catch(var="e"))}}), Layer.POLICY, "step fit", "catch"),
        (side("r2", steps={"start": {"next": Foreach(to="fit", over="ys")}}), Layer.SHAPE, "step start", "next"),
        (
            side("r2", steps={"start": {"next": Foreach(to="fit", over="xs", max_concurrency=3)}}),
            Layer.POLICY,
            "step start",
            "max_concurrency",
        ),
        (
            side("r2", environments=(Environment(name="default", resources=Resources(cpu=2)),)),
            Layer.ENVIRONMENT,
            "environment default",
            "resources.cpu",
        ),
        (
            side(
                "r2",
                environments=(
                    Environment(name="default", access=(AccessRule(mode="read", service="s3", resource="lake/"),)),
                ),
            ),
            Layer.ACCESS,
            "environment default",
            "read",
        ),
        (side("r1", runtime={"python": "cpython-3.12.1"}), Layer.ENVIRONMENT, "runtime", "python"),
        (side("r2"), Layer.METADATA, "source text", ""),
    ],
)
def test_each_change_has_its_layer(after: Side, layer: Layer, subject: str, field: str) -> None:
    """One change gives one line, in the layer that says how severe it is."""
    (change,) = diff(side(), after).changes
    assert (change.layer, change.subject, change.field) == (layer, subject, field)


def test_a_retry_is_shown_field_by_field() -> None:
    """A changed number of retries is one line, not a whole policy."""
    before = side(steps={"fit": {"policy": Policy(retry=Retry(times=2))}})
    after = side("r2", steps={"fit": {"policy": Policy(retry=Retry(times=5))}})
    (change,) = diff(before, after).changes
    assert (change.field, change.before, change.after) == ("retry.times", 2, 5)


def test_lost_access_is_no_broadening() -> None:
    """Access that goes away is a change of environment; only what is gained has the layer access."""
    rule = AccessRule(mode="write", service="s3", resource="lake/")
    before = side(environments=(Environment(name="default", access=(rule,)),))
    (change,) = diff(before, side("r2")).changes
    assert change.layer is Layer.ENVIRONMENT
    assert change.after is None


def test_a_step_that_comes_has_its_way() -> None:
    """A new step says where it leads; the step before it changes its way."""
    after = side(
        "r2",
        steps={
            "join": {"next": Goto(to="check")},
            "check": StepNode(name="check", entrypoint="m:F.check", next=Goto(to="end")),
        },
    )
    found = {(c.subject, c.field): (c.before, c.after) for c in diff(side(), after).changes}
    assert found == {("step check", ""): (None, "→ end"), ("step join", "next"): ("→ end", "→ check")}


def test_most_severe_first() -> None:
    """Changes come in the order of their layers, and so do the layers."""
    after = side(
        "r2",
        deployment={"tags": ("x",), "paused": True},
        parameters=(),
        steps={"fit": {"code_digest": "c" * 64, "policy": Policy(timeout_seconds=5)}},
    )
    found = diff(side(), after)
    assert found.layers == (Layer.INTERFACE, Layer.CODE, Layer.POLICY, Layer.SCHEDULE, Layer.METADATA)
    assert [c.layer for c in found.changes] == sorted((c.layer for c in found.changes), key=lambda layer: layer.rank)


@given(flow_graphs())
def test_nothing_changes_from_a_flow_to_itself(flow: FlowGraph) -> None:
    """Any flow differs from itself in nothing, also after a round trip through a state."""
    deployment = Deployment(flow=flow.name, name="d")
    again = FlowGraph.from_keyed(flow.keyed())
    assert diff(Side(flow, deployment, "r"), Side(again, deployment, "r")).changes == ()


@given(flow_graphs(), flow_graphs())
def test_a_diff_and_its_reverse_name_the_same_subjects(one: FlowGraph, other: FlowGraph) -> None:
    """What changes on the way there changes on the way back, with before and after exchanged."""
    deployment = Deployment(flow="F", name="d")
    there = diff(Side(one, deployment), Side(other, deployment)).changes
    back = diff(Side(other, deployment), Side(one, deployment)).changes
    assert {(c.subject, c.field) for c in there} == {(c.subject, c.field) for c in back}
