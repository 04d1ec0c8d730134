"""Where the files of a backend lie: a small seam with a folder behind it, or a bucket (:mod:`.objects`).

Keys are relative paths with ``/``. Everything that goes wrong is an :class:`OSError`, except that somebody else has
written meanwhile (:class:`Overtaken`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["Folder", "Log", "Overtaken", "Storage", "Stored"]

_TRIES = 20


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that was read."""

    data: bytes
    version: str
    """Another one as soon as somebody has written it."""
    modified: float
    """Seconds since the epoch."""


class Overtaken(Exception):
    """The object is another one than the one that was to be replaced."""


class Log(Protocol):
    """An object that grows at its end."""

    def append(self, data: bytes) -> None:
        """Add *data*; when this returns, no crash takes it away. What fails leaves at most a torn end.

        Raises:
            OSError: it cannot be written.
        """
        ...

    def close(self) -> None:
        """Give up what is held; the content stays."""
        ...


class Storage(Protocol):
    """The operations on the files of a backend."""

    @property
    def root(self) -> Path | None:
        """The folder, where it is one of this machine."""
        ...

    def where(self, key: str) -> str:
        """How people find it: a path or a URL."""
        ...

    def read(self, key: str) -> Stored | None:
        """The object, or None if there is none."""
        ...

    def exists(self, key: str) -> bool:
        """Whether it is there."""
        ...

    def write(self, key: str, data: bytes, *, over: str | None = None, backup: str = "") -> str:
        """Replace the object in one step: whoever looks, even after a crash, sees the old one or the new one.

        Args:
            key: which one.
            data: its content.
            over: the version that is replaced, ``""`` if there must be none; None replaces whatever is there.
            backup: keep the one that is replaced under this key, where that costs nothing.

        Returns:
            Its version now.

        Raises:
            Overtaken: it has another version than *over*.
        """
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write it unless it is there; of several at once exactly one gets True."""
        ...

    def copy(self, key: str, to: str) -> None:
        """Write a copy."""
        ...

    def delete(self, key: str) -> None:
        """Remove it; nothing happens if it is not there."""
        ...

    def names(self, folder: str) -> list[str]:
        """The names of the objects right in *folder*, sorted."""
        ...

    def remove(self, folder: str) -> None:
        """Remove everything in *folder*."""
        ...

    def prune(self, folder: str, levels: int) -> None:
        """Remove *folder* and as many as *levels* folders above it, as far as they are empty."""
        ...

    def log(self, key: str) -> Log:
        """Begin a new log at *key*, in the place of one that is there."""
        ...

    def read_log(self, key: str) -> bytes | None:
        """What was appended to the log at *key*, the end perhaps torn; None if there is none."""
        ...

    def delete_log(self, key: str) -> None:
        """Remove the log at *key*."""
        ...


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of local files: drafts, ``fsync`` and renames."""

    root: Path

    def where(self, key: str) -> str:
        return str(self.root / key)

    def read(self, key: str) -> Stored | None:
        try:
            with open(self.root / key, "rb") as file:
                status = os.fstat(file.fileno())
                return Stored(file.read(), _version(status), status.st_mtime)
        except FileNotFoundError:
            return None

    def exists(self, key: str) -> bool:
        try:
            return stat.S_ISREG(os.stat(self.root / key).st_mode)
        except FileNotFoundError:
            return False

    def write(self, key: str, data: bytes, *, over: str | None = None, backup: str = "") -> str:
        path = self.root / key
        draft = path.with_name(f"{path.name}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                status = os.fstat(file.fileno())
            if over is not None and self._present(path) != over:
                raise Overtaken(str(path))
            if backup and path.exists():
                _keep(path, self.root / backup)
            draft.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        _sync(path.parent)
        path.with_name(f"{path.name}.attrs").unlink(missing_ok=True)  # Go's cloud library keeps a checksum there
        return _version(status)

    @staticmethod
    def _present(path: Path) -> str:
        try:
            return _version(path.stat())
        except FileNotFoundError:
            return ""

    def create(self, key: str, data: bytes) -> bool:
        path = self.root / key
        # Not in the folder itself: whatever lies in a folder of locks counts as one.
        draft = self.root / f".{uuid.uuid4()}.tmp"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(data)
            for attempt in range(_TRIES):
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    os.link(draft, path)  # fails if the name is taken, and the file is whole the moment it has it
                except FileExistsError:
                    if path.is_file():
                        return False
                    if attempt == _TRIES - 1:
                        raise
                except FileNotFoundError:  # whoever released a lock just now has removed the empty folder
                    if attempt == _TRIES - 1:
                        raise
                else:
                    return True
            return False
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def copy(self, key: str, to: str) -> None:
        (self.root / to).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.root / key, self.root / to)

    def delete(self, key: str) -> None:
        with contextlib.suppress(NotADirectoryError):
            (self.root / key).unlink(missing_ok=True)

    def names(self, folder: str) -> list[str]:
        try:
            with os.scandir(self.root / folder) as entries:
                return sorted(e.name for e in entries if not e.is_dir())
        except FileNotFoundError:
            return []

    def remove(self, folder: str) -> None:
        shutil.rmtree(self.root / folder, ignore_errors=True)

    def prune(self, folder: str, levels: int) -> None:
        path = self.root / folder
        for candidate in (path, *list(path.parents)[:levels]):
            try:
                candidate.rmdir()
            except OSError:
                return

    def log(self, key: str) -> Log:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return _FileLog(path)

    def read_log(self, key: str) -> bytes | None:
        stored = self.read(key)
        return None if stored is None else stored.data

    def delete_log(self, key: str) -> None:
        self.delete(key)
        self.prune(key.rpartition("/")[0], 1)


class _FileLog:
    """A file that is only appended to."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o666)
        self._path = path
        self._size = 0
        _sync(path.parent)

    def append(self, data: bytes) -> None:
        if not os.fstat(self._handle).st_nlink:
            raise FileNotFoundError(errno.ENOENT, "somebody else has taken the stack over", str(self._path))
        # After a write that failed halfway, as on a full disk, the next one begins where the good part ends.
        os.lseek(self._handle, self._size, os.SEEK_SET)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._handle, view) :]
            os.fsync(self._handle)
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self._size)
            raise
        self._size += len(data)

    def close(self) -> None:
        os.close(self._handle)


def _version(status: os.stat_result) -> str:
    return f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"


def _keep(path: Path, copy: Path) -> None:
    """Keep the file under another name; its content is never changed in place, so a link is as good as a copy."""
    copy.unlink(missing_ok=True)
    try:
        os.link(path, copy)
    except OSError:
        shutil.copyfile(path, copy)


def _sync(folder: Path) -> None:
    """Have the names in *folder* survive a loss of power, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
