"""The folders and files of Pulumi's file backend."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from flowinfra.diagnostics import EngineError, Source, error
from flowinfra.engine.state.checkpoint import Snapshot, decode, encode
from flowinfra.engine.state.locks import Lock, held, locks_in, refuse_others

__all__ = ["Backend", "StackFile"]

_META = "version: 1\n"


@dataclass(frozen=True, slots=True)
class Backend:
    """A folder that holds ``.pulumi/``, with the stacks of any number of projects."""

    root: Path
    """The folder ``.pulumi`` itself."""

    @classmethod
    def open(cls, url: str) -> Self:
        """The backend at a ``file://`` URL or a path.

        Raises:
            EngineError: FI613, the URL is of another kind; FI614, its files have a layout of another age.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("", "file"):
            raise EngineError(
                error(
                    "FI613",
                    f"the embedded engine keeps state in files only, not in {url}",
                    hint="for remote state use the Pulumi CLI as engine: `flowinfra config set flowinfra:engine pulumi`",
                )
            )
        path = unquote(parts.netloc + parts.path) if parts.scheme else url
        root = Path(path).expanduser().absolute() / ".pulumi"
        meta = root / "meta.yaml"
        text = meta.read_text(encoding="utf-8") if meta.exists() else ""
        old = not text and any((root / "stacks").glob("*.json*"))
        if old or (text and "version: 1" not in text):
            raise EngineError(
                error(
                    "FI614",
                    f"the state in {root} has a layout that the embedded engine does not know",
                    detail="it holds stacks without projects" if old else f"meta.yaml says {text.strip()!r}",
                    hint="bring it up to date with `pulumi state upgrade`" if old else "use the Pulumi CLI as engine",
                    source=Source(str(meta)),
                )
            )
        return cls(root)

    def stack(self, project: str, name: str) -> StackFile:
        """One stack, whether it exists or not."""
        return StackFile(self, project, name)

    def stacks(self, project: str) -> list[str]:
        """The names of the stacks of *project*, sorted."""
        folder = self.root / "stacks" / project
        names = (p.name.removesuffix(".gz") for p in folder.glob("*.json*") if p.is_file())
        return sorted({n.removesuffix(".json") for n in names if n.endswith(".json")})


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
    def path(self) -> Path:
        """The checkpoint; compressed if it is so already, or if PULUMI_DIY_BACKEND_GZIP asks for it.

        Raises:
            EngineError: FI611, it is compressed in a way that only Pulumi reads.
        """
        plain = self.backend.root / "stacks" / self.project / f"{self.name}.json"
        compressed = plain.with_name(plain.name + ".gz")
        if plain.with_name(plain.name + ".zst").exists() and not plain.exists():
            raise EngineError(
                error(
                    "FI611",
                    "only the Pulumi CLI can read this state",
                    detail="it is compressed with Zstandard",
                    hint="use it as engine: `flowinfra config set flowinfra:engine pulumi`",
                    source=Source(f"{plain}.zst"),
                )
            )
        if plain.exists():
            return plain
        wanted = os.environ.get("PULUMI_DIY_BACKEND_GZIP", "").lower() in ("1", "true")
        return compressed if wanted or compressed.exists() else plain

    @property
    def exists(self) -> bool:
        """Whether there is a checkpoint."""
        return self.path.exists()

    @property
    def locks(self) -> list[Lock]:
        """Who holds the stack now."""
        return locks_in(self._lock_folder)

    @property
    def _lock_folder(self) -> Path:
        return self.backend.root / "locks" / "organization" / self.project / self.name

    def read(self) -> Snapshot:
        """The last state; that of a stack that does not exist is empty.

        Raises:
            EngineError: FI610 or FI611, it is damaged or not for this engine.
        """
        path = self.path
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return Snapshot()
        except OSError as problem:
            raise EngineError(
                error(
                    "FI610",
                    "the state of the stack cannot be read",
                    detail=str(problem.strerror or problem),
                    hint="look at the permissions of the file and the folders above it",
                    source=Source(str(path)),
                )
            ) from problem
        return decode(data, path)

    def write(self, encode: Callable[[bool], bytes]) -> None:
        """Replace the checkpoint in one step: whoever looks, even after a crash, sees the old one or the new one.

        Args:
            encode: makes the content, compressed or not.

        Raises:
            EngineError: FI612, it cannot be written; the old one is still there.
        """
        path = self.path
        try:
            data = encode(path.suffix == ".gz")
        except ValueError as problem:
            raise EngineError(
                error(
                    "FI612",
                    "the state of the stack cannot be written as JSON",
                    detail=f"a property holds a number that is not one ({problem})",
                    hint="give the resource a finite number",
                )
            ) from problem
        draft = path.with_name(path.name + ".tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            meta = self.backend.root / "meta.yaml"
            if not meta.exists():
                meta.write_text(_META, encoding="utf-8")
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                _keep(path, path.with_name(path.name + ".bak"))
            draft.replace(path)
            path.with_name(path.name + ".attrs").unlink(missing_ok=True)  # Go's cloud library keeps a checksum there
        except OSError as problem:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise _not_written("the state of the stack cannot be written", path, problem) from problem

    def refuse_if_locked(self) -> None:
        """Go on only if nobody holds the stack.

        Raises:
            EngineError: FI620.
        """
        refuse_others(self._lock_folder)

    @contextlib.contextmanager
    def lock(self) -> Iterator[Lock]:
        """Hold the stack against every other engine and the real CLI.

        Raises:
            EngineError: FI620, somebody else holds it; FI612, the lock cannot be written.
        """
        with contextlib.ExitStack() as stack:
            try:
                lock = stack.enter_context(held(self._lock_folder))
            except OSError as problem:
                raise _not_written("the stack cannot be locked", self._lock_folder, problem) from problem
            yield lock

    def create(self) -> bool:
        """Make an empty stack; ``False`` if there is one already."""
        if self.exists:
            return False
        self.write(
            lambda packed: encode(self.full_name, (), (), hooked=False, salt=None, metadata={}, compressed=packed)
        )
        return True

    def remove(self) -> None:
        """Remove the stack with its history and backups; what it deployed is not touched."""
        folder = self.path.parent
        for path in folder.glob(f"{self.name}.json*"):
            path.unlink(missing_ok=True)
        for kind in ("history", "backups"):
            shutil.rmtree(self.backend.root / kind / self.project / self.name, ignore_errors=True)
        for path in (
            folder,
            self.backend.root / "history" / self.project,
            self.backend.root / "backups" / self.project,
        ):
            with contextlib.suppress(OSError):
                path.rmdir()

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
        path = self.path
        compressed = path.suffix == ".gz"
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
        history = self.backend.root / "history" / self.project / self.name
        backups = self.backend.root / "backups" / self.project / self.name
        try:
            for folder in (history, backups):
                folder.mkdir(parents=True, exist_ok=True)
            (history / f"{self.name}-{now}.history{suffix}").write_bytes(
                gzip.compress(document) if compressed else document
            )
            if path.exists():
                shutil.copyfile(path, history / f"{self.name}-{now}.checkpoint{suffix}")
                shutil.copyfile(path, backups / f"{self.name}.{now}{suffix}")
        except OSError as problem:
            raise _not_written("the history of the stack cannot be written", history, problem) from problem


def _keep(path: Path, copy: Path) -> None:
    """Keep the file under another name; its content is never changed in place, so a link is as good as a copy."""
    copy.unlink(missing_ok=True)
    try:
        os.link(path, copy)
    except OSError:
        shutil.copyfile(path, copy)


def _not_written(summary: str, path: Path, problem: OSError) -> EngineError:
    return EngineError(
        error(
            "FI612",
            summary,
            detail=f"{problem.strerror or problem}: {problem.filename or path}",
            hint="look at free space and permissions there, then run the operation again",
            source=Source(str(path)),
        )
    )
