"""A run of a program on paper: walks the blocks and hands values on, without deriving anything from an id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from flowinfra.compiler.structure import structure
from strategies import Tree, graph_of

Place = tuple[str, str]


def program_of(tree: Tree) -> dict[str, Any]:
    """The program of *tree* as a release holds it."""
    program = structure(graph_of(tree)).program
    assert program is not None
    content = program.content()
    assert isinstance(content, dict)
    return content


@dataclass
class Walk:
    """What happens when a program runs; what it decides follows from *seed*.

    Attributes:
        parents: of each task, in the order in which they ran one by one.
        control: what each deciding task has left.
        last: by (decider, id with which its loop was entered): the last iteration.
    """

    program: Mapping[str, Any]
    seed: int
    parents: dict[Place, list[Place]] = field(default_factory=dict)
    control: dict[Place, Any] = field(default_factory=dict)
    last: dict[Place, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ends = self._sequence(0, "0", [])

    def _draw(self, below: int, *about: object) -> int:
        return sha256(repr((self.seed, about)).encode()).digest()[0] % below

    def _sequence(self, number: int, path: str, feed: list[Place]) -> list[Place]:
        blocks: Sequence[Mapping[str, Any]] = self.program["sequences"][number]
        for at, block in enumerate(blocks):
            before = blocks[at - 1].get("step", "") if at else ""
            match block["kind"]:
                case "task":
                    self.parents[block["step"], path] = feed
                    feed = [(block["step"], path)]
                case "parallel":
                    feed = [end for branch in block["branches"] for end in self._sequence(branch, path, feed)]
                case "map":
                    items = list(range(self._draw(4, before, path)))
                    self.control[before, path] = items
                    feed = [end for i in items for end in self._sequence(block["body"], f"{path}.{i}", feed)]
                case "choice":
                    cases = sorted(block["cases"])
                    case = cases[self._draw(len(cases), before, path)]
                    self.control[before, path] = case
                    feed = self._sequence(block["cases"][case], path, feed)
                case "loop":
                    feed = self._loop(block, path, feed)
        return feed

    def _loop(self, block: Mapping[str, Any], path: str, feed: list[Place]) -> list[Place]:
        decider = self.program["sequences"][block["body"]][-1]["step"]
        turns = self._draw(3, decider, path)
        for n in range(turns + 1):
            feed = self._sequence(block["body"], f"{path}-{n}", feed)
            cases = sorted(block["again"] if n < turns else block["exits"])
            self.control[decider, f"{path}-{n}"] = cases[self._draw(len(cases), decider, path, n)]
        self.last[decider, path] = turns
        return self._sequence(block["exits"][self.control[decider, f"{path}-{turns}"]], path, feed)
