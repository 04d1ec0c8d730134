"""Who may change what: `paused` is the operator's, under refreshes, updates and changes of the program."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pulumi
import pytest

import flowinfra.components as fic
from flowinfra import DeploymentSpec
from flowinfra.control.ownership import operators_findings, owner_of, renamed_resources, shared_names
from flowinfra.model.plan import Action
from flowinfra.orchestrators.local.records import Deployed
from flowinfra.orchestrators.local.sqlite import Database, SqliteDeployments
from flowinfra.packaging.home import Home
from tests.components.conftest import Stack, by_kind
from tests.components.flows import Small


def program(name: str = "d", **spec: Any) -> Callable[[], None]:
    """A stack program with one deployment of Small."""

    def run() -> None:
        fic.export(fic.FlowDeployment("small", DeploymentSpec(Small, name=name, parameters={"label": "x"}, **spec)))

    return run


def table(stack: Stack) -> SqliteDeployments:
    return SqliteDeployments(Database(Home.find(stack.folder).database))


def deployed(stack: Stack) -> Deployed:
    """The one deployment."""
    (found,) = table(stack).list()
    return found


def operate(stack: Stack, paused: bool) -> None:
    """Pause or resume it, as an operator does."""
    found = deployed(stack).deployment
    table(stack).pause(found.address, paused, owner=found.owner, by="ada", reason="full disk")


def action(stack: Stack, run: Callable[[], None]) -> Action:
    """What an up would do to the deployment."""
    return by_kind(stack.preview(run))["LocalDeployment"].action


@pytest.mark.parametrize("refreshes", [0, 1, 2])
def test_an_operators_pause_is_not_put_back(stack: Stack, refreshes: int) -> None:
    """The next up, with or without refreshes before it, sees no change and leaves the deployment paused."""
    stack.up(program())
    operate(stack, True)
    for _ in range(refreshes):
        stack.engine().refresh(stack.ref(program()))
    assert action(stack, program()) is Action.SAME
    stack.up(program())
    assert deployed(stack).deployment.paused


@pytest.mark.parametrize("refreshes", [0, 1])
def test_a_change_of_something_else_leaves_it_paused(stack: Stack, refreshes: int) -> None:
    """An update of other fields does not resume what an operator paused, nor the one after it."""
    stack.up(program())
    operate(stack, True)
    for _ in range(refreshes):
        stack.engine().refresh(stack.ref(program()))
    plan = stack.up(program(tags=["new"]))
    assert by_kind(plan)["LocalDeployment"].action is Action.UPDATE
    assert "paused" not in by_kind(plan)["LocalDeployment"].changed
    assert (deployed(stack).deployment.paused, deployed(stack).deployment.tags) == (True, ("new",))
    assert action(stack, program(tags=["new"])) is Action.SAME
    stack.up(program(tags=["newer"]))
    assert deployed(stack).deployment.paused


@pytest.mark.parametrize("refreshes", [0, 1])
def test_the_programs_own_change_wins_and_the_plan_says_so(stack: Stack, refreshes: int) -> None:
    """A program that changes its own value is obeyed; the plan tells whose it was until then."""
    stack.up(program(paused=True))
    operate(stack, False)
    for _ in range(refreshes):
        stack.engine().refresh(stack.ref(program(paused=True)))
    assert action(stack, program(paused=True)) is Action.SAME
    plan = stack.preview(program())
    assert by_kind(plan)["LocalDeployment"].changed == ("paused",)
    (said,) = operators_findings(Home.find(stack.folder), plan)
    assert said.code == "FI676"
    assert "Small/d was resumed by ada" in said.summary
    assert "(full disk)" in said.summary
    stack.up(program())
    assert (deployed(stack).deployment.paused, deployed(stack).operated) == (False, None)


def test_a_refresh_settles_after_an_operators_change(stack: Stack) -> None:
    """A second refresh finds nothing new, also after an up: the state knows what is there."""
    stack.up(program())
    operate(stack, True)
    refresh = stack.engine().refresh(stack.ref(program()))
    change = by_kind(refresh)["LocalDeployment"]
    assert (change.action, change.changed) == (Action.REFRESH, ("paused",))
    assert not stack.engine().refresh(stack.ref(program())).has_changes
    stack.up(program(tags=["new"]))
    assert not stack.engine().refresh(stack.ref(program())).has_changes


def test_a_replacement_takes_the_operators_pause_with_it(stack: Stack) -> None:
    """Another name is another deployment, as the program says; the plan says what is lost."""
    stack.up(program())
    operate(stack, True)
    plan = stack.preview(program("e"))
    assert [d.code for d in operators_findings(Home.find(stack.folder), plan)] == ["FI677"]
    stack.up(program("e"))
    assert not deployed(stack).deployment.paused


def test_plans_that_touch_nothing_of_the_operators_say_nothing(stack: Stack) -> None:
    """No finding where nobody paused anything, where nothing changes, and where there is no database."""
    home = Home.find(stack.folder)
    assert operators_findings(home, stack.preview(program())) == []
    stack.up(program())
    assert operators_findings(home, stack.preview(program(paused=True))) == []
    operate(stack, True)
    assert operators_findings(home, stack.preview(program(tags=["x"]))) == []


def test_a_state_of_the_first_release_is_understood(stack: Stack) -> None:
    """A state without the program's own values: nothing changes by itself, and operators' changes hold all the same."""
    stack.up(program())
    file = stack.folder / "state" / ".pulumi" / "stacks" / stack.project / f"{stack.name}.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    for resource in document["checkpoint"]["latest"]["resources"]:
        resource.get("outputs", {}).pop("__declared", None)
    file.write_text(json.dumps(document), encoding="utf-8")
    assert not stack.preview(program()).has_changes
    assert not stack.engine().refresh(stack.ref(program())).has_changes
    operate(stack, True)
    stack.engine().refresh(stack.ref(program()))
    assert action(stack, program()) is Action.SAME
    stack.up(program(tags=["new"]))
    assert deployed(stack).deployment.paused


def test_owners_are_data_of_the_kinds() -> None:
    """`paused` of a Local deployment is the operator's; everything else, and all of foreign types, is the program's."""
    assert owner_of("flowinfra:index:LocalDeployment", "paused") == "operator"
    assert owner_of("flowinfra:index:LocalDeployment", "tags[0]") == "code"
    assert owner_of("aws:sfn/stateMachine:StateMachine", "paused") == "code"


def test_two_deployments_of_one_name_are_told(stack: Stack) -> None:
    """One would deploy over the other: both resources are named; different names are all right."""

    def twice() -> None:
        for name in ("one", "two"):
            fic.FlowDeployment(name, DeploymentSpec(Small, name="d", parameters={"label": "x"}))
        fic.FlowDeployment("three", DeploymentSpec(Small, name="e", parameters={"label": "x"}))

    (found,) = shared_names(stack.preview(twice))
    assert found.code == "FI678"
    assert "Small/d: one, two" in found.summary
    assert shared_names(stack.preview(program())) == []


def renamed(resource: str, **options: Any) -> Callable[[], None]:
    """The same deployment as :func:`program` has, as a resource of this name."""

    def run() -> None:
        spec = DeploymentSpec(Small, name="d", parameters={"label": "x"})
        fic.FlowDeployment(resource, spec, opts=pulumi.ResourceOptions(**options))

    return run


def test_a_renamed_resource_does_not_take_its_deployment_with_it(stack: Stack) -> None:
    """The old resource is deleted after the new one has deployed at its place; what is there then is the new one's."""
    stack.up(program())
    before = deployed(stack)
    (said,) = renamed_resources(stack.preview(renamed("other")))
    assert said.code == "FI679"
    assert "Small/d goes as the resource `small` and comes back as `other`" in said.summary
    stack.up(renamed("other"))
    assert deployed(stack).namespace != before.namespace
    assert not stack.engine().refresh(stack.ref(renamed("other"))).has_changes
    stack.destroy(renamed("other"))
    assert table(stack).list() == []


def test_an_alias_keeps_a_deployment_under_another_resource_name(stack: Stack) -> None:
    """With an alias it is the same one, with its token and all that belongs to it."""
    stack.up(program())
    before = deployed(stack)
    aliased = renamed("other", aliases=[pulumi.Alias(name="small")])
    plan = stack.preview(aliased)
    assert renamed_resources(plan) == []
    stack.up(aliased)
    assert deployed(stack) == before
