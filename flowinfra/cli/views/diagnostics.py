"""Diagnostics as text and as JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from flowinfra.cli.console import Console
from flowinfra.diagnostics import Diagnostic, Severity, Source, sort_diagnostics

__all__ = ["as_json", "as_text", "seen"]

_COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def as_text(diagnostics: Iterable[Diagnostic], console: Console) -> str:
    """One block per diagnostic, with a bar on its left, so that a half that is pasted elsewhere still shows it is one."""
    blocks: list[str] = []
    for d in sort_diagnostics(diagnostics):
        color = _COLORS[d.severity]

        def bar(text: str, color: str = color) -> str:
            return console.style("│ ", color, stream=sys.stderr) + text

        head = console.style(f"{d.severity.value} {d.code}", color, "bold", stream=sys.stderr)
        first, *more = d.summary.splitlines() or [""]  # a program's own message may have several lines
        lines = [bar(f"{head}: {console.style(first, 'bold', stream=sys.stderr)}")]
        lines += [bar(f"  {line.strip()}") for line in more]
        if d.source and str(d.source):
            lines.append(bar(console.style(f"  at {seen(d.source)}", "dim", stream=sys.stderr)))
        lines += [bar(f"  {line}") for line in d.detail.splitlines()]
        if d.hint:
            lines.append(bar(f"  {console.style('do:', 'green', stream=sys.stderr)} {d.hint}"))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def seen(source: Source) -> Source:
    """A place as its reader would write it: relative to the working folder if it is below it."""
    path = os.path.relpath(source.file) if os.path.isabs(source.file) else source.file
    return source if path.startswith("..") else Source(path, source.line)


def as_json(diagnostics: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """Diagnostics as JSON."""
    return [
        {
            "code": d.code,
            "severity": d.severity.value,
            "summary": d.summary,
            "detail": d.detail,
            "hint": d.hint,
            "file": seen(d.source).file if d.source else None,
            "line": d.source.line if d.source and d.source.line else None,
        }
        for d in sort_diagnostics(diagnostics)
    ]
