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
from flowinfra.runtime.rundata import CommitValue, RunData
from flowinfra.runtime.scheduler import TaskAttempt
from flowinfra.runtime.task import Prepared
from flowinfra.wire import RunDocument, blob_key

__all__ = ["Reuse", "Taken", "Taker", "release_of", "steps_changed"]

#: How many tasks are looked at and not yet answered for; so much memory is in use, however many there are.
WINDOW: Final = 64

_FILE_THREADS, _REMOTE_THREADS = 1, 16  # a request to an object store takes a hundred times as long as a file
_KNOWN_BLOBS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Taken:
    """A task was taken over; *control* is what it had decided."""

    control: Any = None


@dataclass(slots=True)
class Reuse:
    """Takes over the tasks of one run from another one of the same flow, in one store.

    Attributes:
        data: the run.
        prepared: its release.
        values: the values of its parameters and configs by attribute, but for those that only a task can make.
        altered: those that are others than in the origin; what is taken over gets the new ones.
        origin: the run that it resumes.
        before: the origin's release; None where the store does not have it any more.
        rerun: steps whose tasks are run again in any case.
        notes: what whoever watches should know.
    """

    data: RunData
    prepared: Prepared
    values: Mapping[str, Any]
    origin: RunData
    before: Prepared | None
    altered: frozenset[str] = frozenset()
    rerun: Collection[str] = ()
    notes: deque[str] = field(default_factory=deque)
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
        source = RunData(data.store, data.flow, origin)
        digest = (source.read_run() or {}).get(RunDocument.RELEASE, "")
        release = prepared.release if digest == prepared.digest else release_of(data.store, digest)
        before = None if release is None else Prepared.of(digest, release)
        values, given = _values(prepared, parameters), _values(before or prepared, source.read_input() or {})
        # What a run was not given its first task has made, as it would make it now.
        altered = frozenset(name for name in values if name in given and given[name] != values[name])
        return cls(data, prepared, values, source, before, altered, frozenset(rerun))

    def take(self, step: str, task: str) -> Taken | None:
        """Take over a task of which everything that it builds on was taken over; None if it has to be run.

        Raises:
            PackagingError: the store cannot be used.
        """
        if step in self.rerun:
            return None
        found = self.origin.store.find(self.origin.task_key(step, task, "artifacts.json"))
        if found is None:
            return None
        try:
            commit = CommitValue.from_json(json.loads(found))
        except (ValueError, TypeError, KeyError, AttributeError):
            self._note(step, task, "what it has committed cannot be read")
            return None
        if not self._fits(step, task, commit):
            return None
        whole = self._with_parameters(step, commit)
        if whole is None:
            return None
        if not self._is_there(commit):
            self._note(step, task, "values that it has left are not in the store any more")
            return None
        ran = commit.origin or f"{self.data.flow}/{self.origin.run}/{step}/{task}"
        whole = replace(whole, origin=ran)
        self.data.create_commit(step, task, whole)
        self.data.publish(self.prepared.lineage, step, task, whole)
        return Taken(whole.control)

    def _note(self, step: str, task: str, why: str) -> None:
        self.notes.append(f"{step}/{task} of the run {self.origin.run} is run again: {why}")

    def _fits(self, step: str, task: str, commit: CommitValue) -> bool:
        """Whether the program of this run has the task in the same place."""
        lineage, before = self.prepared.lineage, self.before
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

    def _with_parameters(self, step: str, commit: CommitValue) -> CommitValue | None:
        """The commit with the parameters that the flow did not have then; None if only a task can make what is missing."""
        catch = self.prepared.nodes[step].get("policy", {}).get("catch", {}).get("var")
        if catch and catch not in commit.artifacts:
            return None
        wanted = self.altered | {name for name in self.prepared.fixed if name not in commit.artifacts}
        if not wanted:
            return commit
        for name in wanted.difference(self._added):
            if name not in self.values:
                return None  # a computed default, or a file
            self._added |= encode_all({name: self.values[name]}, step, self._put)
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


def _values(plan: Prepared, given: Mapping[str, Any]) -> dict[str, Any]:
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
                answer = self._reuse.take(attempt.step, attempt.task)
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
