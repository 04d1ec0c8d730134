"""How long it takes to find the blocks of a graph."""

from __future__ import annotations

import gc
import time

from bench.measure import BenchError, Context, Figure, Result, bare, median
from flowinfra.compiler.structure import structure
from flowinfra.model.graph import End, FlowGraph, Goto, Split, StepNode

BRANCHES = 5
# Twice the steps take twice as long where it is linear, four times where it is quadratic; caches take their share.
LINEAR = 3


def splits_in_a_row(splits: int, steps: int) -> FlowGraph:
    """A flow of *splits* splits one behind the other, lengthened by plain steps to *steps*."""
    nodes: list[StepNode] = []
    for number in range(splits):
        names = tuple(f"branch_{number}_{branch}" for branch in range(BRANCHES))
        nodes.append(StepNode(name=f"split_{number}", entrypoint="flow:F.split", next=Split(to=names)))
        nodes += [StepNode(name=name, entrypoint="flow:F.branch", next=Goto(to=f"join_{number}")) for name in names]
        after = f"split_{number + 1}" if number + 1 < splits else "tail_0"
        nodes.append(StepNode(name=f"join_{number}", entrypoint="flow:F.join", join=True, next=Goto(to=after)))
    tail = steps - len(nodes)
    for number in range(tail):
        last = number + 1 == tail
        nodes.append(
            StepNode(
                name=f"tail_{number}", entrypoint="flow:F.tail", next=End() if last else Goto(to=f"tail_{number + 1}")
            )
        )
    return FlowGraph(name="Row", start="split_0", steps=tuple(nodes))


def times_for(graph: FlowGraph, runs: int) -> list[float]:
    """The times in which the blocks of *graph* are found.

    As `timeit` does, without the cyclic garbage collector: when it comes along depends on everything else in memory.
    """
    times = []
    gc.disable()
    try:
        for _ in range(runs):
            started = time.perf_counter()
            found = structure(graph)
            times.append(time.perf_counter() - started)
            if found.program is None:
                raise BenchError("the graph has no structure")
    finally:
        gc.enable()
    return times


def row(context: Context) -> Result:
    graph = splits_in_a_row(28, 200)
    seconds = median(times_for(graph, max(context.runs, 21)))
    floor = median(bare(context.scratch) for _ in range(3))
    return Result(f"{seconds * 1e3:.2f} ms", floor, seconds < 0.05, f"{len(graph.steps)} steps")


def scaling(context: Context) -> Result:
    sizes = (500, 2_500, 5_000)
    best = [min(times_for(splits_in_a_row(steps // 8, steps), max(context.runs, 9))) for steps in sizes]
    floor = median(bare(context.scratch) for _ in range(3))
    doubled = best[2] / best[1]
    per_step = ", ".join(f"{seconds / steps * 1e6:.1f}" for seconds, steps in zip(best, sizes, strict=True))
    # The smallest fits the processor's caches and is quicker per step for that; so the last doubling decides.
    return Result(f"{doubled:.2f} times ({per_step} µs per step at 500, 2,500 and 5,000)", floor, doubled < LINEAR)


FIGURES = (
    Figure("structure", "structure of 28 splits in a row (200 steps)", "under 50 ms", row),
    Figure("scaling", "structure of 5,000 steps against 2,500, best of 9", f"linear: under {LINEAR} times", scaling),
)
