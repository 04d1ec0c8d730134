"""Each change of a flow has its layer, and only its layer: random flows, one change each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from flowinfra.compiler.diff import Side, diff
from flowinfra.model.deployment import Deployment
from flowinfra.model.diff import FlowDiff, Layer
from flowinfra.model.environment import AccessRule, Environment
from flowinfra.model.graph import End, FlowGraph, Foreach, Goto, Next, ParameterSpec, Policy, Split, StepNode
from tests.strategies import flow_graphs

Mutation = Callable[[FlowGraph], FlowGraph]


def replaced(graph: FlowGraph, **fields: Any) -> FlowGraph:
    """The graph with other fields, checked like any."""
    return FlowGraph(**{**{name: getattr(graph, name) for name in FlowGraph.model_fields}, **fields})


def with_step(graph: FlowGraph, **fields: Any) -> FlowGraph:
    """The graph with another first step."""
    first = graph.step(graph.start)
    others = [s for s in graph.steps if s.name != graph.start]
    return replaced(graph, steps=(first.model_copy(update=fields), *others))


def with_parameter(graph: FlowGraph, **fields: Any) -> FlowGraph:
    """The graph with another first parameter."""
    first, *others = graph.parameters
    return replaced(graph, parameters=(first.model_copy(update=fields), *others))


def with_environment(graph: FlowGraph, **fields: Any) -> FlowGraph:
    """The graph with another first environment."""
    first, *others = graph.environments
    return replaced(graph, environments=(first.model_copy(update=fields), *others))


def policy_of(graph: FlowGraph) -> Policy:
    """The policy of the first step."""
    return graph.step(graph.start).policy


def widened(transition: Next) -> Next:
    """A foreach that runs another number of tasks at once."""
    assert isinstance(transition, Foreach)
    return transition.model_copy(update={"max_concurrency": 7777})


RULE = AccessRule(mode="write", service="s3", resource="models/")
NEW = ParameterSpec(name="New one", attribute="new_one", type="int", json_schema={})
EXTRA = StepNode(name="Extra", entrypoint="flow:Extra", next=End())

LAYERS: dict[str, tuple[Layer, Mutation]] = {
    "parameter comes": (Layer.INTERFACE, lambda g: replaced(g, parameters=(*g.parameters, NEW))),
    "parameter goes": (Layer.INTERFACE, lambda g: replaced(g, parameters=g.parameters[1:])),
    "parameter type": (Layer.INTERFACE, lambda g: with_parameter(g, type="int")),
    "parameter required": (Layer.INTERFACE, lambda g: with_parameter(g, required=not g.parameters[0].required)),
    "parameter default": (
        Layer.INTERFACE,
        lambda g: with_parameter(g, default="another default of it", computed_default=False),
    ),
    "parameter schema": (Layer.INTERFACE, lambda g: with_parameter(g, json_schema={"minimum": 77})),
    "parameter attribute": (Layer.METADATA, lambda g: with_parameter(g, attribute="another_attribute")),
    "start": (Layer.SHAPE, lambda g: replaced(g, start=max(s.name for s in g.steps if s.name != g.start))),
    "step comes": (Layer.SHAPE, lambda g: replaced(g, steps=(*g.steps, EXTRA))),
    "step goes": (Layer.SHAPE, lambda g: replaced(g, steps=[s for s in g.steps if s.name != g.start])),
    "transition": (Layer.SHAPE, lambda g: with_step(g, next=Split(to=("Extra", "Other")))),
    "width": (Layer.POLICY, lambda g: with_step(g, next=widened(g.step(g.start).next))),
    "join": (Layer.SHAPE, lambda g: with_step(g, join=not g.step(g.start).join)),
    "calls": (Layer.SHAPE, lambda g: with_step(g, calls=("Extra",))),
    "image": (Layer.ENVIRONMENT, lambda g: with_environment(g, image="another image, longer than any")),
    "environment variable": (
        Layer.ENVIRONMENT,
        lambda g: with_environment(g, env_vars={**g.environments[0].env_vars, "ANOTHER_ONE": "1"}),
    ),
    "depends on": (Layer.ENVIRONMENT, lambda g: with_environment(g, depends_on=("x",))),
    "access": (Layer.ACCESS, lambda g: with_environment(g, access=(RULE,))),
    "code": (Layer.CODE, lambda g: with_step(g, code_digest="a" * 64)),
    "timeout": (
        Layer.POLICY,
        lambda g: with_step(g, policy=policy_of(g).model_copy(update={"timeout_seconds": 7_777_777})),
    ),
    "entrypoint": (Layer.METADATA, lambda g: with_step(g, entrypoint="elsewhere:Flow.step")),
}


def fits(kind: str, flow: FlowGraph) -> bool:
    """Whether *flow* has what the change is made to."""
    if kind.startswith("parameter ") and kind != "parameter comes":
        return bool(flow.parameters)
    if kind in ("image", "environment variable", "depends on", "access"):
        return bool(flow.environments)
    if kind == "width":
        return isinstance(flow.step(flow.start).next, Foreach)
    return kind not in ("start", "step goes") or len(flow.steps) > 1


@given(flow_graphs())
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_one_change_shows_in_its_layer_and_in_no_other(flow: FlowGraph) -> None:
    """Whatever the flow, a change of one kind gives changes of one layer only."""
    deployment = Deployment(flow=flow.name, name="d")
    for kind, (layer, mutate) in LAYERS.items():
        if fits(kind, flow):
            found = diff(Side(flow, deployment, "r1"), Side(mutate(flow), deployment, "r2"))
            assert (kind, found.layers, found.severity) == (kind, (layer,), layer), found.changes


DEPLOYMENTS: dict[str, tuple[Layer, dict[str, Any]]] = {
    "flow": (Layer.IDENTITY, {"flow": "Other"}),
    "name": (Layer.IDENTITY, {"name": "other"}),
    "parameters": (Layer.INTERFACE, {"parameters": {"alpha": 1}}),
    "paused": (Layer.SCHEDULE, {"paused": True}),
    "max_workers": (Layer.POLICY, {"max_workers": 7}),
    "timeout_seconds": (Layer.POLICY, {"timeout_seconds": 60}),
    "user_namespace": (Layer.POLICY, {"user_namespace": "user:ada"}),
    "tags": (Layer.METADATA, {"tags": ("x",)}),
    "description": (Layer.METADATA, {"description": "x"}),
}


@pytest.mark.parametrize("field", [f for f in Deployment.model_fields if f != "schema_version"])
def test_each_field_of_a_deployment_has_its_layer(field: str) -> None:
    """No field of a deployment changes without being told."""
    layer, fields = DEPLOYMENTS[field]
    one, graph = Deployment(flow="F", name="d"), flow(start="default")
    found = diff(Side(graph, one, "r"), Side(graph, one.model_copy(update=fields), "r"))
    assert found.layers == (layer,)


@given(flow_graphs(), flow_graphs())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_any_other_flow_differs(one: FlowGraph, other: FlowGraph) -> None:
    """Two flows with different digests differ in something, equal ones in nothing, and always the same is told."""
    deployment = Deployment(flow="F", name="d")
    sides = Side(one, deployment, one.digest()), Side(other, deployment, other.digest())
    found = diff(*sides)
    assert bool(found.changes) == (one.digest() != other.digest())
    again = Side(FlowGraph.from_keyed(one.keyed()), deployment, one.digest())
    assert diff(again, sides[1]) == found
    assert FlowDiff.from_json(found.to_json()) == found


# -- access ---------------------------------------------------------------------------------------------------------

READ = AccessRule(mode="read", service="s3", resource="lake/")


def flow(*environments: Environment, **steps: str) -> FlowGraph:
    """A flow whose steps are in the environments that are named."""
    names = list(steps)
    nodes = [
        StepNode(
            name=name,
            entrypoint=f"m:F.{name}",
            environment=environment,
            next=Goto(to=names[i + 1]) if i + 1 < len(names) else End(),
        )
        for i, (name, environment) in enumerate(steps.items())
    ]
    return FlowGraph(name="F", start=names[0], steps=tuple(nodes), environments=environments)


def access(before: FlowGraph, after: FlowGraph) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """What is told of access: effect, environment, what, and because of which steps."""
    deployment = Deployment(flow="F", name="d")
    found = diff(Side(before, deployment), Side(after, deployment)).changes
    return [(c.effect, c.subject, str(c.after or c.before), c.because) for c in found if c.effect]


def test_broadened_access_names_the_steps_that_gain_it() -> None:
    """An environment that may do more is told with the steps that are in it."""
    before = flow(Environment(name="e", access=(READ,)), start="e", fit="e", end="default")
    after = flow(Environment(name="e", access=(READ, RULE)), start="e", fit="e", end="default")
    assert access(before, after) == [("broadened", "environment e", "s3 models/", ("step fit", "step start"))]
    assert access(after, before) == [("narrowed", "environment e", "s3 models/", ("step fit", "step start"))]


def test_a_step_that_moves_into_another_environment_gains_its_access() -> None:
    """Access broadens also where no rule changes."""
    environments = (Environment(name="wide", access=(READ, RULE)), Environment(name="narrow", access=(READ,)))
    before, after = flow(*environments, start="narrow", end="wide"), flow(*environments, start="wide", end="wide")
    assert access(before, after) == [("broadened", "environment wide", "s3 models/", ("step start",))]


def test_a_part_of_what_was_allowed_is_nothing_more() -> None:
    """A rule below one that was there gives no step more; taking the wide one away narrows."""
    part = READ.model_copy(update={"resource": "lake/raw/"})
    before = flow(Environment(name="e", access=(READ,)), start="e")
    assert access(before, flow(Environment(name="e", access=(READ, part)), start="e")) == []
    assert access(before, flow(Environment(name="e", access=(part,)), start="e")) == [
        ("narrowed", "environment e", "s3 lake/", ("step start",))
    ]


def test_an_environment_with_another_name_allows_nothing_more() -> None:
    """Renaming an environment is metadata."""
    before = flow(Environment(name="e", access=(READ,)), start="e")
    after = flow(Environment(name="f", access=(READ,)), start="f")
    deployment = Deployment(flow="F", name="d")
    assert diff(Side(before, deployment), Side(after, deployment)).layers == (Layer.METADATA,)
