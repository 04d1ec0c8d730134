"""The state as a document, in and out, and putting right what is wrong with it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flowinfra.control.stacks import backend_url, require_stack, selected_stack
from flowinfra.diagnostics import EngineError, FlowinfraError, Source, error
from flowinfra.engine.base import StackRef
from flowinfra.engine.config import Project
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.engine.state.backend import Backend, StackFile, encode_snapshot, unwritten
from flowinfra.engine.state.checkpoint import Snapshot, decode, document_of
from flowinfra.engine.state.mending import mended
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.state.secrets import Vault
from flowinfra.engine.urns import urn_name
from flowinfra.engine.values import SECRET, SIGNATURE, has_ciphertext, is_secret, plain
from flowinfra.packaging.home import Home

__all__ = ["Imported", "Repair", "Step", "StoredState"]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is wrong with a state, and what is done about it."""

    kind: str
    """``lock``, ``checkpoint``, ``journal``, ``resource`` or ``pending``."""
    what: str
    remedy: str
    """Empty where nothing can be done about it here."""
    hint: str = ""
    """What people can do about it then."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair would do."""

    steps: tuple[Step, ...]
    copy: str = ""
    """Key of the earlier checkpoint that takes the place of a damaged one."""

    @property
    def possible(self) -> bool:
        """Whether there is anything that it would do."""
        return any(step.remedy for step in self.steps)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import has done."""

    resources: int
    replaced: int
    """How many resources the state had before."""
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredState:
    """The state of one stack, apart from any operation."""

    ref: StackRef
    file: StackFile
    engine: EmbeddedEngine

    @classmethod
    def open(cls, cwd: Path, stack: str | None = None, engine: EmbeddedEngine | None = None) -> StoredState:
        """That of *stack* (default: the selected one) of the project that *cwd* lies in.

        Raises:
            FlowinfraError: there is no such project or stack, or its backend cannot be used.
        """
        project, home = Project.find(cwd), Home.find(cwd)
        name = stack or selected_stack(home, project)
        require_stack(home, project, name)
        url = backend_url(home, project)
        ref = StackRef(project.name, name, project.folder, project.main, url)
        return cls(ref, Backend.open(url).stack(project.name, name), engine or EmbeddedEngine())

    # -- out and in

    def export(self, *, show_secrets: bool = False) -> dict[str, Any]:
        """The document that ``pulumi stack export`` prints.

        Raises:
            EngineError: the state cannot be read; FI621 or FI622, its secrets are asked for and cannot be opened.
        """
        snapshot = self.file.read()
        document = json.loads(encode_snapshot(self.file.full_name, snapshot))
        deployment = document["checkpoint"]["latest"]
        if show_secrets:
            vault = self.engine.vault(self.ref, snapshot.salt)
            begun = (p["resource"] for p in deployment.get("pending_operations", []))
            for resource in (*deployment.get("resources", []), *begun):
                for section in ("inputs", "outputs"):
                    if section in resource:
                        resource[section] = _opened(resource[section], vault)
        return {k: v for k, v in document.items() if k != "checkpoint"} | {"deployment": deployment}

    def restore(self, file: Path, *, force: bool = False) -> Imported:
        """Make the document in *file* the state; the present one stays among the backups.

        Args:
            file: what :meth:`export`, ``pulumi stack export`` or a backend has written.
            force: also if the resources do not fit together, the passphrase does not open its secrets, or the present
                state is damaged.

        Raises:
            EngineError: FI610 or FI611, it is damaged or not for this engine; FI617, it belongs to another stack;
                FI620, the stack is held; FI621 or FI622, its secrets cannot be opened; FI625, it does not fit together.
        """
        snapshot = self.examine(file, force=force)
        flaws = mended(snapshot.resources)[1]
        with self.file.lock():
            before = self._present(force=force)
            snapshot = self._sealed(snapshot, before, force=force)
            started = time.time()
            if before.digest:
                self.file.record("import", started, True, {})
            damaged = not before.digest and self.file.exists
            data = encode_snapshot(self.file.full_name, snapshot)
            self.file.save(data, over=None if damaged else before.version)
        return Imported(len(snapshot.resources), len(before.resources), tuple(f.what for f in flaws))

    def examine(self, file: Path, *, force: bool = False) -> Snapshot:
        """What *file* holds, if :meth:`restore` would take it.

        Raises:
            EngineError: FI610, FI611, FI617 or FI625, as for :meth:`restore`.
        """
        try:
            data = file.read_bytes()
        except OSError as problem:
            raise _no_state(file, "the file cannot be read", str(problem.strerror or problem)) from problem
        try:
            snapshot = decode(data, file)
        except EngineError as problem:
            if any(d.code != "FI610" for d in problem.diagnostics):
                raise
            raise _no_state(file, "the file holds no state", problem.diagnostics[0].detail) from problem
        self.file.refuse_foreign(snapshot, str(file))
        flaws = mended(snapshot.resources)[1]
        if flaws and not force:
            raise EngineError(
                error("FI625", flaw.what, detail=flaw.urn, source=Source(str(file)),
                      hint="import it with --force, then run `flowinfra state repair`")
                for flaw in flaws
            )  # fmt: skip
        return snapshot

    def _present(self, *, force: bool) -> Snapshot:
        """What is to be replaced; nothing, with *force*, where that is damaged."""
        try:
            return self.file.fold()
        except EngineError:
            if not force or not self._is_damaged():
                raise
            return Snapshot()

    def _sealed(self, snapshot: Snapshot, before: Snapshot, *, force: bool) -> Snapshot:
        """*snapshot* with everything secret in it sealed, and by a key that is known."""
        states = (*snapshot.resources, *(p.resource for p in snapshot.pending))
        sealed = any(has_ciphertext(r.inputs) or has_ciphertext(r.outputs) for r in states)
        open_ones = any(_has_plaintext(r.inputs) or _has_plaintext(r.outputs) for r in states)
        vault = self.engine.vault(self.ref, snapshot.salt or before.salt)
        if sealed and not force:
            vault.crypter()
        if not open_ones:
            return snapshot

        def closed(state: ResourceState) -> ResourceState:
            return vault.seal_state(replace(state, inputs=_valued(state.inputs), outputs=_valued(state.outputs)))

        return replace(
            snapshot,
            resources=tuple(map(closed, snapshot.resources)),
            pending=tuple(replace(p, resource=closed(p.resource)) for p in snapshot.pending),
            salt=vault.salt,
        )

    # -- putting right

    def diagnose(self) -> Repair:
        """What is wrong, and what :meth:`repair` would do about it.

        Raises:
            EngineError: FI620, an operation is under way; FI611 or FI619, nothing can be done here.
        """
        locks = self.file.locks
        stale = [lock for lock in locks if lock.stale]
        if len(stale) < len(locks):
            self.file.refuse_if_locked()
        steps = [Step("lock", f"the lock of {lock}, whose process does not run any more", "removed") for lock in stale]
        try:
            snapshot = self.file.read()
        except EngineError as problem:
            return self._diagnose_damage(steps, problem)
        if not snapshot.digest and not snapshot.journaled:
            return self._diagnose_loss(steps)
        if snapshot.journaled:
            steps.append(Step("journal", "an operation did not end and has left its journal",
                              "what it says becomes part of the state"))  # fmt: skip
            steps.extend(Step("journal", finding.summary, finding.detail) for finding in snapshot.findings)
        steps.extend(Step("resource", flaw.what, flaw.remedy) for flaw in mended(snapshot.resources)[1])
        return Repair((*steps, *self._pending(snapshot)))

    def _pending(self, snapshot: Snapshot) -> list[Step]:
        if not snapshot.pending:
            return []
        steps = [
            Step("pending", f"{p.type} '{urn_name(p.resource.urn)}' was begun and did not end", "the record is dropped")
            for p in snapshot.pending
            if p.type != "creating"
        ]
        remedies = {
            "adopted": "it exists and is taken over into the state",
            "absent": "it does not exist: the record is dropped",
            "left over": "it exists beside the one in the state: the next `up` deletes it",
            None: "",
        }
        try:
            fates = self.engine.settle_pending(self.ref, dry_run=True)
        except FlowinfraError as problem:
            return [*steps, Step("pending", f"creations did not end, and nobody can be asked: {problem}", "")]
        return steps + [
            Step(
                "pending",
                f"creating '{urn_name(urn)}' was begun and did not end",
                remedies[fate],
                ""
                if fate
                else "its provider cannot look for it: see whether it exists beside what the state knows and "
                "remove it, then forget the record with `flowinfra refresh --clear-pending-creates`",
            )
            for urn, fate in fates
        ]

    def _diagnose_damage(self, steps: list[Step], problem: EngineError) -> Repair:
        if {d.code for d in problem.diagnostics} == {"FI615"}:
            remedy = f"what is readable of it is taken over; it is kept as {self.file.storage.where(self._aside)}"
            step = Step("journal", f"the journal is damaged: {problem.diagnostics[0].detail}", remedy)
            return Repair((*steps, step))
        if not self._is_damaged():
            raise problem
        why = f"{self.file.where} is damaged: {problem.diagnostics[0].detail}"
        found = self._newest_copy()
        if found is None:
            hint = "if you have an exported one: `flowinfra state import --force --file FILE`"
            return Repair((*steps, Step("checkpoint", f"{why}; there is no good copy of it", "", hint)))
        return Repair((*steps, Step("checkpoint", why, self._replacing(*found))), found[0])

    def _diagnose_loss(self, steps: list[Step]) -> Repair:
        """Of a stack without a checkpoint: whether there was one with resources."""
        found = self._newest_copy()
        if found is None or not found[1].resources:
            return Repair(tuple(steps))
        step = Step("checkpoint", f"{self.file.where} is not there, and was once", self._replacing(*found))
        return Repair((*steps, step), found[0])

    def _replacing(self, key: str, snapshot: Snapshot, modified: float) -> str:
        where, age = self.file.storage.where(key), _age(time.time() - modified)
        return f"{where} takes its place: {age} old, {_counted(len(snapshot.resources))}; then run `flowinfra refresh`"

    def _is_damaged(self) -> bool:
        """Whether the checkpoint itself can be read and makes no sense.

        What cannot be read, such as for want of a permission, may well be good and is never replaced.
        """
        try:
            stored = self.file.storage.read(self.file.key)
            if stored is not None:
                decode(stored.data, self.file.where)
        except OSError:
            return False
        except EngineError as problem:
            return all(d.code == "FI610" for d in problem.diagnostics)
        return False

    def _newest_copy(self) -> tuple[str, Snapshot, float] | None:
        """The key of the newest good copy, what it holds and when it was written."""
        found: list[tuple[str, Snapshot, float]] = []
        for key in self.file.copies():
            copy = self._copy(key)
            if copy is not None:
                found.append((key, *copy))
            if found and key.startswith("backups/"):  # the rest of them is older
                break
        return max(found, key=lambda c: c[2], default=None)

    @property
    def _aside(self) -> str:
        """Where a damaged journal is kept: among the backups, where it is no good copy and goes with its stack."""
        return f"backups/{self.file.project}/{self.file.name}/{self.file.name}.journal.damaged"

    def _keep_damaged_journal(self) -> None:
        try:
            self.file.read()
        except EngineError as problem:
            if all(d.code != "FI615" for d in problem.diagnostics):
                return
            try:
                log = self.file.storage.read_log(self.file.journal_key)
                if log is not None:
                    self.file.storage.write(self._aside, log)
            except OSError as unkept:
                raise unwritten(self.file, unkept) from unkept

    def _copy(self, key: str) -> tuple[Snapshot, float] | None:
        try:
            stored = self.file.storage.read(key)
            if stored is None:
                return None
            snapshot = decode(stored.data, key)
            self.file.refuse_foreign(snapshot, key)
        except (FlowinfraError, OSError):
            return None
        return snapshot, stored.modified

    def repair(self, plan: Repair) -> Repair:
        """Do what *plan* says; what is still wrong afterwards.

        Raises:
            EngineError: FI620, somebody else has begun an operation; the state cannot be written; a provider failed.
        """
        self.file.unlock([lock for lock in self.file.locks if lock.stale])
        with self.file.lock():
            self._keep_damaged_journal()
            if plan.copy:
                stored = self.file.storage.read(plan.copy)
                if stored is not None:
                    self.file.save(document_of(stored.data))  # as it is: a journal knows it by its digest
            snapshot = self.file.fold(lenient=True)
            resources, flaws = mended(snapshot.resources)
            if flaws:
                whole = replace(snapshot, resources=tuple(resources))
                self.file.save(encode_snapshot(self.file.full_name, whole), over=snapshot.version)
            self.engine.settle_pending(self.ref)
        return self.diagnose()


def _no_state(file: Path, summary: str, why: str) -> EngineError:
    hint = "name a file that `flowinfra state export` or `pulumi stack export` has written"
    return EngineError(error("FI610", summary, detail=why, hint=hint, source=Source(str(file))))


def _counted(resources: int) -> str:
    return f"{resources} resource{'s' if resources != 1 else ''}"


def _age(seconds: float) -> str:
    for unit, word in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= unit:
            number = int(seconds // unit)
            return f"{number} {word}{'s' if number != 1 else ''}"
    return "less than a minute"


def _mapped(value: Any, function: Callable[[Mapping[str, Any]], Any]) -> Any:
    """*value* with every secret in it replaced by what *function* makes of it."""
    if isinstance(value, dict):
        return function(value) if is_secret(value) else {k: _mapped(v, function) for k, v in value.items()}
    return [_mapped(v, function) for v in value] if isinstance(value, list) else value


def _opened(value: Any, vault: Vault) -> Any:
    def shown(secret: Mapping[str, Any]) -> Any:
        return {SIGNATURE: SECRET, "plaintext": vault.crypter().decrypt(secret["ciphertext"])}

    return _mapped(value, shown)


def _valued(value: Any) -> Any:
    def read(secret: Mapping[str, Any]) -> Any:
        if "plaintext" not in secret:
            return dict(secret)
        return {SIGNATURE: SECRET, "value": plain(json.loads(secret["plaintext"]))}

    return _mapped(value, read)


def _has_plaintext(value: Any) -> bool:
    if isinstance(value, dict):
        return "plaintext" in value if is_secret(value) else any(_has_plaintext(v) for v in value.values())
    return isinstance(value, list) and any(_has_plaintext(v) for v in value)
