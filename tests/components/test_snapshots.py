"""Snapshots of deployed flows: nothing secret in them, and the flow diffs of an offline preview."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flowinfra.components as fic
from flowinfra import DeploymentSpec
from flowinfra.components.flow_deployment import TYPE
from flowinfra.control.plans import enriched
from flowinfra.control.snapshots import SHOWN, snapshot_bytes, snapshot_of
from flowinfra.engine.base import StackRef
from flowinfra.engine.recorder import RecorderEngine
from flowinfra.engine.state.backend import Backend
from flowinfra.engine.state.checkpoint import Snapshot
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.urns import make_urn
from flowinfra.engine.values import SECRET, SIGNATURE
from flowinfra.model.deployment import Deployment
from flowinfra.model.environment import Environment
from flowinfra.model.graph import FlowGraph, ParameterSpec
from flowinfra.model.plan import Action, Plan
from flowinfra.model.snapshot import DEPLOYMENT
from flowinfra_providers.provider import KINDS
from tests.components.conftest import Stack, by_kind
from tests.components.flows import Small
from tests.strategies import flow_graphs

KEY = b"0123456789abcdef0123456789abcdef"

FlowProgram = Callable[[], None]


def program(**spec: Any) -> FlowProgram:
    """A stack program with one deployment of Small."""
    given = {"parameters": {"label": "x"}, **spec}
    return lambda: fic.export(fic.FlowDeployment("small", DeploymentSpec(Small, name="d", **given)))


def saved(stack: Stack, file: Path, key: bytes | None = None) -> Path:
    """The snapshot of what is deployed."""
    state = Backend.open(stack.ref(lambda: None).backend_url).stack(stack.project, stack.name).read()
    file.write_bytes(snapshot_bytes(snapshot_of(state, stack.project, stack.name, key=key)))
    return file


def offline(stack: Stack, base: Path | None, run: FlowProgram, key: bytes | None = None) -> Plan:
    """An offline preview with flow diffs."""
    return enriched(RecorderEngine(base, key=key).preview(stack.ref(run)))


def told(plan: Plan) -> dict[str, Any]:
    """What a plan says that is no matter of what is unknown."""
    return {
        c.name: (
            c.action,
            [p for p in c.changed if f"{c.address}: {p}" not in plan.unknown],
            c.replaced_by,
            c.flow and [x.to_json() for x in c.flow.changes],
        )
        for c in plan.changes
        if c.action is not Action.SAME
    }


def test_the_type_of_deployments_is_the_components() -> None:
    """One word for both, which the model says without loading pulumi."""
    assert DEPLOYMENT == TYPE


def test_every_type_of_ours_has_a_list_of_what_is_shown() -> None:
    """It names inputs that exist, and none that is secret."""
    assert {t for t in SHOWN if t.startswith("flowinfra:")} == {TYPE, *KINDS}
    for type_, kind in KINDS.items():
        tops = {path.partition(".")[0] for path in SHOWN[type_]}
        assert tops <= set(kind.inputs), type_
        assert not tops & kind.secrets, type_


@pytest.mark.parametrize("key", [None, KEY])
def test_flow_diffs_are_those_of_the_full_state(stack: Stack, tmp_path: Path, key: bytes | None) -> None:
    """Parameters, tags, limits and names: an offline preview says what one with the state says."""
    stack.up(program())
    base = saved(stack, tmp_path / "s.json", key)
    assert not offline(stack, base, program(), key).has_changes
    for changed in (
        program(parameters={"label": "y"}),
        program(tags=["t"], max_workers=2),
        program(paused=True),
        lambda: fic.export(fic.FlowDeployment("small", DeploymentSpec(Small, name="e", parameters={"label": "x"}))),
    ):
        full = told(offline(stack, None, changed))
        assert full
        assert told(offline(stack, base, changed, key)) == full


def test_replacements_of_our_own_types_are_known_offline(stack: Stack, tmp_path: Path) -> None:
    """What makes another deployment is plain data of its kind; the embedded engine says the same."""
    stack.up(program())
    base = saved(stack, tmp_path / "s.json")

    def renamed() -> None:
        fic.export(fic.FlowDeployment("small", DeploymentSpec(Small, name="e", parameters={"label": "x"})))

    online, recorded = by_kind(stack.preview(renamed)), by_kind(offline(stack, base, renamed))
    assert recorded["LocalDeployment"].replaced_by == online["LocalDeployment"].replaced_by != ()
    assert {k: c.action for k, c in recorded.items()} == {k: c.action for k, c in online.items()}


def test_parameters_that_sound_like_secrets_are_withheld(stack: Stack, tmp_path: Path) -> None:
    """By their names, at every depth, and URLs with a password by their form."""
    parameters = {
        "label": "x",
        "size": 7,
    }
    stack.up(program(parameters=parameters))
    url = ResourceState(
        urn="urn:pulumi:dev::proj::flowinfra:index:LocalDeployment::x",
        type="flowinfra:index:LocalDeployment",
        custom=True,
        inputs={
            "parameters": {
                "label": "plain-1",
                "api_key": "hide-1",
                "nested": {"ok": "plain-2", "password": "hide-2"},
                "rows": [{"token": "hide-3"}],
                "database": "postgres://me:hide-4@host/db",
                "sealed": {SIGNATURE: SECRET, "ciphertext": "hide-5"},
            },
            "token": {SIGNATURE: SECRET, "ciphertext": "hide-6"},
            "authorize": "hide-7",
            "interpreter": {"path": "/home/hide-8", "version": "plain-3", "packages": "plain-4"},
        },
    )
    made = snapshot_of(Snapshot(resources=(url,)), "proj", "dev", key=KEY)
    text = snapshot_bytes(made).decode()
    assert "hide-" not in text
    for number in (1, 2, 3, 4):
        assert f"plain-{number}" in text
    withheld = made.resources[0].withheld
    assert withheld["parameters.sealed"] == withheld["token"] == ""
    assert withheld["parameters.nested.password"]


# -- random deployments -----------------------------------------------------------------------------------------------

hidden = st.text("abcdefghijklmnopqrstuvwxyz", min_size=10, max_size=14).map(lambda t: f"hidden{t}")
variables = st.dictionaries(st.sampled_from(["HOST", "MODE", "A_B", "a.b", 'q"uote']), hidden, max_size=3)
names = st.sampled_from(["password", "apiToken", "db-secret", "private_key"])


@st.composite
def deployments(draw: st.DrawFn) -> tuple[FlowGraph, Deployment]:
    """A flow with environment values, and parameters whose names sound like secrets, with their values hidden."""
    graph = draw(flow_graphs())
    environments = tuple(e.model_copy(update={"env_vars": draw(variables)}) for e in graph.environments)
    boxed = Environment(name="boxed", env_vars=draw(variables))
    secrets = tuple(
        ParameterSpec(name=n, attribute=f"p{i}", type="str", json_schema={"type": "string"}, default=draw(hidden))
        for i, n in enumerate(draw(st.lists(names, max_size=2, unique=True)))
    )
    graph = graph.model_copy(
        update={
            "environments": tuple(
                sorted([*(e for e in environments if e.name != "boxed"), boxed], key=lambda e: e.name)
            ),
            "parameters": tuple(sorted((*graph.parameters, *secrets), key=lambda p: p.name)),
        }
    )
    values = {n: draw(hidden) for n in draw(st.lists(names, max_size=2, unique=True))}
    return graph, Deployment(flow="F", name="d", parameters={**values, "plain": {"x": 1, "token": draw(hidden)}})


def all_hidden(value: Any) -> set[str]:
    """The hidden texts in *value*."""
    if isinstance(value, Mapping):
        return {t for v in value.values() for t in all_hidden(v)}
    if isinstance(value, (list, tuple)):
        return {t for v in value for t in all_hidden(v)}
    return {value.strip('"')} if isinstance(value, str) and value.strip('"').startswith("hidden") else set()


def component(graph: FlowGraph, deployment: Deployment) -> FlowProgram:
    """A program that registers what a FlowDeployment registers, of any graph."""

    def run() -> None:
        inputs = {
            "flow": graph.keyed(),
            "deployment": deployment.content(),
            "release": graph.digest(),
            "target": "local",
            "runtime": {"python": "cpython-3.11.7"},
        }
        pulumi.ComponentResource(TYPE, "f", inputs)

    return run


def recorded(ref: StackRef, file: Path, before: tuple[FlowGraph, Deployment], key: bytes | None) -> tuple[Path, Path]:
    """A state with *before* as an engine would write it, and a snapshot of it."""
    plan = RecorderEngine().preview(replace(ref, program=component(*before)))
    change = by_kind(plan)["FlowDeployment"]
    root = make_urn("dev", "proj", "", "pulumi:pulumi:Stack", "proj-dev")
    states = (
        ResourceState(urn=root, type="pulumi:pulumi:Stack"),
        ResourceState(
            urn=change.address,
            type=TYPE,
            parent=root,
            inputs=change.after or {},
            property_dependencies={k: [] for k in sorted(change.after or {})},
        ),
    )
    full = file.with_name("full.json")
    latest = {"resources": [s.to_json() for s in states]}
    full.write_text(json.dumps({"version": 3, "deployment": latest}), encoding="utf-8")
    file.write_bytes(snapshot_bytes(snapshot_of(Snapshot(resources=states), "proj", "dev", key=key)))
    return full, file


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=deployments(), after=deployments(), same=st.booleans())
def test_no_hidden_value_of_any_deployment_is_in_a_snapshot(
    stack: Stack, tmp_path: Path, before: tuple[FlowGraph, Deployment], after: tuple[FlowGraph, Deployment], same: bool
) -> None:
    """Neither with a key nor without; and no digest of the flow that would tell one by trying."""
    graph, deployment = before
    for key in (None, KEY):
        full, base = recorded(stack.ref(lambda: None), tmp_path / "s.json", before, key)
        text = base.read_text(encoding="utf-8")
        secret = all_hidden([graph.keyed(), deployment.content()])
        assert not [value for value in secret if value in text]
        if all_hidden(graph.keyed()):
            assert graph.digest() not in text
        run = component(*(before if same else after))
        offline_plan = told(offline(stack, base, run, key))
        full_plan = told(offline(stack, full, run))
        if same:
            assert offline_plan == full_plan == {}
        elif key is not None:  # with it nothing is unknown, so the same changes are seen, some without what was there
            assert seen(offline_plan) == seen(full_plan)
        else:
            assert seen(offline_plan) <= seen(full_plan)


def seen(told_: Mapping[str, Any]) -> set[tuple[str, str]]:
    """What changes in the flows, by subject and field."""
    return {(x["subject"], x.get("field", "")) for *_, diff in told_.values() for x in diff or ()}
