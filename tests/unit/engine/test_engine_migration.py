"""What the first release has written is opened by this one: `tests/fixtures/first_release`."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pulumi
import pytest

from engines.toy.library import Group, Thing
from engines.toy.world import World, actions
from flowinfra.engine.state.backend import Backend
from flowinfra.orchestrators.local.sqlite import Database, SqliteDeployments

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "first_release"


def program() -> None:
    """As it was when the state was written."""
    a = Thing("a", size=1, payload=pulumi.Output.secret({"deep": ["s3cret"]}))
    Thing("b", pulumi.ResourceOptions(protect=True, depends_on=[a]), ref=a.arn)
    Group("g", 2)
    pulumi.export("arn", a.arn)
    pulumi.export("token", a.token)


@pytest.fixture
def old(world: World) -> World:
    """A world whose state the first release has written."""
    world.file.parent.mkdir(parents=True)
    (world.state / ".pulumi" / "meta.yaml").write_text("version: 1\n", encoding="utf-8")
    world.file.write_bytes((FIXTURES / "dev.json").read_bytes())
    for resource in world.latest["resources"]:
        if resource["type"] == "toy:index:Thing":
            (world.cloud / f"{resource['id']}.json").write_text(json.dumps(resource["inputs"]), encoding="utf-8")
    return world


def test_an_unchanged_up_on_a_state_of_the_first_release_writes_nothing(old: World) -> None:
    """Every form of value in it is read as it was meant, secrets and outputs too."""
    before = old.hashes()
    plan = old.up(program)
    assert actions(plan) == {}
    assert not plan.applyable
    assert old.hashes() == before
    assert old.outputs()["token"].startswith("tok-toy-")
    snapshot = Backend.open(old.state.as_uri()).stack("proj", "dev").read()
    assert len(snapshot.resources) == 7
    assert snapshot.findings == ()


def test_a_state_of_the_first_release_is_changed_and_destroyed(old: World) -> None:
    """Nothing of it is in the way."""

    def changed() -> None:
        Thing("a", size=2)

    with pytest.raises(Exception, match="FI606"):  # `b` is protected
        old.up(changed)

    def unprotected() -> None:
        a = Thing("a", size=1, payload=pulumi.Output.secret({"deep": ["s3cret"]}))
        Thing("b", ref=a.arn)

    old.up(unprotected)
    old.up(changed)
    old.destroy()
    assert old.live() == []


def test_a_database_of_the_first_release_opens(tmp_path: Path) -> None:
    """What was deployed is there, with its token."""
    path = tmp_path / "local.db"
    connection = sqlite3.connect(path)
    connection.executescript((FIXTURES / "local.sql").read_text(encoding="utf-8"))
    connection.close()
    database = Database(path)
    try:
        kept = SqliteDeployments(database).list()
    finally:
        database.close()
    assert [(k.deployment.full_name, k.deployment.parameters, k.deployment.max_workers) for k in kept] == [
        ("Flow/main", {"n": 1}, 2)
    ]
