"""Pulumi's own backend ("DIY backend"): its layout and its files, in a folder or in a bucket."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from flowinfra.diagnostics import EngineError, Source, error
from flowinfra.engine.state.checkpoint import Snapshot, decode, encode, render
from flowinfra.engine.state.journal import Journal, parse, replay
from flowinfra.engine.state.locks import Lock, held, locks_in, refuse_others
from flowinfra.engine.state.order import in_order
from flowinfra.engine.state.reconcile import reconciled
from flowinfra.engine.state.resources import Pending, ResourceState
from flowinfra.engine.state.storage import Folder, Log, Overtaken, Storage

__all__ = ["Backend", "StackFile", "encode_snapshot", "unwritten"]

_META = b"version: 1\n"
_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Backend:
    """A place that holds ``.pulumi/``, with the stacks of any number of projects."""

    storage: Storage
    """The files of ``.pulumi`` itself."""

    @classmethod
    def open(cls, url: str) -> Self:
        """The backend at a ``file://`` or ``s3://`` URL, or at a path.

        Raises:
            EngineError: FI613, the URL is of another kind, or not understood; FI614, its files have a layout of another
                age; FI619, it cannot be reached.
        """
        found = cls(_storage(url))
        found._refuse_other_layouts()
        return found

    def _refuse_other_layouts(self) -> None:
        with _reading(self.storage.where("meta.yaml"), remote=self.storage.root is None):
            meta = self.storage.read("meta.yaml")
            text = "" if meta is None else meta.data.decode(errors="replace")
            old = not text and any(".json" in name for name in self.storage.names("stacks"))
        if old or (text and "version: 1" not in text):
            raise EngineError(
                error(
                    "FI614",
                    f"the state in {self.storage.where('')} has a layout that the embedded engine does not know",
                    detail="it holds stacks without projects" if old else f"meta.yaml says {text.strip()!r}",
                    hint="bring it up to date with `pulumi state upgrade`" if old else "use the Pulumi CLI as engine",
                    source=Source(self.storage.where("meta.yaml")),
                )
            )

    @property
    def root(self) -> Path | None:
        """The folder ``.pulumi``, where it is one of this machine."""
        return self.storage.root

    def stack(self, project: str, name: str) -> StackFile:
        """One stack, whether it exists or not."""
        return StackFile(self, project, name)

    def stacks(self, project: str) -> list[str]:
        """The names of the stacks of *project*, sorted.

        Raises:
            EngineError: FI610 or FI619, it cannot be read.
        """
        folder = f"stacks/{project}"
        with _reading(self.storage.where(folder), remote=self.storage.root is None):
            names = [n.removesuffix(".gz") for n in self.storage.names(folder)]
        return sorted({n.removesuffix(".json") for n in names if n.endswith(".json")})


def _storage(url: str) -> Storage:
    parts = urlsplit(url)
    if parts.scheme in ("", "file"):
        path = unquote(parts.netloc + parts.path) if parts.scheme else url
        return Folder(Path(path).expanduser().absolute() / ".pulumi")
    try:
        if parts.scheme == "s3":
            from flowinfra.engine.state.objects import Bucket

            return Bucket(url, ".pulumi")
        why = "the embedded engine keeps state at file:// and s3:// URLs"
    except ValueError as problem:
        why = str(problem)
    except OSError as problem:
        raise _unreachable(url, problem) from problem
    raise EngineError(
        error(
            "FI613",
            f"the embedded engine cannot keep state at {url}",
            detail=why,
            hint="for other remote state use the Pulumi CLI as engine: `flowinfra config set flowinfra:engine pulumi`",
        )
    )


@dataclass(frozen=True, slots=True)
class StackFile:
    """The files of one stack."""

    backend: Backend
    project: str
    name: str

    @property
    def full_name(self) -> str:
        """The name in checkpoints and locks."""
        return f"organization/{self.project}/{self.name}"

    @property
    def storage(self) -> Storage:
        """Where the files lie."""
        return self.backend.storage

    @property
    def key(self) -> str:
        """The checkpoint; compressed if it is so already, or if PULUMI_DIY_BACKEND_GZIP asks for it.

        Raises:
            EngineError: FI611, it is compressed in a way that only Pulumi reads; FI619, the backend cannot be reached.
        """
        plain = f"stacks/{self.project}/{self.name}.json"
        compressed, zst = f"{plain}.gz", f"{plain}.zst"
        with _reading(self.storage.where(plain), remote=self.storage.root is None):
            if self.storage.exists(plain):
                return plain
            if self.storage.exists(zst):
                raise EngineError(
                    error(
                        "FI611",
                        "only the Pulumi CLI can read this state",
                        detail="it is compressed with Zstandard",
                        hint="use it as engine: `flowinfra config set flowinfra:engine pulumi`",
                        source=Source(self.storage.where(zst)),
                    )
                )
            wanted = os.environ.get("PULUMI_DIY_BACKEND_GZIP", "").lower() in ("1", "true")
            return compressed if wanted or self.storage.exists(compressed) else plain

    @property
    def where(self) -> str:
        """How people find the checkpoint."""
        return self.storage.where(self.key)

    @property
    def journal_key(self) -> str:
        """The journal, in a folder that the real CLI leaves alone."""
        return f"journals/{self.project}/{self.name}.jsonl"

    @property
    def exists(self) -> bool:
        """Whether there is a checkpoint."""
        key = self.key
        with _reading(self.storage.where(key), remote=self.storage.root is None):
            return self.storage.exists(key)

    @property
    def updated(self) -> float | None:
        """When its checkpoint was last written, in seconds since the epoch; None if it never was by an operation."""
        key = self.key
        with _reading(self.storage.where(key), remote=self.storage.root is None):
            stored = self.storage.read(key)
            history = self.storage.names(f"history/{self.project}/{self.name}")
        if stored is None or not (history or decode(stored.data, self.storage.where(key)).resources):
            return None
        return stored.modified

    # -- locks

    @property
    def locks(self) -> list[Lock]:
        """Who holds the stack now."""
        with _reading(self.storage.where(self._lock_folder), remote=self.storage.root is None):
            return locks_in(self.storage, self._lock_folder)

    @property
    def _lock_folder(self) -> str:
        return f"locks/organization/{self.project}/{self.name}"

    def refuse_if_locked(self) -> None:
        """Go on only if nobody holds the stack.

        Raises:
            EngineError: FI620.
        """
        with _reading(self.storage.where(self._lock_folder), remote=self.storage.root is None):
            refuse_others(self.storage, self._lock_folder)

    @contextlib.contextmanager
    def lock(self) -> Iterator[Lock]:
        """Hold the stack against every other engine and the real CLI.

        Raises:
            EngineError: FI620, somebody else holds it; FI612, the lock cannot be written.
        """
        with contextlib.ExitStack() as stack:
            try:
                lock = stack.enter_context(held(self.storage, self._lock_folder))
            except OSError as problem:
                raise _not_written(
                    "the stack cannot be locked", self.storage.where(self._lock_folder), problem
                ) from problem
            yield lock

    def unlock(self, locks: Sequence[Lock]) -> None:
        """Remove *locks*, whoever holds them.

        Raises:
            EngineError: FI612, they cannot be removed.
        """
        try:
            for lock in locks:
                self.storage.delete(lock.key)
            self.storage.prune(self._lock_folder, 3)
        except OSError as problem:
            raise _not_written(
                "the lock cannot be removed", self.storage.where(self._lock_folder), problem
            ) from problem

    # -- reading

    def read(self, *, lenient: bool = False, sealed: bool = False) -> Snapshot:
        """The last state, with what a journal adds to it; that of a stack that does not exist is empty.

        Args:
            lenient: of a damaged journal take what is readable.
            sealed: nobody will open its secrets, so they may be kept by any secrets provider.

        Raises:
            EngineError: FI610 or FI611, it is damaged or not for this engine; FI615, its journal is damaged; FI617, it
                belongs to another stack; FI619, the backend cannot be reached.
        """
        where = self.storage.where(self.journal_key)
        looks = 0
        while True:
            looks += 1
            snapshot = self.read_checkpoint(sealed=sealed)
            with _reading(where, remote=self.storage.root is None):
                log = self.storage.read_log(self.journal_key)
            if log is None:
                return snapshot
            journal = parse(log, where, lenient=lenient)
            if journal is None:
                return replace(snapshot, journaled=True)
            read = _continued(snapshot, journal, log)
            if read is not None:
                return read
            if looks == _LOOKS:  # before that, an operation may have ended between the two
                return reconciled(snapshot, journal, where)

    def read_checkpoint(self, *, sealed: bool = False) -> Snapshot:
        """What the checkpoint says, without a journal; *sealed* as for :meth:`read`.

        Raises:
            EngineError: as :meth:`read`.
        """
        key = self.key
        where = self.storage.where(key)
        with _reading(where, remote=self.storage.root is None):
            stored = self.storage.read(key)
        if stored is None:
            return Snapshot()
        snapshot = replace(decode(stored.data, where, sealed=sealed), version=stored.version)
        self.refuse_foreign(snapshot, where)
        return snapshot

    def refuse_foreign(self, snapshot: Snapshot, where: str) -> None:
        """Refuse the state of another stack, such as a file that was copied.

        Raises:
            EngineError: FI617.
        """
        prefix = f"urn:pulumi:{self.name}::{self.project}::"
        other = next((r.urn for r in snapshot.resources if not r.urn.startswith(prefix)), "")
        if not snapshot.resources and snapshot.name:  # it only has its name
            name = snapshot.name.split("/")
            own = name[-1] == self.name and (len(name) == 1 or name[-2] == self.project)
            other = "" if own else f"nothing, and is that of {snapshot.name}"
        if other:
            raise EngineError(
                error(
                    "FI617",
                    f"the state belongs to another stack than {self.project}/{self.name}",
                    detail=f"it holds {other}",
                    hint="put the file where it belongs; a stack gets another name with `pulumi stack rename`",
                    source=Source(where),
                )
            )

    # -- writing

    def save(self, data: bytes, *, over: str | None = None) -> str:
        """Replace the checkpoint in one step: whoever looks, even after a crash, sees the old one or the new one.

        Args:
            data: the document, not compressed.
            over: the version that is replaced (``""``: there is none); None replaces whatever is there.

        Returns:
            Its version now.

        Raises:
            EngineError: FI612, it cannot be written, and the old one is still there; FI616, somebody else has written
                it meanwhile.
        """
        key = self.key
        content = gzip.compress(data, 6, mtime=0) if key.endswith(".gz") else data
        try:
            if not self.storage.exists("meta.yaml"):
                self.storage.create("meta.yaml", _META)
            return self.storage.write(key, content, over=over, backup=f"{key}.bak")
        except OSError as problem:
            raise _not_written(
                "the state of the stack cannot be written", self.storage.where(key), problem
            ) from problem
        except Overtaken as problem:
            raise EngineError(
                error(
                    "FI616",
                    "somebody else has changed the state while this operation held the stack",
                    detail="their state is kept; what this operation has done is in its journal beside it",
                    hint="make sure that nobody else works on the stack, then run the command again: it takes what is "
                    "missing over from the journal",
                    source=Source(self.storage.where(key)),
                )
            ) from problem

    def journal(self) -> Log:
        """Begin a new journal.

        Raises:
            OSError: it cannot be written.
        """
        return self.storage.log(self.journal_key)

    def drop_journal(self) -> None:
        """The journal is part of the checkpoint now.

        Raises:
            EngineError: FI612, it cannot be removed.
        """
        try:
            self.storage.delete_log(self.journal_key)
        except OSError as problem:
            raise _not_written(
                "the journal cannot be removed", self.storage.where(self.journal_key), problem
            ) from problem

    def fold(self, *, lenient: bool = False) -> Snapshot:
        """Make a journal that an operation has left part of the checkpoint; the state then. The stack must be held.

        Raises:
            EngineError: as :meth:`read` and :meth:`save`.
        """
        snapshot = self.read(lenient=lenient)
        if not snapshot.journaled:
            return snapshot
        if snapshot.digest:
            self.save(encode_snapshot(self.full_name, snapshot), over=snapshot.version)
        self.drop_journal()
        return replace(self.read_checkpoint(), findings=snapshot.findings)

    def create(self) -> bool:
        """Make an empty stack; ``False`` if there is one already."""
        if self.exists:
            return False
        self.save(encode_snapshot(self.full_name, Snapshot()), over="")
        return True

    def remove(self) -> None:
        """Remove the stack with its history and backups; what it deployed is not touched.

        Raises:
            EngineError: FI612, it cannot be removed.
        """
        folder = f"stacks/{self.project}"
        try:
            for name in self.storage.names(folder):
                if name.startswith(f"{self.name}.json"):
                    self.storage.delete(f"{folder}/{name}")
            self.storage.delete_log(self.journal_key)
            for kind in ("history", "backups"):
                self.storage.remove(f"{kind}/{self.project}/{self.name}")
                self.storage.prune(f"{kind}/{self.project}", 0)
            self.storage.prune(folder, 0)
        except OSError as problem:
            raise _not_written("the stack cannot be removed", self.storage.where(folder), problem) from problem

    def record(self, kind: str, started: float, succeeded: bool, changes: Mapping[str, int]) -> None:
        """Keep what happened for ``pulumi stack history``, and a copy of the checkpoint among the backups.

        Args:
            kind: ``update``, ``destroy`` or ``refresh``.
            started: seconds since the epoch.
            succeeded: whether the operation came to its end.
            changes: how many resources, by Pulumi's words of operations.

        Raises:
            EngineError: FI612, it cannot be written.
        """
        now = time.time_ns()
        key = self.key
        compressed = key.endswith(".gz")
        suffix = ".json.gz" if compressed else ".json"
        document = json.dumps(
            {
                "kind": kind,
                "startTime": int(started),
                "message": "",
                "environment": {"exec.kind": "flowinfra.embedded"},
                "config": {},
                "version": 0,
                "result": "succeeded" if succeeded else "failed",
                "endTime": now // 1_000_000_000,
                "resourceChanges": dict(changes),
            }
        ).encode()
        history = f"history/{self.project}/{self.name}/{self.name}-{now}"
        try:
            self.storage.write(f"{history}.history{suffix}", gzip.compress(document) if compressed else document)
            if self.storage.exists(key):
                self.storage.copy(key, f"{history}.checkpoint{suffix}")
                self.storage.copy(key, f"backups/{self.project}/{self.name}/{self.name}.{now}{suffix}")
        except OSError as problem:
            raise _not_written(
                "the history of the stack cannot be written", self.storage.where(history), problem
            ) from problem

    def copies(self) -> list[str]:
        """Keys of earlier checkpoints: that beside the checkpoint, then the backups, the newest first."""
        folder = f"backups/{self.project}/{self.name}"
        with _reading(self.storage.where(folder), remote=self.storage.root is None):
            beside = [f"{k}.bak" for k in (self.key,) if self.storage.exists(f"{k}.bak")]
            return [*beside, *(f"{folder}/{name}" for name in reversed(self.storage.names(folder)))]


def encode_snapshot(full_name: str, snapshot: Snapshot) -> bytes:
    """The document of *snapshot*, whose secrets are sealed; not compressed."""
    return encode(
        full_name,
        [render(r) for r in snapshot.resources],
        [(p.type, render(p.resource)) for p in snapshot.pending],
        hooked=any(r.resource_hooks for r in snapshot.resources),
        salt=snapshot.salt,
        metadata=snapshot.metadata,
        compressed=False,
    )


def unwritten(file: StackFile, problem: OSError) -> EngineError:
    """What is said of a journal that cannot be written."""
    return _not_written("the state of the stack cannot be written", file.storage.where(file.journal_key), problem)


def _continued(snapshot: Snapshot, journal: Journal, log: bytes) -> Snapshot | None:
    played = replay(journal, snapshot.digest, snapshot.resources, snapshot.pending, snapshot.salt)
    if played is None:
        return None
    resources: list[ResourceState] = in_order(played.resources)
    pending: list[Pending] = list(played.pending.values())
    return replace(
        snapshot,
        resources=tuple(resources),
        pending=tuple(pending),
        salt=played.salt,
        digest=sha256(snapshot.digest.encode() + log).hexdigest(),
        journaled=True,
    )


@contextlib.contextmanager
def _reading(where: str, *, remote: bool) -> Iterator[None]:
    """Tell what goes wrong while reading.

    Raises:
        EngineError: FI610 for a file, FI619 for a bucket.
    """
    try:
        yield
    except OSError as problem:
        if remote:
            raise _unreachable(where, problem) from problem
        raise EngineError(
            error(
                "FI610",
                "the state of the stack cannot be read",
                detail=str(problem.strerror or problem),
                hint="look at the permissions of the file and of the folders above it, and that each of them is one",
                source=Source(where),
            )
        ) from problem


def _unreachable(where: str, problem: OSError) -> EngineError:
    return EngineError(
        error(
            "FI619",
            f"the backend of the stack cannot be used: {problem.strerror or problem}",
            detail=where,
            hint="correct the URL (PULUMI_BACKEND_URL or `backend` in Pulumi.yaml), the credentials or the network, "
            "then run the command again",
        )
    )


def _not_written(summary: str, where: str, problem: OSError) -> EngineError:
    if where.startswith("s3://"):
        found = _unreachable(where, problem)
    else:
        found = EngineError(
            error(
                "FI612",
                summary,
                detail=f"{problem.strerror or problem}: {problem.filename or where}",
                hint="look at free space and permissions there, then run the operation again",
                source=Source(where),
            )
        )
    return found
