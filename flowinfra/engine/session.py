"""The life of one operation, the same for every engine that runs programs in process.

A :class:`Session` is a stack as it is at one moment: its last state, its configuration, the key to its secrets. An
:class:`Operation` on it is run by :func:`run`, with an interpreter and a journal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flowinfra.diagnostics import EngineError, error
from flowinfra.engine.base import OnEvent, StackRef
from flowinfra.engine.callbacks import Hooks
from flowinfra.engine.config import Project, ResolvedConfig, StackConfig
from flowinfra.engine.deletion import delete_rest
from flowinfra.engine.deployment import Deployment
from flowinfra.engine.ledger import Journal, Ledger, Opener
from flowinfra.engine.monitor import EngineLog, Monitor
from flowinfra.engine.packages import Interpreter
from flowinfra.engine.planning import PlanBuilder
from flowinfra.engine.program import run_program
from flowinfra.engine.reading import refresh_all
from flowinfra.engine.state.backend import Backend
from flowinfra.engine.state.checkpoint import Snapshot
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.urns import STACK_TYPE, is_default_provider
from flowinfra.engine.values import Properties
from flowinfra.model.plan import Operation, Plan

__all__ = ["Outcome", "Session", "read_config", "run", "stack_outputs"]


def read_config(stack: StackRef) -> StackConfig:
    """The configuration of *stack*; empty where the folder holds no ``Pulumi.yaml``.

    Raises:
        ConfigurationError: one of the files is not valid.
    """
    for name in ("Pulumi.yaml", "Pulumi.yml"):
        if (stack.project_dir / name).is_file():
            return Project.load(stack.project_dir / name).config(stack.stack)
    path = stack.project_dir / f"Pulumi.{stack.stack}.yaml"
    return StackConfig(stack.project, path, {}, {}, None, "", "")


def stack_outputs(stack: StackRef, name: str, opener_for: Callable[[Snapshot], Opener]) -> Properties:
    """The outputs of the stack *name* beside *stack*, for a ``StackReference``.

    Raises:
        EngineError: FI632, there is no such stack.
    """
    parts = name.split("/")
    project = parts[1] if len(parts) == 3 else stack.project
    known = len(parts) == 1 or (len(parts) in (2, 3) and parts[0] == "organization")
    backend = Backend.open(stack.backend_url)
    other = backend.stack(project, parts[-1])
    if not known or not other.exists:
        names = [f"organization/{project}/{s}" for s in backend.stacks(project)]
        raise EngineError(
            error(
                "FI632",
                f"there is no stack '{name}' to refer to",
                detail=f"stacks of that project in {backend.root.parent}: {', '.join(names) or 'none'}",
                hint="write organization/<project>/<stack>, and deploy that stack first",
            )
        )
    snapshot = other.read()
    opener = opener_for(snapshot)
    for state in snapshot.resources:
        if state.type == STACK_TYPE and not state.delete:
            return opener.open_state(state).outputs
    return {}


@dataclass(frozen=True)
class Session:
    """One stack as it is before an operation."""

    stack: StackRef
    snapshot: Snapshot
    config: ResolvedConfig
    opener: Opener
    """Opens the secrets of the last state."""


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
        clear_pending_creates: for a refresh: forget the records of interrupted creations.
        counted: told how many resources were changed how, also if the operation fails.

    Raises:
        FlowinfraError: it failed; what happened until then is in the journal.
    """
    ledger = Ledger(session.snapshot, session.opener, journal)
    interpreter = make_interpreter(ledger)
    plan = PlanBuilder(session.stack, engine, operation)
    deployment = Deployment(
        stack=session.stack,
        ledger=ledger,
        interpreter=interpreter,
        hooks=Hooks(dry_run=interpreter.dry_run),
        plan=plan,
        config=session.config.values,
        secret_keys=frozenset(session.config.secret_keys),
        on_event=on_event,
        parallel=parallel,
    )
    deployment.warn_pending(session.snapshot.pending)
    try:
        if operation is Operation.UP:
            run_program(
                deployment,
                Monitor(deployment, lambda n: _at_end(deployment, session.snapshot.resources, n)),
                EngineLog(deployment),
            )
        elif operation is Operation.DESTROY:
            delete_rest(deployment)
        else:
            if clear_pending_creates:
                ledger.forget_pending()
            refresh_all(deployment)
        ledger.finish()
    finally:
        if counted is not None:
            counted(plan.counts())
    return Outcome(plan.build(material=ledger.changed), ledger.changed)


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
    delete_rest(deployment)
