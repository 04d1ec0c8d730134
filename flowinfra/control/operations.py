"""Previewing and applying a stack, the same for the command line and for Python.

An engine knows resources. Here its plan is completed for people and for whoever decides about it: what changes in the
flows and where that is written, what the stack's mode says about it, what the plan was made from. What is approved is
what is applied: an engine asks with the plan that it is about to apply, and asks again if the state has moved.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from flowinfra.components.observe import FORCED, OBSERVED, Observed
from flowinfra.control.drift import with_drift
from flowinfra.control.modes import mode_findings, with_remedy
from flowinfra.control.plans import enriched
from flowinfra.control.saved import basis_of, load_plan, require_same, save_plan
from flowinfra.control.stacks import OpenStack
from flowinfra.diagnostics import Diagnostic, EngineError, Severity
from flowinfra.engine.base import OnEvent, Options
from flowinfra.engine.planning import finding
from flowinfra.model.plan import Basis, Finding, Operation, Plan

__all__ = ["Ask", "Request", "apply", "preview"]

#: Shown the plan that is about to be applied; raises :class:`flowinfra.engine.base.Declined` to say no.
Ask: TypeAlias = Callable[[Plan], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted of one operation on a stack."""

    operation: Operation = Operation.UP
    targets: tuple[str, ...] = ()
    target_dependents: bool = False
    force: bool = False
    """Go on where the stack's mode refuses to; the plan says so."""
    clear_pending_creates: bool = False
    """For a refresh: forget the records of interrupted creations."""


def preview(
    opened: OpenStack, request: Request = Request(), on_event: OnEvent | None = None, *, save: Path | None = None
) -> Plan:
    """What the operation would do; changes nothing.

    Args:
        opened: the stack.
        request: what is wanted.
        on_event: told what happens meanwhile.
        save: keep the plan in this file, so that exactly it can be applied later.

    Raises:
        FlowinfraError: the program fails, the state cannot be read, or the plan cannot be saved.
    """
    work = _Work(opened, request)
    with _remedied(opened):
        bare = opened.engine.preview(opened.ref, on_event, operation=request.operation, options=work.options)
    plan = work.completed(bare)
    plan = _with(plan, [_only_said(d) for d in work.refusals(plan, saved=save is not None)])
    if save is not None:
        save_plan(save, plan)
    return plan


def apply(
    opened: OpenStack,
    request: Request = Request(),
    on_event: OnEvent | None = None,
    *,
    ask: Ask | None = None,
    saved: Path | None = None,
) -> Plan:
    """Do it; what was applied, or a plan without a change.

    Args:
        opened: the stack.
        request: what is wanted.
        on_event: told what happens meanwhile.
        ask: shown the plan before it is applied.
        saved: a file of :func:`preview`; it is refused if state, code or settings have moved since.

    Raises:
        Declined: *ask* said no; nothing was changed.
        FlowinfraError: something failed; what was done until then is recorded.
    """
    expected = load_plan(saved) if saved is not None else None
    work = _Work(opened, request)
    said: list[Finding] = []
    asked: list[Plan] = []

    def approve(bare: Plan) -> None:
        plan = work.completed(bare)
        refusals = work.refusals(plan, saved=expected is not None)
        if any(d.severity is Severity.ERROR for d in refusals) and not request.force:
            raise EngineError(refusals)
        if expected is not None:
            require_same(expected, plan)
        said[:] = [finding(_only_said(d)) for d in refusals]
        asked.append(plan)
        if ask is not None:
            ask(plan.model_copy(update={"findings": (*plan.findings, *said)}))

    engine, ref, options = opened.engine, opened.ref, work.options
    with _remedied(opened):
        match request.operation:
            case Operation.UP:
                done = engine.up(ref, on_event, options=options, approve=approve)
            case Operation.DESTROY:
                done = engine.destroy(ref, on_event, options=options, approve=approve)
            case Operation.REFRESH:
                done = engine.refresh(
                    ref,
                    on_event,
                    clear_pending_creates=request.clear_pending_creates,
                    options=options,
                    approve=approve if ask is not None else None,  # without a question everything is read only once
                )
    done = work.completed(done, asked[-1].basis if asked else None)
    if expected is not None and not asked:  # there was nothing to approve, and the saved plan has changes
        require_same(expected, done)
    return done.model_copy(update={"findings": (*done.findings, *said)})


class _Work:
    """One operation: what its program has told, and how its plans are completed."""

    def __init__(self, opened: OpenStack, request: Request) -> None:
        self._opened = opened
        self._request = request
        self._observed = Observed()
        self.options = Options(
            targets=request.targets,
            target_dependents=request.target_dependents,
            context={OBSERVED: self._observed, FORCED: request.force},
        )

    def completed(self, plan: Plan, approved: Basis | None = None) -> Plan:
        """*plan* with flow diffs, places, and everything that it was made from: that of the *approved* one, if any."""
        plan = enriched(plan, self._observed, folder=self._opened.project.folder, home=self._opened.home)
        if plan.operation is Operation.REFRESH:
            plan = with_drift(plan, self._opened.home)
        basis = approved or basis_of(self._opened)
        state = plan.basis.state if plan.basis is not None else ""
        return plan.model_copy(update={"basis": basis.model_copy(update={"state": state})})

    def refusals(self, plan: Plan, *, saved: bool) -> list[Diagnostic]:
        """Why the stack's mode would refuse to apply *plan*."""
        return mode_findings(self._opened, plan, force=self._request.force, saved_plan=saved)


@contextlib.contextmanager
def _remedied(opened: OpenStack) -> Iterator[None]:
    try:
        yield
    except EngineError as problem:
        remedied = with_remedy(opened, problem)
        if remedied is problem:
            raise
        raise remedied from problem


def _only_said(diagnostic: Diagnostic) -> Diagnostic:
    if diagnostic.severity is not Severity.ERROR:
        return diagnostic
    return Diagnostic(
        diagnostic.code, Severity.WARNING, diagnostic.summary, diagnostic.detail, diagnostic.hint, diagnostic.source
    )


def _with(plan: Plan, said: list[Diagnostic]) -> Plan:
    return plan.model_copy(update={"findings": (*plan.findings, *(finding(d) for d in said))})
