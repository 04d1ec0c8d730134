"""The difference of two versions of a flow as text."""

from __future__ import annotations

from flowinfra.cli.console import Console
from flowinfra.cli.views.plan_parts import count, rows_of, safe
from flowinfra.cli.views.plan_text import diff_lines, graph_lines, layers_text
from flowinfra.model.diff import FlowDiff, Layer
from flowinfra.model.graph import FlowGraph

__all__ = ["diff_text"]


def diff_text(diff: FlowDiff, labels: tuple[str, str], both: tuple[FlowGraph, FlowGraph], console: Console) -> str:
    """What changes from the one to the other, layer by layer; *both*: their graphs."""
    head = console.style(f"{safe(labels[0])} → {safe(labels[1])}", "bold")
    if not diff.changes:
        return f"{head}\n\nNo changes: the two are the same flow.\n"
    lines = [head, f"    {layers_text(diff, console)}", "", *diff_lines(diff, console)]
    if Layer.SHAPE in diff.layers:
        lines += graph_lines(*both, console)
    shown = sum(len(rows_of(diff, layer)) for layer in diff.layers)
    return "\n".join([*lines, "", console.style(f"{count(shown, 'change')}.", "bold")]) + "\n"
