"""The recorder: previews against the last known state, with no provider and no passphrase."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pulumi
import pytest

from engines.toy.library import Group, Thing
from engines.toy.world import World, actions, change, nothing
from flowinfra.diagnostics import EngineError
from flowinfra.engine.base import Options
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


def test_what_only_a_provider_does_is_refused(world: World) -> None:
    """Nothing is ever changed, read or opened."""
    engine = RecorderEngine()
    for act in (engine.up, engine.destroy, engine.refresh, engine.cancel):
        with pytest.raises(EngineError, match="FI644"):
            act(world.ref(nothing))
    with pytest.raises(EngineError, match="FI644"):
        engine.preview(world.ref(nothing), operation=Operation.REFRESH)
    world.up(program())
    assert engine.outputs(world.ref(nothing))["token"] == SECRET_TEXT
    with pytest.raises(EngineError, match="FI644"):
        engine.outputs(world.ref(nothing), show_secrets=True)


def test_the_result_of_a_function_is_unknown(world: World) -> None:
    """The preview goes on, says which function it could not ask, and that it did not see everything."""
    options = pulumi.InvokeOutputOptions(version="0.1.0")

    def run() -> None:
        Thing("a", payload=pulumi.runtime.invoke_output("toy:index:who", {}, options))

    plan = RecorderEngine().preview(world.ref(run))
    assert change(plan, "a").after == {"payload": COMPUTED_TEXT}
    assert "result of the function toy:index:who" in plan.unknown
    assert not plan.complete


def test_a_program_that_looks_into_an_unknown_result_is_told_why_it_fails(world: World) -> None:
    """What fails is the program; which function had no answer is said beside it."""
    options = pulumi.InvokeOptions(version="0.1.0")
    with pytest.raises(EngineError, match="FI643") as caught:
        RecorderEngine().preview(world.ref(lambda: Thing(pulumi.runtime.invoke("toy:index:who", {}, options)["x"])))
    assert {d.code for d in caught.value.diagnostics} == {"FI600", "FI643"}
    assert any("toy:index:who" in d.summary for d in caught.value.diagnostics)


def test_a_program_that_cannot_read_a_closed_secret_is_told_why_it_fails(world: World) -> None:
    """A number cannot stand in for a secret number; the key is named."""
    (world.project / "Pulumi.yaml").write_text("name: proj\nruntime: python\n", encoding="utf-8")
    (world.project / "Pulumi.dev.yaml").write_text(
        "config:\n  proj:count:\n    secure: v1:nobody:opens-this\n", encoding="utf-8"
    )
    with pytest.raises(EngineError, match="FI669") as caught:
        RecorderEngine().preview(world.ref(lambda: pulumi.Config().require_secret_int("count") and None))
    assert any("proj:count" in d.summary for d in caught.value.diagnostics)


def test_a_stack_that_is_not_there_has_unknown_outputs(world: World) -> None:
    """A reference to a stack that this machine does not know is listed; one that it knows is read."""

    def reading() -> None:
        other = pulumi.StackReference("organization/proj/other")
        Thing("copy", payload=other.get_output("token"), size=other.get_output("size"))

    plan = RecorderEngine().preview(world.ref(reading))
    assert change(plan, "copy").after == {"payload": COMPUTED_TEXT, "size": COMPUTED_TEXT}
    assert any(u.endswith("reading the stack organization/proj/other") for u in plan.unknown)
    assert not plan.complete

    def exporting() -> None:
        pulumi.export("token", "plain")
        pulumi.export("size", 3)
        Thing("x")

    world.named("other").up(exporting)
    plan = RecorderEngine().preview(world.ref(reading))
    assert change(plan, "copy").after == {"payload": "plain", "size": 3}
    assert plan.complete


def test_secrets_of_any_keeper_stay_closed(world: World, tmp_path: Path) -> None:
    """Neither a wrong passphrase nor another secrets provider, in state or configuration, hinders a preview."""
    world.up(program())
    document = json.loads(world.file.read_text(encoding="utf-8"))
    document["checkpoint"]["latest"]["secrets_providers"] = {"type": "cloud", "state": {"url": "kms://somewhere"}}
    base = tmp_path / "cloud.json"
    base.write_text(json.dumps(document), encoding="utf-8")
    (world.project / "Pulumi.yaml").write_text("name: proj\nruntime: python\n", encoding="utf-8")
    (world.project / "Pulumi.dev.yaml").write_text("secretsprovider: awskms://alias/x\n", encoding="utf-8")
    assert not RecorderEngine(base).preview(world.ref(program())).has_changes
    assert not RecorderEngine().preview(world.ref(program())).has_changes
    world.file.write_text(json.dumps(document), encoding="utf-8")
    assert not RecorderEngine().preview(world.ref(program())).has_changes


def test_a_remote_state_is_not_asked(world: World) -> None:
    """Whoever is offline gets no state from elsewhere, and is told what to preview against."""
    away = replace(world.ref(program()), backend_url="s3://bucket/states")
    with pytest.raises(EngineError, match="FI668"):
        RecorderEngine().preview(away)


def test_the_plan_says_which_state_it_was_made_from(world: World) -> None:
    """The digest is that of the embedded engine's plans."""
    world.up(program())
    plan = RecorderEngine().preview(world.ref(program()))
    assert plan.basis == world.preview(program()).basis
    assert plan.basis is not None
    assert plan.basis.state


def test_options_hold_for_a_recording_too(world: World) -> None:
    """Targets leave the rest out, as with every engine."""
    world.up(program())
    (address,) = [c.address for c in world.preview(program()).changes if c.name == "a"]
    plan = RecorderEngine().preview(world.ref(program(size=2, count=3)), options=Options(targets=(address,)))
    assert actions(plan) == {"a": "update"}


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
