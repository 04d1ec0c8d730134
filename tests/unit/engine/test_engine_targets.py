"""Operations on some of a stack's resources only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from engines.toy.described import build
from engines.toy.world import World, actions, change, nothing
from flowinfra.diagnostics import EngineError
from flowinfra.engine.base import Options
from flowinfra.engine.targeting import UNTARGETED, Targeting, matcher
from flowinfra.model.plan import Operation, Plan

URN = "urn:pulumi:dev::proj::"
THING = f"{URN}toy:index:Thing::"


def program(*described: dict[str, Any]) -> Callable[[], None]:
    return lambda: build([{"what": "thing", **entry} for entry in described])


def chain(**changes: dict[str, Any]) -> Callable[[], None]:
    """`b` depends on `a`, `c` on `b`; `d` on nothing."""
    base: list[dict[str, Any]] = [
        {"name": "a", "size": 1},
        {"name": "b", "ref": "a"},
        {"name": "c", "payload": "b"},
        {"name": "d", "size": 1},
    ]
    return program(*({**entry, **changes.get(entry["name"], {})} for entry in base))


def preview(world: World, run: Callable[[], None], *targets: str, dependents: bool = False, **more: Any) -> Plan:
    return world.preview(run, options=Options(targets=targets, target_dependents=dependents), **more)


def up(world: World, run: Callable[[], None], *targets: str, dependents: bool = False) -> Plan:
    options = Options(targets=targets, target_dependents=dependents)
    return world.engine().up(world.ref(run), options=options)


def test_a_pattern_that_fits_nothing_is_told(world: World) -> None:
    """It may be a slip; it is an error no more than for the real CLI."""
    up(world, chain())
    for operation in Operation:
        plan = preview(world, chain(), "**::nope", "**::d", operation=operation)
        assert [(f.code, f.severity) for f in plan.findings if f.code == "FI627"] == [("FI627", "warning")]
        assert "**::nope" in plan.findings[0].summary


@pytest.mark.parametrize(
    ("pattern", "urn", "matches"),
    [
        ("**::a", f"{THING}a", True),
        ("*::a", f"{THING}a", False),
        (f"{URN}toy:*:*::a", f"{THING}a", True),
        (f"{URN}*::a", f"{THING}a", False),
        (f"{URN}**", f"{THING}a", True),
        (f"{URN}my:index:Box$toy:index:Thing::*", f"{URN}my:index:Box$toy:index:Thing::in", True),
        ("**::a.c", f"{THING}abc", False),
        ("**Thing**", f"{THING}multi\nline", True),
    ],
)
def test_patterns_match_as_in_the_real_engine(pattern: str, urn: str, matches: bool) -> None:
    """One star stops at a colon, two do not; everything else stands for itself."""
    assert bool(matcher(pattern).fullmatch(urn)) is matches
    assert Targeting(Options(targets=(pattern,))).named(urn) is matches


def test_what_is_not_targeted_keeps_its_last_state(world: World) -> None:
    """Only the target is changed; the plan says that it is not complete, and of the others why they stay."""
    world.up(chain())
    before = world.resources()
    run = chain(a={"size": 2}, d={"size": 2})
    plan = preview(world, run, f"{THING}d")
    assert actions(plan) == {"d": "update"}
    assert not plan.complete
    assert plan.targets == (f"{THING}d",)
    assert change(plan, "a").reason == UNTARGETED
    up(world, run, f"{THING}d")
    after = world.resources()
    assert after["d"]["inputs"]["size"] == 2
    assert {n: after[n] for n in "abc"} == {n: before[n] for n in "abc"}
    assert actions(world.preview(run)) == {"a": "update"}


def test_dependents_of_targets_take_part_if_asked_for(world: World) -> None:
    """A replacement reaches what refers to it only with target_dependents; without, the old reference stays."""
    world.up(chain())
    run = chain(a={"kind": "k2"})
    assert actions(preview(world, run, f"{THING}a")) == {"a": "replace"}
    wider = preview(world, run, f"{THING}a", dependents=True)
    assert actions(wider) == {"a": "replace", "b": "replace", "c": "update"}
    up(world, run, f"{THING}a")
    assert len(world.live()) == 4
    assert actions(world.preview(run)) == {"b": "replace", "c": "update"}
    world.up(run)
    assert actions(world.preview(run)) == {}


def test_what_does_not_exist_and_is_not_targeted_is_not_created(world: World) -> None:
    """It is named, so that nobody takes the stack for complete; its outputs are unknown to the program."""
    run = program({"name": "a"}, {"name": "b"}, {"name": "c", "after": ["b"]})

    def exporting() -> None:
        run()
        pulumi.export("done", "yes")

    plan = up(world, exporting, "**::a")
    assert actions(plan) == {"proj-dev": "create", "a": "create"}
    found = next(f for f in plan.findings if f.code == "FI650")
    assert "'b', 'c'" in found.summary
    assert set(world.resources()) == {"proj-dev", "default_0_1_0", "a"}
    assert actions(world.preview(exporting)) == {"b": "create", "c": "create"}


def test_a_target_may_not_need_what_is_not_created(world: World) -> None:
    """Both are named, and nothing is done; with the other one targeted as well it works."""
    run = program({"name": "a"}, {"name": "b", "after": ["a"]})
    with pytest.raises(EngineError, match=r"FI652.*'b' depends on 'a'"):
        up(world, run, "**::b")
    assert world.live() == []
    up(world, run, "**::b", "**::a")
    assert len(world.live()) == 2


def test_a_target_that_nothing_has_is_an_error_that_names_near_ones(world: World) -> None:
    """Of the program and of the state; a pattern that matches nothing is none, as in the real engine."""
    world.up(chain())
    for operation in Operation:
        with pytest.raises(EngineError, match=rf"FI651.*did you mean '{THING}a'"):
            preview(world, chain(), f"{THING}aa", operation=operation)
    assert actions(preview(world, chain(a={"size": 2}), "**::nobody")) == {}
    assert actions(preview(world, program({"name": "new"}), f"{THING}new", dependents=True)) == {"new": "create"}


def test_a_deletion_takes_dependents_only_if_asked_for(world: World) -> None:
    """A destroy and an up: what depends on the target is named, or goes first."""
    world.up(chain())
    with pytest.raises(EngineError) as caught:
        preview(world, nothing, f"{THING}b", operation=Operation.DESTROY)
    assert [(d.code, "'c'" in d.summary) for d in caught.value.diagnostics] == [("FI653", True)]
    plan = preview(world, nothing, f"{THING}b", dependents=True, operation=Operation.DESTROY)
    assert actions(plan) == {"b": "delete", "c": "delete"}
    shorter = program({"name": "a", "size": 1}, {"name": "d", "size": 1})
    with pytest.raises(EngineError, match="FI653"):
        up(world, shorter, f"{THING}a")
    options = Options(targets=(f"{THING}b",), target_dependents=True)
    world.engine().destroy(world.ref(nothing), options=options)
    assert set(world.resources()) == {"proj-dev", "default_0_1_0", "a", "d"}
    assert len(world.live()) == 2
    world.destroy()
    assert world.live() == []


def test_a_protected_resource_that_is_not_targeted_does_not_stand_in_the_way(world: World) -> None:
    """Only what would go is asked whether it may."""
    world.up(chain(d={"protect": True}))
    world.engine().destroy(world.ref(nothing), options=Options(targets=(f"{THING}c",)))
    assert "d" in world.resources()
    with pytest.raises(EngineError, match="FI606"):
        world.engine().destroy(world.ref(nothing), options=Options(targets=(f"{THING}d",)))


def test_what_the_program_dropped_stays_if_it_is_not_targeted(world: World) -> None:
    """And comes before whatever still names it, so that the state stays one that can be read."""
    world.up(chain())
    run = program({"name": "b"}, {"name": "c"}, {"name": "d", "size": 2})
    plan = up(world, run, f"{THING}d")
    assert actions(plan) == {"d": "update"}
    assert change(plan, "a").reason == UNTARGETED
    urns = [r["urn"] for r in world.latest["resources"]]
    for resource in world.latest["resources"]:
        assert set(resource.get("dependencies", [])) <= set(urns[: urns.index(resource["urn"])])
    assert len(world.live()) == 4


def test_a_refresh_reads_the_targets(world: World) -> None:
    """And their dependents, if asked for."""
    world.up(chain())
    for file in world.cloud.iterdir():
        file.unlink()
    assert actions(preview(world, nothing, f"{THING}b", operation=Operation.REFRESH)) == {"b": "delete"}
    plan = preview(world, nothing, f"{THING}b", dependents=True, operation=Operation.REFRESH)
    assert actions(plan) == {"b": "delete", "c": "delete"}


def test_a_dependent_that_must_go_with_a_target_comes_back_as_it_was(world: World) -> None:
    """A target that is deleted before it is replaced takes what refers to it with it; the rest of that stays old."""
    described: list[dict[str, Any]] = [
        {"name": "a", "kind": "k1", "fixed": True},
        {"name": "b", "ref": "a", "size": 1},
        {"name": "c", "size": 1},
    ]
    world.up(program(*described))
    described[0]["kind"] = "k2"
    described[1]["size"] = described[2]["size"] = 2
    run = program(*described)
    assert actions(preview(world, run, f"{THING}a")) == {"a": "replace", "b": "replace"}
    up(world, run, f"{THING}a")
    assert world.resources()["b"]["inputs"]["size"] == 1
    assert len(world.live()) == 3
    world.up(run)
    assert actions(world.preview(run)) == {}


def test_an_alias_of_what_is_not_targeted_is_not_taken_over_yet(world: World) -> None:
    """It keeps its name in the state until an operation that it takes part in."""
    world.up(chain())
    run = program(
        {"name": "a2", "size": 1, "aliases": [{"name": "a"}]},
        {"name": "b", "ref": "a2"},
        {"name": "c", "payload": "b"},
        {"name": "d", "size": 2},
    )
    plan = up(world, run, f"{THING}d")
    assert actions(plan) == {"d": "update"}
    assert "a" in world.resources()
    assert actions(world.up(run)) == {}
    assert "a2" in world.resources()
    assert world.resources()["b"]["dependencies"] == [f"{THING}a2"]
