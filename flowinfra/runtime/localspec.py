"""What is asked of a local run, and the switch that stops it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from flowinfra.runtime.lineage import TaskRef

__all__ = ["MAX_WORKERS", "LocalRun", "StopSwitch"]

#: How many tasks run at once by default, as users of the field expect; most steps wait for something. Set it lower
#: where each task needs much memory or a core of its own.
MAX_WORKERS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRun:
    """One run on this machine.

    Attributes:
        store_url: where it lives; it must hold the release.
        flow: the flow's name.
        release: the digest that the run is pinned to.
        run: the run's id.
        code: the folder that goes on the tasks' path of modules.
        deployment: ``<flow>/<deployment>``; empty for a run without one.
        max_workers: how many tasks run at once.
        timeout_seconds: for the whole run.
        env: variables that every task gets.
        tags: what the run is tagged with.
        origin: the id of the run that it resumes, or whose task it repeats.
        rerun: of a resumed run: steps of which nothing is taken over.
        only: the one task that is run, instead of the whole flow; then nothing is taken over.
        address: where its target knows it.
        target: the word for it in run.json.
        user: who started it.
        control: the named pipe by which it is suspended, see :mod:`flowinfra.runtime.holding`; None if nobody can.
    """

    store_url: str
    flow: str
    release: str
    run: str
    code: Path
    deployment: str = ""
    max_workers: int = MAX_WORKERS
    timeout_seconds: float | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    origin: str = ""
    rerun: frozenset[str] = frozenset()
    only: TaskRef | None = None
    address: str = ""
    target: str = "local"
    user: str = ""
    control: Path | None = None


class StopSwitch:
    """Stops a run from another thread, or from a signal's handler; it may be used as often as one likes."""

    def __init__(self) -> None:
        self._hears, self._rings = socket.socketpair()
        self._hears.setblocking(False)
        self._rings.setblocking(False)

    def fileno(self) -> int:
        """What becomes readable when it was used."""
        return self._hears.fileno()

    def stop(self) -> None:
        """Stop the run: its tasks get SIGTERM, and SIGKILL if they have not ended 2 s later, or at the second use."""
        with contextlib.suppress(OSError):  # full, or closed: it was used before, or the run has ended
            self._rings.send(b"x")

    def uses(self) -> int:
        """How often it was used since this was last asked."""
        with contextlib.suppress(BlockingIOError):
            return len(self._hears.recv(64))
        return 0

    def close(self) -> None:
        """Free what it holds."""
        self._hears.close()
        self._rings.close()
