"""A process that does something for this one: a run, a deployment. It ends with this one, however that ends.

Flows are never imported by whoever calls :class:`~flowinfra.Runner`: a program of its own does (a module of
``flowinfra.cli.programs``, named by its name). The two talk over one socket, JSON behind its length: this side sends one
specification and may ask to stop, the program tells what happens. When the socket closes, the program stops what it does.

What the program prints comes through two pipes. One small thread per program reads socket and pipes, keeps what is
printed in files and wakes whoever waits, in a thread or in an event loop. Nothing is polled.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, TextIO, TypeAlias

from flowinfra.authoring.invoker import INVOKER, ignore
from flowinfra.control.messages import error_from_json
from flowinfra.control.spool import Spool
from flowinfra.diagnostics import ConfigurationError, ControlError, FlowinfraError, error
from flowinfra.runtime.workserver import encode_message, read_messages

__all__ = ["Child", "Stream", "call"]

Stream: TypeAlias = Literal["stdout", "stderr"]

#: How long a program has from being asked to stop until it is killed: its tasks have 2 s of that.
STOP_SECONDS: Final = 10.0

_CHUNK: Final = 1 << 17
_REST_READS: Final = 16  # a pipe does not hold more
_TAIL: Final = 4000
# Without collections while modules are imported, which would be a tenth of a program's start; `serve` turns them on.
_LAUNCH: Final = (
    "import gc, sys; gc.disable(); root = sys.argv.pop(1); root in sys.path or sys.path.append(root); "
    "from importlib import import_module; import_module(sys.argv[1]).main(int(sys.argv[2]))"
)


class Child:
    """One program. Made by :meth:`start`; everything is safe to call from any thread.

    Attributes:
        pid: the number of its process, which leads a session of its own.
        messages: what it has told so far, oldest first; only ever appended to.
        stdout: what it prints.
        stderr: what it prints to standard error.
        returncode: its exit code, or minus the number of the signal that killed it; None while it runs.
        ended: whether it has ended and all that it printed and told is here.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], channel: socket.socket, pipes: tuple[int, int], folder: Path
    ) -> None:
        """A program that was started, the socket to it, the read ends of its pipes, and the folder of what it prints."""
        self.pid = process.pid
        self.messages: list[dict[str, Any]] = []
        self.stdout, self.stderr = Spool(folder / "stdout"), Spool(folder / "stderr")
        self.returncode: int | None = None
        self.ended = False
        self._process = process
        self._channel = channel
        self._news = threading.Condition()
        self._listeners: dict[object, Callable[[], None]] = {}
        self._clean = weakref.finalize(self, _remove, folder, os.getpid())
        self._folder = folder
        threading.Thread(target=self._pump, args=pipes, name=f"flowinfra-{self.pid}", daemon=True).start()

    @classmethod
    def start(
        cls,
        module: str,
        spec: Mapping[str, Any],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Child:
        """Start the program *module* and give it *spec*.

        Args:
            module: its name; its ``main`` gets the number of the socket, see :mod:`flowinfra.cli.programs.channel`.
            spec: what it shall do, as JSON.
            env: its whole environment (default: this process's).
            cwd: the folder that it works in (default: the current one).

        Raises:
            ControlError: FI850, the process cannot be started.
            ConfigurationError: FI931, there is no folder *cwd*; FI863, a flow file asks for it while it is imported.
        """
        if INVOKER.get() is ignore:
            # The program would import the file, which would start the next one, and so on without end.
            raise ConfigurationError(
                error(
                    "FI863",
                    "a flow file starts a run or a deployment while it is imported",
                    detail="the process that carries it out imports that file too, and would start the next one",
                    hint='put it behind `if __name__ == "__main__":`, or into a file of its own',
                )
            )
        folder = Path(tempfile.mkdtemp(prefix="flowinfra-"))
        opened: list[int] = []
        here = there = process = None
        try:
            here, there = socket.socketpair()
            pipes: list[tuple[int, int]] = []
            for _ in range(2):
                pipes.append(os.pipe())
                opened += pipes[-1]
            root = str(Path(__file__).resolve().parents[2])
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _LAUNCH, root, module, str(there.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=pipes[0][1],
                stderr=pipes[1][1],
                pass_fds=[there.fileno()],
                env=env,
                cwd=cwd,
                start_new_session=True,  # Ctrl-C is this process's to hear; it asks the program to stop
            )
            for _, write_end in pipes:
                os.close(write_end)
                opened.remove(write_end)
            child = cls(process, here, (pipes[0][0], pipes[1][0]), folder)
        except BaseException as why:
            if process is not None:  # it is there, and no thread can be started for it
                process.kill()
                process.wait()
            for fd in opened:
                os.close(fd)
            if here is not None:
                here.close()
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(why, (OSError, RuntimeError)):
                raise _not_started(why, cwd) from why
            raise
        finally:
            if there is not None:
                there.close()
        child._send({**spec, "spool": str(folder)})
        return child

    # -- what it tells --------------------------------------------------------------------------------------------

    def spool(self, stream: Stream) -> Spool:
        """What it prints to *stream*."""
        return self.stdout if stream == "stdout" else self.stderr

    def told(self, what: str) -> dict[str, Any] | None:
        """The first message of the kind *what*; None if it has not come."""
        return next((m for m in self.messages if m.get("is") == what), None)

    def check(self, doing: str) -> None:
        """Raise what the program has refused to do its work with, or that it has ended without saying anything.

        Args:
            doing: what the program was to do, for the message.

        Raises:
            FlowinfraError: as the program has raised it.
            ControlError: FI851, it has ended without an answer.
        """
        refused = self.told("error")
        if refused is not None:
            raise error_from_json(refused["error"])
        if self.ended:
            self._raise_died(doing)

    def _raise_died(self, doing: str) -> NoReturn:
        code = self.returncode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"has ended with exit code {code}"
        said = (self.stderr.text().strip() or self.stdout.text().strip())[-_TAIL:]
        raise ControlError(
            error(
                "FI851",
                f"the process that was to {doing} {how} before it had answered",
                detail=said or "it has printed nothing",
                hint="what it printed says why; a flow whose import ends the interpreter does that, and so does memory "
                "running out",
            )
        )

    # -- waiting --------------------------------------------------------------------------------------------------

    def wait(self, ready: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait in this thread until *ready*, which is asked whenever something has come; False if *timeout* s passed."""
        with self._news:
            return self._news.wait_for(ready, timeout)

    async def until(self, ready: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait in an event loop until *ready*; False if so many *seconds* have passed."""
        import asyncio

        loop = asyncio.get_running_loop()
        last = None if seconds is None else loop.time() + seconds
        while not ready():
            heard: asyncio.Future[None] = loop.create_future()

            def ring(heard: asyncio.Future[None] = heard) -> None:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(_set, heard)

            with self._news:
                if ready():
                    return True
                self._listeners[heard] = ring
            try:
                done, _ = await asyncio.wait([heard], timeout=None if last is None else max(0.0, last - loop.time()))
            finally:
                with self._news:
                    self._listeners.pop(heard, None)
            if not done and not ready():
                return False
        return True

    def _ring(self) -> None:
        with self._news:
            self._news.notify_all()
            listeners, self._listeners = list(self._listeners.values()), {}
        for listener in listeners:
            listener()

    # -- ending it ------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask it to stop; :meth:`kill` is for programs that do not."""
        self._send({"do": "stop"})

    def kill(self) -> None:
        """Kill it and what it has started in its own group."""
        with self._news:
            if self.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)

    def halt(self) -> None:
        """Stop it and wait in this thread until it has ended."""
        self.stop()
        if not self.wait(lambda: self.ended, STOP_SECONDS):
            self.kill()
            self.wait(lambda: self.ended)

    async def halted(self) -> None:
        """Stop it and wait in an event loop until it has ended."""
        self.stop()
        try:
            if not await self.until(lambda: self.ended, STOP_SECONDS):
                self.kill()
                await self.until(lambda: self.ended)
        except BaseException:
            self.kill()  # nobody waits any more
            raise

    def close(self) -> None:
        """Remove what it has printed."""
        self._clean()

    def _send(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):  # it has ended; its messages or its exit code say so
            self._channel.sendall(encode_message(dict(message)))

    # -- the thread -----------------------------------------------------------------------------------------------

    def _pump(self, out: int, err: int) -> None:
        spools = {out: self.stdout, err: self.stderr}
        channel, buffer = self._channel.fileno(), bytearray()
        end = _end_of(self.pid)
        watched = select.poll()
        for fd in (out, err, channel, *([] if end is None else [end])):
            watched.register(fd, select.POLLIN)
        over = False
        while not over:
            for fd, _ in watched.poll():
                if fd == end:
                    over = True
                elif fd == channel:
                    data = _received(self._channel)
                    if not data:
                        watched.unregister(fd)
                        over = over or end is None
                    buffer += data
                elif data := os.read(fd, _CHUNK):
                    spools[fd].append(data)
                else:
                    watched.unregister(fd)
            self.messages += read_messages(buffer)
            self._ring()
        # What it left running may hold the pipes open, and print for ever: only what is there already is taken.
        for fd, spool in spools.items():
            os.set_blocking(fd, False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(_REST_READS):
                    spool.append(os.read(fd, _CHUNK))
            os.close(fd)
        self._channel.setblocking(False)
        while data := _received(self._channel):
            buffer += data
        self.messages += read_messages(buffer)
        with self._news if end is not None else contextlib.nullcontext():  # until it is collected nobody has its number
            self.returncode = self._process.wait()
        if end is not None:
            os.close(end)
        self._channel.close()
        self.ended = True
        self._ring()


def call(
    module: str,
    spec: Mapping[str, Any],
    *,
    doing: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    show: bool = False,
    timeout: float | None = None,
) -> dict[str, Any]:
    """Have the program *module* answer once: the message ``{"is": "answer", ...}`` that it tells.

    Args:
        module: see :meth:`Child.start`.
        spec: what is asked, as JSON.
        doing: what the program does, for messages: ``deploy Hello``.
        env: its whole environment.
        cwd: the folder that it works in.
        show: what it prints is printed by this process too, while it comes.
        timeout: in seconds; then it is killed.

    Raises:
        FlowinfraError: as the program has raised it.
        ControlError: FI850, it cannot be started; FI851, it has ended without an answer; FI855, it took too long.
    """
    child = Child.start(module, spec, env=env, cwd=cwd)
    try:
        if not Follower(child, show=show).wait(lambda: child.ended, timeout):
            raise too_long(doing, timeout or 0.0)
    except BaseException:
        child.halt()
        child.close()
        raise
    try:
        answer = child.told("answer")
        if answer is None:
            child.check(doing)
        assert answer is not None  # else that has raised
        return answer
    finally:
        child.close()


class Follower:
    """Waits for a program, and prints meanwhile what it prints, if that is wanted."""

    def __init__(self, child: Child, *, show: bool) -> None:
        """Follow *child*; *show* says whether what it prints is printed by this process too."""
        self._child = child
        self._echoes = [Echo(child.stdout, sys.stdout), Echo(child.stderr, sys.stderr)] if show else []

    def wait(self, ready: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait in this thread until *ready*; False if *timeout* s have passed."""
        last = None if timeout is None else time.monotonic() + timeout
        while True:
            there = ready()
            for echo in self._echoes:
                echo.print(ended=self._child.ended)
            if there:
                return True
            left = None if last is None else last - time.monotonic()
            if left is not None and left <= 0:
                return False
            self._child.wait(lambda: ready() or any(echo.behind for echo in self._echoes), left)


class Echo:
    """Prints what a program prints."""

    def __init__(self, spool: Spool, stream: TextIO) -> None:
        """Print what comes into *spool* to *stream*."""
        import codecs

        self._spool = spool
        self._stream = stream
        self._position = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def behind(self) -> bool:
        """Whether there is something to print."""
        return self._position < self._spool.size

    def print(self, *, ended: bool = False) -> None:
        """Print what is there."""
        while self.behind:
            data = self._spool.read(self._position)
            self._position += len(data)
            self._write(self._decoder.decode(data))
        if ended:
            self._write(self._decoder.decode(b"", final=True))

    def _write(self, text: str) -> None:
        if text:
            with contextlib.suppress(OSError):  # nobody reads it any more
                self._stream.write(text)
                self._stream.flush()


def too_long(doing: str, seconds: float) -> ControlError:
    """FI855: it took longer than the caller would wait."""
    return ControlError(
        error(
            "FI855",
            f"the process that was to {doing} had not answered after {seconds:g} s, and was stopped",
            hint="give a longer file_read_timeout=, or look at what the flow file does while it is imported",
        )
    )


def _remove(folder: Path, owner: int) -> None:
    """Remove a program's folder; not at the end of a process that is a forked copy of the one which reads in it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _set(heard: Any) -> None:
    if not heard.done():
        heard.set_result(None)


def _received(channel: socket.socket) -> bytes:
    try:
        return channel.recv(_CHUNK)
    except (BlockingIOError, ConnectionResetError):
        return b""


def _end_of(pid: int) -> int | None:
    """What becomes readable when the process ends; None where the system has no such thing: then the socket says it."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _not_started(why: Exception, cwd: Path | None) -> FlowinfraError:
    if cwd is not None and not cwd.is_dir():
        return ConfigurationError(error("FI931", f"there is no folder {cwd}", hint="check cwd="))
    return ControlError(
        error(
            "FI850",
            f"no process can be started: {getattr(why, 'strerror', None) or why}",
            hint="start fewer at once, or allow more processes and open files (`ulimit -u`, `ulimit -n`)",
        )
    )
