"""Who a process is, whether it still lives, and locks that die with whoever holds them.

A lock here is ``flock`` on a file. It belongs to the *open file*, not to the process: a child that inherits the file
holds the lock with its parent and keeps it when the parent dies, and the kernel frees it when the last of them ends. So
a lock can be taken first and handed to the process that it stands for, with no moment at which nobody holds it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FileLock", "ProcessId", "end_group", "end_of", "is_running", "wait_for_end"]


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, told apart from a later one of the same number.

    Attributes:
        host: the name of its machine.
        pid: its number there.
        start: when it started, in whatever unit that machine counts.
    """

    host: str
    pid: int
    start: str

    @classmethod
    def current(cls) -> ProcessId:
        """This process."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, _start_of(pid) or "")

    @classmethod
    def parse(cls, text: str) -> ProcessId:
        """What ``str`` wrote.

        Raises:
            ValueError: it is no such text.
        """
        host, pid, start = text.rsplit("|", 2)
        return cls(host, int(pid), start)

    def __str__(self) -> str:
        return f"{self.host}|{self.pid}|{self.start}"

    def is_here(self) -> bool:
        """Whether it is one of this machine."""
        return self.host == socket.gethostname()

    def alive(self) -> bool | None:
        """Whether it still runs; None if it is of another machine, where this one cannot look."""
        if not self.is_here():
            return None
        return is_running(self.pid) and _start_of(self.pid) == self.start


def is_running(pid: int) -> bool:
    """Whether a process of this number exists and has not ended."""
    try:
        os.kill(pid, 0)
    except OSError as exc:
        return exc.errno == errno.EPERM
    return _start_of(pid) is not None


def _start_of(pid: int) -> str | None:
    # None for a process that is gone, or has ended and only waits to be collected.
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
        # The first thread of a process may have ended before the others: they still hold its files and locks.
        ended = fields[0] in "ZX" and int(fields[17]) <= 1
        return None if ended else fields[19]
    told = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, start = told.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else start.strip()


def end_of(pid: int) -> int | None:
    """A file descriptor that becomes readable when the process ends; None where it is gone, or where there is none such."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def wait_for_end(pid: int, seconds: float) -> bool:
    """Wait until the process of this number has ended, at most *seconds*; whether it has just now.

    At once False where it is gone already, or where the system does not tell.
    """
    try:
        if sys.platform == "darwin":
            queue = select.kqueue()
            watched = select.kevent(
                pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD | select.KQ_EV_ONESHOT, select.KQ_NOTE_EXIT
            )
            try:
                return bool(queue.control([watched], 1, max(0.0, seconds)))
            finally:
                queue.close()
    except OSError:
        return False
    fd = end_of(pid)
    if fd is None:
        return False
    try:
        waits = select.poll()
        waits.register(fd, select.POLLIN)
        return bool(waits.poll(max(0.0, seconds) * 1000))
    finally:
        os.close(fd)


def end_group(pid: int, number: signal.Signals) -> bool:
    """Send a signal to the process group that *pid* leads; False if there is none any more."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):  # macOS answers EPERM for a group that only zombies are left of
        return False
    return True


class FileLock:
    """An exclusive lock on a file.

    Attributes:
        path: the file; it is made if it is not there, and stays.
        fd: the open file that carries the lock; pass it to a child to share the lock with it.
    """

    __slots__ = ("fd", "path")

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd

    @classmethod
    def acquire(cls, path: Path) -> FileLock | None:
        """The lock on *path*, or None if another process holds it; does not wait.

        Raises:
            OSError: the file cannot be made or opened.
        """
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                os.close(fd)
                if exc.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    return None
                raise
            lock = cls(path, fd)
            if lock.names_its_file():
                return lock
            lock.release()  # somebody removed the file between the two calls: this lock protects nothing

    def names_its_file(self) -> bool:
        """Whether the path still leads to the locked file; if not, somebody removed it, perhaps with its folder."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self.fd))
        except OSError:
            return False

    def write(self, text: str) -> None:
        """Replace the file's content."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, text.encode(), 0)

    def read(self) -> str:
        """The file's content."""
        return os.pread(self.fd, 4096, 0).decode(errors="replace")

    def release(self) -> None:
        """Close the file; the lock is free once no child shares it. The file stays."""
        with contextlib.suppress(OSError):
            os.close(self.fd)
