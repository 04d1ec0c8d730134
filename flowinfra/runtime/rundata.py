"""The documents of one run in the store: who writes which, when, and what reading one back gives.

=================  ==================================  =====================================================
document           written by                          how often
=================  ==================================  =====================================================
``input.json``     whoever starts the run              once; the first task writes ``{}`` where nobody did
``run.json``       whoever starts the run              once; the first task where nobody did
``index/...``      whoever wrote ``run.json``          one entry, its key is made from ``run.json``
``begin.json``     each attempt, ``end.json`` too      once per attempt; ``error.json`` if it failed
``artifacts.json`` the attempt that commits            once per task: create-only, the others lose
``control.json``   copies out of the commit            after it, by whoever finds them missing
``last.json``      the task that ended a loop          the same
``end.json``       the task or scheduler that ends     once: create-only
=================  ==================================  =====================================================

``input.json`` is the mapping of parameter names to JSON values; a name that begins with ``$`` is never a parameter. A
large one is ``{"$ref": "blobs/..."}``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from flowinfra.canonical import canonical_json, sha256_hex
from flowinfra.diagnostics import ParameterError, RunError, error
from flowinfra.model.states import RunState
from flowinfra.orchestrators.start import StartedRun, write_index, write_start
from flowinfra.packaging.store import Store
from flowinfra.runtime.artifacts import Ref
from flowinfra.runtime.lineage import Lineage, TaskRef
from flowinfra.wire import (
    Attempt,
    Commit,
    End,
    RunDocument,
    attempt_folder,
    flow_key,
    run_key,
    task_key,
)

__all__ = ["AttemptFolder", "CommitValue", "RunData", "now_ms"]

_REF: Final = "$ref"


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class CommitValue:
    """What an ``artifacts.json`` says.

    Attributes:
        artifacts: by name.
        parents: the tasks that it started from.
        attempt: the name of the attempt's folder.
        decides: whether there is a control value.
        control: the control value: a list for a foreach, a text for a switch or loop.
        items: the items of a foreach in blobs, each of which holds a list of ``items_each`` (the last one fewer).
        failed: a fallback stands in for the step.
        origin: of a task that was taken over from the run that this one resumes: the pathspec of the task that was run,
            where its attempts are. It stays the same however often the run is resumed.
    """

    artifacts: Mapping[str, Ref]
    parents: Sequence[TaskRef] = ()
    attempt: str = ""
    decides: bool = False
    control: Any = None
    items: Sequence[Ref] = ()
    items_each: int = 0
    failed: bool = False
    origin: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it is stored; what is empty is left out."""
        document: dict[str, Any] = {
            Commit.ARTIFACTS: {name: ref.to_json() for name, ref in self.artifacts.items()},
            Commit.PARENTS: [list(parent) for parent in self.parents],
            Commit.ATTEMPT: self.attempt,
        }
        if self.decides:
            document[Commit.CONTROL] = self.control
        if self.items:
            document[Commit.ITEMS] = {"each": self.items_each, "blobs": [ref.to_json() for ref in self.items]}
        if self.failed:
            document[Commit.FAILED] = True
        if self.origin:
            document[Commit.ORIGIN] = self.origin
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> CommitValue:
        """As :meth:`to_json` wrote it."""
        items = document.get(Commit.ITEMS, {"each": 0, "blobs": []})
        return cls(
            {name: Ref.from_json(ref) for name, ref in document[Commit.ARTIFACTS].items()},
            tuple(TaskRef(*parent) for parent in document[Commit.PARENTS]),
            document[Commit.ATTEMPT],
            Commit.CONTROL in document,
            document.get(Commit.CONTROL),
            tuple(Ref.from_json(ref) for ref in items["blobs"]),
            items["each"],
            document.get(Commit.FAILED, False),
            document.get(Commit.ORIGIN, ""),
        )


@dataclass(frozen=True, slots=True)
class AttemptFolder:
    """The folder of one attempt.

    Attributes:
        data: the run.
        step: the step.
        task: the task's id.
        name: ``<attempt>-<unique>``.
    """

    data: RunData
    step: str
    task: str
    name: str

    @property
    def prefix(self) -> str:
        """The folder's key, with ``/`` behind it."""
        return self.data.task_key(self.step, self.task, f"attempts/{self.name}/")

    def begin(self, host: str, pid: int) -> None:
        """Write begin.json."""
        self._put("begin.json", {Attempt.TIME: now_ms(), Attempt.HOST: host, Attempt.PID: pid})

    def end(self, outcome: str) -> None:
        """Write end.json; *outcome* is ``committed``, ``superseded`` or ``failed``."""
        self._put("end.json", {Attempt.TIME: now_ms(), Attempt.OUTCOME: outcome})

    def error(self, document: Mapping[str, Any]) -> None:
        """Write error.json."""
        self._put("error.json", document)

    def read_error(self) -> dict[str, Any] | None:
        """What error.json says, if it is there."""
        data = self.data.store.find(f"{self.prefix}error.json")
        return None if data is None else json.loads(data)

    def _put(self, document: str, value: Mapping[str, Any]) -> None:
        self.data.store.put(f"{self.prefix}{document}", canonical_json(value))


@dataclass(frozen=True, slots=True)
class RunData:
    """A run in a store.

    Attributes:
        store: the store.
        flow: the flow's name.
        run: the run's id.
    """

    store: Store
    flow: str
    run: str
    _commits: dict[tuple[str, str], CommitValue] = field(default_factory=dict, repr=False, compare=False)

    # -- starting and ending --------------------------------------------------------------------------------------

    def read_input(self) -> dict[str, Any] | None:
        """The run's whole input, None if nobody has written it.

        Raises:
            ParameterError: FI715, it is no mapping of names to values, or names a blob that is not what it says.
        """
        data = self.store.find(run_key(self.flow, self.run, "input.json"))
        if data is None:
            return None
        value = _json(data)
        if isinstance(value, dict) and isinstance(value.get(_REF), str):
            folder, _, digest = value[_REF].rpartition("/")
            data = self.store.find(value[_REF]) if folder == f"blobs/{flow_key(self.flow)}" else None
            value = _json(data) if data is not None and sha256_hex(data) == digest else None
        if not isinstance(value, dict):
            raise ParameterError(
                error(
                    "FI715",
                    f"the input of the run {self.run} cannot be read",
                    detail="it is no JSON object of parameter names and values, or names a blob that is not what it says",
                    hint='start the run with an object such as {"alpha": 3}',
                )
            )
        return value

    def ensure_started(self, run: StartedRun, values: Mapping[str, Any], *, listed: bool = True) -> None:
        """Write input.json, run.json and, where the run shall be *listed*, its entry in the index, each unless it is there."""
        write_start(self.store, run, values)
        if not listed:
            return
        started = self.store.get_json(run_key(self.flow, self.run, "run.json"))[RunDocument.STARTED]
        write_index(self.store, replace(run, started_ms=started))

    def read_run(self) -> dict[str, Any] | None:
        """The run.json, if there is one."""
        data = self.store.find(run_key(self.flow, self.run, "run.json"))
        return None if data is None else json.loads(data)

    def end(self, state: str, failure: Mapping[str, Any] | None = None) -> bool:
        """Write the terminal marker; False if the run has ended before."""
        document: dict[str, Any] = {End.STATE: state, End.TIME: now_ms()}
        if failure:
            document[End.ERROR] = dict(failure)
        return self.store.create(run_key(self.flow, self.run, "end.json"), canonical_json(document))

    def read_end(self) -> dict[str, Any] | None:
        """The terminal marker, if the run has ended."""
        data = self.store.find(run_key(self.flow, self.run, "end.json"))
        return None if data is None else json.loads(data)

    # -- tasks ----------------------------------------------------------------------------------------------------

    def task_key(self, step: str, task: str, document: str) -> str:
        """The key of a document of a task."""
        return task_key(self.flow, self.run, step, task, document)

    def attempt(self, step: str, task: str, number: str, unique: str) -> AttemptFolder:
        """The folder of an attempt."""
        return AttemptFolder(self, step, task, attempt_folder(number, unique))

    def last_error(self, step: str, task: str) -> dict[str, Any]:
        """The error.json of the last attempt that left one; empty if none did."""
        folders = self.store.folders(self.task_key(step, task, "attempts"))
        numbered = [name for name in folders if name.partition("-")[0].isdigit()]
        for name in sorted(numbered, key=lambda n: int(n.partition("-")[0]), reverse=True):
            document = AttemptFolder(self, step, task, name).read_error()
            if document is not None:
                return document
        return {}

    def find_commit(self, step: str, task: str) -> CommitValue | None:
        """The commit of a task, if it has committed."""
        data = self.store.find(self.task_key(step, task, "artifacts.json"))
        return None if data is None else CommitValue.from_json(json.loads(data))

    def commit(self, step: str, task: str) -> CommitValue:
        """The commit of a task that must have committed.

        Raises:
            RunError: FI729, it has not.
        """
        found = self.find_commit(step, task)
        if found is None:
            raise RunError(
                error(
                    "FI729",
                    f"the task {step}/{task} of the run {self.run} has not committed, but a task behind it was started",
                    detail=f"there is no {self.task_key(step, task, 'artifacts.json')} in {self.store.url}",
                    hint="check that all tasks of the run use one store, and that nobody removes objects of a run",
                )
            )
        return found

    def kept_commit(self, step: str, task: str) -> CommitValue:
        """Like :meth:`commit`, and kept in memory: for the few that a task needs again and again."""
        if (step, task) not in self._commits:
            self._commits[step, task] = self.commit(step, task)
        return self._commits[step, task]

    def create_commit(self, step: str, task: str, commit: CommitValue) -> bool:
        """Commit; False if another attempt has."""
        data = json.dumps(commit.to_json(), separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        return self.store.create(self.task_key(step, task, "artifacts.json"), data)

    def publish(self, lineage: Lineage, step: str, task: str, commit: CommitValue) -> None:
        """Write the copies of a commit that others read, and the run's end where the task was its last one."""
        decision = lineage.decides(step)
        if decision.kind == "loop" and commit.control not in decision.again:
            self.write_last(step, *lineage.loop(task))
        if commit.decides:
            self.write_control(step, task, commit.control)
        if lineage.ends_run(step, commit.control if decision.kind in ("switch", "loop") else None):
            self.end(RunState.SUCCEEDED.value)

    def control(self, step: str, task: str) -> Any:
        """What a task has decided, out of its control.json: it is small, and whoever asks was started behind it."""
        return self.store.get_json(self.task_key(step, task, "control.json"))

    def write_control(self, step: str, task: str, value: Any) -> None:
        """Write control.json, a copy out of the commit."""
        self.store.put(self.task_key(step, task, "control.json"), canonical_json(value))

    def last(self, step: str, task: str) -> int:
        """The last iteration of the loop that *step* decides and that was entered with the id *task*."""
        return int(self.store.get_json(self.task_key(step, task, "last.json")))

    def write_last(self, step: str, task: str, n: int) -> None:
        """Write last.json."""
        self.store.put(self.task_key(step, task, "last.json"), canonical_json(n))


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
