"""Resources that exist and are not as they should be (`initErrors`), and refreshes: alike in both engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowinfra.diagnostics import EngineError
from oracle import Both

pytestmark = pytest.mark.engines


@pytest.fixture
def both(pulumi_cli_folder: Path, tmp_path: Path) -> Both:
    return Both.create(pulumi_cli_folder, tmp_path)


def errors(both: Both) -> list[Any]:
    return [r.get("initErrors") for r in both.resources() if r["type"] == "toy:index:Thing"]


def test_what_is_made_but_not_healthy_is_recorded_and_updated_by_either(both: Both) -> None:
    """Created, updated and refreshed while it is sick: equal errors in the state, an update as the next plan."""
    ours, theirs = both.named("ours"), both.named("theirs")
    theirs.real("stack", "init")
    sick = both.project.parent / "sick"
    both.set(parts=["described"], described=[{"name": "a", "what": "thing", "size": 1}])
    sick.touch()
    with pytest.raises(EngineError, match="FI657"):
        ours.engine.up(ours.ref)
    assert "does not start" in theirs.real("up", "--yes", "--skip-preview", check=False)
    assert errors(ours) == errors(theirs) == [["it does not start", "nobody knows why"]]
    update = [("update", "toy:index:Thing::a")]
    for stack in (ours, theirs):
        assert stack.ours() == stack.theirs() == update
    # Each goes on with what the other one has left.
    ours.real("up", "--yes", "--skip-preview", check=False)
    with pytest.raises(EngineError, match="FI657"):
        theirs.engine.up(theirs.ref)
    assert errors(ours) == errors(theirs) == [["it does not start again"]]
    sick.unlink()
    ours.real("up", "--yes", "--skip-preview")
    theirs.engine.up(theirs.ref)
    assert errors(ours) == errors(theirs) == [None]
    for stack in (ours, theirs):
        assert stack.ours() == stack.theirs() == []

    sick.touch()
    ours.engine.refresh(ours.ref)
    theirs.real("refresh", "--yes")
    assert errors(ours) == errors(theirs) == [["it is down"]]
    sick.unlink()
    ours.real("refresh", "--yes")
    theirs.engine.refresh(theirs.ref)
    assert errors(ours) == errors(theirs) == [None]


def test_a_refresh_leaves_the_same_state_whoever_does_it(both: Both) -> None:
    """What changed, what is gone, and what stood below or beside it."""
    ours, theirs = both.named("ours"), both.named("theirs")
    theirs.real("stack", "init")
    described: list[dict[str, Any]] = [
        {"name": "a", "what": "thing", "size": 1},
        {"name": "b", "what": "thing", "parent": "a", "payload": "a"},
        {"name": "c", "what": "thing", "parent": "b", "after": ["b"], "deleted_with": "b"},
        {"name": "d", "what": "thing", "size": 1},
    ]
    both.set(parts=["described"], described=described)
    ours.engine.up(ours.ref)
    theirs.real("up", "--yes", "--skip-preview")
    for stack in (ours, theirs):
        ids = {r["urn"].rpartition("::")[2]: r.get("id") for r in stack.resources()}
        (both.cloud / f"{ids['b']}.json").unlink()
        path = both.cloud / f"{ids['d']}.json"
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "size": 7}), encoding="utf-8")
    ours.engine.refresh(ours.ref)
    theirs.real("refresh", "--yes")
    mine, others = ours.comparable(), theirs.comparable()
    for state in (*mine.values(), *others.values()):  # the real one then forgets what depends on nothing
        state["propertyDependencies"] = {k: v for k, v in state["propertyDependencies"].items() if v}
    assert mine == others
    for stack in (ours, theirs):
        assert stack.ours() == stack.theirs()


def test_custom_timeouts_and_options_of_transforms_are_kept_alike(both: Both) -> None:
    """Timeouts in seconds; whatever a transform returns among the options is in the state of both."""
    ours, theirs = both.named("ours"), both.named("theirs")
    theirs.real("stack", "init")
    both.set(parts=["transformed_options"])
    ours.engine.up(ours.ref)
    theirs.real("up", "--yes", "--skip-preview")
    assert ours.comparable() == theirs.comparable()
    assert ours.theirs() == []
    assert theirs.ours() == []
    timed = next(r for r in ours.resources() if r["urn"].endswith("::timed"))
    assert timed["customTimeouts"] == {"create": 90, "delete": 0.5}
    both.set(parts=["transformed_options"], renamed=True)
    for stack in (ours, theirs):
        assert stack.ours() == stack.theirs()
