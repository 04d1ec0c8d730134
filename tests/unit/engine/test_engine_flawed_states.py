"""What is no state that anybody may work with: refused, told briefly, mended; and what is left of it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pulumi
import pytest

from engines.toy.library import Thing
from engines.toy.provider import Toy
from engines.toy.world import World, actions, nothing
from flowinfra.control.recovery import StoredState
from flowinfra.diagnostics import EngineError
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.engine.state.backend import Backend
from flowinfra.engine.state.journal import Begun, Head, Kept, Put, line, parse
from flowinfra.engine.state.resources import Pending
from flowinfra.model.plan import Operation


class Mute(Toy):
    """A provider that cannot look for what it has made."""

    find = None  # type: ignore[assignment]


def one() -> Callable[[], None]:
    return lambda: Thing("a") and None


def stored(world: World) -> StoredState:
    return StoredState(world.ref(nothing), Backend.open(world.state.as_uri()).stack("proj", "dev"), world.engine())


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"version": 3}, "FI610.*damaged"),
        ({"checkpoint": {"latest": {}}}, "FI610.*damaged"),
        ({"version": 3, "deployment": []}, "FI610.*damaged"),
        ({"version": 3, "deployment": None}, "FI610.*damaged"),
        ({"version": 3, "checkpoint": []}, "FI610.*damaged"),
        ({"version": 3, "checkpoint": {"latest": []}}, "FI610.*damaged"),
        ({"version": 3, "checkpoint": {"latest": {"resources": {}}}}, "FI610.*damaged"),
        ({"version": 3, "checkpoint": {"latest": {"pending_operations": {}}}}, "FI610.*damaged"),
        ({"version": 3, "checkpoint": {"latest": {"secrets_providers": []}}}, "FI610.*damaged"),
        ({"version": 9, "checkpoint": {"latest": {}}}, "FI611"),
        ({"version": 3, "checkpoint": {"stack": "organization/other/dev", "latest": {}}}, "FI617.*nothing, and is"),
        ({"version": 3, "checkpoint": {"stack": "organization/proj/prod", "latest": {}}}, "FI617.*nothing, and is"),
    ],
)
def test_nothing_is_taken_for_an_empty_state_that_does_not_say_so(world: World, content: Any, code: str) -> None:
    """The next update would make everything twice, and overwrite it."""
    world.file.parent.mkdir(parents=True)
    world.file.write_text(json.dumps(content), encoding="utf-8")
    before = world.hashes()
    with pytest.raises(EngineError, match=f"(?s){code}"):
        world.up(one())
    assert world.hashes() == before
    assert world.live() == []


@pytest.mark.parametrize("latest", [{}, None, {"resources": None}])
def test_an_empty_state_may_be_written_in_several_ways(world: World, latest: Any) -> None:
    """As the real CLI does for a stack that was only made."""
    world.file.parent.mkdir(parents=True)
    document = {"version": 3, "checkpoint": {"stack": "organization/proj/dev", "latest": latest}}
    world.file.write_text(json.dumps(document), encoding="utf-8")
    world.up(one())
    assert actions(world.preview(one())) == {}


def rewritten(world: World, change_it: Callable[[list[dict[str, Any]]], None]) -> None:
    document = json.loads(world.file.read_text(encoding="utf-8"))
    change_it(document["checkpoint"]["latest"]["resources"])
    world.file.write_text(json.dumps(document), encoding="utf-8")


def twice(resources: list[dict[str, Any]]) -> None:
    resources.append(dict(resources[-1]))


def two_objects(resources: list[dict[str, Any]]) -> None:
    resources.append({**resources[-1], "id": "toy-other"})


def dangling(resources: list[dict[str, Any]]) -> None:
    resources[-1]["dependencies"] = [resources[-1]["urn"].replace("::a", "::nobody")]


def unordered(resources: list[dict[str, Any]]) -> None:
    resources.reverse()


@pytest.mark.parametrize("flaw", [twice, two_objects, dangling, unordered])
def test_a_state_that_does_not_fit_together_is_worked_with_after_its_repair_only(
    world: World, flaw: Callable[[list[dict[str, Any]]], None]
) -> None:
    """A second entry would count as not wanted any more, and the object that both stand for would be deleted."""
    world.up(one())
    rewritten(world, flaw)
    before = world.hashes()
    for operation in (world.preview, world.up, lambda _: world.destroy(), lambda _: world.refresh()):
        with pytest.raises(EngineError, match=r"(?s)FI625.*flowinfra state repair"):
            operation(one())
    assert world.hashes() == before
    assert not stored(world).repair(stored(world).diagnose()).steps
    assert len(world.live()) == 1
    assert actions(world.preview(one())) == ({"a": "delete"} if flaw is two_objects else {})


def test_what_stands_behind_a_damaged_line_of_a_journal_is_taken_over(world: World) -> None:
    """Each line has its own checksum: only what the damaged one says is lost, and its operation did not end then."""
    world.up(one())
    file = stored(world).file
    known = next(r for r in file.read().resources if r.type == "toy:index:Thing")
    states = [replace(known, urn=known.urn[:-1] + name, id=f"toy-{name}") for name in ("b", "c")]
    lines = [line(Head(file.read().digest))]
    for key, state in enumerate(states):
        lines += [line(Begun(key, Pending("creating", replace(state, id="")))), line(Put(state, None, key, made=True))]
    lines[2] = b"x" + lines[2]
    log = file.journal()
    log.append(b"".join(lines))
    log.close()
    read = file.read(lenient=True)
    assert [r.id for r in read.resources if r.type == "toy:index:Thing"] == ["toy-c", known.id]
    assert [p.resource.urn for p in read.pending] == [states[0].urn]


def test_a_journal_of_another_version_is_not_guessed_at() -> None:
    """Not even by a repair."""
    body = json.dumps({"t": "head", "version": 99, "base": ""}).encode()
    other = b"%08x %s\n" % (zlib.crc32(body), body)
    assert parse(other + line(Kept()), "", lenient=True) is None


def test_many_interrupted_creations_are_one_finding(world: World) -> None:
    """With the names of the first few, and all URNs; one alone is told with its address."""
    world.up(one())
    names = ["b", "c", "d", "e"]
    thing = world.resources()["a"]
    pending = [{"type": "creating", "resource": {**thing, "id": "", "urn": thing["urn"][:-1] + n}} for n in names]
    document = json.loads(world.file.read_text(encoding="utf-8"))
    document["checkpoint"]["latest"]["pending_operations"] = pending
    world.file.write_text(json.dumps(document), encoding="utf-8")
    (found,) = (
        EmbeddedEngine({"toy": lambda: Mute(world.cloud)}, passphrase=world.secrets).preview(world.ref(one())).findings
    )
    assert (found.code, found.address) == ("FI630", "")
    assert "creating 4 resources: 'b', 'c', 'd', ..." in found.summary
    assert [u in found.detail for u in (p["resource"]["urn"] for p in pending)] == [True] * 4


def test_what_was_being_changed_and_is_destroyed_is_not_warned_of(world: World) -> None:
    """Nobody needs to know any more whether the change had happened; after a refresh it is known."""
    world.up(one())
    document = json.loads(world.file.read_text(encoding="utf-8"))
    latest = document["checkpoint"]["latest"]
    latest["pending_operations"] = [{"type": "updating", "resource": latest["resources"][-1]}]
    world.file.write_text(json.dumps(document), encoding="utf-8")
    refreshed = world.preview(one(), operation=Operation.REFRESH)
    assert [(f.code, f.severity) for f in refreshed.findings] == [("FI624", "note")]
    assert world.destroy().findings == ()


def test_outputs_come_in_the_order_of_their_names(world: World) -> None:
    """As the real CLI shows them, whichever was known first."""

    def program() -> None:
        pulumi.export("b", {"z": 1, "a": [{"y": 1, "x": 2}]})
        pulumi.export("a", Thing("a").arn)

    world.up(program)
    for show_secrets in (False, True):
        outputs = world.outputs(show_secrets=show_secrets)
        assert (list(outputs), json.dumps(outputs["b"])) == (["a", "b"], '{"a": [{"x": 2, "y": 1}], "z": 1}')
