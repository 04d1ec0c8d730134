"""What is told about runs: values for views, read from the store once."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

from flowinfra.control.client import Run, Step, Task
from flowinfra.control.place import local_time
from flowinfra.control.values import Artifact
from flowinfra.diagnostics import FlowinfraError
from flowinfra.model.states import RunState
from flowinfra.packaging import release
from flowinfra.packaging.files import StoredFile
from flowinfra.packaging.store import Store
from flowinfra.runtime.failures import TaskFailure
from flowinfra.runtime.rundata import RunData

__all__ = [
    "ArtifactLine",
    "RunLine",
    "RunReport",
    "StepLine",
    "TaskReport",
    "list_runs",
    "report_artifact",
    "report_run",
    "report_task",
]

_EACH: Final = 200  # tasks of a step that are read one by one
_SCANNED: Final = 2000  # runs that a filter looks at


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in a list.

    Attributes:
        flow: the flow's name.
        run: its id.
        deployment: ``<flow>/<deployment>``; empty for a direct run.
        state: where it stands.
        state_text: the same in words.
        started: when it was started.
        seconds: how long it took, or has taken until now.
        tags: those that people gave it.
        stack: that of its deployment; empty for a direct run.
    """

    flow: str
    run: str
    deployment: str
    state: RunState
    state_text: str
    started: datetime
    seconds: float | None
    tags: tuple[str, ...]
    stack: str

    @property
    def pathspec(self) -> str:
        """``Flow/run``."""
        return f"{self.flow}/{self.run}"


@dataclass(frozen=True, slots=True)
class StepLine:
    """A step of a run: how many of its tasks have begun, ended well, and not; None where there are too many to read."""

    name: str
    tasks: int
    done: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class ArtifactLine:
    """An artifact: its name, type, bytes and short text."""

    name: str
    type: str
    size: int
    text: str


@dataclass(frozen=True, slots=True)
class RunReport:
    """All that is told about a run.

    Attributes:
        line: as in a list.
        release: the digest that it is pinned to.
        parameters: its input by name, as JSON.
        steps: those that have begun, in the order of the flow.
        results: the artifacts of its last task but for the parameters, once it has ended.
        failure: why it failed.
        origin: the pathspec of the run that it resumes.
    """

    line: RunLine
    release: str
    parameters: Mapping[str, Any]
    steps: tuple[StepLine, ...]
    results: tuple[ArtifactLine, ...]
    failure: TaskFailure | None
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class TaskReport:
    """All that is told about a task.

    Attributes:
        pathspec: its name.
        state: ``done``, ``caught``, ``failed`` or ``running``.
        attempt: the number of the attempt that counts.
        started: when its first attempt began.
        seconds: how long it took; None while it has not ended.
        parents: the tasks that it started from.
        artifacts: what it left.
        failure: how it failed.
        origin: the pathspec of the task that was run, where this one was taken over from a run that is resumed.
    """

    pathspec: str
    state: str
    attempt: int
    started: datetime | None
    seconds: float | None
    parents: tuple[str, ...]
    artifacts: tuple[ArtifactLine, ...]
    failure: TaskFailure | None
    origin: str | None = None


def list_runs(
    runs: Iterable[Run],
    *,
    limit: int,
    states: Collection[RunState] = (),
    deployment: str | None = None,
    stack: str | None = None,
    tags: Collection[str] = (),
) -> list[RunLine]:
    """The first *limit* of *runs* that are in one of *states*, of *deployment*, of *stack*, and have all of *tags*.

    What is not shown is not read.

    A filter looks at the newest 2,000 runs at most.
    """
    found: list[RunLine] = []
    wanted = islice(runs, _SCANNED if states or deployment or stack or tags else limit)
    for run in wanted:
        if deployment is not None and run.deployment != deployment:
            continue
        if stack is not None and run.stack != stack:
            continue
        if states and run.state not in states:
            continue
        if tags and not run.tags.issuperset(tags):
            continue
        found.append(line_of(run))
        if len(found) == limit:
            break
    return found


def line_of(run: Run) -> RunLine:
    """A run as in a list."""
    flow, _, run_id = run.pathspec.partition("/")
    found = run.standing
    started, state = run.created_at, found.state
    ended = None if found.ended_ms is None else local_time(found.ended_ms)
    seconds = None
    if ended is not None:
        seconds = max(0.0, (ended - started).total_seconds())  # a run that died: its last sign of life
    elif state is RunState.RUNNING:
        seconds = (datetime.now(started.tzinfo) - started).total_seconds()
    return RunLine(
        flow,
        run_id,
        run.deployment or "",
        state,
        run.words(found),
        started,
        seconds,
        tuple(sorted(run.user_tags)),
        run.stack or "",
    )


def report_run(run: Run, store: Store) -> RunReport:
    """All that is told about *run*, which is in *store*."""
    flow, _, run_id = run.pathspec.partition("/")
    data = RunData(store, flow, run_id)
    parameters: Mapping[str, Any] = {}
    with contextlib.suppress(FlowinfraError):  # an input that cannot be read is shown by the failure of the first task
        parameters = {k: _plain(v) for k, v in (data.read_input() or {}).items() if not k.startswith("$")}
    end = run.end_task
    results = _artifact_lines(end) if end is not None and end.finished else ()
    taken = {p["attribute"] for p in release.load(store, run.release)["graph"].get("parameters", ())}
    return RunReport(
        line_of(run),
        run.release,
        parameters,
        tuple(_step_line(step) for step in reversed(list(run))),
        tuple(line for line in results if line.name not in taken),
        run.failure,
        run.origin_pathspec,
    )


def report_task(task: Task) -> TaskReport:
    """All that is told about *task*."""
    started, ended = task.created_at, task.finished_at
    if task.finished:
        state = "done" if task.successful else "caught"
    else:
        state = "failed" if ended is not None else "running"
    return TaskReport(
        task.pathspec,
        state,
        task.attempt,
        started,
        (ended - started).total_seconds() if started and ended else None,
        tuple(parent.pathspec for parent in task.parent_tasks),
        _artifact_lines(task) if task.finished else (),
        task.exception,
        task.origin_pathspec,
    )


def _plain(value: Any) -> Any:
    """A parameter's value; of a file that was given, what it is called and how large it is."""
    file = StoredFile.from_json(value)
    return value if file is None else str(file)


def _step_line(step: Step) -> StepLine:
    tasks = list(step)
    if len(tasks) > _EACH:
        return StepLine(step.id, len(tasks), None, None)
    begun, ended = step.created_at, step.finished_at
    seconds = (ended - begun).total_seconds() if begun and ended else None
    return StepLine(step.id, len(tasks), sum(task.finished for task in tasks), seconds)


def _artifact_lines(task: Task) -> tuple[ArtifactLine, ...]:
    return tuple(report_artifact(artifact) for artifact in task)


def report_artifact(artifact: Artifact) -> ArtifactLine:
    """What is told about *artifact*; its value is not decoded."""
    return ArtifactLine(artifact.id, artifact.type, artifact.size, artifact.text)
