"""Tables as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowinfra.cli.console import Console

__all__ = ["table"]

#: A cell in its style; the width is of the plain text.
Paint = Callable[[int, str], str]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], console: Console, paint: Paint | None = None) -> str:
    """Rows under a head, columns as wide as what is in them.

    Args:
        head: the columns' names.
        rows: the cells.
        console: how to colour.
        paint: colours a cell of a column, given its number.
    """
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    lines = [console.style(_joined(head, widths), "bold")]
    for row in rows:
        padded = _padded(row, widths)
        cells = [paint(at, cell) for at, cell in enumerate(padded)] if paint else padded
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def _joined(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(_padded(row, widths)).rstrip()


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
