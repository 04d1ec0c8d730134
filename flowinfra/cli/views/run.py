"""A run while it runs: what its events add up to, and lines for whoever does not watch a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self, TextIO

from flowinfra.cli.console import Console, emit
from flowinfra.cli.views.duration import duration
from flowinfra.runtime.events import Event, Note, RunEnded, TaskEnded, TaskLine, TaskRetry, TaskReused, TaskStarted
from flowinfra.wire import FALLBACK

__all__ = ["Lines", "Progress", "Silent", "StepCount", "Watcher", "ending_text", "run_json"]

_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "succeeded": ("succeeded", "green"),
    "failed": ("failed", "red"),
    "timed_out": ("timed out", "red"),
    "stopped": ("was stopped", "yellow"),
}
_ENDINGS: Final[Mapping[str, str]] = {"timed_out": "timed out", "stopped": "stopped", "fatal": "failed"}
_SINGLY: Final = 10  # so many tasks of a step get a line each


class Watcher(Protocol):
    """Shows a run to its user."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(self, *_: object) -> None:
        """Leave the screen as it shall stay."""
        ...

    def __call__(self, event: Event) -> None:
        """Show what has happened."""
        ...


@dataclass(slots=True)
class StepCount:
    """How far a step is.

    Attributes:
        running: tasks that run now.
        done: tasks that have ended well.
        reused: tasks that were taken over from the run that this one resumes.
        failed: tasks whose last attempt has failed.
        stopped: tasks that were stopped.
        retries: attempts that were repeated.
        repeating: tasks that wait for their next attempt.
        begun: when its first task began, by the clock of :class:`Progress`.
        ended: when its last task ended so far.
    """

    running: int = 0
    done: int = 0
    reused: int = 0
    failed: int = 0
    stopped: int = 0
    retries: int = 0
    repeating: set[str] = field(default_factory=set)
    begun: float = 0.0
    ended: float = 0.0


@dataclass(slots=True)
class Progress:
    """What the events of a run add up to.

    Attributes:
        order: the steps as a run comes to them.
        clock: tells seconds.
        steps: those that have begun.
        started: when the run started.
    """

    order: Sequence[str]
    clock: Callable[[], float] = time.monotonic
    steps: dict[str, StepCount] = field(default_factory=dict)
    started: float = 0.0

    def __post_init__(self) -> None:
        self.started = self.clock()

    def add(self, event: Event) -> None:
        """Count *event*."""
        match event:
            case TaskStarted(step=step, task=task):
                now = self.clock()
                count = self.steps.setdefault(step, StepCount(begun=now, ended=now))
                count.running += 1
                count.repeating.discard(task)
            case TaskReused(step=step):
                now = self.clock()
                count = self.steps.setdefault(step, StepCount(begun=now))
                count.reused += 1
                count.ended = now
            case TaskEnded(step=step, outcome=outcome):
                count = self.steps.setdefault(step, StepCount(running=1))
                count.running -= 1
                count.ended = self.clock()
                if outcome == "succeeded":
                    count.done += 1
                elif outcome == "stopped":
                    count.stopped += 1
                else:
                    count.failed += 1
            case TaskRetry(step=step, task=task, attempt=attempt):
                count = self.steps[step]
                count.failed -= 1
                count.repeating.add(task)
                count.retries += attempt != FALLBACK
            case _:
                pass

    def rows(self) -> list[tuple[str, StepCount]]:
        """The steps that have begun, in the order of the flow."""
        known = [name for name in self.order if name in self.steps]
        return [(name, self.steps[name]) for name in [*known, *(n for n in self.steps if n not in known)]]

    @property
    def tasks(self) -> int:
        """How many tasks have ended well."""
        return sum(count.done for count in self.steps.values())

    @property
    def reused(self) -> int:
        """How many tasks were taken over."""
        return sum(count.reused for count in self.steps.values())

    @property
    def retries(self) -> int:
        """How many attempts were repeated."""
        return sum(count.retries for count in self.steps.values())


class Silent:
    """Shows nothing: whoever asked for JSON gets the end only, with what happened until then."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self, event: Event) -> None:
        """Count *event*."""
        self._progress.add(event)


class Lines:
    """One line per thing that happens; of a step with many tasks only the first ones, and then every tenfold.

    What tasks print goes to the stream that they print it to, each line with its task in front.
    """

    def __init__(
        self, console: Console, progress: Progress, *, output: bool = True, stream: TextIO | None = None
    ) -> None:
        """*output* says whether what tasks print is shown; *stream* is where the lines go (default: stderr)."""
        self._stream = stream
        self._console = console
        self._progress = progress
        self._output = output

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self, event: Event) -> None:
        """Print *event*."""
        self._progress.add(event)
        if isinstance(event, TaskLine):
            if self._output:
                self._print(event)
            return
        text = self._text(event)
        if text:
            emit(self._stream or sys.stderr, f"{text}\n")

    def _print(self, line: TaskLine) -> None:
        stream = sys.stderr if line.stream == "err" else sys.stdout
        emit(stream, f"{prefix(line, self._console, stream)} {line.text}\n")

    def _text(self, event: Event) -> str:
        style = self._console.style
        match event:
            case TaskEnded(outcome="succeeded"):
                done = self._progress.steps[event.step].done
                return self._counted(event, done, f"done in {duration(event.seconds)}", "tasks are done")
            case TaskReused():
                reused = self._progress.steps[event.step].reused
                return self._counted(event, reused, "taken over", "tasks are taken over")
            case TaskEnded():
                ending = _ENDINGS.get(event.outcome, event.outcome)
                text = f"{_name(event)} {ending} after {duration(event.seconds)}"
                if event.message and not self._output:  # else it was printed just before
                    text += f": {event.message}"
                return style(text, "red", stream=sys.stderr)
            case TaskRetry(attempt="fallback"):
                return style(f"{_name(event)} has failed; @catch lets the run go on", "yellow", stream=sys.stderr)
            case TaskRetry():
                after = f" in {duration(event.delay_seconds)}" if event.delay_seconds else ""
                return style(f"{_name(event)} is repeated{after}: attempt {event.attempt}", "yellow", stream=sys.stderr)
            case Note():
                return style(f"note: {event.text}", "yellow", stream=sys.stderr)
            case _:
                return ""

    def _counted(self, event: TaskEnded | TaskReused, number: int, one: str, many: str) -> str:
        if number <= _SINGLY:
            return self._console.style(f"{_name(event)} {one}", "dim", stream=sys.stderr)
        if str(number).strip("0") == "1":
            return self._console.style(f"[{event.step}] {number:,} {many}", "dim", stream=sys.stderr)
        return ""


def prefix(line: TaskLine, console: Console, stream: Any) -> str:
    """``[step 0.2]`` in front of what a task prints."""
    return console.style(_name(line), "cyan", stream=stream)


def _name(event: TaskEnded | TaskRetry | TaskReused | TaskLine) -> str:
    return f"[{event.step} {event.task}]"


def ending_text(
    flow: str, run: str, ended: RunEnded, progress: Progress, console: Console, *, result: str = "", resume: str = ""
) -> str:
    """How a run ended, and what to type next.

    Args:
        flow: the flow's name.
        run: the run's id.
        ended: the end.
        progress: what happened until then.
        console: where it is printed.
        result: the pathspec of what the run was about (default: the run itself).
        resume: the command that goes on with it, where one can.
    """
    word, color = _WORDS.get(ended.state, (ended.state, "yellow"))
    counts = [_counted(progress.tasks, "task")]
    if progress.reused:
        counts.append(f"{progress.reused:,} taken over")
    if progress.retries:
        counts.append(_counted(progress.retries, "retry", "retries"))
    style = console.style
    head = style(f"{flow} {word}", color, "bold", stream=sys.stderr)
    lines = [f"{head} after {duration(ended.seconds)} ({', '.join(counts)})"]
    error = ended.error or {}
    pathspec = f"{flow}/{run}"
    logs = f"flowinfra logs {pathspec}"
    if error:
        place = f"{error['step']} {error['task']}: " if error.get("step") else ""
        said = str(error.get("message", ""))
        if not error.get("code"):  # a diagnostic says what it is
            said = f"{error.get('type', 'error')}: {said}".rstrip(": ")
        lines += [f"  {line}" for line in f"{place}{said}".splitlines()]
        if error.get("step"):
            logs += f" --step {error['step']} --task {error['task']}"
    lines += [f"  results  flowinfra show {result or pathspec}", f"  logs     {logs}"]
    if resume and ended.state != "succeeded":
        lines.append(f"  resume   {resume}")
    return "\n".join(lines)


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def run_json(flow: str, run: str, state: str, error: Mapping[str, Any] | None, **more: Any) -> dict[str, Any]:
    """How a run ended, as JSON."""
    return {"flow": flow, "run": run, "pathspec": f"{flow}/{run}", "state": state, **more, "error": error}
