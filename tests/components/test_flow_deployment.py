"""FlowDeployment, its children and its provider, on the embedded engine."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest

import flowinfra.components as fic
from flowinfra import DeploymentSpec
from flowinfra.control.plans import enriched, side_of
from flowinfra.diagnostics import ControlError, FlowinfraError
from flowinfra.model.plan import Action
from flowinfra.orchestrators.local.sqlite import Database, SqliteDeployments
from flowinfra.packaging.home import Home
from flowinfra_providers.provider import KINDS, FlowinfraProvider
from tests.components.conftest import Stack, by_kind
from tests.components.flows import Boxed, Small


def program(name: str = "small", **options: Any) -> Callable[[], None]:
    """A stack program with one deployment of Small; *options* go to the component or, those it has, to the spec."""
    spec_options = {k: options.pop(k) for k in ("tags", "paused", "parameters", "max_workers") if k in options}
    given = {"parameters": {"label": "x"}, **spec_options}

    def run() -> None:
        fic.export(fic.FlowDeployment(name, DeploymentSpec(Small, name="d", **given), **options))

    return run


def deployed(home_of: Stack) -> list[Any]:
    """What the Local orchestrator has."""
    database = Database(Home.find(home_of.folder).database)
    try:
        return list(SqliteDeployments(database).list())
    finally:
        database.close()


def test_children_have_the_component_as_parent(stack: Stack) -> None:
    """Everything that a deployment consists of lies under its component."""
    found = by_kind(stack.preview(program()))
    component = found.pop("FlowDeployment")
    assert not component.custom
    assert found.keys() == {"Bundle", "Release", "Token", "LocalDeployment"}
    assert {c.parent for c in found.values()} == {component.address}


def test_the_flow_is_the_components_input(stack: Stack) -> None:
    """The component's inputs hold flow and deployment in full, so that a later preview needs no old code."""
    component = by_kind(stack.preview(program()))["FlowDeployment"]
    assert component.after is not None
    side = side_of(component.after)
    assert [s.name for s in side.graph.steps] == ["end", "start"]
    assert side.deployment.full_name == "Small/d"
    assert side.deployment.parameters == {"label": "x"}


def test_what_is_deployed_is_what_the_spec_says(stack: Stack) -> None:
    """The orchestrator gets release, parameters, tags and limits; only a salted hash of the token."""
    stack.up(program(tags=["a", "b"], max_workers=3, paused=True))
    (kept,) = deployed(stack)
    outputs = stack.outputs(program())["Small/d"]
    assert kept.deployment.release == outputs["release"]
    assert kept.deployment.parameters == {"label": "x"}
    assert (kept.deployment.tags, kept.deployment.max_workers, kept.deployment.paused) == (("a", "b"), 3, True)
    assert kept.token.fits(outputs["production_token"])
    assert outputs["production_token"] not in repr(kept)


def test_settings_of_the_stack_hold_for_its_deployments(stack: Stack) -> None:
    """A stack may pause all its deployments and limit their tasks; a deployment's own limit goes first."""
    stack.config({"flowinfra:paused": "true", "flowinfra:max_workers": "5"})
    stack.up(program())
    (kept,) = deployed(stack)
    assert (kept.deployment.paused, kept.deployment.max_workers) == (True, 5)
    stack.up(program(max_workers=2))
    (kept,) = deployed(stack)
    assert kept.deployment.max_workers == 2


def test_the_token_stays_until_another_generation_is_asked_for(stack: Stack) -> None:
    """A redeploy keeps the production token; a new generation replaces it, and with it the namespace."""
    stack.up(program())
    first = stack.outputs(program())["Small/d"]
    stack.up(program(tags=["more"]))
    assert stack.outputs(program())["Small/d"]["production_token"] == first["production_token"]
    stack.up(program(tags=["more"], token_generation=1))
    third = stack.outputs(program())["Small/d"]
    assert third["production_token"] != first["production_token"]
    assert third["namespace"] != first["namespace"]


def test_a_given_token_is_used(stack: Stack) -> None:
    """Whoever gives a token gets it back."""
    stack.up(program(given_token="0123456789abcdef"))
    assert stack.outputs(program())["Small/d"]["production_token"] == "0123456789abcdef"


def test_parameters_are_checked_against_the_flow(stack: Stack) -> None:
    """Unknown and wrong values of a deployment come at once, before anything is made."""
    with pytest.raises(FlowinfraError) as caught:
        stack.preview(program(parameters={"label": 3, "sizes": 1}))
    codes = {d.code for d in caught.value.diagnostics}
    assert {"FI711", "FI712"} <= codes
    (unknown,) = (d for d in caught.value.diagnostics if d.code == "FI711")
    assert unknown.summary.startswith("Small has no parameter ")
    assert unknown.source is not None
    assert Path(unknown.source.file).name == Path(__file__).name


def test_what_the_target_leaves_aside_is_a_warning(stack: Stack) -> None:
    """Local has no containers: a flow that asks for an image deploys, and the preview says what is not used."""
    said: list[str] = []

    def boxed() -> None:
        fic.FlowDeployment("boxed", DeploymentSpec(Boxed))

    plan = stack.engine().preview(stack.ref(boxed), lambda event: said.append(getattr(event, "message", "")))
    assert by_kind(plan)["LocalDeployment"].action is Action.CREATE
    assert any("FI302" in text and "container images" in text for text in said)


def test_a_changed_flow_name_replaces_the_deployment(stack: Stack) -> None:
    """Another full name is another deployment: it is replaced, and only the new one stays."""
    stack.up(program())

    def renamed() -> None:
        fic.export(fic.FlowDeployment("small", DeploymentSpec(Small, name="e", parameters={"label": "x"})))

    plan = enriched(stack.preview(renamed))
    change = by_kind(plan)
    assert change["LocalDeployment"].action is Action.REPLACE
    assert change["FlowDeployment"].flow is not None
    assert change["FlowDeployment"].flow.layers[0].value == "identity"
    stack.up(renamed)
    assert [d.deployment.full_name for d in deployed(stack)] == ["Small/e"]


def test_destroy_leaves_what_another_stack_took_over(stack: Stack) -> None:
    """A deployment whose owner is another stack by now is not removed with this stack."""
    stack.up(program())
    token = stack.outputs(program())["Small/d"]["production_token"]
    database = Database(Home.find(stack.folder).database)
    deployments = SqliteDeployments(database)
    (kept,) = deployments.list()
    deployments.put(replace(kept.deployment, stack="of-its-own"), token=token, authorize=token)
    stack.destroy(program())
    assert [d.deployment.owner for d in deployments.list()] == ["proj/of-its-own"]
    with pytest.raises(ControlError, match="FI820"):
        stack.up(program())
    stack.up(program(authorize=token))
    assert [d.deployment.owner for d in deployments.list()] == ["proj/dev"]
    database.close()


def test_arguments_behind_the_first_two_are_keyword_only() -> None:
    """Components take name and spec by position and everything else by name, so that arguments can be added."""
    kinds = {p.name: p.kind for p in inspect.signature(fic.FlowDeployment.__init__).parameters.values()}
    positional = [n for n, k in kinds.items() if k is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert positional == ["self", "name", "spec"]
    assert issubclass(fic.FlowDeployment, pulumi.ComponentResource)


def test_the_schema_has_every_resource() -> None:
    """The provider's schema names each resource type with its inputs; what is secret is marked."""
    import asyncio
    import json

    from pulumi.provider.experimental.provider import GetSchemaRequest

    answer = asyncio.run(FlowinfraProvider().get_schema(GetSchemaRequest(0)))
    schema = json.loads(answer.schema or "")
    assert schema["resources"].keys() == KINDS.keys()
    assert schema["resources"]["flowinfra:index:Token"]["properties"]["token"]["secret"]
    assert all(r["description"] for r in schema["resources"].values())


def test_wrong_inputs_are_named() -> None:
    """The provider says for each input what is wrong with it."""
    problems = KINDS["flowinfra:index:Release"].check({"digest": 3, "more": "x"})
    assert {(p.input, p.reason) for p in problems} == {
        ("digest", "is of the type int"),
        ("more", "is no input of this resource"),
        ("bundle", "is missing"),
    }


def test_a_token_is_replaced_on_request_only(stack: Stack) -> None:
    """A given token that is no longer given stays the token; only another generation draws a new one."""
    stack.up(program(given_token="0123456789abcdef"))
    stack.up(program())
    assert stack.outputs(program())["Small/d"]["production_token"] == "0123456789abcdef"
    stack.up(program(token_generation=1))
    assert stack.outputs(program())["Small/d"]["production_token"] != "0123456789abcdef"


def test_the_home_is_its_owners_alone(stack: Stack) -> None:
    """Artifacts and parameters lie in the project's folder; nobody else on the machine may read it."""
    stack.up(program())
    assert Home.find(stack.folder).path.stat().st_mode & 0o077 == 0
