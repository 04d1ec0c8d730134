"""A run on a terminal: a row per step, redrawn; what tasks print scrolls by above."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Self

from rich.console import Console as Terminal
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flowinfra.cli.console import emit
from flowinfra.cli.views.duration import duration
from flowinfra.cli.views.run import Progress, StepCount
from flowinfra.runtime.events import Event, Note, TaskEnded, TaskLine, TaskRetry
from flowinfra.wire import FALLBACK

__all__ = ["Screen"]

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_SPARE_LINES = 4


def _mark(count: StepCount) -> tuple[str, str]:
    """What stands before a step of which nothing runs, and its colour."""
    if count.failed:
        return "✗", "red"
    if count.stopped:
        return "■", "yellow"
    return ("↻", "yellow") if count.repeating else ("✓", "green")


class Screen:
    """Shows a run on the terminal behind stderr."""

    def __init__(self, title: str, progress: Progress, *, color: bool, output: bool = True) -> None:
        """*title* stands above the rows; *output* says whether what tasks print is shown."""
        self._title = title
        self._progress = progress
        self._output = output
        self._terminal = Terminal(file=sys.stderr, no_color=not color, highlight=False, soft_wrap=True)
        self._live = Live(
            console=self._terminal,
            get_renderable=self._render,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        self._terminal.print(self._table(self._progress.rows(), final=True))

    def __call__(self, event: Event) -> None:
        """Take *event* into the rows, and print what shall stay."""
        self._progress.add(event)
        if isinstance(event, TaskLine):
            if self._output:
                self._line(event)
        elif isinstance(event, TaskEnded) and event.outcome != "succeeded":
            text = f"[{event.step} {event.task}] {event.outcome.replace('_', ' ')} after {duration(event.seconds)}"
            said = f": {event.message}" if event.message and not self._output else ""  # else it was printed just before
            self._terminal.print(Text(text + said, style="yellow" if event.outcome == "stopped" else "red"))
        elif isinstance(event, TaskRetry):
            what = "@catch lets the run go on" if event.attempt == FALLBACK else f"attempt {event.attempt} follows"
            self._terminal.print(Text(f"[{event.step} {event.task}] {what}", style="yellow"))
        elif isinstance(event, Note):
            self._terminal.print(Text(f"note: {event.text}", style="yellow"))

    def _line(self, line: TaskLine) -> None:
        if line.stream == "out" and not sys.stdout.isatty():
            emit(sys.stdout, f"[{line.step} {line.task}] {line.text}\n")
            return
        self._terminal.print(Text.assemble((f"[{line.step} {line.task}] ", "cyan"), Text.from_ansi(line.text)))

    # -- rows -----------------------------------------------------------------------------------------------------

    def _render(self) -> RenderableType:
        rows = self._progress.rows()
        room = max(3, self._terminal.height - _SPARE_LINES)
        hidden = rows[: max(0, len(rows) - room)]
        shown = [row for row in hidden if row[1].running] + rows[len(hidden) :]
        elapsed = duration(self._progress.clock() - self._progress.started)
        head = Text.assemble((self._title, "bold"), f"   {elapsed}", (self._summary(hidden), "dim"))
        return Group(head, self._table(shown[-room:]))

    @staticmethod
    def _summary(hidden: list[tuple[str, StepCount]]) -> str:
        return f"   {len(hidden)} steps above" if hidden else ""

    def _table(self, rows: list[tuple[str, StepCount]], *, final: bool = False) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, count in rows:
            table.add_row(*self._cells(name, count, final))
        return table

    def _cells(self, name: str, count: StepCount, final: bool) -> Iterator[Text]:
        if count.running and not final:
            frame = _FRAMES[int(self._progress.clock() * 8) % len(_FRAMES)]
            yield Text(f"{frame} {name}", style="cyan")
        else:
            mark, style = _mark(count)
            yield Text(f"{mark} {name}", style=style)
        parts = [
            (count.done, "done", ""),
            (count.reused, "taken over", ""),
            (0 if final else count.running, "running", "cyan"),
            (count.failed, "failed", "red"),
            (count.stopped, "stopped", "yellow"),
            (count.retries, "repeated", "yellow"),
        ]
        yield Text("  ").join(Text(f"{number:,} {word}", style=style) for number, word, style in parts if number)
        end = self._progress.clock() if count.running else count.ended
        yield Text(duration(end - count.begun), style="dim")
