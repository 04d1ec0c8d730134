"""Locks of stacks, in the form that the real CLI makes and respects.

A lock is a file of its own for each process: ``.pulumi/locks/organization/<project>/<stack>/<uuid>.json``. Look, write,
look again: two that come at the same moment both see the other one and both give up.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flowinfra.diagnostics import EngineError, error
from flowinfra.engine.state.resources import timestamp

__all__ = ["Lock", "held", "locks_in", "refuse_others"]

_TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class Lock:
    """Who holds a stack."""

    path: Path
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


def locks_in(folder: Path) -> list[Lock]:
    """The locks in the folder of one stack; a file that cannot be read counts as a lock of somebody unknown."""
    found: list[Lock] = []
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return found
    for path in sorted(folder / name for name in names if name.endswith(".json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found.append(
                Lock(
                    path,
                    str(content.get("username", "?")),
                    str(content.get("hostname", "?")),
                    int(content.get("pid", 0)),
                    str(content.get("timestamp", "?")),
                )
            )
        except FileNotFoundError:
            continue
        except (OSError, ValueError, AttributeError):
            found.append(Lock(path, "?", "?", 0, "?"))
    return found


@contextlib.contextmanager
def held(folder: Path) -> Iterator[Lock]:
    """Hold the stack whose locks are in *folder*.

    Raises:
        EngineError: FI620, somebody else holds it.
        OSError: the lock cannot be written.
    """
    mine = folder / f"{uuid.uuid4()}.json"
    refuse_others(folder, mine)
    lock = Lock(mine, _user(), socket.gethostname(), os.getpid(), timestamp())
    content = {"pid": lock.pid, "username": lock.user, "hostname": lock.host, "timestamp": lock.since}
    _write(mine, json.dumps(content))
    try:
        refuse_others(folder, mine)
        yield lock
    finally:
        mine.unlink(missing_ok=True)
        _remove_empty(folder)


def _write(path: Path, content: str) -> None:
    draft = path.with_suffix(".tmp")
    for attempt in range(_TRIES):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(content, encoding="utf-8")
            break
        except (FileNotFoundError, FileExistsError):  # whoever released his lock just now has removed the empty folder
            if attempt == _TRIES - 1:
                raise
    draft.rename(path)  # nobody sees half a lock


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())


def _remove_empty(folder: Path) -> None:
    # Leaves no trace of a finished operation; .pulumi itself is four levels up and stays.
    for path in (folder, *list(folder.parents)[:3]):
        try:
            path.rmdir()
        except OSError:
            return


def refuse_others(folder: Path, mine: Path | None = None) -> None:
    """Go on only if nobody but the holder of *mine* holds the stack whose locks are in *folder*.

    Raises:
        EngineError: FI620.
    """
    others = [lock for lock in locks_in(folder) if lock.path != mine]
    if not others:
        return
    lines = [f"{o.user}@{o.host} (pid {o.pid}) since {o.since}: {o.path}" for o in others]
    dead = [o for o in others if o.stale]
    if len(dead) == len(others):
        hint = (
            "that process does not run any more: it was killed in the middle of an operation. Remove its lock with "
            "`flowinfra cancel`, then run the operation again"
        )
    else:
        hint = "wait until the other operation has ended; if it never will, `flowinfra cancel` removes its lock"
    raise EngineError(
        error("FI620", "the stack is locked by another operation", detail="held by " + "; ".join(lines), hint=hint)
    )
