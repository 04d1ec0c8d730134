"""A plan as markdown for the comment of a pull request.

What a plan holds was written by whoever wrote the flow, and a preview of a foreign branch is hostile until somebody has
looked at it. So content stands in three kinds of places only, in which markdown knows no markup: code spans, fenced
blocks and ``<code>`` in a summary; each is closed by something that its content cannot hold. GitHub makes no mention, no
link and no reference to an issue out of code.

A comment has at most 65,536 characters. What is too long is left out entry by entry, least severe first, and counted.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

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
from flowinfra.model.plan import Change, Finding, Operation, Plan

__all__ = ["LIMIT", "code_span", "diff_markdown", "fenced", "plan_markdown"]

#: Characters that a comment may have (GitHub's limit), counted as UTF-16 does.
LIMIT: Final = 65_536

_VALUE: Final = 160
_TARGETS: Final = 10
_RESERVE: Final = 400  # for saying what was left out
_SEVERE: Final = frozenset({Layer.IDENTITY, Layer.INTERFACE, Layer.ACCESS})
_TITLES: Final = {Operation.UP: "Preview", Operation.DESTROY: "Preview of destroy", Operation.REFRESH: "Refresh"}
_MERMAID_STEPS: Final = 40
_ROWS: Final = 200  # lines of one deployment


@dataclass(frozen=True, slots=True)
class _Section:
    """Entries under a head; as many of them as there is room for."""

    head: str
    entries: Sequence[str]
    tail: str = ""
    noun: str = "entry"


def plan_markdown(plan: Plan, *, limit: int = LIMIT) -> str:
    """*plan* as one comment of at most *limit* characters."""
    where = code_span(f"{plan.project}/{plan.stack}")
    top = [f"### {_TITLES[plan.operation]} of {where}", "", f"**{summary(plan)}**"]
    told = facts(plan)
    if plan.targets:
        told.append(f"Targets: {some([code_span(value_text(t, _VALUE)) for t in plan.targets], _TARGETS)}")
    if told:
        top += ["", "> [!WARNING]", *(f"> - {fact}" for fact in told)]
    what = shown(plan)
    sections = [
        _Section(
            "> [!CAUTION]\n> **Data would be lost:**\n>", [_lost(change) for change in what.lost], noun="resource"
        ),
        _Section("", [_finding(f) for f in plan.findings], noun="finding"),
        _Section("", [_headline(component) for component, _ in what.deployments], noun="deployment"),
        _Section("**Changed past the program**", [_drift(change) for change in plan.drift], noun="resource"),
        _Section("**Because of the stack's mode**", list(_defaults(plan)), noun="default"),
        _Section("", [_details(*pair) for pair in what.deployments], noun="deployment's details"),
        _Section(
            "<details><summary>Resources beside the deployments</summary>",
            [_resource(change) for change in what.others],
            "\n\n</details>",
            "resource",
        ),
        _Section(
            "<details><summary>Not known offline</summary>",
            [f"- {code_span(row)}" for row in unknown_rows(plan)] if plan.engine == "recorder" else [],
            "\n\n</details>",
            "resource",
        ),
    ]
    return _fitted("\n".join(top), sections, limit)


def diff_markdown(diff: FlowDiff, title: str, both: tuple[FlowGraph, FlowGraph] | None = None) -> str:
    """The changes between two versions of a flow; *both*: their graphs, drawn where the shape changed."""
    layers = _layers(diff) or "No changes."
    rows = list(_rows(diff))
    if len(rows) > _ROWS:
        rows[_ROWS:] = [f"  and {count(len(rows) - _ROWS, 'further line')}"]
    entries = [fenced(rows, "diff")] if rows else []
    if both is not None and Layer.SHAPE in diff.layers:
        entries.append(_mermaid(*both))
    return _fitted(f"### Changes from {title}\n\n{layers}", [_Section("", entries, noun="part")], LIMIT)


# -- what closes nothing --------------------------------------------------------------------------------------------


def code_span(text: str) -> str:
    """*text* as a code span, whatever it holds."""
    line = safe(text)
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if not line or line[0] in "` " or line[-1] in "` " else ""
    return f"{fence}{pad}{line}{pad or ('' if line else ' ')}{fence}"


def fenced(lines: Iterable[str], language: str = "") -> str:
    """*lines* as a block that none of them closes."""
    content = [safe(line) for line in lines]
    fence = "`" * max(3, 1 + max(map(_longest_run, content), default=0))
    return "\n".join([f"{fence}{language}", *content, fence])


def _code_tag(text: str) -> str:
    """*text* inside a line of HTML."""
    return f"<code>{html.escape(safe(text))}</code>"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


# -- parts ----------------------------------------------------------------------------------------------------------


def _lost(change: Change) -> str:
    why = [f"{path} {was} → {now}" for path, was, now, forces in property_rows(change)[0] if forces]
    told = f"> - {code_span(f'{change.action.glyph} {name_of(change)}')}: {code_span(value_text(change.holds_data, _VALUE))}"
    if why:
        told += f"; replaced because of {code_span(some(why, 3))}"
    if change.reason:
        told += f"; because {code_span(value_text(change.reason, _VALUE))}"
    return told + ("; it is protected, so this is refused" if change.protect else "")


def _headline(component: Change) -> str:
    name = code_span(f"{glyph_of(component)} {full_name(component)}")
    words = headline(component)
    if words or component.flow is None:
        return f"- {name} {words}"
    return f"- {name} {_layers(component.flow)}"


def _layers(diff: FlowDiff) -> str:
    return " · ".join(f"**{x.value.upper()}**" if x in _SEVERE else x.value.upper() for x in diff.layers)


def _details(component: Change, children: Sequence[Change]) -> str:
    blocks: list[str] = []
    lines: list[str] = []
    if component.flow is not None:
        lines += _rows(component.flow)
        if component.flow.before and component.flow.after and component.flow.before != component.flow.after:
            lines.append(f"  release {component.flow.before[:12]} → {component.flow.after[:12]}")
    if component.after and component.before is None:
        lines.append(f"  {census(component.after)}")
    for child in children:
        if child.action.value not in ("same", "read"):
            lines.append(
                f"{_mark(child)} {name_of(child)}" + ("  is replaced" if child.action.value == "replace" else "")
            )
    if len(lines) > _ROWS:
        lines[_ROWS:] = [f"  and {count(len(lines) - _ROWS, 'further line')}"]
    blocks.append(fenced(lines, "diff"))
    both = graphs(component)
    if both is not None:
        blocks.append(_mermaid(*both))
    body = "\n\n".join(block for block in blocks if block)
    return f"<details><summary>{_code_tag(full_name(component))}</summary>\n\n{body}\n\n</details>"


def _mark(change: Change) -> str:
    """How a line of a ``diff`` block begins: ``!`` is what GitHub colours as a change."""
    return {"create": "+", "delete": "-"}.get(change.action.value, "!")


def _rows(diff: FlowDiff) -> Iterator[str]:
    for layer in diff.layers:
        yield f"@@ {layer.value} @@"
        for row in rows_of(diff, layer, _VALUE):
            yield from _row(row)


def _row(row: Row) -> Iterator[str]:
    tail = "".join(f"   ({text})" for text in (row.note, row.place) if text)
    if row.before is None:
        yield f"{'!' if row.mark == '~' else row.mark} {f'{row.subject}  {row.what}'.rstrip()}{tail}"
    elif len(row.before) + len(row.after or "") <= _VALUE // 2:
        yield f"! {row.subject}  {row.what}  {row.before} → {row.after}{tail}"
    else:
        yield f"! {row.subject}  {row.what}{tail}"
        yield f"- {row.before}"
        yield f"+ {row.after}"


def _mermaid(before: FlowGraph, after: FlowGraph) -> str:
    """The changed graph as a picture, if it is small enough to be one."""
    if len({*before.by_name, *after.by_name}) > _MERMAID_STEPS:
        return ""
    return fenced(draw_diff(before, after, "mermaid").splitlines(), "mermaid")


def _resource(change: Change) -> str:
    line = f"- {code_span(f'{change.action.glyph} {change.type} {change.name}')}"
    if change.source:
        line += f" {code_span(change.source)}"
    if change.reason:
        line += f", because {code_span(value_text(change.reason, _VALUE))}"
    if change.action.value not in ("update", "replace"):
        return line
    rows, more = property_rows(change)
    lines = [line]
    for path, was, now, forces in rows:
        note = ", which forces the replacement" if forces else ""
        lines.append(f"  - {code_span(f'{path}: {was} → {now}')}{note}")
    if more:
        lines.append(f"  - and {count(more, 'further change')}")
    return "\n".join(lines)


def _drift(change: Change) -> str:
    gone = change.action.value in ("delete", "create")
    lines = [f"- {code_span(name_of(change))}{' is not there any more' if gone else ''}"]
    for field in change.drifted:
        said = f"{value_text(field.path)}: {value_text(field.recorded)} → {value_text(field.actual)}"
        owner = "the operator's, it stays" if field.owner == "operator" else "the code's, `up` puts it back"
        lines.append(f"  - {code_span(said)} ({owner})")
    if not change.drifted and change.changed:
        lines.append(f"  - {code_span(some(change.changed, 6))}")
    return "\n".join(lines)


def _defaults(plan: Plan) -> Iterator[str]:
    for default, where in default_rows(plan):
        of = f"{code_span(where)}: " if where else ""
        effect, setting = code_span(value_text(default.effect, _VALUE)), code_span(value_text(default.setting))
        yield f"- {default.mode}: {of}{effect} ({setting})"


def _finding(finding: Finding) -> str:
    lines = [f"{finding.severity} {safe(finding.code)}: {value_text(finding.summary, 400)}"]
    if finding.source:
        lines.append(f"  at {value_text(finding.source, 400)}")
    lines += [f"  {value_text(line, 400)}" for line in finding.detail.splitlines()[:20]]
    if finding.hint:
        lines.append(f"  do: {value_text(finding.hint, 400)}")
    return fenced(lines)


# -- fitting --------------------------------------------------------------------------------------------------------


def _fitted(top: str, sections: Sequence[_Section], limit: int) -> str:
    """Everything that fits, section by section; of each as many whole entries as there is room for."""
    parts = [top]
    left = limit - _RESERVE - _size(top)
    omitted: list[str] = []
    for section in sections:
        if not section.entries:
            continue
        inline = section.entries[0].lstrip().startswith((">", "-"))
        room = left - _size(section.head) - _size(section.tail) - 4
        taken: list[str] = []
        for entry in section.entries:
            room -= _size(entry) + 2
            if room < 0:
                break
            taken.append(entry)
        if len(taken) < len(section.entries):
            omitted.append(count(len(section.entries) - len(taken), section.noun))
        if taken:
            quoted = section.head.startswith(">")
            body = ("\n" if inline else "\n\n").join(taken)
            head = f"{section.head}\n" if quoted else f"{section.head}\n\n" if section.head else ""
            text = f"{head}{body}{section.tail}"
            parts.append(text)
            left -= _size(text) + 2
    if omitted:
        parts.append(f"_Left out, because a comment has no room for more: {', '.join(omitted)}._")
    return "\n\n".join(parts) + "\n"


def _size(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
