"""The process that starts tasks: one thread, no store in use, nothing but the flow imported.

It is told over a socket what to start, and answers what has ended. Each task becomes a process of its own session, so
that all that it starts can be ended with it:

* ``fork``: a copy of this process calls the entrypoint. The flow is imported and the release read once, here.
* ``spawn``: the copy becomes a new interpreter, for flows whose libraries cannot be forked.

It outlives nobody: when the socket closes, because the scheduler has ended in whatever way, it kills every task with
all its processes and ends. Where the kernel offers it (Linux), tasks also die when this process does.

Messages are JSON behind their length in four bytes; a ``start`` carries the write ends of the task's two pipes.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import gc
import io
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

from flowinfra.runtime.threads import forkable

__all__ = ["MAX_FDS", "Server", "encode_message", "read_messages", "serve"]

#: File descriptors that one message may carry.
MAX_FDS: Final = 2

_LENGTH: Final = struct.Struct("!I")
_PR_SET_PDEATHSIG: Final = 1
_LAUNCH: Final = (
    "import sys; root = sys.argv.pop(1); root in sys.path or sys.path.append(root); "
    "from flowinfra.runtime.entrypoint import console; console()"
)


def encode_message(message: dict[str, Any]) -> bytes:
    """A message as it goes over the socket."""
    data = json.dumps(message, separators=(",", ":")).encode()
    return _LENGTH.pack(len(data)) + data


def read_messages(buffer: bytearray) -> list[dict[str, Any]]:
    """Take the complete messages off *buffer*."""
    out = []
    while len(buffer) >= _LENGTH.size:
        (size,) = _LENGTH.unpack_from(buffer)
        if len(buffer) < _LENGTH.size + size:
            break
        out.append(json.loads(buffer[_LENGTH.size : _LENGTH.size + size]))
        del buffer[: _LENGTH.size + size]
    return out


@dataclass(slots=True)
class Server:
    """The state of the process.

    Attributes:
        channel: the socket to the scheduler.
        method: ``fork`` or ``spawn``.
        children: by the number of the process: what the scheduler calls the task.
    """

    channel: socket.socket
    method: str
    children: dict[int, int] = field(default_factory=dict)
    _buffer: bytearray = field(default_factory=bytearray)
    _fds: deque[int] = field(default_factory=deque)
    _prepared: Any = None
    _bell: tuple[int, int] = (-1, -1)
    _die_with_parent: Callable[[], object] = int

    def run(self) -> None:
        """Serve until the scheduler is gone; then leave nothing behind."""
        self._die_with_parent = _parent_death()
        self._bell = _bell()
        if self.method == "fork":
            gc.disable()  # until the flow is loaded
            import flowinfra.runtime.entrypoint  # noqa: F401 - while the scheduler gets ready itself
        watched = select.poll()
        watched.register(self.channel, select.POLLIN)
        watched.register(self._bell[0], select.POLLIN)
        try:
            while True:
                ready = dict(watched.poll())
                if self._bell[0] in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._bell[0], 4096)
                    self.reap()
                if self.channel.fileno() in ready and not self.receive():
                    return
        except (BrokenPipeError, ConnectionResetError):
            return  # the scheduler has died
        finally:
            self.kill_all()

    # -- what the scheduler says ----------------------------------------------------------------------------------

    def receive(self) -> bool:
        """Read and carry out what has come; False if the scheduler is gone."""
        data, fds = _receive(self.channel)
        self._fds.extend(fds)
        self._buffer += data
        for message in read_messages(self._buffer):
            match message["do"]:
                case "load":
                    self.load(message)
                case "start":
                    self.start(message, self._fds.popleft(), self._fds.popleft())
                case "signal":
                    self.signal(message["key"], message["number"])
        return bool(data)

    def load(self, message: dict[str, Any]) -> None:
        """Import the flow's modules and index its release, so that every forked task has them."""
        note = ""
        if self.method == "fork":
            if not message["store"].startswith("file:"):
                import obstore.exceptions
                import obstore.store  # noqa: F401 - imported, never used here: that is what makes forking safe

            from flowinfra.authoring.loader import load_entrypoint
            from flowinfra.runtime import entrypoint  # noqa: F401 - so that tasks find it imported
            from flowinfra.runtime.prepared import Prepared

            self._prepared = Prepared.of(message["digest"], message["release"])
            if message["code"] not in sys.path:
                sys.path.insert(0, message["code"])
            seen: set[str] = set()
            for node in self._prepared.nodes.values():
                module = node["entrypoint"].partition(":")[0]
                if module not in seen:
                    seen.add(module)
                    # What a flow raises while it is imported, each task raises again where it is recorded.
                    with contextlib.suppress(BaseException):
                        load_entrypoint(node["entrypoint"], self._prepared.configs)
            note = forkable()
            if note:
                self.method = "spawn"
            gc.freeze()  # what is here now is shared with all tasks, and no collection of theirs touches it
            gc.enable()  # whoever has forked this may have turned it off
        self.tell({"is": "loaded", "method": self.method, "note": note})

    def start(self, message: dict[str, Any], out: int, err: int) -> None:
        """Start a task."""
        try:
            me = os.getpid()
            pid = os.fork()
        except OSError as why:
            self.tell({"is": "refused", "key": message["key"], "why": str(why)})
        else:
            if pid == 0:
                self.become_task(message, me, out, err)
            self.children[pid] = message["key"]
            self.tell({"is": "started", "key": message["key"], "pid": pid})
        finally:
            os.close(out)
            os.close(err)

    def signal(self, key: int, number: int) -> None:
        """Send a signal to a task and all that it has started."""
        for pid, child in self.children.items():
            if child == key:
                _signal_group(pid, number)

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message to the scheduler."""
        self.channel.sendall(encode_message(message))

    # -- tasks ----------------------------------------------------------------------------------------------------

    def reap(self) -> None:
        """Collect the tasks that have ended, and kill what they leave behind in their groups."""
        for pid, key in list(self.children.items()):
            if sys.platform != "darwin":
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    continue
                _signal_group(pid, signal.SIGKILL)  # before it is collected: until then nobody else has its number
            done, status, usage = os.wait4(pid, os.WNOHANG)
            if not done:
                continue
            if sys.platform == "darwin":  # has no way to look at an end without collecting it
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
            del self.children[pid]
            self.tell(
                {
                    "is": "exited",
                    "key": key,
                    "status": os.waitstatus_to_exitcode(status),
                    "maxrss_kib": usage.ru_maxrss // (1024 if sys.platform == "darwin" else 1),
                }
            )

    def kill_all(self) -> None:
        """Kill every task with all its processes."""
        for pid in self.children:
            _signal_group(pid, signal.SIGKILL)
        for pid in self.children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def become_task(self, message: dict[str, Any], parent: int, out: int, err: int) -> NoReturn:
        """In the forked process: become the task."""
        code = 70  # EX_SOFTWARE: what follows does not come back without a code
        try:
            os.setsid()
            self._die_with_parent()
            if os.getppid() != parent:
                os._exit(code)  # it died before it could take this process with it
            _forget_signals()
            _take_streams(out, err)
            self.channel.close()
            for fd in self._bell:
                os.close(fd)
            os.environ.update(message["env"])
            argv: list[str] = message["argv"]
            if self.method == "spawn":
                root = str(Path(__file__).resolve().parents[2])
                os.execve(sys.executable, [sys.executable, "-P", "-c", _LAUNCH, root, *argv], os.environ)  # noqa: S606
            code = _run_forked(argv, self._prepared)
        except BaseException:  # noqa: BLE001 - nothing above this can take it
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)


def _run_forked(argv: list[str], prepared: Any) -> int:
    atexit._clear()  # what the process before has registered is not this one's to do
    gc.enable()
    _fresh_randomness()
    from flowinfra.runtime.entrypoint import main

    code = main(argv, prepared=prepared)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()  # as the interpreter does before it ends
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return code


def _parent_death() -> Callable[[], object]:
    """Has the kernel kill the calling process when its parent dies (Linux); made once, called in each task."""
    if sys.platform != "linux":
        return lambda: None
    import ctypes

    return partial(ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _take_streams(out: int, err: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for fd, number in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(fd, number)
        if fd > 2:
            os.close(fd)
    # New streams: the old ones may be a terminal's, a test's or a notebook's, and may hold what others have printed.
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the life of the process
    sys.stdout = _stream(1)
    sys.stderr = _stream(2)


def _stream(fd: int) -> io.TextIOWrapper:
    raw = open(fd, "wb", closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _fresh_randomness() -> None:
    """Seed NumPy's global generator anew if nobody has seeded or used it, as a new interpreter would.

    Otherwise all items of a foreach would draw the same numbers. The generator of ``random`` is seeded anew by Python.
    """
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        _, key, position, *_ = numpy_random.get_state()
        if position >= len(key) - 1 and int(key[0]) == 0x80000000:  # marks of a seed from the system, still unused
            numpy_random.seed()


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except PermissionError:
        pass  # macOS: only zombies are left of the group
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)  # it has not made its own session yet


def _bell() -> tuple[int, int]:
    """A pipe that has something to read when a child has ended."""
    hears, rings = os.pipe()
    os.set_blocking(hears, False)
    os.set_blocking(rings, False)
    signal.set_wakeup_fd(rings, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the scheduler decides; without it the socket closes
    return hears, rings


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    fds = array.array("i")
    data, ancillary, _, _ = channel.recvmsg(65536, socket.CMSG_SPACE(MAX_FDS * fds.itemsize))
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    for fd in fds:
        os.set_inheritable(fd, False)
    return data, list(fds)


def serve(channel: socket.socket, method: str) -> NoReturn:
    """Be the server: in a process that was forked or started for it."""
    try:
        with contextlib.suppress(OSError):
            os.setsid()  # signals to the scheduler's group are the scheduler's
        Server(channel, method).run()
    except BaseException:  # noqa: BLE001 - nothing above this can take it
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
