"""What `flowinfra state repair` and `import` take for damage, what for the best copy, and what they keep."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engines.toy.library import Thing
from engines.toy.world import World
from flowinfra.control.recovery import StoredState
from flowinfra.diagnostics import EngineError
from flowinfra.engine.state.backend import Backend
from flowinfra.engine.state.journal import Head, Kept, line


def one(size: int = 1) -> None:
    Thing("a", size=size)


def stored(world: World) -> StoredState:
    return StoredState(world.ref(one), Backend.open(world.state.as_uri()).stack("proj", world.stack), world.engine())


def journal(world: World) -> Path:
    return world.state / ".pulumi" / "journals" / "proj" / "dev.jsonl"


@pytest.mark.parametrize("what", ["journal", "checkpoint"])
def test_what_cannot_be_read_is_not_replaced_by_an_old_copy(world: World, what: str) -> None:
    """A file in the wrong place or without permission is no damage: the checkpoint stays, with its resources."""
    world.up(one)
    checkpoint = world.file.read_bytes()
    if what == "journal":
        journal(world).mkdir(parents=True)
    else:
        world.file.rename(world.file.with_name("kept"))
        world.file.mkdir()
    with pytest.raises(EngineError, match=r"FI610(?s:.*)cannot be read"):
        stored(world).diagnose()
    kept = world.file if what == "journal" else world.file.with_name("kept")
    assert kept.read_bytes() == checkpoint


def test_the_newest_of_all_good_copies_takes_the_place_of_a_damaged_checkpoint(world: World) -> None:
    """After an operation has ended that is its backup; in the middle of the next one it is that beside the file."""
    world.up(one)
    world.up(lambda: one(2))
    beside = world.file.with_name("dev.json.bak")
    world.file.write_bytes(b"{")
    plan = stored(world).diagnose()
    assert plan.copy.startswith("backups/")
    newest = max(os.stat(p).st_mtime for p in (world.state / ".pulumi" / "backups").rglob("*.json"))
    os.utime(beside, (newest + 5, newest + 5))
    assert stored(world).diagnose().copy.endswith(".bak")
    stored(world).repair(plan)
    assert not world.preview(lambda: one(2)).applyable


def test_a_damaged_journal_is_kept_when_the_state_is_repaired(world: World) -> None:
    """What nobody could read is still there to look at, and goes with its stack."""
    world.up(one)
    path = journal(world)
    path.parent.mkdir(parents=True)
    head = line(Head(stored(world).file.read_checkpoint().digest))
    path.write_bytes(head + b"00000000 {}\n" + line(Kept()))
    damaged = path.read_bytes()
    plan = stored(world).diagnose()
    assert "line 2 of 3" in plan.steps[0].what
    assert not stored(world).repair(plan).steps
    (kept,) = (p for p in world.state.rglob("*.damaged"))
    assert kept.read_bytes() == damaged
    assert str(kept) in plan.steps[0].remedy
    assert not world.preview(one).applyable


def test_a_damaged_checkpoint_without_a_copy_is_left_alone(world: World) -> None:
    """Repair says what people can do; nothing is written."""
    world.up(one)
    for copy in [world.file.with_name("dev.json.bak"), *(world.state / ".pulumi" / "backups").rglob("*.json")]:
        copy.unlink()
    world.file.write_bytes(b"{")
    plan = stored(world).diagnose()
    assert not plan.possible
    assert "state import --force" in plan.steps[0].hint
    assert world.file.read_bytes() == b"{"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 3, "deployment": {"resources": [5]}}'])
def test_a_file_that_is_no_state_is_called_so(world: World, tmp_path: Path, content: str) -> None:
    """It is the file that is wrong, not the stack: the finding names it, and the state is left alone."""
    world.up(one)
    file = tmp_path / "other.json"
    file.write_text(content, encoding="utf-8")
    before = world.hashes()
    with pytest.raises(EngineError) as caught:
        stored(world).examine(file)
    (found,) = caught.value.diagnostics
    assert (found.code, found.summary) == ("FI610", "the file holds no state")
    assert "state repair" not in str(caught.value)
    assert world.hashes() == before


def test_a_file_is_examined_before_anybody_is_asked(world: World, tmp_path: Path) -> None:
    """What it holds is known without touching the state."""
    world.up(one)
    file = tmp_path / "state.json"
    file.write_text(json.dumps(stored(world).export()), encoding="utf-8")
    before = world.hashes()
    assert len(stored(world).examine(file).resources) == 3
    assert world.hashes() == before


def test_a_checkpoint_that_is_gone_is_put_back(world: World) -> None:
    """A stack whose last state held nothing, or that never had one, has nothing to put back."""
    assert not stored(world).diagnose().steps
    world.up(one)
    world.file.unlink()
    plan = stored(world).diagnose()
    assert "is not there" in plan.steps[0].what
    assert "3 resources" in plan.steps[0].remedy
    assert not stored(world).repair(plan).steps
    assert not world.preview(one).applyable
    world.engine().destroy(world.ref(one))
    world.file.unlink()
    world.file.with_name("dev.json.bak").unlink()
    assert not stored(world).diagnose().steps
