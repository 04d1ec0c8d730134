"""A run's events, added up and as lines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.cli.console import Console
from flowinfra.cli.views.duration import duration
from flowinfra.cli.views.live import _mark
from flowinfra.cli.views.run import Lines, Progress, StepCount, ending_text
from flowinfra.cli.views.runs import lines_text
from flowinfra.cli.views.table import table
from flowinfra.control.report import RunLine
from flowinfra.model.states import RunState
from flowinfra.runtime.events import Event, Note, RunEnded, TaskEnded, TaskLine, TaskRetry, TaskReused, TaskStarted

PLAIN = Console(color="never")


class Clock:
    """Tells the seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def started(task: str, step: str = "work") -> TaskStarted:
    return TaskStarted(step, task, "0")


def ended(task: str, outcome: str = "succeeded", step: str = "work", message: str = "") -> TaskEnded:
    return TaskEnded(step, task, "0", outcome, 0.5, 1000, message)


def test_tasks_are_counted_by_how_they_end() -> None:
    """Running, done, failed, stopped, repeated; a repeated failure is no failure of the task."""
    clock = Clock()
    progress = Progress(["start", "work", "end"], clock)
    events: list[Event] = [started("0.0"), started("0.1"), started("0.2"), started("0.3"), ended("0.0")]
    events += [ended("0.1", "failed"), TaskRetry("work", "0.1", "1", 0), started("0.1"), ended("0.2", "stopped")]
    for event in events:
        clock.now += 1
        progress.add(event)
    assert progress.rows() == [
        ("work", StepCount(running=2, done=1, failed=0, stopped=1, retries=1, begun=1.0, ended=9.0))
    ]
    assert (progress.tasks, progress.retries) == (1, 1)


def test_a_step_has_a_tick_only_when_its_tasks_are_done() -> None:
    """One that waits for its next attempt, or that was stopped, is shown as that; green is for what has succeeded."""
    progress = Progress(["work"])
    marks = []
    for event in (started("0"), ended("0", "failed"), TaskRetry("work", "0", "1", 3600), started("0"), ended("0")):
        progress.add(event)
        marks.append(_mark(progress.steps["work"])[0])
    progress.add(started("1"))
    progress.add(ended("1", "stopped"))
    assert marks == ["✓", "✗", "↻", "✓", "✓"]  # while something runs, the row turns a wheel instead
    assert _mark(progress.steps["work"]) == ("■", "yellow")


def test_a_caught_failure_is_no_retry() -> None:
    """The fallback of @catch takes the place of the failed attempt, and counts as done."""
    progress = Progress(["work"])
    for event in (started("0"), ended("0", "failed"), TaskRetry("work", "0", "fallback", 0), started("0"), ended("0")):
        progress.add(event)
    assert (progress.tasks, progress.retries, progress.steps["work"].failed) == (1, 0, 0)


def test_rows_are_in_the_order_of_the_flow() -> None:
    """Whatever begins first; a step that the order does not know comes last."""
    progress = Progress(["a", "b", "c"])
    for step in ("x", "c", "a"):
        progress.add(started("0", step))
    assert [name for name, _ in progress.rows()] == ["a", "c", "x"]


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """What tasks print goes where they print it; failures, repetitions and notes are lines on stderr."""
    with Lines(PLAIN, Progress(["work"])) as show:
        for event in (
            started("0.1"),
            TaskLine("out", "hello", "work", "0.1", "0"),
            TaskLine("err", "oh", "work", "0.1", "0"),
            ended("0.1", "failed", message="ValueError: no"),
            TaskRetry("work", "0.1", "1", 90.0),
            Note("logs cannot be kept"),
            started("0.1"),
            ended("0.1", "timed_out"),
            TaskRetry("work", "0.1", "fallback", 0),
            started("0.1"),
            ended("0.1"),
        ):
            show(event)
    printed = capsys.readouterr()
    assert printed.out == "[work 0.1] hello\n"
    assert printed.err.splitlines() == [
        "[work 0.1] oh",
        "[work 0.1] failed after 0.5 s",
        "[work 0.1] is repeated in 1 min 30 s: attempt 1",
        "note: logs cannot be kept",
        "[work 0.1] timed out after 0.5 s",
        "[work 0.1] has failed; @catch lets the run go on",
        "[work 0.1] done in 0.5 s",
    ]


def test_lines_without_output_say_why_a_task_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """Who does not see what tasks print is told the reason with the failure."""
    show = Lines(PLAIN, Progress(["work"]), output=False)
    for event in (
        started("0"),
        TaskLine("out", "hello", "work", "0", "0"),
        ended("0", "failed", message="ValueError: no"),
    ):
        show(event)
    assert capsys.readouterr() == ("", "[work 0] failed after 0.5 s: ValueError: no\n")


def test_tasks_that_were_taken_over(capsys: pytest.CaptureFixture[str]) -> None:
    """The first ten have a line each, then every tenfold has one; they are no tasks that were run, and cannot fail."""
    clock = Clock()
    progress = Progress(["start", "work"], clock)
    show = Lines(PLAIN, progress)
    for event in (TaskReused("start", "0"), *(TaskReused("work", f"0.{n}") for n in range(150)), ended("0.150")):
        clock.now += 1
        show(event)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["[start 0] taken over", "[work 0.0] taken over"]
    assert lines[10:] == ["[work 0.9] taken over", "[work] 100 tasks are taken over", "[work 0.150] done in 0.5 s"]
    assert progress.rows()[0] == ("start", StepCount(reused=1, begun=1.0, ended=1.0))
    assert (progress.tasks, progress.reused) == (1, 151)
    text = ending_text("F", "r", RunEnded("failed", 2), progress, PLAIN, resume="flowinfra resume f.py")
    assert text.splitlines() == [
        "F failed after 2.0 s (1 task, 151 taken over)",
        "  results  flowinfra show F/r",
        "  logs     flowinfra logs F/r",
        "  resume   flowinfra resume f.py",
    ]
    assert "resume" not in ending_text("F", "r", RunEnded("succeeded", 2), progress, PLAIN, resume="flowinfra resume")


def test_the_ending_of_a_failure_of_ours_is_the_diagnostic() -> None:
    """A diagnostic is printed as it is, over several lines, without the name of a class in front."""
    failure = {
        "step": "work",
        "task": "0",
        "type": "RunError",
        "message": "error FI703: no list\n  hint: x",
        "code": "FI703",
    }
    text = ending_text("F", "r", RunEnded("failed", 0.2, failure), Progress([]), PLAIN)
    assert text.splitlines() == [
        "F failed after 0.2 s (0 tasks)",
        "  work 0: error FI703: no list",
        "    hint: x",
        "  results  flowinfra show F/r",
        "  logs     flowinfra logs F/r --step work --task 0",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """Two units at most."""
    assert duration(seconds) == text


@given(st.floats(min_value=0, max_value=1e7))
def test_no_duration_says_sixty_of_a_unit(seconds: float) -> None:
    """Rounding never leaves 60 s or 60 min or 24 h."""
    text = duration(seconds)
    assert not any(word in f" {text} " for word in (" 60 s ", " 60 min ", " 24 h "))


def test_a_table_is_aligned_without_its_colours() -> None:
    """Widths are of the text that is seen; the last column has no blanks behind it."""
    text = table(("A", "LONG"), [("x", "1"), ("yyy", "")], Console(color="always"), lambda _, cell: f"<{cell}>")
    assert text == "\x1b[1mA    LONG\x1b[0m\n<x  >  <1   >\n<yyy>  <    >\n"


def test_the_stack_has_a_column_where_a_run_has_one() -> None:
    """Runs of several stacks are told apart; a checkout without stacks is not bothered with an empty column."""
    direct = RunLine("F", "1", "", RunState.SUCCEEDED, "succeeded", datetime.now(UTC), 1.0, (), "")
    deployed = replace(direct, deployment="F/d", stack="prod")
    assert "STACK" not in lines_text([direct], Console(color="never"))
    text = lines_text([direct, deployed], Console(color="never"))
    assert [line.split()[:4] for line in text.splitlines()] == [
        ["RUN", "DEPLOYMENT", "STACK", "STATE"],
        ["F/1", "-", "-", "succeeded"],
        ["F/1", "d", "prod", "succeeded"],
    ]
