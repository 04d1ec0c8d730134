"""A SQLite file and the one connection that an object has to it."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from flowinfra._version import __version__
from flowinfra.diagnostics import ControlError, Diagnostic, error
from flowinfra.orchestrators.local.sqlite.schema import MIGRATIONS, VERSION

__all__ = ["Database"]

_UNREACHABLE: Final = frozenset({"SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_READONLY", "SQLITE_AUTH"})
_DAMAGED: Final = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})
_OCCUPIED: Final = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"})
_UNWRITABLE: Final = frozenset({"SQLITE_FULL", "SQLITE_IOERR"})


class Database:
    """The file, opened on first use.

    Safe to use from several threads, which take turns, and to be there in a process that forks: the child opens a
    connection of its own, because SQLite's must not be used on both sides.

    Attributes:
        path: the file; it and its tables are made on first use.
        busy_ms: how long a writer waits for its turn, milliseconds.
    """

    def __init__(self, path: Path, *, busy_ms: int = 20_000) -> None:
        self.path = path
        self.busy_ms = busy_ms
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        # A parent's connections, kept so that this process never closes them: closing would check the file in.
        self._inherited: list[sqlite3.Connection] = []

    def __del__(self) -> None:
        self.close()

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """What a statement that only reads returns.

        Raises:
            ControlError: FI801 to FI805, the file cannot be used.
        """
        with self._use() as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction that writes; it is undone if the body raises.

        Raises:
            ControlError: FI801 to FI805, the file cannot be used; nothing was written.
        """
        with self._use() as connection, _immediate(connection):
            yield connection

    def changes(self) -> int:
        """Another number whenever another connection has written."""
        with self._use() as connection:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
                self._connection = None

    @contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._open()
            except sqlite3.DatabaseError as exc:
                found = _diagnose(self.path, exc, self.busy_ms)
                if found is None:
                    raise
                raise ControlError(found) from exc

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._pid != os.getpid():
            self._inherited.append(self._connection)
            self._connection = None
        if self._connection is None:
            # Autocommit, and our own BEGIN: the module's implicit transactions would begin as readers.
            connection = sqlite3.connect(
                self.path, timeout=self.busy_ms / 1000, isolation_level=None, check_same_thread=False
            )
            try:
                connection.row_factory = sqlite3.Row
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection, self._pid = connection, os.getpid()
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")
        version = _version_of(connection)
        if version == 0:
            if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() and not _version_of(connection):
                raise ControlError(_foreign(self.path, "it has tables that are not ours"))
            self._begin_wal(connection)
        if version < VERSION:
            self._migrate(connection)
        elif version > VERSION:
            raise ControlError(_too_new(self.path, version))

    def _begin_wal(self, connection: sqlite3.Connection) -> None:
        # Two who create the file at once: the change of mode does not wait for the other one, so we do.
        deadline = time.monotonic() + self.busy_ms / 1000
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as exc:
                if _name_of(exc) not in _OCCUPIED or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        with _immediate(connection):
            version = _version_of(connection)  # again: another one may have been faster
            for step in MIGRATIONS[version:]:
                for statement in step:
                    connection.execute(statement)
            if version < VERSION:
                connection.execute(f"PRAGMA user_version={VERSION}")


@contextmanager
def _immediate(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # a full disk has undone it already; what went wrong first is the news
            connection.execute("ROLLBACK")
        raise


def _version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _name_of(exc: sqlite3.Error) -> str:
    # SQLITE_IOERR_WRITE -> SQLITE_IOERR: the extended code only says where.
    name = getattr(exc, "sqlite_errorname", "") or ""
    return "_".join(name.split("_")[:2])


def _diagnose(path: Path, exc: sqlite3.DatabaseError, busy_ms: int) -> Diagnostic | None:
    name = _name_of(exc)
    if name in _UNREACHABLE:
        return error(
            "FI801",
            f"the database {path} cannot be opened: {exc}",
            detail="Deployments and the queue of runs are kept there.",
            hint="make the folder and the file writable for this user, or set FLOWINFRA_HOME to another folder",
        )
    if name in _DAMAGED:
        return _foreign(path, str(exc))
    if name in _OCCUPIED:
        return error(
            "FI804",
            f"the database {path} stayed locked for {busy_ms / 1000:g} s",
            detail="Another process has been writing to it all that time, or holds it and is stopped. Nothing was written.",
            hint=f"find the process that holds it (`fuser {path}`), end it, and try again",
        )
    if name in _UNWRITABLE:
        return error(
            "FI805",
            f"the database {path} cannot be written: {exc}",
            detail="The disk is full, a quota is used up, or the disk fails. Nothing was written.",
            hint="free space on that disk, or set FLOWINFRA_HOME to a folder on another one",
        )
    return None


def _foreign(path: Path, why: str) -> Diagnostic:
    return error(
        "FI803",
        f"{path} is no database of flowinfra, or is damaged: {why}",
        detail="It was left as it is. What runs have written lies in the store and is not affected.",
        hint=f"move {path.name} away (with its -wal and -shm files); `flowinfra refresh` and `flowinfra up` deploy again into a new one",
    )


def _too_new(path: Path, version: int) -> Diagnostic:
    return error(
        "FI802",
        f"the database {path} has schema version {version}; flowinfra {__version__} knows {VERSION}",
        detail="A newer flowinfra has written it. An older one could lose what it does not know, so it reads nothing.",
        hint="use the newer flowinfra in this project, or set FLOWINFRA_HOME to another folder",
    )
