"""The recorder: previews against the last known state, with no provider and no passphrase."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pulumi
import pytest

from engines.toy.library import Group, Thing
from engines.toy.world import World, actions, change, nothing
from flowinfra.diagnostics import EngineError
from flowinfra.engine.recorder import RecorderEngine
from flowinfra.engine.values import COMPUTED_TEXT, SECRET_TEXT
from flowinfra.model.plan import Action, Operation


def program(size: int = 1, kind: str = "k1", count: int = 1, hidden: str = "hunter2") -> Callable[[], None]:
    def run() -> None:
        a = Thing("a", size=size, kind=kind, payload=pulumi.Output.secret(hidden))
        Thing("b", ref=a.arn, payload={"inner": a.token})
        Group("g", count)
        pulumi.export("arn", a.arn)
        pulumi.export("token", a.token)

    return run


def test_without_a_state_everything_is_created(world: World) -> None:
    """No provider, no passphrase, no file; computed values are unknown."""
    plan = RecorderEngine().preview(world.ref(program()))
    assert plan.engine == "recorder"
    assert plan.counts() == {Action.CREATE: 3}
    assert change(plan, "b").after == {"payload": {"inner": COMPUTED_TEXT}, "ref": COMPUTED_TEXT}
    assert any(u.endswith("::b: ref") for u in plan.unknown)
    assert world.hashes() == {}


def test_an_unchanged_program_plans_nothing_and_lists_what_it_could_not_compare(world: World) -> None:
    """Defaults of the provider are no change; secrets stay closed and are listed."""
    world.up(program())
    before = world.hashes()
    plan = RecorderEngine().preview(world.ref(program()))
    assert not plan.has_changes
    assert not plan.applyable
    assert plan.unknown == ("urn:pulumi:dev::proj::toy:index:Thing::a: payload",)
    assert change(plan, "a").after is not None
    assert change(plan, "a").after["payload"] == SECRET_TEXT
    assert world.hashes() == before


def test_it_plans_as_the_embedded_engine_does_where_that_needs_no_provider(world: World) -> None:
    """Updates, components, creations and deletions alike; whether an update replaces is left to the provider."""
    world.up(program())
    for changed in (program(size=2), program(count=3), program(count=0)):
        ours = RecorderEngine().preview(world.ref(changed))
        assert actions(ours) == actions(world.preview(changed))
    plan = RecorderEngine().preview(world.ref(program(kind="k2")))
    assert change(plan, "a").action is Action.UPDATE
    assert change(plan, "a").changed == ("kind",)
    assert "provider" in change(plan, "a").reason
    plan = RecorderEngine().preview(world.ref(nothing), operation=Operation.DESTROY)
    assert set(actions(plan).values()) == {"delete"}


def test_a_snapshot_stands_for_the_state(world: World, tmp_path: Path) -> None:
    """A checkpoint, or what `stack export` wrote: no backend is looked at."""
    world.up(program())
    document = json.loads(world.file.read_text(encoding="utf-8"))
    exported = tmp_path / "export.json"
    exported.write_text(json.dumps({"version": 3, "deployment": document["checkpoint"]["latest"]}), encoding="utf-8")
    elsewhere = World(tmp_path / "elsewhere")
    for snapshot in (world.file, exported):
        engine = RecorderEngine(snapshot)
        assert not engine.preview(elsewhere.ref(program())).has_changes
        assert engine.outputs(elsewhere.ref(nothing)).keys() == {"arn", "token"}
    with pytest.raises(EngineError, match="FI610"):
        RecorderEngine(tmp_path / "missing.json").preview(elsewhere.ref(program()))


def test_secret_configuration_stays_closed(world: World) -> None:
    """The program gets a placeholder, and the plan says which key it could not read."""
    (world.project / "Pulumi.yaml").write_text("name: proj\nruntime: python\n", encoding="utf-8")
    (world.project / "Pulumi.dev.yaml").write_text(
        "encryptionsalt: v1:AAAAAAAAAAA=:v1:x:y\nconfig:\n  proj:pw:\n    secure: v1:nobody:opens-this\n",
        encoding="utf-8",
    )
    plan = RecorderEngine().preview(
        world.ref(lambda: Thing("a", payload=pulumi.Config().require_secret("pw")) and None)
    )
    assert plan.unknown == ("Pulumi.dev.yaml: proj:pw",)


def test_what_only_a_provider_knows_is_refused(world: World) -> None:
    """Functions have no record; nothing is ever changed or opened."""
    engine = RecorderEngine()
    options = pulumi.InvokeOptions(version="0.1.0")
    with pytest.raises(EngineError, match="FI643"):
        engine.preview(world.ref(lambda: pulumi.runtime.invoke("toy:index:who", {}, options) and None))
    for act in (engine.up, engine.destroy, engine.refresh):
        with pytest.raises(EngineError, match="FI644"):
            act(world.ref(nothing))
    with pytest.raises(EngineError, match="FI644"):
        engine.preview(world.ref(nothing), operation=Operation.REFRESH)
    world.up(program())
    assert engine.outputs(world.ref(nothing))["token"] == SECRET_TEXT
    with pytest.raises(EngineError, match="FI644"):
        engine.outputs(world.ref(nothing), show_secrets=True)


def test_a_resource_that_is_looked_up_is_taken_from_the_last_read(world: World) -> None:
    """Known if it was read before, unknown otherwise."""
    (world.cloud / "toy-abc.json").write_text('{"size": 3}', encoding="utf-8")

    def run() -> None:
        found = Thing("g", pulumi.ResourceOptions(id="toy-abc"), size=0)
        Thing("copy", size=found.size)

    plan = RecorderEngine().preview(world.ref(run))
    assert change(plan, "copy").after == {"size": COMPUTED_TEXT}
    world.up(run)
    plan = RecorderEngine().preview(world.ref(run))
    assert not plan.has_changes
