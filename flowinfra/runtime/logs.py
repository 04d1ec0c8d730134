"""What tasks print: kept in the store as numbered chunks, and cut into lines for whoever watches."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from flowinfra.diagnostics import FlowinfraError
from flowinfra.packaging.store import Store
from flowinfra.wire import log_key

__all__ = ["CHUNK_BYTES", "CHUNK_SECONDS", "PIPE_CHUNKS", "Lines", "LogWriter", "Put", "Uploader", "pumped"]

#: A chunk is written when so many bytes have come together, or so long after its first byte.
CHUNK_BYTES: Final = 64 * 1024

#: So many chunks fit into a pipe. Of a process that has ended no more is read: what it left running may print for ever.
PIPE_CHUNKS: Final = 16
CHUNK_SECONDS: Final = 1.0

_LONGEST_LINE: Final = 8 << 20  # a line above this is handed on in pieces
_BACKLOG: Final = 256  # chunks that may wait for the store before whoever prints has to wait

#: Write an object.
Put = Callable[[str, bytes], None]


class LogWriter:
    """One stream of one attempt, on its way into the store.

    Args:
        folder: the key of the attempt's folder.
        stream: ``out`` or ``err``.
        put: writes a chunk.
    """

    __slots__ = ("_buffer", "_folder", "_put", "_sequence", "_since", "_stream")

    def __init__(self, folder: str, stream: str, put: Put) -> None:
        self._folder = folder
        self._stream = stream
        self._put = put
        self._buffer = bytearray()
        self._sequence = 0
        self._since = 0.0

    def write(self, data: bytes, now: float) -> None:
        """Take what was printed at the time *now*."""
        if not self._buffer:
            self._since = now
        self._buffer += data
        if len(self._buffer) >= CHUNK_BYTES or now >= self._since + CHUNK_SECONDS:
            self.flush()

    def due(self) -> float | None:
        """When what waits has to be written; None if nothing waits."""
        return self._since + CHUNK_SECONDS if self._buffer else None

    def flush(self) -> None:
        """Write what waits."""
        if self._buffer:
            self._put(log_key(self._folder, self._stream, self._sequence), bytes(self._buffer))
            self._sequence += 1
            self._buffer.clear()


class Lines:
    """Cuts a stream of bytes into lines of text; what is no UTF-8 is replaced."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that *data* completes, without their line feeds."""
        self._rest += data
        if b"\n" not in data and len(self._rest) < _LONGEST_LINE:
            return
        *lines, rest = bytes(self._rest).split(b"\n")
        if len(rest) >= _LONGEST_LINE:
            lines.append(rest)
            rest = b""
        self._rest = bytearray(rest)
        for line in lines:
            yield _text(line)

    def end(self) -> Iterator[str]:
        """The last line, if no line feed ends it."""
        if self._rest:
            yield _text(bytes(self._rest))
            self._rest.clear()


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")


class Uploader:
    """Writes chunks in a thread of its own, so that a slow store does not keep the scheduler from its tasks.

    A failure to write a log ends no run: it is told once, to *tell*.
    """

    def __init__(self, store: Store, tell: Callable[[str], None]) -> None:
        self._store = store
        self._tell = tell
        self._chunks: queue.Queue[tuple[str, bytes] | None] = queue.Queue(_BACKLOG)
        self._thread: threading.Thread | None = None

    def put(self, key: str, data: bytes) -> None:
        """Write a chunk some time before :meth:`close` returns."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="flowinfra-logs", daemon=True)
            self._thread.start()
        self._chunks.put((key, data))

    def close(self) -> None:
        """Wait until everything is written."""
        if self._thread is not None:
            self._chunks.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        told = False
        while (chunk := self._chunks.get()) is not None:
            try:
                self._store.put(*chunk)
            except FlowinfraError as why:
                if not told:
                    self._tell(f"logs cannot be kept: {why}")
                told = True


@contextlib.contextmanager
def pumped(store: Store, folder: str) -> Iterator[None]:
    """Inside the block all that this process and its children print is kept under *folder*, and printed as well."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]

    def tell(text: str) -> None:
        os.write(saved[1], f"{text}\n".encode())

    uploader = Uploader(store, tell)
    pipes = [os.pipe(), os.pipe()]
    for fd, (_, write_end) in zip((1, 2), pipes, strict=True):
        os.dup2(write_end, fd)
        os.close(write_end)
    ends, rings = os.pipe()
    reads = [read_end for read_end, _ in pipes]
    writers = [LogWriter(folder, stream, uploader.put) for stream in ("out", "err")]
    thread = threading.Thread(target=_pump, args=(reads, saved, writers, ends), name="flowinfra-logs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):  # the step may have closed them
            sys.stdout.flush()
            sys.stderr.flush()
        for fd, original in zip((1, 2), saved, strict=True):
            os.dup2(original, fd)
        os.write(rings, b"x")  # a copy of this end may live on in a child, so closing it would not do
        thread.join()
        uploader.close()
        for fd in (*reads, *saved, ends, rings):
            os.close(fd)


def _pump(reads: list[int], originals: list[int], writers: list[LogWriter], ends: int) -> None:
    """Forward and keep what comes out of *reads* until all are closed, or *ends* has something; then what is in them."""

    def take(fd: int) -> bool:
        data = os.read(fd, CHUNK_BYTES)
        original, writer = streams[fd]
        if data:
            _write_all(original, data)
            writer.write(data, time.monotonic())
        return bool(data)

    streams = dict(zip(reads, zip(originals, writers, strict=True), strict=True))
    ended = False
    while streams and not ended:
        dues = [due for _, writer in streams.values() if (due := writer.due()) is not None]
        wait = max(0.0, min(dues) - time.monotonic()) if dues else None
        ready: list[int] = select.select([*streams, ends], [], [], wait)[0]
        for fd in ready:
            if fd == ends:
                ended = True  # the write ends here are closed; a child that lives on is not waited for
            elif not take(fd):
                del streams[fd]
        now = time.monotonic()
        for writer in writers:
            if (due := writer.due()) is not None and due <= now:
                writer.flush()
    for fd in streams:
        os.set_blocking(fd, False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(PIPE_CHUNKS):
                take(fd)
    for writer in writers:
        writer.flush()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except OSError:
            return  # nobody reads it any more
