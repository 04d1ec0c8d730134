from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from flowinfra.orchestrators.local.processes import FileLock, ProcessId, is_running

HOLD = "import sys; print('held', flush=True); sys.stdin.read()"


def test_a_process_knows_itself() -> None:
    """The identity of this process is written, read back and alive."""
    me = ProcessId.current()
    assert ProcessId.parse(str(me)) == me
    assert me.alive() is True


def test_a_number_that_was_given_to_another_process_is_not_the_same_process() -> None:
    """The start tells two processes of one number apart."""
    me = ProcessId.current()
    assert ProcessId(me.host, me.pid, "another start").alive() is False


def test_of_another_machine_nothing_is_known() -> None:
    """Whether a process of another host lives cannot be seen here."""
    assert ProcessId("elsewhere.example", 1, "1").alive() is None


def test_a_process_that_ended_is_not_running_even_before_it_is_collected() -> None:
    """A zombie counts as ended."""
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_running(child.pid)
    child.wait()
    assert not is_running(child.pid)


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    """While one holds a lock nobody else gets it, and it is free after release."""
    path = tmp_path / "a.lock"
    first = FileLock.acquire(path)
    assert first is not None
    assert FileLock.acquire(path) is None
    first.release()
    second = FileLock.acquire(path)
    assert second is not None
    second.release()


def test_a_child_that_shares_a_lock_keeps_it_when_its_parent_lets_go(tmp_path: Path) -> None:
    """The lock of a process that was handed over is free only when that process has ended."""
    path = tmp_path / "a.lock"
    lock = FileLock.acquire(path)
    assert lock is not None
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD], pass_fds=[lock.fd], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    lock.release()
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    assert FileLock.acquire(path) is None
    child.kill()
    child.communicate()
    again = FileLock.acquire(path)
    assert again is not None
    again.release()


def test_a_lock_whose_file_was_removed_knows_it(tmp_path: Path) -> None:
    """A lock protects nothing once its file is gone or another one, and says so."""
    path = tmp_path / "a.lock"
    lock = FileLock.acquire(path)
    assert lock is not None
    assert lock.names_its_file()
    path.unlink()
    assert not lock.names_its_file()
    path.touch()
    assert not lock.names_its_file()
    lock.release()


def test_what_is_written_into_a_lock_can_be_read(tmp_path: Path) -> None:
    """The content is replaced as a whole."""
    lock = FileLock.acquire(tmp_path / "a.lock")
    assert lock is not None
    lock.write("12345")
    lock.write("7")
    assert lock.read() == "7"
    lock.release()
