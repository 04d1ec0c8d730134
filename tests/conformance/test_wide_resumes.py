"""Runs with many items, of which nearly all are taken over."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.backends import FORK, Observed
from conformance.stored import Stored
from flowinfra.runtime.artifacts import encode_all
from flowinfra.runtime.lineage import TaskRef
from flowinfra.runtime.rundata import CommitValue
from flowinfra.wire import blob_key

FLOW = """
from flowinfra import FlowSpec, Parameter, step

class Wide(FlowSpec):
    n = Parameter(default=1, type=int)

    @step
    def start(self):
        self.items = list(range(self.n))
        self.next(self.each, foreach="items")

    @step
    def each(self):
        self.twice = self.input * 2
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(i.twice for i in inputs)
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def origin(folder: Path, items: int, *, without: set[int]) -> Path:
    """A flow file, and a run r1 of it in which all items but some have committed; its documents are written here."""
    file = folder / "wide_flow.py"
    file.write_text(FLOW)
    stored = Stored.put(file, "Wide", folder).started({"n": items})

    def commit(step: str, task: str, *parents: TaskRef, control: list[int] | None = None, **values: object) -> None:
        refs = encode_all(
            {"n": items, "items": list(range(items)), **values},
            step,
            lambda blob, data: stored.store.put_content(blob_key("Wide", blob), data),
        )
        stored.data.create_commit(step, task, CommitValue(refs, parents, "0-x", control is not None, control))

    commit("start", "0", control=list(range(items)))
    for n in range(items):
        if n not in without:
            commit("each", f"0.{n}", TaskRef("start", "0"), twice=n * 2)
    return file


def kinds(observed: Observed, kind: str) -> list[str]:
    """The tasks of the events of one kind, in order."""
    return [f"{e['step']}/{e['task']}" for e in observed.events if e["kind"] == kind]


def test_three_of_a_thousand_items_are_run(tmp_path: Path) -> None:
    """No process is started for the others and nothing of theirs is copied; the first one need not wait for them."""
    file = origin(tmp_path, 1000, without={3, 500, 999})
    before = len(list((tmp_path / "store" / "blobs").rglob("*")))
    observed = FORK.run_flow(file, "Wide", tmp_path, run="r2", origin="r1", parameters={"n": 1000})
    assert observed.state == "succeeded", observed.error
    assert sorted(kinds(observed, "task_started")) == ["each/0.3", "each/0.500", "each/0.999", "end/0", "join/0"]
    assert sorted(observed.trace()) == ["each@0.3@0", "each@0.500@0", "each@0.999@0", "end@0@0", "join@0@0"]
    assert len(kinds(observed, "task_reused")) == 998
    assert observed.artifacts("end@0")["total"] == 2 * sum(range(1000))
    # Three items; the total is the one value more.
    assert len(list((tmp_path / "store" / "blobs").rglob("*"))) <= before + 4
    order = [(e["kind"], e.get("task")) for e in observed.events]
    assert order.index(("task_started", "0.3")) < order.index(("task_reused", "0.998"))


def test_items_that_run_do_not_stop_the_others_from_being_taken_over(tmp_path: Path) -> None:
    """One worker that is busy with the first item is no reason to wait with the rest."""
    file = origin(tmp_path, 40, without={0})
    file.write_text(FLOW.replace("self.twice", "import time; time.sleep(0.5); self.twice"))
    observed = FORK.run_flow(file, "Wide", tmp_path, run="r2", origin="r1", max_workers=1, parameters={"n": 40})
    assert observed.state == "succeeded", observed.error
    order = [(e["kind"], e.get("task")) for e in observed.events]
    assert order.index(("task_reused", "0.39")) < order.index(("task_ended", "0.0"))


@pytest.mark.parametrize("seconds", [0.001, 0.05, 0.12, 0.2, 0.3])
def test_a_resumed_run_that_is_ended_in_the_middle_is_resumed(tmp_path: Path, seconds: float) -> None:
    """Wherever it is ended, the next run takes over what this one has, and has the same data."""
    file = origin(tmp_path, 200, without={3, 100})
    FORK.run_flow(file, "Wide", tmp_path, run="r2", origin="r1", parameters={"n": 200}, timeout_seconds=seconds)
    observed = FORK.run_flow(file, "Wide", tmp_path, run="r3", origin="r2", parameters={"n": 200})
    assert observed.state == "succeeded", observed.error
    assert {f"each/0.{n}" for n in (3, 100)} >= set(kinds(observed, "task_started")) - {"join/0", "end/0"}
    assert observed.artifacts("end@0")["total"] == 2 * sum(range(200))
    assert all(
        observed.commit(f"each@0.{n}").origin in ("", f"Wide/r1/each/0.{n}", f"Wide/r2/each/0.{n}") for n in range(200)
    )
