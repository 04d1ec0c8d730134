"""`python -m flowinfra.runtime.localrun`: a run in a process of its own, from an unpacked bundle only."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.shapes import FLOWS
from conformance.stored import ROOT, Stored
from flowinfra.wire import run_key


def start(stored: Stored, folder: Path, *more: str, **env: str) -> subprocess.Popen[str]:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    flow = stored.built.graph.name
    return subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "flowinfra.runtime.localrun",
            f"--home={home}",
            f"--flow={flow}",
            "--run=r1",
            *more,
        ],
        env={"PYTHONPATH": ROOT, "FLOWINFRA_STORE": stored.store.url, **env},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def localrun(stored: Stored, folder: Path, *more: str, **env: str) -> subprocess.CompletedProcess[str]:
    process = start(stored, folder, *more, **env)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Flow files that a test may remove."""
    shutil.copytree(FLOWS, tmp_path / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "flows"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_recorded_run_is_carried_out_from_its_bundle(method: str, copied: Path, tmp_path: Path) -> None:
    """The checkout may be gone: code and plan come from the store. Events are lines of JSON."""
    stored = Stored.put(copied / "foreachs.py", "Foreach", tmp_path).started({"width": 5})
    shutil.rmtree(copied)
    done = localrun(stored, tmp_path, "--events", f"--start-method={method}", "--max-workers=2")
    assert done.returncode == 0, done.stderr
    kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
    assert kinds[0] == "run_started"
    assert kinds.count("task_ended") == 8
    assert kinds[-1] == "run_ended"
    assert stored.observed.state == "succeeded"
    assert stored.observed.artifacts("end@0")["total"] == 10
    again = localrun(stored, tmp_path)
    assert (again.returncode, again.stdout) == (0, "")
    assert sum(stored.observed.trace().values()) == 8


def test_a_failed_run_ends_with_1_and_says_why(tmp_path: Path) -> None:
    """The exit code is for the worker, the reason for whoever reads its log."""
    stored = Stored.put(FLOWS / "failures.py", "Failure", tmp_path).started({})
    done = localrun(stored, tmp_path)
    assert done.returncode == 1
    assert "ValueError: on purpose" in done.stderr
    assert stored.observed.state == "failed"


def test_a_run_that_was_not_recorded_is_refused(tmp_path: Path) -> None:
    """Clients write input and run before they queue one."""
    stored = Stored.put(FLOWS / "lines.py", "Linear", tmp_path)
    done = localrun(stored, tmp_path)
    assert done.returncode == 1
    assert "FI721" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_flow_that_raises_on_import_fails_its_first_task(method: str, tmp_path: Path) -> None:
    """With the author's own trace, in the run's error and in the log of the task."""
    stored = Stored.put(FLOWS / "breaks.py", "Breaks", tmp_path).started({})
    done = localrun(stored, tmp_path, f"--start-method={method}", BREAK_IMPORT="1")
    assert done.returncode == 1
    error = stored.observed.error
    assert (error["step"], error["type"], error["code"]) == ("start", "AuthoringError", "FI102")
    assert "the import is broken on purpose" in error["message"]
    log = stored.observed.log("start@0", "err")
    assert "breaks.py" in log
    assert "importlib" not in log


def test_a_large_input_is_read_from_its_blob(tmp_path: Path) -> None:
    """input.json stays small, whatever a run is given."""
    stored = Stored.put(FLOWS / "lines.py", "Linear", tmp_path).started({"greeting": "x" * 100_000, "times": 1})
    assert (stored.store.size(run_key("Linear", "r1", "input.json")) or 0) < 200
    assert localrun(stored, tmp_path).returncode == 0
    assert len(stored.observed.artifacts("end@0")["greeting"]) == 100_000


def test_the_variables_of_an_environment_reach_its_steps_only(tmp_path: Path) -> None:
    """What a TaskEnvironment sets is there in its steps, and nowhere else."""
    stored = Stored.put(FLOWS / "environments.py", "Environments", tmp_path).started({})
    done = localrun(stored, tmp_path)
    assert done.returncode == 0, done.stderr
    assert stored.observed.artifacts("end@0")["seen"] == ["blue", None]


def test_a_run_that_is_stopped_ends_with_130(tmp_path: Path) -> None:
    """The worker asks by SIGTERM; the terminal marker says that it was stopped."""
    stored = Stored.put(FLOWS / "trouble.py", "Sleepers", tmp_path).started({})
    process = start(stored, tmp_path, "--events")
    assert process.stdout is not None
    while "pids" not in process.stdout.readline():
        assert process.poll() is None
    process.terminate()
    process.communicate()
    assert process.returncode == 130
    assert stored.observed.state == "stopped"


def test_an_exit_code_of_0_alone_is_no_success(tmp_path: Path) -> None:
    """A step that ends its process by os._exit(0) has left no commit: the task has failed, and so has the run."""
    stored = Stored.put(FLOWS / "trouble.py", "Leaves", tmp_path).started({"where": "end"})
    done = localrun(stored, tmp_path)
    assert done.returncode == 1
    assert stored.observed.state == "failed"
    assert (stored.observed.error["step"], stored.observed.error["type"]) == ("end", "TaskExit")


def test_a_task_that_left_with_0_and_without_a_commit_is_repeated(tmp_path: Path) -> None:
    """It counts as a failed attempt, also of a step that decides."""
    stored = Stored.put(FLOWS / "trouble.py", "Leaves", tmp_path).started({"where": "start"})
    done = localrun(stored, tmp_path)
    assert done.returncode == 0, done.stderr
    assert stored.observed.state == "succeeded"


def test_a_run_that_has_ended_is_not_carried_out_again(tmp_path: Path) -> None:
    """Its terminal marker stays, so running it again could only contradict it."""
    stored = Stored.put(FLOWS / "failures.py", "Retry", tmp_path).started({})
    assert stored.data.end("failed", {"type": "Interrupted", "message": "by hand"})
    done = localrun(stored, tmp_path, "--events")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Interrupted: by hand" in done.stderr
    assert list(stored.store.list("runs/Retry/r1/steps")) == []


def test_more_tasks_at_once_than_the_pipe_to_their_starter_holds(tmp_path: Path) -> None:
    """Neither side waits for ever for the other one to read."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.fail(f"this machine lets a process open {hard} files; the test needs 4096")
    stored = Stored.put(FLOWS / "foreachs.py", "Foreach", tmp_path).started({"width": 900})
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    try:
        done = localrun(stored, tmp_path, "--start-method=fork", "--max-workers=900")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert done.returncode == 0, done.stderr
    assert stored.observed.state == "succeeded"
