"""Pausing and resuming deployments past the program: what their operators may change.

Paused means that nothing starts a run by itself; a person always may. It is the operator's once he has touched it: the
next ``up`` leaves it as he did, until the program itself says something else than it did before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flowinfra.control.operate import DeployedFlow, find_deployment
from flowinfra.diagnostics import ConfigurationError, FlowinfraError, error, nearest
from flowinfra.engine.config import Project
from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator
from flowinfra.orchestrators.local.records import Deployed
from flowinfra.packaging.home import Home
from flowinfra.packaging.users import user_name

__all__ = ["Paused", "deployment_of", "deployments_called", "pause"]

#: ``<8 hex digits>-<time>-<10 hex digits>``, as :func:`flowinfra.wire.run_id` makes them.
_RUN: Final = re.compile(r"(?:.*/)?[0-9a-f]{8}-\d{8}-\d{6}-[0-9a-f]{10}")


@dataclass(frozen=True, slots=True)
class Paused:
    """A deployment after it was paused or resumed.

    Attributes:
        deployed: as it is now.
        changed: whether it was otherwise before.
    """

    deployed: Deployed
    changed: bool


def pause(
    name: str,
    paused: bool,
    *,
    reason: str = "",
    authorize: str | None = None,
    start: Path | None = None,
    stack: str | None = None,
) -> Paused:
    """Pause or resume a deployment; harmless where it is so already.

    Args:
        name: its full name, ``<flow>/<deployment>``, or its address.
        paused: what shall be.
        reason: why, for whoever looks at it later.
        authorize: its production token, where the project of *start* does not own it.
        start: the folder whose project is meant (default: the current one).
        stack: the stack, where several have a deployment of this name.

    Raises:
        ConfigurationError: FI922 or FI923, *name* is no full name of a deployment, or is a run's.
        NotFoundError: FI810 or FI819, there is none, or several.
        ControlError: FI820 or FI821, another project owns it and its token was not shown, or was wrong.
    """
    found = deployment_of(name, "pause" if paused else "resume", start=start, stack=stack)
    before = found.deployed
    after = found.orchestrator.deployments.pause(
        before.deployment.address,
        paused,
        owner=_acting_as(before, start),
        by=user_name(),
        # it is shown on terminals, in one line
        reason=" ".join("".join(c if c.isprintable() else " " for c in reason).split()),
        authorize=authorize,
    )
    return Paused(after, after != before)


def deployment_of(name: str, word: str, *, start: Path | None = None, stack: str | None = None) -> DeployedFlow:
    """The deployment of this full name or address, for the command *word*.

    Raises:
        ConfigurationError: FI922 or FI923, *name* has another form.
        NotFoundError: FI810 or FI819, there is none, or several.
    """
    if _RUN.fullmatch(name):
        raise ConfigurationError(
            error(
                "FI923",
                f"{name!r} is a run, and `{word}` takes a deployment",
                detail="A deployment is paused so that nothing starts its runs by itself; a run goes on until it ends.",
                hint=f"give the full name of the deployment, e.g. flowinfra {word} Flow/name"
                + (
                    f"; to go on with the run: flowinfra resume FILE --origin-run-id {name}" if word == "resume" else ""
                ),
            )
        )
    if "/" in name:
        return find_deployment(name, start=start, stack=stack)
    orchestrator = LocalOrchestrator.open(Home.find(start))
    there = [d for d in orchestrator.deployments.list() if stack in (None, d.deployment.domain)]
    full = [d.deployment.full_name for d in there]
    fitting = [d.deployment.full_name for d in there if name in (d.deployment.name, d.deployment.flow)]
    close = (
        f" (did you mean {fitting[0]!r}?)" if fitting else nearest(name, [*full, *(d.deployment.name for d in there)])
    )
    raise ConfigurationError(
        error(
            "FI922",
            f"{name!r} is no full name of a deployment{close}",
            detail=f"deployed here: {', '.join(full)}" if full else "nothing is deployed here yet",
            hint=f"flowinfra {word} <flow>/<deployment>",
        )
    )


def deployments_called(name: str, start: Path | None = None) -> list[Deployed]:
    """The deployments of this full name or address, one per stack that has it; none where nothing was ever deployed."""
    home = Home.find(start)
    full = name.count("/") == 1 or name.startswith("local:")
    if not full or _RUN.fullmatch(name) or not home.database.exists():
        return []
    orchestrator = LocalOrchestrator.open(home)
    return [d for d in orchestrator.deployments.list() if name in (d.deployment.full_name, d.deployment.address)]


def _acting_as(deployed: Deployed, start: Path | None) -> str:
    """On whose behalf: of the owner, where the project in which one stands is the owner's."""
    found = deployed.deployment
    try:
        project = Project.find(start or Path.cwd()).name
    except FlowinfraError:
        return "a folder without a project"
    return found.owner if project == found.project else f"{project}/{found.stack}"
