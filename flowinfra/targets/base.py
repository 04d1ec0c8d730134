"""What all targets share: how they say what they can do, and how that is checked."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from flowinfra.diagnostics import Diagnostic, error, warning

if TYPE_CHECKING:
    from flowinfra.model.deployment import Deployment
    from flowinfra.model.graph import FlowGraph

__all__ = ["Capability", "Feature", "Support", "Target", "check_target", "features_of"]


class Feature(enum.Enum):
    """Something that a flow or a deployment may ask of a target."""

    IMAGE = "container images"
    RESOURCES = "resource limits"
    RETRY = "retries"
    TIMEOUT = "timeouts per attempt"
    CATCH = "catch"
    MAX_WORKERS = "limit of tasks at once"
    MAX_CONCURRENCY = "limit of items at once"
    PAUSED = "paused deployments"
    EXIT_HOOK = "exit hooks"
    DYNAMIC = "tasks that call tasks"


class Support(enum.Enum):
    """How a target does it: by itself, by our own means, not at all but harmlessly, or never."""

    NATIVE = "native"
    EMULATED = "emulated"
    IGNORED = "ignored"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Capability:
    """How a target supports a feature, and in a few words how, or what to do instead."""

    support: Support
    how: str = ""


class Target(Protocol):
    """What a deployment runs on."""

    name: ClassVar[str]
    capabilities: ClassVar[Mapping[Feature, Capability]]


def features_of(graph: FlowGraph, deployment: Deployment | None = None) -> Iterator[tuple[Feature, str]]:
    """What *graph* and *deployment* ask for, and the step that asks (empty for the deployment)."""
    if graph.kind == "dynamic":
        yield Feature.DYNAMIC, graph.start
    for step in graph.steps:
        environment = graph.environment(step.environment)
        if environment.image:
            yield Feature.IMAGE, step.name
        if environment.resources.content():
            yield Feature.RESOURCES, step.name
        if step.policy.retry:
            yield Feature.RETRY, step.name
        if step.policy.timeout_seconds:
            yield Feature.TIMEOUT, step.name
        if step.policy.catch:
            yield Feature.CATCH, step.name
        if getattr(step.next, "max_concurrency", None):
            yield Feature.MAX_CONCURRENCY, step.name
    if graph.hooks:
        yield Feature.EXIT_HOOK, ""
    if deployment is not None and deployment.max_workers:
        yield Feature.MAX_WORKERS, ""
    if deployment is not None and deployment.paused:
        yield Feature.PAUSED, ""


def check_target(target: Target, graph: FlowGraph, deployment: Deployment | None = None) -> list[Diagnostic]:
    """What *target* cannot do of what is asked: an error where it would matter, a warning where it is harmless."""
    asked: dict[Feature, list[str]] = {}
    for feature, step in features_of(graph, deployment):
        asked.setdefault(feature, []).append(step)
    found: list[Diagnostic] = []
    for feature, steps in asked.items():
        capability = target.capabilities.get(feature, Capability(Support.REFUSED, "choose another target"))
        if capability.support in (Support.NATIVE, Support.EMULATED):
            continue
        named = graph.by_name.get(steps[0])
        source = named.source.source() if named and named.source else None
        who = ", ".join(f"`{s}`" for s in steps[:3] if s) + (f" and {len(steps) - 3} more" if len(steps) > 3 else "")
        asking = f"asked for by {who}" if who else "asked for by the deployment"
        if capability.support is Support.IGNORED:
            make, code, verb = warning, "FI302", "does not use"
        else:
            make, code, verb = error, "FI301", "cannot do"
        found.append(
            make(code, f"{target.name} {verb} {feature.value}", detail=asking, hint=capability.how, source=source)
        )
    return found
