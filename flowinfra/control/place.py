"""Where runs are read from, and how one of them stands."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowinfra.model.states import FINAL, RunState
from flowinfra.packaging.home import Home
from flowinfra.packaging.release import load
from flowinfra.packaging.store import Store
from flowinfra.wire import End, IndexEntry, RunDocument, flow_key, index_prefix, run_from_index, run_key

if TYPE_CHECKING:
    from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator

__all__ = ["Address", "Place", "Standing", "local_time"]


def local_time(ms: int) -> datetime.datetime:
    """Milliseconds since the epoch as a point in time, in the local time zone."""
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).astimezone()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands.

    Attributes:
        state: its state.
        ended_ms: when it ended, milliseconds since the epoch; None before.
        error: why it failed, as ``end.json`` has it.
        seen_ms: the last sign of life, where the state is unknown and there was one.
    """

    state: RunState
    ended_ms: int | None = None
    error: Mapping[str, Any] | None = None
    seen_ms: int | None = None


class Place:
    """A store, and the project in whose folder one stands; each object of the client has one and hands it on.

    Attributes:
        home: the project's folder, whose queue knows the runs that have not ended.
        store: where the runs are.
    """

    def __init__(self, home: Home, store: Store) -> None:
        self.home = home
        self.store = store
        self._local: LocalOrchestrator | None = None
        self._release: tuple[str, dict[str, Any]] | None = None

    @classmethod
    def open(cls, store: Store | str | None = None) -> Place:
        """The place of the current folder's project, with its store or another one.

        Raises:
            PackagingError: FI402, the store cannot be opened.
        """
        home = Home.find()
        if isinstance(store, Store):
            return cls(home, store)
        return cls(home, Store.open(store or home.store_url))

    def release(self, digest: str) -> dict[str, Any]:
        """The release *digest* as plain JSON; the last one is kept, as the objects of a run ask for the same again.

        Raises:
            KeyMissing: FI401, the store does not have it.
            PackagingError: FI410, it is damaged; FI411, it speaks another wire version.
        """
        if self._release is None or self._release[0] != digest:
            self._release = digest, load(self.store, digest)
        return self._release[1]

    def flows(self) -> list[str]:
        """The names of the flows that have run, sorted."""
        folder = index_prefix("flow").removesuffix("flow/")
        return sorted(self._flow_of(key) for key in self.store.folders(folder))

    def _flow_of(self, key: str) -> str:
        # Names that keys cannot carry stand there shortened and hashed; a run of such a flow has the name itself.
        if flow_key(key) == key:
            return key
        newest = next(self.store.list(_standing_as(key, index_prefix("flow"))), None)
        if newest is None:
            return key
        document = self.store.find(_standing_as(key, run_key("flow", run_from_index(newest).run, "run.json")))
        return str(json.loads(document)[RunDocument.FLOW]) if document else key

    def index(self, flow: str) -> Iterator[IndexEntry]:
        """The runs of a flow, newest first, as the index has them; one listing, read as far as one looks."""
        for key in self.store.list(index_prefix(flow)):
            yield run_from_index(key)

    def standing(self, flow: str, run: str) -> Standing:
        """How a run stands: its terminal marker says it, else the project's queue, else nobody knows."""
        data = self.store.find(run_key(flow, run, "end.json"))
        if data is not None:
            end = json.loads(data)
            return Standing(RunState(end[End.STATE]), end.get(End.TIME), end.get(End.ERROR))
        local = self._queue()
        record = None if local is None else local.queue.find(run)
        if local is None or record is None:
            return Standing(RunState.UNKNOWN)
        seen = local.observed(record)
        if seen.state in FINAL:
            from flowinfra.orchestrators.local.ending import fault, vanished

            nobody_said = seen.state is RunState.FAILED and seen.error is None
            error = fault(vanished(self.home, record)) if nobody_said else seen.error
            return Standing(seen.state, seen.ended_ms or seen.heartbeat_ms, error)
        return Standing(seen.state, seen_ms=seen.heartbeat_ms)

    def is_written(self, run: str) -> bool:
        """Whether somebody on this machine still carries *run* out: its marker stands before its last lines do."""
        local = self._queue()
        record = None if local is None else local.queue.find(run)
        if local is None or record is None:
            return False
        return local.observed(record).state in (RunState.PENDING, RunState.RUNNING)

    def _queue(self) -> LocalOrchestrator | None:
        if self._local is None:  # looked for again each time: the first run may make it
            from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator

            self._local = LocalOrchestrator.existing(self.home, self.store)
        return self._local


def _standing_as(key: str, plain: str) -> str:
    """*plain*, a key or prefix of the flow ``flow``, for the flow that stands in keys as *key*."""
    return plain.replace("/flow/", f"/{key}/", 1)


@dataclass(frozen=True, slots=True)
class Address:
    """A name inside a place: what an object of the client is made of when it is known to be there.

    Attributes:
        place: where to read.
        parts: the pathspec's parts, from the flow downwards.
    """

    place: Place
    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The last part."""
        return self.parts[-1]

    @property
    def pathspec(self) -> str:
        """All parts."""
        return "/".join(self.parts)

    @property
    def run(self) -> Address:
        """The run that it is, or is inside of."""
        return Address(self.place, self.parts[:2])

    @property
    def task(self) -> tuple[str, str, str, str]:
        """Flow, run, step and task: what keys of a task are made of."""
        flow, run, step, task = self.parts[:4]
        return flow, run, step, task

    def child(self, name: str) -> Address:
        """What is called *name* right inside."""
        return Address(self.place, (*self.parts, name))

    def up(self, levels: int = 1) -> Address:
        """What it is inside of."""
        return Address(self.place, self.parts[:-levels])
