"""What happens in a local run, as values; whoever shows or records it gets them one by one, in order."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeAlias

__all__ = [
    "Event",
    "Note",
    "RunEnded",
    "RunStarted",
    "TaskEnded",
    "TaskLine",
    "TaskRetry",
    "TaskReused",
    "TaskStarted",
]


@dataclass(frozen=True, slots=True)
class _Event:
    kind: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """The event as plain JSON, with its ``kind``."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True)
class RunStarted(_Event):
    """The run's documents are written; tasks follow."""

    kind = "run_started"
    flow: str
    run: str
    release: str
    method: str
    """How tasks are started: ``fork`` or ``spawn``."""


@dataclass(frozen=True, slots=True)
class TaskStarted(_Event):
    """A process was asked for."""

    kind = "task_started"
    step: str
    task: str
    attempt: str


@dataclass(frozen=True, slots=True)
class TaskReused(_Event):
    """The task was taken over from the run that this one resumes; no process was started."""

    kind = "task_reused"
    step: str
    task: str


@dataclass(frozen=True, slots=True)
class TaskLine(_Event):
    """A task has printed a line."""

    kind = "task_line"
    stream: str
    """``out`` or ``err``."""
    text: str
    step: str
    task: str
    attempt: str


@dataclass(frozen=True, slots=True)
class TaskEnded(_Event):
    """An attempt has ended, and all that it printed was handed on."""

    kind = "task_ended"
    step: str
    task: str
    attempt: str
    outcome: str
    """``succeeded``, ``failed``, ``fatal``, ``timed_out`` or ``stopped``."""
    seconds: float
    maxrss_kib: int
    message: str = ""
    """What went wrong, on one line."""


@dataclass(frozen=True, slots=True)
class TaskRetry(_Event):
    """The task is tried again."""

    kind = "task_retry"
    step: str
    task: str
    attempt: str
    """The attempt that follows: a number or ``fallback``."""
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class RunEnded(_Event):
    """The run has ended; nothing of it is left running."""

    kind = "run_ended"
    state: str
    """``succeeded``, ``failed``, ``timed_out`` or ``stopped``."""
    seconds: float
    error: dict[str, Any] | None = None
    """What failed: step, task, type, message, and the code of a diagnostic."""


@dataclass(frozen=True, slots=True)
class Note(_Event):
    """Something that is worth knowing and stops nothing."""

    kind = "note"
    text: str


Event: TypeAlias = RunStarted | TaskStarted | TaskReused | TaskLine | TaskEnded | TaskRetry | RunEnded | Note
