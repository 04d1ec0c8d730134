"""A plan as text: what changes in the flows first, then the resources, then one line that sums up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from flowinfra.cli.console import Console
from flowinfra.components.flow_deployment import TYPE
from flowinfra.model.diff import Layer, LayerChange
from flowinfra.model.plan import Action, Change, Operation, Plan

__all__ = ["plan_text", "summary"]

_COLORS: Final = {
    Action.CREATE: "green",
    Action.UPDATE: "yellow",
    Action.REPLACE: "magenta",
    Action.DELETE: "red",
    Action.READ: "cyan",
    Action.REFRESH: "yellow",
    Action.SAME: "dim",
}
_SEVERE: Final = {Layer.IDENTITY: "red", Layer.INTERFACE: "red", Layer.ACCESS: "red", Layer.SHAPE: "yellow"}
_STACK = "pulumi:pulumi:Stack"
_LABEL = 13  # "environment", the longest one, and two blanks


def plan_text(plan: Plan, console: Console, *, applied: bool = False) -> str:
    """*plan* as its reader sees it; *applied*: it has been carried out."""
    blocks: list[str] = []
    components = [c for c in plan.changes if c.type == TYPE]
    inside = {c.address for c in components}
    children: dict[str, list[Change]] = {c.address: [] for c in components}
    others: list[Change] = []
    for change in plan.changes:
        if change.parent in inside:
            children[change.parent].append(change)
        elif change.type not in (TYPE, _STACK) and not change.type.startswith("pulumi:providers:"):
            others.append(change)
    for component in components:
        own = children[component.address]
        if component.action is not Action.SAME or any(c.action is not Action.SAME for c in own):
            blocks.append("\n".join(_deployment(component, own, console)))
    rest = [c for c in others if c.action is not Action.SAME]
    if rest:
        blocks.append("\n".join(_resource(c, console) for c in rest))
    if plan.unknown and plan.engine == "recorder":  # others ask their providers; for a create this is no news
        lines = [console.style("known only once it is applied:", "dim"), *(f"    {path}" for path in plan.unknown)]
        blocks.append("\n".join(lines))
    blocks.append(console.style(summary(plan, applied=applied), "bold"))
    return "\n\n".join(blocks) + "\n"


def summary(plan: Plan, *, applied: bool = False) -> str:
    """The one line that sums up."""
    counts = plan.counts()
    same = counts.get(Action.SAME, 0)
    if not plan.has_changes:
        what = {
            Operation.UP: "what is deployed is what the program says",
            Operation.DESTROY: "there is nothing to delete",
            Operation.REFRESH: "the state is what is there",
        }[plan.operation]
        return f"No changes: {what} ({_count(same, 'resource')})."
    words = (
        (Action.CREATE, "created", "to create"),
        (Action.UPDATE, "updated", "to update"),
        (Action.REPLACE, "replaced", "to replace"),
        (Action.DELETE, "deleted", "to delete"),
        (Action.REFRESH, "refreshed", "to refresh"),
    )
    parts = [f"{counts[a]} {done if applied else todo}" for a, done, todo in words if counts.get(a)]
    if same:
        parts.append(f"{same} unchanged")
    return f"{'Done' if applied else 'Plan'}: {', '.join(parts) or 'only what deployments record changes'}."


def _deployment(component: Change, children: list[Change], console: Console) -> Iterator[str]:
    shown = component.after or component.before or {}
    deployment: dict[str, Any] = shown.get("deployment") or {}
    name = f"{deployment.get('flow', '?')}/{deployment.get('name', component.name)}"
    color = _COLORS[component.action]
    head = console.style(f"{component.action.glyph} {name}", color, "bold")
    yield f"{head}  {_headline(component, console)}"
    diff = component.flow
    if diff is not None:
        for layer in diff.layers:
            lines = [c for c in diff.changes if c.layer is layer]
            for i, change in enumerate(lines):
                yield _label(layer.value if i == 0 else "", console, _SEVERE.get(layer)) + _layer_change(
                    change, console
                )
    if component.action is Action.CREATE:
        yield _label("flow", console) + _census(shown)
    moving = [c for c in children if c.action is not Action.SAME]
    if moving:
        same = len(children) - len(moving)
        words = "  ".join(
            console.style(f"{c.action.glyph} {c.type.rsplit(':', 1)[-1]}", _COLORS[c.action]) for c in moving
        )
        yield _label("resources", console) + words + (console.style(f"  {same} unchanged", "dim") if same else "")


def _headline(component: Change, console: Console) -> str:
    diff = component.flow
    if component.action is Action.CREATE:
        return console.style("new", "green")
    if component.action is Action.DELETE:
        return console.style("is removed, with its production token; its runs stay", "red")
    if diff is None or not diff.layers:
        return console.style("only its resources change", "dim")
    layers = " · ".join(console.style(layer.value.upper(), _SEVERE.get(layer, "bold")) for layer in diff.layers)
    if diff.before != diff.after:
        layers += console.style(f"   release {diff.before[:8]} → {diff.after[:8]}", "dim")
    return layers


def _census(inputs: dict[str, Any]) -> str:
    flow = inputs.get("flow") or {}
    return (
        f"{_count(len(flow.get('steps') or {}), 'step')}, {_count(len(flow.get('parameters') or {}), 'parameter')}, "
        f"release {str(inputs.get('release', ''))[:8]}, target {inputs.get('target')}"
    )


def _layer_change(change: LayerChange, console: Console) -> str:
    glyph, color = "~", "yellow"
    if not change.field:
        glyph, color = (
            ("+", "green") if change.before is None else ("-", "red") if change.after is None else ("~", color)
        )
    text = f"{console.style(glyph, color)} {change.subject}"
    if change.field:
        text += f"  {change.field}  {_value(change.before)} → {_value(change.after)}"
    else:
        text += f"  {_value(change.after if change.after is not None else change.before)}"
    if change.source:
        text += console.style(f"   {change.source.file}:{change.source.line}", "dim")
    return text


def _resource(change: Change, console: Console) -> str:
    line = console.style(f"{change.action.glyph} {change.type} {change.name}", _COLORS[change.action])
    paths = change.replaced_by or change.changed
    if paths and change.action in (Action.UPDATE, Action.REPLACE):
        line += "  " + ", ".join(paths)
    return line + (console.style(f"   {change.reason}", "dim") if change.reason else "")


def _label(text: str, console: Console, color: str | None = None) -> str:
    padded = f"{text:<{_LABEL}}"
    return "    " + (console.style(padded, color) if color and text else console.style(padded, "dim"))


def _value(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
