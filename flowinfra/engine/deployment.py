"""What one operation on one stack works with, and what it has run into."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flowinfra.diagnostics import Diagnostic, EngineError, FlowinfraError, Severity, error, warning
from flowinfra.engine.base import Event, LogEvent, OnEvent, Options, ResourceEvent, StackRef
from flowinfra.engine.callbacks import Hooks
from flowinfra.engine.interpreter import Interpreter, Package, Unanswered, Unhealthy
from flowinfra.engine.ledger import Ledger
from flowinfra.engine.once import Once
from flowinfra.engine.planning import PlanBuilder, finding
from flowinfra.engine.state.resources import Pending, ResourceState
from flowinfra.engine.targeting import Targeting
from flowinfra.engine.unfinished import told
from flowinfra.engine.urns import is_default_provider, is_provider, package_of, split_reference, urn_name, urn_type
from flowinfra.engine.values import Properties
from flowinfra.model.plan import Action

__all__ = ["Deployment"]


@dataclass(eq=False)
class Deployment:
    """One run of one operation; the parts of the engine share it, nothing else shares anything."""

    stack: StackRef
    ledger: Ledger
    interpreter: Interpreter
    hooks: Hooks
    plan: PlanBuilder
    config: Mapping[str, str]
    secret_keys: frozenset[str]
    on_event: OnEvent | None = None
    parallel: int = 16
    options: Options = field(default_factory=Options)
    failures: list[FlowinfraError] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set when the user interrupts: nothing new begins, what has begun ends."""
    targeting: Targeting = field(init=False)
    torn: set[str] = field(default_factory=set)
    """URNs of what this operation has deleted because something that it depends on is replaced."""
    former: dict[str, str] = field(default_factory=dict)
    """What is registered under a new name -> its URN in the last state."""
    unsettled: set[str] = field(default_factory=set)
    """URNs of what is not there before the operation is applied, and of whatever it is part of."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _telling: threading.RLock = field(default_factory=threading.RLock)
    _packages: Once[str, Package] = field(default_factory=Once)
    _after_outputs: dict[str, tuple[str, ResourceState | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.targeting = Targeting(self.options)
        self.hooks.warn = self.say

    # -- telling

    def emit(self, event: Event) -> None:
        """Tell whoever watches, one event at a time."""
        if self.on_event is not None:
            with self._telling:
                self.on_event(event)

    def began(self, urn: str, action: Action) -> None:
        """A resource begins to change."""
        if not is_default_provider(urn):
            self.emit(ResourceEvent(urn, action.value, "start"))

    def ended(self, urn: str, action: Action, problem: BaseException | None = None) -> None:
        """A resource has changed, or has failed to."""
        if problem is not None:
            self.emit(
                ResourceEvent(urn, action.value, "failed", (str(problem) or type(problem).__name__).splitlines()[0])
            )
        elif not is_default_provider(urn):
            self.emit(ResourceEvent(urn, action.value, "done"))

    def say(self, diagnostic: Diagnostic, address: str = "") -> None:
        """Record a finding in the plan and tell it."""
        self.plan.add_finding(finding(diagnostic, address))
        severity = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "info"}[diagnostic.severity]
        self.emit(LogEvent(severity, diagnostic.summary, address))  # type: ignore[arg-type]

    def fail(self, problem: FlowinfraError) -> None:
        """Remember *problem*: the SDK passes on only the first one, and users see all."""
        with self._lock:
            self.failures.append(problem)

    def wait(self, over: threading.Event) -> None:
        """Wait until *over* is set, and what users may do meanwhile: interrupt.

        The first time nothing new begins, and what has begun ends. The second time nobody waits for providers any more;
        what they were doing stays recorded as pending. The third time nobody waits for anything.

        Raises:
            KeyboardInterrupt: the user did, and all that was waited for has ended.
        """
        interrupt: KeyboardInterrupt | None = None
        for insist in (self.stopped.set, self.interpreter.close, None):
            try:
                over.wait()
                break
            except KeyboardInterrupt as problem:
                interrupt = problem
                if insist is None:
                    raise
                insist()
        if interrupt is not None:
            raise interrupt

    def raise_failures(self) -> None:
        """Raise what was remembered, all of it at once.

        Raises:
            FlowinfraError: whatever it is; of the first one's kind if all are of it.
        """
        if not self.failures:
            return
        first = self.failures[0]
        kind = type(first) if all(type(f) is type(first) for f in self.failures) else EngineError
        if kind in (Unanswered, Unhealthy):
            kind = EngineError
        combined = kind(d for f in self.failures for d in f.diagnostics)
        combined.__cause__ = first.__cause__
        raise combined

    def check_targets(self, known: Iterable[str]) -> None:
        """Every target must be, or at least fit, one of the URNs *known*.

        Raises:
            EngineError: FI651.
        """
        urns = set(known)
        self.targeting.check(urns)
        for found in self.targeting.fitting_nothing(urns):
            self.say(found)

    def say_skipped(self) -> None:
        """Say what was not created because it is not targeted."""
        if skipped := self.targeting.skipped:
            names = ", ".join(f"'{urn_name(urn)}'" for urn in skipped[:3]) + (", ..." if len(skipped) > 3 else "")
            self.say(
                warning(
                    "FI650",
                    f"{len(skipped)} of the program's resources do not exist and are not targeted: {names}",
                    detail="\n".join(skipped),
                    hint="an operation without targets creates them",
                )
            )

    def check_running(self) -> None:
        """Begin nothing new after an interrupt.

        Raises:
            EngineError: FI634.
        """
        if self.stopped.is_set():
            raise EngineError(
                error(
                    "FI634",
                    "interrupted: nothing more was begun, and what had begun has ended and is recorded",
                    hint="run the operation again to complete it",
                )
            )

    def tell_pending(self, pending: tuple[Pending, ...], *, failed: bool = False) -> None:
        """Say what an earlier operation left undone, and what has become of it.

        Args:
            pending: the operations that had been begun, as the last state has them.
            failed: this operation fails, so that nobody sees its plan.
        """
        for found, urn in told((record, self.ledger.fate(key)) for key, record in enumerate(pending)):
            self.plan.add_finding(finding(found, urn))
            if failed:
                self.emit(LogEvent("warning", found.summary, urn))

    def unsettle(self, state: ResourceState) -> None:
        """*state* is not there yet, so functions that depend on it or its parents cannot be called."""
        self.unsettled.add(state.urn)
        parent = state.parent
        while parent and parent not in self.unsettled:
            self.unsettled.add(parent)
            parent = self.ledger.registered_as(parent).parent

    # -- hooks

    def run_after(
        self, kind: str, state: ResourceState, old: ResourceState | None = None, outputs: Properties | None = None
    ) -> None:
        """Run hooks after the fact: one that fails undoes nothing and stops nothing, but the operation has failed."""
        try:
            self.hooks.run(kind, state, old, outputs)
        except EngineError as problem:
            self.fail(problem)

    def after_outputs(self, state: ResourceState, kind: str, old: ResourceState | None) -> None:
        """Run the hooks *kind* of a component once its outputs are known, which says that its children are."""
        if state.resource_hooks.get(kind):
            with self._lock:
                self._after_outputs[state.urn] = (kind, old)

    def run_after_outputs(self, state: ResourceState) -> None:
        """The outputs of the component *state* are known."""
        with self._lock:
            kind, old = self._after_outputs.pop(state.urn, ("", None))
        if kind:
            self.run_after(kind, state, old, state.outputs)

    # -- packages

    def package_for(self, type_: str, reference: str, urn: str) -> Package:
        """Who answers for resources of *type_* with the provider *reference*.

        Raises:
            EngineError: FI603 or FI604, there is no provider or it does not accept its configuration; FI633, the
                reference names no provider that exists.
        """
        key = type_ if is_provider(type_) else reference
        return self._packages.get(key, lambda: self._open(type_, reference, urn))

    def _open(self, type_: str, reference: str, urn: str) -> Package:
        wanted_by = f"'{urn_name(urn)}' ({urn_type(urn)})" if "::" in urn else urn
        if is_provider(type_):
            return self.interpreter.configuration(package_of(type_), wanted_by)
        provider_urn, id_ = split_reference(reference)
        state = self.ledger.find(provider_urn, id_)
        if state is None:
            raise EngineError(
                error(
                    "FI633",
                    f"the provider of '{urn_name(urn) if '::' in urn else urn}' is not in the state",
                    detail=f"{urn} names {reference}",
                    hint="deploy with the stack program as it was, or repair the state with `pulumi state`",
                )
            )
        return self.interpreter.open(package_of(state.type), state.inputs, wanted_by)

    def timeout(self, state: ResourceState, kind: str) -> float:
        """Seconds that an operation may take by ``customTimeouts``; 0 leaves it to the provider."""
        return float(state.custom_timeouts.get(kind) or 0)
