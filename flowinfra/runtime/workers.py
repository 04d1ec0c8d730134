"""The scheduler's side of the process that starts tasks (:mod:`flowinfra.runtime.workserver`)."""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

from flowinfra.diagnostics import RunError, error
from flowinfra.runtime.threads import fork, forkable, thread_count
from flowinfra.runtime.workserver import encode_message, read_messages, serve

__all__ = ["Exited", "Loaded", "Refused", "StartMethod", "Started", "Workers", "default_method", "prepare_workers"]

StartMethod: TypeAlias = Literal["fork", "spawn"]

_LEAVE_SECONDS: Final = 5.0
_LAUNCH: Final = (
    "import sys, socket; sys.path.append(sys.argv[1]); from flowinfra.runtime.workserver import serve; "
    "serve(socket.socket(fileno=int(sys.argv[2])), sys.argv[3])"
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The flow is imported; *note* says why it is not the *method* that was asked for."""

    method: str
    note: str


@dataclass(frozen=True, slots=True)
class Started:
    """A task has a process."""

    key: int
    pid: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The operating system gave no process."""

    key: int
    why: str


@dataclass(frozen=True, slots=True)
class Exited:
    """A task's process has ended; *status* is its exit code, or minus the number of the signal that killed it."""

    key: int
    status: int
    maxrss_kib: int


def default_method() -> StartMethod:
    """How tasks are started where nobody says: ``fork``, but ``spawn`` on macOS, whose own libraries use threads."""
    return "spawn" if sys.platform == "darwin" else "fork"


class Workers:
    """A process that starts tasks, and ends with this one. Made by :func:`prepare_workers`.

    Attributes:
        method: how it starts them.
        note: why that is not what was asked for.
    """

    def __init__(self, channel: socket.socket, pid: int, method: StartMethod, note: str) -> None:
        self.method: str = method
        self.note = note
        self._channel = channel
        self._channel.setblocking(False)
        self._pid = pid
        self._buffer = bytearray()
        self._messages: list[dict[str, Any]] = []  # what came while something was sent
        self._pids: dict[int, int] = {}
        # Until the flow is loaded this process imports what carries out a run: collections would be a tenth of its start.
        self._collects = gc.isenabled()
        gc.disable()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """What becomes readable when :meth:`events` has something; look at :attr:`waiting` first."""
        return self._channel.fileno()

    @property
    def waiting(self) -> bool:
        """Whether :meth:`events` has something that was read already."""
        return bool(self._messages)

    def load(self, digest: str, release: Mapping[str, Any], code: Path, store_url: str) -> None:
        """Have the flow imported from the folder *code* before the first task; answered by :class:`Loaded`.

        Args:
            digest: the release's.
            release: its plain JSON, verified.
            code: goes on the path of modules.
            store_url: what tasks will use; only its library is loaded.
        """
        self._resume_collections()
        self._send({"do": "load", "digest": digest, "release": release, "code": str(code), "store": store_url})

    def start(self, key: int, argv: Sequence[str], env: Mapping[str, str], out: int, err: int) -> None:
        """Start the task program with *argv*; *out* and *err* are the write ends of its pipes, and are closed here."""
        try:
            self._send({"do": "start", "key": key, "argv": list(argv), "env": dict(env)}, [out, err])
        finally:
            os.close(out)
            os.close(err)

    def signal(self, key: int, number: int) -> None:
        """Send a signal to a task and to all that it has started; nothing happens if it has ended."""
        with contextlib.suppress(OSError, RunError):  # if the process has died, events() says so
            self._send({"do": "signal", "key": key, "number": number})

    def events(self) -> list[Loaded | Started | Refused | Exited]:
        """What has happened; waits for the first.

        Raises:
            RunError: FI727, the process has died; its tasks are killed.
        """
        if not self._messages:
            self._wait(select.POLLIN)
        messages, self._messages = self._messages, []
        return [self._event(message) for message in messages]

    def close(self) -> None:
        """End the process and all tasks that it has started."""
        self._resume_collections()
        self._channel.close()
        if self._pid:
            _wait_for(self._pid)
            self._pid = 0

    def _resume_collections(self) -> None:
        if self._collects:
            gc.enable()

    def _event(self, message: dict[str, Any]) -> Loaded | Started | Refused | Exited:
        match message["is"]:
            case "loaded":
                self.method = message["method"]
                return Loaded(message["method"], message["note"])
            case "started":
                self._pids[message["key"]] = message["pid"]
                return Started(message["key"], message["pid"])
            case "refused":
                return Refused(message["key"], message["why"])
            case _:
                self._pids.pop(message["key"], None)
                return Exited(message["key"], message["status"], message["maxrss_kib"])

    def _send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        data = encode_message(message)
        while data:
            try:
                sent = socket.send_fds(self._channel, [data], list(fds)) if fds else self._channel.send(data)
            except BlockingIOError:
                # It reads no more before it is rid of what it has to say: with both waiting, nothing would ever go on.
                self._wait(select.POLLIN | select.POLLOUT)
            except (BrokenPipeError, ConnectionResetError):
                self._kill_orphans()
                raise _died() from None
            else:
                data, fds = data[sent:], ()

    def _wait(self, wanted: int) -> None:
        """Wait until one of the poll events *wanted* has come, and read what there is to read."""
        poll = select.poll()
        poll.register(self._channel, wanted)
        poll.poll()
        data = b""
        try:
            data = self._channel.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            pass
        if not data:
            self._kill_orphans()
            raise _died()
        self._buffer += data
        self._messages += read_messages(self._buffer)

    def _kill_orphans(self) -> None:
        for pid in self._pids.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        self._pids.clear()


def prepare_workers(method: StartMethod | None = None) -> Workers:
    """Start the process that starts tasks.

    For ``fork``, call this right after the flow was imported and before anything else: the process is a copy of this
    one, so this one must not have used a store, started a thread or run a loop. Where it has more than one thread, the
    way falls back to ``spawn`` and says so.

    Args:
        method: ``fork`` or ``spawn`` (default: of the platform, :func:`default_method`).

    Raises:
        RunError: FI727, the process cannot be started.
    """
    wanted = method or default_method()
    try:
        if wanted == "fork":
            note = forkable() if thread_count() > 1 else ""
            return _forked() if not note else _launched(note)
        return _launched("")
    except OSError as why:
        raise RunError(
            error(
                "FI727",
                f"the process that starts tasks cannot be started: {why}",
                hint="free memory or processes on this machine (`ulimit -u`), and run the flow again",
            )
        ) from why


def _forked() -> Workers:
    here, there = socket.socketpair()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none at all
            stream.flush()
    pid = fork()
    if pid == 0:
        here.close()
        serve(there, "fork")
    there.close()
    return Workers(here, pid, "fork", "")


def _launched(note: str) -> Workers:
    here, there = socket.socketpair()
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _LAUNCH, root, str(there.fileno()), "spawn"],
        pass_fds=[there.fileno()],
        stdin=subprocess.DEVNULL,
    )
    process.returncode = 0  # Workers.close collects it
    there.close()
    return Workers(here, process.pid, "spawn", note)


def _wait_for(pid: int) -> None:
    """Collect the process, which ends by itself; kill it if it does not."""
    until = time.monotonic() + _LEAVE_SECONDS
    pause = 0.0005
    while True:
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            return
        if time.monotonic() > until:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            until = float("inf")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def _died() -> RunError:
    return RunError(
        error(
            "FI727",
            "the process that starts tasks has died",
            detail="a flow whose import crashes the interpreter does that, and so does memory running out",
            hint="import the flow file by hand to see; choose the start method `spawn` for libraries that cannot be forked",
        )
    )
