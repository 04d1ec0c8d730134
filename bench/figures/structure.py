"""How long it takes to find the blocks of a graph."""

from __future__ import annotations

import time

from bench.measure import BenchError, Context, Figure, Result, bare, median
from flowinfra.compiler.structure import structure
from flowinfra.model.graph import End, FlowGraph, Goto, Split, StepNode

BRANCHES = 5


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


def seconds_for(graph: FlowGraph, runs: int) -> float:
    """The median time in which the blocks of *graph* are found."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        found = structure(graph)
        times.append(time.perf_counter() - started)
        if found.program is None:
            raise BenchError("the graph has no structure")
    return median(times)


def row(context: Context) -> Result:
    graph = splits_in_a_row(28, 200)
    seconds = seconds_for(graph, max(context.runs, 21))
    floor = median(bare(context.scratch) for _ in range(3))
    return Result(f"{seconds * 1e3:.2f} ms", floor, seconds < 0.05, f"{len(graph.steps)} steps")


def scaling(context: Context) -> Result:
    small, large = (splits_in_a_row(count // 8, count) for count in (500, 5_000))
    runs = max(context.runs, 5)
    per_step = [seconds_for(graph, runs) / len(graph.steps) * 1e6 for graph in (small, large)]
    floor = median(bare(context.scratch) for _ in range(3))
    ratio = per_step[1] / per_step[0]
    told = f"{per_step[0]:.2f} and {per_step[1]:.2f} µs per step, ratio {ratio:.2f}"
    return Result(told, floor, ratio < 2)


FIGURES = (
    Figure("structure", "structure of 28 splits in a row (200 steps)", "under 50 ms", row),
    Figure("scaling", "structure of 500 and of 5,000 steps", "linear: under twice per step", scaling),
)
