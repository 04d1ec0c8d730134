"""Locks of stacks, in the form that the real CLI makes and respects.

A lock is a file in ``.pulumi/locks/organization/<project>/<stack>``; whatever lies there is one. The real CLI gives each
process a file of its own: look, write, look again, so that of two that come at the same moment both give up. Ours has
one name for all, and is written only where there is none: of two that come at the same moment exactly one goes on.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from flowinfra.diagnostics import EngineError, error
from flowinfra.engine.state.resources import timestamp
from flowinfra.engine.state.storage import Storage

__all__ = ["Lock", "held", "locks_in", "refuse_others"]

_OURS: Final = "flowinfra.json"


@dataclass(frozen=True, slots=True)
class Lock:
    """Who holds a stack."""

    key: str
    """The lock's file in the backend."""
    where: str
    """How people find the file."""
    user: str
    host: str
    pid: int
    since: str

    @property
    def stale(self) -> bool:
        """Whether its process is known to be gone: it ran on this machine, and it does not run any more."""
        if self.host != socket.gethostname() or self.pid <= 0:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False  # it runs, and belongs to somebody else
        return False

    @property
    def status(self) -> str:
        """What is known of its process, as the end of a sentence about it."""
        if self.stale:
            return "whose process does not run any more"
        if self.host == socket.gethostname() and self.pid > 0:
            return "which is still running"
        return "on another machine, where it may still run"

    def __str__(self) -> str:
        return f"{self.user}@{self.host} (pid {self.pid}) since {self.since}"


def locks_in(storage: Storage, folder: str) -> list[Lock]:
    """The locks in the folder of one stack; a file that cannot be read counts as a lock of somebody unknown."""
    found: list[Lock] = []
    for key in (f"{folder}/{name}" for name in storage.names(folder) if name.endswith(".json")):
        where = storage.where(key)
        try:
            stored = storage.read(key)
            if stored is None:
                continue
            content = json.loads(stored.data)
            found.append(
                Lock(
                    key,
                    where,
                    str(content.get("username", "?")),
                    str(content.get("hostname", "?")),
                    int(content.get("pid", 0)),
                    str(content.get("timestamp", "?")),
                )
            )
        except (OSError, ValueError, AttributeError):
            found.append(Lock(key, where, "?", "?", 0, "?"))
    return found


@contextlib.contextmanager
def held(storage: Storage, folder: str) -> Iterator[Lock]:
    """Hold the stack whose locks are in *folder*.

    Raises:
        EngineError: FI620, somebody else holds it.
        OSError: the lock cannot be written.
    """
    refuse_others(storage, folder)
    key = f"{folder}/{_OURS}"
    lock = Lock(key, storage.where(key), _user(), socket.gethostname(), os.getpid(), timestamp())
    content = json.dumps(
        {"pid": lock.pid, "username": lock.user, "hostname": lock.host, "timestamp": lock.since}
    ).encode()
    while not storage.create(key, content):
        refuse_others(storage, folder)  # unless whoever was faster has gone meanwhile
    try:
        refuse_others(storage, folder, lock)
        yield lock
    finally:
        with contextlib.suppress(OSError):  # what is left is told by the next operation, with the process that left it
            stored = storage.read(key)
            if stored is not None and stored.data == content:  # else it was cancelled, and is somebody else's now
                storage.delete(key)
            # Leaves no trace of a finished operation; .pulumi itself is four levels up and stays.
            storage.prune(folder, 3)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())


def refuse_others(storage: Storage, folder: str, mine: Lock | None = None) -> None:
    """Go on only if nobody but *mine* holds the stack whose locks are in *folder*.

    Raises:
        EngineError: FI620.
    """
    others = [lock for lock in locks_in(storage, folder) if lock != mine]
    if not others:
        return
    dead = [o for o in others if o.stale]
    if len(dead) == len(others):
        hint = (
            "that process does not run any more: it was killed in the middle of an operation. Remove its lock with "
            "`flowinfra cancel`, then run the operation again"
        )
    else:
        hint = "wait until the other operation has ended; if it never will, `flowinfra cancel` removes its lock"
    raise EngineError(
        error(
            "FI620",
            "the stack is locked by another operation",
            detail="held by " + "; ".join(f"{o}: {o.where}" for o in others),
            hint=hint,
        )
    )
