"""A plan as text: what would be lost first, then the flows, the resources, drift, and one line that sums up.

Made for 80 columns: a change that does not fit on a line is written as two, the value before and the one after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from flowinfra.cli.console import Console
from flowinfra.cli.views.plan_parts import (
    Row,
    census,
    count,
    default_rows,
    facts,
    full_name,
    glyph_of,
    graphs,
    headline,
    name_of,
    property_rows,
    rows_of,
    safe,
    shown,
    some,
    summary,
    unknown_rows,
    value_text,
)
from flowinfra.compiler.drawdiff import draw_diff
from flowinfra.model.diff import FlowDiff, Layer
from flowinfra.model.graph import FlowGraph
from flowinfra.model.plan import Action, Change, FieldDrift, Plan

__all__ = ["before_after", "diff_lines", "graph_lines", "layers_text", "plan_text", "summary"]

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
_MARKS: Final = {"+": "green", "-": "red", "~": "yellow", " ": "dim"}
_LABEL: Final = 13  # "environment", the longest one, and two blanks
_WIDTH: Final = 80
_PROTECTED: Final = "it is protected: this is refused until protection is taken off"
_GRAPH: Final = 24  # lines of a graph that is shown beside its changes


def plan_text(plan: Plan, console: Console, *, applied: bool = False) -> str:
    """*plan* as its reader sees it; *applied*: it has been carried out."""
    what = shown(plan)
    told = [console.style(f"! {fact}", "red", "bold") for fact in facts(plan, applied=applied)]
    blocks: list[list[str]] = [told + [f"    {value_text(target, _WIDTH - 4)}" for target in plan.targets]]
    blocks.append(_lost(what.lost, console, applied=applied))
    blocks += [list(_deployment(component, own, console)) for component, own in what.deployments]
    blocks.append([line for change in what.others for line in _resource(change, console)])
    blocks.append(_drift(plan, console))
    blocks.append(_defaults(plan, console))
    if plan.unknown and plan.engine == "recorder":  # others ask their providers; for a create this is no news
        blocks.append(_headed("Not known offline:", unknown_rows(plan), console))
    blocks.append([console.style(summary(plan, applied=applied), "bold")])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def diff_lines(diff: FlowDiff, console: Console) -> Iterator[str]:
    """The changes of a flow, layer by layer."""
    for layer in diff.layers:
        for i, row in enumerate(rows_of(diff, layer)):
            label = _label(layer.value if i == 0 else "", console, _SEVERE.get(layer))
            lines = list(_row(row, 4 + _LABEL, console))
            yield label + lines[0]
            yield from (" " * (4 + _LABEL) + line for line in lines[1:])


def layers_text(diff: FlowDiff, console: Console, width: int = _WIDTH) -> str:
    """The layers that changed, most severe first, and how many more there are than fit."""
    layers = list(diff.layers)
    while (
        len(layers) > 1 and len(" · ".join(layer.value for layer in layers)) + 11 * (layers != [*diff.layers]) > width
    ):
        layers.pop()
    more = f" and {len(diff.layers) - len(layers)} more" if len(layers) < len(diff.layers) else ""
    return " · ".join(console.style(layer.value.upper(), _SEVERE.get(layer, "bold")) for layer in layers) + more


def _resources(moving: Sequence[Change], same: int, console: Console) -> Iterator[str]:
    """The resources of a deployment that change, by kind, and how many do not."""
    kinds = Counter((c.action, value_text(c.type.rsplit(":", 1)[-1], 40)) for c in moving)
    words = [(f"{a.glyph} {f'{n} × ' if n > 1 else ''}{kind}", _COLORS[a]) for (a, kind), n in kinds.items()]
    if same:
        words.append((f"{same} unchanged", "dim"))
    lines: list[list[tuple[str, str]]] = [[]]
    for word in words:
        if lines[-1] and 4 + _LABEL + sum(len(w) + 2 for w, _ in lines[-1]) + len(word[0]) > _WIDTH:
            lines.append([])
        lines[-1].append(word)
    for i, line in enumerate(lines):
        yield _label("resources" if i == 0 else "", console) + "  ".join(console.style(*word) for word in line)


def graph_lines(before: FlowGraph, after: FlowGraph, console: Console) -> Iterator[str]:
    """The two graphs as one, if that is small enough to be taken in."""
    lines = draw_diff(before, after).splitlines()
    if len(lines) > _GRAPH or max(map(len, lines), default=0) > _WIDTH - 4 - _LABEL:
        return
    for i, line in enumerate(lines):
        yield _label("graph" if i == 0 else "", console) + console.style(safe(line), _MARKS.get(line[:1], "dim"))


# -- what must not be overlooked ------------------------------------------------------------------------------------


def _lost(lost: Sequence[Change], console: Console, *, applied: bool) -> list[str]:
    if not lost:
        return []
    head = "! Data was lost:" if applied else "! DATA WOULD BE LOST:"
    lines = [console.style(head, "red", "bold")]
    names = [f"{c.action.glyph} {name_of(c)}" for c in lost]
    width = min(max(map(len, names)), 40)
    for change, name in zip(lost, names, strict=True):
        lines.append(f"    {console.style(f'{name:<{width}}', _COLORS[change.action])}  {safe(change.holds_data)}")
        lines += [f"        {line}" for line in _why(change, console)]
    return lines


def _why(change: Change, console: Console, indent: int = 8, name: str = "") -> Iterator[str]:
    """What makes a change what it is, and whether it is allowed; *name* is said before it."""
    rows, _ = property_rows(change)
    forced = [f"{path} {was} → {now}" for path, was, now, forces in rows if forces]
    if forced:
        yield from _wrapped(f"{name}replaced because of {some(forced, 3)}", indent)
    if change.reason:
        yield from _wrapped(f"{name}because {safe(change.reason)}", indent)
    if change.protect:
        yield console.style(f"{name}{_PROTECTED}", "yellow")


def _wrapped(text: str, indent: int) -> list[str]:
    from textwrap import wrap

    return wrap(text, _WIDTH - indent, break_long_words=False, break_on_hyphens=False) or [text]


# -- deployments ----------------------------------------------------------------------------------------------------


def _deployment(component: Change, children: Sequence[Change], console: Console) -> Iterator[str]:
    name = f"{glyph_of(component)} {full_name(component)}"
    head = console.style(name, "yellow" if component.action is Action.SAME else _COLORS[component.action], "bold")
    diff = component.flow
    words = headline(component)
    if diff is None or words:
        color = {Action.CREATE: "green", Action.DELETE: "red"}.get(component.action, "dim")
        yield f"{head}  {console.style(words, color)}"
    else:
        release = "" if diff.before == diff.after else f"{safe(diff.before)[:8]} → {safe(diff.after)[:8]}"
        plain = f"{name}  {' · '.join(layer.value for layer in diff.layers)}"
        beside = bool(release) and len(plain) + len("   release " + release) <= _WIDTH
        layers = layers_text(diff, console, _WIDTH - len(name) - 2)
        yield f"{head}  {layers}" + (console.style(f"   release {release}", "dim") if beside else "")
        if release and not beside:
            yield _label("release", console) + release
    if diff is not None:
        yield from diff_lines(diff, console)
    both = graphs(component)
    if both is not None:
        yield from graph_lines(*both, console)
    if component.action is Action.CREATE:
        yield _label("flow", console) + census(component.after or {})
    moving = [c for c in children if c.action is not Action.SAME]
    if moving:
        yield from _resources(moving, len(children) - len(moving), console)
    for change in moving:
        if change.action is Action.REPLACE and not change.loses_data:
            name = safe(change.type.rsplit(":", 1)[-1])
            yield from (f"{' ' * (4 + _LABEL)}{line}" for line in _why(change, console, 4 + _LABEL, f"{name} "))


def _row(row: Row, indent: int, console: Console) -> Iterator[str]:
    """A row on one line if it fits, else with its values and its note on lines of their own."""
    mark = console.style(row.mark, _MARKS[row.mark])
    head = f"{row.subject}  {row.what}".rstrip()
    values = "" if row.before is None else f"  {row.before} → {row.after}"
    place = f"   {row.place}" if row.place else ""
    note = f"   {row.note}" if row.note else ""
    if indent + 2 + len(head + values + note + place) <= _WIDTH:
        yield f"{mark} {head}{values}{console.style(note + place, 'dim')}"
        return
    if not values and indent + 2 + len(head + place) > _WIDTH:
        yield f"{mark} {row.subject}{console.style(place, 'dim')}"
        yield from (f"    {line}" for line in _wrapped(row.what, indent + 4))
    elif indent + 2 + len(head + values + place) <= _WIDTH:
        yield f"{mark} {head}{values}{console.style(place, 'dim')}"
    else:
        yield f"{mark} {head}{console.style(place, 'dim')}"
        yield f"    {console.style('-', 'red')} {row.before}"
        yield f"    {console.style('+', 'green')} {row.after}"
    if row.note:
        yield from (console.style(f"    {line}", "dim") for line in _wrapped(row.note, indent + 4))


# -- resources, drift, defaults -------------------------------------------------------------------------------------


def _resource(change: Change, console: Console) -> Iterator[str]:
    words = f"{change.action.glyph} {value_text(change.type)} {value_text(change.name)}"
    place = console.style(f"   {safe(change.source)}", "dim") if change.source else ""
    yield console.style(words, _COLORS[change.action]) + place
    if change.action in (Action.UPDATE, Action.REPLACE):
        rows, more = property_rows(change)
        for path, was, now, forces in rows:
            lines = before_after(path, was, now, "forces the replacement" if forces else "", console)
            yield from (f"    {line}" for line in lines)
        if more:
            yield console.style(f"    and {count(more, 'further change')}", "dim")
    if change.loses_data:
        return  # the rest has been said where nobody overlooks it
    if change.reason:
        yield from (console.style(f"    {line}", "dim") for line in _wrapped(f"because {safe(change.reason)}", 4))
    if change.protect and change.action in (Action.DELETE, Action.REPLACE):
        yield console.style(f"    {_PROTECTED}", "yellow")


def before_after(head: str, before: str, after: str, note: str, console: Console, indent: int = 4) -> Iterator[str]:
    """A value before and after: on one line if they fit behind *indent*, else on two."""
    noted = console.style(f"   {note}", "dim") if note else ""
    if indent + len(f"{head}  {before} → {after}   {note}") <= _WIDTH:
        yield f"{head}  {before} → {after}{noted}"
    else:
        yield head + noted
        yield f"    {console.style('-', 'red')} {before}"
        yield f"    {console.style('+', 'green')} {after}"


def _drift(plan: Plan, console: Console) -> list[str]:
    if not plan.drift:
        return []
    lines = [console.style("Changed past the program:", "yellow", "bold")]
    for change in plan.drift:
        gone = "   it is not there any more" if change.action in (Action.DELETE, Action.CREATE) else ""
        glyph, color = ("-", "red") if gone else ("~", "yellow")
        lines.append(f"    {console.style(f'{glyph} {name_of(change)}', color)}{gone}")
        lines += [f"        {line}" for field in change.drifted for line in _drifted(field, console)]
        if not change.drifted and change.changed:
            lines.append(f"        {some([safe(path) for path in change.changed], 6)}")
    return lines


def _drifted(field: FieldDrift, console: Console) -> Iterator[str]:
    owner = "the operator's: it stays" if field.owner == "operator" else "the code's: `up` puts it back"
    yield from before_after(
        value_text(field.path), value_text(field.recorded), value_text(field.actual), owner, console, indent=8
    )


def _defaults(plan: Plan, console: Console) -> list[str]:
    by_mode: dict[str, list[str]] = {}
    for default, where in default_rows(plan):
        of = f"{where}: " if where else ""
        lines = _wrapped(f"{of}{safe(default.effect)} ({safe(default.setting)})", 4)
        by_mode.setdefault(default.mode, []).extend([lines[0], *(f"  {line}" for line in lines[1:])])
    return [line for mode, said in by_mode.items() for line in _headed(f"Because the mode is {mode}:", said, console)]


def _headed(head: str, lines: Sequence[str], console: Console) -> list[str]:
    return [console.style(head, "dim"), *(f"    {line}" for line in lines)] if lines else []


def _label(text: str, console: Console, color: str | None = None) -> str:
    padded = f"{text:<{_LABEL}}"
    return "    " + (console.style(padded, color) if color and text else console.style(padded, "dim"))
