"""What the tasks of a run have printed, also while they still print: each line once, none lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from flowinfra.control import missing
from flowinfra.control.client import Run
from flowinfra.control.listing import attempts_of, check_step, check_task, step_names, task_ids
from flowinfra.control.place import Address, Place
from flowinfra.control.values import commit_of
from flowinfra.model.states import FINAL
from flowinfra.runtime.hooks import HOOK_STEP
from flowinfra.runtime.logs import Lines
from flowinfra.wire import hook_folder, log_key, task_key

__all__ = ["LogLine", "Selection", "read_logs"]

Stream = Literal["out", "err"]

_POLL_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a task has printed; of an exit hook, the step is ``exit_hook`` and the task empty."""

    step: str
    task: str
    attempt: str
    stream: Stream
    text: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Whose lines to read; None means of all.

    Attributes:
        step: the step.
        task: the task's id.
        attempt: the number of the attempts.
        streams: standard output, standard error, or both.
    """

    step: str | None = None
    task: str | None = None
    attempt: int | None = None
    streams: tuple[Stream, ...] = ("out", "err")


@dataclass(slots=True)
class _Reader:
    """One stream of one attempt, as far as it was read."""

    place: Place
    folder: str
    stream: Stream
    next_chunk: int = 0
    lines: Lines = field(default_factory=Lines)

    def read(self, *, ended: bool) -> Iterator[str]:
        while (data := self.place.store.find(log_key(self.folder, self.stream, self.next_chunk))) is not None:
            self.next_chunk += 1
            yield from self.lines.feed(data)
        if ended:
            yield from self.lines.end()


def read_logs(run: Run, place: Place, selection: Selection, *, follow: bool = False) -> Iterator[LogLine]:
    """The lines of a run, task by task in the order of the flow; with *follow* until the run has ended.

    Raises:
        NotFoundError: FI813 or FI814, there is no such step, task or attempt; with *follow*, steps and tasks may come.
    """
    address = Address(place, tuple(run.pathspec.split("/")))
    if not follow:
        _check(address, selection)
    readers: dict[tuple[str, Stream], _Reader] = {}
    committed: set[tuple[str, str]] = set()
    while True:
        # Asked before reading: what is printed until then is there. Markers and commits come before the last lines do.
        over = not follow or (run.state in FINAL and not place.is_written(run.id))
        for task in _tasks(address, selection):
            if (task.parts[2], task.name) in committed and not over:
                continue  # what it may still have said is read in the last round
            done = place.store.exists(task_key(*task.task, "artifacts.json"))
            yield from _read_task(task, selection, readers, ended=over)
            if done:
                committed.add((task.parts[2], task.name))
        if over:
            yield from _hook_lines(address, selection)
            return
        time.sleep(_POLL_S)


def _check(run: Address, selection: Selection) -> None:
    if selection.step == HOOK_STEP and run.place.store.names(hook_folder(*run.parts)):
        return
    steps = [selection.step] if selection.step is not None else step_names(run)
    if selection.step is not None:
        check_step(run.child(selection.step))
    if selection.task is not None:
        holding = [step for step in steps if selection.task in task_ids(run.child(step))]
        if not holding and len(steps) == 1:
            check_task(run.child(steps[0]).child(selection.task))
        if not holding:
            known = list(dict.fromkeys(task for step in steps for task in task_ids(run.child(step))))
            raise missing.NoSuchKey(missing.no_task(run.pathspec, selection.task, known))
    if selection.attempt is not None:
        made = {name.partition("-")[0] for task in _tasks(run, selection) for name in attempts_of(task)}
        if str(selection.attempt) not in made:
            raise missing.NoSuchKey(missing.no_attempt(run.pathspec, selection.attempt, made))


def _tasks(run: Address, selection: Selection) -> Iterator[Address]:
    for step in step_names(run):
        if selection.step not in (None, step):
            continue
        for task in task_ids(run.child(step)):
            if selection.task in (None, task):
                yield run.child(step).child(task)


def _hook_lines(run: Address, selection: Selection) -> Iterator[LogLine]:
    """What the exit hooks of a run have printed: they are called when it has ended."""
    if selection.step not in (None, HOOK_STEP) or selection.task is not None or selection.attempt is not None:
        return
    folder = hook_folder(*run.parts)
    if run.place.store.names(folder):
        for stream in selection.streams:
            for text in _Reader(run.place, folder, stream).read(ended=True):
                yield LogLine(HOOK_STEP, "", "0", stream, text)


def _read_task(
    task: Address, selection: Selection, readers: dict[tuple[str, Stream], _Reader], *, ended: bool
) -> Iterator[LogLine]:
    names, ran = attempts_of(task), task
    if not names and ended:  # a resumed run has taken it over: what was printed lies where it ran
        commit = commit_of(task)
        if commit is not None and commit.origin:
            ran = Address(task.place, tuple(commit.origin.split("/")))
            names = attempts_of(ran)
    for name in names:
        if selection.attempt is not None and name.partition("-")[0] != str(selection.attempt):
            continue
        folder = task_key(*ran.task, f"attempts/{name}/")
        for stream in selection.streams:
            reader = readers.setdefault((folder, stream), _Reader(task.place, folder, stream))
            for text in reader.read(ended=ended):
                yield LogLine(task.parts[2], task.name, name.partition("-")[0], stream, text)
