"""The journal of an operation: what has happened to a state since its checkpoint was written. Pure.

A line is a checksum and a JSON object; a line that was torn by a crash is the last one and counts as not written. The
first line names the checkpoint that the journal continues, by its digest. Before the checkpoint is rewritten a *fold*
names the digest of the new one, so that whichever of the two a crash leaves is continued from the right place.

Records name the resources of the checkpoint that the operation began with by their index, and those that were
registered since by their URN. They say what is, not what to do: applied twice they come to the same.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from flowinfra.diagnostics import EngineError, Source, error
from flowinfra.engine.state.resources import Pending, ResourceState

__all__ = [
    "Begun", "Changed", "Ended", "Fold", "Gone", "Head", "Journal", "Kept", "Put", "Record", "Replayed", "Salt",
    "line", "parse", "replay",
]  # fmt: skip

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Head:
    """The checkpoint that the journal continues."""

    base: str
    """Digest of its document; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Begun:
    """An operation on a resource begins: written before its provider is called."""

    key: int
    pending: Pending


@dataclass(frozen=True, slots=True)
class Ended:
    """An operation has ended without another result, or its record is given up."""

    key: int


@dataclass(frozen=True, slots=True)
class Put:
    """A resource that the program has registered is this now."""

    state: ResourceState
    old: int | None = None
    """Index of the one whose place it takes."""
    ends: int | None = None
    made: bool = False
    """It was created by this operation."""
    was: str = ""
    """The URN under which it was registered before."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A resource of the last state that is not registered is this now."""

    index: int
    state: ResourceState
    ends: int | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """A resource of the last state is no more."""

    index: int
    ends: int | None = None


@dataclass(frozen=True, slots=True)
class Salt:
    """The salt of the key with which secrets are sealed from here on."""

    salt: str


@dataclass(frozen=True, slots=True)
class Fold:
    """The checkpoint is about to be rewritten with everything up to here."""

    digest: str
    news: int
    """Its first resources are that many registered ones ..."""
    olds: tuple[int, ...]
    """... and then those with these indices."""
    pending: tuple[int, ...]
    """Keys of its pending operations."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The last fold has come to its end."""


Record: TypeAlias = Head | Begun | Ended | Put | Changed | Gone | Salt | Fold | Kept


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal that was read."""

    base: str
    records: tuple[Record, ...]


# -- lines ------------------------------------------------------------------------------------------------------------


def line(record: Record) -> bytes:
    """The bytes of *record*; secrets in it must be sealed.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot hold.
    """
    body = json.dumps(_document(record), separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _document(record: Record) -> dict[str, Any]:
    match record:
        case Head(base):
            return {"t": "head", "version": _VERSION, "base": base}
        case Begun(key, pending):
            return {"t": "begun", "key": key, "kind": pending.type, "resource": pending.resource.to_json()}
        case Ended(key):
            return {"t": "ended", "key": key}
        case Put(state, old, ends, made, was):
            return {"t": "put", "resource": state.to_json(), "old": old, "ends": ends, "made": made, "was": was}
        case Changed(index, state, ends):
            return {"t": "changed", "index": index, "resource": state.to_json(), "ends": ends}
        case Gone(index, ends):
            return {"t": "gone", "index": index, "ends": ends}
        case Salt(salt):
            return {"t": "salt", "salt": salt}
        case Fold(digest, news, olds, pending_keys):
            return {"t": "fold", "digest": digest, "news": news, "olds": list(olds), "pending": list(pending_keys)}
        case Kept():
            return {"t": "kept"}


def parse(data: bytes, where: str, *, lenient: bool = False) -> Journal | None:
    """The journal in *data*; None if nothing of it was written whole.

    Args:
        data: the content of the log.
        where: its place, for errors.
        lenient: leave out damaged lines. A record says what is, so those behind are as good as they were; an operation
            whose end is lost counts as one that did not end.

    Raises:
        EngineError: FI615, a line that is not the last one is damaged, or it has another version.
    """
    lines = data.split(b"\n")
    torn = lines.pop()  # what comes behind the last end of a line
    records: list[Record] = []
    for number, text in enumerate(lines, 1):
        try:
            records.append(_record(text))
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            if lenient and not isinstance(problem, _OtherVersion):
                continue
            if lenient or (number == len(lines) and not torn):
                break
            raise EngineError(
                error(
                    "FI615",
                    "the journal of the stack's last operation is damaged",
                    detail=f"line {number} of {len(lines)}: {problem}",
                    hint="`flowinfra state repair` takes over what is readable of it and shows what may be missing",
                    source=Source(where, number),
                )
            ) from problem
    if not records:
        return None
    head = records[0]
    if isinstance(head, Head):
        return Journal(head.base, tuple(records[1:]))
    return Journal("", tuple(records)) if lenient else None


class _OtherVersion(ValueError):
    """A journal of another version, of which nothing can be taken for granted."""


def _record(text: bytes) -> Record:
    checksum, _, body = text.partition(b" ")
    if len(checksum) != 8 or int(checksum, 16) != zlib.crc32(body):
        raise ValueError("its checksum is wrong")
    document: Mapping[str, Any] = json.loads(body)
    match document["t"]:
        case "head":
            if document["version"] != _VERSION:
                raise _OtherVersion(f"it has version {document['version']}, and this engine reads {_VERSION}")
            return Head(document["base"])
        case "begun":
            return Begun(document["key"], Pending(document["kind"], ResourceState.from_json(document["resource"])))
        case "ended":
            return Ended(document["key"])
        case "put":
            state = ResourceState.from_json(document["resource"])
            return Put(state, document["old"], document["ends"], document["made"], document["was"])
        case "changed":
            return Changed(document["index"], ResourceState.from_json(document["resource"]), document["ends"])
        case "gone":
            return Gone(document["index"], document["ends"])
        case "salt":
            return Salt(document["salt"])
        case "fold":
            return Fold(document["digest"], document["news"], tuple(document["olds"]), tuple(document["pending"]))
        case "kept":
            return Kept()
        case kind:
            raise ValueError(f"records of the kind {kind!r} are not known")


# -- replaying --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Replayed:
    """What a journal makes of a checkpoint."""

    news: dict[str, ResourceState] = field(default_factory=dict)
    olds: dict[int, ResourceState] = field(default_factory=dict)
    pending: dict[int, Pending] = field(default_factory=dict)
    salt: str | None = None
    made: dict[str, ResourceState] = field(default_factory=dict)
    """What was created since the last fold that came to its end, by URN."""

    def apply(self, record: Record) -> None:
        """Take *record* into account."""
        match record:
            case Begun(key, pending):
                self.pending[key] = pending
            case Ended(key):
                self.pending.pop(key, None)
            case Put(state, old, ends, made, was):
                self._end(ends)
                self.news.pop(was, None)
                self.news[state.urn] = state
                if old is not None:
                    self.olds.pop(old, None)
                if made:
                    self.made[state.urn] = state
            case Changed(index, state, ends):
                self._end(ends)
                self.olds[index] = state
                if state.delete and state.urn in self.news and self.news[state.urn].id == state.id:
                    del self.news[state.urn]  # it counted as registered, and is condemned
            case Gone(index, ends):
                self._end(ends)
                self.olds.pop(index, None)
            case Salt(salt):
                self.salt = salt
            case Kept():
                self.made.clear()
            case Head() | Fold():
                pass

    def _end(self, key: int | None) -> None:
        if key is not None:
            self.pending.pop(key, None)

    @property
    def resources(self) -> list[ResourceState]:
        """Everything: what was registered, then the rest of the last state."""
        return [*self.news.values(), *self.olds.values()]


def replay(
    journal: Journal, digest: str, resources: Sequence[ResourceState], pending: Sequence[Pending], salt: str | None
) -> Replayed | None:
    """What *journal* makes of the checkpoint with *digest*; None if it does not continue that one."""
    begin = next((i for i in reversed(range(len(journal.records))) if _folds(journal.records[i], digest)), None)
    fold = None if begin is None else journal.records[begin]
    if isinstance(fold, Fold) and begin is not None:
        state = Replayed(
            {r.urn: r for r in resources[: fold.news]},
            dict(zip(fold.olds, resources[fold.news :], strict=False)),
            dict(zip(fold.pending, pending, strict=False)),
            salt,
        )
        rest: Iterable[Record] = journal.records[begin + 1 :]
    elif digest == journal.base and (digest or Kept() not in journal.records):
        # Where there is no checkpoint any more, and there was one, the stack was removed: it does not come back.
        state = Replayed({}, dict(enumerate(resources)), dict(enumerate(pending)), salt)
        rest = journal.records
    else:
        return None
    for record in rest:
        state.apply(record)
    return state


def _folds(record: Record, digest: str) -> bool:
    return isinstance(record, Fold) and record.digest == digest
