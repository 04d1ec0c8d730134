"""Pausing past the program, on the table of deployments; databases of the release before it."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowinfra.diagnostics import ControlError, NotFoundError
from flowinfra.orchestrators.local.interpreter import Interpreter
from flowinfra.orchestrators.local.records import Deployed, Deployment, Operated
from flowinfra.orchestrators.local.sqlite import Database, SqliteDeployments, SqliteRunQueue

WANTED = Deployment(
    project="shop",
    stack="dev",
    domain="dev",
    flow="Sort",
    name="nightly",
    release="r" * 64,
    bundle="b" * 64,
    interpreter=Interpreter("/usr/bin/python3", "cpython-3.12.1", "p" * 64),
)

#: The tables as the first release made them, with a deployment and a run.
VERSION_1 = """
CREATE TABLE deployments (
    address TEXT PRIMARY KEY, full_name TEXT NOT NULL, project TEXT NOT NULL, stack TEXT NOT NULL, domain TEXT NOT NULL,
    flow TEXT NOT NULL, name TEXT NOT NULL, release TEXT NOT NULL, bundle TEXT NOT NULL, interpreter TEXT NOT NULL,
    parameters TEXT NOT NULL, tags TEXT NOT NULL, paused INTEGER NOT NULL, max_workers INTEGER,
    token_salt TEXT NOT NULL, token_hash TEXT NOT NULL, generation INTEGER NOT NULL, taken_from TEXT,
    created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL
);
CREATE INDEX deployments_full_name ON deployments (full_name);
CREATE TABLE runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL UNIQUE, flow TEXT NOT NULL, release TEXT NOT NULL,
    store TEXT NOT NULL, deployment TEXT, launch TEXT, tags TEXT NOT NULL, origin TEXT, user TEXT, state TEXT NOT NULL,
    claimed_by TEXT, pid INTEGER, stop_requested INTEGER NOT NULL DEFAULT 0, error TEXT,
    notes TEXT NOT NULL DEFAULT '[]', created_ms INTEGER NOT NULL, started_ms INTEGER, heartbeat_ms INTEGER,
    ended_ms INTEGER
);
CREATE INDEX runs_state ON runs (state, number);
CREATE INDEX runs_flow ON runs (flow, number);
CREATE INDEX runs_deployment ON runs (deployment, number);
INSERT INTO deployments VALUES (
    'local:shop/dev/Sort/nightly', 'Sort/nightly', 'shop', 'dev', 'dev', 'Sort', 'nightly', 'r', 'b',
    '{"packages":"p","path":"/usr/bin/python3","version":"cpython-3.12.1"}', '{"n":1}', '["a"]', 1, 7, 'salt', 'hash',
    2, NULL, 1000, 2000
);
INSERT INTO runs (run, flow, release, store, deployment, tags, state, created_ms)
VALUES ('run-1', 'Sort', 'r', 'file:///s', 'local:shop/dev/Sort/nightly', '[]', 'succeeded', 3000);
PRAGMA user_version=1;
"""


@pytest.fixture
def deployments(tmp_path: Path) -> SqliteDeployments:
    """A table with one deployment that is not paused, and a clock that stands."""
    table = SqliteDeployments(Database(tmp_path / "local.db"), lambda: 5000)
    table.put(WANTED, token="t")
    return table


def paused(deployments: SqliteDeployments, paused: bool = True, reason: str = "") -> Deployed:
    return deployments.pause(WANTED.address, paused, owner="shop/dev", by="ada", reason=reason)


def test_who_paused_when_and_why_is_kept(deployments: SqliteDeployments) -> None:
    """The deployment is paused, and keeps the operator's name, time and reason beside what the program says."""
    after = paused(deployments, reason="disk full")
    assert after.deployment == replace(WANTED, paused=True)
    assert after.operated == Operated(declared=False, by="ada", at_ms=5000, reason="disk full")
    assert deployments.find(WANTED.address) == after


def test_pausing_twice_changes_nothing_the_second_time(deployments: SqliteDeployments) -> None:
    """The first operator's name and reason stay."""
    first = paused(deployments, reason="one")
    second = deployments.pause(WANTED.address, True, owner="shop/dev", by="bob", reason="two")
    assert second == first


def test_back_to_what_the_program_says_is_nobodys_change(deployments: SqliteDeployments) -> None:
    """After a resume nothing is recorded any more: it is as the program says."""
    paused(deployments)
    after = paused(deployments, False)
    assert (after.deployment.paused, after.operated) == (False, None)


def test_another_deploy_keeps_the_operators_pause(deployments: SqliteDeployments) -> None:
    """A new release does not resume what an operator paused."""
    paused(deployments, reason="why")
    after = deployments.put(replace(WANTED, release="n" * 64), token="t")
    assert (after.deployment.paused, after.deployment.release) == (True, "n" * 64)
    assert after.operated == Operated(declared=False, by="ada", at_ms=5000, reason="why")


def test_the_programs_own_change_wins(deployments: SqliteDeployments) -> None:
    """Once the program says something else than it did, that holds, and the operator's record is gone."""
    deployments.put(replace(WANTED, paused=True), token="t")
    paused(deployments, False)
    after = deployments.put(WANTED, token="t")
    assert (after.deployment.paused, after.operated) == (False, None)
    paused(deployments)
    after = deployments.put(replace(WANTED, paused=True), token="t")
    assert (after.deployment.paused, after.operated) == (True, None)


def test_another_stack_shows_the_token(deployments: SqliteDeployments) -> None:
    """Who is not the owner needs the production token to pause, and does not become the owner by it."""
    for token, code in ((None, "FI820"), ("wrong", "FI821")):
        with pytest.raises(ControlError) as caught:
            deployments.pause(WANTED.address, True, owner="other/dev", by="bob", authorize=token)
        assert caught.value.diagnostics[0].code == code
    after = deployments.pause(WANTED.address, True, owner="other/dev", by="bob", authorize="t")
    assert (after.deployment.owner, after.deployment.paused) == ("shop/dev", True)


def test_what_is_gone_cannot_be_paused(deployments: SqliteDeployments) -> None:
    """A deployment that was deleted meanwhile is told as such."""
    deployments.delete(WANTED.address, owner="shop/dev")
    with pytest.raises(NotFoundError, match="FI810"):
        paused(deployments)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(("put", "pause")), st.booleans()), max_size=12))
def test_the_last_one_to_change_his_mind_is_right(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bool]]
) -> None:
    """Whatever program and operator do in turn: what holds is the last value that differs from that side's former one."""
    table = SqliteDeployments(Database(tmp_path_factory.mktemp("p") / "local.db"))
    program = holds = False
    table.put(WANTED, token="t")
    for who, value in steps:
        if who == "put":
            after = table.put(replace(WANTED, paused=value), token="t")
            holds = value if value != program else holds
            program = value
        else:
            after = paused(table, value)
            holds = value
        assert after.deployment.paused == holds
        assert (after.operated is not None) == (holds != program)


def test_a_database_of_the_first_release_opens_and_works(tmp_path: Path) -> None:
    """Its deployments and runs are there; pausing, deploying and queueing work on it as on a new one."""
    path = tmp_path / "local.db"
    made = sqlite3.connect(path)
    made.executescript(VERSION_1)
    made.close()
    database = Database(path)
    table = SqliteDeployments(database)
    (found,) = table.list()
    assert (found.deployment.paused, found.deployment.max_workers, found.generation) == (True, 7, 2)
    assert found.operated is None
    resumed = table.pause(found.deployment.address, False, owner="shop/dev", by="ada")
    assert resumed.operated is not None
    assert resumed.operated.declared
    assert table.put(resumed.deployment, token="t").deployment.paused is False
    assert (found.deployment.timeout_seconds, found.deployment.user_namespace) == (None, "")
    (run,) = SqliteRunQueue(database).list()
    assert (run.run, run.suspended) == ("run-1", False)
