"""Which tasks a resumed run takes over, decided on documents in memory."""

from __future__ import annotations

import json
import random
import select
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.canonical import canonical_json, sha256_hex
from flowinfra.diagnostics import PackagingError
from flowinfra.packaging.store import Store
from flowinfra.runtime.artifacts import encode_all
from flowinfra.runtime.lineage import Lineage, TaskRef
from flowinfra.runtime.reuse import Origin, Reuse, Taken, Taker, steps_changed
from flowinfra.runtime.rundata import CommitValue, RunData
from flowinfra.runtime.scheduler import RAN_HERE, UNLIMITED, Outcome, Scheduler, TaskAttempt
from flowinfra.runtime.task import Prepared
from flowinfra.wire import WIRE_VERSION, blob_key, release_key, run_key
from strategies import Tree, trees
from support.walk import Place, Walk, program_of


def task(step: str) -> dict[str, Any]:
    return {"kind": "task", "step": step}


def prepared(program: Mapping[str, Any], *parameters: Mapping[str, Any]) -> Prepared:
    """A release with that program."""
    steps = [b["step"] for blocks in program["sequences"] for b in blocks if "step" in b]
    graph = {"name": "F", "steps": [{"name": name} for name in steps], "parameters": list(parameters)}
    release = {"wire": WIRE_VERSION, "graph": graph, "program": program}
    return Prepared.of(sha256_hex(canonical_json(release)), release)


LINE = {"sequences": [[task("a"), task("b"), task("c")]]}
SWITCH = {
    "sequences": [
        [task("a"), {"kind": "choice", "on": "answer", "cases": {"yes": 1, "no": 2}}, task("c")],
        [task("b")],
        [task("d")],
    ]
}
FOREACH = {"sequences": [[task("a"), {"kind": "map", "body": 1, "over": "items"}, task("c")], [task("b")]]}


class Resumed:
    """A run that is resumed, in memory."""

    def __init__(self, plan: Prepared, *, keep_release: bool = True) -> None:
        self.store = Store.open("memory://")
        self.plan = plan
        self.data = RunData(self.store, "F", "r1")
        self.store.put(run_key("F", "r1", "run.json"), canonical_json({"release": plan.digest}))
        if keep_release:
            self.store.put(release_key(plan.digest), canonical_json(plan.release))

    def commit(self, step: str, name: str = "0", *parents: TaskRef, **values: Any) -> CommitValue:
        """Let a task have committed *values*; what it has decided is the value ``control``."""
        decides = "control" in values
        control = values.pop("control", None)
        refs = encode_all(values, step, lambda blob, data: self.store.put(blob_key("F", blob), data))
        commit = CommitValue(refs, parents, "0-x", decides, control)
        assert self.data.create_commit(step, name, commit)
        return commit

    def reuse(self, plan: Prepared | None = None, parameters: Mapping[str, Any] | None = None, **more: Any) -> Reuse:
        """What a run with the id r2 takes over."""
        return Reuse.of(RunData(self.store, "F", "r2"), plan or self.plan, parameters or {}, "r1", **more)


def test_a_commit_is_copied_and_names_the_task_that_ran() -> None:
    """The copy has the same values and parents; of a copy of a copy the origin is still the one that ran."""
    origin = Resumed(prepared(LINE))
    commit = origin.commit("a", x=[1, 2])
    assert origin.reuse().take("a", "0") == Taken()
    copy = RunData(origin.store, "F", "r2").commit("a", "0")
    assert (copy.artifacts, copy.parents, copy.attempt) == (commit.artifacts, commit.parents, commit.attempt)
    assert copy.origin == "F/r1/a/0"
    origin.store.put(run_key("F", "r2", "run.json"), canonical_json({"release": origin.plan.digest}))
    again = Reuse.of(RunData(origin.store, "F", "r3"), origin.plan, {}, "r2")
    assert again.take("a", "0") == Taken(None, 1)
    assert RunData(origin.store, "F", "r3").commit("a", "0").origin == "F/r1/a/0"


def test_what_the_origin_had_not_taken_over_yet_comes_from_its_own() -> None:
    """As far back as all that it builds on; not of steps that the origin was asked to run again."""
    first = Resumed(prepared(LINE))
    for step, parents in (("a", ()), ("b", (TaskRef("a", "0"),)), ("c", (TaskRef("b", "0"),))):
        first.commit(step, "0", *parents)
    document = {"release": first.plan.digest, "origin": "r1", "rerun": ["c"]}
    first.store.put(run_key("F", "r2", "run.json"), canonical_json(document))
    second = Reuse.of(RunData(first.store, "F", "r2"), first.plan, {}, "r1", {"c"})
    assert second.take("a", "0") == Taken(None, 0)
    third = Reuse.of(RunData(first.store, "F", "r3"), first.plan, {}, "r2")
    assert third.take("a", "0") == Taken(None, 1)
    assert third.take("b", "0", 0) is None
    assert third.take("b", "0", 1) == Taken(None, 1)
    assert third.take("c", "0", 1) is None


def test_decisions_come_with_their_copies_for_others() -> None:
    """What a task has decided is told to the scheduler, and lies where tasks behind it look for it."""
    origin = Resumed(prepared(SWITCH))
    origin.commit("a", answer="yes", control="yes")
    assert origin.reuse().take("a", "0") == Taken("yes")
    assert RunData(origin.store, "F", "r2").control("a", "0") == "yes"


def test_what_has_not_committed_or_is_asked_for_is_run() -> None:
    """Neither a task without a commit nor one of a step that shall be run again is taken over."""
    origin = Resumed(prepared(LINE))
    origin.commit("a")
    assert origin.reuse().take("b", "0") is None
    assert origin.reuse(rerun={"a"}).take("a", "0") is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"artifacts": {}}', b'{"artifacts": {"x": 3}}', b"\xff"])
def test_a_damaged_commit_is_run_again(data: bytes) -> None:
    """What cannot be read was not committed, and whoever watches is told."""
    origin = Resumed(prepared(LINE))
    origin.store.put(origin.data.task_key("a", "0", "artifacts.json"), data)
    reuse = origin.reuse()
    assert reuse.take("a", "0") is None
    assert list(reuse.notes) == ["a/0 cannot be taken over from the run r1: what it has committed cannot be read"]


def test_a_task_whose_values_are_gone_is_run_again() -> None:
    """A blob that was removed cannot be shared; whoever watches is told."""
    origin = Resumed(prepared(LINE))
    ref = origin.commit("a", x=[1], y=[2]).artifacts["y"]
    origin.store.delete(blob_key("F", ref.blob))
    reuse = origin.reuse()
    assert reuse.take("a", "0") is None
    assert list(reuse.notes) == [
        "a/0 cannot be taken over from the run r1: values that it has left are not in the store any more"
    ]


def test_a_step_that_is_caught_now_is_taken_over() -> None:
    """It has not failed, so what would hold its failure holds None."""
    plan = prepared(LINE)
    origin = Resumed(plan)
    origin.commit("a", x=1)
    graph = plan.release["graph"]
    steps = [{**node, "policy": {"catch": {"var": "oops"}}} for node in graph["steps"]]
    caught = Prepared.of("0" * 64, {**plan.release, "graph": {**graph, "steps": steps}})
    assert origin.reuse(caught).take("a", "0") == Taken()
    ref = RunData(origin.store, "F", "r2").commit("a", "0").artifacts["oops"]
    assert origin.store.get(blob_key("F", ref.blob)) == b"null"


def test_ten_tasks_are_named_and_not_ten_thousand() -> None:
    """Of more tasks that cannot be taken over it is said that there are some."""
    origin = Resumed(prepared(FOREACH))
    reuse = origin.reuse()
    for n in range(30):
        origin.store.put(origin.data.task_key("b", f"0.{n}", "artifacts.json"), b"{")
        assert reuse.take("b", f"0.{n}") is None
    assert len(reuse.notes) == 11
    assert reuse.notes[-1] == "so it is with further tasks of the run r1"


def test_a_new_parameter_is_added_to_what_is_taken_over() -> None:
    """With its value of this run; where only a task can make the value, the task is run."""
    fixed = {"name": "rate", "attribute": "rate", "type": "float", "default": 2}
    origin = Resumed(prepared(LINE))
    origin.commit("a", x=1)
    assert origin.reuse(prepared(LINE, fixed), {"rate": 2}).take("a", "0") == Taken()
    added = RunData(origin.store, "F", "r2").commit("a", "0").artifacts["rate"]
    assert json.loads(origin.store.get(blob_key("F", added.blob))) == 2.0
    computed = {"name": "day", "attribute": "day", "type": "str", "computed_default": True}
    assert origin.reuse(prepared(LINE, computed), {}).take("a", "0") is None


@pytest.mark.parametrize("keep_release", [True, False])
def test_another_program_takes_over_what_has_the_same_parents(keep_release: bool) -> None:
    """A step that was put in between is no reason to run those before it again; also if the old release is gone."""
    origin = Resumed(prepared(LINE), keep_release=keep_release)
    origin.commit("a")
    origin.commit("b", "0", TaskRef("a", "0"))
    origin.commit("c", "0", TaskRef("b", "0"))
    longer = prepared({"sequences": [[task("a"), task("b"), task("new"), task("c")]]})
    reuse = origin.reuse(longer)
    assert [reuse.take(step, "0") for step in ("a", "b", "new", "c")] == [Taken(), Taken(), None, None]


@pytest.mark.parametrize(
    ("before", "now", "values"),
    [
        (LINE, SWITCH, {}),
        (SWITCH, LINE, {"answer": "yes", "control": "yes"}),
        (FOREACH, SWITCH, {"items": ["yes"], "control": [0]}),
        (FOREACH, {"sequences": [[task("a"), {**FOREACH["sequences"][0][1], "over": "others"}, task("c")], [task("b")]]},
         {"items": [1], "others": [1, 2], "control": [0]}),
        (SWITCH, {"sequences": [[task("a"), {"kind": "choice", "on": "answer", "cases": {"no": 1}}, task("c")], [task("b")]]},
         {"answer": "yes", "control": "yes"}),
    ],
)  # fmt: skip
def test_a_task_that_decides_in_another_way_now_is_run_again(before: Any, now: Any, values: dict[str, Any]) -> None:
    """Another kind of decision, another list of items, a case that is gone."""
    origin = Resumed(prepared(before))
    origin.commit("a", **values)
    assert origin.reuse(prepared(now)).take("a", "0") is None


def test_the_steps_whose_code_has_changed() -> None:
    """Those with another digest, and new ones."""
    before = [
        {"name": "a", "code_digest": "1"},
        {"name": "b", "code_digest": "2"},
        {"name": "gone", "code_digest": "3"},
    ]
    now = [{"name": "a", "code_digest": "1"}, {"name": "b", "code_digest": "x"}, {"name": "new", "code_digest": "4"}]
    assert steps_changed(before, now) == {"b", "new"}


def test_a_store_that_fails_is_no_reason_to_run_everything(tmp_path: Path) -> None:
    """The loop gets the error; nothing is left running."""
    store = Store.open(str(tmp_path))
    plan = prepared(LINE)
    origin = RunData(store, "F", "r1")
    loop = tmp_path / origin.task_key("b", "0", "artifacts.json")
    loop.parent.mkdir(parents=True)
    loop.symlink_to(loop)
    taker = Taker(Reuse(RunData(store, "F", "r2"), plan, {}, [Origin(origin, plan)]))
    try:
        taker.ask(TaskAttempt("b", "0", 0))
        select.select([taker], [], [], 60)
        with pytest.raises(PackagingError, match="FI403"):
            taker.answers()
    finally:
        taker.close()


def test_taker_answers_for_all_that_it_was_asked() -> None:
    """In whatever order; what was asked for and not begun when it closes is left."""
    origin = Resumed(prepared(FOREACH))
    for n in range(0, 50, 2):
        origin.commit("b", f"0.{n}", TaskRef("a", "0"), n=n)
    taker = Taker(origin.reuse())
    for n in range(50):
        taker.ask(TaskAttempt("b", f"0.{n}", 0))
    found: dict[str, bool] = {}
    while len(found) < 50:
        found |= {attempt.task: taken is not None for attempt, taken in taker.answers()}
    assert found == {f"0.{n}": n % 2 == 0 for n in range(50)}
    assert not taker.full
    for n in range(64):
        taker.ask(TaskAttempt("b", f"0.{n}", 0))
    assert taker.full
    taker.close()


@given(trees(), st.integers(0, 10**6), st.integers(1, 5), st.randoms(use_true_random=False), st.data())
def test_reach_is_that_of_all_that_a_task_builds_on(
    tree: Tree, seed: int, workers: int, rng: random.Random, data: st.DataObject
) -> None:
    """Whatever ends first, a task may be taken over from as far back as everything that it builds on was."""
    walk = Walk(program_of(tree), seed)
    lineage = Lineage(walk.program)
    scheduler = Scheduler(walk.program, {})
    back = {place: data.draw(st.sampled_from([2, 2, 2, 1, 0, RAN_HERE])) for place in walk.parents}
    reach: dict[Place, int] = {}
    running: list[TaskAttempt] = []
    while not scheduler.ended:
        while len(running) < workers and (attempt := scheduler.next_task(0.0)) is not None:
            place = (attempt.step, attempt.task)
            before: list[Place] = list(walk.parents[place])
            if not before and lineage.joins(attempt.step):
                before = [tuple(lineage.opener(*place))]
            assert attempt.reach == min((reach[one] for one in before), default=UNLIMITED)
            reach[place] = min(attempt.reach, back[place])
            running.append(attempt)
        ended = running.pop(rng.randrange(len(running)))
        place = (ended.step, ended.task)
        outcome = Outcome.SUCCEEDED if reach[place] == RAN_HERE else Outcome.REUSED
        scheduler.finished(ended, outcome, 0.0, walk.control.get(place), reach[place])
    assert scheduler.succeeded
