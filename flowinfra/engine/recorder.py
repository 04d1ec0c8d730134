"""The recorder: what a program wants, compared with the last known state, without any provider.

For previews without credentials, network or passphrase, and for tests of components. The program runs under the same
monitor as in the embedded engine; only the answers come from what was recorded. What nobody can know here is listed in
the plan as unknown: secrets (their ciphertext stays closed), what a provider computes, what its functions return, and
whether a change replaces a resource, which only its provider decides; of the package ``flowinfra`` that is known, since
its kinds say it as plain data. Nothing is ever written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import urlsplit

from flowinfra.diagnostics import EngineError, FlowinfraError, error
from flowinfra.engine.base import Approve, OnEvent, Options, StackRef
from flowinfra.engine.builtin import PreviewBuiltin
from flowinfra.engine.config import ResolvedConfig
from flowinfra.engine.interpreter import Checked, Created, Difference, Found, Invoked, Package, Sought
from flowinfra.engine.journals import forget
from flowinfra.engine.ledger import Ledger
from flowinfra.engine.offline import Base, Closing, aligned, read_base
from flowinfra.engine.stacks import Session, read_config, stack_outputs
from flowinfra.engine.state.backend import Backend
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.urns import urn_type
from flowinfra.engine.values import (
    SECRET_TEXT,
    UNKNOWN,
    Properties,
    changed_paths,
    covers,
    keep_old,
    redact,
)
from flowinfra.model.plan import Operation, Plan

if TYPE_CHECKING:
    from flowinfra_providers.kinds import Kind

__all__ = ["RecorderEngine"]

_EVERYTHING: Final = Options()
#: What :class:`Hidden` calls results of which nothing is known, so that also what depends on them may be missing.
_WHOLE: Final = "result of"


class RecorderEngine:
    """Previews against the last known state; see the module."""

    name = "recorder"

    def __init__(self, snapshot: Path | None = None, *, key: bytes | None = None, parallel: int = 16) -> None:
        """Make a recorder.

        Args:
            snapshot: a snapshot, a checkpoint or an exported stack to compare with, instead of the state in the stack's
                backend.
            key: that with which the snapshot was made; without it what is withheld there is unknown.
            parallel: how many registrations are worked on at once.
        """
        self._snapshot = snapshot
        self._key = key
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
        base = self._base(stack)
        hidden: list[str] = []
        opaque: list[str] = []

        def conceal(_: str, where: str) -> str:
            opaque.append(where)
            return SECRET_TEXT

        # Whoever keeps the secrets: nobody is asked to open them.
        resolved: ResolvedConfig = replace(read_config(stack), secrets_provider="").resolve(conceal)
        session = Session(stack, base.snapshot, lambda: resolved, Closing())
        try:
            plan = run(
                session,
                operation,
                engine=self.name,
                make_interpreter=lambda ledger: Recording(
                    ledger, self._builtin(stack, ledger, hidden.append), hidden.append, base
                ),
                journal=forget,
                on_event=on_event,
                parallel=self._parallel,
                options=options,
            ).plan
        except FlowinfraError as problem:
            raise _explained(problem, hidden, opaque) from problem
        unknown = tuple(dict.fromkeys([*plan.unknown, *sorted({*hidden, *opaque})]))
        whole = plan.complete and not any(_WHOLE in u for u in hidden)
        return plan.model_copy(update={"unknown": unknown, "complete": whole})

    def _reference(self, stack: StackRef, name: str) -> Properties | None:
        """The outputs of another stack; None if it is not known here."""
        if self._snapshot is not None:
            return None  # a snapshot is of one stack, and where it is used others may not be within reach
        try:
            return stack_outputs(stack, name, lambda _: Closing())
        except EngineError as problem:
            if all(d.code == "FI632" for d in problem.diagnostics):
                return None
            raise

    def _builtin(self, stack: StackRef, ledger: Ledger, note: Callable[[str], None]) -> _Builtin:
        return _Builtin(
            lambda name: self._reference(stack, name) or {},
            ledger.resources,
            is_known=lambda name: self._reference(stack, name) is not None,
            note=note,
        )

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

    def cancel(self, stack: StackRef) -> list[str]:
        """Refused.

        Raises:
            EngineError: FI644.
        """
        self._refuse("it takes no locks, so it removes none")

    def outputs(self, stack: StackRef, show_secrets: bool = False) -> dict[str, Any]:
        """The outputs in the last known state, secret ones masked.

        Raises:
            EngineError: FI644, secrets are asked for.
        """
        if show_secrets:
            self._refuse("it leaves secrets closed")
        return {k: redact(v) for k, v in self._base(stack).snapshot.outputs.items()}

    def _base(self, stack: StackRef) -> Base:
        if self._snapshot is not None:
            return read_base(self._snapshot, stack, self._key)
        scheme = urlsplit(stack.backend_url).scheme
        if scheme not in ("", "file"):
            raise EngineError(
                error(
                    "FI668",
                    "there is no state on this machine to preview against",
                    detail=f"the stack's state is kept in {scheme}://, which an offline preview does not ask",
                    hint="preview against a snapshot: flowinfra preview --offline --base SNAPSHOT; "
                    "`flowinfra snapshot` makes one where the state is within reach",
                )
            )
        return Base(Backend.open(stack.backend_url).stack(stack.project, stack.stack).read(sealed=True))

    def _refuse(self, why: str) -> NoReturn:
        raise EngineError(
            error(
                "FI644",
                "the recorder only previews",
                detail=why,
                hint="choose another engine: `flowinfra config set flowinfra:engine embedded` (or pulumi)",
            )
        )


def _explained(problem: FlowinfraError, hidden: list[str], opaque: list[str]) -> FlowinfraError:
    """*problem* with what the program was not given, if it is the program that failed."""
    if not any(d.code == "FI600" for d in problem.diagnostics):
        return problem
    functions = sorted({u.partition(f"{_WHOLE} the function ")[2] for u in hidden if f"{_WHOLE} the function " in u})
    said = [
        error(
            "FI643",
            f"an offline preview cannot answer the function {name}",
            detail="only its provider can. A program that uses the result as an output goes on, with the result unknown; "
            "one that looks into it at once may fail",
            hint="call it in its output form (get_x_output, invoke_output), or preview with an engine that has providers",
        )
        for name in functions
    ] + [
        error(
            "FI669",
            f"an offline preview does not know the secret {where.rpartition(' ')[2]}",
            detail=f"the program was given the text {SECRET_TEXT} in its place, which it may not be able to read",
            hint="read it as text and turn it into something else inside of `apply`, or preview with another engine",
        )
        for where in sorted(set(opaque))
    ]
    if not said:
        return problem
    explained = type(problem)([*problem.diagnostics, *said])
    explained.__cause__ = problem.__cause__
    return explained


@dataclass(frozen=True)
class _Builtin(PreviewBuiltin):
    """The engine's own package, for stacks that may be out of reach."""

    is_known: Callable[[str], bool]
    note: Callable[[str], None]

    def read(self, urn: str, id_: str, inputs: Properties, outputs: Properties, timeout: float = 0) -> Found | None:
        """Outputs of another stack; unknown ones, where that stack is not known here."""
        name = str(inputs.get("name", id_))
        if urn_type(urn) != "pulumi:pulumi:StackReference" or self.is_known(name):
            return super().read(urn, id_, inputs, outputs, timeout)
        self.note(f"{urn}: {_WHOLE} reading the stack {name}")
        return Found(id_, inputs, {"name": name, "outputs": UNKNOWN, "secretOutputNames": UNKNOWN})


@dataclass(frozen=True)
class Recording:
    """Answers calls to providers from the last state."""

    ledger: Ledger
    builtin: Package
    note: Callable[[str], None]
    """Told what could not be compared, as ``URN: path``."""
    base: Base
    dry_run: bool = True

    def open(self, name: str, inputs: Properties, wanted_by: str) -> Package:
        """The recorded package *name*."""
        return self.builtin if name == "pulumi" else RecordedPackage(name, self.ledger.last, self.note)

    def configuration(self, name: str, wanted_by: str) -> Package:
        """The recorded providers of the package *name*."""
        return RecordedPackage(name, self.ledger.last, self.note)

    def align(self, urn: str, old: Properties, new: Properties) -> Properties:
        """*new*, closed where the last state is, which nobody can compare."""
        return aligned(self.base, self.note, urn, old, new)

    def close(self) -> None:
        """Nothing is under way anywhere."""


@dataclass(frozen=True)
class RecordedPackage:
    """What is known of a package's resources without asking it."""

    name: str
    last: Callable[[str], ResourceState | None]
    note: Callable[[str], None]

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
        """What differs in the inputs, and what of it makes another resource, if that is known."""
        changed = tuple(changed_paths(old.inputs, keep_old(inputs, old.inputs, ignore)))
        kind = _kind(old.type)
        if kind is None:
            return Difference(bool(changed), changed, reason="its provider may have to replace it" if changed else "")
        replaces = tuple(p for p in changed if any(covers(name, p) for name in kind.replaces))
        return Difference(bool(changed), changed, replaces, delete_before_replace=bool(replaces))

    def create(self, urn: str, inputs: Properties, timeout: float) -> Created:
        """The inputs are what is known of the outputs."""
        return Created(UNKNOWN, {k: v for k, v in inputs.items() if k != "__defaults"})

    def update(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...], timeout: float) -> Properties:
        """The last outputs, with the new inputs where they have the same name, and unknown what is computed anew."""
        kind = _kind(old.type)
        if kind is None:
            return {**old.outputs, **{k: v for k, v in inputs.items() if k in old.outputs}}
        return {**dict.fromkeys(sorted(kind.computed), UNKNOWN), **kind.kept(old.outputs, inputs), **inputs}

    def delete(self, old: ResourceState, timeout: float) -> None:
        """Nothing is deleted."""

    def read(self, urn: str, id_: str, inputs: Properties, outputs: Properties, timeout: float = 0) -> Found | None:
        """What was read the last time; nothing, if it was not."""
        known = self.last(urn)
        return Found(id_, inputs, known.outputs if known is not None and known.id == id_ else {})

    def find(self, urn: str, inputs: Properties) -> Sought:
        """Nobody is asked."""
        return Sought(told=False)

    def invoke(self, token: str, arguments: Properties) -> Invoked:
        """Unknown: there is no record of what functions returned."""
        self.note(f"{_WHOLE} the function {token}")
        return Invoked({}, unknown=True)


def _kind(type_: str) -> Kind | None:
    """What our own provider says about its resources as plain data; it is not asked to do anything."""
    if not type_.startswith("flowinfra:"):
        return None
    from flowinfra_providers.provider import KINDS

    return KINDS.get(type_)


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
