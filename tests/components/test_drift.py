"""Drift: what was changed past the program, adopted or put back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import flowinfra.components as fic
from flowinfra import DeploymentSpec
from flowinfra.cli.console import Console
from flowinfra.cli.views.drift import adopted_text, drift_markdown, drift_text
from flowinfra.components import Settings
from flowinfra.control.drift import Choice, adopt, choose, drift, is_wrong, revert
from flowinfra.control.stacks import OpenStack
from flowinfra.diagnostics import FlowinfraError
from flowinfra.engine.config import Project
from flowinfra.model.plan import Action
from flowinfra.orchestrators.local.records import Deployment
from flowinfra.orchestrators.local.sqlite import Database, SqliteDeployments
from flowinfra.packaging.home import Home
from flowinfra.packaging.store import Store
from flowinfra.wire import bundle_key
from tests.components.conftest import Stack
from tests.components.flows import Small

LOCAL = "small-deployment"


def program() -> None:
    fic.export(fic.FlowDeployment("small", DeploymentSpec(Small, name="d", parameters={"label": "x"}, tags=["t"])))


@pytest.fixture
def opened(stack: Stack) -> OpenStack:
    """A stack that is deployed."""
    stack.up(program)
    return open_(stack, program)


def open_(stack: Stack, run: Callable[[], None]) -> OpenStack:
    project = Project.find(stack.folder)
    return OpenStack(
        Home.find(stack.folder), project, stack.name, Settings(stack=stack.name), stack.ref(run), stack.engine()
    )


def table(opened: OpenStack) -> SqliteDeployments:
    return SqliteDeployments(Database(opened.home.database))


def deployed(opened: OpenStack) -> Deployment:
    (found,) = table(opened).list()
    return found.deployment


def by_hand(opened: OpenStack, **changes: Any) -> None:
    """Deploy over it as somebody with the token does."""
    token = opened.engine.outputs(opened.ref, show_secrets=True)["Small/d"]["production_token"]
    table(opened).put(replace(deployed(opened), **changes), token=token)


def pause(opened: OpenStack) -> None:
    found = deployed(opened)
    table(opened).pause(found.address, True, owner=found.owner, by="ada", reason="full disk")


def fields(opened: OpenStack) -> dict[str, tuple[Any, Any, str]]:
    """What has drifted: path to recorded, actual and owner."""
    return {f.path: (f.recorded, f.actual, f.owner) for c in drift(opened).drift for f in c.drifted}


def test_nothing_has_drifted_after_an_up(opened: OpenStack) -> None:
    """What was just deployed is as it is recorded."""
    plan = drift(opened)
    assert plan.drift == ()
    assert not is_wrong(plan)
    assert drift_text(plan, Console()).startswith("No drift")


def test_each_property_has_what_is_recorded_what_is_there_and_its_owner(opened: OpenStack) -> None:
    """A release and tags that were deployed by hand are the code's, a pause is the operator's, and who paused is told."""
    by_hand(opened, release="f" * 64, tags=("hand",), max_workers=3)
    pause(opened)
    recorded = opened.engine.outputs(opened.ref)["Small/d"]["release"]
    assert fields(opened) == {
        "release": (recorded, "f" * 64, "code"),
        "tags[0]": ("t", "hand", "code"),
        "maxWorkers": (None, 3, "code"),
        "paused": (False, True, "operator"),
    }
    plan = drift(opened)
    assert is_wrong(plan)
    text = drift_text(plan, Console())
    assert "paused by ada on" in text
    assert "(full disk)" in text
    assert "Drift: 3 changed past the program, 1 changed by an operator." in text


def test_what_an_operator_changed_is_shown_and_nothing_wrong(opened: OpenStack) -> None:
    """Drift of the operator's alone is no reason for an alarm."""
    pause(opened)
    plan = drift(opened)
    assert [f.path for c in plan.drift for f in c.drifted] == ["paused"]
    assert not is_wrong(plan)


def test_what_does_not_exist_any_more_is_seen(opened: OpenStack) -> None:
    """A deployment that was deleted and an object that is missing from the store are drift."""
    found = deployed(opened)
    table(opened).delete(found.address, owner=found.owner)
    Store.open(opened.home.store_url).delete(bundle_key(found.bundle))
    plan = drift(opened)
    assert {c.name: c.action for c in plan.drift} == {"small-bundle": Action.DELETE, LOCAL: Action.DELETE}
    assert is_wrong(plan)
    revert(opened, choose(plan, ["Small/d"]))
    assert drift(opened).drift == ()
    assert deployed(opened) == found


def test_one_property_is_adopted(opened: OpenStack) -> None:
    """It is in the state then, the others still drift, and the next up puts it back, which is said."""
    by_hand(opened, tags=("hand",), max_workers=3)
    choices = choose(drift(opened), [f"{LOCAL}:tags"])
    assert "write it into the program" in adopted_text(choices)
    adopt(opened, choices)
    assert fields(opened) == {"maxWorkers": (None, 3, "code")}
    assert opened.engine.preview(opened.ref).has_changes
    opened.engine.up(opened.ref)
    assert deployed(opened).tags == ("t",)


def test_all_of_a_resource_is_adopted(opened: OpenStack) -> None:
    """Without a property all of it is taken over, and the operator's part needs no word in the program."""
    by_hand(opened, tags=("hand",))
    pause(opened)
    choices = choose(drift(opened), ["Small/d"])
    adopt(opened, choices)
    assert fields(opened) == {}
    assert adopted_text(choices).count("write it into the program") == 1


def test_one_property_is_put_back(opened: OpenStack) -> None:
    """The recorded value is there again, through the provider; what else has drifted stays as it is."""
    by_hand(opened, tags=("hand",), max_workers=3)
    pause(opened)
    revert(opened, choose(drift(opened), [f"{LOCAL}:maxWorkers"]))
    assert (deployed(opened).max_workers, deployed(opened).tags, deployed(opened).paused) == (None, ("hand",), True)
    assert set(fields(opened)) == {"tags[0]", "paused"}
    revert(opened, choose(drift(opened), ["Small/d:paused"]))
    assert set(fields(opened)) == {"tags[0]"}


def test_all_of_a_resource_is_put_back(opened: OpenStack) -> None:
    """Without a property everything is as recorded again, the operator's part too."""
    before = deployed(opened)
    by_hand(opened, release="f" * 64, tags=("hand",), max_workers=3)
    pause(opened)
    revert(opened, choose(drift(opened), [drift(opened).drift[0].address]))
    assert deployed(opened) == before
    assert drift(opened).drift == ()
    assert not opened.engine.preview(opened.ref).has_changes


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("Small/e", "FI680", "did you mean 'Small/d'"),
        ("small-deplyment:tags", "FI680", "small-deployment"),
        (f"{LOCAL}:tag", "FI682", "did you mean 'tags"),
        ("small-token", "FI682", "as the state has it"),
    ],
)
def test_a_name_that_means_nothing_is_told_with_the_nearest(
    opened: OpenStack, name: str, code: str, words: str
) -> None:
    """Each name that is wrong comes with what is there."""
    by_hand(opened, tags=("hand",))
    with pytest.raises(FlowinfraError) as caught:
        choose(drift(opened), [name])
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert words in str(found)


def test_a_name_of_several_resources_is_refused(stack: Stack) -> None:
    """Two resources of one name need a URN."""
    stack.up(program)
    opened = open_(stack, program)
    by_hand(opened, tags=("hand",))
    plan = drift(opened)
    (one,) = plan.drift
    other = one.model_copy(update={"address": f"{one.address}2", "before": {"flow": "Other", "name": "x"}})
    both = plan.model_copy(update={"changes": (*plan.changes, other), "drift": (one, other)})
    with pytest.raises(FlowinfraError, match="FI681"):
        choose(both, [LOCAL])
    assert [c.change.address for c in choose(both, [one.address])] == [one.address]


def test_markdown_cannot_be_broken_by_what_is_there(opened: OpenStack) -> None:
    """Pipes, backticks and line ends in deployed values end neither cell nor row."""
    by_hand(opened, tags=("a | b ` c\n| d",))
    rows = [line for line in drift_markdown(drift(opened)).splitlines() if line.startswith("| `")]
    assert len(rows) == 1
    assert rows[0].replace("\\|", "").count("|") == 6


def test_single_properties_need_the_embedded_engine(opened: OpenStack) -> None:
    """An engine that knows whole resources only refuses by name, and nothing is changed."""

    class Other:
        name = "pulumi"

    by_hand(opened, tags=("hand",))
    choices = choose(drift(opened), [f"{LOCAL}:tags"])
    elsewhere = OpenStack(opened.home, opened.project, opened.stack, opened.settings, opened.ref, Other())  # type: ignore[arg-type]
    for settle in (adopt, revert):
        with pytest.raises(FlowinfraError, match="FI683"):
            settle(elsewhere, choices)
    assert deployed(opened).tags == ("hand",)
    assert isinstance(choices[0], Choice)
