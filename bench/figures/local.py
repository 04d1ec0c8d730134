"""The same flow, end to end from the shell, beside the peer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bench import peer
from bench.measure import ROOT, BenchError, Context, Figure, Result, bare, median, run, timed

FLOWS = ROOT / "bench" / "flows"
TIMES_FASTER = 20

# Each client reads back what its own run has stored; only the import line differs here too.
READ = {
    "Both": """
import json
from flowinfra import Flow
run = Flow("Both").latest_run
each = sorted(task["value"].data for task in run["work"])
print(json.dumps([run.successful, run["join"].task["total"].data, each, run["end"].task["value"].data]))
""",
    "Fan": """
import json
from flowinfra import Flow
run = Flow("Fan").latest_run
each = sorted(task["value"].data for task in run["work"])
print(json.dumps([run.successful, run["join"].task["total"].data, each]))
""",
    "Line": """
import json
from flowinfra import Flow
run = Flow("Line").latest_run
print(json.dumps([run.successful, run["end"].task["value"].data]))
""",
}
EXPECTED: dict[str, list[Any]] = {
    "Both": [True, sum(range(100)), list(range(100)), 20],
    "Fan": [True, sum(range(100)), list(range(100))],
    "Line": [True, 20],
}


def for_peer(source: str) -> str:
    """*source* with its import line changed, and nothing else."""
    return source.replace("from flowinfra import", "from metaflow import")


def one_run(context: Context, flow: str, python: Path, *, of_peer: bool) -> float:
    """Seconds of one run in the folder that this side has for this flow; its artifacts are read back and compared.

    Raises:
        BenchError: the run failed, or something else was read back.
    """
    source = (FLOWS / f"{flow.lower()}.py").read_text(encoding="utf-8")
    reader = READ[flow]
    folder = context.scratch / f"{flow.lower()}-{'peer' if of_peer else 'own'}"
    folder.mkdir(exist_ok=True)
    file = folder / f"{flow.lower()}.py"
    file.write_text(for_peer(source) if of_peer else source, encoding="utf-8")
    env = peer.settings(folder) if of_peer else {}
    seconds = timed([str(python), file.name, "run"], cwd=folder, env=env)
    printed = run([str(python), "-c", for_peer(reader) if of_peer else reader], cwd=folder, env=env)
    if json.loads(printed.splitlines()[-1]) != EXPECTED[flow]:
        raise BenchError(f"read back {printed.strip()[:200]} instead of {EXPECTED[flow]}")
    return seconds


def beside_metaflow(context: Context, flow: str) -> Result:
    theirs_python = peer.metaflow(context)
    own_python = Path(sys.executable)
    context.say("the first run of each side, which is not counted: both leave things behind that the next one finds")
    first = one_run(context, flow, own_python, of_peer=False), one_run(context, flow, theirs_python, of_peer=True)
    own, theirs, floor = [], [], []
    for number in range(context.runs):
        floor.append(bare(context.scratch))
        own.append(one_run(context, flow, own_python, of_peer=False))
        theirs.append(one_run(context, flow, theirs_python, of_peer=True))
        context.say(f"pair {number + 1}: {own[-1]:.2f} s beside {theirs[-1]:.2f} s")
    ratio = median(theirs) / median(own)
    return Result(
        f"{ratio:.1f} times as fast ({median(own):.2f} s beside {median(theirs):.2f} s)",
        median(floor),
        ratio >= TIMES_FASTER,
        f"Metaflow {peer.version()}; {min(own):.2f} to {max(own):.2f} s beside {min(theirs):.2f} to {max(theirs):.2f} s; "
        f"the first run {first[0]:.2f} s beside {first[1]:.2f} s",
    )


def both(context: Context) -> Result:
    return beside_metaflow(context, "Both")


def fan(context: Context) -> Result:
    return beside_metaflow(context, "Fan")


def line(context: Context) -> Result:
    return beside_metaflow(context, "Line")


FIGURES = (
    Figure(
        "both",
        "100 no-op foreach tasks and 20 steps in a row, one flow, beside Metaflow",
        "at least 20 times as fast",
        both,
    ),
    Figure("fan", "100 no-op foreach tasks, beside Metaflow", "at least 20 times as fast", fan),
    Figure("line", "20 no-op steps in a row, beside Metaflow", "at least 20 times as fast", line),
)
