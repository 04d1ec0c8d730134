"""The block tree of a flow: the one form that every target consumes.

A program is a table of *sequences*; sequence 0 is the whole flow. A sequence is a list of blocks, and a block refers to
the sequences inside it by number. So the tree is as flat as JSON at any depth, a task finds its place by two look-ups,
and nothing recurses over user input.

What fans out or decides stands right behind the task that decides it; what joins stands right behind that::

    0: task start · map(1) · task join · choice{good: 2, bad: 3} · task end
    1: task fit
    2: task publish
    3: (empty)
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flowinfra.model.base import Value

__all__ = ["Block", "Choice", "Driver", "Loop", "Map", "Parallel", "Program", "Task"]


class Task(Value):
    """Run one step."""

    kind: Literal["task"] = "task"
    step: str


class Parallel(Value):
    """Run all branches side by side; ``join`` is the step right behind."""

    kind: Literal["parallel"] = "parallel"
    branches: tuple[int, ...]
    join: str


class Map(Value):
    """Run the body once per item of ``over`` of the task before; ``join`` is the step right behind."""

    kind: Literal["map"] = "map"
    body: int
    over: str
    join: str
    max_concurrency: int | None = None


class Choice(Value):
    """Run the case that the task before names; a case may be empty."""

    kind: Literal["choice"] = "choice"
    on: str
    cases: dict[str, int]


class Loop(Value):
    """Run the body, whose last task decides: one of the cases ``again`` repeats it, an exit goes on."""

    kind: Literal["loop"] = "loop"
    on: str
    body: int
    again: tuple[str, ...]
    exits: dict[str, int]


class Driver(Value):
    """Run the task that calls the other tasks (dynamic graphs)."""

    kind: Literal["driver"] = "driver"
    step: str


Block = Annotated[Task | Parallel | Map | Choice | Loop | Driver, Field(discriminator="kind")]


class Program(Value):
    """A table of sequences; the first is the whole flow, and each other belongs to exactly one block."""

    sequences: tuple[tuple[Block, ...], ...]
    units: tuple[str, ...] = ()
    """Single-task programs that a driver starts, by step (dynamic graphs)."""
