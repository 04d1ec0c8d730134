"""Runs to read: made by hand where a state is wanted, carried out by the worker where a real one is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowinfra import wire
from flowinfra.orchestrators.start import StartedRun, write_index, write_start
from flowinfra.packaging.home import Home
from flowinfra.packaging.store import Store
from flowinfra.runtime.artifacts import encode_all
from flowinfra.runtime.lineage import TaskRef
from flowinfra.runtime.rundata import CommitValue, RunData

STEPS = ("start", "work", "join", "end")
PROGRAM = [
    [
        {"kind": "task", "step": "start"},
        {"kind": "map", "body": 1, "over": "items", "join": "join"},
        {"kind": "task", "step": "join"},
        {"kind": "task", "step": "end"},
    ],
    [{"kind": "task", "step": "work"}],
]


@dataclass(frozen=True)
class Written:
    """A run that is written by hand."""

    data: RunData

    @property
    def pathspec(self) -> str:
        return f"{self.data.flow}/{self.data.run}"

    def begin(self, step: str, task: str = "0", attempt: str = "0", at: int = 0) -> str:
        """An attempt begins; its folder."""
        folder = wire.attempt_folder(attempt, "x")
        self._put(step, task, folder, "begin.json", {"time": at, "host": "h", "pid": 1})
        return folder

    def log(self, step: str, task: str, folder: str, chunks: Mapping[str, bytes]) -> None:
        for name, data in chunks.items():
            self.data.store.put(self.data.task_key(step, task, f"attempts/{folder}/{name}"), data)

    def fail(self, step: str, task: str, folder: str, message: str, at: int = 0) -> None:
        failure = {"type": "ValueError", "message": message, "traceback": "at work", "step": step, "task": task}
        self._put(step, task, folder, "error.json", {"time": at, **failure})
        self._put(step, task, folder, "end.json", {"time": at, "outcome": "failed"})

    def commit(
        self,
        step: str,
        task: str = "0",
        values: Mapping[str, Any] | None = None,
        *,
        parents: Sequence[tuple[str, str]] = (),
        attempt: str = "0",
        at: int = 0,
        failed: bool = False,
    ) -> None:
        """A task ends well and leaves *values*."""
        store, flow = self.data.store, self.data.flow
        refs = encode_all(values or {}, step, lambda blob, data: store.put_content(wire.blob_key(flow, blob), data))
        folder = self.begin(step, task, attempt, at)
        self._put(step, task, folder, "end.json", {"time": at + 1000, "outcome": "committed"})
        commit = CommitValue(refs, [TaskRef(*p) for p in parents], folder, failed=failed)
        assert self.data.create_commit(step, task, commit)

    def succeed(self) -> None:
        """All steps end well, the foreach has 12 items."""
        self.commit("start", values={"items": list(range(12))}, at=1000)
        for n in range(12):
            self.commit("work", f"0.{n}", {"square": n * n}, parents=[("start", "0")], at=2000 + n)
        self.commit("join", parents=[("work", f"0.{n}") for n in range(12)], at=3000)
        self.commit("end", values={"total": 506, "name": "Zoë"}, parents=[("join", "0")], at=4000)
        self.data.end("succeeded")

    def _put(self, step: str, task: str, folder: str, name: str, value: Mapping[str, Any]) -> None:
        key = self.data.task_key(step, task, f"attempts/{folder}/{name}")
        self.data.store.put(key, json.dumps(value).encode())


@dataclass(frozen=True)
class Shelves:
    """A project whose store has runs."""

    home: Home
    store: Store
    release: str

    def write(self, run: str, *, started_ms: int = 1_700_000_000_000, flow: str = "Sort", **more: Any) -> Written:
        """A run that has been started."""
        started = StartedRun(flow=flow, run=run, release=self.release, started_ms=started_ms, target="local", **more)
        write_start(self.store, started, {})
        write_index(self.store, started)
        return Written(RunData(self.store, flow, run))
