"""A release as a run uses it, and the exit codes of its tasks: what the scheduler's process needs of a task, and no more."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowinfra.authoring.configs import ConfigSources
from flowinfra.packaging.release import load
from flowinfra.packaging.store import Store
from flowinfra.runtime.lineage import Lineage

__all__ = ["Exit", "Prepared", "prepare"]


class Exit(enum.IntEnum):
    """The exit codes of the task program.

    An orchestrator repeats a task that ended with 1 (or was killed); 2 and 3 would only happen again.
    """

    OK = 0
    """Committed, by this attempt or another one."""
    FAILED = 1
    """The step raised, or the store could not be written."""
    ENVIRONMENT = 2
    """The command, the code or the release is not what the task program needs, or a secret of the step is missing."""
    FATAL = 3
    """What the step did cannot be carried out: an artifact that cannot be kept, a transition that is not there."""
    STOPPED = 143
    """It was asked to stop (SIGTERM)."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A release that was loaded, verified and indexed; workers that are forked share one.

    Attributes:
        digest: the release's.
        release: its plain JSON.
        lineage: the index over its program.
        nodes: its steps by name.
    """

    digest: str
    release: Mapping[str, Any]
    lineage: Lineage
    nodes: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, digest: str, release: Mapping[str, Any]) -> Prepared:
        """Index *release*, which was verified."""
        nodes = {node["name"]: node for node in release["graph"]["steps"]}
        lineage = Lineage(release["program"])
        lineage.check(*lineage.first())  # also compiles what every task would have to compile
        return cls(digest, release, lineage, nodes)

    @property
    def flow(self) -> str:
        """The flow's name."""
        name: str = self.release["graph"]["name"]
        return name

    @property
    def parameters(self) -> Sequence[Mapping[str, Any]]:
        """The flow's parameters."""
        parameters: Sequence[Mapping[str, Any]] = self.release["graph"].get("parameters", ())
        return parameters

    @property
    def bindings(self) -> Sequence[Mapping[str, Any]]:
        """The flow's configs, as they were read when it was released."""
        return [b for b in self.release.get("bindings", ()) if b["kind"] == "config"]

    @property
    def configs(self) -> ConfigSources:
        """The same, for whoever imports the flow."""
        return ConfigSources.of_release(self.release)

    @property
    def fixed(self) -> frozenset[str]:
        """The attributes that no step can change: of parameters and of configs."""
        return frozenset(p["attribute"] for p in (*self.parameters, *self.bindings))


def prepare(store: Store, digest: str) -> Prepared:
    """Load, verify and index the release *digest*.

    Raises:
        PackagingError: as :func:`flowinfra.packaging.release.load`.
    """
    return Prepared.of(digest, load(store, digest))
