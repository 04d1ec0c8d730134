from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowinfra import wire
from flowinfra.diagnostics import ControlError, NotFoundError
from flowinfra.orchestrators.local.interpreter import Interpreter
from flowinfra.orchestrators.local.records import Deployment
from flowinfra.orchestrators.local.sqlite import Database, SqliteDeployments

PYTHON = Interpreter("/usr/bin/python3", "cpython-3.12.1", "p" * 64)


def wanted(**changes: Any) -> Deployment:
    values: dict[str, Any] = {
        "project": "shop",
        "stack": "dev",
        "domain": "dev",
        "flow": "Sort",
        "name": "nightly",
        "release": "r" * 64,
        "bundle": "b" * 64,
        "interpreter": PYTHON,
    }
    return Deployment(**{**values, **changes})


class Ticks:
    """A clock that moves on each time it is read."""

    def __init__(self) -> None:
        self.now = 1000

    def __call__(self) -> int:
        self.now += 1
        return self.now


@pytest.fixture
def deployments(tmp_path: Path) -> SqliteDeployments:
    """An empty table with a clock of its own."""
    return SqliteDeployments(Database(tmp_path / "local.db"), Ticks())


def test_a_deployment_is_kept_as_it_was_given(deployments: SqliteDeployments) -> None:
    """Everything that was deployed comes back, by address and by full name."""
    asked = wanted(parameters={"n": 1, "text": "ä"}, tags=("a", "b"), paused=True, max_workers=7)
    kept = deployments.put(asked, token="t")
    assert kept.deployment == asked
    assert deployments.find("local:shop/dev/Sort/nightly") == kept
    assert deployments.get("Sort/nightly") == kept
    assert deployments.get(asked.address) == kept
    assert asked.scope == wire.scope_digits(asked.address)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=8), json_values, max_size=4), st.lists(st.text(max_size=8), max_size=3))
def test_any_parameters_and_tags_come_back(
    tmp_path_factory: pytest.TempPathFactory, parameters: dict[str, Any], tags: list[str]
) -> None:
    """Parameters and tags survive, whatever text they hold."""
    database = Database(tmp_path_factory.mktemp("p") / "local.db")
    asked = wanted(parameters=parameters, tags=tuple(tags))
    table = SqliteDeployments(database)
    table.put(asked, token="t")
    assert table.get("Sort/nightly").deployment == asked
    database.close()


def test_deploying_twice_changes_nothing(deployments: SqliteDeployments) -> None:
    """The second of two equal deployments leaves time, token hash and generation as they are."""
    first = deployments.put(wanted(), token="t")
    assert deployments.put(wanted(), token="t") == first


def test_a_change_keeps_token_and_birth(deployments: SqliteDeployments) -> None:
    """A new release moves only what it concerns."""
    first = deployments.put(wanted(), token="t")
    second = deployments.put(wanted(release="s" * 64), token="t")
    assert second.deployment.release == "s" * 64
    assert (second.token, second.generation, second.created_ms) == (first.token, 0, first.created_ms)
    assert second.updated_ms > first.updated_ms
    assert second.namespace == first.namespace


def test_another_token_begins_a_generation(deployments: SqliteDeployments) -> None:
    """The namespace names deployment, generation and token, and none of it is the token."""
    first = deployments.put(wanted(), token="one")
    second = deployments.put(wanted(), token="two")
    assert second.generation == 1
    assert second.namespace.startswith("production:nightly-1-")
    assert first.namespace != second.namespace
    assert second.token.fits("two")
    assert not second.token.fits("one")


def test_the_file_does_not_hold_the_token(tmp_path: Path) -> None:
    """Only the salted hash is written."""
    database = Database(tmp_path / "local.db")
    SqliteDeployments(database).put(wanted(), token="a-very-secret-token")
    database.close()
    assert b"a-very-secret-token" not in (tmp_path / "local.db").read_bytes()


def test_what_another_stack_owns_is_refused_with_its_address(deployments: SqliteDeployments) -> None:
    """Deploying over a foreign deployment names its owner and its address, and changes nothing."""
    first = deployments.put(wanted(), token="t")
    with pytest.raises(ControlError) as caught:
        deployments.put(wanted(stack="dev-sort"), token="t")
    assert caught.value.diagnostics[0].code == "FI820"
    assert "shop/dev" in str(caught.value)
    assert "local:shop/dev/Sort/nightly" in str(caught.value)
    assert deployments.get("Sort/nightly") == first


def test_a_wrong_token_is_refused(deployments: SqliteDeployments) -> None:
    """A token that does not fit takes nothing over and deletes nothing."""
    first = deployments.put(wanted(), token="t")
    for attempt in (
        lambda: deployments.put(wanted(stack="other"), token="x", authorize="x"),
        lambda: deployments.delete(first.deployment.address, owner="shop/other", authorize="x"),
    ):
        with pytest.raises(ControlError) as caught:
            attempt()
        assert caught.value.diagnostics[0].code == "FI821"
    assert deployments.get("Sort/nightly") == first


def test_the_right_token_moves_the_ownership_and_that_is_recorded(deployments: SqliteDeployments) -> None:
    """Whoever shows the token owns the deployment from then on; the one before is remembered."""
    deployments.put(wanted(), token="t")
    taken = deployments.put(wanted(stack="other"), token="mine", authorize="t")
    assert taken.deployment.owner == "shop/other"
    assert taken.taken_from == "shop/dev"
    assert deployments.put(wanted(stack="other", paused=True), token="mine").taken_from == "shop/dev"
    with pytest.raises(ControlError):
        deployments.put(wanted(), token="t")


def test_two_stacks_may_have_a_deployment_of_one_name_each(deployments: SqliteDeployments) -> None:
    """A full name is unique within a domain; between two the domain chooses, and without it both are named."""
    dev = deployments.put(wanted(), token="d")
    prod = deployments.put(wanted(stack="prod", domain="prod"), token="p")
    assert dev.deployment.scope != prod.deployment.scope
    assert deployments.get("Sort/nightly", domain="prod") == prod
    with pytest.raises(NotFoundError) as caught:
        deployments.get("Sort/nightly")
    assert caught.value.diagnostics[0].code == "FI819"
    assert dev.deployment.address in str(caught.value)
    assert prod.deployment.address in str(caught.value)


def test_deleting_twice_deletes_once(deployments: SqliteDeployments) -> None:
    """The second deletion finds nothing and is no error."""
    address = deployments.put(wanted(), token="t").deployment.address
    assert deployments.delete(address, owner="shop/dev") is True
    assert deployments.delete(address, owner="shop/dev") is False
    assert deployments.list() == []


def test_a_foreign_deployment_is_deleted_only_with_its_token(deployments: SqliteDeployments) -> None:
    """Deleting asks for the same proof as deploying over."""
    address = deployments.put(wanted(), token="t").deployment.address
    with pytest.raises(ControlError) as caught:
        deployments.delete(address, owner="shop/other")
    assert caught.value.diagnostics[0].code == "FI820"
    assert deployments.delete(address, owner="shop/other", authorize="t")


def test_an_unknown_name_is_answered_with_the_nearest_and_the_list(deployments: SqliteDeployments) -> None:
    """A typing error is recognised, and what exists is shown."""
    with pytest.raises(NotFoundError, match="Nothing is deployed here yet"):
        deployments.get("Sort/nightly")
    deployments.put(wanted(), token="t")
    deployments.put(wanted(flow="Merge"), token="t")
    with pytest.raises(NotFoundError) as caught:
        deployments.get("Sort/nightley")
    assert caught.value.diagnostics[0].code == "FI810"
    assert "did you mean 'Sort/nightly'?" in str(caught.value)
    assert "Merge/nightly, Sort/nightly" in str(caught.value)


def test_a_list_can_be_of_one_flow_or_one_owner(deployments: SqliteDeployments) -> None:
    """Lists are sorted by name and filtered."""
    for flow, stack in (("Sort", "dev"), ("Merge", "dev"), ("Sort", "prod")):
        deployments.put(wanted(flow=flow, stack=stack, domain=stack), token="t")
    assert [d.deployment.address for d in deployments.list()] == [
        "local:shop/dev/Merge/nightly",
        "local:shop/dev/Sort/nightly",
        "local:shop/prod/Sort/nightly",
    ]
    assert len(deployments.list(flow="Sort")) == 2
    assert [d.deployment.flow for d in deployments.list(owner="shop/dev")] == ["Merge", "Sort"]
    assert deployments.list(owner="shop/none") == []


def test_the_environment_of_a_deployment_is_part_of_what_can_change(deployments: SqliteDeployments) -> None:
    """Another interpreter is another content of the same deployment."""
    first = deployments.put(wanted(), token="t")
    second = deployments.put(wanted(interpreter=replace(PYTHON, packages="q" * 64)), token="t")
    assert second.updated_ms > first.updated_ms
    assert second.deployment.interpreter.packages == "q" * 64
