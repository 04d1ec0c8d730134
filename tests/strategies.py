"""Random flows for property tests: a tree of blocks, the graph that it flattens to, and graphs that fit nothing.

A tree is written with the small classes here, not with the product's own, so that the way there and the way back are
two pieces of code: :func:`graph_of` flattens a tree, :func:`tree_of` reads the compiler's program back into one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from flowinfra.model import program as blocks
from flowinfra.model.environment import Environment, Resources
from flowinfra.model.graph import (
    Catch,
    End,
    FlowGraph,
    Foreach,
    Goto,
    Location,
    Next,
    ParameterSpec,
    Policy,
    Retry,
    Split,
    StepNode,
    Switch,
)

# -- trees ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class T:
    """Run a step."""

    step: str


@dataclass(frozen=True)
class P:
    """Branches side by side; the task behind it joins them."""

    branches: tuple[Tree, ...]


@dataclass(frozen=True)
class M:
    """The body once per item; the task behind it joins them."""

    body: Tree
    over: str = "items"
    most: int | None = None


@dataclass(frozen=True)
class C:
    """One of the cases; cases that lead to the same place stand together."""

    cases: tuple[tuple[tuple[str, ...], Tree], ...]
    on: str = "answer"


@dataclass(frozen=True)
class L:
    """The body, whose last task decides, again and again; then one of the exits."""

    body: Tree
    again: tuple[str, ...]
    exits: tuple[tuple[tuple[str, ...], Tree], ...]
    on: str = "verdict"


Tree = tuple[T | P | M | C | L, ...]


def steps_of(tree: Tree) -> Iterator[str]:
    """Every step of *tree*."""
    for block in tree:
        match block:
            case T(step):
                yield step
            case P(branches):
                for branch in branches:
                    yield from steps_of(branch)
            case M(body):
                yield from steps_of(body)
            case C(cases):
                for _, case in cases:
                    yield from steps_of(case)
            case L(body, _, exits):
                yield from steps_of(body)
                for _, case in exits:
                    yield from steps_of(case)


@dataclass
class _Growth:
    """What drawing a tree needs: choices, fresh names, and how many steps are still allowed."""

    draw: st.DrawFn
    left: int
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def task(self) -> T:
        self.left -= 1
        # neither in the order of the flow nor in that of the alphabet
        return T(f"s{(next(self.numbers) * 7919 + 4321) % 99991}")

    def pick(self, *choices: str) -> str:
        return self.draw(st.sampled_from(choices))

    def sequence(self, depth: int, *, open_end: bool, starts_with_task: bool = False) -> Tree:
        """Blocks in a row; with *open_end* it may end with a choice or a loop, else its last block is a task."""
        out: list[T | P | M | C | L] = []
        if starts_with_task or depth == 0 or self.pick("task", "task", "loop") == "task":
            out.append(self.task())
        else:
            out.append(self.loop(depth - 1))
        while self.left > 0 and self.draw(st.booleans()):
            last_is_task = isinstance(out[-1], T)
            kinds = (
                ["task"] if depth == 0 else ["task", "loop", *(["choice", "parallel", "map"] if last_is_task else [])]
            )
            match self.pick(*kinds):
                case "task":
                    out.append(self.task())
                case "loop":
                    out.append(self.loop(depth - 1))
                case "choice":
                    out.append(C(self.cases(depth - 1)))
                case "parallel":
                    count = self.draw(st.integers(2, 3))
                    out.append(P(tuple(self.sequence(depth - 1, open_end=True) for _ in range(count))))
                    out.append(self.task())
                case "map":
                    most = self.draw(st.none() | st.integers(1, 9))
                    out.append(M(self.sequence(depth - 1, open_end=True), most=most))
                    out.append(self.task())
        if not open_end and not isinstance(out[-1], T):
            out.append(self.task())
        return tuple(out)

    def loop(self, depth: int) -> L:
        body = self.sequence(max(depth, 0), open_end=False, starts_with_task=True)
        again = self.pick("one", "two")
        return L(body, ("again",) if again == "one" else ("again", "once more"), self.cases(max(depth, 0)))

    def cases(self, depth: int) -> tuple[tuple[tuple[str, ...], Tree], ...]:
        """Cases by where they lead to: all straight on, or at least two places, one of which may be straight on."""
        if self.pick("straight", "apart", "apart") == "straight":
            return ((("a", "b") if self.draw(st.booleans()) else ("a",), ()),)
        count = self.draw(st.integers(2, 3))
        empty = self.draw(st.booleans())
        out: list[tuple[tuple[str, ...], Tree]] = []
        for i in range(count):
            words = (f"c{i}", f"d{i}") if self.draw(st.integers(0, 4)) == 0 else (f"c{i}",)
            out.append((words, () if empty and i == count - 1 else self.sequence(max(depth, 0), open_end=True)))
        return tuple(out)


@st.composite
def trees(draw: st.DrawFn, steps: int = 24, depth: int = 4) -> Tree:
    """A whole flow as a tree: it ends with a task. *steps* bounds its size roughly, *depth* its nesting."""
    return _Growth(draw, draw(st.integers(1, steps))).sequence(depth, open_end=False)


# -- tree to graph --------------------------------------------------------------------------------------------------


def graph_of(tree: Tree, name: str = "Random") -> FlowGraph:
    """The graph that *tree* flattens to."""
    nodes: dict[str, tuple[Next, bool]] = {}
    first = _flatten(tree, None, nodes)
    assert first is not None
    steps = [StepNode(name=n, entrypoint=f"flow:{name}.{n}", next=to, join=join) for n, (to, join) in nodes.items()]
    return FlowGraph(name=name, start=first, steps=tuple(steps))


def _flatten(tree: Tree, after: str | None, nodes: dict[str, tuple[Next, bool]]) -> str | None:
    """Add the steps of *tree*, whose end leads to *after*; the step that it begins with (*after* if it is empty)."""
    to = after
    for i in reversed(range(len(tree))):
        block = tree[i]
        before = tree[i - 1] if i else None
        match block:
            case T(step):
                if step not in nodes:  # the block behind it has decided it already
                    nodes[step] = (Goto(to=to) if to else End(), False)
                to = step
                continue
            case L(body, again, exits, on):
                decider = body[-1]
                assert isinstance(decider, T)
                head = next(steps_of(body))
                assert to is not None
                cases = dict.fromkeys(again, head) | _cases(exits, to, nodes)
                nodes[decider.step] = (Switch(on=on, cases=cases), False)
                to = _flatten(body, None, nodes)
                continue
        assert isinstance(before, T)
        assert to is not None
        match block:
            case C(cases, on):
                nodes[before.step] = (Switch(on=on, cases=_cases(cases, to, nodes)), False)
            case M(body, over, most):
                _make_join(to, nodes)
                target = _flatten(body, to, nodes)
                nodes[before.step] = (Foreach(to=str(target), over=over, max_concurrency=most), False)
            case P(branches):
                _make_join(to, nodes)
                targets = [str(_flatten(branch, to, nodes)) for branch in branches]
                nodes[before.step] = (Split(to=tuple(targets)), False)
    return to


def _cases(
    cases: Sequence[tuple[tuple[str, ...], Tree]], to: str, nodes: dict[str, tuple[Next, bool]]
) -> dict[str, str]:
    return {word: target for words, tree in cases for target in [str(_flatten(tree, to, nodes))] for word in words}


def _make_join(step: str, nodes: dict[str, tuple[Next, bool]]) -> None:
    nodes[step] = (nodes[step][0], True)


# -- program to tree ------------------------------------------------------------------------------------------------


def tree_of(program: blocks.Program, number: int = 0) -> Tree:
    """The tree that sequence *number* of *program* is the root of."""
    out: list[T | P | M | C | L] = []
    for block in program.sequences[number]:
        match block:
            case blocks.Task(step=step):
                out.append(T(step))
            case blocks.Parallel(branches=branches):
                out.append(P(tuple(tree_of(program, n) for n in branches)))
            case blocks.Map(body=body, over=over, max_concurrency=most):
                out.append(M(tree_of(program, body), over, most))
            case blocks.Choice(on=on, cases=cases):
                out.append(C(_grouped(program, cases), on))
            case blocks.Loop(on=on, body=body, again=again, exits=exits):
                out.append(L(tree_of(program, body), again, _grouped(program, exits), on))
            case _:
                raise AssertionError(f"{block} has no place in a static program")
    return tuple(out)


def _grouped(program: blocks.Program, cases: dict[str, int]) -> tuple[tuple[tuple[str, ...], Tree], ...]:
    places = dict.fromkeys(cases.values())
    grouped = [
        (tuple(sorted(word for word, n in cases.items() if n == place)), tree_of(program, place)) for place in places
    ]
    return tuple(sorted(grouped, key=lambda item: item[0]))


def owners_of(program: blocks.Program) -> list[int]:
    """Each sequence number once per block that refers to it; the cases of one block that share one count once."""
    out: list[int] = []
    for block in itertools.chain.from_iterable(program.sequences):
        match block:
            case blocks.Parallel(branches=branches):
                out.extend(branches)
            case blocks.Map(body=body):
                out.append(body)
            case blocks.Choice(cases=cases):
                out.extend(set(cases.values()))
            case blocks.Loop(body=body, exits=exits):
                out.extend([body, *set(exits.values())])
    return out


# -- whole graphs ---------------------------------------------------------------------------------------------------

names = st.from_regex(r"[a-z][a-z0-9_]{0,11}", fullmatch=True)
texts = st.text(max_size=20)
#: JSON values as a parameter may hold them, numbers of every size and all.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
locations = st.none() | st.builds(Location, file=st.just("flow.py"), line=st.integers(1, 9999))
policies = st.builds(
    Policy,
    retry=st.none()
    | st.builds(
        Retry,
        times=st.integers(0, 100),
        delay_seconds=st.floats(0, 1e6),
        backoff=st.floats(1, 100),
    ),
    timeout_seconds=st.none() | st.integers(1, 10**6),
    catch=st.none() | st.builds(Catch, var=st.just("") | names),
)
resources = st.builds(
    Resources,
    cpu=st.none() | st.floats(0.1, 64),
    memory_mib=st.none() | st.integers(1, 10**6),
    gpu=st.none() | st.integers(0, 8),
    disk_mib=st.none() | st.integers(1, 10**6),
)
environments = st.builds(
    Environment,
    name=names,
    image=st.just("") | texts,
    resources=resources,
    env_vars=st.dictionaries(names, texts, max_size=3),
)


@st.composite
def parameters(draw: st.DrawFn) -> ParameterSpec:
    """A parameter of type json, which may have any JSON default."""
    attribute = draw(names)
    return ParameterSpec(
        name=attribute.replace("_", "-") if draw(st.booleans()) else attribute,
        attribute=attribute,
        type="json",
        json_schema=draw(st.just({}) | st.just({"type": ["array", "null"], "minItems": 1, "maximum": 2.5})),
        required=draw(st.booleans()),
        default=draw(json_values),
        computed_default=draw(st.booleans()),
        help=draw(texts),
        source=draw(locations),
    )


@st.composite
def flow_graphs(draw: st.DrawFn) -> FlowGraph:
    """A well-formed graph with parameters, environments, policies, texts and places."""
    graph = graph_of(draw(trees(steps=8, depth=2)), draw(st.sampled_from(["Flow", "My flow", "x"])))
    known = draw(st.lists(environments, max_size=3, unique_by=lambda e: e.name))
    steps = [
        step.model_copy(
            update={
                "policy": draw(policies),
                "environment": draw(st.sampled_from(["default", *(e.name for e in known)])),
                "code_digest": draw(st.sampled_from(["", "0" * 64, "f" * 64])),
                "doc": draw(texts),
                "source": draw(locations),
            }
        )
        for step in graph.steps
    ]
    return FlowGraph(
        name=graph.name,
        start=graph.start,
        steps=tuple(draw(st.permutations(steps))),
        environments=tuple(known),
        parameters=tuple(draw(st.lists(parameters(), max_size=3, unique_by=lambda p: p.name))),
        doc=draw(texts),
        source=draw(locations),
    )


@st.composite
def wild_graphs(draw: st.DrawFn) -> FlowGraph:
    """A graph that was well-formed before up to three random changes: lost steps, cycles, joins anywhere."""
    graph = graph_of(draw(trees(steps=12, depth=3)), "Wild")
    known = [step.name for step in graph.steps]
    target = st.sampled_from([*known, *known, "missing"])
    transitions: st.SearchStrategy[Next] = st.one_of(
        st.builds(Goto, to=target),
        st.builds(Split, to=st.lists(target, min_size=2, max_size=3).map(tuple)),
        st.builds(Foreach, to=target, over=st.just("items")),
        st.builds(Switch, on=st.just("answer"), cases=st.dictionaries(st.sampled_from("abc"), target, min_size=1)),
        st.just(End()),
    )
    steps = dict(graph.by_name)
    for name in draw(st.lists(st.sampled_from(known), max_size=3)):
        match draw(st.sampled_from(["transition", "transition", "join", "gone"])):
            case "transition":
                steps[name] = graph.by_name[name].model_copy(update={"next": draw(transitions)})
            case "join":
                steps[name] = graph.by_name[name].model_copy(update={"join": not graph.by_name[name].join})
            case _:
                steps.pop(name, None)
    return FlowGraph(name="Wild", start=graph.start, steps=tuple(steps.values()))


def changed_as_by_protobuf(value: Any) -> Any:
    """*value* as an engine hands it back: every number a float, the keys of every object in another order."""
    match value:
        case bool() | None | str():
            return value
        case int() | float():
            return float(value)
        case dict():
            return {key: changed_as_by_protobuf(value[key]) for key in reversed(list(value))}
        case _:
            return [changed_as_by_protobuf(item) for item in value]
