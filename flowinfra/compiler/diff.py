"""What changed between two versions of a deployment, in layers, most severe first.

Both sides are graphs and deployments as values; where they come from (a stack's state, a file, a release) is nobody's
business here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flowinfra.model.deployment import Deployment
from flowinfra.model.diff import FlowDiff, Layer, LayerChange
from flowinfra.model.environment import Environment
from flowinfra.model.graph import FlowGraph, Foreach, Location, ParameterSpec, StepNode

__all__ = ["Side", "diff"]


@dataclass(frozen=True, slots=True)
class Side:
    """One version of a deployment."""

    graph: FlowGraph
    deployment: Deployment
    release: str = ""
    """The digest of the release."""
    runtime: Mapping[str, str] = field(default_factory=dict)
    """What the target records of where it runs, e.g. the interpreter of a Local deployment."""


def diff(before: Side | None, after: Side) -> FlowDiff:
    """The changes from *before* to *after*; none if there was nothing before."""
    if before is None:
        return FlowDiff(after=after.release)
    found = [*_identity(before, after), *_parameters(before.graph, after.graph), *_environments(before, after)]
    found += [*_steps(before.graph, after.graph), *_deployment(before.deployment, after.deployment)]
    if before.release != after.release and not found:
        # the bytes of the code differ and nothing that runs does: comments, docstrings, formatting
        found.append(
            LayerChange(layer=Layer.METADATA, subject="source text", before=before.release, after=after.release)
        )
    ordered = sorted(found, key=lambda c: (c.layer.rank, c.subject, c.field))
    return FlowDiff(changes=tuple(ordered), before=before.release, after=after.release)


def _identity(before: Side, after: Side) -> Iterator[LayerChange]:
    yield from _fields(
        Layer.IDENTITY,
        "deployment",
        {"flow": before.deployment.flow, "name": before.deployment.name},
        {"flow": after.deployment.flow, "name": after.deployment.name},
        after.graph.source,
    )


def _parameters(before: FlowGraph, after: FlowGraph) -> Iterator[LayerChange]:
    old = {p.name: p for p in before.parameters}
    new = {p.name: p for p in after.parameters}

    def shown(p: ParameterSpec) -> dict[str, Any]:
        out: dict[str, Any] = {"type": p.type, "required": p.required, "schema": p.json_schema}
        out["default"] = "computed" if p.computed_default else p.default
        return out

    for name in _both(old, new):
        subject = f"parameter {name}"
        if name not in old or name not in new:
            one, other = old.get(name), new.get(name)
            yield LayerChange(
                layer=Layer.INTERFACE,
                subject=subject,
                before=_signature(one) if one else None,
                after=_signature(other) if other else None,
                source=other.source if other else None,
            )
            continue
        yield from _fields(Layer.INTERFACE, subject, shown(old[name]), shown(new[name]), new[name].source)


def _signature(p: ParameterSpec) -> str:
    if p.required:
        return f"{p.type}, required"
    return f"{p.type} = {'computed' if p.computed_default else p.default!r}"


def _steps(before: FlowGraph, after: FlowGraph) -> Iterator[LayerChange]:
    old, new = before.by_name, after.by_name
    for name in _both(old, new):
        subject = f"step {name}"
        if name not in old or name not in new:
            one, other = old.get(name), new.get(name)
            yield LayerChange(
                layer=Layer.SHAPE,
                subject=subject,
                before=_arrow(one) if one else None,
                after=_arrow(other) if other else None,
                source=other.source if other else None,
            )
            continue
        was, now = old[name], new[name]
        at = now.source
        yield from _fields(
            Layer.SHAPE, subject, {"next": _arrow(was), "join": was.join}, {"next": _arrow(now), "join": now.join}, at
        )
        yield from _fields(Layer.SHAPE, subject, {"calls": list(was.calls)}, {"calls": list(now.calls)}, at)
        if was.environment != now.environment and not _same_settings(before, was, after, now):
            yield from _fields(
                Layer.ENVIRONMENT, subject, {"environment": was.environment}, {"environment": now.environment}, at
            )
        yield from _fields(Layer.CODE, subject, {"code": was.code_digest[:12]}, {"code": now.code_digest[:12]}, at)
        yield from _fields(Layer.POLICY, subject, _policy(was), _policy(now), at)
        yield from _fields(Layer.METADATA, subject, {"entrypoint": was.entrypoint}, {"entrypoint": now.entrypoint}, at)


def _policy(step: StepNode) -> dict[str, Any]:
    policy = step.policy
    out: dict[str, Any] = {"timeout_seconds": policy.timeout_seconds}
    if policy.retry:
        out |= {f"retry.{name}": value for name, value in policy.retry.to_json().items()}
    if policy.catch:
        out["catch"] = policy.catch.var or "yes"
    if isinstance(step.next, Foreach):
        out["max_concurrency"] = step.next.max_concurrency
    return out


def _arrow(step: StepNode) -> str:
    """The transition as one short text."""
    match step.next:
        case Foreach(to=to, over=over):
            return f"foreach {over} → {to}"
        case other if other.kind == "goto":
            return f"→ {other.to}"
        case other if other.kind == "split":
            return f"→ {', '.join(other.to)}"
        case other if other.kind == "switch":
            return f"{other.on}: " + ", ".join(f"{case} → {to}" for case, to in sorted(other.cases.items()))
        case _:
            return "end"


def _same_settings(before: FlowGraph, was: StepNode, after: FlowGraph, now: StepNode) -> bool:
    one, other = before.environment(was.environment), after.environment(now.environment)
    return one.model_copy(update={"name": ""}) == other.model_copy(update={"name": ""})


def _environments(before: Side, after: Side) -> Iterator[LayerChange]:
    old = {e.name: e for e in before.graph.environments}
    new = {e.name: e for e in after.graph.environments}
    for name in sorted(old.keys() & new.keys()):
        was, now = old[name], new[name]
        subject = f"environment {name}"
        gained = [a for a in now.access if a not in was.access]
        lost = [a for a in was.access if a not in now.access]
        for rule in gained:
            yield LayerChange(
                layer=Layer.ACCESS, subject=subject, field=rule.mode, after=f"{rule.service} {rule.resource}"
            )
        for rule in lost:
            yield LayerChange(
                layer=Layer.ENVIRONMENT, subject=subject, field=rule.mode, before=f"{rule.service} {rule.resource}"
            )
        yield from _fields(Layer.ENVIRONMENT, subject, _settings(was), _settings(now), None)
    yield from _fields(Layer.ENVIRONMENT, "runtime", dict(before.runtime), dict(after.runtime), None)


def _settings(environment: Environment) -> dict[str, Any]:
    content = environment.content()
    flat: dict[str, Any] = {k: v for k, v in content.items() if k in ("image", "depends_on", "secrets")}
    flat |= {f"resources.{k}": v for k, v in content.get("resources", {}).items()}
    flat |= {f"env_vars.{k}": v for k, v in content.get("env_vars", {}).items()}
    return flat


def _deployment(before: Deployment, after: Deployment) -> Iterator[LayerChange]:
    subject = "deployment"
    yield from _fields(
        Layer.INTERFACE,
        subject,
        {f"parameters.{k}": v for k, v in before.parameters.items()},
        {f"parameters.{k}": v for k, v in after.parameters.items()},
        None,
    )
    yield from _fields(
        Layer.POLICY, subject, {"max_workers": before.max_workers}, {"max_workers": after.max_workers}, None
    )
    yield from _fields(Layer.SCHEDULE, subject, {"paused": before.paused}, {"paused": after.paused}, None)
    yield from _fields(
        Layer.METADATA,
        subject,
        {"tags": list(before.tags), "description": before.description},
        {"tags": list(after.tags), "description": after.description},
        None,
    )


def _fields(
    layer: Layer, subject: str, before: dict[str, Any], after: dict[str, Any], source: Location | None
) -> Iterator[LayerChange]:
    for name in _both(before, after):
        was, now = before.get(name), after.get(name)
        if was != now:
            yield LayerChange(layer=layer, subject=subject, field=name, before=was, after=now, source=source)


def _both(before: Iterable[str], after: Iterable[str]) -> list[str]:
    return sorted({*before, *after})
