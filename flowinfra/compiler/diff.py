"""What changed between two versions of a deployment, in layers, most severe first.

Both sides are graphs and deployments as values; where they come from (a stack's state, a file, a release) is nobody's
business here. Every difference of their content is told, also one of a field that this module does not know: it is
metadata then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flowinfra.compiler.diffaccess import access_changes
from flowinfra.model.deployment import Deployment
from flowinfra.model.diff import FlowDiff, Layer, LayerChange
from flowinfra.model.environment import Environment
from flowinfra.model.graph import FlowGraph, Foreach, Goto, Location, ParameterSpec, Split, StepNode, Switch

__all__ = ["Side", "diff"]

_SOURCE_TEXT: Final = "source text"
_COMPUTED: Final = "computed by a function"
_PARAMETER: Final[Mapping[str, Layer]] = {"attribute": Layer.METADATA}
_DEPLOYMENT: Final[Mapping[str, Layer]] = {
    "parameters": Layer.INTERFACE,
    "max_workers": Layer.POLICY,
    "timeout_seconds": Layer.POLICY,
    "user_namespace": Layer.POLICY,
    "paused": Layer.SCHEDULE,
}


@dataclass(frozen=True, slots=True)
class Side:
    """One version of a deployment."""

    graph: FlowGraph
    deployment: Deployment
    release: str = ""
    """The digest of the release."""
    runtime: Mapping[str, str] = field(default_factory=dict)
    """What the target records of where it runs, e.g. the interpreter of a Local deployment."""
    source: Location | None = None
    """Where the deployment is specified."""
    helpers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By step: which of the code that it uses is another than before, where that is known."""
    configs: Mapping[str, Any] | None = None
    """The values of the flow's configs by name; None where they are not known."""


def diff(before: Side | None, after: Side) -> FlowDiff:
    """The changes from *before* to *after*; none if there was nothing before. Places are those of *after*."""
    if before is None:
        return FlowDiff(after=after.release)
    found = [*_identity(before, after), *_parameters(before.graph, after.graph), *_graph(before.graph, after.graph)]
    found += [*_environments(before, after), *_steps(before, after), *_deployment(before, after)]
    found += _configs(before, after)
    if before.release != after.release and not found:
        # the bytes of the code differ and nothing that runs does: comments, formatting, code that no step uses
        found.append(
            LayerChange(
                layer=Layer.METADATA,
                subject=_SOURCE_TEXT,
                before=before.release,
                after=after.release,
                because=("comments, formatting, or code that no step uses",),
            )
        )
    ordered = sorted(found, key=lambda c: (c.layer.rank, c.effect == "narrowed", c.subject, c.field, str(c.after)))
    return FlowDiff(changes=tuple(ordered), before=before.release, after=after.release)


def _identity(before: Side, after: Side) -> Iterator[LayerChange]:
    yield from _fields(
        Layer.IDENTITY,
        "deployment",
        {"flow": before.deployment.flow, "name": before.deployment.name},
        {"flow": after.deployment.flow, "name": after.deployment.name},
        after.source or after.graph.source,
    )


# -- parameters -----------------------------------------------------------------------------------------------------


def _parameters(before: FlowGraph, after: FlowGraph) -> Iterator[LayerChange]:
    old = {p.name: p for p in before.parameters}
    new = {p.name: p for p in after.parameters}
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
        yield from _by_layer(_PARAMETER, Layer.INTERFACE, subject, _shown(old[name]), _shown(new[name]), new[name])


def _shown(p: ParameterSpec) -> dict[str, Any]:
    out = {k: v for k, v in p.content().items() if k not in ("name", "json_schema", "default", "computed_default")}
    out |= {"required": p.required, "schema": p.json_schema}
    return out | {"default": _COMPUTED if p.computed_default else p.default}


def _signature(p: ParameterSpec) -> str:
    if p.required or (p.default is None and not p.computed_default):
        return f"{p.type}, {'required' if p.required else 'no default'}"
    return (
        f"{p.type} = {_COMPUTED if p.computed_default else json.dumps(p.default, ensure_ascii=False, sort_keys=True)}"
    )


# -- shape and steps ------------------------------------------------------------------------------------------------


def _graph(before: FlowGraph, after: FlowGraph) -> Iterator[LayerChange]:
    apart = {"name", "schema_version", "parameters", "environments", "steps"}
    was = {k: v for k, v in before.content().items() if k not in apart} | {"kind": before.kind}
    now = {k: v for k, v in after.content().items() if k not in apart} | {"kind": after.kind}
    layers = {"start": Layer.SHAPE, "kind": Layer.SHAPE, "hooks": Layer.POLICY}
    yield from _by_layer(layers, Layer.METADATA, "flow", was, now, after)


def _steps(before: Side, after: Side) -> Iterator[LayerChange]:
    old, new = before.graph.by_name, after.graph.by_name
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
        yield from _fields(Layer.SHAPE, subject, _ways(was), _ways(now), at)
        if was.environment != now.environment:
            same = _nameless(before.graph, was) == _nameless(after.graph, now)
            layer = Layer.METADATA if same else Layer.ENVIRONMENT
            yield from _fields(layer, subject, {"environment": was.environment}, {"environment": now.environment}, at)
        if was.code_digest != now.code_digest:
            yield LayerChange(
                layer=Layer.CODE,
                subject=subject,
                field="code",
                before=was.code_digest[:12],
                after=now.code_digest[:12],
                source=at,
                because=tuple(after.helpers.get(name, ())),
            )
        yield from _fields(Layer.POLICY, subject, _policy(was), _policy(now), at)
        if isinstance(was.next, Foreach) and isinstance(now.next, Foreach):  # else the shape says it
            most = {"max_concurrency": was.next.max_concurrency}, {"max_concurrency": now.next.max_concurrency}
            yield from _fields(Layer.POLICY, subject, *most, at)
        yield from _fields(Layer.METADATA, subject, _rest(was), _rest(now), at)


def _ways(step: StepNode) -> dict[str, Any]:
    return {"next": _arrow(step), "join": step.join, "calls": list(step.calls)}


def _rest(step: StepNode) -> dict[str, Any]:
    apart = ("name", "next", "join", "calls", "environment", "code_digest", "policy")
    return {k: v for k, v in step.content().items() if k not in apart}


def _policy(step: StepNode) -> dict[str, Any]:
    policy = step.policy
    out = {k: v for k, v in policy.content().items() if k not in ("retry", "catch")}
    out["timeout_seconds"] = policy.timeout_seconds
    if policy.retry:
        out |= {f"retry.{name}": value for name, value in policy.retry.to_json().items()}
    if policy.catch:
        out["catch"] = policy.catch.var or "yes"
    return out


def _arrow(step: StepNode) -> str:
    """The transition as one short text."""
    match step.next:
        case Foreach(to=to, over=over):
            return f"foreach {over} → {to}"
        case Goto(to=to):
            return f"→ {to}"
        case Split(to=to):
            return f"→ {', '.join(to)}"
        case Switch(on=on, cases=cases):
            return f"{on}: " + ", ".join(f"{case} → {to}" for case, to in sorted(cases.items()))
        case _:
            return "end"


# -- environments ---------------------------------------------------------------------------------------------------


def _nameless(graph: FlowGraph, step: StepNode) -> Environment:
    return graph.environment(step.environment).model_copy(update={"name": ""})


def _environments(before: Side, after: Side) -> Iterator[LayerChange]:
    old = {e.name: e for e in before.graph.environments}
    new = {e.name: e for e in after.graph.environments}
    for name in _both(old, new):
        subject = f"environment {name}"
        # one that is not listed has the settings of the target, as an empty one
        was, now = old.get(name, Environment(name=name)), new.get(name, Environment(name=name))
        users = _users(after.graph if name in new else before.graph, name)
        if (name in old) != (name in new):
            twin = _twin(now, old, new) if name in new else _twin(was, new, old)
            yield LayerChange(
                # one that only got another name, or says nothing, changes nothing that runs
                layer=Layer.METADATA if twin or _settings(now) == _settings(was) else Layer.ENVIRONMENT,
                subject=subject,
                before=_summary(was) if name in old else None,
                after=_summary(now) if name in new else None,
                because=(f"the settings of {twin}",) if twin else users,
            )
            continue
        for change in _fields(Layer.ENVIRONMENT, subject, _settings(was), _settings(now), None):
            yield change.model_copy(update={"because": users})
    yield from access_changes(before.graph, after.graph)
    yield from _fields(Layer.ENVIRONMENT, "runtime", dict(before.runtime), dict(after.runtime), None)


def _twin(one: Environment, others: Mapping[str, Environment], own: Mapping[str, Environment]) -> str:
    """The environment with the same settings that is only among *others*; empty if there is none."""
    same = [e.name for e in others.values() if e.name not in own and e == one.model_copy(update={"name": e.name})]
    return min(same, default="")


def _users(graph: FlowGraph, environment: str) -> tuple[str, ...]:
    return tuple(f"step {s.name}" for s in graph.steps if s.environment == environment)


def _summary(environment: Environment) -> str:
    said = [f"{k} {v}" for k, v in sorted(_settings(environment).items()) if not k.startswith("env_vars.")]
    return ", ".join(said) or "the target's default"


def _settings(environment: Environment) -> dict[str, Any]:
    content = environment.content()
    flat: dict[str, Any] = {k: v for k, v in content.items() if k not in ("name", "access", "secrets")}
    for part in ("resources", "env_vars"):
        flat |= {f"{part}.{k}": v for k, v in flat.pop(part, {}).items()}
    for secret in environment.secrets:
        flat[f"secrets.{secret.env_var or secret.name}"] = f"{secret.source} {secret.name}"
    return flat


# -- the deployment -------------------------------------------------------------------------------------------------


def _deployment(before: Side, after: Side) -> Iterator[LayerChange]:
    def said(deployment: Deployment) -> dict[str, Any]:
        apart = ("flow", "name", "schema_version")
        out = {k: v for k, v in deployment.content().items() if k not in apart}
        out |= {f"parameters.{k}": v for k, v in out.pop("parameters", {}).items()}
        return out | {"paused": deployment.paused, "max_workers": deployment.max_workers}

    was, now = said(before.deployment), said(after.deployment)
    for change in _by_layer(_DEPLOYMENT, Layer.METADATA, "deployment", was, now, after.graph):
        yield change.model_copy(update={"source": after.source})


def _configs(before: Side, after: Side) -> Iterator[LayerChange]:
    if before.configs is None or after.configs is None:
        return
    for name in _both(before.configs, after.configs):
        was, now = ({"": configs[name]} if name in configs else {} for configs in (before.configs, after.configs))
        for change in _fields(Layer.CODE, f"config {name}", was, now, None):
            yield change.model_copy(update={"field": change.field.removeprefix(".")})


# -- fields ---------------------------------------------------------------------------------------------------------


def _by_layer(
    layers: Mapping[str, Layer],
    otherwise: Layer,
    subject: str,
    before: dict[str, Any],
    after: dict[str, Any],
    at: StepNode | ParameterSpec | FlowGraph,
) -> Iterator[LayerChange]:
    for change in _fields(otherwise, subject, before, after, at.source):
        layer = layers.get(change.field.partition(".")[0], otherwise)
        yield change if layer is otherwise else change.model_copy(update={"layer": layer})


def _fields(
    layer: Layer, subject: str, before: dict[str, Any], after: dict[str, Any], source: Location | None
) -> Iterator[LayerChange]:
    for name in _both(before, after):
        was, now = before.get(name), after.get(name)
        if not _differ(was, now):
            continue
        if isinstance(was, dict) and isinstance(now, dict):
            inner = _fields(layer, subject, was, now, source)
            yield from (c.model_copy(update={"field": f"{name}.{c.field}"}) for c in inner)
        else:
            yield LayerChange(layer=layer, subject=subject, field=name, before=was, after=now, source=source)


def _differ(one: Any, other: Any) -> bool:
    """Whether two JSON values differ: true is not 1, and 1.0 is 1 as in a state, where every number is a float."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() != other.keys() or any(_differ(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) != len(other) or any(_differ(a, b) for a, b in zip(one, other, strict=True))
    return isinstance(one, bool) != isinstance(other, bool) or bool(one != other)


def _both(before: Iterable[str], after: Iterable[str]) -> list[str]:
    return sorted({*before, *after})
