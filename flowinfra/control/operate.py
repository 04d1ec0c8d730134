"""Operating deployments on the Local target: starting runs of what is deployed, and watching them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from flowinfra.control.listing import step_names
from flowinfra.control.place import Address, Place
from flowinfra.diagnostics import FlowinfraError, NotFoundError, error, nearest
from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator
from flowinfra.orchestrators.local.records import Deployed, Deployment, RunRecord
from flowinfra.packaging import release
from flowinfra.packaging.home import Home
from flowinfra.runtime.parameters import check_parameters

__all__ = ["DeployedFlow", "Watch", "find_deployment"]

_LOOK_S: Final = 0.3

#: Makes values as JSON out of what was given, knowing the deployed parameters and the values that are recorded.
Values = Callable[[Sequence[Mapping[str, Any]], Mapping[str, Any], str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class DeployedFlow:
    """A deployment on the Local target.

    Attributes:
        orchestrator: what runs it.
        deployed: the deployment as it is kept.
    """

    orchestrator: LocalOrchestrator
    deployed: Deployed

    @property
    def flow(self) -> str:
        """The flow's name."""
        return self.deployed.deployment.flow

    @property
    def full_name(self) -> str:
        """``<flow>/<deployment>``."""
        return self.deployed.deployment.full_name

    def parameters(self) -> list[Mapping[str, Any]]:
        """What the deployed release takes."""
        loaded = release.load(self.orchestrator.store, self.deployed.deployment.release)
        return list(loaded["graph"].get("parameters", ()))

    def trigger(self, values: Values, *, tags: Sequence[str] = ()) -> str:
        """Start a run and return its id; a person may start a paused deployment too.

        Raises:
            FlowinfraError: what *values* raises; the store or the queue cannot be used, or no worker starts.
        """
        deployment = self.deployed.deployment
        complete = values(self.parameters(), deployment.parameters, deployment.flow)
        return self.orchestrator.trigger(deployment.address, complete, check=check_parameters, tags=tags)

    def wait(self, run: str, timeout: float | None = None) -> RunRecord:
        """Wait for the end of *run*, at most *timeout* seconds; how it stands then.

        Raises:
            ControlError: FI827, no worker starts.
        """
        return self.orchestrator.wait(run, timeout)


def find_deployment(name: str, *, start: Path | None = None, stack: str | None = None) -> DeployedFlow:
    """The deployment that *name* means: a full name or an address; a deployment's or a flow's name where only one fits.

    Args:
        name: as it was typed.
        start: the folder whose project is meant (default: the current one).
        stack: the stack, where several have a deployment of this name; by default the selected one is preferred.

    Raises:
        NotFoundError: FI810 or FI819, there is none, or several.
    """
    orchestrator = LocalOrchestrator.open(Home.find(start))
    everything = orchestrator.deployments.list()
    there = [d for d in everything if stack in (None, d.deployment.domain)]
    fitting = [d for d in there if name in (d.deployment.full_name, d.deployment.address)] or [
        d for d in there if name in (d.deployment.name, d.deployment.flow)
    ]
    if len(fitting) > 1 and stack is None:
        selected = _selected_stack(start)
        fitting = [d for d in fitting if d.deployment.domain == selected] or fitting
    if len(fitting) == 1:
        return DeployedFlow(orchestrator, fitting[0])
    if not fitting:
        raise _not_deployed(name, stack, [d.deployment for d in there])
    several = [d.deployment for d in fitting]
    same_name = len({d.full_name for d in several}) == 1
    names = [d.address if same_name else d.full_name for d in several]
    raise NotFoundError(
        error(
            "FI819",
            f"{name!r} may be {len(names)} deployments",
            detail=f"they are {', '.join(names)}",
            hint="choose the stack with --stack" if same_name else f"give the full name, e.g. {names[0]}",
        )
    )


def _not_deployed(name: str, stack: str | None, there: Sequence[Deployment]) -> NotFoundError:
    names = [d.full_name for d in there]
    words = dict.fromkeys([*names, *(d.name for d in there), *(d.flow for d in there)])
    return NotFoundError(
        error(
            "FI810",
            f"there is no deployment {name!r}{f' in the stack {stack}' if stack else ''}{nearest(name, words)}",
            detail=f"deployed here: {', '.join(names)}" if names else "nothing is deployed here yet",
            hint="deploy it with `flowinfra up`; a deployment is named <flow>/<deployment>",
        )
    )


def _selected_stack(start: Path | None) -> str | None:
    from flowinfra.control.stacks import selected_stack
    from flowinfra.engine.config import Project

    try:
        return selected_stack(Home.find(start), Project.find(start or Path.cwd()))
    except FlowinfraError:  # not in a project, or nothing is selected
        return None


class Watch:
    """Tells which steps of a run have begun, while someone waits for its end. A context manager; has its own thread."""

    def __init__(self, place: Place, flow: str, run: str, tell: Callable[[str], None]) -> None:
        """*tell* is called with each step's name, once, in another thread."""
        self._address = Address(place, (flow, run))
        self._tell = tell
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="flowinfra-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        told: set[str] = set()
        while True:
            over = self._over.wait(_LOOK_S)
            try:
                names = step_names(self._address)
            except FlowinfraError:
                names = []  # whoever waits says what is wrong
            for name in names:
                if name not in told:
                    told.add(name)
                    self._tell(name)
            if over:
                return
