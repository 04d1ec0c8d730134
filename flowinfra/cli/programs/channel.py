"""A program's side of the socket to the process that has started it."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import select
import shutil
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from flowinfra.control.messages import error_to_json
from flowinfra.diagnostics import FlowinfraError
from flowinfra.runtime.workserver import encode_message, read_messages

__all__ = ["Channel", "serve"]


class Channel:
    """The way to the process that has started this one.

    Attributes:
        spec: what this program shall do.
        alone: whether that process has ended, so that nobody will read what this one leaves.
    """

    def __init__(self, fd: int) -> None:
        """Take over the socket *fd* and read the specification."""
        self._socket = socket.socket(fileno=fd)
        os.set_inheritable(fd, False)
        self._buffer = bytearray()
        self._messages: list[dict[str, Any]] = []
        self._owner = os.getppid()
        self.alone = False
        while not self._messages:
            data = self._socket.recv(1 << 16)
            if not data:
                os._exit(0)  # it has ended before it could say what it wants
            self._buffer += data
            self._messages = read_messages(self._buffer)
        self.spec = self._messages.pop(0)
        self._hear_by_signal()

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message; it is lost if nobody is there any more."""
        with contextlib.suppress(OSError):
            self._socket.sendall(encode_message(message))

    def _hear_by_signal(self) -> None:
        """Until :meth:`watch`, whatever comes ends the process at once: nothing has begun, and a thread would forbid forks."""
        signal.signal(signal.SIGIO, self._leave)
        fcntl.fcntl(self._socket, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self._socket, fcntl.F_SETFL, fcntl.fcntl(self._socket, fcntl.F_GETFL) | os.O_ASYNC)
        if self._messages or select.select([self._socket], [], [], 0)[0]:
            self._leave()  # it came before there was a signal for it

    def _leave(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            if not self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                shutil.rmtree(self.spec["spool"], ignore_errors=True)  # nobody is left who would
        os._exit(1)

    def watch(self, stop: Callable[[], None]) -> None:
        """From now on call *stop*, in a thread, when this program is asked to stop or its starter has ended."""
        fcntl.fcntl(self._socket, fcntl.F_SETFL, fcntl.fcntl(self._socket, fcntl.F_GETFL) & ~os.O_ASYNC)
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        threading.Thread(target=self._listen, args=(stop,), name="flowinfra-channel", daemon=True).start()

    def _listen(self, stop: Callable[[], None]) -> None:
        watched = select.poll()
        watched.register(self._socket, select.POLLIN)
        with contextlib.suppress(AttributeError, OSError):
            # Copies of it that it has forked may keep the socket open. (Not on macOS, where nobody forks copies.)
            watched.register(os.pidfd_open(self._owner), select.POLLIN)
        while True:
            if any(message.get("do") == "stop" for message in self._messages):
                stop()
            self._messages.clear()
            self.alone = self.alone or os.getppid() != self._owner
            data = b""
            if not self.alone:
                ready = [fd for fd, _ in watched.poll()]
                with contextlib.suppress(OSError):
                    data = self._socket.recv(1 << 16) if self._socket.fileno() in ready else b""
            if not data:
                self.alone = True
                stop()
                return
            self._buffer += data
            self._messages = read_messages(self._buffer)


def serve(fd: int, body: Callable[[Channel], int], *, collect: bool = True) -> NoReturn:
    """Carry out *body* and end the process with the exit code that it returns; what it raises is told.

    The process was started without garbage collections; with *collect* they are turned on now, else by *body*.

    The interpreter is not taken down: all that would do is to take time.
    """
    channel = Channel(fd)
    if collect:
        gc.enable()
    code = 1
    try:
        code = body(channel)
    except FlowinfraError as why:
        channel.tell({"is": "error", "error": error_to_json(why)})
    except BaseException:  # noqa: BLE001 - the last line of defence: whoever has started this reads it in its output
        traceback.print_exc()
        code = 255
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        if channel.alone:
            shutil.rmtree(channel.spec["spool"], ignore_errors=True)
        os._exit(code)
