from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.runtime.scheduler import Outcome, Policy, Scheduler, TaskAttempt, Verdict, policies_of
from strategies import Tree, trees
from support.walk import Walk, program_of


def task(step: str) -> dict[str, Any]:
    return {"kind": "task", "step": step}


def foreach(body: int, join: str, **more: Any) -> dict[str, Any]:
    return {"kind": "map", "body": body, "over": "xs", "join": join, **more}


def run(program: dict[str, Any], control: Any, workers: int, rng: random.Random) -> tuple[list[tuple[str, str]], int]:
    """Run a program with that many tasks at once, which end in any order; the order of starts, and the most held."""
    scheduler = Scheduler(program, {})
    started, running, most = [], [], 0
    while not scheduler.ended:
        while len(running) < workers and (attempt := scheduler.next_task(0.0)) is not None:
            started.append((attempt.step, attempt.task))
            running.append(attempt)
        most = max(most, scheduler.frames())
        ended = running.pop(rng.randrange(len(running)))
        value = control((ended.step, ended.task))
        assert scheduler.finished(ended, Outcome.SUCCEEDED, 0.0, value) is Verdict.DONE
    assert scheduler.succeeded
    return started, most


@given(trees(), st.integers(0, 10**6), st.integers(1, 5), st.randoms(use_true_random=False))
def test_every_task_runs_once_and_behind_its_parents(tree: Tree, seed: int, workers: int, rng: random.Random) -> None:
    """Whatever ends first, exactly the tasks of the walk are given out, each behind all of its parents."""
    walk = Walk(program_of(tree), seed)
    scheduler = Scheduler(walk.program, {})
    done: set[tuple[str, str]] = set()
    running: list[TaskAttempt] = []
    started: list[tuple[str, str]] = []
    while not scheduler.ended:
        while len(running) < workers and (attempt := scheduler.next_task(0.0)) is not None:
            place = (attempt.step, attempt.task)
            assert done.issuperset(walk.parents[place])
            started.append(place)
            running.append(attempt)
        ended = running.pop(rng.randrange(len(running)))
        done.add((ended.step, ended.task))
        scheduler.finished(ended, Outcome.SUCCEEDED, 0.0, walk.control.get((ended.step, ended.task)))
    assert sorted(started) == sorted(walk.parents)
    assert len(set(started)) == len(started)


def test_ten_thousand_items_are_not_held_in_memory() -> None:
    """What is held follows from how many tasks run at once, not from how many items there are."""
    program = {"sequences": [[task("start"), foreach(1, "j"), task("j")], [task("a"), task("b")]]}
    started, most = run(program, lambda place: range(10_000) if place[0] == "start" else None, 16, random.Random(1))
    assert len(started) == 20_002
    assert most <= 2 * 16 + 1


def test_nested_foreachs_open_one_inside_before_the_next_outside() -> None:
    """A hundred times a hundred items hold no more than what runs: begun items come first."""
    program = {
        "sequences": [[task("start"), foreach(1, "j"), task("j")], [task("a"), foreach(2, "k"), task("k")], [task("b")]]
    }
    sizes = {"start": range(100), "a": range(100)}
    started, most = run(program, lambda place: sizes.get(place[0]), 8, random.Random(2))
    assert len(started) == 1 + 100 * (1 + 100 + 1) + 1
    assert most <= 3 * 8 + 2


def test_max_concurrency_is_kept() -> None:
    """Of a foreach with a limit never more items are open, while others go on."""
    program = {"sequences": [[task("start"), foreach(1, "j", max_concurrency=3), task("j")], [task("a"), task("b")]]}
    scheduler = Scheduler(program, {})
    first = scheduler.next_task(0.0)
    assert first is not None
    scheduler.finished(first, Outcome.SUCCEEDED, 0.0, list(range(10)))
    given_out = [attempt for _ in range(10) if (attempt := scheduler.next_task(0.0)) is not None]
    assert [a.task for a in given_out] == ["0.0", "0.1", "0.2"]
    scheduler.finished(given_out[1], Outcome.SUCCEEDED, 0.0)
    following = scheduler.next_task(0.0)
    assert following is not None
    assert (following.step, following.task) == ("b", "0.1")
    assert scheduler.next_task(0.0) is None
    scheduler.finished(following, Outcome.SUCCEEDED, 0.0)
    opened = scheduler.next_task(0.0)
    assert opened is not None
    assert opened.task == "0.3"


LINE = {"sequences": [[task("a"), task("end")]]}


def started(scheduler: Scheduler, now: float = 0.0) -> TaskAttempt:
    attempt = scheduler.next_task(now)
    assert attempt is not None
    return attempt


def test_a_failed_attempt_is_repeated_after_its_pause() -> None:
    """Each pause is the one before times the backoff; nothing is given out before it is over."""
    scheduler = Scheduler(LINE, {"a": Policy(retries=2, delay=10, backoff=3, timeout=5)})
    first = started(scheduler)
    assert (first.name, first.timeout) == ("0", 5)
    assert scheduler.finished(first, Outcome.FAILED, 100.0) is Verdict.RETRY
    assert scheduler.wake_at() == 110.0
    assert scheduler.next_task(109.9) is None
    second = started(scheduler, 110.0)
    assert (second.name, second.timeout) == ("1", 5)
    assert scheduler.finished(second, Outcome.TIMED_OUT, 200.0) is Verdict.RETRY
    assert scheduler.wake_at() == 230.0
    third = started(scheduler, 230.0)
    assert scheduler.finished(third, Outcome.FAILED, 231.0) is Verdict.FAILED
    assert scheduler.ended
    assert scheduler.failed


def test_a_failure_that_would_only_happen_again_is_not_repeated() -> None:
    """An artifact that cannot be kept ends the run at once, however many retries there are."""
    scheduler = Scheduler(LINE, {"a": Policy(retries=5)})
    assert scheduler.finished(started(scheduler), Outcome.FATAL, 0.0) is Verdict.FAILED


def test_catch_gives_out_the_fallback_behind_the_last_attempt() -> None:
    """It has no timeout and no retry of its own; when it succeeds the flow goes on."""
    scheduler = Scheduler(LINE, {"a": Policy(retries=1, timeout=3, catch=True)})
    assert scheduler.finished(started(scheduler), Outcome.FAILED, 0.0) is Verdict.RETRY
    assert scheduler.finished(started(scheduler), Outcome.FAILED, 0.0) is Verdict.FALLBACK
    fallback = started(scheduler)
    assert (fallback.name, fallback.timeout) == ("fallback", None)
    assert scheduler.finished(fallback, Outcome.SUCCEEDED, 0.0) is Verdict.DONE
    assert started(scheduler).step == "end"


def test_a_fallback_that_fails_fails_the_run() -> None:
    """There is no second fallback."""
    scheduler = Scheduler(LINE, {"a": Policy(catch=True)})
    assert scheduler.finished(started(scheduler), Outcome.FAILED, 0.0) is Verdict.FALLBACK
    assert scheduler.finished(started(scheduler), Outcome.FAILED, 0.0) is Verdict.FAILED


def test_after_a_failure_nothing_is_given_out_and_siblings_are_awaited() -> None:
    """The run has ended only when the siblings that run have."""
    parallel = {"kind": "parallel", "branches": [1, 2, 3], "join": "j"}
    program = {"sequences": [[task("s"), parallel, task("j")], [task("a")], [task("b")], [task("c")]]}
    scheduler = Scheduler(program, {"b": Policy(retries=3, delay=1)})
    scheduler.finished(started(scheduler), Outcome.SUCCEEDED, 0.0)
    a, b = started(scheduler), started(scheduler)
    assert scheduler.finished(a, Outcome.FAILED, 0.0) is Verdict.FAILED
    assert scheduler.next_task(0.0) is None
    assert not scheduler.ended
    assert scheduler.finished(b, Outcome.STOPPED, 0.0) is Verdict.FAILED
    assert scheduler.ended
    assert not scheduler.succeeded


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED])
def test_a_cancelled_run_starts_nothing_more(outcome: Outcome) -> None:
    """What still ends well afterwards leads nowhere either."""
    scheduler = Scheduler(LINE, {"a": Policy(retries=3)})
    attempt = started(scheduler)
    scheduler.cancel()
    scheduler.finished(attempt, outcome, 0.0)
    assert scheduler.ended
    assert scheduler.next_task(1e9) is None
    assert not scheduler.succeeded


def test_policies_are_read_from_a_release() -> None:
    """Fields that equal their default are left out of a release."""
    graph = {
        "steps": [
            {"name": "a", "policy": {"retry": {"times": 2, "delay_seconds": 1.5}, "timeout_seconds": 9, "catch": {}}},
            {"name": "b"},
            {"name": "c", "policy": {"catch": {"var": "why"}}},
        ]
    }
    assert policies_of(graph) == {"a": Policy(2, 1.5, 1.0, 9, catch=True), "c": Policy(catch=True)}


def test_a_block_that_it_cannot_run_is_refused() -> None:
    """A dynamic graph needs another scheduler."""
    with pytest.raises(ValueError, match="driver"):
        Scheduler({"sequences": [[{"kind": "driver", "step": "a"}]]}, {})
