"""Drift as text and as markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from flowinfra.cli.console import Console
from flowinfra.cli.views.plan_parts import name_of, safe, value_text
from flowinfra.cli.views.plan_text import before_after
from flowinfra.control.drift import Choice
from flowinfra.model.plan import Action, Change, FieldDrift, Plan

__all__ = ["adopted_text", "drift_markdown", "drift_text", "reverted_text"]

_OWNERS = {"operator": "the operator's: `up` leaves it", "code": "the code's: `up` after a refresh puts it back"}


def drift_text(plan: Plan, console: Console) -> str:
    """What was changed past the program, and one line that sums up."""
    lines: list[str] = []
    for change in plan.drift:
        gone = change.action is Action.DELETE
        color = "red" if gone else "yellow"
        lines.append(console.style(f"{'-' if gone else '~'} {name_of(change)}", color, "bold"))
        if gone:
            lines.append("    it does not exist any more; the next `up` after a refresh makes it again")
        for field in change.drifted:
            values = value_text(field.recorded), value_text(field.actual)
            lines += [f"    {x}" for x in before_after(safe(field.path), *values, _OWNERS[field.owner], console)]
        if change.reason and not gone:
            lines.append(console.style(f"    {safe(change.reason)}", "dim"))
    if lines:
        lines.append("")
    lines.append(console.style(_summary(plan), "bold"))
    return "\n".join(lines) + "\n"


def drift_markdown(plan: Plan) -> str:
    """The same as markdown."""
    lines = [f"### Drift of {_code(f'{plan.project}/{plan.stack}')}", "", _summary(plan)]
    if plan.drift:
        lines += ["", "| Resource | Property | Recorded | There | Owner |", "| --- | --- | --- | --- | --- |"]
        for change in plan.drift:
            lines += ["| " + " | ".join(row) + " |" for row in _rows(change)]
    return "\n".join(lines) + "\n"


def adopted_text(choices: Iterable[Choice]) -> str:
    """What was taken over into the state, and what the program has to say now."""
    lines: list[str] = []
    for choice in choices:
        change = choice.change
        if change.action is Action.DELETE:
            lines.append(
                f"{safe(change.name)} is forgotten; remove it from the program, or the next `up` makes it again"
            )
        for field in choice.chosen:
            line = f"{safe(change.name)}: {safe(field.path)} is {value_text(field.actual)} in the state"
            if field.owner == "code":
                # What a component registers for its author is written in the component's own specification.
                place = f" ({change.source})" if change.source and not change.type.startswith("flowinfra:") else ""
                line += f"; write it into the program{place}, or the next `up` puts {value_text(field.recorded)} back"
            lines.append(line)
    return "\n".join(lines) + "\n"


def reverted_text(choices: Iterable[Choice]) -> str:
    """What was put back."""
    lines: list[str] = []
    for choice in choices:
        change = choice.change
        if change.action is Action.DELETE:
            lines.append(f"{safe(change.name)} exists again")
        lines += [
            f"{safe(change.name)}: {safe(field.path)} is {value_text(field.recorded)} again" for field in choice.chosen
        ]
    return "\n".join(lines) + "\n"


def _summary(plan: Plan) -> str:
    gone = sum(c.action is Action.DELETE for c in plan.drift)
    fields = [f for c in plan.drift for f in c.drifted]
    operators = sum(f.owner == "operator" for f in fields)
    # A resource that differs in what nobody sees counts as one change of the code's.
    code = len(fields) - operators + sum(not c.drifted and c.action is not Action.DELETE for c in plan.drift)
    parts = [
        f"{gone} gone" if gone else "",
        f"{code} changed past the program" if code else "",
        f"{operators} changed by an operator" if operators else "",
    ]
    text = ", ".join(p for p in parts if p)
    return f"Drift: {text}." if text else "No drift: what is there is what the state says."


def _rows(change: Change) -> Iterator[tuple[str, ...]]:
    name = f"{_code(change.name)} ({_code(_short(change))})"
    if change.action is Action.DELETE:
        yield name, "", "there", "**gone**", "code"
    for field in change.drifted:
        yield name, _code(field.path), _cell(field.recorded), _cell(field.actual), _owner(field, change)


def _owner(field: FieldDrift, change: Change) -> str:
    return f"operator: {_code(change.reason)}" if field.owner == "operator" and change.reason else field.owner


def _short(change: Change) -> str:
    return change.type.rsplit(":", 1)[-1]


def _cell(value: Any) -> str:
    return _code(value_text(value))


def _code(text: str) -> str:
    # What is there is not ours: it must not end the code span, the cell or the row.
    return f"`{' '.join(text.split()).replace('`', chr(39)).replace('|', chr(92) + '|')}`"
