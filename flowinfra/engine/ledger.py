"""The resources of one operation: those of the last state, and what has been made of them so far.

Every change goes through here, under one lock, and is noted in the journal at once; nothing goes on before the journal
says that what was noted is kept. The journal of a preview keeps nothing. What a change costs does not depend on how
many resources there are.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from flowinfra.diagnostics import EngineError, error
from flowinfra.engine.interpreter import Unanswered
from flowinfra.engine.journals import Journal, Picture
from flowinfra.engine.state.checkpoint import Snapshot
from flowinfra.engine.state.journal import Begun, Changed, Ended, Gone, Put, Record
from flowinfra.engine.state.resources import Pending, ResourceState
from flowinfra.engine.urns import split_reference
from flowinfra.engine.values import Properties, may_equal

__all__ = ["Entry", "Fate", "Ledger", "Opener"]

#: What became of what an earlier operation has begun and not ended: of a creation; of a change or deletion (``read``:
#: what is there is known now; ``gone``: this operation has deleted it).
Fate: TypeAlias = Literal["adopted", "absent", "left over", "read", "gone"]


class Opener(Protocol):
    """Opens the secrets of a state."""

    def open_state(self, state: ResourceState) -> ResourceState:
        """*state* with its secrets open."""
        ...


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
    left: bool = False
    """It is as in the last state and counts as registered: something that is not targeted depends on it."""
    tearing: bool = False
    """It is being deleted because something that it depends on is replaced."""
    gone: bool = False
    """No part of the state any more."""
    why: str = ""
    """Why it is to be deleted, where the plan does not show it otherwise."""


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
        self._quiet: dict[
            str, int
        ] = {}  # registered as they were, which was worth no record -> index in the last state
        self._places: set[str] = set()  # registered ones that are condemned, and keep the place of their replacement
        self._seen: set[str] = set()
        self._aliases: set[str] = set()
        self._referrers: dict[str, set[int]] | None = None
        self._pending = dict(enumerate(snapshot.pending))
        self._next = len(self._pending)
        self._owed: dict[str, list[int]] = {}
        for key, pending in self._pending.items():
            if pending.type == "creating":
                self._owed.setdefault(pending.resource.urn, []).append(key)
        self._unsure: dict[tuple[str, str], list[int]] = {}
        for key, pending in self._pending.items():
            if pending.type in ("updating", "deleting"):
                self._unsure.setdefault((pending.resource.urn, pending.resource.id), []).append(key)
        self._fates: dict[int, Fate] = {}
        self._noted = 0
        # A creation that was interrupted may have left something behind, so its record stays; others are told once.
        self._told = [key for key, pending in self._pending.items() if pending.type != "creating"]
        self._changed = bool(self._told)
        journal.begin(self.picture)

    # -- looking

    def resources(self) -> list[ResourceState]:
        """Everything that is in the state now: what was registered, then what was not looked at yet."""
        with self._lock:
            return [*self._registered(), *(e.state for e in self._entries if not e.gone)]

    def _registered(self) -> list[ResourceState]:
        if not self._places:
            return list(self._news.values())
        return [state for urn, state in self._news.items() if urn not in self._places]

    def picture(self) -> Picture:
        """The whole state now."""
        with self._lock:
            news = self._registered()
            olds = [e for e in self._entries if not e.gone]
            return Picture(
                [*news, *(e.state for e in olds)], len(news), [e.index for e in olds], dict(self._pending), self._noted
            )

    @property
    def changed(self) -> bool:
        """Whether the state is another one than the last, in anything that matters."""
        with self._lock:
            return self._changed

    @property
    def pending(self) -> list[Pending]:
        """Operations that were begun and have not ended."""
        with self._lock:
            return list(self._pending.values())

    @property
    def seen(self) -> frozenset[str]:
        """URNs of everything that the program has asked for so far."""
        with self._lock:
            return frozenset(self._seen)

    def registered(self) -> list[ResourceState]:
        """What the program has registered so far."""
        with self._lock:
            return self._registered()

    def waiting(self) -> list[Entry]:
        """Resources of the last state that nobody has claimed, in its order; replaced ones that are to be deleted."""
        with self._lock:
            return [e for e in self._entries if not e.gone and (not e.claimed or e.state.delete)]

    def waiting_on(self, urn: str) -> list[Entry]:
        """Those of :meth:`waiting` that name *urn*, in the order of the state."""
        with self._lock:
            return [e for e in self._naming(urn) if not e.gone and (not e.claimed or e.state.delete)]

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

    def is_taken(self, resource: ResourceState, id_: str) -> bool:
        """Whether another resource than *resource*, of the same type, stands for the object *id_*."""
        with self._lock:
            states = [*self._news.values(), *(e.state for e in self._entries if not e.gone)]
        return any(s.id == id_ and s.type == resource.type and s.urn != resource.urn for s in states)

    def last(self, urn: str) -> ResourceState | None:
        """What the last state says of the resource that is now called *urn*, with its secrets open."""
        with self._lock:
            entry = self._current.get(urn)
        return None if entry is None else self.open(entry)

    # -- registering

    def claim(self, urn: str, aliases: Sequence[str], *, targeted: bool = True) -> Entry | None:
        """What the last state says of a resource that the program registers now.

        Args:
            urn: its name.
            aliases: its former names, which are looked for in this order.
            targeted: it takes part in the operation; otherwise it keeps its former name.

        Raises:
            EngineError: FI607, the program has registered this URN, or what the alias names, already.
        """
        with self._lock:
            if urn in self._seen or urn in self._aliases:
                raise _duplicate(urn, "")
            self._seen.add(urn)
            for name in (urn, *aliases):
                entry = self._current.get(name)
                if name != urn and (name in self._aliases or (entry is not None and name in self._seen)):
                    raise _duplicate(urn, name)
                if entry is None:
                    continue
                self._torn.wait_for(lambda entry=entry: not entry.tearing)  # type: ignore[misc]
                if entry.gone and not entry.left:
                    continue
                entry.claimed = True
                if name != urn:
                    self._aliases.add(name)
                    if targeted:
                        self._rename(entry, name, urn)
                return entry
        return None

    def _rename(self, entry: Entry, was: str, urn: str) -> None:
        """Give a resource its new URN, also where other states of the last state name it."""

        def new(name: str) -> str:
            return urn if name == was else name

        for other in self._naming(was, entry):
            state = before = other.state
            if other is entry:
                state = replace(state, urn=urn)
            provider_urn, provider_id = split_reference(state.provider)
            state = replace(
                state,
                parent=new(state.parent),
                deleted_with=new(state.deleted_with),
                dependencies=tuple(map(new, state.dependencies)),
                property_dependencies={k: list(map(new, v)) for k, v in state.property_dependencies.items()},
                provider=f"{urn}::{provider_id}" if provider_urn == was else state.provider,
            )
            if other.left:
                # In the same place: whatever depends on it comes behind it.
                self._news = {
                    (state.urn if k == before.urn else k): (state if k == before.urn else v)
                    for k, v in self._news.items()
                }
                self._quiet.pop(before.urn, None)
                other.state = state
                self._refer(other)
                self._note(Put(state, other.index, was=before.urn))
            else:
                self._change(other, state)
        del self._current[was]
        self._current[urn] = entry

    def _naming(self, urn: str, *more: Entry) -> list[Entry]:
        """The entries that name *urn*, and *more*, in the order of the state."""
        if self._referrers is None:
            self._referrers = {}
            for entry in self._entries:
                self._refer(entry)
        found = {e.index for e in more} | self._referrers.get(urn, set())
        entries = (self._entries[i] for i in sorted(found))
        return [e for e in entries if not e.gone or e.left]

    def _refer(self, entry: Entry) -> None:
        if self._referrers is not None:
            for urn in entry.state.edges():
                self._referrers.setdefault(urn, set()).add(entry.index)

    def _change(self, entry: Entry, state: ResourceState, ends: Pending | None = None) -> None:
        entry.state = state
        self._refer(entry)
        self._note(Changed(entry.index, state, self._end(ends)))

    def commit(self, state: ResourceState, entry: Entry | None = None, ends: Pending | None = None) -> None:
        """Record *state* as registered.

        Args:
            state: what the resource is now.
            entry: whose place it takes.
            ends: the operation that has made it so, which is not pending any more.
        """
        with self._lock:
            self._news[state.urn] = state
            self._places.discard(state.urn)
            if entry is not None:
                entry.gone = True
                if ends is None and entry.was == state.urn and not entry.state.material_difference(state):
                    self._quiet[state.urn] = entry.index
                    return
            self._quiet.pop(state.urn, None)
            made = ends is not None and ends.type == "creating"
            self._note(Put(state, None if entry is None else entry.index, self._end(ends), made))
        self._journal.keep()

    def leave(self, entry: Entry) -> tuple[ResourceState, list[ResourceState]]:
        """Keep what *entry* stands for as it is: it is not targeted.

        What it depends on, and the program has not registered, is kept with it and returned beside it.
        """
        state = self.open(entry)
        beside: list[ResourceState] = []
        with self._lock:
            waiting = [entry]
            while waiting:
                known = waiting[-1]
                known.left = True
                needed = [
                    other
                    for urn in sorted(known.state.edges())
                    if (other := self._current.get(urn)) is not None
                    and not (other.gone or other.left or other.state.delete or urn in self._news)
                ]
                if needed:
                    waiting.extend(needed)
                    continue
                waiting.pop()
                if not known.gone:
                    known.gone = True
                    self._news[known.state.urn] = known.state
                    self._quiet[known.state.urn] = known.index
                    if not known.claimed:
                        beside.append(known.state)
        return state, beside

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
                self._news[urn] = state = replace(state, outputs=outputs)
                self._note(Put(state, self._quiet.pop(urn, None)))
        if changed:
            self._journal.keep()
        return changed

    # -- replacing and deleting

    def condemn(self, entry: Entry) -> None:
        """Its replacement exists: what it stands for is to be deleted in the end."""
        with self._lock:
            if entry.left:
                self._places.add(entry.state.urn)
                self._quiet.pop(entry.state.urn, None)
            entry.gone = entry.left = False
            self._change(entry, replace(entry.state, delete=True))

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
            state = replace(entry.state, pending_replacement=True)
            if entry.left:
                entry.state = self._news[state.urn] = state
                self._quiet.pop(state.urn, None)
                self._note(Put(state, entry.index, self._end(ends)))
            else:
                self._change(entry, state, ends)
        self._journal.keep()

    def drop(self, entry: Entry, ends: Pending | None = None) -> None:
        """What it stands for is no more."""
        with self._lock:
            entry.gone = True
            self._sure(entry.state, "gone")
            self._note(Gone(entry.index, self._end(ends)))
        self._journal.keep()

    def vanish(self, entry: Entry) -> None:
        """What it stands for turned out to be no more, while others still refer to it."""
        urn = entry.state.urn
        with self._lock:
            entry.gone = True
            self._note(Gone(entry.index))
            for other in self._naming(urn):
                state = other.state
                self._change(
                    other,
                    replace(
                        state,
                        parent="" if state.parent == urn else state.parent,
                        dependencies=tuple(u for u in state.dependencies if u != urn),
                        property_dependencies={
                            k: [u for u in urns if u != urn] for k, urns in state.property_dependencies.items()
                        },
                        deleted_with="" if state.deleted_with == urn else state.deleted_with,
                    ),
                )
        self._journal.keep()

    def take_over(
        self,
        entry: Entry,
        id_: str,
        inputs: Properties,
        outputs: Properties,
        modified: str,
        errors: tuple[str, ...] = (),
    ) -> None:
        """Record what was read of *entry*; *errors* say why it is not as it should be."""
        with self._lock:
            state = entry.state
            state = replace(state, id=id_, inputs=inputs, outputs=outputs, modified=modified, init_errors=errors)
            self._change(entry, state)
        self._journal.keep()

    # -- operations that were begun

    def forget_pending(self) -> None:
        """Give up the records of interrupted creations."""
        with self._lock:
            self._owed.clear()
            for key in [k for k, p in self._pending.items() if p.type == "creating"]:
                del self._pending[key]
                self._note(Ended(key))
        self._journal.keep()

    def owed(self, urn: str) -> Pending | None:
        """The creation of *urn* that an earlier operation did not end, if there is one; its secrets are open."""
        with self._lock:
            keys = self._owed.get(urn)
            pending = self._pending[keys[0]] if keys else None
        return None if pending is None else replace(pending, resource=self._opener.open_state(pending.resource))

    def unsure(self, state: ResourceState) -> bool:
        """Whether an earlier operation was changing or deleting *state* and did not end, and nobody has read it since."""
        with self._lock:
            return (state.urn, state.id) in self._unsure

    def was_read(self, state: ResourceState) -> None:
        """Its provider has said how *state* is now."""
        with self._lock:
            self._sure(state, "read")

    def _sure(self, state: ResourceState, fate: Fate) -> None:
        self._fates.update(dict.fromkeys(self._unsure.pop((state.urn, state.id), ()), fate))

    def owing(self) -> list[str]:
        """URNs of creations that earlier operations did not end, and of which nothing has become known yet."""
        with self._lock:
            return [urn for urn, keys in self._owed.items() if keys]

    def settle(self, urn: str, fate: Fate) -> None:
        """The first of the creations of *urn* that did not end has come to *fate*, and there is nothing to take over."""
        with self._lock:
            self._note(Ended(self._settle(urn, fate)))
        self._journal.keep()

    def _settle(self, urn: str, fate: Fate) -> int:
        key = self._owed[urn].pop(0)
        self._fates[key] = fate
        del self._pending[key]
        return key

    def adopt(self, state: ResourceState, *, left_over: bool = False) -> Entry:
        """What the first of the unended creations of a URN has made counts as part of the last state from here on.

        Args:
            state: what was found.
            left_over: nobody wants it; it is to be deleted.
        """
        with self._lock:
            state = replace(state, delete=left_over)
            entry = Entry(len(self._entries), state, state.urn, claimed=not left_over)
            if left_over:
                entry.why = "an interrupted operation had created it"
            self._entries.append(entry)
            self._refer(entry)
            key = self._settle(state.urn, "left over" if left_over else "adopted")
            self._note(Changed(entry.index, state, key))
        self._journal.keep()
        return entry

    def fate(self, key: int) -> Fate | None:
        """What became of the pending operation with this index in the last state; None if that is not known."""
        with self._lock:
            return self._fates.get(key)

    @contextmanager
    def operation(self, kind: str, state: ResourceState) -> Iterator[Pending]:
        """Record *kind* (``creating``, ...) as begun; a process that dies inside leaves the record for the next one.

        Whoever records the result inside ends it with that, in one step. What fails is not pending any more either,
        because the provider has answered; only after :class:`Unanswered` the record stays.
        """
        record = Pending(kind, state)
        with self._lock:
            key, self._next = self._next, self._next + 1
            self._pending[key] = record
            self._note(Begun(key, record))
        try:
            self._journal.keep()
        except BaseException:  # so the provider is not called, and there is nothing to look for
            with self._lock:
                self._note(Ended(key))
                del self._pending[key]
            raise
        try:
            yield record
        except Unanswered:  # nobody knows whether it happened: the record tells the next operation so
            raise
        except BaseException:
            self._over(record)
            raise
        self._over(record)

    def _over(self, record: Pending) -> None:
        with self._lock:
            left = self._end(record)
            if left is None:
                return
            self._note(Ended(left))
        self._journal.keep()

    def _end(self, record: Pending | None) -> int | None:
        if record is not None:
            for key, pending in reversed(self._pending.items()):
                if pending is record:
                    del self._pending[key]
                    return key
        return None

    def finish(self) -> None:
        """The operation is over: keep what only was left out, such as records of interrupted operations."""
        with self._lock:
            self._give_up_told()
        self._journal.keep()

    def _note(self, record: Record) -> None:
        self._changed = True
        self._give_up_told()
        self._noted += 1
        self._journal.note(record)

    def _give_up_told(self) -> None:
        told, self._told = self._told, []
        for key in told:
            del self._pending[key]
            self._noted += 1
            self._journal.note(Ended(key))


def _duplicate(urn: str, alias: str) -> EngineError:
    return EngineError(
        error(
            "FI607",
            f"two resources are registered as {alias or urn}",
            detail=f"one of them by the alias of {urn}" if alias else "a URN is made of type, name and parents",
            hint="give one of them another name" if not alias else "remove the alias from one of them",
        )
    )
