from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from local_project import Project, until

from flowinfra import wire
from flowinfra.model.states import RunState
from flowinfra.orchestrators.local.interpreter import current_interpreter
from flowinfra.orchestrators.local.launch import run_lock, run_log, worker_lock
from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator
from flowinfra.orchestrators.local.processes import FileLock, ProcessId, is_running
from flowinfra.orchestrators.local.records import Launch, NewRun

START = """
import sys
from pathlib import Path
from flowinfra.orchestrators.local.launch import WorkerSettings
from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator
from flowinfra.packaging.home import Home
local = LocalOrchestrator.open(Home.find(sys.argv[1], {}), settings=WorkerSettings(program="queued_run"))
sys.stdin.read()
print(local.ensure_worker())
"""


def dead_process() -> str:
    """The identity of a process that has ended."""
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    identity = replace(ProcessId.current(), pid=child.pid, start="gone")
    child.communicate()
    return str(identity)


def new_run(project: Project, run: str) -> NewRun:
    return NewRun(
        run=run,
        flow="Sort",
        release=project.release,
        store=project.local.store.url,
        launch=Launch(bundle="b" * 64, interpreter=current_interpreter()),
    )


def write_input(project: Project, run: str, do: str) -> None:
    project.local.store.put(wire.run_key("Sort", run, "input.json"), b'{"do": "%s"}' % do.encode())


def test_a_worker_is_started_by_the_first_run_and_ends_by_itself(project: Project) -> None:
    """Nothing has to be started by hand, and nothing is left running."""
    project.deploy(max_workers=5)
    run = project.trigger("succeed")
    pid = until(project.worker)
    record = project.ended(run)
    assert record.state is RunState.SUCCEEDED
    assert project.starts() == [{"run": run, "max_workers": 5, "secret": False}]
    until(lambda: not is_running(pid))
    assert not run_lock(project.home, run).exists()
    assert "carrying out" in run_log(project.home, run).read_text()


def test_a_worker_outlives_the_process_that_started_it(project: Project) -> None:
    """Whoever triggers may go: the worker has a session of its own and no parent."""
    project.deploy()
    run = project.trigger("sleep")
    project.began(run)
    pid = until(project.worker)
    assert os.getsid(pid) != os.getsid(0)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)
    project.go()
    assert project.ended(run).state is RunState.SUCCEEDED


def test_of_many_who_start_a_worker_at_once_one_does(project: Project) -> None:
    """There is never a second worker for a home."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", START, str(project.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
    said = []
    for child in children:
        assert child.stdout is not None
        said.append(child.stdout.read().strip())
        child.stdout.close()
        assert child.wait() == 0
    assert sorted(said) == ["False"] * 4 + ["True"]


def test_a_worker_that_is_not_needed_ends_at_once(project: Project) -> None:
    """Started by hand beside one that is alive, it says so and leaves."""
    lock = FileLock.acquire(worker_lock(project.home))
    assert lock is not None
    done = subprocess.run(
        [sys.executable, "-m", "flowinfra.orchestrators.local.worker", "--home", str(project.home.path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    lock.release()
    assert done.returncode == 0
    assert "a worker is alive" in done.stderr


def test_no_run_is_forgotten_between_two_workers(project: Project) -> None:
    """A run that is entered just when a worker retires is carried out all the same."""
    impatient = project.with_settings(idle_seconds=0.0)
    impatient.deploy()
    runs = []
    for _ in range(15):
        runs.append(impatient.trigger("succeed"))
        if len(runs) % 3:
            impatient.ended(runs[-1])
    assert {impatient.ended(run).state for run in runs} == {RunState.SUCCEEDED}
    assert sorted(start["run"] for start in impatient.starts()) == sorted(runs)


def test_as_many_runs_as_are_allowed_run_at_once(project: Project) -> None:
    """What exceeds the limit waits until a place is free."""
    two = project.with_settings(max_runs=2)
    two.deploy()
    runs = [two.trigger("sleep") for _ in range(4)]
    two.began(runs[0])
    two.began(runs[1])
    assert [two.local.find(run).state for run in runs[2:]] == [RunState.PENDING] * 2
    two.go()
    assert {two.ended(run).state for run in runs} == {RunState.SUCCEEDED}


@pytest.mark.parametrize(
    ("do", "code", "said"),
    [("exit", "FI828", "ended with exit code 3"), ("die", "FI828", "killed by SIGKILL")],
)
def test_a_run_that_ends_without_a_result_has_failed(project: Project, do: str, code: str, said: str) -> None:
    """Exit code or signal are recorded in the queue and in the terminal marker, with what it said last."""
    project.deploy()
    run = project.trigger(do)
    record = project.ended(run)
    assert record.state is RunState.FAILED
    assert record.error is not None
    assert record.error["code"] == code
    assert said in record.error["message"]
    assert f"carrying out {run}" in record.error["message"]
    marker = project.marker(run)
    assert marker is not None
    assert (marker["state"], marker["error"]) == ("failed", record.error)


def test_the_terminal_marker_of_the_run_itself_counts(project: Project) -> None:
    """A run that says how it ended is believed, whatever its exit code."""
    project.deploy()
    run = project.trigger("fail")
    record = project.ended(run)
    assert (record.state, record.error) == (RunState.FAILED, None)


def test_a_run_goes_on_when_its_worker_is_killed(project: Project) -> None:
    """The next worker adopts the process of the run and records its end; the run is not started twice."""
    project.deploy()
    run = project.trigger("sleep")
    project.began(run)
    project.kill_worker()
    assert project.local.find(run).state is RunState.RUNNING
    assert project.local.ensure_worker()
    until(lambda: "took over" in project.log())
    project.go()
    assert project.ended(run).state is RunState.SUCCEEDED
    assert len(project.starts()) == 1


def test_a_run_that_died_with_its_worker_has_failed(project: Project) -> None:
    """When both are killed, that is seen at once and recorded by the next worker."""
    project.deploy()
    run = project.trigger("sleep")
    project.began(run)
    project.kill_worker()
    pid = project.local.find(run).pid
    assert pid is not None
    os.killpg(pid, signal.SIGKILL)
    until(lambda: not is_running(pid))
    assert project.local.find(run).state is RunState.FAILED
    project.local.ensure_worker()
    record = project.ended(run)
    assert record.error is not None
    assert record.error["code"] == "FI826"
    marker = project.marker(run)
    assert marker is not None
    assert marker["state"] == "failed"
    assert len(project.starts()) == 1


def test_runs_survive_workers_that_are_killed_again_and_again(project: Project) -> None:
    """Wherever a worker is when it is killed, each run is carried out, and none twice."""
    project.deploy()
    runs = [project.trigger("succeed") for _ in range(12)]
    for number in range(1, 5):
        until(lambda n=number: len(project.starts()) >= 2 * n)
        pid = project.worker()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            until(lambda p=pid: not is_running(p))
        project.local.ensure_worker()
    assert {project.local.wait(run, 60).state for run in runs} == {RunState.SUCCEEDED}
    assert sorted(start["run"] for start in project.starts()) == sorted(runs)


def test_a_lock_that_someone_only_looked_at_does_not_fail_a_run(project: Project) -> None:
    """A worker that finds the lock of a run held, and then free and empty, starts the run."""
    lock = FileLock.acquire(run_lock(project.home, "a"))
    assert lock is not None
    write_input(project, "a", "succeed")
    project.local.queue.enqueue(new_run(project, "a"))
    project.local.ensure_worker()
    until(lambda: project.local.find("a").state is RunState.RUNNING)
    lock.release()
    assert project.ended("a").state is RunState.SUCCEEDED
    assert len(project.starts()) == 1


def test_a_run_that_was_claimed_and_never_started_waits_again(project: Project) -> None:
    """A worker that dies between claim and start loses nothing."""
    write_input(project, "a", "succeed")
    project.local.queue.enqueue(new_run(project, "a"))
    project.local.queue.claim(dead_process())
    assert project.local.find("a").state is RunState.PENDING
    project.local.ensure_worker()
    assert project.ended("a").state is RunState.SUCCEEDED
    assert len(project.starts()) == 1


def test_a_stop_of_a_run_that_never_started_ends_it(project: Project) -> None:
    """What shall stop is not started by the next worker."""
    write_input(project, "a", "succeed")
    project.local.queue.enqueue(new_run(project, "a"))
    project.local.queue.claim(dead_process())
    project.local.stop("a")
    assert project.ended("a").state is RunState.STOPPED
    assert project.starts() == []


def test_a_direct_run_whose_process_died_has_failed(project: Project) -> None:
    """It is seen at once, and the next worker writes it down."""
    project.local.queue.register(replace(new_run(project, "a"), launch=None), dead_process())
    assert project.local.find("a").state is RunState.FAILED
    project.local.ensure_worker()
    record = project.ended("a")
    assert record.error is not None
    assert record.error["code"] == "FI826"


def test_a_direct_run_that_lives_is_left_alone(project: Project) -> None:
    """A worker does not touch what others carry out."""
    project.local.register(new_run(project, "mine"))
    project.deploy()
    project.ended(project.trigger("succeed"))
    assert project.local.find("mine").state is RunState.RUNNING
    assert project.local.finish("mine", RunState.SUCCEEDED)
    assert project.local.find("mine").state is RunState.SUCCEEDED


def test_a_running_run_is_stopped(project: Project) -> None:
    """It is asked to end, and its end is recorded as asked for."""
    project.deploy()
    run = project.trigger("sleep")
    project.began(run)
    assert project.local.stop(run).stop_requested
    assert project.ended(run).state is RunState.STOPPED
    marker = project.marker(run)
    assert marker is not None
    assert marker["state"] == "stopped"


def test_a_run_that_does_not_listen_is_killed(project: Project) -> None:
    """After the time it has, it is ended by force."""
    project.deploy()
    run = project.trigger("stubborn")
    project.began(run)
    project.local.stop(run)
    assert project.ended(run).state is RunState.STOPPED


def test_an_adopted_run_can_be_stopped(project: Project) -> None:
    """A stop reaches a process that an earlier worker had started, and starts the worker that does it."""
    project.deploy()
    run = project.trigger("sleep")
    project.began(run)
    project.kill_worker()
    project.local.stop(run)
    assert project.ended(run).state is RunState.STOPPED


def test_a_worker_that_is_asked_to_leave_leaves_its_runs_to_the_next(project: Project) -> None:
    """SIGTERM ends the worker and no run."""
    project.deploy()
    run = project.trigger("sleep")
    project.began(run)
    pid = until(project.worker)
    os.kill(pid, signal.SIGTERM)
    until(lambda: not is_running(pid))
    project.go()
    assert project.local.wait(run, 60).state is RunState.SUCCEEDED
    assert len(project.starts()) == 1


def test_a_worker_whose_home_was_removed_ends(project: Project) -> None:
    """Nothing keeps running for a folder that is gone, or that another one stands in for."""
    patient = project.with_settings(idle_seconds=3600.0)
    assert patient.local.ensure_worker()
    pid = until(patient.worker)
    patient.home.path.rename(patient.folder / "elsewhere")
    until(lambda: not is_running(pid))


def test_a_missing_interpreter_fails_the_run_with_that_reason(project: Project, tmp_path: Path) -> None:
    """No other interpreter takes its place."""
    project.deploy(interpreter=replace(current_interpreter(), path=str(tmp_path / "gone" / "python")))
    record = project.ended(project.trigger("succeed"))
    assert record.error is not None
    assert record.error["code"] == "FI823"
    assert project.starts() == []


def test_another_version_of_the_interpreter_fails_the_run(project: Project) -> None:
    """A deployment made with one Python does not run on the next."""
    project.deploy(interpreter=replace(current_interpreter(), version="cpython-3.9.1"))
    record = project.ended(project.trigger("succeed"))
    assert record.error is not None
    assert record.error["code"] == "FI824"
    assert "cpython-3.9.1" in record.error["message"]
    marker = project.marker(record.run)
    assert marker is not None
    assert marker["error"] == record.error


def test_other_packages_are_a_warning_in_the_run(project: Project) -> None:
    """The run goes on, and says what has changed."""
    project.deploy(interpreter=replace(current_interpreter(), packages="0" * 64))
    record = project.ended(project.trigger("succeed"))
    assert record.state is RunState.SUCCEEDED
    assert len(record.notes) == 1
    assert "warning FI825" in record.notes[0]


def test_a_run_does_not_see_the_secrets_of_the_stack(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The passphrase of the state is not handed on."""
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "very secret")
    project.deploy()
    project.ended(project.trigger("succeed"))
    assert [start["secret"] for start in project.starts()] == [False]


def test_a_worker_of_another_orchestrator_object_is_the_same_worker(project: Project) -> None:
    """Objects share nothing but the files."""
    project.deploy()
    other = replace(project, local=LocalOrchestrator.open(project.home, settings=project.local.settings))
    runs = [project.trigger("sleep"), other.trigger("sleep")]
    for run in runs:
        project.began(run)
    project.go()
    records = [project.ended(run) for run in runs]
    assert {record.state for record in records} == {RunState.SUCCEEDED}
    assert len({record.claimed_by for record in records}) == 1
