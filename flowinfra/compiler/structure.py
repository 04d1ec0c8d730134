"""Graph of steps → table of sequences of blocks, in time linear in the graph.

Three passes, each over every edge once:

1. *Scopes.* Each step gets the stack of what is open around it: a split or foreach pushes a cell per branch, a join
   pops one. Stacks are linked cells compared by identity, so an edge costs one comparison. All edges into a step must
   agree; where they do not, a branch never joins, a join has nothing to join, or an edge crosses a scope.
2. *Merges.* Where the cases of a switch meet again is its immediate post-dominator over the forward edges (Cooper,
   Harvey and Kennedy, "A Simple, Fast Dominance Algorithm", 2001). An edge back into a step that is still open in the
   depth-first walk makes a loop, whose body ends with the step that decides.
3. *Blocks.* One walk from the start emits every step exactly once. A work list instead of recursion, so that depth is
   no limit.

What no nesting can express is a :class:`Problem` that names the steps; the rules in ``check`` word it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from flowinfra.model.graph import End, FlowGraph, Foreach, Goto, Split, StepNode, Switch, targets_of
from flowinfra.model.program import Block, Choice, Driver, Loop, Map, Parallel, Program, Task

__all__ = ["Kind", "Problem", "Structure", "structure"]


class Kind(enum.Enum):
    """What can be wrong with the shape of a graph."""

    NO_START = enum.auto()
    UNKNOWN_STEP = enum.auto()
    UNREACHABLE = enum.auto()
    NEVER_JOINED = enum.auto()
    NOTHING_TO_JOIN = enum.auto()
    TWO_JOINS = enum.auto()
    NEEDS_INPUTS = enum.auto()
    CROSSES_SCOPE = enum.auto()
    EMPTY_BRANCH = enum.auto()
    ENDLESS = enum.auto()
    TWO_LOOPS = enum.auto()
    NOT_NESTED = enum.auto()
    NO_WAY_OUT = enum.auto()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that no nesting can express; ``step`` is where it is reported, ``others`` complete the sentence."""

    kind: Kind
    step: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Structure:
    """The result: a program, or the problems that stand in its way (then ``program`` is None)."""

    program: Program | None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Cell:
    """One open branch: who opened it, through which target, inside what. Compared by identity."""

    opener: str
    branch: str
    outer: _Cell | None


@dataclass(slots=True)
class _Scopes:
    """What pass 1 finds out."""

    cells: dict[str, _Cell | None] = field(default_factory=dict)
    joins: dict[str, str] = field(default_factory=dict)  # opener -> the step that joins it
    back: set[tuple[str, str]] = field(default_factory=set)
    order: list[str] = field(default_factory=list)  # successors before their predecessors
    problems: list[Problem] = field(default_factory=list)


def structure(graph: FlowGraph) -> Structure:
    """The block tree of *graph*, or everything that keeps it from being one."""
    steps = graph.by_name
    if graph.start not in steps:
        return Structure(None, (Problem(Kind.NO_START, graph.start),))
    if graph.kind == "dynamic":
        units = tuple(name for name in steps if name != graph.start)
        return Structure(Program(sequences=((Driver(step=graph.start),),), units=units))
    scopes = _scopes(graph)
    if scopes.problems:
        return Structure(None, _causes(scopes.problems))
    return _Builder(graph, scopes).build()


# -- pass 1 ---------------------------------------------------------------------------------------------------------


def _scopes(graph: FlowGraph) -> _Scopes:
    steps, out = graph.by_name, _Scopes()
    opened: dict[tuple[str, str], _Cell] = {}
    out.cells[graph.start] = None
    is_open = {graph.start}
    closed: set[str] = set()
    walk: list[tuple[StepNode, Iterator[str]]] = [(steps[graph.start], iter(targets_of(steps[graph.start].next)))]
    while walk:
        node, rest = walk[-1]
        to = next(rest, None)
        if to is None:
            walk.pop()
            is_open.discard(node.name)
            closed.add(node.name)
            out.order.append(node.name)
            cell = out.cells[node.name]
            if isinstance(node.next, End) and cell is not None:
                out.problems.append(Problem(Kind.NEVER_JOINED, cell.opener, (node.name,)))
            continue
        if to not in steps:
            out.problems.append(Problem(Kind.UNKNOWN_STEP, node.name, (to,)))
            continue
        entered, cell = _enter(node, steps[to], out, opened)
        if not entered:
            continue
        if to in out.cells and not _agree(node, to, cell, out):
            continue
        if to in is_open:
            if isinstance(node.next, Switch):
                out.back.add((node.name, to))
            else:
                out.problems.append(Problem(Kind.ENDLESS, node.name, (to,)))
        elif to not in closed:
            out.cells[to] = cell
            is_open.add(to)
            walk.append((steps[to], iter(targets_of(steps[to].next))))
    out.problems += [Problem(Kind.UNREACHABLE, name) for name in _first_unreached(graph)]
    return out


def _first_unreached(graph: FlowGraph) -> list[str]:
    """The steps that no way from the start leads to; of those that lead to one another, the ones where it begins."""
    steps = graph.by_name

    def reach(names: list[str], seen: set[str]) -> None:
        todo = [name for name in names if name not in seen]
        seen.update(todo)
        while todo:
            for to in targets_of(steps[todo.pop()].next):
                if to in steps and to not in seen:
                    seen.add(to)
                    todo.append(to)

    seen: set[str] = set()
    reach([graph.start], seen)
    rest = [name for name in steps if name not in seen]
    led_to = {to for name in rest for to in targets_of(steps[name].next) if to != name}
    first = [name for name in rest if name not in led_to]
    reach(first, seen)
    for name in rest:
        if name not in seen:  # a ring: any of its steps stands for it
            first.append(name)
            reach([name], seen)
    return first


def _causes(problems: list[Problem]) -> tuple[Problem, ...]:
    """The problems without those that only follow from another one, so that one mistake is one finding."""
    met_early = {p.others[0] for p in problems if p.kind is Kind.NEEDS_INPUTS}
    open_at = {(p.step, p.others[0]) for p in problems if p.kind is Kind.NEVER_JOINED}
    first = {p.step: p for p in reversed(problems) if p.kind is Kind.NOTHING_TO_JOIN}

    def follows(p: Problem) -> bool:
        if p.kind is Kind.NEVER_JOINED:
            return p.step in met_early
        if p.kind is Kind.NOTHING_TO_JOIN:
            return p is not first[p.step]
        return p.kind is Kind.CROSSES_SCOPE and any((name, p.step) in open_at for name in p.others[:2])

    return tuple(dict.fromkeys(p for p in problems if not follows(p)))


def _enter(
    node: StepNode, to: StepNode, out: _Scopes, opened: dict[tuple[str, str], _Cell]
) -> tuple[bool, _Cell | None]:
    """The cell in which *to* stands when it is reached from *node*; False where that is a problem by itself."""
    cell = out.cells[node.name]
    if isinstance(node.next, Split | Foreach):
        if to.join:
            out.problems.append(Problem(Kind.EMPTY_BRANCH, node.name, (to.name,)))
            return False, None
        cell = opened.setdefault((node.name, to.name), _Cell(node.name, to.name, cell))
    if to.join:
        if cell is None:
            out.problems.append(Problem(Kind.NOTHING_TO_JOIN, to.name, (node.name,)))
            return False, None
        join = out.joins.setdefault(cell.opener, to.name)
        if join != to.name:
            out.problems.append(Problem(Kind.TWO_JOINS, cell.opener, tuple(sorted((join, to.name)))))
            return False, None
        cell = cell.outer
    return True, cell


def _agree(node: StepNode, to: str, cell: _Cell | None, out: _Scopes) -> bool:
    before = out.cells[to]
    if before is cell:
        return True
    if before is not None and cell is not None and before.opener == cell.opener and before.outer is cell.outer:
        out.problems.append(Problem(Kind.NEEDS_INPUTS, to, (cell.opener,)))
    else:
        inside = (before.opener if before else "", cell.opener if cell else "", node.name)
        out.problems.append(Problem(Kind.CROSSES_SCOPE, to, inside))
    return False


# -- pass 2 ---------------------------------------------------------------------------------------------------------


def _merges(graph: FlowGraph, scopes: _Scopes) -> dict[str, str | None]:
    """The immediate post-dominator of each step over the forward edges; None where there is none."""
    index = {name: i for i, name in enumerate(scopes.order)}
    merge: dict[str, str | None] = {}

    def meet(a: str | None, b: str | None) -> str | None:
        while a != b:
            if a is None or b is None:
                return None
            if index[a] > index[b]:
                a = merge[a]
            else:
                b = merge[b]
        return a

    for name in scopes.order:
        forward = [t for t in targets_of(graph.step(name).next) if (name, t) not in scopes.back]
        found = forward[0] if forward else None
        for other in forward[1:]:
            found = meet(found, other)
        merge[name] = found
    return merge


# -- pass 3 ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Work:
    """Fill sequence ``number`` with the steps from ``at``, to which ``via`` leads, up to, not including, ``stop``."""

    number: int
    via: str
    at: str | None
    stop: str | None
    closing: str | None = None  # the head of the loop whose body this is


class _Builder:
    def __init__(self, graph: FlowGraph, scopes: _Scopes) -> None:
        self.graph, self.scopes = graph, scopes
        self.merge = _merges(graph, scopes)
        self.sequences: list[list[Block]] = []
        self.todo: list[_Work] = []
        self.done: set[str] = set()
        self.problems: list[Problem] = []
        self.heads: dict[str, str] = {}
        for decider, head in sorted(scopes.back):
            if self.heads.setdefault(head, decider) != decider:
                self.problems.append(Problem(Kind.TWO_LOOPS, head, (self.heads[head], decider)))

    def build(self) -> Structure:
        if not self.problems:
            self.open("", self.graph.start, None)
            while self.todo and not self.problems:
                self.fill(self.todo.pop())
        if not self.problems:
            missed = [s.name for s in self.graph.steps if s.name not in self.done]
            self.problems += [Problem(Kind.NOT_NESTED, name, (name,)) for name in missed]
        if self.problems:
            return Structure(None, tuple(dict.fromkeys(self.problems)))
        return Structure(Program(sequences=tuple(tuple(s) for s in self.sequences)))

    def open(self, via: str, at: str | None, stop: str | None, closing: str | None = None) -> int:
        """A new sequence, to be filled later; its number."""
        number = len(self.sequences)
        self.sequences.append([])
        self.todo.append(_Work(number, via, at, stop, closing))
        return number

    def fill(self, work: _Work) -> None:
        blocks, via, at = self.sequences[work.number], work.via, work.at
        while at is not None and at != work.stop and not self.problems:
            if at in self.done:
                self.problems.append(Problem(Kind.NOT_NESTED, via, (at,)))
                return
            if at in self.heads and at != work.closing:
                via, at = self.heads[at], self.loop(blocks, at)
                continue
            self.done.add(at)
            blocks.append(Task(step=at))
            if work.closing is not None and self.heads[work.closing] == at:
                return  # the decider ends the body; its cases belong to the loop
            via, at = at, self.after(blocks, at)

    def after(self, blocks: list[Block], at: str) -> str | None:
        """Append what stands behind the task *at*; the step to go on with."""
        match self.graph.step(at).next:
            case End():
                return None
            case Goto(to=to):
                return to
            case Split() | Foreach() if at not in self.scopes.joins:
                self.problems.append(Problem(Kind.NEVER_JOINED, at))
                return None
            case Split(to=to):
                join = self.scopes.joins[at]
                each = dict.fromkeys(to)  # a rule refuses one that is there twice
                blocks.append(Parallel(branches=tuple(self.open(at, t, join) for t in each), join=join))
                return join
            case Foreach(to=to, over=over, max_concurrency=most):
                join = self.scopes.joins[at]
                blocks.append(Map(body=self.open(at, to, join), over=over, join=join, max_concurrency=most))
                return join
            case Switch(on=on, cases=cases):
                if head := next((to for to in cases.values() if (at, to) in self.scopes.back), None):
                    self.problems.append(Problem(Kind.NOT_NESTED, at, (head,)))
                    return None
                merge = self.merge[at]
                blocks.append(Choice(on=on, cases=self.cases(at, cases, merge)))
                return merge

    def loop(self, blocks: list[Block], head: str) -> str | None:
        decider = self.heads[head]
        switch = self.graph.step(decider).next
        assert isinstance(switch, Switch)  # pass 1 takes an edge back only from a switch
        again = tuple(sorted(case for case, to in switch.cases.items() if to == head))
        leaving = {case: to for case, to in sorted(switch.cases.items()) if to != head}
        if not leaving:
            self.problems.append(Problem(Kind.NO_WAY_OUT, decider, (head,)))
            return None
        if other := next((to for to in leaving.values() if (decider, to) in self.scopes.back), None):
            self.problems.append(Problem(Kind.NOT_NESTED, decider, (other,)))
            return None
        after = self.merge[decider] if len(set(leaving.values())) > 1 else next(iter(leaving.values()))
        body = self.open(decider, head, None, head)
        blocks.append(Loop(on=switch.on, body=body, again=again, exits=self.cases(decider, leaving, after)))
        return after

    def cases(self, via: str, cases: dict[str, str], merge: str | None) -> dict[str, int]:
        """A sequence per target of the cases; cases with the same target share it."""
        number = {to: self.open(via, to, merge) for to in dict.fromkeys(to for _, to in sorted(cases.items()))}
        return {case: number[to] for case, to in sorted(cases.items())}
