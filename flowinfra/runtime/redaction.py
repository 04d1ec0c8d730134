"""Secrets are taken out of what a task prints, of its errors, and of the texts of its artifacts.

What the step, its threads and its child processes print goes through a process of its own, between the task's streams
and the real ones. A thread would not do: code that holds the interpreter's lock while it fills a pipe would wait for a
thread that waits for the lock.

A value is found in whatever pieces it arrives, across lines too, in the forms that programs print: as it is, line by
line, as Python or JSON write it between quotes, in a URL, and in base64.
"""

from __future__ import annotations

import array
import atexit
import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import signal
import sys
import termios
from collections.abc import Iterable, Iterator
from typing import Any, Final, NoReturn
from urllib.parse import quote, quote_plus

from flowinfra.runtime.threads import fork

__all__ = ["MARK", "Redaction", "Redactor", "Stream"]

#: What stands in place of a secret.
MARK: Final = "***"

_SHORTEST: Final = 8  # characters of a part of a secret that is looked for by itself
_READ: Final = 64 * 1024
_MOST_FILES: Final = 1 << 16


class Redactor:
    """Takes secrets out of texts and streams; it learns them as they are fetched."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._forms: tuple[bytes, ...] = ()
        self.add(values)

    def __bool__(self) -> bool:
        """Whether there is anything to take out."""
        return bool(self._forms)

    def add(self, values: Iterable[str]) -> None:
        """Take out *values* from now on."""
        forms = {form for value in values for form in _forms(value)}
        # What holds another one is found by it.
        self._forms = tuple(sorted({*self._forms, *forms}, key=lambda form: (-len(form), form)))

    def found_in(self, data: bytes) -> bool:
        """Whether *data* holds one of the secrets."""
        return any(form in data for form in self._forms)

    def text(self, text: str) -> str:
        """*text* without the secrets."""
        if not self._forms:
            return text
        stream = self.stream()
        data = stream.feed(text.encode("utf-8", "surrogatepass")) + stream.end()
        return data.decode("utf-8", "surrogatepass")

    def stream(self) -> Stream:
        """For a stream of bytes that comes in pieces."""
        return Stream(self._forms)


class Stream:
    """Takes secrets out of bytes that come in pieces; holds back what may be the beginning of one."""

    __slots__ = ("_covered", "_forms", "_rest")

    def __init__(self, forms: tuple[bytes, ...]) -> None:
        self._forms = forms
        self._rest = b""
        self._covered = 0  # bytes of the rest that belong to a secret whose mark was given out

    def feed(self, data: bytes) -> bytes:
        """What can be given out now that *data* has come."""
        buffer = self._rest + data
        return self._give(buffer, self._held_from(buffer))

    def end(self) -> bytes:
        """What was held back, when nothing comes any more."""
        return self._give(self._rest, len(self._rest))

    def _give(self, buffer: bytes, until: int) -> bytes:
        if not until:  # all is held back, and what is covered of it stays so
            self._rest = buffer
            return b""
        mark = MARK.encode()
        out: list[bytes] = []
        at = 0
        for start, stop in _merged(self._found(buffer)):
            if start >= until:
                break
            out.append(buffer[at:start])
            if start or not self._covered:
                out.append(mark)
            at = stop
        if at < until:
            out.append(buffer[at:until])
        self._rest = buffer[until:]
        self._covered = max(0, at - until)
        return b"".join(out)

    def _found(self, buffer: bytes) -> Iterator[tuple[int, int]]:
        """Where secrets are, also inside one another."""
        if self._covered:
            yield 0, self._covered
        for form in self._forms:
            at = buffer.find(form)
            while at >= 0:
                yield at, at + len(form)
                at = buffer.find(form, at + 1)

    def _held_from(self, buffer: bytes) -> int:
        """The first place from which on the buffer may be the beginning of a secret."""
        first = len(buffer)
        for form in self._forms:
            at = max(0, len(buffer) - len(form) + 1)
            while at < first:
                at = buffer.find(form[:1], at, first)
                if at < 0:
                    break
                if form.startswith(buffer[at:]):
                    first = at
                at += 1
        return first


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans in order, those that overlap as one."""
    current: tuple[int, int] | None = None
    for start, stop in sorted(spans):
        if current is not None and start < current[1]:
            current = (current[0], max(current[1], stop))
        else:
            if current is not None:
                yield current
            current = (start, stop)
    if current is not None:
        yield current


def _forms(value: str) -> Iterator[bytes]:
    """The forms in which a secret may be printed; the whole of it however short it is."""
    if not value:
        return
    yield _bytes(value)
    yield value.encode("utf-8", "surrogatepass")
    parts = {value.strip(), *(line.strip() for line in value.splitlines()), *_leaves(value)}
    whole = {base64.b64encode(_bytes(value)), base64.urlsafe_b64encode(_bytes(value))}
    for form in whole:
        if len(form) >= _SHORTEST:
            yield form.rstrip(b"=")
    for part in (value, *(p for p in parts if len(p) >= _SHORTEST)):
        forms = (
            part,
            repr(part)[1:-1],
            repr(_bytes(part))[2:-1],
            json.dumps(part)[1:-1],
            json.dumps(part, ensure_ascii=False)[1:-1],
            quote(_bytes(part)),
            quote(_bytes(part), safe=""),
            quote_plus(_bytes(part)),
        )
        yield from map(_bytes, forms)


def _leaves(value: str) -> Iterator[str]:
    """The texts inside a secret that is a JSON document, as managed ones often are."""
    if value[:1] not in ("{", "["):
        return
    with contextlib.suppress(ValueError, RecursionError):
        todo = [json.loads(value)]
        while todo:
            node = todo.pop()
            if isinstance(node, dict):
                todo += node.values()
            elif isinstance(node, list):
                todo += node
            elif isinstance(node, str):
                yield node


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")  # as the operating system has what is no UTF-8
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


# -- streams of the task --------------------------------------------------------------------------------------------


class Redaction:
    """The secrets of one task: what they are taken out of, and for how long.

    Used as ``with redaction.afterwards(), logs, redaction.during():`` around the attempt, so that also what threads and
    exit handlers print behind it is covered, and what the attempt prints is complete before its logs are closed.

    Args:
        until_exit: the logs are not closed before the process ends: one process serves for all of it.
    """

    def __init__(self, *, until_exit: bool = False) -> None:
        self.redactor = Redactor()
        self._until_exit = until_exit
        self._pump: _Pump | None = None

    def text(self, text: str) -> str:
        """*text* without the secrets."""
        return self.redactor.text(text)

    def hide(self, values: Iterable[str]) -> None:
        """From now on take *values* out of all that this process and its children print."""
        if not self.redactor:
            atexit.register(self._stop)  # before any of the author's, so that it comes behind them
        self.redactor.add(values)
        self._stop()
        self._start()

    @contextlib.contextmanager
    def during(self) -> Iterator[None]:
        """At the end of the block, all that was printed in it has been passed on; if it lasts until exit, at exit."""
        try:
            yield
        finally:
            if not self._until_exit:
                self._stop()

    @contextlib.contextmanager
    def afterwards(self) -> Iterator[None]:
        """Behind the block, until the process ends, secrets stay hidden."""
        try:
            yield
        finally:
            self._start()

    def _start(self) -> None:
        if self.redactor and self._pump is None:
            self._pump = _Pump(self.redactor)

    def _stop(self) -> None:
        if self._pump is not None:
            self._pump.close()
            self._pump = None


class _Pump:
    """The process between the streams 1 and 2 of this process and what they were before."""

    def __init__(self, redactor: Redactor) -> None:
        _flush()
        self._saved = [os.dup(1), os.dup(2)]
        pipes = [os.pipe(), os.pipe()]
        hears, self._rings = os.pipe()
        self._hears = hears  # kept on this side too: the pump may end by itself, and then its bell would have no reader
        self._ended, ends = os.pipe()
        reads = [read_end for read_end, _ in pipes]
        pid = fork()
        if pid == 0:
            _become_pump(redactor, reads, self._saved, hears, ends)
        for fd, (read_end, write_end) in zip((1, 2), pipes, strict=True):
            os.dup2(write_end, fd)
            os.close(write_end)
            os.close(read_end)
        os.close(ends)
        os.waitpid(pid, 0)  # it has started the one that works, which is no child of ours: os.wait() is the step's

    def close(self) -> None:
        """Give the streams back; what was printed so far has been passed on when this returns."""
        _flush()
        for fd, original in zip((1, 2), self._saved, strict=True):
            os.dup2(original, fd)
        os.write(self._rings, b"x")  # a copy of this end may live on in a child, so closing it would not do
        with contextlib.suppress(InterruptedError):
            os.read(self._ended, 1)
        for fd in (*self._saved, self._hears, self._rings, self._ended):
            os.close(fd)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # the step may have closed or replaced it
            stream.flush()


def _become_pump(redactor: Redactor, reads: list[int], writes: list[int], hears: int, ends: int) -> NoReturn:
    """In the forked process: start the one that works, apart from the task's group, and end."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it ends when the task's streams do
        os.setsid()
        if fork() == 0:
            _close_others({*reads, *writes, hears, ends})
            _pump(redactor, dict(zip(reads, writes, strict=True)), hears)
    except BaseException:  # noqa: BLE001 - nothing above this can take it
        os._exit(1)
    finally:
        os._exit(0)


def _close_others(kept: set[int]) -> None:
    """Close all else: an end of a pipe that stays open here would never be seen to close."""
    bounds = [-1, *sorted(kept), min(os.sysconf("SC_OPEN_MAX"), _MOST_FILES)]
    for before, after in itertools.pairwise(bounds):
        os.closerange(before + 1, after)


def _pump(redactor: Redactor, targets: dict[int, int], hears: int) -> None:
    """Pass on what can be read until the task's streams are closed, or it says that it has ended; then what is in them."""
    streams: dict[int, Any] = {fd: redactor.stream() for fd in targets}
    poll = select.poll()
    for fd in (*targets, hears):
        poll.register(fd, select.POLLIN)
    ended = False
    while streams and not ended:
        for fd, _ in poll.poll():
            if fd == hears:
                ended = bool(os.read(hears, 1))
                poll.unregister(hears)
                continue
            data = os.read(fd, _READ)
            if data:
                _write_all(targets[fd], streams[fd].feed(data))
            else:
                _write_all(targets[fd], streams.pop(fd).end())
                poll.unregister(fd)
    for fd, stream in streams.items():
        left = _waiting(fd)  # no more than that: what the task has left running may print for ever
        while left > 0 and (data := os.read(fd, min(left, _READ))):
            left -= len(data)
            _write_all(targets[fd], stream.feed(data))
        _write_all(targets[fd], stream.end())


def _waiting(fd: int) -> int:
    """How many bytes are in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except OSError:
            return  # nobody reads it any more
