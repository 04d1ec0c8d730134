"""What the text and the markdown of a plan have in common: what is shown, in which order, and in which words.

Nothing here knows how it is drawn. Values are made safe for a line: without control characters, and not too long.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flowinfra.model.deployment import DEPLOYMENT_TYPE as TYPE
from flowinfra.model.diff import FlowDiff, Layer, LayerChange
from flowinfra.model.graph import FlowGraph
from flowinfra.model.plan import Action, AppliedDefault, Change, Operation, Plan

__all__ = [
    "STACK",
    "Row",
    "Shown",
    "census",
    "count",
    "default_rows",
    "facts",
    "full_name",
    "glyph_of",
    "graphs",
    "headline",
    "name_of",
    "property_rows",
    "row_of",
    "rows_of",
    "safe",
    "shown",
    "some",
    "summary",
    "unknown_rows",
    "value_text",
]

#: The type of the resource that stands for the stack itself.
STACK: Final = "pulumi:pulumi:Stack"

_VALUE: Final = 60
_NAME: Final = 40
_OWN: Final = "its own code"  # as flowinfra.sources.causes says it
_PATHS: Final = 12  # of one resource; the JSON has all
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_STEP: Final = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|\.?([^.\[\]]+)')


@dataclass(frozen=True, slots=True)
class Shown:
    """A plan's changes as they are shown.

    Attributes:
        lost: deletions and replacements of what holds data.
        deployments: each deployment that changes, with the resources in it.
        others: further resources that change.
    """

    lost: tuple[Change, ...]
    deployments: tuple[tuple[Change, tuple[Change, ...]], ...]
    others: tuple[Change, ...]


def shown(plan: Plan) -> Shown:
    """What of *plan* is worth a line; a refresh changes nothing but the state, and what it takes over is its drift."""
    if plan.operation is Operation.REFRESH:
        told = {c.address for c in plan.drift}
        plan = plan.model_copy(update={"changes": tuple(c for c in plan.changes if c.address not in told)})
    components = [c for c in plan.changes if c.type == TYPE]
    children: dict[str, list[Change]] = {c.address: [] for c in components}
    others: list[Change] = []
    for change in plan.changes:
        if change.parent in children and change.type != TYPE:
            children[change.parent].append(change)
        elif change.type not in (TYPE, STACK) and not change.type.startswith("pulumi:providers:"):
            others.append(change)
    moving = [
        (c, tuple(children[c.address]))
        for c in components
        if c.action is not Action.SAME or any(x.action is not Action.SAME for x in children[c.address])
    ]
    return Shown(
        lost=tuple(c for c in plan.changes if c.loses_data),
        deployments=tuple(sorted(moving, key=lambda pair: _rank(pair[0]))),
        others=tuple(c for c in others if c.action not in (Action.SAME, Action.READ)),
    )


def _rank(component: Change) -> int:
    """How severe a deployment's change is: what goes first, then by layer, what is new last."""
    if component.action is Action.DELETE:
        return -1
    severity = component.flow.severity if component.flow else None
    if severity is not None:
        return severity.rank
    return len(Layer) + (component.action is Action.CREATE)


# -- words ----------------------------------------------------------------------------------------------------------


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
        unsure = not plan.complete or plan.errored or (bool(plan.unknown) and plan.engine == "recorder")
        told = "nothing changes as far as is known" if unsure else what
        return f"No changes: {told} ({count(same, 'resource')})."
    words = (
        (Action.CREATE, "created", "to create"),
        (Action.UPDATE, "updated", "to update"),
        (Action.REPLACE, "replaced", "to replace"),
        (
            Action.DELETE,
            *(("forgotten", "to forget") if plan.operation is Operation.REFRESH else ("deleted", "to delete")),
        ),
        (Action.REFRESH, "taken over", "to take over"),
    )
    parts = [f"{counts[a]} {done if applied else todo}" for a, done, todo in words if counts.get(a)]
    if same:
        parts.append(f"{same} unchanged")
    said = ", ".join(parts) or "only what deployments record changes"
    lost = 0 if applied or plan.operation is Operation.REFRESH else sum(c.loses_data for c in plan.changes)
    data = f" {count(lost, 'resource')} would lose data." if lost else ""
    word = "Done" if applied else "Plan"
    partly = " (not complete)" if plan.errored or not plan.complete else ""
    return f"{word}{partly}: {said}.{data}"


def facts(plan: Plan, *, applied: bool = False) -> list[str]:
    """What a reader must know before he trusts the rest: that it failed, that it is not all, that it is refused."""
    out: list[str] = []
    if plan.errored:
        out.append(
            "It failed part of the way; this is what was done until then."
            if applied
            else "It could not be worked out to the end; this is what was found until then."
        )
    if plan.targets:
        out.append(f"Only {count(len(plan.targets), 'target')}: everything else was left out, so it is not complete.")
    elif not plan.complete and not plan.errored:
        out.append("It is not complete: not everything was looked at.")
    if not applied and not plan.applyable and plan.has_changes:
        out.append("It cannot be applied as it is.")
    return out


def full_name(component: Change) -> str:
    """``<flow>/<deployment>`` of a deployment."""
    said: Mapping[str, Any] = (component.after or component.before or {}).get("deployment") or {}
    return value_text(f"{said.get('flow', '?')}/{said.get('name', component.name)}", _NAME)


def glyph_of(component: Change) -> str:
    """The glyph of a deployment: one whose resources change does change."""
    return (Action.UPDATE if component.action is Action.SAME else component.action).glyph


def headline(component: Change) -> str:
    """What happens to a deployment where no layers say it; empty where they do."""
    if component.action is Action.CREATE:
        return "new"
    if component.action is Action.DELETE:
        return "is removed, with its production token; its runs stay"
    return "" if component.flow is not None and component.flow.layers else "only its resources change"


def census(inputs: Mapping[str, Any]) -> str:
    """What a new deployment consists of."""
    flow = inputs.get("flow") or {}
    return (
        f"{count(len(flow.get('steps') or {}), 'step')}, {count(len(flow.get('parameters') or {}), 'parameter')}, "
        f"release {safe(str(inputs.get('release', '')))[:8]}, target {safe(str(inputs.get('target')))}"
    )


def default_rows(plan: Plan) -> list[tuple[AppliedDefault, str]]:
    """The defaults of the stack's mode, each with the name of its deployment; equal ones of all deployments once."""
    names = {c.address: full_name(c) for c in plan.changes if c.type == TYPE}
    by_effect: dict[tuple[str, str, str], list[AppliedDefault]] = {}
    for default in plan.defaults:
        by_effect.setdefault((default.mode, default.setting, default.effect), []).append(default)
    out: list[tuple[AppliedDefault, str]] = []
    for same in by_effect.values():
        told = [names.get(d.address, "") for d in same]
        everywhere = len(told) == len(names)
        out.append((same[0], "" if everywhere else ", ".join(sorted({n for n in told if n}))))
    return out


# -- changes in a flow ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One change of a flow in words.

    Attributes:
        mark: ``+``, ``-`` or ``~``.
        subject: what it is about.
        what: which field, or all that is to say.
        before: the value before; None where *what* says it all.
        after: the value after.
        note: what is behind it.
        place: ``file:line``.
    """

    mark: str
    subject: str
    what: str
    before: str | None = None
    after: str | None = None
    note: str = ""
    place: str = ""


def rows_of(diff: FlowDiff, layer: Layer, limit: int = _VALUE) -> list[Row]:
    """The changes of one layer; several steps that changed by the same helper, or moved with their file, are one row."""
    changes = [c for c in diff.changes if c.layer is layer]
    shared = Counter(c.because for c in changes if layer is Layer.CODE and c.because and _OWN not in c.because)
    moved = Counter(_move(c) for c in changes)
    rows: dict[Any, Row] = {}
    for i, change in enumerate(changes):
        move = _move(change)
        if move is not None and moved[move] > 1:
            steps = [safe(c.subject) for c in changes if _move(c) == move]
            was, now = map(safe, move)
            rows.setdefault(move, Row("~", "entrypoints", "module", was, now, f"of {some(steps, 6)}"))
        elif shared[change.because] > 1:
            users = [safe(c.subject) for c in changes if c.because == change.because]
            row = Row("~", some([safe(b) for b in change.because]), "", note=f"used by {some(users, 6)}")
            rows.setdefault(change.because, row)
        else:
            rows[i] = row_of(change, limit)
    return list(rows.values())


def _move(change: LayerChange) -> tuple[str, str] | None:
    """The modules before and after of a step that is the same function in another file."""
    if change.layer is not Layer.METADATA or change.field != "entrypoint":
        return None
    was, _, name = str(change.before).partition(":")
    now, _, same = str(change.after).partition(":")
    return (was, now) if name == same else None


def row_of(change: LayerChange, limit: int = _VALUE) -> Row:
    """*change* in words, its values at most *limit* characters long."""
    subject = safe(change.subject)
    because = some([safe(b) for b in change.because])
    place = safe(f"{change.source.file}:{change.source.line}") if change.source else ""
    if change.effect:
        may, value = ("may now", change.after) if change.effect == "broadened" else ("may no longer", change.before)
        mark = "+" if change.effect == "broadened" else "-"
        text = f"{may} {safe(change.field)} {value_text(value, limit)}"
        return Row(mark, subject, text, note=f"used by {because}" if because else "used by no step", place=place)
    if not change.field:
        mark = "+" if change.before is None else "-" if change.after is None else "~"
        if mark == "~":
            return Row(mark, subject, because or f"{value_text(change.before, 12)} → {value_text(change.after, 12)}")
        value = change.after if change.after is not None else change.before
        note = because if because.startswith("the settings") else f"used by {because}" if because else ""
        return Row(mark, subject, value_text(value, limit), note=note, place=place)
    if change.layer is Layer.SHAPE and change.field == "next":
        way, was = value_text(change.after, limit), value_text(change.before, limit)
        return Row("~", subject, way, note=f"was {was}", place=place)
    if change.layer is Layer.CODE:
        digests = None if because else (str(change.before or "")[:8], str(change.after or "")[:8])
        before, after = map(safe, digests) if digests else (None, None)
        return Row("~", subject, because or safe(change.field), before, after, place=place)
    before, after = value_text(change.before, limit), value_text(change.after, limit)
    note = because if change.layer is Layer.METADATA else f"used by {because}" if because else ""
    return Row("~", subject, safe(change.field), before, after, note, place)


def graphs(component: Change) -> tuple[FlowGraph, FlowGraph] | None:
    """The graphs of a deployment before and after, where its shape changed."""
    diff = component.flow
    if diff is None or Layer.SHAPE not in diff.layers or not component.before or not component.after:
        return None
    try:
        return FlowGraph.from_keyed(component.before["flow"]), FlowGraph.from_keyed(component.after["flow"])
    except (ValueError, KeyError):  # it has been told by FI660
        return None


# -- changes in a resource ------------------------------------------------------------------------------------------


def property_rows(change: Change) -> tuple[list[tuple[str, str, str, bool]], int]:
    """The properties of a resource that change, as (path, before, after, forces a replacement), and how many more.

    JSON inside a text is compared as JSON.
    """
    rows: list[tuple[str, str, str, bool]] = []
    forcing = set(change.replaced_by)
    for path in dict.fromkeys((*change.replaced_by, *change.changed)):
        forces = path in forcing
        for inner, was, now in _inside(_at(change.before, path), _at(change.after, path)):
            rows.append((safe(path + inner), value_text(was), value_text(now), forces))
    return rows[:_PATHS], max(0, len(rows) - _PATHS)


def _at(values: Any, path: str) -> Any:
    """What lies at *path* (``a.b[0]["c d"]``); None if nothing does."""
    if isinstance(values, Mapping) and path in values:
        return values[path]
    steps = _STEP.findall(path)
    if not steps:
        return None
    for quoted, index, name in steps:
        if index:
            values = values[int(index)] if isinstance(values, Sequence) and int(index) < len(values) else None
        else:
            values = values.get(quoted or name) if isinstance(values, Mapping) else None
    return values


def _inside(was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """The differing parts of two values, by the rest of their path."""
    one, other = _parsed(was), _parsed(now)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            if one.get(key) != other.get(key):
                yield from ((f".{key}{rest}", a, b) for rest, a, b in _inside(one.get(key), other.get(key)))
    else:
        yield "", was, now


def _parsed(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


# -- small things ---------------------------------------------------------------------------------------------------


def safe(text: str) -> str:
    """*text* on one line, with an escape for each character that would act on the reader's screen instead of showing.

    Control characters (terminal sequences among them) and marks that turn the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == " " else _escape(c) for c in text)


def _escape(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode("ascii") if ord(character) < 0x110000 else "?"


def value_text(value: Any, limit: int = _VALUE) -> str:
    """A JSON value on one line, at most about *limit* characters long."""
    if value is None:
        return "none"
    if isinstance(value, float) and value.is_integer():  # engines carry every number as a float
        value = int(value)
    text = safe(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True))
    if _DIGEST.fullmatch(text):
        return text[:12]
    if len(text) <= limit:
        return text
    size = f"… ({len(text):,} characters)"
    return text[: max(limit - len(size), 8)] + size


def name_of(change: Change) -> str:
    """The short type and the name of a resource."""
    return f"{value_text(change.type.rsplit(':', 1)[-1], _NAME)} {value_text(change.name, _NAME)}"


def unknown_rows(plan: Plan) -> list[str]:
    """What is known only once the plan is applied, by resource."""
    names = {c.address: name_of(c) for c in plan.changes}
    by_resource: dict[str, list[str]] = {}
    for entry in plan.unknown:
        address, _, path = entry.rpartition(": ")
        by_resource.setdefault(names.get(address, value_text(address or "the stack")), []).append(value_text(path))
    return [f"{name}: {some(paths, 6)}" for name, paths in by_resource.items()]


def some(items: Iterable[str], most: int = 4) -> str:
    """The first of *items*, and how many more there are."""
    found = list(items)
    left = len(found) - most
    return ", ".join(found[:most]) + (f" and {left} more" if left > 0 else "")


def count(number: int, noun: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
