"""Reading what has run: one value of a large run, and the newest of many runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.measure import BenchError, Context, Figure, Result, bare, median, run, timed
from flowinfra import wire
from flowinfra.canonical import canonical_json, sha256_hex
from flowinfra.orchestrators.start import StartedRun, write_index, write_start
from flowinfra.packaging.store import Store
from flowinfra.runtime.artifacts import encode_all
from flowinfra.runtime.lineage import TaskRef
from flowinfra.runtime.rundata import CommitValue, RunData

TASKS = 10_000
RUNS = 10_000
OPEN_LIMIT = 0.3
BEST_OF = 7
STARTED = 1_700_000_000_000

PROGRAM = [
    [
        {"kind": "task", "step": "start"},
        {"kind": "map", "body": 1, "over": "items", "join": "join"},
        {"kind": "task", "step": "join"},
        {"kind": "task", "step": "end"},
    ],
    [{"kind": "task", "step": "work"}],
]
NEXT = {"start": {"kind": "foreach", "over": "items", "to": "work"}, "work": {"kind": "goto", "to": "join"},
        "join": {"kind": "goto", "to": "end"}, "end": {"kind": "end"}}  # fmt: skip

RESULT = 'from flowinfra import Run; print(Run("Wide/run-0").data.total)'
ITEM = 'from flowinfra import Run; print(Run("Wide/run-0")["work"]["0.7777"].data.square)'
NEWEST = """
from itertools import islice
from flowinfra import Flow
print([run.id for run in islice(Flow("Many"), 10)])
"""
ALL = 'from flowinfra import Flow; print(sum(1 for run in Flow("Many")))'


def project(context: Context) -> tuple[Path, Store, str]:
    """A project with a release in its store."""
    folder = context.scratch / "project"
    (folder / ".flowinfra").mkdir(parents=True)
    store = Store.open(str(folder / ".flowinfra" / "store"))
    release = canonical_json(
        {
            "wire": wire.WIRE_VERSION,
            "flowinfra": "0.1.0",
            "graph": {"name": "Wide", "start": "start", "steps": [{"name": n, "next": to} for n, to in NEXT.items()]},
            "program": {"sequences": PROGRAM},
            "bundle": "b" * 64,
        }
    )
    digest = sha256_hex(release)
    store.put(wire.release_key(digest), release)
    return folder, store, digest


def write_wide(store: Store, release: str) -> None:
    """A run of 10,000 tasks, with what the client can read of it."""
    started = StartedRun(flow="Wide", run="run-0", release=release, started_ms=STARTED, target="local")
    write_start(store, started, {})
    write_index(store, started)
    data = RunData(store, "Wide", "run-0")

    def commit(step: str, task: str, values: dict[str, object], parents: list[tuple[str, str]]) -> None:
        refs = encode_all(values, step, lambda blob, content: store.put_content(wire.blob_key("Wide", blob), content))
        folder = data.attempt(step, task, "0", "x")
        folder.begin("host", 1)
        folder.end("committed")
        data.create_commit(step, task, CommitValue(refs, [TaskRef(*parent) for parent in parents], folder.name))

    commit("start", "0", {"items": list(range(TASKS))}, [])
    for n in range(TASKS):
        commit("work", f"0.{n}", {"square": n * n}, [("start", "0")])
    commit("join", "0", {"total": TASKS}, [("work", f"0.{n}") for n in range(TASKS)])
    commit("end", "0", {"total": TASKS}, [("join", "0")])
    data.end("succeeded")


def write_many(store: Store, release: str) -> None:
    """10,000 runs that have been started."""
    for n in range(RUNS):
        started = StartedRun(flow="Many", run=f"run-{n}", release=release, started_ms=STARTED + n, target="local")
        write_start(store, started, {})
        write_index(store, started)


def seconds_of(context: Context, folder: Path, source: str, expected: object) -> tuple[list[float], list[float]]:
    """Seconds of a Python that runs *source*, each beside one that does nothing; what it prints is compared.

    Raises:
        BenchError: it prints something else.
    """
    command = [sys.executable, "-c", source]
    for _ in range(2):  # once for the byte code, once for the file cache
        printed = run(command, cwd=folder).strip()
        if printed != str(expected):
            raise BenchError(f"{source.strip().splitlines()[-1]} printed {printed[:100]} instead of {expected}")
    pairs = [(timed(command, cwd=folder), bare(context.scratch)) for _ in range(max(context.runs, BEST_OF))]
    return [first for first, _ in pairs], [second for _, second in pairs]


def one_artifact(context: Context) -> Result:
    folder, store, release = project(context)
    context.say(f"writing a run of {TASKS:,} tasks")
    write_wide(store, release)
    whole, floor = seconds_of(context, folder, RESULT, TASKS)
    item, _ = seconds_of(context, folder, ITEM, 7777 * 7777)
    seconds = max(median(whole), median(item))
    return Result(
        f"{seconds:.3f} s",
        median(floor),
        seconds < OPEN_LIMIT,
        f"the result of the run {median(whole):.3f} s, a value of task 0.7777 {median(item):.3f} s",
    )


def newest_runs(context: Context) -> Result:
    folder, store, release = project(context)
    context.say(f"writing {RUNS:,} runs")
    write_many(store, release)
    newest = [f"run-{n}" for n in range(RUNS - 1, RUNS - 11, -1)]
    ten, floor = seconds_of(context, folder, NEWEST, newest)
    every, _ = seconds_of(context, folder, ALL, RUNS)
    command = [context.command, "runs", "Many", "--limit", "10", "--json"]
    listed = [line["run"] for line in json.loads(run(command, cwd=folder))]
    if listed != newest:
        raise BenchError(f"flowinfra runs lists {listed} instead of {newest}")
    shown = [timed(command, cwd=folder) for _ in range(max(context.runs, BEST_OF))]
    return Result(
        f"{median(ten):.3f} s",
        median(floor),
        None,
        f"all {RUNS:,} of them {median(every):.3f} s; `flowinfra runs --limit 10` {median(shown):.3f} s",
    )


FIGURES = (
    Figure(
        "open",
        f"opening a run of {TASKS:,} tasks and reading one artifact, with the import",
        f"under {OPEN_LIMIT} s",
        one_artifact,
    ),
    Figure("listing", f"the newest 10 of {RUNS:,} runs, with the import", "costs what is shown", newest_runs),
)
