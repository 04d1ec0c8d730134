"""Two versions of a graph as one drawing: what came is marked ``+``, what went ``-``, what leads elsewhere ``~``."""

from __future__ import annotations

from typing import Final

from flowinfra.compiler.draw import edges_of, in_order, mermaid_label, mermaid_shape, outline
from flowinfra.model.graph import FlowGraph, StepNode, Switch

__all__ = ["FORMATS", "draw_diff"]

FORMATS: Final = ("text", "mermaid")

_CLASSES: Final = (
    "    classDef added fill:#dafbe1,stroke:#1a7f37,color:#1f2328",
    "    classDef removed fill:#ffebe9,stroke:#cf222e,color:#1f2328,stroke-dasharray:4 3",
    "    classDef changed fill:#fff8c5,stroke:#9a6700,color:#1f2328",
)


def draw_diff(before: FlowGraph, after: FlowGraph, form: str = "text") -> str:
    """The joint graph in one of :data:`FORMATS`.

    As text each line begins with its mark; a step whose way changed says where it led. In Mermaid steps have colours,
    edges that came are thick and those that went are dotted.

    Raises:
        KeyError: there is no such format.
    """
    return {"text": _text, "mermaid": _mermaid}[form](before, after)


def _text(before: FlowGraph, after: FlowGraph) -> str:
    old, new = before.by_name, after.by_name
    gone = _gone_after(before, after)
    lines: list[str] = [f"- {name}" for name in gone.get("", ())]
    for step, line in outline(after, notes=False):
        mark, note = " ", ""
        if step and step not in old:
            mark = "+"
        elif step and _way(old[step]) != _way(new[step]):
            both = old[step].join != new[step].join
            mark, note = "~", f"   (was {_way(old[step], join=both)})"
        lines.append(f"{mark} {line}{note}".rstrip())
        indent = len(line) - len(line.lstrip(" │├└─"))
        lines += [f"- {' ' * indent}{name}" for name in gone.get(step, ())]
    return "".join(f"{line}\n" for line in lines)


def _gone_after(before: FlowGraph, after: FlowGraph) -> dict[str, list[str]]:
    """What is there no more, by the last step before it that still is; by the empty name where there is none."""
    out: dict[str, list[str]] = {}
    last = ""
    for step in in_order(before):
        if step.name in after.by_name:
            last = step.name
        else:
            out.setdefault(last, []).append(step.name)
    return out


def _way(step: StepNode, *, join: bool = True) -> str:
    targets = [f"{label}: {to}" if label else to for to, label in _edges(step)]
    first = ("a join, " if step.join else "no join, ") if join else ""
    return first + (f"→ {', '.join(targets)}" if targets else "end")


def _edges(step: StepNode) -> list[tuple[str, str]]:
    """The edges of a step; the order in which a switch names its cases means nothing."""
    if isinstance(step.next, Switch):
        cases = dict(sorted(step.next.cases.items()))
        step = step.model_copy(update={"next": step.next.model_copy(update={"cases": cases})})
    return list(edges_of(step))


def _mermaid(before: FlowGraph, after: FlowGraph) -> str:
    old, new = before.by_name, after.by_name
    nodes = [*in_order(after), *(s for s in in_order(before) if s.name not in new)]
    lines = ["flowchart TD"]
    for step in nodes:
        left, right = mermaid_shape(step)
        changed = step.name in old and step.name in new and _way(old[step.name]) != _way(step)
        kind = "added" if step.name not in old else "removed" if step.name not in new else "changed" if changed else ""
        lines.append(f'    {step.name}_{left}"{step.name}"{right}{f":::{kind}" if kind else ""}')
    was = {(s.name, *edge): None for s in in_order(before) for edge in _edges(s)}
    now = {(s.name, *edge): None for s in in_order(after) for edge in _edges(s)}
    for source, to, label in {**now, **was}:
        edge = (source, to, label)
        arrow = "-->" if edge in was and edge in now else "==>" if edge in now else "-.->"
        lines.append(f"    {source}_ {arrow}{f'|{mermaid_label(label)}|' if label else ''} {to}_")
    return "\n".join([*lines, *_CLASSES]) + "\n"
