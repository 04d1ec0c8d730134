"""How long a start takes: the import, the task program, the command."""

from __future__ import annotations

import json
import sys

from bench.measure import BenchError, Context, Figure, Result, bare, median, python, run, timed

BEST_OF = 7

TWO_STEPS = """
from flowinfra import FlowSpec, step

class Two(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def over_bare(context: Context, source: str, forbidden: tuple[str, ...], limit: float) -> Result:
    """The best of seven starts that run *source*, less the best bare one; and that nothing forbidden was loaded."""
    for number in range(2):  # once for the byte code, once for the file cache
        context.say(f"warming up {number + 1}")
        python(source, cwd=context.scratch)
    pairs = [(python(source, cwd=context.scratch), bare(context.scratch)) for _ in range(BEST_OF)]
    extra = min(first for first, _ in pairs) - min(second for _, second in pairs)
    program = f"{source}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    loaded = {name.partition(".")[0] for name in json.loads(run([sys.executable, "-c", program], cwd=context.scratch))}
    found = sorted(loaded.intersection(forbidden))
    return Result(
        f"{extra:.3f} s",
        median(second for _, second in pairs),
        extra <= limit and not found,
        f"loads {', '.join(found)}" if found else f"none of {', '.join(forbidden)} is loaded",
    )


def import_package(context: Context) -> Result:
    return over_bare(context, "import flowinfra", ("pulumi", "pydantic", "asyncio"), 0.15)


def task_program(context: Context) -> Result:
    source = f"import flowinfra.runtime.entrypoint\n{TWO_STEPS}"
    return over_bare(context, source, ("pulumi", "pydantic", "asyncio"), 0.15)


def version(context: Context) -> Result:
    command = [context.command, "--version"]
    if not run(command, cwd=context.scratch).strip():
        raise BenchError("flowinfra --version prints nothing")
    pairs = [(timed(command, cwd=context.scratch), bare(context.scratch)) for _ in range(max(context.runs, BEST_OF))]
    seconds = median(first for first, _ in pairs)
    return Result(f"{seconds:.3f} s", median(second for _, second in pairs), seconds <= 0.3)


FIGURES = (
    Figure("import", "`import flowinfra` over bare Python, best of 7", "at most 0.15 s, no pulumi", import_package),
    Figure(
        "task-start", "the task program and a two-step flow over bare Python, best of 7", "at most 0.15 s", task_program
    ),
    Figure("version", "`flowinfra --version`", "at most 0.3 s", version),
)
