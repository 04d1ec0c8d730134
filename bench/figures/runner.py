"""Running flows from Python: what a Runner adds, how soon one hears of it, and many at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench import peer
from bench.figures.local import FLOWS, TIMES_FASTER, for_peer
from bench.measure import BenchError, Context, Figure, Result, bare, median, run, timed

MOST_ADDED = 0.1
MOST_LAG = 0.05
MANY = 200

USE = """
from flowinfra import Runner
with Runner("line.py", show_output=False).run() as running:
    if running.status != "successful" or running.run["end"].task["value"].data != 20:
        raise SystemExit(running.stderr)
"""

STAMPS = """
import time
from flowinfra import FlowSpec, step

class Stamps(FlowSpec):
    @step
    def start(self):
        for _ in range(100):
            print("at", time.time(), flush=True)
            time.sleep(0.02)
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Stamps()
"""

# The marker of the end is written before the run's process ends, and its time is that of the file.
LISTEN = """
import asyncio, json, os, time
from pathlib import Path
from flowinfra import Runner

async def main():
    with await Runner("stamps.py").async_run() as running:
        lags = []
        async for _, line in running.stream_log("stdout"):
            if " at " in line:
                lags.append(time.time() - float(line.rpartition(" ")[2]))
        await running.wait()
        heard = time.time()
        assert running.status == "successful", running.stderr
        end = next(Path(".flowinfra/store").rglob(f"{running.run.id}/end.json"))
        print(json.dumps([sorted(lags), heard - os.stat(end).st_mtime]))

asyncio.run(main())
"""

CROWD = """
import asyncio, json, resource, sys, time
from flowinfra import Runner

async def one():
    running = await Runner("line.py", show_output=False).async_run()
    await running.wait()
    with running:
        return running.status

async def main():
    started = time.perf_counter()
    statuses = await asyncio.gather(*(one() for _ in range(int(sys.argv[1]))))
    assert set(statuses) == {"successful"}, statuses
    return time.perf_counter() - started

seconds = asyncio.run(main())
unit = 1 if sys.platform == "darwin" else 1024
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit]))
"""


def folder_of(context: Context, name: str, **files: str) -> Path:
    """A project of its own with these files, by the names of their modules."""
    folder = context.scratch / name
    (folder / ".flowinfra").mkdir(parents=True)
    for module, text in files.items():
        (folder / f"{module}.py").write_text(text, encoding="utf-8")
    return folder


def line() -> str:
    """The flow of 20 steps in a row."""
    return (FLOWS / "line.py").read_text(encoding="utf-8")


def added(context: Context) -> Result:
    folder = folder_of(context, "added", line=line(), use=USE)
    for script in (["line.py", "run"], ["use.py"]):  # not counted
        timed([sys.executable, *script], cwd=folder)
    direct, through, floor = [], [], []
    for _ in range(max(context.runs, 5)):
        floor.append(bare(folder))
        direct.append(timed([sys.executable, "line.py", "run"], cwd=folder))
        through.append(timed([sys.executable, "use.py"], cwd=folder))
    more = median(through) - median(direct)
    return Result(
        f"{more * 1e3:+.0f} ms ({median(through) * 1e3:.0f} ms beside {median(direct) * 1e3:.0f} ms)",
        median(floor),
        more <= MOST_ADDED,
        "whole processes; the one with the Runner also reads an artifact back",
    )


def beside(context: Context) -> Result:
    theirs_python = peer.metaflow(context)
    own_folder = folder_of(context, "own", line=line(), use=USE)
    their_folder = folder_of(context, "peer", line=for_peer(line()), use=for_peer(USE))
    settings = peer.settings(their_folder)
    timed([sys.executable, "use.py"], cwd=own_folder)  # not counted
    timed([str(theirs_python), "use.py"], cwd=their_folder, env=settings)
    own, theirs, floor = [], [], []
    for number in range(context.runs):
        floor.append(bare(context.scratch))
        own.append(timed([sys.executable, "use.py"], cwd=own_folder))
        theirs.append(timed([str(theirs_python), "use.py"], cwd=their_folder, env=settings))
        context.say(f"pair {number + 1}: {own[-1]:.2f} s beside {theirs[-1]:.2f} s")
    ratio = median(theirs) / median(own)
    return Result(
        f"{ratio:.1f} times as fast ({median(own):.2f} s beside {median(theirs):.2f} s)",
        median(floor),
        ratio >= TIMES_FASTER,
        f"Metaflow {peer.version()}; {min(own):.2f} to {max(own):.2f} s beside {min(theirs):.2f} to {max(theirs):.2f} s",
    )


def lag(context: Context) -> Result:
    folder = folder_of(context, "lag", stamps=STAMPS, listen=LISTEN)
    lines, ends, worst, floor = [], [], [], []
    for _ in range(context.runs):
        floor.append(bare(folder))
        lags, end = json.loads(run([sys.executable, "listen.py"], cwd=folder).splitlines()[-1])
        if len(lags) != 100:
            raise BenchError(f"{len(lags)} of 100 lines came")
        lines.append(median(lags))
        worst.append(lags[98])
        ends.append(end)
    met = median(worst) <= MOST_LAG and median(ends) <= MOST_LAG
    return Result(
        f"a line after {median(lines) * 1e3:.1f} ms, the end after {median(ends) * 1e3:.0f} ms",
        median(floor),
        met,
        f"99 of 100 lines within {median(worst) * 1e3:.1f} ms",
    )


def many(context: Context) -> Result:
    folder = folder_of(context, "many", line=line(), crowd=CROWD)
    floor = bare(folder)
    seconds, peak = json.loads(run([sys.executable, "crowd.py", str(MANY)], cwd=folder).splitlines()[-1])
    return Result(
        f"{seconds:.0f} s, {seconds / MANY * 1e3:.0f} ms each",
        floor,
        None,
        f"20 steps each; all succeeded; who started them had {peak / 2**20:.0f} MiB at most; measured once",
    )


FIGURES = (
    Figure("runner", "20 no-op steps in a row through Runner, beside Metaflow's", "at least 20 times as fast", beside),
    Figure("runner-added", "What Runner adds to a run of 20 steps", "at most 100 ms", added),
    Figure("runner-lag", "From a printed line to stream_log, and from the end to wait()", "under 50 ms", lag),
    Figure("runner-many", "200 runs of 20 steps from one event loop, all at once", "each status right", many),
)
