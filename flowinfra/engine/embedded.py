"""The embedded engine: preview, up, destroy and refresh in this process, on state that the Pulumi CLI shares.

Importing this module does not import pulumi. An operation reads the state first, begins to derive the key to its
secrets, and imports the SDK meanwhile: both take a third of a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flowinfra.diagnostics import FlowinfraError
from flowinfra.engine.base import Approve, LogEvent, OnEvent, Options, StackRef
from flowinfra.engine.builtin import Builtin, PreviewBuiltin
from flowinfra.engine.config import ResolvedConfig, StackConfig
from flowinfra.engine.interpreter import Interpreter
from flowinfra.engine.journals import forget
from flowinfra.engine.ledger import Fate, Ledger
from flowinfra.engine.saving import Saver
from flowinfra.engine.stacks import Session, read_config, stack_outputs
from flowinfra.engine.state.backend import Backend, StackFile
from flowinfra.engine.state.mending import refuse_flawed
from flowinfra.engine.state.secrets import Crypter, Passphrase, Vault
from flowinfra.engine.values import Properties, has_ciphertext, plain, redact
from flowinfra.model.plan import Operation, Plan
from flowinfra.packaging.home import Home

if TYPE_CHECKING:
    from flowinfra.engine.packages import ProviderFactory
    from flowinfra.engine.session import Outcome

__all__ = ["EmbeddedEngine"]

#: Pulumi's words in the history.
_KINDS = {Operation.UP: "update", Operation.DESTROY: "destroy", Operation.REFRESH: "refresh"}


_EVERYTHING = Options()


@dataclass(frozen=True)
class _Loaded:
    session: Session
    file: StackFile
    vault: Vault


class EmbeddedEngine:
    """Small stacks on one machine, without the Pulumi CLI: see :mod:`flowinfra.engine`.

    An instance keeps nothing between operations and may be used by several threads.
    """

    name = "embedded"

    def __init__(
        self,
        providers: Mapping[str, ProviderFactory] | None = None,
        *,
        passphrase: Passphrase | None = None,
        parallel: int = 16,
    ) -> None:
        """Make an engine.

        Args:
            providers: classes for packages, in front of those that installed packages offer.
            passphrase: where the passphrase comes from; by default the environment, then the project's own file.
            parallel: how many resources change at once.
        """
        self._providers = dict(providers or {})
        self._passphrase = passphrase
        self._parallel = parallel

    # -- operations

    def preview(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        operation: Operation = Operation.UP,
        options: Options = _EVERYTHING,
    ) -> Plan:
        """What *operation* would do; changes nothing, and needs no lock.

        Raises:
            FlowinfraError: the program fails, a resource is not valid or protected, the state cannot be read.
        """
        return self._preview(self._load(stack).session, operation, on_event, options).plan

    def up(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        options: Options = _EVERYTHING,
        approve: Approve | None = None,
    ) -> Plan:
        """Make what exists what the program says.

        Previews first: a program that fails changes nothing, and one without a change writes nothing.

        Raises:
            FlowinfraError: something failed; what was done until then is recorded.
        """
        return self._change(stack, Operation.UP, on_event, options, approve)

    def destroy(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        options: Options = _EVERYTHING,
        approve: Approve | None = None,
    ) -> Plan:
        """Delete every resource of the stack, without running its program.

        Raises:
            FlowinfraError: one is protected (nothing is deleted then), or something failed.
        """
        return self._change(stack, Operation.DESTROY, on_event, options, approve)

    def refresh(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        clear_pending_creates: bool = False,
        options: Options = _EVERYTHING,
        approve: Approve | None = None,
    ) -> Plan:
        """Take over into the state what the providers say exists.

        Args:
            stack: which one.
            on_event: told what happens.
            clear_pending_creates: forget the records of creations that were interrupted.
            options: what the caller asks for.
            approve: asked before anything is taken over.

        Raises:
            FlowinfraError: a provider failed.
        """
        return self._change(
            stack, Operation.REFRESH, on_event, options, approve, clear_pending_creates=clear_pending_creates
        )

    def outputs(self, stack: StackRef, show_secrets: bool = False) -> dict[str, Any]:
        """The outputs that the last operation recorded; a stack that does not exist has none.

        Raises:
            EngineError: FI621 or FI622, secrets are asked for and the passphrase is wrong or not known.
        """
        snapshot = Backend.open(stack.backend_url).stack(stack.project, stack.stack).read()
        if not show_secrets:
            return {k: _sorted(redact(v)) for k, v in sorted(snapshot.outputs.items())}
        vault = self._vault(stack, snapshot.salt)
        for state in snapshot.resources:
            if state.outputs is snapshot.outputs:
                return {k: _sorted(plain(v)) for k, v in sorted(vault.open_state(state).outputs.items())}
        return {}

    def cancel(self, stack: StackRef) -> list[str]:
        """Remove all locks of the stack, as ``pulumi cancel`` does; who held them.

        What a killed operation has left in its journal becomes part of the checkpoint before, so that any engine that
        goes on from here knows it; unless it may still run, elsewhere, and needs its journal itself.

        Raises:
            EngineError: the state cannot be read or written; no lock is removed then.
        """
        file = Backend.open(stack.backend_url).stack(stack.project, stack.stack)
        locks = file.locks
        if all(lock.stale for lock in locks):
            file.fold()
        file.unlock(locks)
        return [str(lock) for lock in locks]

    def settle_pending(self, stack: StackRef, *, dry_run: bool = False) -> list[tuple[str, Fate | None]]:
        """Look for what interrupted creations have made: URNs with what becomes of them, None where nobody can say.

        Args:
            stack: which one; unless *dry_run* it must be held.
            dry_run: only look.

        Raises:
            FlowinfraError: a provider failed, or the state cannot be read or written.
        """
        from flowinfra.engine.session import settle

        loaded = self._load(stack, flawed=True)
        if not loaded.session.snapshot.pending:
            return []
        if dry_run:
            return settle(
                loaded.session,
                engine=self.name,
                make_interpreter=lambda ledger: self._previewing(loaded.session, ledger),
                journal=forget,
            )
        saver = Saver(loaded.file, loaded.session.snapshot, loaded.vault)
        try:
            return settle(
                loaded.session,
                engine=self.name,
                make_interpreter=lambda ledger: self._applying(loaded.session, ledger),
                journal=saver,
            )
        finally:
            saver.close()

    def vault(self, stack: StackRef, salt: str | None = None) -> Vault:
        """What opens and seals secrets of *stack*, with *salt* or else the one that it has."""
        if salt is None:
            config = read_config(stack)
            snapshot = Backend.open(stack.backend_url).stack(stack.project, stack.stack).read()
            salt = snapshot.salt or config.salt
        return self._vault(stack, salt)

    def config_crypter(self, stack: StackRef) -> Crypter:
        """What encrypts secret configuration values of *stack*: with the salt that it has already, if it has one.

        Raises:
            EngineError: FI621 or FI622, the passphrase is wrong or not known.
        """
        config = read_config(stack)
        snapshot = Backend.open(stack.backend_url).stack(stack.project, stack.stack).read()
        return self._vault(stack, config.salt or snapshot.salt).crypter()

    # -- how

    def _vault(self, stack: StackRef, salt: str | None) -> Vault:
        if self._passphrase is not None:
            return Vault(self._passphrase, salt)
        home = Home.find(stack.project_dir)
        return Vault(Passphrase(home.passphrase_file, prepare=home.ensure), salt)

    def _load(self, stack: StackRef, *, flawed: bool = False) -> _Loaded:
        file = Backend.open(stack.backend_url).stack(stack.project, stack.stack)
        snapshot = file.read()
        if not flawed:
            refuse_flawed(snapshot.resources, file.where)
        config: StackConfig = read_config(stack)
        config.refuse_other_providers()
        vault = self._vault(stack, snapshot.salt or config.salt)
        if any(has_ciphertext(r.inputs) or has_ciphertext(r.outputs) for r in snapshot.resources):
            vault.prepare()
        same = config.salt is None or snapshot.salt in (None, config.salt)
        config_vault = vault if same else self._vault(stack, config.salt)
        if config.has_secrets:
            config_vault.prepare()

        def resolve() -> ResolvedConfig:
            return config.resolve(lambda ciphertext, where: config_vault.crypter().decrypt(ciphertext, where))

        return _Loaded(Session(stack, snapshot, resolve, vault), file, vault)

    def _preview(self, session: Session, operation: Operation, on_event: OnEvent | None, options: Options) -> Outcome:
        from flowinfra.engine.session import run

        return run(
            session,
            operation,
            engine=self.name,
            make_interpreter=lambda ledger: self._previewing(session, ledger),
            journal=forget,
            on_event=on_event,
            parallel=self._parallel,
            options=options,
        )

    def _references(self, stack: StackRef) -> Callable[[str], Properties]:
        return lambda name: stack_outputs(stack, name, lambda other: self._vault(stack, other.salt))

    def _previewing(self, session: Session, ledger: Ledger) -> Interpreter:
        from flowinfra.engine.packages import Previewing, Providers

        return Previewing(Providers(self._providers), PreviewBuiltin(self._references(session.stack), ledger.resources))

    def _applying(self, session: Session, ledger: Ledger) -> Interpreter:
        from flowinfra.engine.packages import Applying, Providers

        return Applying(Providers(self._providers), Builtin(self._references(session.stack), ledger.resources))

    def _change(
        self,
        stack: StackRef,
        operation: Operation,
        on_event: OnEvent | None,
        options: Options,
        approve: Approve | None,
        *,
        clear_pending_creates: bool = False,
    ) -> Plan:
        loaded = self._load(stack)
        loaded.file.refuse_if_locked()
        said: list[LogEvent] = []
        outcome = None
        if operation is not Operation.REFRESH or approve is not None:  # else reading twice would only cost
            outcome = self._preview(
                loaded.session, operation, lambda e: said.append(e) if isinstance(e, LogEvent) else None, options
            )
            if not outcome.changed:
                _repeat(said, on_event)
                return outcome.plan
            if approve is not None:
                approve(outcome.plan)
        _ensure_home(loaded)
        with loaded.file.lock():
            current = loaded.file.fold()
            if current == loaded.session.snapshot:
                loaded = replace(loaded, session=replace(loaded.session, snapshot=current))
            else:  # somebody was faster than the preview
                loaded = self._load(stack)
                outcome = self._preview(loaded.session, operation, None, options) if outcome is not None else None
                if outcome is not None and not outcome.changed:
                    return outcome.plan
                if outcome is not None and approve is not None:
                    approve(outcome.plan)
            return self._apply(loaded, operation, on_event, options, clear_pending_creates)

    def _apply(
        self,
        loaded: _Loaded,
        operation: Operation,
        on_event: OnEvent | None,
        options: Options,
        clear_pending_creates: bool,
    ) -> Plan:
        from flowinfra.engine.session import run

        started = time.time()
        counts: dict[str, int] = {}
        saver = Saver(loaded.file, loaded.session.snapshot, loaded.vault)
        try:
            outcome = run(
                loaded.session,
                operation,
                engine=self.name,
                make_interpreter=lambda ledger: self._applying(loaded.session, ledger),
                journal=saver,
                on_event=on_event,
                parallel=self._parallel,
                options=options,
                clear_pending_creates=clear_pending_creates,
                counted=counts.update,
            )
        except BaseException as problem:
            try:
                saver.close()
                if saver.written:
                    loaded.file.record(_KINDS[operation], started, False, counts)
            except FlowinfraError as second:
                problem.add_note(str(second))
            raise
        saver.close()
        if saver.written:
            loaded.file.record(_KINDS[operation], started, True, counts)
        return outcome.plan


def _sorted(value: Any) -> Any:
    """*value* with the keys of its objects in order, as the real CLI shows them."""
    if isinstance(value, dict):
        return {k: _sorted(v) for k, v in sorted(value.items())}
    return [_sorted(v) for v in value] if isinstance(value, list) else value


def _repeat(events: Sequence[LogEvent], on_event: OnEvent | None) -> None:
    if on_event is not None:
        for event in events:
            on_event(event)


def _ensure_home(loaded: _Loaded) -> None:
    """Make the project's own folder as it should be, where the state lies in it: git must not see it."""
    home = Home.find(loaded.session.stack.project_dir)
    root = loaded.file.backend.root
    if root is not None and root.is_relative_to(home.path):
        home.ensure()
