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

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flowinfra.control import missing
from flowinfra.control.listing import (
    attempt_order,
    attempts_of,
    check_flow,
    check_run,
    check_step,
    check_task,
    item_index,
    last_steps,
    release_of,
    run_document,
    step_names,
    task_ids,
)
from flowinfra.control.node import Node
from flowinfra.control.place import Address, Standing, local_time
from flowinfra.control.values import Artifact, Artifacts, Data, Shelf, commit_of
from flowinfra.model.states import FINAL, RunState
from flowinfra.wire import Attempt, RunDocument, log_key, parse_task_id, step_prefix, task_key

if TYPE_CHECKING:
    from flowinfra.packaging.store import Store
    from flowinfra.runtime.failures import TaskFailure
    from flowinfra.runtime.rundata import CommitValue

__all__ = ["Artifact", "Artifacts", "Data", "Flow", "Run", "Step", "Task"]

_SYSTEM_TAG: Final = re.compile(r"(production|user|release|deployment|target):")


class Flow(Node):
    """A flow that has run: iterate it for its runs, newest first.

    A listing of the index, read as far as one iterates; no run itself is read.
    """

    form: ClassVar[str] = "Flow"

    @classmethod
    def check(cls, address: Address) -> None:
        """Raise NotFoundError (FI812) if no run of the flow is there."""
        check_flow(address)

    def __iter__(self) -> Iterator[Run]:
        for entry in self._address.place.index(self.id):
            yield Run(self._address.child(entry.run), started_ms=entry.started_ms)

    def runs(self, *tags: str) -> Iterator[Run]:
        """The runs that have all of *tags*, newest first; run.json is read of each that one looks at."""
        for run in self:
            if not tags or run.tags.issuperset(tags):
                yield run

    def __getitem__(self, run: str) -> Run:
        address = self._address.child(run)
        check_run(address)
        return Run(address)

    def __contains__(self, run: object) -> bool:
        return isinstance(run, str) and Run.at(self._address.child(run))

    @property
    def latest_run(self) -> Run | None:
        """The run that was started last."""
        return next(iter(self), None)

    @property
    def latest_successful_run(self) -> Run | None:
        """The run that was started last among those that succeeded; reads the markers of the runs after it."""
        return next((run for run in self if run.successful), None)


class Run(Node):
    """One run of a flow: iterate it for its steps, in the order of the flow."""

    form: ClassVar[str] = "Flow/run"

    def __init__(
        self, pathspec: str | Address, *, store: Store | str | None = None, started_ms: int | None = None
    ) -> None:
        """See :class:`~.node.Node`; *started_ms* is when it was started, where a listing has told it already."""
        super().__init__(pathspec, store=store)
        self._started_ms = started_ms
        self._ended: Standing | None = None

    @classmethod
    def check(cls, address: Address) -> None:
        """Raise NotFoundError (FI811, FI812) if there is no such run."""
        check_run(address)

    # -- what is known about it -----------------------------------------------------------------------------------

    @cached_property
    def _document(self) -> dict[str, Any]:
        return run_document(self._address)

    @property
    def _standing(self) -> Standing:
        if self._ended is not None:
            return self._ended
        flow, run = self._address.parts
        found = self._address.place.standing(flow, run)
        if found.state in FINAL:
            self._ended = found
        return found

    @property
    def state(self) -> RunState:
        """Where it stands: its terminal marker says it, else the queue of the project, else it is ``UNKNOWN``."""
        return self._standing.state

    @property
    def state_text(self) -> str:
        """The state in words; of an unknown one, since when."""
        found = self._standing
        if found.state is not RunState.UNKNOWN:
            return str(found.state.value)
        seen = self.created_at if found.seen_ms is None else local_time(found.seen_ms)
        return f"unknown since {seen:%Y-%m-%d %H:%M:%S}"

    @property
    def finished(self) -> bool:
        """Whether it has run to its end; a run that failed or was stopped has not (its :attr:`state` says so)."""
        return self.state is RunState.SUCCEEDED

    @property
    def successful(self) -> bool:
        """Whether it has run to its end, and its last step did not fail and was caught."""
        end = self.end_task if self.finished else None
        return end is not None and end.successful

    @property
    def failure(self) -> TaskFailure | None:
        """Why it failed: the failure of the task that ended it; None if it did not fail."""
        return _failure(self._standing.error)

    @property
    def created_at(self) -> datetime:
        """When it was started."""
        return local_time(self._document[RunDocument.STARTED] if self._started_ms is None else self._started_ms)

    @property
    def finished_at(self) -> datetime | None:
        """When it ended, however it did; None before."""
        found = self._standing
        return None if found.ended_ms is None else local_time(found.ended_ms)

    @property
    def code(self) -> str:
        """The digest of the release that it is pinned to."""
        return str(self._document[RunDocument.RELEASE])

    @property
    def deployment(self) -> str | None:
        """The full name of the deployment that it is a run of; None for a run without one."""
        return self._document.get(RunDocument.DEPLOYMENT)

    @property
    def stack(self) -> str | None:
        """The stack that its deployment belongs to; None for a run without one."""
        path = str(self._document.get(RunDocument.ADDRESS) or "").partition(":")[2].split("/")
        return path[1] if len(path) > 1 else None

    @property
    def origin_pathspec(self) -> str | None:
        """The run that it resumes."""
        origin = self._document.get(RunDocument.ORIGIN)
        return self._address.up().child(origin).pathspec if origin else None

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

    # -- what is inside -------------------------------------------------------------------------------------------

    def steps(self) -> Iterator[Step]:
        """The steps that have begun, in the order of the flow."""
        for name in step_names(self._address, self._release):
            yield Step(self._address.child(name))

    def __iter__(self) -> Iterator[Step]:
        return self.steps()

    def __getitem__(self, step: str) -> Step:
        address = self._address.child(step)
        check_step(address)
        return Step(address)

    def __contains__(self, step: object) -> bool:
        return isinstance(step, str) and Step.at(self._address.child(step))

    @property
    def end_task(self) -> Task | None:
        """The task of the last step, once it has begun."""
        begun = set(self._address.place.store.folders(step_prefix(*self._address.parts)))
        steps = [Step(self._address.child(name)) for name in last_steps(self._release) if name in begun]
        tasks = [step.task for step in steps]
        return next((task for task in tasks if task.finished), tasks[0] if tasks else None)

    @property
    def data(self) -> Data:
        """The artifacts of the last step: ``run.data.x``; nothing as long as there is no result."""
        end = self.end_task
        if end is not None and end.finished:
            return end.data
        return Data(Shelf(self._address, None, lambda _: missing.no_data(self.pathspec, self.state_text)))

    @cached_property
    def _release(self) -> dict[str, Any]:
        return release_of(self._address, self._document)


class Step(Node):
    """One step of a run: iterate it for its tasks, in the natural order of their ids (``0.2`` before ``0.10``)."""

    form: ClassVar[str] = "Flow/run/step"

    @classmethod
    def check(cls, address: Address) -> None:
        """Raise NotFoundError (FI811 to FI813) if no task of the step has begun."""
        check_step(address)

    def __iter__(self) -> Iterator[Task]:
        for task in task_ids(self._address):
            yield Task(self._address.child(task))

    def tasks(self) -> Iterator[Task]:
        """The tasks that have begun; the same as iterating."""
        return iter(self)

    def __getitem__(self, task: str) -> Task:
        address = self._address.child(task)
        check_task(address)
        return Task(address)

    def __contains__(self, task: object) -> bool:
        return isinstance(task, str) and Task.at(self._address.child(task))

    @property
    def task(self) -> Task:
        """Its task: the first one of a foreach, the last iteration of a loop.

        Raises:
            NotFoundError: FI814, none has begun.
        """
        ids = task_ids(self._address)
        if not ids:
            raise missing.NoSuchKey(missing.no_task(self.pathspec, "0", ids))
        first = parse_task_id(ids[0])
        if first and first[-1][0] == "-":
            ids = [task for task in ids if parse_task_id(task)[:-1] == first[:-1]][::-1]
        return Task(self._address.child(ids[0]))

    @property
    def created_at(self) -> datetime | None:
        """When its first task began; reads all of them."""
        return min((at for at in (task.created_at for task in self) if at is not None), default=None)

    @property
    def finished_at(self) -> datetime | None:
        """When its last task ended, None while one has not; reads all of them."""
        ends = [task.finished_at for task in self]
        known = [at for at in ends if at is not None]
        return max(known) if known and len(known) == len(ends) else None


class Task(Node):
    """One task of a run: what it left, what it said, and how it failed."""

    form: ClassVar[str] = "Flow/run/step/task"

    _kept: CommitValue | None = None

    @classmethod
    def check(cls, address: Address) -> None:
        """Raise NotFoundError (FI811 to FI814) if the task has not begun."""
        check_task(address)

    @property
    def _commit(self) -> CommitValue | None:
        if self._kept is None:
            self._kept = commit_of(self._address)
        return self._kept

    @property
    def finished(self) -> bool:
        """Whether it has ended well; a failure that was caught counts."""
        return self._commit is not None

    @property
    def successful(self) -> bool:
        """Whether it has ended well by itself: a failure that was caught does not count."""
        commit = self._commit
        return commit is not None and not commit.failed

    @property
    def index(self) -> int | None:
        """Which item of the innermost foreach around it; None outside of any."""
        return item_index(self.id)

    @property
    def parent_tasks(self) -> Iterator[Task]:
        """The tasks that it started from; none before it has ended."""
        commit = self._commit
        for step, task in commit.parents if commit is not None else ():
            yield Task(self._address.up(2).child(step).child(task))

    # -- its attempts ---------------------------------------------------------------------------------------------

    def _folder(self) -> str | None:
        # Of the attempt that counts: the one that committed, else the last one.
        commit = self._commit
        return next(reversed(attempts_of(self._address)), None) if commit is None else commit.attempt

    def _document(self, folder: str | None, name: str) -> dict[str, Any]:
        if folder is None:
            return {}
        data = self._address.place.store.find(task_key(*self._address.task, f"attempts/{folder}/{name}"))
        return {} if data is None else json.loads(data)

    @property
    def attempt(self) -> int:
        """The number of the attempt that counts, from 0: the one that ended well, else the last one."""
        folder = self._folder()
        if folder is None:
            return 0
        if folder.partition("-")[0].isdigit():
            return attempt_order(folder)[0]
        return len({attempt_order(other)[0] for other in attempts_of(self._address)}) - 1  # the fallback comes last

    @property
    def created_at(self) -> datetime | None:
        """When its first attempt began."""
        at = self._document(next(iter(attempts_of(self._address)), None), "begin.json").get(Attempt.TIME)
        return None if at is None else local_time(at)

    @property
    def finished_at(self) -> datetime | None:
        """When the attempt that counts ended; None while it has not."""
        at = self._document(self._folder(), "end.json").get(Attempt.TIME)
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
        folder = self._folder()
        if folder is None:
            return ""
        prefix = task_key(*self._address.task, f"attempts/{folder}/")
        store = self._address.place.store
        chunks = [name.partition(".") for name in store.names(prefix)]
        numbers = sorted(int(number) for kind, _, number in chunks if kind == stream and number.isdigit())
        return b"".join(store.get(log_key(prefix, stream, n)) for n in numbers).decode(errors="replace")

    @property
    def exception(self) -> TaskFailure | None:
        """How it failed: the last failure of a task that has not ended well, or whose failure was caught."""
        if self.successful:
            return None
        for folder in reversed(attempts_of(self._address)):
            document = self._document(folder, "error.json")
            if document:
                return _failure(document)
        return None

    # -- what it left ---------------------------------------------------------------------------------------------

    @property
    def artifacts(self) -> Artifacts:
        """Its artifacts by name, as objects: ``task.artifacts.x.size``, ``"x" in task.artifacts``."""
        return Artifacts(Shelf.of_task(self._address, self._commit))

    @property
    def data(self) -> Data:
        """Its artifacts' values: ``task.data.x``."""
        return Data(Shelf.of_task(self._address, self._commit))

    def __iter__(self) -> Iterator[Artifact]:
        return iter(self.artifacts)

    def __getitem__(self, name: str) -> Artifact:
        return self.artifacts[name]

    def __contains__(self, name: object) -> bool:
        return name in self.artifacts


def _failure(document: Mapping[str, Any] | None) -> TaskFailure | None:
    if not document:
        return None
    from flowinfra.runtime.failures import TaskFailure

    return TaskFailure.from_document(document)
