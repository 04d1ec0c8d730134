"""Suspending runs of deployments: the process of a run is told, whoever tells it, and whatever dies meanwhile."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from local_project import Project, until

from flowinfra.model.states import RunState
from flowinfra.orchestrators.local.control import run_control, tell_control
from flowinfra.orchestrators.local.processes import wait_for_end
from flowinfra.runtime.holding import Hold


def heard(project: Project, run: str) -> list[str]:
    file = project.folder / f"heard-{run}"
    return file.read_text(encoding="utf-8").split() if file.exists() else []


def test_the_process_of_a_run_is_told(project: Project) -> None:
    """It hears that it shall hold back tasks and that it may go on; its pipe is gone when it has ended."""
    project.deploy()
    run = project.trigger("listen")
    project.began(run)
    assert project.local.suspend(run)
    until(lambda: heard(project, run)[-1:] == ["held"])
    assert not project.local.suspend(run)
    assert project.local.find(run).suspended
    assert project.local.suspend(run, suspended=False)
    until(lambda: heard(project, run)[-1:] == ["going"])
    project.go()
    assert project.ended(run).state is RunState.SUCCEEDED
    until(lambda: not run_control(project.home, run).exists())
    assert not project.local.suspend(run)


def test_what_was_asked_while_no_worker_lived_is_told_by_the_next_one(project: Project) -> None:
    """The process may miss what its suspender says; a worker that takes it over says how it is now."""
    project.deploy()
    run = project.trigger("listen")
    project.began(run)
    assert project.local.suspend(run)
    until(lambda: heard(project, run)[-1:] == ["held"])
    project.kill_worker()
    assert project.local.queue.suspend(run, False)  # nobody tells it
    before = len(heard(project, run))
    project.local.ensure_worker()
    until(lambda: heard(project, run)[before:][-1:] == ["going"])
    project.go()
    assert project.ended(run).state is RunState.SUCCEEDED


def test_a_suspended_run_that_waits_is_not_started(project: Project) -> None:
    """Nobody starts it, waiting for it starts no worker after worker, and it goes on when it may."""
    project.deploy()
    blocked = project.with_settings(max_runs=1)
    first = blocked.trigger("sleep")
    blocked.began(first)
    second = blocked.trigger("succeed")
    assert blocked.local.suspend(second)
    blocked.go()
    assert blocked.ended(first).state is RunState.SUCCEEDED
    until(lambda: blocked.worker() is None)
    assert blocked.local.wait(second, timeout=1.5).state is RunState.PENDING
    assert [s["run"] for s in blocked.starts()] == [first]
    assert blocked.local.suspend(second, suspended=False)
    assert blocked.ended(second).state is RunState.SUCCEEDED


def test_limits_of_the_deployment_reach_the_process_of_a_run(project: Project) -> None:
    """Its timeout is an argument, and the namespace of the client a variable."""
    project.deploy(timeout_seconds=7, user_namespace="user:ada")
    run = project.trigger("limits")
    project.ended(run)
    told = json.loads((project.folder / f"limits-{run}").read_text(encoding="utf-8"))
    assert told == {"timeout": 7.0, "namespace": "user:ada"}


@given(st.lists(st.booleans(), min_size=1, max_size=600))
def test_the_last_word_holds(words: list[bool]) -> None:
    """However much is told before anybody looks, what was said last is what holds."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        pipe = Path(folder) / "pipe"
        os.mkfifo(pipe)
        assert not tell_control(pipe, held=True)  # nobody listens
        hold = Hold(pipe)
        try:
            assert all(tell_control(pipe, held=word) for word in words)
            hold.hear()
            assert hold.held is words[-1]
            hold.hear()
            assert hold.held is words[-1]
        finally:
            hold.close()


def test_the_end_of_a_process_is_told() -> None:
    """Whoever waits for a process that ends is woken, and one that is gone is not waited for."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    told: list[bool] = []
    waiting = threading.Thread(target=lambda: told.append(wait_for_end(pid, 60)))
    waiting.start()
    assert not wait_for_end(pid, 0.01)
    os.close(write)
    waiting.join()
    assert told == [True]
    os.waitpid(pid, 0)
    assert not wait_for_end(pid, 60)
