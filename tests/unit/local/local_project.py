"""A project with a queue, workers and a program that stands in for real runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from flowinfra import wire
from flowinfra.orchestrators.local.interpreter import Interpreter, current_interpreter
from flowinfra.orchestrators.local.launch import worker_lock, worker_log
from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator
from flowinfra.orchestrators.local.processes import is_running
from flowinfra.orchestrators.local.records import Deployed, Deployment, RunRecord
from flowinfra.packaging.home import Home

T = TypeVar("T")

HERE = Path(__file__).resolve().parent


def until(found: Callable[[], T], seconds: float = 60) -> T:
    """What *found* returns once it is true; the time is only there so that a broken test ends."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        if time.monotonic() > deadline:
            pytest.fail("what was waited for does not come")
        time.sleep(0.01)
    return value


def accept(parameters: Sequence[Mapping[str, Any]], values: Mapping[str, Any], flow: str) -> Mapping[str, Any]:
    """A check of parameters that takes them all."""
    return values


@dataclass(frozen=True)
class Project:
    """A project's folder and its orchestrator."""

    folder: Path
    local: LocalOrchestrator
    release: str

    @property
    def home(self) -> Home:
        return self.local.home

    def with_settings(self, **changes: Any) -> Project:
        settings = replace(self.local.settings, **changes)
        return replace(self, local=replace(self.local, settings=settings))

    def deploy(self, *, interpreter: Interpreter | None = None, token: str = "token", **changes: Any) -> Deployed:
        wanted: dict[str, Any] = {
            "project": "shop",
            "stack": "dev",
            "domain": "dev",
            "flow": "Sort",
            "name": "nightly",
            "release": self.release,
            "bundle": "b" * 64,
        }
        deployment = Deployment(**{**wanted, **changes}, interpreter=interpreter or current_interpreter())
        return self.local.deployments.put(deployment, token=token)

    def trigger(self, do: str, **options: Any) -> str:
        return self.local.trigger("Sort/nightly", {"do": do}, check=accept, **options)

    def began(self, run: str) -> None:
        """Return when the run's process is at work."""
        until((self.folder / f"began-{run}").exists)

    def go(self) -> None:
        """Let the runs end that sleep."""
        (self.folder / "go").touch()

    def starts(self) -> list[dict[str, Any]]:
        """How runs were started, in order."""
        file = self.folder / "starts"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def ended(self, run: str) -> RunRecord:
        """The run once the worker has recorded its end; starts no worker, as waiting for it would."""

        def look() -> RunRecord | None:
            record = self.local.queue.find(run)
            return record if record is not None and record.ended else None

        return until(look)

    def marker(self, run: str) -> dict[str, Any] | None:
        """The run's end.json."""
        data = self.local.store.find(wire.run_key("Sort", run, "end.json"))
        return None if data is None else json.loads(data)

    def worker(self) -> int | None:
        """The number of the worker that is alive."""
        try:
            pid = int(worker_lock(self.home).read_text())
        except (OSError, ValueError):
            return None
        return pid if is_running(pid) else None

    def kill_worker(self) -> None:
        """End the worker as the kernel ends it when memory runs out."""
        pid = until(self.worker)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_running(pid))

    def log(self) -> str:
        return worker_log(self.home).read_text()

    def clean_up(self) -> None:
        self.go()
        pid = self.worker()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            until(lambda: not is_running(pid))
        for record in self.local.queue.running() if self.home.database.exists() else ():
            if record.pid is not None and is_running(record.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(record.pid, signal.SIGKILL)
