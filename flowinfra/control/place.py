"""Where runs are read from, and how one of them stands."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flowinfra.model.states import FINAL, RunState
from flowinfra.packaging.home import Home
from flowinfra.packaging.store import Store
from flowinfra.wire import End, IndexEntry, RunDocument, index_prefix, run_from_index, run_key

__all__ = ["Place", "Standing", "local_time"]


def local_time(ms: int) -> datetime.datetime:
    """Milliseconds since the epoch as a point in time, in the local time zone."""
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).astimezone()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands.

    Attributes:
        state: its state.
        since_ms: when it ended; of an unknown state, the last sign of life; else None.
        error: why it failed, as ``end.json`` has it.
    """

    state: RunState
    since_ms: int | None = None
    error: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        if self.state is RunState.UNKNOWN and self.since_ms is not None:
            return f"unknown since {local_time(self.since_ms):%Y-%m-%d %H:%M:%S}"
        return self.state.value


class Place:
    """A store, and the project in whose folder one stands; each object of the client has one and hands it on.

    Attributes:
        home: the project's folder, whose queue knows the runs that have not ended.
        store: where the runs are.
    """

    def __init__(self, home: Home, store: Store) -> None:
        self.home = home
        self.store = store

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

    def flows(self) -> list[str]:
        """The flows that have run, as they stand in keys."""
        folder = index_prefix("flow").removesuffix("flow/")
        return self.store.folders(folder)

    def index(self, flow: str) -> Iterator[IndexEntry]:
        """The runs of a flow, newest first, as the index has them; one listing, read as far as one looks."""
        for key in self.store.list(index_prefix(flow)):
            yield run_from_index(key)

    def standing(self, flow: str, run: str, document: Mapping[str, Any]) -> Standing:
        """How a run stands: its terminal marker says it, else the queue, else nobody knows.

        Args:
            flow: the flow's name.
            run: the run's id.
            document: its run.json.
        """
        key = run_key(flow, run, "end.json")
        if self.store.exists(key):
            end = self.store.get_json(key)
            return Standing(RunState(end[End.STATE]), end.get(End.TIME), end.get(End.ERROR))
        return self._queued(run) or Standing(RunState.UNKNOWN, document.get(RunDocument.STARTED))

    def _queued(self, run: str) -> Standing | None:
        queue = self._local
        record = None if queue is None else queue.queue.find(run)
        if queue is None or record is None:
            return None
        seen = queue.observed(record)
        if seen.state in FINAL:
            return Standing(seen.state, seen.ended_ms or seen.heartbeat_ms, seen.error)
        return Standing(seen.state)

    @cached_property
    def _local(self) -> Any:
        from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator

        return LocalOrchestrator.existing(self.home, self.store)
