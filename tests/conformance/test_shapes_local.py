from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from conformance.backends import FORK, SPAWN, LocalBackend, Observed
from conformance.shapes import SHAPES, Shape

#: Starting an interpreter per task takes longer, and which shape it is makes no difference to how that is done.
SPAWNED = {"linear", "foreach", "loop in foreach, with exits", "catch", "timeout and retry", "failure in split"}

CASES = [
    *(pytest.param(FORK, shape, id=f"fork-{shape}") for shape in SHAPES),
    *(pytest.param(SPAWN, shape, id=f"spawn-{shape}") for shape in SHAPES if shape.name in SPAWNED),
]


def check(shape: Shape, observed: Observed) -> None:
    """Compare a run with what its shape demands."""
    assert observed.state == shape.state, observed.error
    assert observed.trace() == Counter(shape.trace)
    for place, expected in shape.artifacts.items():
        artifacts = observed.artifacts(place)
        assert {name: artifacts[name] for name in expected} == expected
    for path in shape.absent:
        place, _, name = path.rpartition(".")
        assert name not in observed.artifacts(place)
    assert {name: observed.error.get(name) for name in shape.error} == shape.error


@pytest.mark.parametrize(("backend", "shape"), CASES)
def test_a_shape_runs_as_it_demands(backend: LocalBackend, shape: Shape, tmp_path: Path) -> None:
    """Which tasks ran, how often, under which ids, and what data came out."""
    observed = backend.run(shape, tmp_path)
    check(shape, observed)
    assert [e["text"] for e in observed.events if e["kind"] == "note"] == []
    started = next(e for e in observed.events if e["kind"] == "run_started")
    assert started["method"] == backend.method
    ended = Counter(f"{e['step']}@{e['task']}@{e['attempt']}" for e in observed.events if e["kind"] == "task_ended")
    assert ended == Counter(shape.trace)
