"""What a program prints, kept in a file: positions in it stay good while it grows and after the program has ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flowinfra.diagnostics import ControlError, error

__all__ = ["LineReader", "Spool"]

_CHUNK: Final = 1 << 16


class Spool:
    """One stream of a program. One thread appends, any number read.

    The file is opened for each use: with hundreds of programs at once, open files are what runs out first.

    Attributes:
        path: the file.
        size: how much has been kept, in bytes.
    """

    def __init__(self, path: Path) -> None:
        """Keep the stream in the file *path*, which is made."""
        self.path = path
        self.size = 0
        self._fault: OSError | None = None
        path.touch(mode=0o600)

    def append(self, data: bytes) -> None:
        """Keep *data*. Where it cannot be kept (the disk is full), the program goes on and readers are told."""
        if self._fault is not None:
            return
        left = memoryview(data)
        try:
            with self.path.open("ab", buffering=0) as file:
                while left:
                    written = file.write(left) or 0
                    left = left[written:]
                    self.size += written
        except OSError as why:
            self._fault = why

    def read(self, position: int, limit: int = _CHUNK) -> bytes:
        """At most *limit* bytes from *position* on; empty if there is nothing yet.

        Raises:
            ControlError: FI859, the output is not kept any more, or could not be kept.
        """
        if position >= self.size:
            if self._fault is not None:
                raise _lost(
                    f"it could not be kept: {self._fault.strerror}", "free space in the folder for temporary files"
                )
            return b""
        try:
            with self.path.open("rb", buffering=0) as file:
                return os.pread(file.fileno(), min(limit, self.size - position), position)
        except OSError as why:
            raise _lost("cleanup() has removed it", "read it before, inside the `with` block") from why

    def text(self) -> str:
        """All of it; what is no UTF-8 is replaced.

        Raises:
            ControlError: FI859, as :meth:`read`.
        """
        if not self.path.exists():
            raise _lost("cleanup() has removed it", "read it before, inside the `with` block")
        return self.read(0, self.size).decode(errors="replace")


class LineReader:
    """Reads a spool line by line, each with the position behind it."""

    def __init__(self, spool: Spool, position: int = 0) -> None:
        """Begin at *position*, one that was told with a line, or 0."""
        self._spool = spool
        self._read = position
        self._position = position
        self._parts: list[bytes] = []  # of a line whose end has not come

    @property
    def behind(self) -> bool:
        """Whether there is something to read."""
        return self._read < self._spool.size

    def lines(self, *, ended: bool) -> Iterator[tuple[int, str]]:
        """The lines that are complete in the next part; with *ended*, in the last one also one without its end."""
        data = self._spool.read(self._read)
        self._read += len(data)
        *whole, rest = data.split(b"\n")
        for line in whole:
            self._parts.append(line)
            yield self._take(newline=1)
        if rest:
            self._parts.append(rest)
        if ended and self._parts and not self.behind:
            yield self._take(newline=0)

    def _take(self, newline: int) -> tuple[int, str]:
        line = b"".join(self._parts)
        self._parts.clear()
        self._position += len(line) + newline
        return self._position, line.removesuffix(b"\r").decode(errors="replace")


def _lost(why: str, hint: str) -> ControlError:
    return ControlError(error("FI859", "the output of the run cannot be read", detail=why, hint=hint))
