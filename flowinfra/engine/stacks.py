"""A stack as it is before an operation: its last state, its configuration, the outputs of its neighbours.

Nothing here imports pulumi: while that takes its time, the key to the secrets is derived beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flowinfra.diagnostics import EngineError, error
from flowinfra.engine.base import StackRef, unsupported
from flowinfra.engine.config import Project, ResolvedConfig, StackConfig
from flowinfra.engine.ledger import Opener
from flowinfra.engine.state.backend import Backend
from flowinfra.engine.state.checkpoint import Snapshot
from flowinfra.engine.urns import STACK_TYPE
from flowinfra.engine.values import Properties

__all__ = ["Session", "read_config", "stack_outputs"]


def read_config(stack: StackRef) -> StackConfig:
    """The configuration of *stack*; empty where the folder holds no ``Pulumi.yaml``.

    Raises:
        ConfigurationError: one of the files is not valid.
        EngineError: FI602, the program is written in another language.
    """
    for name in ("Pulumi.yaml", "Pulumi.yml"):
        if (stack.project_dir / name).is_file():
            project = Project.load(stack.project_dir / name)
            if project.runtime != "python" and not callable(stack.program):
                raise unsupported(f"stack programs in {project.runtime}", where=str(project.file))
            return project.config(stack.settings_of or stack.stack)
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
                detail=f"stacks of that project in {stack.backend_url}: {', '.join(names) or 'none'}",
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
    config: Callable[[], ResolvedConfig]
    """Its configuration, with secrets open; asked for once, as late as possible, since the key takes a while."""
    opener: Opener
    """Opens the secrets of the last state."""
