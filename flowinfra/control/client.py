"""Reading runs: :class:`Flow`, :class:`Run`, :class:`Step`, :class:`Task` and :class:`Artifact`.

::

    run = Flow("Census").latest_run
    print(run.state, run.data.total)
    for task in run["count"]:
        print(task.index, task.data.size, task.stdout)

Each object is a name and a place; what it tells is read when it is asked for. What can still change is asked for again
each time, what cannot (a commit, a terminal marker) is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

from flowinfra.control import missing
from flowinfra.control.place import Place, Standing, local_time
from flowinfra.model.states import RunState
from flowinfra.wire import Attempt, IndexEntry, RunDocument, parse_task_id, run_prefix, step_prefix, task_key

if TYPE_CHECKING:
    from flowinfra.packaging.store import Store
    from flowinfra.runtime.artifacts import Ref
    from flowinfra.runtime.failures import TaskFailure
    from flowinfra.runtime.rundata import CommitValue, RunData

__all__ = ["Artifact", "Artifacts", "Data", "Flow", "Run", "Step", "Task"]

_FORMS: Final = ("Flow", "Flow/run", "Flow/run/step", "Flow/run/step/task", "Flow/run/step/task/artifact")
_DRIVEN_DIGITS: Final = 32
_SYSTEM_TAG: Final = re.compile(r"(production|user|release|deployment|target):")


class _Node:
    """Something with a pathspec."""

    _parts: tuple[str, ...]
    _place: Place

    def __init__(self, pathspec: str, *, store: Store | str | None = None) -> None:
        """The object that *pathspec* names.

        Args:
            pathspec: from the flow downwards, parts separated by ``/``.
            store: where to read; by default the store of the project in whose folder one stands.

        Raises:
            NotFoundError: FI811 to FI816, there is no such object; the message says what there is.
        """
        parts = tuple(pathspec.split("/"))
        form = _FORMS[self._depth() - 1]
        if len(parts) != self._depth() or not all(parts) or any(part in (".", "..") for part in parts):
            raise missing.NoSuchKey(missing.bad_pathspec(pathspec, form))
        self._set(Place.open(store), parts)
        self._check()

    @classmethod
    def _of(cls, place: Place, parts: tuple[str, ...]) -> Self:
        # For those that are known to be there: nothing is read.
        node = cls.__new__(cls)
        node._set(place, parts)
        return node

    def _set(self, place: Place, parts: tuple[str, ...]) -> None:
        self._place = place
        self._parts = parts

    @classmethod
    def _depth(cls) -> int:
        raise AssertionError(cls)

    def _check(self) -> None:
        raise AssertionError(self)

    @property
    def id(self) -> str:
        """The last part of the pathspec."""
        return self._parts[-1]

    @property
    def pathspec(self) -> str:
        """The name of this object from the flow downwards."""
        return "/".join(self._parts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.pathspec!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Node) or type(other) is not type(self):
            return NotImplemented
        return self._parts == other._parts and self._place.store.url == other._place.store.url

    def __hash__(self) -> int:
        return hash((type(self), self._parts))


class Flow(_Node):
    """A flow that has run: iterate it for its runs, newest first.

    A listing of the index, read as far as one iterates; no run itself is read.
    """

    @classmethod
    def _depth(cls) -> int:
        return 1

    def _check(self) -> None:
        if next(self._place.index(self.id), None) is None:
            place = self._place
            raise missing.NoSuchKey(missing.no_flow(self.id, place.store.url, place.flows()))

    def __iter__(self) -> Iterator[Run]:
        for entry in self._place.index(self.id):
            yield Run._listed(self._place, self.id, entry)

    def runs(self, *tags: str) -> Iterator[Run]:
        """The runs that have all of *tags*, newest first; run.json is read of each that one looks at."""
        for run in self:
            if not tags or run.tags.issuperset(tags):
                yield run

    def __getitem__(self, run: str) -> Run:
        return _checked(Run._of(self._place, (self.id, run)))

    def __contains__(self, run: object) -> bool:
        return isinstance(run, str) and _is_there(Run, self, run)

    @property
    def latest_run(self) -> Run | None:
        """The run that was started last."""
        return next(iter(self), None)

    @property
    def latest_successful_run(self) -> Run | None:
        """The run that was started last among those that succeeded; reads the markers of the runs after it."""
        return next((run for run in self if run.successful), None)


class Run(_Node):
    """One run of a flow: iterate it for its steps, in the order of the flow."""

    _listed_ms: int | None = None
    _ended: Standing | None = None

    @classmethod
    def _depth(cls) -> int:
        return 2

    @classmethod
    def _listed(cls, place: Place, flow: str, entry: IndexEntry) -> Run:
        run = cls._of(place, (flow, entry.run))
        run._listed_ms = entry.started_ms
        return run

    def _check(self) -> None:
        flow, run = self._parts
        if self._place.store.exists(f"{run_prefix(flow, run)}run.json"):
            return
        newest = [entry.run for entry in self._place.index(flow)]
        if not newest:
            raise missing.NoSuchKey(missing.no_flow(flow, self._place.store.url, self._place.flows()))
        raise missing.NoSuchKey(missing.no_run(flow, run, newest))

    # -- what is known about it -----------------------------------------------------------------------------------

    @cached_property
    def _document(self) -> dict[str, Any]:
        flow, run = self._parts
        document: dict[str, Any] = self._place.store.get_json(f"{run_prefix(flow, run)}run.json")
        return document

    @property
    def _standing(self) -> Standing:
        if self._ended is None:
            found = self._place.standing(*self._parts, self._document)
            if found.since_ms is None or found.state is RunState.UNKNOWN:
                return found
            self._ended = found
        return self._ended

    @property
    def state(self) -> RunState:
        """Where it stands: its terminal marker says it, else the queue of the project, else it is ``UNKNOWN``."""
        return self._standing.state

    @property
    def state_text(self) -> str:
        """The state in words; of an unknown one, since when."""
        return str(self._standing)

    @property
    def finished(self) -> bool:
        """Whether it has run to its end; a run that failed or was stopped has not (its :attr:`state` says so)."""
        return self.state is RunState.SUCCEEDED

    @property
    def successful(self) -> bool:
        """Whether it has run to its end, and the last step itself did not fail and was caught."""
        end = self.end_task if self.finished else None
        return end is not None and end.successful

    @property
    def failure(self) -> TaskFailure | None:
        """Why it failed: the failure of the task that ended it; None if it did not fail."""
        return _failure(self._standing.error)

    @property
    def created_at(self) -> datetime:
        """When it was started."""
        return local_time(self._document[RunDocument.STARTED] if self._listed_ms is None else self._listed_ms)

    @property
    def finished_at(self) -> datetime | None:
        """When it ended, however it did; None before."""
        standing = self._standing
        if standing.since_ms is None or standing.state is RunState.UNKNOWN:
            return None
        return local_time(standing.since_ms)

    @property
    def code(self) -> str:
        """The digest of the release that it is pinned to."""
        return str(self._document[RunDocument.RELEASE])

    @property
    def user_tags(self) -> frozenset[str]:
        """The tags that people gave it."""
        return frozenset(tag for tag in self._document[RunDocument.TAGS] if not _SYSTEM_TAG.match(tag))

    @property
    def system_tags(self) -> frozenset[str]:
        """The tags that say where it comes from: release, deployment and its namespace, target, user."""
        document = self._document
        known = {
            "release": self.code[:12],
            "deployment": document.get(RunDocument.DEPLOYMENT),
            "target": document.get(RunDocument.TARGET),
            "user": document.get(RunDocument.USER),
        }
        given = (tag for tag in document[RunDocument.TAGS] if _SYSTEM_TAG.match(tag))
        return frozenset([*given, *(f"{name}:{value}" for name, value in known.items() if value)])

    @property
    def tags(self) -> frozenset[str]:
        """All its tags."""
        return self.user_tags | self.system_tags

    @property
    def origin_pathspec(self) -> str | None:
        """The run that it resumes."""
        origin = self._document.get(RunDocument.ORIGIN)
        return f"{self._parts[0]}/{origin}" if origin else None

    @property
    def deployment(self) -> str | None:
        """The full name of the deployment that it is a run of; None for a run without one."""
        return self._document.get(RunDocument.DEPLOYMENT)

    # -- what is inside -------------------------------------------------------------------------------------------

    def steps(self) -> Iterator[Step]:
        """The steps that have begun, in the order of the flow."""
        for name in self._step_names():
            yield Step._of(self._place, (*self._parts, name))

    def __iter__(self) -> Iterator[Step]:
        return self.steps()

    def __getitem__(self, step: str) -> Step:
        return _checked(Step._of(self._place, (*self._parts, step)))

    def __contains__(self, step: object) -> bool:
        return isinstance(step, str) and _is_there(Step, self, step)

    @property
    def end_task(self) -> Task | None:
        """The task of the last step, once it has begun."""
        steps = self._release["graph"]["steps"]
        last = [s["name"] for s in steps if s.get("next", {}).get("kind", "end") == "end"]
        begun = set(self._place.store.folders(step_prefix(*self._parts)))
        tasks = [Step._of(self._place, (*self._parts, name)).task for name in last if name in begun]
        return next((task for task in tasks if task.finished), tasks[0] if tasks else None)

    @property
    def data(self) -> Data:
        """The artifacts of the last step: ``run.data.x``. Empty as long as there is no result."""
        end = self.end_task
        return Data(end._artifacts if end is not None and end.finished else Artifacts(self, None))

    def _step_names(self) -> list[str]:
        begun = self._place.store.folders(step_prefix(*self._parts))
        order = {name: at for at, name in enumerate(_in_order(self._release["program"]["sequences"]))}
        return sorted(begun, key=lambda name: (order.get(name, len(order)), name))

    @cached_property
    def _release(self) -> dict[str, Any]:
        from flowinfra.packaging import release

        return release.load(self._place.store, self.code)


class Step(_Node):
    """One step of a run: iterate it for its tasks, in the natural order of their ids (``0.2`` before ``0.10``)."""

    @classmethod
    def _depth(cls) -> int:
        return 3

    def _check(self) -> None:
        flow, run, step = self._parts
        if next(self._place.store.list(step_prefix(flow, run, step)), None) is None:
            parent = _checked(Run._of(self._place, (flow, run)))
            raise missing.NoSuchKey(missing.no_step(parent.pathspec, step, parent._step_names()))

    def __iter__(self) -> Iterator[Task]:
        for task in self._task_ids():
            yield Task._of(self._place, (*self._parts, task))

    def tasks(self) -> Iterator[Task]:
        """The tasks that have begun; the same as iterating."""
        return iter(self)

    def __getitem__(self, task: str) -> Task:
        return _checked(Task._of(self._place, (*self._parts, task)))

    def __contains__(self, task: object) -> bool:
        return isinstance(task, str) and _is_there(Task, self, task)

    @property
    def task(self) -> Task:
        """Its task; the first one of several, the last iteration of a loop.

        Raises:
            NotFoundError: FI814, none has begun.
        """
        ids = self._task_ids()
        if not ids:
            raise missing.NoSuchKey(missing.no_task(self.pathspec, "0", ids))
        first = parse_task_id(ids[0])
        if first and first[-1][0] == "-":
            ids = [t for t in ids if parse_task_id(t)[:-1] == first[:-1]][::-1]
        return Task._of(self._place, (*self._parts, ids[0]))

    @property
    def created_at(self) -> datetime | None:
        """When its first task began."""
        return min((t.created_at for t in self if t.created_at), default=None)

    @property
    def finished_at(self) -> datetime | None:
        """When its last task ended; None while one has not."""
        ends = [t.finished_at for t in self]
        known = [at for at in ends if at is not None]
        return max(known) if known and len(known) == len(ends) else None

    def _task_ids(self) -> list[str]:
        flow, run, step = self._parts
        return sorted(self._place.store.folders(step_prefix(flow, run, step)), key=_natural)


class Task(_Node):
    """One task of a run: what it left, what it said, and how it failed."""

    @classmethod
    def _depth(cls) -> int:
        return 4

    def _check(self) -> None:
        if next(self._place.store.list(task_key(*self._key)), None) is None:
            step = _checked(Step._of(self._place, self._parts[:3]))
            raise missing.NoSuchKey(missing.no_task(step.pathspec, self.id, step._task_ids()))

    @property
    def _key(self) -> tuple[str, str, str, str]:
        flow, run, step, task = self._parts
        return flow, run, step, task

    @cached_property
    def _run(self) -> RunData:
        from flowinfra.runtime.rundata import RunData

        return RunData(self._place.store, self._parts[0], self._parts[1])

    _kept_commit: CommitValue | None = None

    @property
    def _commit(self) -> CommitValue | None:
        if self._kept_commit is None:
            self._kept_commit = self._run.find_commit(*self._parts[2:])
        return self._kept_commit

    @property
    def finished(self) -> bool:
        """Whether it has ended well; a caught failure counts."""
        return self._commit is not None

    @property
    def successful(self) -> bool:
        """Whether it has ended well by itself: a failure that was caught does not count."""
        return self._commit is not None and not self._commit.failed

    @property
    def index(self) -> int | None:
        """Which item of the innermost foreach around it; None outside of any."""
        items = [text for separator, text in parse_task_id(self.id) if separator == "." and len(text) < _DRIVEN_DIGITS]
        return int(items[-1]) if items else None

    @property
    def parent_tasks(self) -> Iterator[Task]:
        """The tasks that it started from; none before it has ended."""
        for step, task in self._commit.parents if self._commit is not None else ():
            yield Task._of(self._place, (*self._parts[:2], step, task))

    # -- its attempts ---------------------------------------------------------------------------------------------

    def _attempts(self) -> list[str]:
        folders = self._place.store.folders(task_key(*self._key, "attempts"))
        return sorted(folders, key=_attempt_order)

    def _attempt_folder(self) -> str | None:
        # Of the attempt that counts: the one that committed, else the last one.
        if self._commit is not None:
            return self._commit.attempt
        return next(reversed(self._attempts()), None)

    def _attempt_document(self, folder: str | None, name: str) -> dict[str, Any]:
        if folder is None:
            return {}
        key = task_key(*self._key, f"attempts/{folder}/{name}")
        return dict(self._place.store.get_json(key)) if self._place.store.exists(key) else {}

    @property
    def attempt(self) -> int:
        """The number of the attempt that counts, from 0: the one that ended well, else the last one."""
        number = (self._attempt_folder() or "0").partition("-")[0]
        if number.isdigit():
            return int(number)
        real = [a for a in self._attempts() if a.partition("-")[0].isdigit()]
        return _attempt_order(real[-1])[0] + 1 if real else 0

    @property
    def created_at(self) -> datetime | None:
        """When its first attempt began."""
        first = next(iter(self._attempts()), None)
        at = self._attempt_document(first, "begin.json").get(Attempt.TIME)
        return None if at is None else local_time(at)

    @property
    def finished_at(self) -> datetime | None:
        """When the attempt that counts ended; None while it has not."""
        at = self._attempt_document(self._attempt_folder(), "end.json").get(Attempt.TIME)
        return None if at is None else local_time(at)

    @property
    def stdout(self) -> str:
        """What the attempt that counts has printed so far."""
        return self._log("out")

    @property
    def stderr(self) -> str:
        """What the attempt that counts has printed to standard error so far."""
        return self._log("err")

    def _log(self, stream: str) -> str:
        folder = self._attempt_folder()
        if folder is None:
            return ""
        prefix = task_key(*self._key, f"attempts/{folder}/")
        chunks = [n for n in self._place.store.names(prefix) if re.fullmatch(rf"{stream}\.\d+", n)]
        chunks.sort(key=lambda name: int(name.partition(".")[2]))
        return b"".join(self._place.store.get(prefix + name) for name in chunks).decode(errors="replace")

    @property
    def exception(self) -> TaskFailure | None:
        """How it failed: the last failure of a task that has not ended well, or whose failure was caught."""
        if self.successful:
            return None
        return _failure(self._run.last_error(*self._parts[2:]))

    # -- what it left ---------------------------------------------------------------------------------------------

    @property
    def _artifacts(self) -> Artifacts:
        return Artifacts(self, self._commit)

    @property
    def artifacts(self) -> Artifacts:
        """Its artifacts by name, as objects: ``task.artifacts.x.size``, ``"x" in task.artifacts``."""
        return self._artifacts

    @property
    def data(self) -> Data:
        """Its artifacts' values: ``task.data.x``."""
        return Data(self._artifacts)

    def __iter__(self) -> Iterator[Artifact]:
        return iter(self._artifacts)

    def __getitem__(self, name: str) -> Artifact:
        return self._artifacts[name]

    def __contains__(self, name: object) -> bool:
        return name in self._artifacts


class Artifact(_Node):
    """A value that a task left."""

    _ref: Ref

    @classmethod
    def _depth(cls) -> int:
        return 5

    def _check(self) -> None:
        task = _checked(Task._of(self._place, self._parts[:4]))
        self._ref = task[self.id]._ref

    @property
    def data(self) -> Any:
        """The value: fetched, its hash verified, then decoded, each time anew.

        Raises:
            RunError: FI706, it is damaged; FI707, it cannot be decoded here.
        """
        from flowinfra.runtime.artifacts import decode
        from flowinfra.wire import blob_key

        data = self._place.store.get(blob_key(self._parts[0], self._ref.blob))
        return decode(self._ref, data, f"the artifact {self.pathspec}")

    @property
    def sha(self) -> str:
        """The SHA-256 of its bytes."""
        return self._ref.blob

    @property
    def size(self) -> int:
        """Its bytes as they are stored."""
        return self._ref.size

    @property
    def type(self) -> str:
        """The name of its type."""
        return self._ref.type

    @property
    def text(self) -> str:
        """The short text form that its task saved; reading it decodes nothing."""
        return self._ref.text


class Artifacts:
    """The artifacts of one task: by attribute, by key, and in the order of their names."""

    __slots__ = ("_node", "_refs")

    def __init__(self, node: Task | Run, commit: CommitValue | None) -> None:
        self._node = node
        self._refs: Mapping[str, Ref] | None = None if commit is None else commit.artifacts

    def _get(self, name: str, kind: type[missing.NoSuchKey | missing.NoSuchAttribute]) -> Artifact:
        node = self._node
        if self._refs is not None and name in self._refs:
            artifact = Artifact._of(node._place, (*node._parts, name))
            artifact._ref = self._refs[name]
            return artifact
        if isinstance(node, Run):
            raise kind(missing.no_data(node.pathspec, node.state_text))
        raise kind(missing.no_artifact(node.pathspec, name, self._names(), committed=self._refs is not None))

    def _names(self) -> list[str]:
        return sorted(self._refs or ())

    def __getattr__(self, name: str) -> Artifact:
        if name.startswith("__"):  # asked by copy, pickle and notebooks
            raise AttributeError(name)
        return self._get(name, missing.NoSuchAttribute)

    def __getitem__(self, name: str) -> Artifact:
        return self._get(name, missing.NoSuchKey)

    def __contains__(self, name: object) -> bool:
        return name in (self._refs or ())

    def __iter__(self) -> Iterator[Artifact]:
        return (self[name] for name in self._names())

    def __len__(self) -> int:
        return len(self._refs or ())

    def __dir__(self) -> list[str]:
        return self._names()

    def __repr__(self) -> str:
        return f"<artifacts of {self._node.pathspec}: {', '.join(self._names()) or 'none'}>"


class Data:
    """The values of a task's artifacts, by attribute; each is read when it is first asked for, and kept."""

    __slots__ = ("_artifacts", "_values")

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._values: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._values:
            self._values[name] = self._artifacts._get(name, missing.NoSuchAttribute).data
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._artifacts

    def __len__(self) -> int:
        return len(self._artifacts)

    def __dir__(self) -> list[str]:
        return dir(self._artifacts)

    def __repr__(self) -> str:
        return f"<data of {self._artifacts._node.pathspec}: {', '.join(dir(self)) or 'none'}>"


def _checked(node: _N) -> _N:
    node._check()
    return node


def _is_there(kind: type[_Node], parent: _Node, part: str) -> bool:
    try:
        _checked(kind._of(parent._place, (*parent._parts, part)))
    except missing.NoSuchKey:
        return False
    return True


def _failure(document: Mapping[str, Any] | None) -> TaskFailure | None:
    if not document:
        return None
    from flowinfra.runtime.failures import TaskFailure

    return TaskFailure.from_document(document)


def _natural(task: str) -> list[tuple[str, int, str]]:
    try:
        parts = parse_task_id(task)
    except ValueError:
        return [("~", 0, task)]
    # A driven child's 32 digits are hexadecimal; they order as text behind the numbers.
    return [(s, int(text), "") if len(text) < _DRIVEN_DIGITS else (s, 0, text) for s, text in parts]


def _attempt_order(folder: str) -> tuple[int, str]:
    number = folder.partition("-")[0]
    return (int(number), folder) if number.isdigit() else (1 << 30, folder)


def _in_order(sequences: list[list[dict[str, Any]]]) -> Iterator[str]:
    # The steps as the flow comes to them: a walk over its blocks, without recursion over user input.
    todo = [iter(sequences[0])] if sequences else []
    while todo:
        block = next(todo[-1], None)
        if block is None:
            todo.pop()
            continue
        if "step" in block:
            yield block["step"]
        inside = [*block.get("branches", ()), *({**block.get("cases", {}), **block.get("exits", {})}.values())]
        todo += [iter(sequences[n]) for n in reversed(inside)]
        if "body" in block:
            todo.append(iter(sequences[block["body"]]))
