"""The resources of one operation: those of the last state, and what has been made of them so far.

Every change goes through here, under one lock, and is handed to the journal at once: what the journal of an update
writes is at every moment a true checkpoint. The journal of a preview keeps nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from flowinfra.diagnostics import EngineError, error
from flowinfra.engine.state.checkpoint import Snapshot
from flowinfra.engine.state.resources import Pending, ResourceState
from flowinfra.engine.urns import split_reference
from flowinfra.engine.values import Properties, may_equal

__all__ = ["Entry", "Journal", "Ledger", "Opener", "forget"]

Journal: TypeAlias = Callable[[Sequence[ResourceState], Sequence[Pending]], None]


class Opener(Protocol):
    """Opens the secrets of a state."""

    def open_state(self, state: ResourceState) -> ResourceState:
        """*state* with its secrets open."""
        ...


def forget(resources: Sequence[ResourceState], pending: Sequence[Pending]) -> None:
    """The journal of a preview."""


@dataclass(slots=True, eq=False)
class Entry:
    """One resource of the last state."""

    index: int
    """Its place in the state; whatever depends on it comes later."""
    state: ResourceState
    was: str
    """Its URN in the last state."""
    claimed: bool = False
    """The program has registered it."""
    tearing: bool = False
    """It is being deleted because something that it depends on is replaced."""
    gone: bool = False
    """No part of the state any more."""


class Ledger:
    """What exists, while it changes; safe for several threads."""

    def __init__(self, snapshot: Snapshot, opener: Opener, journal: Journal) -> None:
        self._lock = threading.RLock()
        self._torn = threading.Condition(self._lock)
        self._opener = opener
        self._journal = journal
        self._entries = [Entry(i, state, state.urn) for i, state in enumerate(snapshot.resources)]
        self._current: dict[str, Entry] = {e.state.urn: e for e in self._entries if not e.state.delete}
        self._news: dict[str, ResourceState] = {}
        self._seen: set[str] = set()
        self._aliases: dict[str, str] = {}
        # A creation that was interrupted may have left something behind, so its record stays; others are told once.
        self._pending = [p for p in snapshot.pending if p.type == "creating"]
        self._changed = len(self._pending) != len(snapshot.pending)
        self._saved = False

    # -- looking

    def resources(self) -> list[ResourceState]:
        """Everything that is in the state now: what was registered, then what was not looked at yet."""
        with self._lock:
            return [*self._news.values(), *(e.state for e in self._entries if not e.gone)]

    @property
    def changed(self) -> bool:
        """Whether the state is another one than the last, in anything that matters."""
        with self._lock:
            return self._changed

    @property
    def pending(self) -> list[Pending]:
        """Operations that were begun and have not ended."""
        with self._lock:
            return list(self._pending)

    def registered(self) -> list[ResourceState]:
        """What the program has registered so far."""
        with self._lock:
            return list(self._news.values())

    def waiting(self) -> list[Entry]:
        """Resources of the last state that nobody has claimed, in its order; replaced ones that are to be deleted."""
        with self._lock:
            return [e for e in self._entries if not e.gone and (not e.claimed or e.state.delete)]

    def open(self, entry: Entry) -> ResourceState:
        """The state of *entry* with its secrets open."""
        while True:  # opening may wait for the key, so it is done outside the lock; the state may change meanwhile
            with self._lock:
                state = entry.state
            opened = self._opener.open_state(state)
            with self._lock:
                if entry.state is state:
                    entry.state = opened
                    return opened

    def find(self, urn: str, id_: str) -> ResourceState | None:
        """The resource with this URN and id, registered or not, with its secrets open."""
        with self._lock:
            state = self._news.get(urn)
            if state is not None and state.id == id_:
                return state
            entries = [e for e in self._entries if not e.gone and e.state.urn == urn and e.state.id == id_]
        return self.open(entries[0]) if entries else None

    def last(self, urn: str) -> ResourceState | None:
        """What the last state says of the resource that is now called *urn*, with its secrets open."""
        with self._lock:
            entry = self._current.get(urn)
        return None if entry is None else self.open(entry)

    # -- registering

    def claim(self, urn: str, aliases: Sequence[str]) -> Entry | None:
        """What the last state says of a resource that the program registers now.

        Raises:
            EngineError: FI607, the program has registered this URN, or what the alias names, already.
        """
        with self._lock:
            if urn in self._seen or urn in self._aliases.values():
                raise _duplicate(urn, "")
            self._seen.add(urn)
            for name in (urn, *aliases):
                entry = self._current.get(name)
                if name != urn and (name in self._aliases.values() or (entry is not None and name in self._seen)):
                    raise _duplicate(urn, name)
                if entry is None:
                    continue
                self._torn.wait_for(lambda entry=entry: not entry.tearing)  # type: ignore[misc]
                if entry.gone:
                    continue
                entry.claimed = True
                if name != urn:
                    self._aliases[urn] = name
                    self._rename(entry, name, urn)
                return entry
        return None

    def _rename(self, entry: Entry, was: str, urn: str) -> None:
        """Give a resource its new URN, also where other states of the last state name it."""

        def new(name: str) -> str:
            return urn if name == was else name

        for other in self._entries:
            if other.gone:
                continue
            state = other.state
            if other is entry:
                state = replace(state, urn=urn)
            provider_urn, provider_id = split_reference(state.provider)
            other.state = replace(
                state,
                parent=new(state.parent),
                deleted_with=new(state.deleted_with),
                dependencies=tuple(map(new, state.dependencies)),
                property_dependencies={k: list(map(new, v)) for k, v in state.property_dependencies.items()},
                provider=f"{urn}::{provider_id}" if provider_urn == was else state.provider,
            )
        del self._current[was]
        self._current[urn] = entry

    def commit(self, state: ResourceState, entry: Entry | None = None, ends: Pending | None = None) -> None:
        """Record *state* as registered.

        Args:
            state: what the resource is now.
            entry: whose place it takes.
            ends: the operation that has made it so, which is not pending any more.
        """
        with self._lock:
            self._end(ends)
            self._news[state.urn] = state
            if entry is not None:
                entry.gone = True
                if ends is None and entry.was == state.urn and not entry.state.material_difference(state):
                    return
            self._save()

    def registered_as(self, urn: str) -> ResourceState:
        """The state of the registered resource *urn*."""
        with self._lock:
            return self._news[urn]

    def set_outputs(self, urn: str, outputs: Properties) -> tuple[str, ...]:
        """Record the outputs of a component or of the stack; the names of those that are others than before.

        What is not known in a preview is no difference by itself: the SDK also calls unknown what a provider left out.
        """
        with self._lock:
            state = self._news[urn]
            before = state.outputs
            names = dict.fromkeys([*before, *outputs])
            changed = tuple(
                n for n in names if n not in before or n not in outputs or not may_equal(before[n], outputs[n])
            )
            if changed:
                self._news[urn] = replace(state, outputs=outputs)
                self._save()
        return changed

    # -- replacing and deleting

    def condemn(self, entry: Entry) -> None:
        """Its replacement exists: what it stands for is to be deleted in the end."""
        with self._lock:
            entry.state = replace(entry.state, delete=True)

    @contextmanager
    def tearing_down(self, entry: Entry) -> Iterator[bool]:
        """Delete what *entry* stands for, and record it, inside.

        Yields whether it is still there to be deleted: nobody has registered it meanwhile. Whoever registers it while
        it is being deleted waits.
        """
        with self._lock:
            free = not (entry.claimed or entry.gone or entry.state.pending_replacement or entry.tearing)
            entry.tearing = entry.tearing or free
        try:
            yield free
        finally:
            if free:
                with self._lock:
                    entry.tearing = False
                    self._torn.notify_all()

    def tear_down(self, entry: Entry, ends: Pending | None = None) -> None:
        """What it stands for is deleted, and its replacement is still to be created."""
        with self._lock:
            self._end(ends)
            entry.state = replace(entry.state, pending_replacement=True)
            self._save()

    def drop(self, entry: Entry, ends: Pending | None = None) -> None:
        """What it stands for is no more."""
        with self._lock:
            self._end(ends)
            entry.gone = True
            self._save()

    def vanish(self, entry: Entry) -> None:
        """What it stands for turned out to be no more, while others still refer to it."""
        urn = entry.state.urn
        with self._lock:
            entry.gone = True
            for other in self._entries:
                state = other.state
                other.state = replace(
                    state,
                    dependencies=tuple(u for u in state.dependencies if u != urn),
                    property_dependencies={
                        k: [u for u in urns if u != urn] for k, urns in state.property_dependencies.items()
                    },
                    deleted_with="" if state.deleted_with == urn else state.deleted_with,
                )
            self._save()

    def take_over(self, entry: Entry, id_: str, inputs: Properties, outputs: Properties, modified: str) -> None:
        """Record what was read of *entry*."""
        with self._lock:
            entry.state = replace(entry.state, id=id_, inputs=inputs, outputs=outputs, modified=modified)
            self._save()

    def forget_pending(self) -> None:
        """Give up the records of interrupted creations."""
        with self._lock:
            if self._pending:
                self._pending.clear()
                self._save()

    @contextmanager
    def operation(self, kind: str, state: ResourceState) -> Iterator[Pending]:
        """Record *kind* (``creating``, ...) as begun; a process that dies inside leaves the record for the next one.

        Whoever records the result inside ends it with that, in one step. What fails is not pending any more either: the
        provider has answered.
        """
        record = Pending(kind, state)
        with self._lock:
            self._pending.append(record)
            self._save()
        try:
            yield record
        finally:
            with self._lock:
                if self._end(record):
                    self._save()

    def _end(self, record: Pending | None) -> bool:
        for index, pending in enumerate(self._pending):
            if pending is record:
                del self._pending[index]
                return True
        return False

    def finish(self) -> None:
        """The operation is over: keep what only was left out, such as records of interrupted operations."""
        with self._lock:
            if self._changed and not self._saved:
                self._save()

    def _save(self) -> None:
        self._changed = self._saved = True
        self._journal(self.resources(), self._pending)


def _duplicate(urn: str, alias: str) -> EngineError:
    return EngineError(
        error(
            "FI607",
            f"two resources are registered as {alias or urn}",
            detail=f"one of them by the alias of {urn}" if alias else "a URN is made of type, name and parents",
            hint="give one of them another name" if not alias else "remove the alias from one of them",
        )
    )
