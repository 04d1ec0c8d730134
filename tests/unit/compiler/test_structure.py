"""Graph → blocks: nothing is lost, nothing is invented, and the time grows with the graph only."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings

from flowinfra.compiler.check import RULES, check
from flowinfra.compiler.structure import Kind, structure
from flowinfra.model.graph import End, FlowGraph, Foreach, Goto, Next, Split, StepNode, Switch
from flowinfra.model.program import Driver, Program, Task
from strategies import C, L, M, P, T, Tree, graph_of, owners_of, steps_of, tree_of, trees, wild_graphs


def program_of(graph: FlowGraph) -> Program:
    """The program of a graph that has one."""
    found = structure(graph)
    assert found.program is not None, found.problems
    return found.program


def holds_for(tree: Tree) -> None:
    """What must hold for the way from *tree* to its graph and back."""
    graph = graph_of(tree)
    program = program_of(graph)
    assert tree_of(program) == tree
    tasks = Counter(block.step for sequence in program.sequences for block in sequence if isinstance(block, Task))
    assert tasks == Counter(steps_of(tree)) == Counter(dict.fromkeys(graph.by_name, 1))
    assert sorted(owners_of(program)) == list(range(1, len(program.sequences)))
    # a sequence per branch, body, case or exit, a block per step, split, foreach, switch or loop: no more than edges
    assert sum(map(len, program.sequences)) + len(program.sequences) <= 4 * len(graph.steps) + 4
    assert check(graph) == []


@settings(max_examples=500, derandomize=True)
@given(trees())
def test_a_tree_of_blocks_comes_back_from_its_graph(tree: Tree) -> None:
    """Whatever is nested can be read from its edges alone: each step once, each sequence in one block."""
    holds_for(tree)


@pytest.mark.soak
@settings(max_examples=20_000, derandomize=True)
@given(trees(steps=40, depth=6))
def test_twenty_thousand_trees_come_back(tree: Tree) -> None:
    """As above, for more and larger trees."""
    holds_for(tree)


@settings(max_examples=500, derandomize=True)
@given(wild_graphs())
def test_what_is_accepted_means_the_graph_and_what_is_refused_is_told(graph: FlowGraph) -> None:
    """Of any graph at all: an accepted one is its program's own edges again, a refused one has a finding."""
    program = structure(graph).program
    if check(graph):
        return
    assert program is not None
    again = graph_of(tree_of(program))
    assert {s.name: (s.next, s.join) for s in again.steps} == {s.name: (s.next, s.join) for s in graph.steps}


# -- the shapes that every target runs (section 5 of the design) -------------------------------------------------------

STRAIGHT = ((("on",), ()),)


def two(one: Tree, other: Tree) -> tuple[tuple[tuple[str, ...], Tree], ...]:
    """Two cases."""
    return ((("a",), one), (("b",), other))


def loop(*body: T | P | M | C | L) -> L:
    """A loop with one way out."""
    return L(tuple(body), ("again",), STRAIGHT)


def each(*body: T | P | M | C | L) -> M:
    """A foreach."""
    return M(tuple(body))


A, B, D, E, F, G, H, J, K, X, Y, Z = map(T, "abdefghjkxyz")

SHAPES: dict[str, Tree] = {
    "linear": (A, B, Z),
    "one step": (Z,),
    "branch": (A, P(((B,), (D,))), J, Z),
    "three branches": (A, P(((B,), (D,), (E,))), J, Z),
    "nested branch": (A, P(((B, P(((D,), (E,))), F), (G,))), J, Z),
    "branches in a row": (A, P(((B,), (D,))), E, P(((F,), (G,))), J, Z),
    "a join that splits again": (A, P(((B,), (D,))), J, P(((E,), (F,))), Z),
    "foreach": (A, each(B), J, Z),
    "nested foreach of three levels": (A, each(B, each(D, each(E), F), G), J, Z),
    "foreach with a body of several steps": (A, each(B, D, E), J, Z),
    "branch in foreach": (A, each(B, P(((D,), (E,))), F), J, Z),
    "foreach in branch": (A, P(((B, each(D), E), (F,))), J, Z),
    "switch": (A, C(two((B,), (D,))), Z),
    "switch with a case straight on": (A, C(two((B,), ())), Z),
    "switch with every case straight on": (A, C(STRAIGHT), Z),
    "nested switch": (A, C(two((B, C(two((D,), (E,)))), (F,))), Z),
    "branch in switch": (A, C(two((B, P(((D,), (E,))), F), (G,))), Z),
    "switch in branch": (A, P(((B, C(two((D,), (E,))), F), (G,))), J, Z),
    "foreach in switch": (A, C(two((B, each(D), E), (F,))), Z),
    "switch in foreach": (A, each(B, C(two((D,), (E,))), F), J, Z),
    "switch in foreach, cases straight into the join": (A, each(B, C(two((D,), (E,)))), J, Z),
    "switch in foreach, one case empty": (A, each(B, C(two((D,), ()))), J, Z),
    "switch in branch, cases straight into the join": (A, P(((B, C(two((D,), (E,)))), (F,))), J, Z),
    "loop of one step": (A, loop(B), Z),
    "loop of several steps": (A, loop(B, D, E), Z),
    "loop at the start": (loop(A, B), Z),
    "loop with two exits": (A, L((B, D), ("again",), two((E,), (F,))), Z),
    "loop with two exits, one straight on": (A, L((B,), ("again",), two((E,), ())), Z),
    "loops in a row": (A, loop(B), loop(D), Z),
    "loop in foreach": (A, each(B, loop(D)), J, Z),
    "loop in foreach with two exits, one straight into the join": (A, each(L((B,), ("again",), two((D,), ()))), J, Z),
    "foreach in loop": (A, loop(B, each(D), E), Z),
    "branch in loop": (A, loop(B, P(((D,), (E,))), F), Z),
    "loop in branch": (A, P(((loop(B),), (D,))), J, Z),
    "loop in switch": (A, C(two((loop(B, D),), (E,))), Z),
    "switch in loop": (A, loop(B, C(two((D,), (E,))), F), Z),
    "loop in loop": (A, loop(B, loop(D, E), F), Z),
    "loop in loop in loop in foreach": (A, each(loop(B, loop(D, loop(E), F), G)), J, Z),
}


@pytest.mark.parametrize("tree", SHAPES.values(), ids=SHAPES)
def test_every_shape_of_the_design_is_accepted(tree: Tree) -> None:
    """Each named shape compiles without a finding to exactly its blocks."""
    holds_for(tree)


def test_a_dynamic_graph_is_a_driver_and_its_units() -> None:
    """A task that calls tasks becomes one driver and a single-task unit per task; its nodes need no transitions."""
    steps = [StepNode(name=n, entrypoint=f"flow:{n}") for n in ("main", "fit", "load")]
    graph = FlowGraph(name="main", kind="dynamic", start="main", steps=tuple(steps))
    assert program_of(graph) == Program(sequences=((Driver(step="main"),),), units=("fit", "load"))
    assert check(graph) == []


# -- size -----------------------------------------------------------------------------------------------------------


def linear(n: int) -> dict[str, tuple[Next, bool]]:
    """N steps in a row."""
    return {f"s{i}": (Goto(to=f"s{i + 1}") if i < n - 1 else End(), False) for i in range(n)}


def splits_in_a_row(n: int) -> dict[str, tuple[Next, bool]]:
    """Groups of four steps: 2**(n/4) paths."""
    out: dict[str, tuple[Next, bool]] = {}
    for i in range(0, n, 4):
        a, b, c, d, e = (f"s{i + k}" for k in range(5))
        out |= {a: (Split(to=(b, c)), False), b: (Goto(to=d), False), c: (Goto(to=d), False)}
        out[d] = (Goto(to=e) if i + 4 < n else End(), True)
    return out


def switches_in_a_row(n: int) -> dict[str, tuple[Next, bool]]:
    """Groups of three steps, one case straight on."""
    out: dict[str, tuple[Next, bool]] = {}
    for i in range(0, n, 3):
        a, b, c, d = (f"s{i + k}" for k in range(4))
        out |= {a: (Switch(on="x", cases={"p": b, "q": c}), False), b: (Goto(to=c), False)}
        out[c] = (Goto(to=d) if i + 3 < n else End(), False)
    return out


def ladder(n: int) -> dict[str, tuple[Next, bool]]:
    """Each step goes on or gives up: n switches nested in one another."""
    out: dict[str, tuple[Next, bool]] = {"stop": (End(), False)}
    for i in range(n - 1):
        to = f"s{i + 1}" if i < n - 2 else "stop"
        out[f"s{i}"] = (Switch(on="x", cases={"on": to, "up": "stop"}), False)
    return out


def nested_foreach(n: int) -> dict[str, tuple[Next, bool]]:
    """n/2 foreach inside one another."""
    half = n // 2
    out: dict[str, tuple[Next, bool]] = {
        f"s{i}": (Foreach(to=f"s{i + 1}", over="x"), False) if i < half - 1 else (Goto(to="j0"), False)
        for i in range(half)
    }
    for i in range(half - 1):
        out[f"j{i}"] = (Goto(to=f"j{i + 1}") if i < half - 2 else End(), True)
    return out


def nested_loops(n: int) -> dict[str, tuple[Next, bool]]:
    """n/2 loops inside one another."""
    half = n // 2
    out: dict[str, tuple[Next, bool]] = {
        f"s{i}": (Goto(to=f"s{i + 1}" if i < half - 1 else f"d{half - 1}"), False) for i in range(half)
    }
    for i in range(half):
        cases = {"again": f"s{i}", "on": f"d{i - 1}" if i else "end"}
        out[f"d{i}"] = (Switch(on="x", cases=cases), False)
    return out | {"end": (End(), False)}


LARGE = [linear, splits_in_a_row, switches_in_a_row, ladder, nested_foreach, nested_loops]


def calls_for(make: Callable[[int], dict[str, tuple[Next, bool]]], n: int) -> tuple[float, int]:
    """How many lines the structure of a graph of about *n* steps takes, per step, and how many blocks it has."""
    nodes = make(n)
    steps = [StepNode(name=k, entrypoint=f"flow:F.{k}", next=to, join=join) for k, (to, join) in nodes.items()]
    graph = FlowGraph(name="F", start="s0", steps=tuple(steps))
    lines = 0

    def trace(frame, event, _):
        nonlocal lines
        if not frame.f_code.co_filename.endswith("compiler/structure.py"):
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        found = structure(graph)
    finally:
        sys.settrace(before)
    assert found.program is not None, found.problems
    return lines / len(steps), sum(map(len, found.program.sequences)) + len(found.program.sequences)


@pytest.mark.parametrize("make", LARGE, ids=lambda f: f.__name__)
def test_the_work_grows_with_the_graph_only(make: Callable[[int], dict[str, tuple[Next, bool]]]) -> None:
    """Sixteen times as many steps take the same work per step and no deeper stack (counted in lines, not in seconds)."""
    few, _ = calls_for(make, 300)
    many, blocks = calls_for(make, 4800)
    assert many < 1.1 * few
    assert blocks <= 4 * 4800


# -- what no nesting expresses: one graph per kind of problem ------------------------------------------------------------


def graph_with(**steps: Next) -> FlowGraph:
    """A graph out of transitions; steps called `j...` are joins."""
    nodes = [StepNode(name=n, entrypoint=f"f:F.{n}", next=to, join=n.startswith("j")) for n, to in steps.items()]
    return FlowGraph(name="F", start="start", steps=tuple(nodes))


def to(*names: str) -> Next:
    """Goto or split."""
    return Goto(to=names[0]) if len(names) == 1 else Split(to=names)


def over(name: str) -> Next:
    """Foreach."""
    return Foreach(to=name, over="xs")


def on(**cases: str) -> Next:
    """Switch."""
    return Switch(on="x", cases=cases)


BROKEN: dict[Kind, tuple[str, FlowGraph]] = {
    Kind.NO_START: ("FI201", graph_with(begin=to("end"), end=End())),
    Kind.UNKNOWN_STEP: ("FI203", graph_with(start=on(p="missing", q="end"), end=End())),
    Kind.UNREACHABLE: ("FI204", graph_with(start=to("end"), a=to("b"), b=to("end"), end=End())),
    Kind.NEVER_JOINED: ("FI205", graph_with(start=over("a"), a=to("end"), end=End())),
    Kind.NOTHING_TO_JOIN: ("FI206", graph_with(start=to("j"), j=to("end"), end=End())),
    Kind.NEEDS_INPUTS: ("FI207", graph_with(start=to("a", "b"), a=to("end"), b=to("end"), end=End())),
    Kind.CROSSES_SCOPE: (
        "FI208",
        graph_with(start=on(p="a", q="b"), a=over("b"), b=to("j"), j=to("end"), end=End()),
    ),
    Kind.EMPTY_BRANCH: ("FI209", graph_with(start=to("a", "j"), a=to("j"), j=to("end"), end=End())),
    Kind.TWO_JOINS: (
        "FI210",
        graph_with(start=to("a", "b"), a=to("j1"), b=to("j2"), j1=to("end"), j2=to("end"), end=End()),
    ),
    Kind.ENDLESS: ("FI211", graph_with(start=to("a"), a=on(p="b", q="end"), b=to("a"), end=End())),
    Kind.TWO_LOOPS: ("FI212", graph_with(start=to("a"), a=on(p="a", q="b"), b=on(p="a", q="end"), end=End())),
    Kind.NO_WAY_OUT: ("FI213", graph_with(start=on(p="a", q="end"), a=to("b"), b=on(p="a", q="a"), end=End())),
    Kind.NOT_NESTED: (
        "FI214",
        graph_with(start=to("a"), a=on(leave="end", stay="b"), b=on(again="a", done="end"), end=End()),
    ),
}


def test_every_kind_of_problem_has_an_example_and_a_rule() -> None:
    """No way to be wrong is without a graph that shows it and a rule that words it."""
    assert set(BROKEN) == set(Kind)
    assert {getattr(rule, "kind", None) for rule in RULES} - {None} == set(Kind)


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
def test_each_problem_is_one_finding(kind: Kind) -> None:
    """A graph that is wrong in one way gets the one finding that says so, which explains itself and says what to do."""
    code, graph = BROKEN[kind]
    assert [problem.kind for problem in structure(graph).problems] == [kind]
    (finding,) = check(graph)
    assert finding.code == code
    assert finding.summary
    assert finding.detail
    assert finding.hint
