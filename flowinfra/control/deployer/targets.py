"""What a ``Deployer`` can deploy to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flowinfra.diagnostics import ConfigurationError, error, nearest
from flowinfra.orchestrators.base import Adapter
from flowinfra.orchestrators.local.adapter import LocalAdapter
from flowinfra.packaging.home import ENV_HOME, Home
from flowinfra.targets.base import Target
from flowinfra.targets.local import Local

__all__ = ["TARGETS", "TargetKind", "adapter_at", "target_kind"]


@dataclass(frozen=True, slots=True)
class TargetKind:
    """One target.

    Attributes:
        name: the word for it.
        target: what a deployment is given.
        adapter: its orchestrator as a project sees it; making it writes nothing.
    """

    name: str
    target: Callable[[], Target]
    adapter: Callable[[Home], Adapter]


#: The targets, by their words.
TARGETS: Final[Mapping[str, TargetKind]] = {"local": TargetKind("local", Local, LocalAdapter.at)}

_OTHERS: Final[Mapping[str, str]] = {"step_functions": "Step Functions", "argo_workflows": "Argo Workflows"}


def target_kind(name: str) -> TargetKind:
    """The target called *name*.

    Raises:
        ConfigurationError: FI890, this version of flowinfra does not have it.
    """
    kind = TARGETS.get(name)
    if kind is None:
        known = name in _OTHERS
        raise ConfigurationError(
            error(
                "FI890",
                f"this version of flowinfra cannot deploy to {_OTHERS.get(name, repr(name))}"
                + ("" if known else nearest(name, TARGETS)),
                detail=f"it can deploy to {', '.join(TARGETS)}",
                hint="deploy with .local(), which runs the same flow on this machine"
                if known
                else f"choose one of {', '.join(TARGETS)}",
            )
        )
    return kind


def adapter_at(name: str, metadata: str | None = None) -> Adapter:
    """The orchestrator of the target *name*: of the current folder's project, or where *metadata* says.

    Args:
        name: see :func:`target_kind`.
        metadata: what ``DeployedFlow.metadata`` said.

    Raises:
        ConfigurationError: FI890, there is no such target; FI894, *metadata* is of another form.
    """
    if metadata is None:
        return target_kind(name).adapter(Home.find())
    word, at, place = metadata.partition("@")
    if word not in TARGETS or not at or not Path(place).is_dir():
        raise ConfigurationError(
            error(
                "FI894",
                f"{metadata!r} does not say where something is deployed",
                detail="it is what DeployedFlow.metadata says: the word for the target, @, and the project's folder",
                hint="leave it out for the project of the current folder",
            )
        )
    return target_kind(word).adapter(Home.find(Path(place).parent, {**os.environ, ENV_HOME: place}))
