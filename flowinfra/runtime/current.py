"""``current``: what a step may ask about the task that it runs in."""

from __future__ import annotations

import contextlib
import getpass
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from flowinfra.diagnostics import RunError, error, nearest
from flowinfra.wire import RunDocument

__all__ = ["Current", "Parameters", "TaskInfo", "current", "running"]


class Parameters(Mapping[str, Any]):
    """The parameters of a run, by attribute: as a mapping, and as attributes. A value is read when it is asked for."""

    __slots__ = ("_load", "_names")

    def __init__(self, names: Iterable[str] = (), load: Callable[[str], Any] | None = None) -> None:
        self._names = tuple(names)
        self._load = load or _nothing

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._names:
            raise AttributeError(f"there is no parameter {name!r}{nearest(name, self._names)}")
        return self._load(name)

    def __repr__(self) -> str:
        return f"Parameters({', '.join(self._names)})"


@dataclass(slots=True)
class TaskInfo:
    """What is known about a task while it runs; fields and properties are the attributes of ``current``."""

    flow_name: str
    run_id: str
    step_name: str
    task_id: str
    retry_count: int = 0
    """How many attempts of this task have failed before this one."""
    parameters: Parameters = field(default_factory=Parameters)
    read_run: Callable[[], Mapping[str, Any]] = dict
    """Reads run.json; called once, when something of it is asked for."""
    _run: Mapping[str, Any] | None = None
    _folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def attempt(self) -> int:
        """The same as ``retry_count``."""
        return self.retry_count

    @property
    def pathspec(self) -> str:
        """``flow/run/step/task``."""
        return f"{self.flow_name}/{self.run_id}/{self.step_name}/{self.task_id}"

    @property
    def origin_run_id(self) -> str | None:
        """Of a resumed run: the run whose tasks it goes on from."""
        return self._document.get(RunDocument.ORIGIN) or None

    @property
    def tags(self) -> frozenset[str]:
        """What the run was tagged with when it was started."""
        return frozenset(self._document.get(RunDocument.TAGS, ()))

    @property
    def username(self) -> str:
        """Who started the run; where that is not recorded, who runs this process."""
        return self._document.get(RunDocument.USER) or _user()

    @property
    def namespace(self) -> str:
        """The production namespace that the run is tagged with, else that of its user."""
        production = sorted(tag for tag in self.tags if tag.startswith("production:"))
        return production[0] if production else f"user:{self.username}"

    @property
    def is_running_flow(self) -> bool:
        """True: this is only asked inside a task."""
        return True

    @property
    def tempdir(self) -> str:
        """A folder of this task's own, made when it is first asked for and removed when the task ends."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="flowinfra-")
        return self._folder.name

    def clean_up(self) -> None:
        """Remove the temporary folder, if there is one."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    @property
    def _document(self) -> Mapping[str, Any]:
        if self._run is None:
            self._run = self.read_run()
        return self._run


def _nothing(name: str) -> Any:
    raise KeyError(name)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


_NAMES: Final = (
    "attempt",
    "flow_name",
    "is_running_flow",
    "namespace",
    "origin_run_id",
    "parameters",
    "pathspec",
    "retry_count",
    "run_id",
    "step_name",
    "tags",
    "task_id",
    "tempdir",
    "username",
)


class Current:
    """The task that this code runs in. Outside a task ``is_running_flow`` is False, and all else is an error."""

    attempt: int
    flow_name: str
    is_running_flow: bool
    namespace: str
    origin_run_id: str | None
    parameters: Parameters
    pathspec: str
    retry_count: int
    run_id: str
    step_name: str
    tags: frozenset[str]
    task_id: str
    tempdir: str
    username: str

    def __init__(self) -> None:
        self._context: ContextVar[TaskInfo | None] = ContextVar("flowinfra_task", default=None)
        # One process runs one task, and threads that a step starts do not inherit its context.
        self._process: TaskInfo | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in _NAMES:
            raise AttributeError(f"`current` has no {name!r}{nearest(name, _NAMES)}: it has {', '.join(_NAMES)}")
        info = self._context.get() or self._process
        if info is not None:
            return getattr(info, name)
        if name == "is_running_flow":
            return False
        raise RunError(
            error(
                "FI725",
                f"current.{name} is only there while a step runs",
                detail="this code runs outside of a task, e.g. when the flow file is imported",
                hint="ask for it inside a step; current.is_running_flow tells whether that is so",
            )
        )

    def __dir__(self) -> list[str]:
        return [*_NAMES, "get"]

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute *name*; *default* outside a task or where there is no such attribute."""
        try:
            return getattr(self, name)
        except (AttributeError, RunError):
            return default


#: The task that this code runs in.
current: Final = Current()


@contextlib.contextmanager
def running(info: TaskInfo) -> Iterator[None]:
    """For the task program: inside the block, *info* is what ``current`` tells."""
    token = current._context.set(info)
    before, current._process = current._process, info
    try:
        yield
    finally:
        current._process = before
        current._context.reset(token)
        info.clean_up()
