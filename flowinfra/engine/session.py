"""The life of one operation, the same for every engine that runs programs in process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flowinfra.diagnostics import EngineError, error
from flowinfra.engine.adopting import settle_pending
from flowinfra.engine.base import OnEvent, Options
from flowinfra.engine.callbacks import Hooks
from flowinfra.engine.deletion import delete_rest
from flowinfra.engine.deployment import Deployment
from flowinfra.engine.interpreter import Interpreter
from flowinfra.engine.journals import Journal
from flowinfra.engine.ledger import Fate, Ledger
from flowinfra.engine.monitor import EngineLog, Monitor
from flowinfra.engine.planning import PlanBuilder, finding
from flowinfra.engine.program import run_program
from flowinfra.engine.reading import refresh_all
from flowinfra.engine.stacks import Session
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.urns import STACK_TYPE, is_default_provider
from flowinfra.model.plan import Basis, Operation, Plan

__all__ = ["Outcome", "run", "settle"]


@dataclass(frozen=True)
class Outcome:
    """What an operation came to."""

    plan: Plan
    changed: bool
    """The state is another one than before."""


def run(
    session: Session,
    operation: Operation,
    *,
    engine: str,
    make_interpreter: Callable[[Ledger], Interpreter],
    journal: Journal,
    on_event: OnEvent | None,
    parallel: int,
    options: Options,
    clear_pending_creates: bool = False,
    counted: Callable[[Mapping[str, int]], None] | None = None,
) -> Outcome:
    """Run *operation* on *session*.

    Args:
        session: the stack.
        operation: what to do.
        engine: the engine's word, for the plan.
        make_interpreter: who answers calls to providers.
        journal: what keeps the state, after each change.
        on_event: told what happens.
        parallel: how many resources change at once.
        options: what the caller asks for.
        clear_pending_creates: for a refresh: forget the records of interrupted creations.
        counted: told how many resources were changed how, also if the operation fails.

    Raises:
        FlowinfraError: it failed; what happened until then is in the journal.
    """
    ledger = Ledger(session.snapshot, session.opener, journal)
    interpreter = make_interpreter(ledger)
    plan = PlanBuilder(session.stack, engine, operation, options.targets)
    config = session.config()
    deployment = Deployment(
        stack=session.stack,
        ledger=ledger,
        interpreter=interpreter,
        hooks=Hooks(dry_run=interpreter.dry_run),
        plan=plan,
        config=config.values,
        secret_keys=frozenset(config.secret_keys),
        on_event=on_event,
        parallel=parallel,
        options=options,
    )
    for found in session.snapshot.findings:
        plan.add_finding(finding(found))
    try:
        if operation is Operation.UP:
            run_program(
                deployment,
                Monitor(deployment, lambda n: _at_end(deployment, session.snapshot.resources, n)),
                EngineLog(deployment),
            )
        elif operation is Operation.DESTROY:
            deployment.check_targets(s.urn for s in session.snapshot.resources)
            delete_rest(deployment, session.snapshot.resources)
        else:
            if clear_pending_creates:
                ledger.forget_pending()
            deployment.check_targets(s.urn for s in session.snapshot.resources)
            refresh_all(deployment, session.snapshot.resources)
        deployment.raise_failures()
        ledger.finish()
        deployment.tell_pending(session.snapshot.pending)
    except BaseException:
        deployment.tell_pending(session.snapshot.pending, failed=True)
        raise
    finally:
        interpreter.close()
        if counted is not None:
            counted(plan.counts())
    built = plan.build(material=ledger.changed)
    return Outcome(built.model_copy(update={"basis": Basis(state=session.snapshot.digest)}), ledger.changed)


def settle(
    session: Session, *, engine: str, make_interpreter: Callable[[Ledger], Interpreter], journal: Journal
) -> list[tuple[str, Fate | None]]:
    """Look for what interrupted creations have made, without running a program.

    Returns:
        URNs with what became of them; None where their provider cannot say.

    Raises:
        FlowinfraError: a provider failed, or the state cannot be written.
    """
    ledger = Ledger(session.snapshot, session.opener, journal)
    interpreter = make_interpreter(ledger)
    deployment = Deployment(
        stack=session.stack,
        ledger=ledger,
        interpreter=interpreter,
        hooks=Hooks(dry_run=interpreter.dry_run),
        plan=PlanBuilder(session.stack, engine, Operation.REFRESH),
        config={},
        secret_keys=frozenset(),
    )
    try:
        return settle_pending(deployment)
    finally:
        interpreter.close()


def _at_end(deployment: Deployment, before: Sequence[ResourceState], registered: int) -> None:
    """The program is over: delete what it has not registered.

    Raises:
        EngineError: FI642, it has registered nothing at all, which is rather a mistake than the wish to delete all.
    """
    real = [
        s for s in before if s.type != STACK_TYPE and not is_default_provider(s.urn) and not s.delete and not s.external
    ]
    if real and not registered:
        raise EngineError(
            error(
                "FI642",
                "the stack program registered no resource",
                detail=f"{len(real)} resources of the stack would be deleted. A program that is an imported module does "
                "nothing the second time it is run in one process",
                hint="register the resources in a function or in the program file itself; to delete everything, "
                "run `flowinfra destroy`",
            )
        )
    if deployment.targeting.constrained:
        deployment.check_targets([*(s.urn for s in before), *deployment.ledger.seen])
        deployment.say_skipped()
    delete_rest(deployment, before)
