"""``Local``: this machine, with the scheduler that comes with flowinfra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from flowinfra.targets.base import Capability, Feature, Support

__all__ = ["Local"]


@dataclass(frozen=True, slots=True)
class Local:
    """Run on this machine: one process per task, forked from one that has imported the flow.

    Args:
        start_method: ``fork`` or ``spawn``; by default what the platform and the flow allow.
    """

    name: ClassVar[str] = "local"
    capabilities: ClassVar[Mapping[Feature, Capability]] = {
        Feature.IMAGE: Capability(
            Support.IGNORED, "Local runs every step with the interpreter of the deployment, not in a container"
        ),
        Feature.RESOURCES: Capability(
            Support.IGNORED, "Local does not limit what a task uses; max_workers limits tasks"
        ),
        Feature.RETRY: Capability(Support.NATIVE),
        Feature.TIMEOUT: Capability(Support.NATIVE),
        Feature.CATCH: Capability(Support.NATIVE),
        Feature.MAX_WORKERS: Capability(Support.NATIVE),
        Feature.MAX_CONCURRENCY: Capability(Support.NATIVE),
        Feature.PAUSED: Capability(Support.NATIVE),
        Feature.EXIT_HOOK: Capability(
            Support.NATIVE,
            "in a process of the run's own, after its end; not if the process of the run itself is killed",
        ),
        Feature.DYNAMIC: Capability(Support.REFUSED, "write the flow as a class of steps"),
    }

    start_method: Literal["fork", "spawn"] | None = None
