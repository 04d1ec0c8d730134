"""What the client reads of runs that the worker really carried out, from the unpacked bundle."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from flowinfra import Flow, Run, wire
from flowinfra.authoring.loader import load_flow
from flowinfra.model.states import RunState
from flowinfra.orchestrators.local.interpreter import current_interpreter
from flowinfra.orchestrators.local.launch import WorkerSettings, run_log, worker_lock
from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator
from flowinfra.orchestrators.local.records import Deployment
from flowinfra.packaging.build import build
from flowinfra.packaging.home import Home
from flowinfra.runtime.parameters import check_parameters
from support.flows import imports_undone

FLOW = """
import sys
import time
from pathlib import Path

from flowinfra import FlowSpec, Parameter, catch, retry, step


class Sort(FlowSpec):
    width = Parameter(default=3, type=int)
    wait = Parameter(default="", type=str)
    broken = Parameter(default=False, type=bool)

    @step
    def start(self):
        self.items = list(range(self.width))
        print("grüße")
        print("to err", file=sys.stderr)
        while self.wait and not Path(self.wait).exists():
            Path(self.wait + ".began").touch()
            time.sleep(0.01)
        self.next(self.work, foreach="items")

    @retry(times=1)
    @step
    def work(self):
        from flowinfra import current

        if current.retry_count == 0 and self.input == 1:
            raise ValueError("once is not enough")
        self.square = self.input ** 2
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(i.square for i in inputs)
        if self.broken:
            raise RuntimeError("for good")
        self.next(self.risky)

    @catch(var="problem")
    @step
    def risky(self):
        raise KeyError("caught")
        self.next(self.end)

    @step
    def end(self):
        self.result = {"total": self.total}


if __name__ == "__main__":
    Sort()
"""


@dataclass(frozen=True)
class Deployed:
    local: LocalOrchestrator
    folder: Path

    def trigger(self, **parameters: Any) -> str:
        return self.local.trigger("Sort/nightly", parameters, check=check_parameters)

    def run(self, **parameters: Any) -> Run:
        """A run that has ended."""
        run = self.trigger(**parameters)
        record = self.local.wait(run, 120)
        assert record.ended, run_log(self.local.home, run).read_text()
        return Run(f"Sort/{run}")


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    """A deployment of a real flow whose source is gone."""
    for name in ("FLOWINFRA_HOME", "FLOWINFRA_STORE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    file = folder / f"sort_{uuid4().hex}.py"
    file.write_text(FLOW, encoding="utf-8")
    local = LocalOrchestrator.open(Home.find(folder).ensure(), settings=WorkerSettings(idle_seconds=0.3))
    with imports_undone():
        built = build(load_flow(file))
    file.unlink()
    local.store.put(wire.release_key(built.release), built.release_bytes)
    local.store.put(wire.bundle_key(built.bundle.digest), built.bundle.data)
    local.deployments.put(
        Deployment(
            project="shop",
            stack="dev",
            domain="dev",
            flow="Sort",
            name="nightly",
            release=built.release,
            bundle=built.bundle.digest,
            interpreter=current_interpreter(),
            max_workers=2,
        ),
        token="t",
    )
    yield Deployed(local, folder)
    for record in local.queue.running():
        local.stop(record.run)
        local.wait(record.run, 60)
    pid = worker_lock(local.home)
    if pid.exists():
        try:
            os.kill(int(pid.read_text()), signal.SIGTERM)
        except (ProcessLookupError, ValueError):
            return


def test_a_real_run_is_read_as_it_was(deployed: Deployed) -> None:
    """Results, parameters, items, attempts, logs, failures and parents of a run that the worker carried out."""
    run = deployed.run(width=4)
    assert (run.state, run.finished, run.successful, run.failure) == (RunState.SUCCEEDED, True, True, None)
    assert run == Flow("Sort").latest_run == Flow("Sort").latest_successful_run
    assert run.deployment == "Sort/nightly"
    assert [step.id for step in run] == ["end", "risky", "join", "work", "start"]
    assert run.data.result == {"total": 14}
    assert run.data.width == 4
    assert [task.index for task in run["work"]] == [0, 1, 2, 3]
    assert [task.data.square for task in run["work"]] == [0, 1, 4, 9]
    assert [task.attempt for task in run["work"]] == [0, 1, 0, 0]
    assert run["work"]["0.1"].exception is None
    start = run["start"].task
    assert start.stdout == "grüße\n"
    assert start.stderr == "to err\n"
    assert [task.pathspec for task in run["join"].task.parent_tasks] == [task.pathspec for task in run["work"]]
    risky = run["risky"].task
    assert (risky.finished, risky.successful) == (True, False)
    assert risky.exception is not None
    assert risky.exception.type == "KeyError"
    assert "caught" in risky.stderr + risky.exception.traceback
    assert run.data.problem.type == "KeyError"
    assert run.finished_at is not None
    assert run.finished_at >= run.created_at


def test_a_real_failure_is_read_as_it_was(deployed: Deployed) -> None:
    """The run says which task failed and why; the task says it too, with the user's own trace."""
    run = deployed.run(broken=True)
    assert (run.state, run.finished, run.successful) == (RunState.FAILED, False, False)
    assert run.failure is not None
    assert (run.failure.step, run.failure.type, run.failure.message) == ("join", "RuntimeError", "for good")
    task = run["join"].task
    assert not task.finished
    assert task.exception is not None
    assert task.exception.message == "for good"
    assert "flowinfra/runtime" not in task.exception.traceback
    assert Flow("Sort").latest_successful_run is None


def test_a_real_run_that_is_stopped_is_stopped(deployed: Deployed) -> None:
    """Stopping ends the tasks and leaves a terminal marker."""
    wait = deployed.folder / "wait"
    run = deployed.trigger(wait=str(wait))
    until(Path(f"{wait}.began").exists)
    assert Run(f"Sort/{run}").state is RunState.RUNNING
    deployed.local.stop(run)
    assert deployed.local.wait(run, 60).state is RunState.STOPPED
    assert Run(f"Sort/{run}").state is RunState.STOPPED


def test_a_real_run_survives_the_death_of_its_worker(deployed: Deployed) -> None:
    """A run goes on when the worker is killed, and its end is read all the same."""
    wait = deployed.folder / "wait"
    run = deployed.trigger(wait=str(wait))
    until(Path(f"{wait}.began").exists)
    os.kill(int(worker_lock(deployed.local.home).read_text()), signal.SIGKILL)
    wait.touch()
    assert deployed.local.wait(run, 60).state is RunState.SUCCEEDED
    assert Run(f"Sort/{run}").data.result == {"total": 5}


def until(found: Callable[[], object]) -> None:
    """Return once *found* is true; the limit only ends a broken test."""
    import time

    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)
