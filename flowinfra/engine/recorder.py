"""The recorder: what a program wants, compared with the last known state, without any provider.

For previews without credentials, network or passphrase, and for tests of components. The program runs under the same
monitor as in the embedded engine; only the answers come from what was recorded. What nobody can know here is listed in
the plan as unknown: secrets (their ciphertext stays closed), what a provider computes, and whether a change replaces
a resource, which only its provider decides. Nothing is ever written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from flowinfra.diagnostics import EngineError, Source, error
from flowinfra.engine.base import Approve, OnEvent, Options, StackRef
from flowinfra.engine.builtin import PreviewBuiltin
from flowinfra.engine.config import ResolvedConfig
from flowinfra.engine.interpreter import Checked, Created, Difference, Found, Invoked, Package
from flowinfra.engine.ledger import Ledger, forget
from flowinfra.engine.stacks import Session, read_config, stack_outputs
from flowinfra.engine.state.backend import Backend
from flowinfra.engine.state.checkpoint import Snapshot, decode
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.values import (
    SECRET_TEXT,
    UNKNOWN,
    Properties,
    changed_paths,
    is_secret,
    keep_old,
    redact,
    secret,
)
from flowinfra.model.plan import Operation, Plan

__all__ = ["RecorderEngine"]

_OPAQUE = secret(UNKNOWN)
_EVERYTHING = Options()


class RecorderEngine:
    """Previews against the last known state; see the module."""

    name = "recorder"

    def __init__(self, snapshot: Path | None = None, *, parallel: int = 16) -> None:
        """Make a recorder.

        Args:
            snapshot: a checkpoint or an exported stack to compare with, instead of the state in the stack's backend.
            parallel: how many registrations are worked on at once.
        """
        self._snapshot = snapshot
        self._parallel = parallel

    def preview(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        operation: Operation = Operation.UP,
        options: Options = _EVERYTHING,
    ) -> Plan:
        """What *operation* would do, as far as that can be known.

        Raises:
            FlowinfraError: the program fails, or asks for what only a provider can answer.
        """
        from flowinfra.engine.session import run

        if operation is Operation.REFRESH:
            self._refuse("a refresh reads what exists, which only providers can")
        config = read_config(stack)
        hidden: list[str] = []

        def conceal(_: str, where: str) -> str:
            hidden.append(where)
            return SECRET_TEXT

        resolved: ResolvedConfig = config.resolve(conceal)
        session = Session(stack, self._read(stack), lambda: resolved, _Opaque())

        def references(name: str) -> Properties:
            return stack_outputs(stack, name, lambda _: _Opaque())

        plan = run(
            session,
            operation,
            engine=self.name,
            make_interpreter=lambda ledger: Recording(
                ledger, PreviewBuiltin(references, ledger.resources), hidden.append
            ),
            journal=forget,
            on_event=on_event,
            parallel=self._parallel,
            options=options,
        ).plan
        return plan.model_copy(update={"unknown": tuple(dict.fromkeys([*plan.unknown, *sorted(hidden)]))})

    def up(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        options: Options = _EVERYTHING,
        approve: Approve | None = None,
    ) -> Plan:
        """Refused.

        Raises:
            EngineError: FI644.
        """
        self._refuse("it has no providers")

    def destroy(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        options: Options = _EVERYTHING,
        approve: Approve | None = None,
    ) -> Plan:
        """Refused.

        Raises:
            EngineError: FI644.
        """
        self._refuse("it has no providers")

    def refresh(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        clear_pending_creates: bool = False,
        options: Options = _EVERYTHING,
        approve: Approve | None = None,
    ) -> Plan:
        """Refused.

        Raises:
            EngineError: FI644.
        """
        self._refuse("it has no providers")

    def outputs(self, stack: StackRef, show_secrets: bool = False) -> dict[str, Any]:
        """The outputs in the last known state, secret ones masked.

        Raises:
            EngineError: FI644, secrets are asked for.
        """
        if show_secrets:
            self._refuse("it leaves secrets closed")
        return {k: redact(v) for k, v in self._read(stack).outputs.items()}

    def _read(self, stack: StackRef) -> Snapshot:
        if self._snapshot is None:
            return Backend.open(stack.backend_url).stack(stack.project, stack.stack).read()
        try:
            data = self._snapshot.read_bytes()
        except OSError as problem:
            raise EngineError(
                error(
                    "FI610",
                    "the snapshot cannot be read",
                    detail=str(problem.strerror or problem),
                    hint="name a checkpoint, or a file made by `pulumi stack export`",
                    source=Source(str(self._snapshot)),
                )
            ) from problem
        return decode(data, self._snapshot)

    def _refuse(self, why: str) -> NoReturn:
        raise EngineError(
            error(
                "FI644",
                "the recorder only previews",
                detail=why,
                hint="choose another engine: `flowinfra config set flowinfra:engine embedded` (or pulumi)",
            )
        )


class _Opaque:
    """Opens nothing: every secret of the state is an unknown value."""

    def open_state(self, state: ResourceState) -> ResourceState:
        return replace(state, inputs=_concealed(state.inputs), outputs=_concealed(state.outputs))


def _concealed(value: Any) -> Any:
    if isinstance(value, dict):
        return _OPAQUE if is_secret(value) else {k: _concealed(v) for k, v in value.items()}
    return [_concealed(v) for v in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Recording:
    """Answers calls to providers from the last state."""

    ledger: Ledger
    builtin: Package
    note: Callable[[str], None]
    """Told what could not be compared, as ``URN: path``."""
    dry_run: bool = True

    def open(self, name: str, inputs: Properties, wanted_by: str) -> Package:
        """The recorded package *name*."""
        return self.builtin if name == "pulumi" else RecordedPackage(name, self.ledger.last)

    def configuration(self, name: str, wanted_by: str) -> Package:
        """The recorded providers of the package *name*."""
        return RecordedPackage(name, self.ledger.last)

    def align(self, urn: str, old: Properties, new: Properties) -> Properties:
        """*new*, its secrets closed where those of the last state are, which nobody can compare."""
        aligned: Properties = self._align(f"{urn}: ", old, new)
        return aligned

    def _align(self, path: str, old: Any, new: Any) -> Any:
        if old == _OPAQUE and is_secret(new):
            if new != _OPAQUE:
                self.note(path)
            return old
        if isinstance(old, dict) and isinstance(new, dict) and not is_secret(new):
            joined = {k: path if path.endswith(" ") else f"{path}." for k in new}
            return {k: self._align(f"{joined[k]}{k}", old[k], v) if k in old else v for k, v in new.items()}
        if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            return [self._align(f"{path}[{i}]", o, n) for i, (o, n) in enumerate(zip(old, new, strict=True))]
        return new


@dataclass(frozen=True)
class RecordedPackage:
    """What is known of a package's resources without asking it."""

    name: str
    last: Callable[[str], ResourceState | None]

    def check(self, urn: str, old: Properties, new: Properties, seed: bytes) -> Checked:
        """*new* with what the provider had filled in for the last state."""
        known = self.last(urn)
        if not old or known is None:
            return Checked(dict(new))
        # Pulumi records which inputs the program gave, so what is not among them came from the provider.
        given = known.property_dependencies
        own = {k: v for k, v in old.items() if k not in given and k not in new} if given else {}
        merged: Properties = _with_defaults(old, new)
        return Checked({**own, **merged})

    def diff(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...]) -> Difference:
        """What differs in the inputs."""
        changed = tuple(changed_paths(old.inputs, keep_old(inputs, old.inputs, ignore)))
        return Difference(bool(changed), changed, reason="its provider may have to replace it" if changed else "")

    def create(self, urn: str, inputs: Properties, timeout: float) -> Created:
        """The inputs are what is known of the outputs."""
        return Created(UNKNOWN, {k: v for k, v in inputs.items() if k != "__defaults"})

    def update(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...], timeout: float) -> Properties:
        """The last outputs, with the new inputs where they have the same name."""
        return {**old.outputs, **{k: v for k, v in inputs.items() if k in old.outputs}}

    def delete(self, old: ResourceState, timeout: float) -> None:
        """Nothing is deleted."""

    def read(self, urn: str, id_: str, inputs: Properties, outputs: Properties) -> Found | None:
        """What was read the last time; nothing, if it was not."""
        known = self.last(urn)
        return Found(id_, inputs, known.outputs if known is not None and known.id == id_ else {})

    def invoke(self, token: str, arguments: Properties) -> Invoked:
        """Refused: there is no record of what functions returned.

        Raises:
            EngineError: FI643.
        """
        raise EngineError(
            error(
                "FI643",
                f"the recorder cannot answer the function {token}",
                detail=f"only a provider of the package '{self.name}' can, and the recorder has none",
                hint="preview with an engine that has providers",
            )
        )


def _with_defaults(old: Any, new: Any) -> Any:
    """*new* with the defaults that the provider had noted in *old*, at every depth."""
    if not isinstance(old, Mapping) or not isinstance(new, dict):
        return new
    noted = old.get("__defaults")
    names = [k for k in noted if k in old and k not in new] if isinstance(noted, list) else []
    out = {k: _with_defaults(old.get(k), v) for k, v in new.items()}
    out.update({k: old[k] for k in names})
    if isinstance(noted, list) and "__defaults" not in new:
        out["__defaults"] = noted
    return out
