"""The embedded engine and the real CLI plan the same, and go on from each other's state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowinfra.diagnostics import EngineError
from oracle import Both

pytestmark = pytest.mark.engines

#: Each on top of the one before.
SCENARIOS: list[tuple[str, dict[str, Any]]] = [
    ("updates in place, also of a provider's configuration", {"size": 9, "prefix": "third"}),
    ("replacements, one created first, one deleted first with what depends on it", {"kind": "k2"}),
    ("a rename with an alias, more children", {"renamed": "d2", "count": 4}),
    ("fewer children, a change that is ignored, protect, replaceOnChanges", {
        "count": 1, "ignored": 8, "protect": True, "tags": {"y": "1"},
    }),
    ("deletions, a rename without an alias, an update", {"count": 0, "renamed": "d3", "size": 4}),
]  # fmt: skip


@pytest.fixture
def both(pulumi_cli_folder: Path, tmp_path: Path) -> Both:
    return Both.create(pulumi_cli_folder, tmp_path)


def test_each_change_is_planned_alike_and_applied_by_one_it_is_done_for_the_other(both: Both) -> None:
    """Five changes: equal plans; after one engine has applied, the other sees nothing left to do."""
    both.engine.up(both.ref)
    settings: dict[str, Any] = {}
    for number, (name, change) in enumerate(SCENARIOS):
        settings.update(change)
        both.set(**settings)
        ours, theirs = both.ours(), both.theirs()
        assert ours == theirs, name
        if number % 2 == 0:
            both.engine.up(both.ref)
            assert both.theirs() == [], name
        else:
            both.real("up", "--yes")
            assert both.ours() == [], name
        assert "pending_operations" not in both.checkpoint["checkpoint"]["latest"], name
        assert both.things_alive(), name

    both.set(**{**settings, "kind": "k3"})
    assert "marked for protection" in both.real("preview", check=False)
    with pytest.raises(EngineError, match="FI606"):
        both.engine.preview(both.ref)


def test_a_fresh_stack_has_the_same_state_whoever_made_it_and_each_destroys_the_other_one(both: Both) -> None:
    """State files differ only in ids, times and ciphertext; both ways of destroying leave nothing."""
    ours, theirs = both.named("ours"), both.named("theirs")
    ours.engine.up(ours.ref)
    theirs.real("stack", "init")
    theirs.real("up", "--yes")
    mine, others = ours.comparable(), theirs.comparable()
    assert mine.keys() == others.keys()
    for urn in mine:
        assert mine[urn] == others[urn]
    assert [short_urn(r) for r in sorted(mine)] == [short_urn(r) for r in sorted(others)]

    assert ours.cli.outputs(cwd=ours.project, stack="ours", show_secrets=True).keys() == {
        "secret", "token", "arn", "stash", "n", "f", "big", "unicode",
    }  # fmt: skip
    revealed = ours.cli.outputs(cwd=ours.project, stack="ours", show_secrets=True)
    assert revealed == ours.engine.outputs(ours.ref, show_secrets=True)
    assert revealed["secret"] == {"a": [1, "two"]}
    assert '"result": "succeeded"' in ours.real("stack", "history", "--json")

    ours.real("destroy", "--yes")
    theirs.engine.destroy(theirs.ref)
    assert list(both.cloud.iterdir()) == []
    assert ours.resources() == []
    assert theirs.resources() == []
    theirs.real("stack", "rm", "--yes")


def test_a_replacement_that_one_could_not_complete_is_completed_by_the_other_one(both: Both) -> None:
    """Deleted, and the creation failed: both record it as a pending replacement, and both go on from there."""
    for first, second in (("ours", "theirs"), ("theirs", "ours")):
        named = both.named(first)
        both.set(parts=["replaced"])
        named.engine.up(named.ref)
        both.set(parts=["replaced"], kind="k2", fail=True)
        if first == "ours":
            with pytest.raises(EngineError, match="FI604"):
                named.engine.up(named.ref)
        else:
            named.real("up", "--yes", check=False)
        assert [r.get("pendingReplacement") for r in named.resources() if r["urn"].endswith("::r")] == [True]
        both.set(parts=["replaced"], kind="k2")
        if second == "theirs":
            named.real("up", "--yes")
            assert named.ours() == []
        else:
            assert [op for op, _ in named.ours()] == ["replace"]
            named.engine.up(named.ref)
            assert named.theirs() == []
        assert not any(r.get("pendingReplacement") for r in named.resources())


def short_urn(urn: str) -> str:
    return urn.rpartition("::")[2]
