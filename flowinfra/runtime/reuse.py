"""Which tasks a resumed run takes over from its origin, and taking them over beside the loop.

A task is taken over if the origin has committed it and everything that it builds on was taken over as well; if the
program of this run makes it start from the same parents and decide in the same way; and if all that its commit names is
still there. Then its commit is copied, with ``origin`` set, and so are the copies that others read (``control.json``,
``last.json``). Values are shared by all runs of a flow, so none is copied, and no process is started.

What does not fit is run again, and everything behind it: nothing here can make a run wrong, only slower.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from flowinfra.diagnostics import PackagingError
from flowinfra.packaging.release import load
from flowinfra.packaging.store import Store
from flowinfra.runtime.artifacts import Ref, encode_all
from flowinfra.runtime.parameters import to_python
from flowinfra.runtime.prepared import Prepared
from flowinfra.runtime.rundata import CommitValue, RunData
from flowinfra.runtime.scheduler import UNLIMITED, TaskAttempt
from flowinfra.wire import RunDocument, blob_key

__all__ = ["Reuse", "Taken", "Taker", "fixed_values", "release_of", "steps_changed"]

#: How many tasks are looked at and not yet answered for; so much memory is in use, however many there are.
WINDOW: Final = 64

_FILE_THREADS, _REMOTE_THREADS = 1, 16  # a request to an object store takes a hundred times as long as a file
_KNOWN_BLOBS: Final = 100_000
_NOTES: Final = 10
_CHAIN: Final = 16  # so many runs that resume one another are looked at


@dataclass(frozen=True, slots=True)
class Taken:
    """A task was taken over."""

    control: Any = None
    """What it had decided."""
    reach: int = 0
    """In which of the origins it was run."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A run that is resumed, or that one before it had resumed.

    Attributes:
        data: its documents.
        plan: its release; None where the store does not have it any more.
        altered: parameters and configs, by attribute, that are others now; what is taken over gets the new ones.
        rerun: steps of which it took nothing over itself: what it has not committed of them, none before it has.
    """

    data: RunData
    plan: Prepared | None
    altered: frozenset[str] = frozenset()
    rerun: frozenset[str] = frozenset()


@dataclass(slots=True)
class Reuse:
    """Takes over the tasks of one run from others of the same flow, in one store.

    A run that resumes another one may have ended before it had taken over all that it could. So the run that that one
    had resumed is asked as well, and so on: for tasks of which nothing that they build on was run since.

    Attributes:
        data: the run.
        prepared: its release.
        values: the values of its parameters and configs by attribute, but for those that only a task can make.
        origins: the run that it resumes, the one that that one has resumed, and so on.
        rerun: steps whose tasks are run again in any case.
        notes: what whoever watches should know.
    """

    data: RunData
    prepared: Prepared
    values: Mapping[str, Any]
    origins: Sequence[Origin]
    rerun: Collection[str] = ()
    notes: deque[str] = field(default_factory=deque)
    _noted: int = 0
    _there: set[str] = field(default_factory=set)
    _added: dict[str, Ref] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        data: RunData,
        prepared: Prepared,
        parameters: Mapping[str, Any],
        origin: str,
        rerun: Collection[str] = (),
    ) -> Reuse:
        """What the run *data* takes over from the run with the id *origin*.

        Raises:
            PackagingError: the store cannot be read; FI411, the origin speaks another wire version.
        """
        values = fixed_values(prepared, parameters)
        origins: list[Origin] = []
        names = {data.run}
        while origin and origin not in names and len(origins) < _CHAIN:
            names.add(origin)
            source = RunData(data.store, data.flow, origin)
            recorded = source.read_run() or {}
            digest = recorded.get(RunDocument.RELEASE, "")
            release = prepared.release if digest == prepared.digest else release_of(data.store, digest)
            plan = None if release is None else Prepared.of(digest, release)
            given = fixed_values(plan or prepared, source.read_input() or {})
            # What a run was not given its first task has made, as it would make it now.
            altered = frozenset(name for name in values if name in given and given[name] != values[name])
            origins.append(Origin(source, plan, altered, frozenset(recorded.get(RunDocument.RERUN, ()))))
            origin = recorded.get(RunDocument.ORIGIN, "")
        return cls(data, prepared, values, origins, frozenset(rerun))

    def take(self, step: str, task: str, reach: int = UNLIMITED) -> Taken | None:
        """Take over a task of which everything that it builds on was taken over; None if it has to be run.

        Args:
            step: the step.
            task: the task's id.
            reach: the last of the origins that may be asked, from 0.

        Raises:
            PackagingError: the store cannot be used.
        """
        if step in self.rerun:
            return None
        for origin in self.origins[: reach + 1]:
            commit = self._commit(origin, step, task)
            if commit is not None:
                return self._take(origin, step, task, commit)
            if step in origin.rerun:
                return None
        return None

    def _commit(self, origin: Origin, step: str, task: str) -> CommitValue | None:
        found = origin.data.store.find(origin.data.task_key(step, task, "artifacts.json"))
        if found is None:
            return None
        try:
            commit = CommitValue.from_json(json.loads(found))
        except (ValueError, TypeError, KeyError, AttributeError):
            self._note(origin, step, task, "what it has committed cannot be read")
            return None
        if not self._is_there(commit):
            self._note(origin, step, task, "values that it has left are not in the store any more")
            return None
        return commit

    def _take(self, origin: Origin, step: str, task: str, commit: CommitValue) -> Taken | None:
        whole = self._with_values(origin, step, commit) if self._fits(origin, step, task, commit) else None
        if whole is None:
            return None
        ran = commit.origin or f"{self.data.flow}/{origin.data.run}/{step}/{task}"
        whole = replace(whole, origin=ran)
        self.data.create_commit(step, task, whole)
        self.data.publish(self.prepared.lineage, step, task, whole)
        run = ran.split("/")[1]
        runs = [one.data.run for one in self.origins]
        return Taken(whole.control, runs.index(run) if run in runs else len(runs))

    def _note(self, origin: Origin, step: str, task: str, why: str) -> None:
        self._noted += 1
        if self._noted <= _NOTES:
            self.notes.append(f"{step}/{task} cannot be taken over from the run {origin.data.run}: {why}")
        elif self._noted == _NOTES + 1:
            self.notes.append(f"so it is with further tasks of the run {origin.data.run}")

    def _fits(self, origin: Origin, step: str, task: str, commit: CommitValue) -> bool:
        """Whether the program of this run has the task in the same place."""
        lineage, before = self.prepared.lineage, origin.plan
        decision = lineage.decides(step)
        if decision.kind == "none" and commit.decides:
            return False
        if decision.kind == "foreach" and not _is_foreach(commit, decision.attribute):
            return False
        if decision.kind in ("switch", "loop") and commit.control not in decision.cases:
            return False
        if before is not None and before.release["program"] == self.prepared.release["program"]:
            return True  # the same parents, as all that they follow from was taken over
        if before is not None and (step not in before.nodes or before.lineage.decides(step).kind != decision.kind):
            return False
        if before is not None and before.lineage.decides(step).attribute != decision.attribute:
            return False
        parents = lineage.parents(step, task, self.data.control, self.data.last)
        return len(parents) == len(commit.parents) and all(a == b for a, b in zip(parents, commit.parents, strict=True))

    def _with_values(self, origin: Origin, step: str, commit: CommitValue) -> CommitValue | None:
        """The commit with parameters and configs as they are now; None if only a task can make what is missing."""
        catch = self.prepared.nodes[step].get("policy", {}).get("catch", {}).get("var")
        wanted = origin.altered | {name for name in self.prepared.fixed if name not in commit.artifacts}
        values = self.values
        if catch and catch not in commit.artifacts:  # as a task leaves it that did not fail
            wanted, values = wanted | {catch}, {**values, catch: None}
        if not wanted:
            return commit
        for name in wanted.difference(self._added):
            if name not in values:
                return None  # a computed default, or a file
            self._added |= encode_all({name: values[name]}, step, self._put)
        return replace(commit, artifacts={**commit.artifacts, **{name: self._added[name] for name in wanted}})

    def _put(self, blob: str, data: bytes) -> None:
        self.data.store.put_content(blob_key(self.data.flow, blob), data)

    def _is_there(self, commit: CommitValue) -> bool:
        """Whether the store has all values that a commit names; each is looked for once."""
        if len(self._there) > _KNOWN_BLOBS:
            self._there.clear()
        for ref in (*commit.artifacts.values(), *commit.items):
            if ref.blob in self._there:
                continue
            if not self.data.store.exists(blob_key(self.data.flow, ref.blob)):
                return False
            self._there.add(ref.blob)
        return True


def fixed_values(plan: Prepared, given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters and configs of a run by attribute, as its tasks see them."""
    values = {b["attribute"]: b["value"] for b in plan.bindings}
    for parameter in plan.parameters:
        if parameter["name"] in given and parameter["type"] != "file":
            with contextlib.suppress(ValueError, TypeError):  # of another type in the release that is not there
                values[parameter["attribute"]] = to_python(parameter, given[parameter["name"]])
    return values


def _is_foreach(commit: CommitValue, attribute: str) -> bool:
    return isinstance(commit.control, list) and (attribute in commit.artifacts or bool(commit.items))


class Taker:
    """Takes over tasks in threads of its own, so that the loop starts and hears tasks meanwhile.

    Args:
        reuse: what takes them over.
    """

    def __init__(self, reuse: Reuse) -> None:
        self._reuse = reuse
        self._asked: queue.SimpleQueue[TaskAttempt | None] = queue.SimpleQueue()
        self._answers: deque[tuple[TaskAttempt, Taken | Exception | None]] = deque()
        self._hears, self._rings = socket.socketpair()
        self._hears.setblocking(False)
        self._rings.setblocking(False)
        self._threads: list[threading.Thread] = []
        self._open = 0

    def fileno(self) -> int:
        """What becomes readable when :meth:`answers` has something."""
        return self._hears.fileno()

    @property
    def full(self) -> bool:
        """Whether so many are asked for that no further one should be."""
        return self._open >= WINDOW

    def ask(self, attempt: TaskAttempt) -> None:
        """Have *attempt* taken over, or be told that it has to be run."""
        if not self._threads:
            self._begin()
        self._open += 1
        self._asked.put(attempt)

    def answers(self) -> list[tuple[TaskAttempt, Taken | None]]:
        """What was found out since this was last asked.

        Raises:
            FlowinfraError: the store cannot be used.
        """
        with contextlib.suppress(BlockingIOError):
            self._hears.recv(4096)
        found: list[tuple[TaskAttempt, Taken | None]] = []
        while self._answers:
            attempt, answer = self._answers.popleft()
            self._open -= 1
            if isinstance(answer, Exception):
                raise answer
            found.append((attempt, answer))
        return found

    def notes(self) -> list[str]:
        """What whoever watches should know, since this was last asked."""
        notes = self._reuse.notes
        return [notes.popleft() for _ in range(len(notes))]

    def close(self) -> None:
        """End the threads; what was asked for and not begun is left."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._asked.get_nowait()
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            thread.join()
        self._hears.close()
        self._rings.close()

    def _begin(self) -> None:
        store: Store = self._reuse.data.store
        count = _FILE_THREADS if store.url.startswith("file://") else _REMOTE_THREADS
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while (attempt := self._asked.get()) is not None:
            answer: Taken | Exception | None
            try:
                answer = self._reuse.take(attempt.step, attempt.task, attempt.reach)
            except Exception as why:  # noqa: BLE001 - the loop raises it; a thread that dies would let it wait for ever
                answer = why
            self._answers.append((attempt, answer))
            with contextlib.suppress(OSError):  # full: the loop is told already
                self._rings.send(b"x")


def release_of(store: Store, digest: str) -> dict[str, Any] | None:
    """The release that a run was pinned to; None if it is not there any more, or damaged.

    Raises:
        PackagingError: FI411, it speaks another wire version, as the documents of its runs do; FI403, no store answers.
    """
    try:
        return load(store, digest)
    except PackagingError as why:
        if why.diagnostics[0].code in ("FI401", "FI410", "FI412"):
            return None
        raise


def steps_changed(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The steps whose code is another one than it was, out of the graphs of two releases; new ones are among them."""
    digests = {step["name"]: step.get("code_digest") for step in before}
    return frozenset(step["name"] for step in now if digests.get(step["name"]) != step.get("code_digest"))
