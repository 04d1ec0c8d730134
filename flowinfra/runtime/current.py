"""``current``: what a step may ask about the task that it runs in."""

from __future__ import annotations

import contextlib
import getpass
import importlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from flowinfra.authoring.project import Project, project_of_tags
from flowinfra.diagnostics import RunError, error, nearest
from flowinfra.wire import ENV_NAMESPACE, RunDocument

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
    read_graph: Callable[[], Mapping[str, Any]] = dict
    """The flow's graph, as its release has it."""
    store: Any = None
    """Where the run is, for the objects of the client."""
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
        """What the run was tagged with when it was started; ``current.run.tags`` has what was added since, too."""
        return frozenset(self._document.get(RunDocument.TAGS, ()))

    @property
    def username(self) -> str:
        """Who started the run; where that is not recorded, who runs this process."""
        return self._document.get(RunDocument.USER) or _user()

    @property
    def namespace(self) -> str:
        """The namespace that the run was started with, else that of its production, else that of its user."""
        given = os.environ.get(ENV_NAMESPACE)
        if given:
            return given
        production = sorted(tag for tag in self.tags if tag.startswith("production:"))
        return production[0] if production else f"user:{self.username}"

    @property
    def project_name(self) -> str:
        """The project, as ``@project`` names it."""
        return self._project.name

    @property
    def branch_name(self) -> str:
        """The branch of the project that the run is in: ``user.ada``, ``test.b``, ``prod`` or ``prod.b``."""
        return self._project.branch

    @property
    def is_user_branch(self) -> bool:
        """Whether that branch is its user's own."""
        return self._project.is_user_branch

    @property
    def is_production(self) -> bool:
        """Whether the run is in the production of its project."""
        return self._project.production

    @property
    def project_flow_name(self) -> str:
        """``<project>.<branch>.<flow>``."""
        return self._project.flow_name

    @property
    def trigger(self) -> None:
        """What has started the run, where it was an event; no target of this version starts runs by events."""
        return

    @property
    def graph(self) -> dict[str, Any]:
        """The flow's graph: ``name``, ``start``, ``parameters``, and ``steps`` by name with ``type`` and ``next``."""
        graph = self.read_graph()
        return {
            "name": graph.get("name", self.flow_name),
            "start": graph.get("start", "start"),
            "parameters": [{"name": p["name"], "type": p["type"]} for p in graph.get("parameters", ())],
            "steps": {node["name"]: _step(node, graph) for node in graph.get("steps", ())},
        }

    @property
    def run(self) -> Any:
        """The run as a client's object: :class:`~flowinfra.Run`."""
        return self._client("Run", f"{self.flow_name}/{self.run_id}")

    @property
    def task(self) -> Any:
        """The task as a client's object: :class:`~flowinfra.Task`."""
        return self._client("Task", self.pathspec)

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
    def _project(self) -> Project:
        project = project_of_tags(self.flow_name, self.tags)
        if project is None:
            raise AttributeError(f"the run {self.flow_name}/{self.run_id} is in no project: the flow has no @project")
        return project

    def _client(self, name: str, pathspec: str) -> Any:
        # The client stands above this layer and is as a rule not needed by a step: it is imported by its name.
        return getattr(importlib.import_module("flowinfra.control.client"), name)(pathspec, store=self.store)

    @property
    def _document(self) -> Mapping[str, Any]:
        if self._run is None:
            self._run = self.read_run()
        return self._run


def _step(node: Mapping[str, Any], graph: Mapping[str, Any]) -> dict[str, Any]:
    """A step in the words of the field."""
    following = node.get("next", {"kind": "end"})
    kinds = {"split": "split-static", "foreach": "split-foreach", "switch": "split-switch", "end": "end"}
    kind = kinds.get(following["kind"], "linear")
    if kind == "linear" and node.get("join"):
        kind = "join"
    elif kind == "linear" and node["name"] == graph.get("start", "start"):
        kind = "start"
    to = following.get("to", [])
    cases = dict.fromkeys(following.get("cases", {}).values())
    return {"name": node["name"], "type": kind, "next": [to] if isinstance(to, str) else [*to, *cases]}


def _nothing(name: str) -> Any:
    raise KeyError(name)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


_NAMES: Final = (
    "attempt",
    "branch_name",
    "flow_name",
    "graph",
    "is_production",
    "is_running_flow",
    "is_user_branch",
    "namespace",
    "origin_run_id",
    "parameters",
    "pathspec",
    "project_flow_name",
    "project_name",
    "retry_count",
    "run",
    "run_id",
    "step_name",
    "tags",
    "task",
    "task_id",
    "tempdir",
    "trigger",
    "username",
)


class Current:
    """The task that this code runs in. Outside a task ``is_running_flow`` is False, and all else is an error."""

    attempt: int
    branch_name: str
    flow_name: str
    graph: dict[str, Any]
    is_production: bool
    is_running_flow: bool
    is_user_branch: bool
    namespace: str
    origin_run_id: str | None
    parameters: Parameters
    pathspec: str
    project_flow_name: str
    project_name: str
    retry_count: int
    run: Any
    run_id: str
    step_name: str
    tags: frozenset[str]
    task: Any
    task_id: str
    tempdir: str
    trigger: None
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
