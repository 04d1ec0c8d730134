"""Single attempts of single tasks as real processes: what an orchestrator on any target relies on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conformance.shapes import FLOWS
from conformance.stored import ROOT, Stored
from flowinfra.canonical import canonical_json, sha256_hex
from flowinfra.packaging.backends import Files
from flowinfra.packaging.store import Store
from flowinfra.runtime.task import Call, Exit, run_attempt
from flowinfra.wire import index_prefix, release_key, run_key


@pytest.fixture
def loops(tmp_path: Path) -> Stored:
    return Stored.put(FLOWS / "trouble.py", "Loops", tmp_path)


def documents(stored: Stored) -> dict[str, Any]:
    """Everything that the run has left, but for attempts and times."""
    prefix = f"runs/{stored.built.graph.name}/r1"
    out = {}
    for key in stored.store.list(prefix):
        if "/attempts/" not in key:
            value = stored.store.get_json(key)
            if isinstance(value, dict):
                value = {k: v for k, v in value.items() if k not in ("attempt", "time", "started")}
            out[key.removeprefix(prefix)] = value
    return out


RUN = [("start", "0"), ("work", "0.0-0"), ("work", "0.1-0"), ("join", "0"), ("end", "0")]


def test_a_run_without_a_client_works_task_by_task(loops: Stored) -> None:
    """The first task writes input, run and index where nobody did; the last one writes the terminal marker."""
    for step, task in RUN:
        done = loops.task(step, task)
        assert done.returncode == 0, done.stderr
    assert done.stdout == "the end\n"
    assert loops.observed.log("end@0") == "the end\n"
    assert loops.observed.artifacts("join@0")["letters"] == ["a", "b"]
    data = loops.data
    assert data.read_input() == {}
    assert (data.read_run() or {})["release"] == loops.built.release
    assert [key.rpartition("-")[2] for key in loops.store.list(index_prefix("Loops"))] == ["r1"]
    assert loops.observed.state == "succeeded"
    assert documents(loops)["/steps/start/0/control.json"] == [0, 1]
    assert documents(loops)["/steps/work/0.1-0/control.json"] == "done"
    assert documents(loops)["/steps/work/0.1/last.json"] == 0


@pytest.mark.parametrize(("step", "task"), [("start", "0"), ("work", "0.1-0"), ("end", "0")])
def test_a_task_killed_at_any_write_is_completed_by_the_next_attempt(loops: Stored, step: str, task: str) -> None:
    """Before and behind every single write: what the second attempt leaves equals what an undisturbed one leaves."""
    at = RUN.index((step, task))
    for before in RUN[:at]:
        assert loops.task(*before).returncode == 0
    there = set(documents(loops))
    assert loops.task(step, task).returncode == 0
    expected = documents(loops)
    code = str(next((loops.cache / "flowinfra").rglob("trouble.py")).parent)
    kills = 0
    for count in range(1, 20):
        codes = set()
        for when in ("before", "after"):
            for key in expected.keys() - there:
                loops.store.delete(f"runs/Loops/r1{key}")
            arguments = [str(loops.cache.parent / "store"), code, loops.built.release, step, task, str(count), when]
            killed = subprocess.run(
                [sys.executable, "-P", str(Path(__file__).with_name("killing_task.py")), *arguments],
                env={"PYTHONPATH": ROOT, "PYTHONHASHSEED": "0"},
                check=False,
                capture_output=True,
                text=True,
            )
            assert killed.returncode in (-9, 99), killed.stderr
            codes.add(killed.returncode)
            if killed.returncode == -9:
                kills += 1
                assert loops.task(step, task, "1").returncode == 0
                assert documents(loops) == expected
        if codes == {99}:
            break
        assert codes == {-9}
    else:
        pytest.fail("it never came to an end")
    assert kills >= 2 * 4  # begin, commit, the attempt's end, and the copy or marker of each of these tasks


def test_of_two_attempts_at_once_one_commits(tmp_path: Path) -> None:
    """Both end with 0; one is told in the commit, the other one is superseded and changes nothing."""
    stored = Stored.put(FLOWS / "trouble.py", "Meets", tmp_path)
    (tmp_path / "met").mkdir()
    stored.started({"folder": str(tmp_path / "met")})
    attempts = [stored.popen("start", "0", str(i)) for i in range(2)]
    for attempt in attempts:
        _, err = attempt.communicate()
        assert attempt.returncode == 0, err
    outcomes = {
        name: json.loads(stored.store.get(stored.data.task_key("start", "0", f"attempts/{name}/end.json")))["outcome"]
        for name in ("0-a0", "1-a1")
    }
    assert sorted(outcomes.values()) == ["committed", "superseded"]
    commit = stored.observed.commit("start@0")
    assert outcomes[commit.attempt] == "committed"
    winner = json.loads(stored.store.get(stored.data.task_key("start", "0", f"attempts/{commit.attempt}/begin.json")))
    assert stored.observed.artifacts("start@0")["who"] == winner["pid"]


class Overtaken(Files):
    """Local files in which another attempt commits just before this one."""

    def __init__(self, folder: Path, other: bytes) -> None:
        super().__init__(folder)
        self.other = other

    def create(self, key: str, data: bytes) -> bool:
        if key.endswith("/artifacts.json"):
            assert super().create(key, self.other)
        return super().create(key, data)


def test_the_attempt_that_loses_publishes_what_the_other_one_has_committed(loops: Stored) -> None:
    """Its own decision is nobody's any more: control.json is the copy of the one commit there is."""
    assert loops.task("start", "0").returncode == 0
    key = loops.data.task_key("start", "0", "artifacts.json")
    other = json.loads(loops.store.get(key)) | {"control": [0, 1, 2], "attempt": "9-other"}
    loops.store.delete(key)
    folder = loops.cache.parent / "store"
    store = Store(loops.store.url, Overtaken(folder, json.dumps(other).encode()))
    call = Call(loops.built.release, "r1", "start", "0", "1")
    assert run_attempt(call, store, loops.prepared, "late") == Exit.OK
    assert loops.data.control("start", "0") == [0, 1, 2]
    assert loops.observed.commit("start@0").attempt == "9-other"
    end = json.loads(loops.store.get(loops.data.task_key("start", "0", "attempts/1-late/end.json")))
    assert end["outcome"] == "superseded"


def test_a_committed_task_is_not_run_again(loops: Stored) -> None:
    """A repeated start ends with 0, runs nothing, and mends the copies of the commit."""
    assert loops.task("start", "0").returncode == 0
    commit = loops.store.get(loops.data.task_key("start", "0", "artifacts.json"))
    loops.store.delete(loops.data.task_key("start", "0", "control.json"))
    assert loops.task("start", "0", "1").returncode == 0
    assert loops.store.get(loops.data.task_key("start", "0", "artifacts.json")) == commit
    assert loops.data.control("start", "0") == [0, 1]
    assert loops.observed.trace() == {"start@0@0": 1}


def test_the_command_is_checked(loops: Stored) -> None:
    """Too few arguments, no attempt, no such step, no such id: exit code 2 and what is wrong."""
    wrong = [
        (loops.task("start", "0", "first"), "FI720"),
        (loops.task("nope", "0"), "FI722"),
        (loops.task("start", "0.1"), "FI722"),
        (loops.task("work", "0"), "FI722"),
        (loops.task("start", "0", FLOWINFRA_STORE=""), "FI720"),
        (loops.task("start", "0", FLOWINFRA_STORE=str(loops.cache / "elsewhere")), "FI401"),
    ]
    for done, code in wrong:
        assert done.returncode == 2
        assert code in done.stderr
        assert "Traceback" not in done.stderr
    assert list(loops.store.list("runs")) == []


def test_a_task_started_before_its_parents_says_so(loops: Stored) -> None:
    """It names the task that has not committed."""
    done = loops.task("join", "0")
    assert done.returncode != 0
    assert "control.json" in done.stderr
    done = loops.task("end", "0")
    assert done.returncode == 3
    assert "FI729" in done.stderr
    assert "join/0" in done.stderr


def test_another_wire_version_is_refused_by_name(loops: Stored) -> None:
    """A release of a later flowinfra is not run, and nothing is written."""
    release = json.loads(loops.built.release_bytes) | {"wire": 99}
    data = canonical_json(release)
    loops.store.put(release_key(sha256_hex(data)), data)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "flowinfra.runtime.entrypoint", sha256_hex(data), "r1", "start", "0", "0"],
        env={"PYTHONPATH": ROOT, "FLOWINFRA_STORE": loops.store.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "FI411" in done.stderr
    assert "99" in done.stderr
    assert list(loops.store.list("runs")) == []


def test_a_damaged_release_is_refused(loops: Stored) -> None:
    """Its digest is verified before anything of it is believed."""
    loops.store.put(release_key(loops.built.release), loops.built.release_bytes.replace(b"Loops", b"Hoops"))
    done = loops.task("start", "0")
    assert done.returncode == 2
    assert "FI410" in done.stderr


def test_a_damaged_artifact_is_not_decoded(loops: Stored) -> None:
    """The hash in the commit is verified before a pickle is read."""
    for step, task in RUN[:1]:
        assert loops.task(step, task).returncode == 0
    ref = loops.observed.commit("start@0").items[0]
    loops.store.put(f"blobs/Loops/{ref.blob}", b"\x80\x05N.")
    assert loops.task(*RUN[1]).returncode == 0  # work never asks for its item
    assert loops.task(*RUN[2]).returncode == 0
    done = loops.task(*RUN[3])  # the join does
    assert done.returncode == 3
    assert "FI706" in done.stderr


def test_sigterm_is_recorded_as_stopped(tmp_path: Path) -> None:
    """The attempt ends with 143; its error.json says what happened, and with which line of the step."""
    stored = Stored.put(FLOWS / "trouble.py", "Meets", tmp_path)
    (tmp_path / "met").mkdir()
    stored.started({"folder": str(tmp_path / "met")})
    process = stored.popen("start", "0")
    while not list((tmp_path / "met").iterdir()):
        assert process.poll() is None
    process.terminate()
    _, err = process.communicate()
    assert process.returncode == 143, err
    told = stored.data.attempt("start", "0", "0", "a0").read_error()
    assert told is not None
    assert told["type"] == "Stopped"
    assert "trouble.py" in told["traceback"]
    assert "flowinfra/runtime" not in told["traceback"]
    assert stored.data.find_commit("start", "0") is None


def test_a_fallback_cannot_decide(tmp_path: Path) -> None:
    """Where the failed step would have decided what comes next, the fallback fails and says why."""
    stored = Stored.put(FLOWS / "trouble.py", "Loops", tmp_path).started({})
    done = stored.task("start", "0", "fallback")
    assert done.returncode == 3
    assert "FI724" in done.stderr


def test_an_unreadable_input_is_a_diagnostic(loops: Stored) -> None:
    """A console can start a run with anything."""
    loops.store.put(run_key("Loops", "r1", "input.json"), b"[1, 2]")
    done = loops.task("start", "0")
    assert done.returncode == 3
    assert "FI715" in done.stderr


def test_parameters_of_a_run_without_a_client_are_checked(tmp_path: Path) -> None:
    """The first task names all that is wrong, with the signature."""
    stored = Stored.put(FLOWS / "lines.py", "Linear", tmp_path)
    stored.store.put(run_key("Linear", "r1", "input.json"), b'{"times": "three", "greting": "hi"}')
    done = stored.task("start", "0")
    assert done.returncode == 3
    assert "FI712" in done.stderr
    assert "did you mean 'greeting'?" in done.stderr
    assert 'Linear(greeting: str = "hello", times: int = 2)' in done.stderr


def test_a_store_that_cannot_be_reached_is_tried_again(loops: Stored) -> None:
    """Before the step, too, a failure of the store is one (1), and not a release that will never fit (2)."""
    releases = loops.cache.parent / "store" / "releases"
    releases.rename(releases.with_name("moved"))
    releases.symlink_to(releases)  # reading through it fails with ELOOP
    done = loops.task("start", "0")
    assert "FI403" in done.stderr
    assert done.returncode == Exit.FAILED
