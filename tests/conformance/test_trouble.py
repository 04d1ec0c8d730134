"""Runs in which something goes wrong: nothing hangs, nothing is left behind, and what happened is told."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.backends import FORK, SPAWN, LocalBackend, Observed
from conformance.shapes import FLOWS
from flowinfra.orchestrators.local.processes import is_running
from flowinfra.packaging.store import Store
from flowinfra.runtime.rundata import RunData

TROUBLE = FLOWS / "trouble.py"
BOTH = pytest.mark.parametrize("backend", [FORK, SPAWN], ids=str)


def gone(pids: list[int]) -> list[int]:
    """Wait until none of *pids* runs; those that still do after a long time."""
    until = time.monotonic() + 30
    while (left := [pid for pid in pids if is_running(pid)]) and time.monotonic() < until:
        time.sleep(0.01)
    return left


def events_of(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """The events of a run while it runs."""
    assert process.stdout is not None
    return (json.loads(line) for line in process.stdout)


def sleepers(process: subprocess.Popen[str], count: int) -> list[int]:
    """The processes of *count* sleeping tasks and of what they have started, once all have said so."""
    pids: list[int] = []
    for event in events_of(process):
        if event["kind"] == "task_line" and event["text"].startswith("pids"):
            pids += [int(word) for word in event["text"].split()[1:]]
            if len(pids) == 2 * count:
                break
    assert len(pids) == 2 * count
    return pids


def observed(folder: Path, flow: str) -> Observed:
    return Observed(RunData(Store.open(str(folder / "store")), flow, "r1"))


@BOTH
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_every_process_of_the_run(backend: LocalBackend, number: int, tmp_path: Path) -> None:
    """Ctrl-C ends the tasks and all that they have started; the run is marked as stopped."""
    process = backend.start(TROUBLE, "Sleepers", tmp_path)
    pids = sleepers(process, 3)
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == 1, err
    assert gone(pids) == []
    ended = json.loads(out.splitlines()[-1])
    assert (ended["kind"], ended["state"]) == ("run_ended", "stopped")
    assert observed(tmp_path, "Sleepers").state == "stopped"


def test_a_second_signal_kills_what_does_not_end(tmp_path: Path) -> None:
    """Tasks that ignore SIGTERM are killed at the second Ctrl-C, with what they have started."""
    process = FORK.start(TROUBLE, "Sleepers", tmp_path, parameters={"stubborn": True})
    pids = sleepers(process, 3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert gone(pids) == []
    assert observed(tmp_path, "Sleepers").state == "stopped"


@BOTH
def test_a_scheduler_that_is_killed_leaves_no_process_behind(backend: LocalBackend, tmp_path: Path) -> None:
    """Neither the process that starts tasks, nor the tasks, nor what they have started."""
    process = backend.start(TROUBLE, "Sleepers", tmp_path, parameters={"stubborn": True})
    pids = sleepers(process, 3)
    servers = [parent(pid) for pid in pids[::2]]
    process.kill()
    process.communicate()
    assert gone([*pids, *servers]) == []
    assert observed(tmp_path, "Sleepers").state == "None"


def test_a_killed_group_leaves_no_process_behind(tmp_path: Path) -> None:
    """Killing the process group, as a terminal or a supervisor does, reaches the tasks too."""
    process = FORK.start(TROUBLE, "Sleepers", tmp_path, parameters={"stubborn": True})
    pids = sleepers(process, 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert gone(pids) == []


@BOTH
def test_when_the_process_that_starts_tasks_dies_the_run_fails(backend: LocalBackend, tmp_path: Path) -> None:
    """Its tasks die with it, and the run says so instead of waiting for ever."""
    process = backend.start(TROUBLE, "Sleepers", tmp_path)
    pids = sleepers(process, 3)
    os.kill(parent(pids[0]), signal.SIGKILL)
    process.communicate()
    assert gone(pids) == []
    found = observed(tmp_path, "Sleepers")
    assert found.state == "failed"
    assert found.error["code"] == "FI727"


def test_a_run_goes_on_where_a_killed_scheduler_left_it(tmp_path: Path) -> None:
    """The same run is started again: what has committed is not run again, and the run ends as if nothing had been."""
    process = FORK.start(FLOWS / "foreachs.py", "Foreach", tmp_path, parameters={"width": 40}, max_workers=2)
    ended = 0
    for event in events_of(process):
        ended += event["kind"] == "task_ended"
        if ended == 10:
            break
    process.kill()
    process.communicate()
    before = observed(tmp_path, "Foreach")
    committed = [place for place in before.trace() if before.data.find_commit(*place.split("@")[:2])]
    assert len(committed) >= 10
    after = FORK.run_flow(FLOWS / "foreachs.py", "Foreach", tmp_path, parameters={"width": 40})
    assert after.state == "succeeded"
    assert after.artifacts("end@0")["total"] == sum(range(40))
    again = after.trace()
    assert all(again[place] == 1 for place in committed)
    assert set(again) == {"start@0@0", "join@0@0", "end@0@0", *(f"work@0.{i}@0" for i in range(40))}


def parent(pid: int) -> int:
    if sys.platform == "linux":
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return int(subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, check=True).stdout)


@BOTH
def test_a_timeout_kills_a_task_that_ignores_it(backend: LocalBackend, tmp_path: Path) -> None:
    """SIGTERM, and SIGKILL when that does not help; what the task has started goes with it."""
    found = backend.run_flow(TROUBLE, "Stubborn", tmp_path)
    pids = [int(word) for word in found.log("start@0").split()[1:]]
    assert gone(pids) == []
    assert found.state == "failed"
    assert found.error["type"] == "TaskTimeout"
    assert found.error["message"] == "it took longer than its timeout of 1 s"


def test_what_a_task_leaves_running_is_ended_and_not_waited_for(tmp_path: Path) -> None:
    """A process that holds the output of a task that has ended neither hangs the run nor stays."""
    found = FORK.run_flow(TROUBLE, "LeftBehind", tmp_path)
    assert found.state == "succeeded"
    assert gone([int(word) for word in found.log("start@0").split()[1:]]) == []


def test_a_killed_task_is_a_failed_attempt(tmp_path: Path) -> None:
    """It is repeated or caught like any other failure, and its error says which signal it was."""
    found = FORK.run_flow(TROUBLE, "Killed", tmp_path)
    assert found.state == "succeeded"
    assert found.artifacts("end@0")["types"] == [None, "TaskKilled", None]
    assert found.trace()["start@0@0"] == found.trace()["start@0@1"] == 1
    told = found.data.last_error("start", "0")
    assert "SIGKILL" in told["message"]
    assert "memory" in told["message"]


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("exit", "SystemExit", "that is all"),
        ("interrupt", "KeyboardInterrupt", ""),
        ("_exit", "TaskExit", "its process ended with exit code 7; its log says why"),
        ("group", "ExceptionGroup", "several (2 sub-exceptions)"),
        ("unsayable", "Unsayable", "<its message cannot be made: RuntimeError>"),
    ],
)
def test_a_step_may_end_in_odd_ways(how: str, kind: str, message: str, tmp_path: Path) -> None:
    """Whatever a step raises, and even if it ends the process, the run fails and says why."""
    found = FORK.run_flow(TROUBLE, "Exits", tmp_path, parameters={"how": how})
    assert found.state == "failed"
    assert (found.error["type"], found.error["message"]) == (kind, message)


def test_a_step_may_close_its_streams(tmp_path: Path) -> None:
    """A daemonised library that closes stdout is no reason to fail."""
    found = FORK.run_flow(TROUBLE, "Exits", tmp_path, parameters={"how": "close"})
    assert found.state == "succeeded", found.error


@BOTH
def test_all_that_is_printed_is_kept_and_told_line_by_line(backend: LocalBackend, tmp_path: Path) -> None:
    """Long lines, many lines, bytes that are no text, what children print, and a last line without a line feed."""
    found = backend.run_flow(TROUBLE, "Prints", tmp_path)
    lines = ["ü" * 500_000, *(f"line {i}" for i in range(20_000)), "\ufffd\ufffd", "from a child", "no line feed"]
    told = [e["text"] for e in found.events if e["kind"] == "task_line" and e["stream"] == "out"]
    assert told == lines
    assert [e["text"] for e in found.events if e["kind"] == "task_line" and e["stream"] == "err"] == ["to err"]
    kept = [key for key in found.data.store.list(found.data.task_key("start", "0", "attempts")) if "/out." in key]
    kept.sort(key=lambda key: int(key.rpartition(".")[2]))
    assert len(kept) > 10
    data = b"".join(found.data.store.get(key) for key in kept)
    assert data.decode("utf-8", "replace") == "\n".join(lines)
    last = [e["kind"] for e in found.events if e.get("step") == "start"][-1]
    assert last == "task_ended"


@pytest.mark.parametrize(
    ("where", "step", "says"),
    [
        ("end", "end", "self.total is not set: no step before end has left an artifact 'total'"),
        ("join", "join", "read inputs[i].total, or call self.merge_artifacts(inputs) first"),
        ("inputs", "join", "has no 'totl' (did you mean 'total'?)"),
        ("branch", "join", "no input comes from a step 'c': they come from a, b"),
    ],
)
def test_reading_what_nobody_has_set_says_what_to_do(where: str, step: str, says: str, tmp_path: Path) -> None:
    """The message names the nearest artifact, and in a join the two ways to get at one."""
    found = FORK.run_flow(TROUBLE, "Missing", tmp_path, parameters={"where": where})
    assert found.error["step"] == step
    assert found.error["type"] == "AttributeError"
    assert says in found.error["message"]


def test_the_fork_trap_does_not_hang(tmp_path: Path) -> None:
    """A flow that uses an object store while it is imported runs, by starting interpreters, and is told so."""
    found = FORK.run_flow(FLOWS / "trap.py", "Trap", tmp_path)
    assert found.state == "succeeded", found.error
    assert found.artifacts("end@0")["total"] == 7 * sum(range(40))
    assert next(e for e in found.events if e["kind"] == "run_started")["method"] == "spawn"
    notes = [e["text"] for e in found.events if e["kind"] == "note"]
    assert len(notes) == 1
    assert "cannot be forked" in notes[0]


def test_a_thread_started_at_import_is_named(tmp_path: Path) -> None:
    """The note says which thread it is; in the task it runs, as the author expects."""
    found = FORK.run_flow(FLOWS / "threaded.py", "Threaded", tmp_path)
    assert found.state == "succeeded", found.error
    assert "heartbeat" in found.artifacts("end@0")["alive"]
    assert "heartbeat" in next(e for e in found.events if e["kind"] == "note")["text"]


def test_the_run_may_be_limited_in_time(tmp_path: Path) -> None:
    """A run that takes too long ends as timed out, with all its processes."""
    process = FORK.start(TROUBLE, "Sleepers", tmp_path, timeout_seconds=1.0)
    pids = sleepers(process, 3)
    process.communicate()
    assert gone(pids) == []
    found = observed(tmp_path, "Sleepers")
    assert found.state == "timed_out"
    assert found.error["type"] == "RunTimeout"


def test_whoever_takes_the_events_may_go_away(tmp_path: Path) -> None:
    """A closed pipe ends the run as failed; its tasks are not left behind."""
    process = FORK.start(TROUBLE, "Sleepers", tmp_path, parameters={"count": 4}, max_workers=2)
    pids = sleepers(process, 2)
    assert process.stdout is not None
    process.stdout.close()
    for pid in pids[:2]:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert gone(pids) == []
    assert observed(tmp_path, "Sleepers").state == "failed"


@pytest.mark.parametrize("place", ["blobs", "runs/Linear/r1/steps"])
def test_a_store_that_cannot_be_written_fails_the_run(place: str, tmp_path: Path) -> None:
    """Whether it is the artifacts or everything: the run ends, and its error names the object and the reason."""
    blocked = tmp_path / "store" / place
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where a folder should be")
    found = FORK.run_flow(FLOWS / "lines.py", "Linear", tmp_path)
    assert found.state == "failed"
    assert found.error["code"] == "FI403"
    assert place in found.error["message"]


def test_more_tasks_at_once_than_open_files_allow_is_told(tmp_path: Path) -> None:
    """The run does with fewer, and says so."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, before[1]))
    try:
        process = FORK.start(FLOWS / "foreachs.py", "Foreach", tmp_path, parameters={"width": 50}, max_workers=500)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    events = list(events_of(process))
    process.wait()
    assert events[-1]["state"] == "succeeded"
    assert [e["text"] for e in events if e["kind"] == "note"] == [
        "32 tasks run at once: more need more open files (`ulimit -n`)"
    ]
