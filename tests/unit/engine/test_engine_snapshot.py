"""Snapshots of toy stacks: what is in them, and what an offline preview against them says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.toy.library import Group, Thing, Toy
from engines.toy.world import World, actions, change
from flowinfra.control.snapshotkey import snapshot_key
from flowinfra.control.snapshots import snapshot_bytes, snapshot_of, sounds_secret
from flowinfra.diagnostics import EngineError
from flowinfra.engine.recorder import RecorderEngine
from flowinfra.engine.state.backend import Backend
from flowinfra.engine.state.resources import Pending, ResourceState
from flowinfra.engine.values import SECRET_TEXT
from flowinfra.model.plan import Action, Operation, Plan
from flowinfra.model.snapshot import StackSnapshot

KEY = b"0123456789abcdef0123456789abcdef"


def program(
    size: int = 7001, tag: str = "tag-plain-1", hidden: str = "hunter2-hidden", count: int = 1
) -> Callable[[], None]:
    def run() -> None:
        a = Thing("a", size=size, tags={"x": tag}, payload=pulumi.Output.secret(hidden))
        Thing("b", ref=a.arn, payload={"inner": a.token})
        Group("g", count)
        pulumi.export("size", size)
        pulumi.export("token", a.token)

    return run


def taken(world: World, **options: Any) -> StackSnapshot:
    """The snapshot of what is deployed."""
    return snapshot_of(
        Backend.open(world.state.as_uri()).stack("proj", world.stack).read(), "proj", world.stack, **options
    )


def saved(world: World, **options: Any) -> Path:
    """The file of it."""
    file = world.root / "snapshot.json"
    file.write_bytes(snapshot_bytes(taken(world, **options)))
    return file


def offline(world: World, base: Path, run: Callable[[], object], key: bytes | None = None) -> Plan:
    """A preview of *run* on a machine that has nothing but the program and the snapshot."""
    away = replace(world.ref(run), backend_url=(world.root / "nowhere").as_uri())
    return RecorderEngine(base, key=key).preview(away)


def test_inputs_of_foreign_types_are_withheld_by_name(world: World) -> None:
    """Names are there, values are not; of secrets not even a digest, and of nothing an id."""
    world.up(program())
    thing = next(r for r in taken(world, key=KEY).resources if r.urn.endswith("::a"))
    assert thing.inputs == {"__defaults": ["name"]}
    assert set(thing.withheld) == {"name", "size", "tags", "payload"}
    assert thing.withheld["payload"] == ""
    assert len(thing.withheld["size"]) == 64
    text = snapshot_bytes(taken(world, key=KEY)).decode()
    for value in ("tag-plain-1", "hunter2", "7001", "ciphertext", world.resources()["a"]["id"]):
        assert value not in text
    unkeyed = next(r for r in taken(world).resources if r.urn.endswith("::a"))
    assert set(unkeyed.withheld.values()) == {""}


def test_a_path_that_is_allowed_is_shown(world: World) -> None:
    """--allow names a type and a path, also inside of an input; a secret is not shown even then."""
    world.up(program())
    allow = [("toy:index:Thing", "tags.x"), ("toy:index:Thing", "payload")]
    thing = next(r for r in taken(world, allow=allow).resources if r.urn.endswith("::a"))
    assert thing.inputs == {"__defaults": ["name"], "tags": {"x": "tag-plain-1"}}
    assert "payload" in thing.withheld


def test_two_snapshots_of_one_state_are_the_same_bytes(world: World) -> None:
    """There is no time and no chance in one."""
    world.up(program())
    assert snapshot_bytes(taken(world, key=KEY)) == snapshot_bytes(taken(world, key=KEY))


def test_an_unchanged_program_has_no_change_against_a_snapshot(world: World) -> None:
    """Without the key what is withheld is listed as unknown, with it only what is secret or computed is."""
    world.up(program())
    plan = offline(world, saved(world), program())
    assert not plan.has_changes
    assert any(u.endswith("::a: size") for u in plan.unknown)
    keyed = offline(world, saved(world, key=KEY), program(), KEY)
    assert not keyed.has_changes
    assert not any(u.endswith("::a: size") for u in keyed.unknown)
    assert any(u.endswith("::a: payload") for u in keyed.unknown)
    assert keyed.basis == world.preview(program()).basis


def test_with_the_key_a_change_of_a_withheld_value_is_seen(world: World) -> None:
    """Without it the same change is an unknown, and never a guess."""
    world.up(program())
    base = saved(world, key=KEY)
    for changed in (program(size=7002), program(tag="tag-plain-2")):
        assert actions(offline(world, base, changed, KEY)) == {"a": "update"}
        assert actions(offline(world, base, changed)) == {}
    plan = offline(world, base, program(size=7002), KEY)
    assert change(plan, "a").changed == ("size",)
    before = change(plan, "a").before
    assert before == dict.fromkeys(("name", "payload", "size", "tags"), SECRET_TEXT)


def test_what_comes_and_goes_is_seen_without_a_key(world: World) -> None:
    """Resources and names of inputs are in every snapshot."""
    world.up(program())
    base = saved(world)
    plan = offline(world, base, program(count=3))
    assert actions(plan) == {"g-1": "create", "g-2": "create"}  # and that the group's own input changes is unknown
    assert any(u.endswith("::g: count") for u in plan.unknown)
    assert actions(offline(world, base, program(count=0))) == {"g-0": "delete"}

    def less() -> None:
        Thing("a", size=1, payload=pulumi.Output.secret("x"))
        Thing("b", ref="r", payload="p", kind="new")
        Group("g", 1)

    plan = offline(world, base, less)
    assert change(plan, "a").changed == ("tags",)
    assert change(plan, "b").changed == ("kind",)
    gone = RecorderEngine(base).preview(world.ref(program()), operation=Operation.DESTROY)
    assert {c.action for c in gone.changes} == {Action.DELETE}


def test_defaults_of_a_provider_are_no_change_against_keyed_digests(world: World) -> None:
    """What a bridged provider filled in deep inside of an input is no part of what the program gives."""
    world.up(lambda: Thing("a", tags={"own": "x"}) and None)
    state = Backend.open(world.state.as_uri()).stack("proj", "dev").read()
    filled = {"tags": {"own": "x", "made": "y", "__defaults": ["made"]}, "size": 5, "__defaults": ["size"]}
    resources = tuple(replace(r, inputs=filled) if r.urn.endswith("::a") else r for r in state.resources)
    base = world.root / "bridged.json"
    base.write_bytes(snapshot_bytes(snapshot_of(replace(state, resources=resources), "proj", "dev", key=KEY)))
    assert not offline(world, base, lambda: Thing("a", tags={"own": "x"}) and None, KEY).has_changes
    assert offline(world, base, lambda: Thing("a", tags={"own": "z"}) and None, KEY).has_changes


def test_what_is_ignored_inside_of_an_input_is_not_compared_as_a_whole(world: World) -> None:
    """A part that `ignoreChanges` names comes from the last state, which the snapshot does not have."""

    def run(tag: str) -> Callable[[], None]:
        return lambda: Thing("a", pulumi.ResourceOptions(ignore_changes=["tags.x"]), tags={"x": tag}) and None

    world.up(run("one"))
    assert not world.preview(run("two")).has_changes
    plan = offline(world, saved(world, key=KEY), run("two"), KEY)
    assert not plan.has_changes
    assert any(u.endswith("::a: tags") for u in plan.unknown)


def test_a_reference_to_another_stack_is_unknown_against_a_snapshot(world: World) -> None:
    """Even if that stack is on this machine: a snapshot is of one stack."""

    def run() -> None:
        Thing("copy", size=pulumi.StackReference("organization/proj/other").get_output("size"))

    def other() -> None:
        pulumi.export("size", 3)
        Thing("x")

    world.named("other").up(other)
    world.up(run)
    plan = offline(world, saved(world), run)
    assert any("reading the stack" in u for u in plan.unknown)
    assert not plan.complete


def test_a_snapshot_of_another_stack_or_project_is_refused(world: World) -> None:
    """By name; so is an exported state of another one."""
    world.named("prod").up(program())
    base = saved(world.named("prod"))
    with pytest.raises(EngineError, match="FI667") as caught:
        offline(world, base, program())
    assert "proj/prod, not of proj/dev" in str(caught.value)
    with pytest.raises(EngineError, match="FI667"):
        offline(world, world.named("prod").file, program())
    elsewhere = replace(world.ref(program()), project="other", stack="prod")
    with pytest.raises(EngineError, match="FI667"):
        RecorderEngine(base).preview(elsewhere)


def test_a_damaged_or_newer_snapshot_is_refused(world: World) -> None:
    """It says what does not fit, also of a file that is none of the known kinds."""
    world.up(program())
    base = saved(world)
    document = json.loads(base.read_text(encoding="utf-8"))
    for broken in (
        {**document, "schema_version": 99},
        {**document, "resources": [{"type": "x"}]},
        {**document, "surprise": 1},
        {k: v for k, v in document.items() if k != "project"},
    ):
        base.write_text(json.dumps(broken), encoding="utf-8")
        with pytest.raises(EngineError, match="FI666"):
            offline(world, base, program())
    for text in ("", "[]", "{}", json.dumps(document)[:-200], "\x00\xff"):
        base.write_text(text, encoding="utf-8")
        with pytest.raises(EngineError, match="FI666"):
            offline(world, base, program())
    with pytest.raises(EngineError, match="FI610"):
        offline(world, world.root / "missing.json", program())


def test_keys_are_checked(world: World, tmp_path: Path) -> None:
    """Too short, unreadable or empty ones are refused, and so is one that the snapshot was not made with."""
    world.up(program())
    with pytest.raises(EngineError, match="FI699"):
        offline(world, saved(world, key=KEY), program(), b"another key of enough bytes")
    assert not offline(world, saved(world), program(), KEY).has_changes  # made without: there is nothing to compare
    assert snapshot_key(environ={}) is None
    assert snapshot_key(environ={"FLOWINFRA_SNAPSHOT_KEY": KEY.decode()}) == KEY
    file = tmp_path / "key"
    file.write_bytes(KEY + b"\n")
    assert snapshot_key(file, {"FLOWINFRA_SNAPSHOT_KEY": "x"}) == KEY
    for content in (b"", b"short"):
        file.write_bytes(content)
        with pytest.raises(EngineError, match="FI699"):
            snapshot_key(file)
    with pytest.raises(EngineError, match="FI699"):
        snapshot_key(tmp_path / "missing")


@pytest.mark.parametrize("name", ["password", "dbPassword", "API_KEY", "apikey", "aws-secret", "authToken", "private"])
def test_names_that_sound_like_secrets(name: str) -> None:
    """However they are spelled."""
    assert sounds_secret(name)


@pytest.mark.parametrize("name", ["alpha", "author", "size", "label", "passenger_count", "monkeys"])
def test_names_that_do_not_sound_like_secrets(name: str) -> None:
    """Words that only look a bit like one."""
    assert not sounds_secret(name)


markers = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=12, max_size=16).map(lambda t: f"marker{t}")
values = st.recursive(
    markers,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["p", "q", "a.b", 'c"d']), inner, max_size=3)
    ),
    max_leaves=5,
)


def leaves(value: Any) -> list[str]:
    """The texts in *value*."""
    if isinstance(value, dict):
        return [t for v in value.values() for t in leaves(v)]
    return [t for v in value for t in leaves(v)] if isinstance(value, list) else [value]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plain=values, hidden=values, other=values)
def test_no_value_of_a_foreign_resource_is_in_a_snapshot_and_changes_are_those_of_the_state(
    tmp_path_factory: pytest.TempPathFactory, plain: Any, hidden: Any, other: Any
) -> None:
    """Whatever the values are: none is in the bytes, and with the key the offline changes are those of the full state."""
    world = World(tmp_path_factory.mktemp("world"))
    for folder in (world.project, world.cloud):
        folder.mkdir()

    def run(payload: Any, secret: Any) -> Callable[[], None]:
        def body() -> None:
            Thing("a", payload=payload, tags={"t": pulumi.Output.secret(secret)})
            pulumi.export("out", payload)

        return body

    world.up(run(plain, hidden))
    base = saved(world, key=KEY)
    text = base.read_text(encoding="utf-8")
    assert not [leaf for leaf in leaves([plain, hidden]) if leaf in text]
    for after in (plain, other):
        full = RecorderEngine().preview(world.ref(run(after, hidden)))
        assert actions(offline(world, base, run(after, hidden), KEY)) == actions(full)


def test_options_of_resources_are_in_a_snapshot(world: World) -> None:
    """Protection, aliases, explicit providers and ignored changes work offline as with the full state."""

    def run(name: str = "p", *, protect: bool = True) -> Callable[[], None]:
        def body() -> None:
            provider = Toy("mine", prefix="pre-fix-7")
            aliases = [pulumi.Alias(name="p")] if name != "p" else []
            Thing(name, pulumi.ResourceOptions(provider=provider, protect=protect, aliases=aliases), size=1)

        return body

    world.up(run())
    base = saved(world)
    assert "pre-fix-7" not in base.read_text(encoding="utf-8")
    assert not offline(world, base, run()).has_changes
    assert not offline(world, base, run("q")).has_changes
    assert change(offline(world, base, run(protect=False)), "p").reason == "protect changed"
    with pytest.raises(EngineError, match="FI606"):
        offline(world, base, lambda: Thing("else") and None)


def test_an_interrupted_operation_is_told_offline(world: World) -> None:
    """What is pending is in the snapshot by name, and said as for the full state."""
    world.up(program())
    state = Backend.open(world.state.as_uri()).stack("proj", "dev").read()
    lost = Pending("creating", ResourceState(urn="urn:pulumi:dev::proj::toy:index:Thing::lost", type="toy:index:Thing"))
    base = world.root / "pending.json"
    base.write_bytes(snapshot_bytes(snapshot_of(replace(state, pending=(lost,)), "proj", "dev")))
    plan = offline(world, base, program())
    assert any("lost" in f.summary for f in plan.findings)
