"""Random programs, randomly changed, in process: what an engine promises whatever the program is."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pulumi
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.toy.chance import changed, program, unprotected
from engines.toy.described import Described, build
from engines.toy.library import Thing
from engines.toy.provider import Toy
from engines.toy.world import World, actions
from flowinfra.diagnostics import EngineError
from flowinfra.engine.embedded import EmbeddedEngine

#: What a random change may rightly be refused for: protection, and two resources of one name.
REFUSALS = {"FI606", "FI607"}


def lives(described: Described, rng: Random, folder: Path) -> None:
    """A stack's life: made, changed a few times, destroyed; each operation does what its preview said, and no more."""
    world = World(folder)
    for made in (world.project, world.cloud):
        made.mkdir()
    good = described
    for number in range(4):
        current = described

        def run(current: Described = current) -> None:
            build(current)

        try:
            plan = world.preview(run)
        except EngineError as problem:
            if not rightly_refused(problem):
                raise
            described = changed(rng, good, f"d{number}x")
            continue
        assert actions(world.preview(run)) == actions(plan), described
        assert actions(world.up(run)) == actions(plan), described
        again = world.up(run)
        assert actions(again) == {}, described
        assert not again.applyable, described
        coherent(world, described)
        good, described = described, changed(rng, described, f"c{number}x")
    if world.file.exists():
        world.up(lambda: build(unprotected(good)))
        world.destroy()
        assert "resources" not in world.latest


def rightly_refused(problem: EngineError) -> bool:
    """Whether the program cannot be: a resource that waits for a component waits for all that is in it."""
    codes = {d.code for d in problem.diagnostics}
    return codes <= {*REFUSALS, "FI635"} or (codes == {"FI600"} and "circular dependency" in str(problem))


def coherent(world: World, described: Described) -> None:
    """Whatever a resource names comes before it; nothing is pending; what the state has exists."""
    seen: set[str] = set()
    for resource in world.latest["resources"]:
        named = {resource.get("parent"), resource.get("deletedWith"), *resource.get("dependencies", [])}
        named |= {u for urns in resource.get("propertyDependencies", {}).values() for u in urns}
        named.add(resource.get("provider", "").rpartition("::")[0])
        assert named - {None, ""} <= seen, (resource["urn"], described)
        assert not resource.get("delete"), described
        assert not resource.get("pendingReplacement"), described
        seen.add(resource["urn"])
    assert "pending_operations" not in world.latest
    known = {r["id"] for r in world.latest["resources"] if r["type"] == "toy:index:Thing"}
    assert known <= {p.stem for p in world.cloud.iterdir()}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rng=st.randoms(use_true_random=False))
def test_operations_do_what_previews_say_and_a_second_one_does_nothing(rng: Random) -> None:
    """Plans depend on the state and the program only, and the state stays one that every engine can read."""
    with tempfile.TemporaryDirectory() as folder:
        lives(program(rng, 7), rng, Path(folder))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(400))
def test_many_operations_do_what_previews_say(tmp_path: Path, seed: int) -> None:
    """The same with larger programs and known seeds."""
    rng = Random(seed)
    lives(program(rng, 12), rng, tmp_path)


class Counting(Toy):
    """Counts calls of its methods."""

    def __init__(self, folder: Path, counts: Counter[str]) -> None:
        super().__init__(folder)
        self._counts = counts

    async def check(self, request: Any) -> Any:
        self._counts["check"] += 1
        return await super().check(request)

    async def diff(self, request: Any) -> Any:
        self._counts["diff"] += 1
        return await super().diff(request)


def test_what_is_asked_of_providers_grows_with_what_changes_only(world: World) -> None:
    """Replacing each of n resources before it is deleted asks for n comparisons, not for n times n."""

    def calls(count: int) -> int:
        counts: Counter[str] = Counter()
        stack = world.named(f"s{count}")
        engine = EmbeddedEngine({"toy": lambda: Counting(world.cloud, counts)}, passphrase=world.secrets)

        def run(kind: str) -> None:
            for i in range(count):
                Thing(f"t{i}", pulumi.ResourceOptions(delete_before_replace=True), kind=kind)

        engine.up(stack.ref(lambda: run("k1")))
        counts.clear()
        engine.preview(stack.ref(lambda: run("k2")))
        return counts.total()

    assert calls(40) == 2 * calls(20)
