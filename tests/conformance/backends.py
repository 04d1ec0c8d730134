"""Who runs the shapes: a backend per target. What came out is read from the store, in the same way for all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from conformance.shapes import Shape
from flowinfra.packaging.store import Store
from flowinfra.runtime.artifacts import Artifacts
from flowinfra.runtime.rundata import CommitValue, RunData

DRIVER = Path(__file__).with_name("driver.py")


@dataclass(frozen=True)
class Observed:
    """What a run has left in its store."""

    data: RunData
    events: tuple[dict[str, Any], ...] = ()

    @property
    def state(self) -> str:
        """How it ended."""
        return str((self.data.read_end() or {}).get("state"))

    @property
    def error(self) -> Mapping[str, Any]:
        """What failed."""
        return (self.data.read_end() or {}).get("error") or {}

    def trace(self) -> Counter[str]:
        """Each attempt that has begun, as ``step@task@attempt``."""
        out: Counter[str] = Counter()
        steps = self.data.task_key("", "", "").rstrip("/")
        store = self.data.store
        for step in store.folders(steps):
            for task in store.folders(f"{steps}/{step}"):
                attempts = store.folders(f"{steps}/{step}/{task}/attempts")
                out.update(f"{step}@{task}@{name.rpartition('-')[0]}" for name in attempts)
        return out

    def commit(self, place: str) -> CommitValue:
        """The commit of ``step@task``."""
        return self.data.commit(*place.split("@"))

    def artifacts(self, place: str) -> Artifacts:
        """The artifacts of ``step@task``."""
        return Artifacts(self.data.store, self.data.flow, self.commit(place).artifacts)

    def log(self, place: str, stream: str = "out") -> str:
        """What the attempts of ``step@task`` have printed, one after the other."""
        prefix = self.data.task_key(*place.split("@"), "attempts")
        chunks = [key for key in self.data.store.list(prefix) if key.rpartition("/")[2].startswith(f"{stream}.")]
        chunks.sort(key=lambda key: (key.rpartition("/")[0], int(key.rpartition(".")[2])))
        return b"".join(self.data.store.get(key) for key in chunks).decode()


class Backend(Protocol):
    """Runs shapes on one target."""

    name: str

    def run(self, shape: Shape, folder: Path) -> Observed:
        """Run *shape* to its end; *folder* is empty and the backend's own."""


@dataclass(frozen=True)
class LocalBackend:
    """The local scheduler, as a process of its own: what runs under a test runner has threads and cannot be forked."""

    name: str
    method: str

    def __str__(self) -> str:
        return self.method

    def start(self, flow: Path, cls: str, folder: Path, **more: Any) -> subprocess.Popen[str]:
        """Start a run of a flow; its events come as lines of JSON on stdout."""
        said = {
            "file": str(flow),
            "flow": cls,
            "store": str(folder / "store"),
            "run": "r1",
            "method": self.method,
            "parameters": {},
            **more,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWINFRA_")}
        root = str(Path(__file__).resolve().parents[2])
        process = subprocess.Popen(
            [sys.executable, str(DRIVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**kept, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=folder,
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(said) + "\n")
        process.stdin.flush()
        return process

    def run(self, shape: Shape, folder: Path) -> Observed:
        """Run *shape*."""
        return self.run_flow(shape.path, shape.flow, folder, parameters=dict(shape.parameters))

    def run_flow(self, flow: Path, cls: str, folder: Path, **more: Any) -> Observed:
        """Run a flow to its end."""
        process = self.start(flow, cls, folder, **more)
        out, err = process.communicate()
        if process.returncode not in (0, 1) or "Traceback" in err:
            pytest.fail(f"the driver exited {process.returncode}\n{out}\n{err}", pytrace=False)
        events = tuple(json.loads(line) for line in out.splitlines())
        return Observed(RunData(Store.open(str(folder / "store")), cls, more.get("run", "r1")), events)


FORK = LocalBackend("local fork", "fork")
SPAWN = LocalBackend("local spawn", "spawn")
