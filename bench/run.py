"""Measure the figures that flowinfra promises, each beside its peer and beside a Python that does nothing.

    python bench/run.py [--only NAME ...] [--runs N] [--write]

Without --write nothing is kept. A figure that cannot be measured says why and hides no other; the exit code is 1 then.
Whether a target is met changes no exit code: that depends on the machine, and a reader judges it.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.figures import client, engine, local, memory, runner, stack, startup, structure
from bench.measure import ROOT, BenchError, Context, Figure, Result
from flowinfra import __version__

FIGURES = (
    *local.FIGURES,
    *runner.FIGURES,
    *client.FIGURES,
    *startup.FIGURES,
    *stack.FIGURES,
    *engine.FIGURES,
    *structure.FIGURES,
    *memory.FIGURES,
)
README = ROOT / "bench" / "README.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
FEWEST_RUNS = 3


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def measure(figure: Figure, runs: int) -> Result | str:
    """The result of *figure*, or why there is none."""
    say(f"{figure.name}: {figure.what}")
    with tempfile.TemporaryDirectory(prefix="flowinfra-bench-") as scratch:
        context = Context(runs, Path(scratch), lambda text: say(f"  {text}"))
        try:
            return figure.measure(context)
        except (BenchError, OSError) as problem:
            return str(problem) or type(problem).__name__


def table(results: Sequence[tuple[Figure, Result | str]]) -> str:
    """The results as a Markdown table."""
    lines = ["| Figure | Target | Measured | Met | `python -c pass` |", "| --- | --- | --- | --- | --- |"]
    for figure, result in results:
        if isinstance(result, str):
            lines.append(f"| {figure.what} | {figure.target} | not measured: {cell(result)} | | |")
            continue
        met = {True: "yes", False: "no", None: ""}[result.met]
        told = cell(f"{result.measured} ({result.detail})" if result.detail else result.measured)
        lines.append(f"| {figure.what} | {figure.target} | {told} | {met} | {result.bare * 1e3:.0f} ms |")
    return "\n".join(lines)


def cell(text: str) -> str:
    """*text* on one line that ends no cell."""
    return " ".join(text.split()).replace("|", "\\|")


def machine() -> str:
    """What it was measured on."""
    today = datetime.datetime.now(tz=datetime.UTC).date()
    system = f"{platform.system()} {platform.machine()}"
    return f"flowinfra {__version__}, Python {platform.python_version()}, {system}, {os.cpu_count()} cores, {today}."


def write(text: str) -> None:
    """Put *text* between the markers of the README."""
    page = README.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    README.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")
    say(f"wrote {README.relative_to(ROOT)}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench/run.py", description="Measure what flowinfra promises.")
    names = tuple(figure.name for figure in FIGURES)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, default=names, help=", ".join(names))
    parser.add_argument("--runs", type=int, default=FEWEST_RUNS, help="medians are taken of so many (default: 3)")
    parser.add_argument("--write", action="store_true", help="keep the table in bench/README.md")
    given = parser.parse_args(arguments)
    if given.runs < FEWEST_RUNS:
        parser.error(f"--runs: a median needs at least {FEWEST_RUNS}")
    if given.write and set(given.only) != set(names):
        parser.error("--write keeps all figures of one run: leave out --only")

    results = [(figure, measure(figure, given.runs)) for figure in FIGURES if figure.name in given.only]
    text = f"Measured with {machine()}\n\n{table(results)}"
    print(text)
    if given.write:
        write(text)
    return 1 if any(isinstance(result, str) for _, result in results) else 0


if __name__ == "__main__":
    raise SystemExit(main())
