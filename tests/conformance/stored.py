"""A flow that lies in a store ready to be run, task by task, as an orchestrator without a client would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.backends import Observed
from flowinfra.authoring.loader import load_flow
from flowinfra.orchestrators.start import StartedRun
from flowinfra.packaging.build import Built, build
from flowinfra.packaging.store import Store
from flowinfra.runtime.rundata import RunData
from flowinfra.runtime.task import Prepared, prepare
from flowinfra.wire import ENV_ATTEMPT, ENV_STORE, bundle_key, release_key

ROOT = str(Path(__file__).resolve().parents[2])


@dataclass(frozen=True)
class Stored:
    """A compiled flow in a store, and a run of it."""

    built: Built
    store: Store
    cache: Path

    @classmethod
    def put(cls, file: Path, flow: str, folder: Path) -> Stored:
        """Compile a flow and write bundle and release, but nothing of a run."""
        built = build(load_flow(file, flow))
        store = Store.open(str(folder / "store"))
        store.put_content(bundle_key(built.bundle.digest), built.bundle.data)
        store.put_content(release_key(built.release), built.release_bytes)
        return cls(built, store, folder / "cache")

    @property
    def data(self) -> RunData:
        """The run."""
        return RunData(self.store, self.built.graph.name, "r1")

    @property
    def prepared(self) -> Prepared:
        """The release."""
        return prepare(self.store, self.built.release)

    @property
    def observed(self) -> Observed:
        """What the run has left so far."""
        return Observed(self.data)

    def started(self, values: Mapping[str, Any]) -> Stored:
        """Write what a client writes before a run starts."""
        run = StartedRun(
            flow=self.built.graph.name,
            run="r1",
            release=self.built.release,
            started_ms=1_700_000_000_000,
            target="local",
        )
        self.data.ensure_started(run, values)
        return self

    def popen(self, step: str, task: str, attempt: str = "0", **env: str) -> subprocess.Popen[str]:
        """Start the task program."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWINFRA_")}
        environment = {
            **kept,
            ENV_STORE: self.store.url,
            ENV_ATTEMPT: f"a{attempt}",
            "XDG_CACHE_HOME": str(self.cache),
            "PYTHONPATH": ROOT,
            "PYTHONHASHSEED": "0",  # sets are pickled in the order of hashes
            **env,
        }
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "flowinfra.runtime.entrypoint", self.built.release, "r1", step, task, attempt],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def task(self, step: str, task: str, attempt: str = "0", **env: str) -> subprocess.CompletedProcess[str]:
        """Run the task program to its end."""
        process = self.popen(step, task, attempt, **env)
        out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)
