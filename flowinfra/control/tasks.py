"""The parts of a run that the client reads: :class:`Step` and :class:`Task`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flowinfra.control import kin, missing
from flowinfra.control.listing import (
    attempt_order,
    attempts_of,
    check_step,
    check_task,
    item_index,
    next_steps,
    release_of,
    step_names,
    task_ids,
)
from flowinfra.control.node import InRun
from flowinfra.control.place import Address, local_time
from flowinfra.control.values import Artifact, Artifacts, Data, Shelf, commit_of
from flowinfra.wire import Attempt, RunDocument, log_key, parse_task_id, task_key

if TYPE_CHECKING:
    from flowinfra.control.client import Run
    from flowinfra.packaging.store import Store
    from flowinfra.runtime.failures import TaskFailure
    from flowinfra.runtime.rundata import CommitValue

__all__ = ["Step", "Task", "failure_of"]

_STREAMS: Final[Mapping[str, str]] = {"stdout": "out", "stderr": "err", "out": "out", "err": "err"}


class Step(InRun):
    """One step of a run: iterate it for its tasks, in the natural order of their ids (``0.2`` before ``0.10``)."""

    form: ClassVar[str] = "Flow/run/step"

    @classmethod
    def check(cls, address: Address) -> None:
        """Raise NotFoundError (FI811 to FI813) if no task of the step has begun."""
        check_step(address)

    @property
    def parent(self) -> Run:
        """Its run."""
        from flowinfra.control.client import Run

        return Run(self._address.up())

    def __iter__(self) -> Iterator[Task]:
        for task in task_ids(self._address):
            yield Task(self._address.child(task))

    def tasks(self, *tags: str) -> Iterator[Task]:
        """The tasks that have begun; none if the run has not all of *tags*."""
        return iter(self) if not tags or self.tags.issuperset(tags) else iter(())

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
    def parent_steps(self) -> Iterator[Step]:
        """The steps that lead to it and have begun, in the order of the flow."""
        after = next_steps(self._plan)
        return self._begun({name for name, following in after.items() if self.id in following})

    @property
    def child_steps(self) -> Iterator[Step]:
        """The steps that it leads to and that have begun, in the order of the flow."""
        return self._begun(set(next_steps(self._plan).get(self.id, ())))

    @property
    def _plan(self) -> dict[str, Any]:
        return release_of(self._address.run, self._run_document)

    def _begun(self, names: set[str]) -> Iterator[Step]:
        for name in step_names(self._address.run, self._plan):
            if name in names:
                yield Step(self._address.run.child(name))

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


class Task(InRun):
    """One task of a run: what it left, what it said, and how it failed."""

    form: ClassVar[str] = "Flow/run/step/task"

    _kept: CommitValue | None = None
    _chosen: str | None = None  # the folder of the attempt that was asked for

    def __init__(
        self, pathspec: str | Address, *, store: Store | str | None = None, attempt: int | None = None
    ) -> None:
        """See :class:`~.node.Node`; with *attempt* (from 0) output, times and failure are those of that attempt.

        Raises:
            NotFoundError: FI843, the task has no such attempt.
        """
        super().__init__(pathspec, store=store)
        if attempt is not None:
            folders = attempts_of(self._ran)
            self._chosen = next((name for name in folders if name.partition("-")[0] == str(attempt)), None)
            if self._chosen is None:
                raise missing.NoSuchKey(missing.no_attempt(self.pathspec, attempt, folders))

    @classmethod
    def check(cls, address: Address) -> None:
        """Raise NotFoundError (FI811 to FI814) if the task has not begun."""
        check_task(address)

    @property
    def parent(self) -> Step:
        """Its step."""
        return Step(self._address.up())

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
    def runtime_name(self) -> str:
        """The target that carried it out: ``local``, ``step_functions`` or ``argo_workflows``."""
        return str(self._run_document[RunDocument.TARGET])

    @property
    def origin_pathspec(self) -> str | None:
        """The task that really ran, where a resumed run took its result over; None for one that ran itself."""
        commit = self._commit
        return commit.origin or None if commit is not None else None

    # -- the tasks around it ----------------------------------------------------------------------------------------

    @property
    def parent_tasks(self) -> Iterator[Task]:
        """The tasks that it started from: as its commit says; before it has one, as the flow's graph says."""
        for step, task in kin.parents(self._address, self._commit):
            yield Task(self._address.up(2).child(step).child(task))

    @property
    def child_tasks(self) -> Iterator[Task]:
        """The tasks that have begun from it, in the order of the flow; those of a foreach by their items.

        They follow from the graph and from what this task has decided, so no other task is read.
        """
        for step, task in kin.children(self._address, self._commit):
            yield Task(self._address.up(2).child(step).child(task))

    @property
    def parent_task_pathspecs(self) -> Iterator[str]:
        """The pathspecs of :attr:`parent_tasks`."""
        return (task.pathspec for task in self.parent_tasks)

    @property
    def child_task_pathspecs(self) -> Iterator[str]:
        """The pathspecs of :attr:`child_tasks`."""
        return (task.pathspec for task in self.child_tasks)

    # -- its attempts ---------------------------------------------------------------------------------------------

    @property
    def _ran(self) -> Address:
        """Where its attempts are: a task that was taken over has none of its own."""
        origin = self.origin_pathspec
        return self._address if origin is None else Address(self._address.place, tuple(origin.split("/")))

    def _folder(self) -> str | None:
        # Of the attempt that was asked for; else of the one that counts: that committed, else the last one.
        if self._chosen is not None:
            return self._chosen
        commit = self._commit
        return next(reversed(attempts_of(self._address)), None) if commit is None else commit.attempt

    def _document(self, folder: str | None, name: str) -> dict[str, Any]:
        if folder is None:
            return {}
        data = self._address.place.store.find(task_key(*self._ran.task, f"attempts/{folder}/{name}"))
        return {} if data is None else json.loads(data)

    @property
    def attempt(self) -> int:
        """The number of the attempt that counts, from 0: the one that ended well, else the last one."""
        folder = self._folder()
        if folder is None:
            return 0
        if folder.partition("-")[0].isdigit():
            return attempt_order(folder)[0]
        return len({attempt_order(other)[0] for other in attempts_of(self._ran)}) - 1  # the fallback comes last

    @property
    def current_attempt(self) -> int:
        """The same as :attr:`attempt`: the one whose output, times and failure this object tells."""
        return self.attempt

    @property
    def metadata_dict(self) -> dict[str, str]:
        """What is recorded of the attempt: its number, host, process and outcome, and the target."""
        folder = self._folder()
        found = {**self._document(folder, "begin.json"), **self._document(folder, "end.json")}
        found.pop(Attempt.TIME, None)
        known = {"attempt": str(self.attempt), "target": self.runtime_name, "origin_pathspec": self.origin_pathspec}
        return {name: str(value) for name, value in {**known, **found}.items() if value is not None}

    @property
    def created_at(self) -> datetime | None:
        """When its first attempt began; with an attempt that was asked for, when that one did."""
        first = self._chosen or next(iter(attempts_of(self._ran)), None)
        at = self._document(first, "begin.json").get(Attempt.TIME)
        return None if at is None else local_time(at)

    @property
    def finished_at(self) -> datetime | None:
        """When the attempt that counts ended; None while it has not."""
        at = self._document(self._folder(), "end.json").get(Attempt.TIME)
        return None if at is None else local_time(at)

    @property
    def stdout(self) -> str:
        """What the attempt that counts has printed so far."""
        return b"".join(self._chunks("stdout")).decode(errors="replace")

    @property
    def stderr(self) -> str:
        """What the attempt that counts has printed to standard error so far."""
        return b"".join(self._chunks("stderr")).decode(errors="replace")

    def loglines(self, stream: str = "stdout") -> Iterator[str]:
        """What the attempt that counts has printed so far, line by line; chunks are read as one comes to them.

        Args:
            stream: ``stdout`` or ``stderr``.

        Raises:
            ValueError: there is no such stream.
        """
        from flowinfra.runtime.logs import Lines

        if stream not in _STREAMS:
            raise ValueError(f"there is no stream {stream!r}: it is 'stdout' or 'stderr'")
        lines = Lines()
        for data in self._chunks(stream):
            yield from lines.feed(data)
        yield from lines.end()

    def _chunks(self, stream: str) -> Iterator[bytes]:
        folder = self._folder()
        if folder is None:
            return
        prefix = task_key(*self._ran.task, f"attempts/{folder}/")
        store = self._address.place.store
        names = [name.partition(".") for name in store.names(prefix)]
        for number in sorted(int(n) for kind, _, n in names if kind == _STREAMS[stream] and n.isdigit()):
            yield store.get(log_key(prefix, _STREAMS[stream], number))

    @property
    def exception(self) -> TaskFailure | None:
        """How it failed: the last failure of a task that has not ended well, or whose failure was caught."""
        if self._chosen is not None:
            return failure_of(self._document(self._chosen, "error.json"))
        if self.successful:
            return None
        for folder in reversed(attempts_of(self._ran)):
            document = self._document(folder, "error.json")
            if document:
                return failure_of(document)
        return None

    # -- what it left ---------------------------------------------------------------------------------------------

    @property
    def shelf(self) -> Shelf:
        """What its commit says of its artifacts; of an attempt that was asked for, only if that one committed."""
        commit = self._commit
        if commit is not None and self._chosen is not None and commit.attempt != self._chosen:
            commit = None
        return Shelf.of_task(self._address, commit)

    @property
    def artifacts(self) -> Artifacts:
        """Its artifacts by name, as objects: ``task.artifacts.x.size``, ``"x" in task.artifacts``."""
        return Artifacts(self.shelf)

    @property
    def data(self) -> Data:
        """Its artifacts' values: ``task.data.x``."""
        return Data(self.shelf)

    def __iter__(self) -> Iterator[Artifact]:
        return iter(self.artifacts)

    def __getitem__(self, name: str) -> Artifact:
        return self.artifacts[name]

    def __contains__(self, name: object) -> bool:
        return name in self.artifacts


def failure_of(document: Mapping[str, Any] | None) -> TaskFailure | None:
    """The failure that an error document tells; None if there is none."""
    if not document:
        return None
    from flowinfra.runtime.failures import TaskFailure

    return TaskFailure.from_document(document)
