"""What components tell whoever runs the program in process: more than their inputs say.

Inputs hold no source positions, so that a moved line is no change; but a plan should name file and line of what
changes. So a component tells what it was made from to the observer that the caller has set in the program's context
(:attr:`flowinfra.engine.base.Options.context`). Under the plain Pulumi CLI nobody listens.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from flowinfra.diagnostics import Source
from flowinfra.model.deployment import Deployment
from flowinfra.model.graph import FlowGraph
from flowinfra.model.plan import AppliedDefault

__all__ = ["FORCED", "OBSERVED", "Observed", "Registered", "observe"]


@dataclass(frozen=True, slots=True)
class Registered:
    """One deployment as the program has registered it."""

    name: str
    """Name of the resource."""
    graph: FlowGraph
    """The flow, with the places of its steps and parameters."""
    deployment: Deployment
    source: Source | None = None
    """Where its specification is written."""
    defaults: tuple[AppliedDefault, ...] = ()
    """What the stack's mode made different in it."""
    root: str = ""
    """The folder that the flow's modules are imported from, and that the places in its graph start from."""


class Observed:
    """What one run of a program has registered; safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._registered: dict[str, Registered] = {}
        self._defaults: dict[AppliedDefault, None] = {}

    def tell(self, defaults: Iterable[AppliedDefault]) -> None:
        """Take what the stack's mode has changed for the stack as a whole."""
        with self._lock:
            self._defaults.update((d, None) for d in defaults)

    @property
    def defaults(self) -> tuple[AppliedDefault, ...]:
        """What the mode has changed for the stack as a whole, each once."""
        with self._lock:
            return tuple(self._defaults)

    def add(self, registered: Registered) -> None:
        """Take one deployment."""
        with self._lock:
            self._registered[registered.name] = registered

    @property
    def registered(self) -> Mapping[str, Registered]:
        """The deployments so far, by the names of their resources."""
        with self._lock:
            return dict(self._registered)


#: Who is told, in the context that a program runs in.
OBSERVED: Final[ContextVar[Observed | None]] = ContextVar("flowinfra_observed", default=None)

#: Whether the caller goes on where the stack's mode refuses to (``flowinfra up --force``).
FORCED: Final[ContextVar[bool]] = ContextVar("flowinfra_forced", default=False)


def observe(registered: Registered) -> None:
    """Tell whoever listens."""
    observed = OBSERVED.get()
    if observed is not None:
        observed.add(registered)
