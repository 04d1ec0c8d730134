"""How the state of a running operation is kept: a journal for each change, the checkpoint now and then.

A change costs what it is large, not what the state is large: its record is appended to the journal, and of several
threads that wait for the disk one writes for all. The checkpoint is rewritten at the end, and during the operation as
soon as twenty times as long has passed as rewriting it took: small stacks have a checkpoint that is nearly always
current, large ones spend at most a twentieth of their time on it.
"""

from __future__ import annotations

import contextlib
import errno
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final

from flowinfra.diagnostics import EngineError, FlowinfraError, error
from flowinfra.engine.journals import Picture
from flowinfra.engine.state.backend import StackFile, unwritten
from flowinfra.engine.state.checkpoint import Snapshot, encode, render
from flowinfra.engine.state.journal import Begun, Changed, Fold, Head, Kept, Put, Record, Salt, line
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.state.secrets import Vault
from flowinfra.engine.state.storage import Log

__all__ = ["Saver"]

_SHARE: Final = 20


class Saver:
    """The journal of one operation that changes something, and the checkpoint behind it."""

    def __init__(self, file: StackFile, snapshot: Snapshot, vault: Vault) -> None:
        """Keep what happens to the stack of *file*, which is held and as *snapshot* says."""
        self._file = file
        self._snapshot = snapshot
        self._vault = vault
        self._buffer: deque[Record] = deque()
        self._noted = 0
        self._writing = threading.Lock()
        self._written = 0
        self._log: Log | None = None
        self._headed = False
        self._salt = snapshot.salt
        self._version = snapshot.version
        self._overtaken: FlowinfraError | None = None
        self._closed = False
        self._timer: threading.Timer | None = None
        self._folded = -math.inf
        self._cost = 0.0
        self._texts: dict[int, tuple[ResourceState, str]] = {}
        self._picture: Callable[[], Picture]

    @property
    def written(self) -> bool:
        """Whether anything has happened that had to be kept."""
        return self._noted > 0

    def begin(self, picture: Callable[[], Picture]) -> None:
        """See :class:`~flowinfra.engine.journals.Journal`."""
        self._picture = picture

    def note(self, record: Record) -> None:
        """See :class:`~flowinfra.engine.journals.Journal`; called under the ledger's lock."""
        self._buffer.append(record)
        self._noted += 1

    def keep(self) -> None:
        """See :class:`~flowinfra.engine.journals.Journal`.

        Raises:
            EngineError: FI612 or FI619, it cannot be written; FI616, somebody else has written the state.
        """
        wanted = self._noted
        if self._written >= wanted:
            return
        with self._writing:
            if self._closed:  # whoever insisted on an end has left this thread behind: the stack is not ours any more
                raise unwritten(self._file, OSError(errno.EBADF, "the operation was given up"))
            if self._written < wanted:  # else whoever wrote before has written this too
                self._write(self._noted)
            wait = self._folded + _SHARE * self._cost - time.monotonic()
            if wait <= 0:
                self._fold()
            elif self._timer is None:
                self._timer = threading.Timer(wait, self._late)
                self._timer.daemon = True
                self._timer.start()

    def _late(self) -> None:
        """Nothing has happened since a change that came too early for the checkpoint: it gets into it now."""
        with self._writing:
            self._timer = None
            if not self._closed and self._overtaken is None:
                with contextlib.suppress(FlowinfraError):  # the next change, or the end, says it
                    self._fold()

    def close(self) -> None:
        """The operation is over: all of the journal becomes part of the checkpoint, and then it is gone.

        Raises:
            EngineError: as :meth:`keep`; the journal is still there then.
        """
        with self._writing:
            self._closed = True
            if not self.written:
                return
            if self._timer is not None:
                self._timer.cancel()
            try:
                self._write(self._noted)
                self._fold()
            finally:
                if self._log is not None:
                    with contextlib.suppress(OSError):
                        self._log.close()
            self._file.drop_journal()

    # -- the journal

    def _write(self, upto: int) -> None:
        """Append the records up to the one with the number *upto*."""
        records = [self._buffer[i] for i in range(upto - self._written)]
        lines: list[bytes] = []
        unsound: ValueError | None = None
        for record in records:
            try:
                lines.append(line(self._sealed(record)))
            except ValueError as problem:  # what exists must be in the state, also if one of its numbers cannot be
                unsound = problem
                lines.append(line(self._sealed(_tamed(record))))
        self._append(lines)
        for _ in records:
            self._buffer.popleft()
        self._written = upto
        if unsound is not None:
            raise _not_json(unsound)

    def _append(self, lines: list[bytes]) -> None:
        if self._vault.salt is not None and self._vault.salt != self._salt:  # sealing the first secret has made it
            lines = [line(Salt(self._vault.salt)), *lines]
        try:
            if self._log is None:
                self._log = self._file.journal()
            if not self._headed:  # in one piece with what follows: without its head nobody reads a journal
                lines = [line(Head(self._snapshot.digest)), *lines]
            if lines:
                self._log.append(b"".join(lines))
        except OSError as problem:
            raise unwritten(self._file, problem) from problem
        self._headed, self._salt = True, self._vault.salt

    def _sealed(self, record: Record) -> Record:
        match record:
            case Put(state) | Changed(_, state):
                return replace(record, state=self._vault.seal_state(state))
            case Begun(_, pending):
                return replace(record, pending=replace(pending, resource=self._vault.seal_state(pending.resource)))
            case _:
                return record

    # -- the checkpoint

    def _fold(self) -> None:
        """Rewrite the checkpoint with everything that has happened."""
        if self._overtaken is not None:
            raise self._overtaken
        started = time.monotonic()
        picture = self._picture()
        self._write(picture.noted)
        # States are values: one that is the same object has the same text.
        self._texts = {id(r): self._texts.get(id(r)) or (r, self._render(r)) for r in picture.resources}
        data = encode(
            self._file.full_name,
            [text for _, text in self._texts.values()],
            [(p.type, self._render(p.resource)) for p in picture.pending.values()],
            hooked=any(r.resource_hooks for r in picture.resources),
            salt=self._vault.salt,
            metadata=self._snapshot.metadata,
            compressed=False,
        )
        digest = sha256(data).hexdigest()
        self._append([line(Fold(digest, picture.news, tuple(picture.olds), tuple(picture.pending)))])
        try:
            self._version = self._file.save(data, over=self._version)
        except EngineError as problem:
            if any(d.code == "FI616" for d in problem.diagnostics):
                self._overtaken = problem
            raise
        if not self._closed:  # else the whole journal goes
            # At once: what a checkpoint has held may be deleted, renamed or given away by others; it is not lost then.
            self._append([line(Kept())])
        self._folded = time.monotonic()
        self._cost = self._folded - started

    def _render(self, state: ResourceState) -> str:
        sealed = self._vault.seal_state(state)
        try:
            return render(sealed)
        except ValueError:  # it was said when its record was written
            return render(_finite_state(sealed))


def _tamed(record: Record) -> Record:
    match record:
        case Put(state) | Changed(_, state):
            return replace(record, state=_finite_state(state))
        case Begun(_, pending):
            return replace(record, pending=replace(pending, resource=_finite_state(pending.resource)))
        case _:
            return record


def _finite_state(state: ResourceState) -> ResourceState:
    return replace(state, inputs=_finite(state.inputs), outputs=_finite(state.outputs))


def _finite(value: Any) -> Any:
    """*value* with nothing in the place of numbers that JSON cannot hold."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _not_json(problem: ValueError) -> EngineError:
    found = EngineError(
        error(
            "FI612",
            "the state of the stack cannot be written as JSON",
            detail=f"a property holds a number that is not one ({problem})",
            hint="give the resource a finite number",
        )
    )
    found.__cause__ = problem
    return found
