"""The rules: one finding per mistake, at the step that has to change, all of them at once."""

from __future__ import annotations

import re

import pytest

from flowinfra.compiler.check import RULES, check, compile_program
from flowinfra.diagnostics import Diagnostic, GraphError, Severity, Source
from flowinfra.model.graph import Catch, End, FlowGraph, Foreach, Goto, Location, Next, Policy, Split, StepNode, Switch


def graph_with(**steps: Next) -> FlowGraph:
    """A graph whose step number n stands in line 10 n; steps called `j...` are joins."""
    nodes = [
        StepNode(
            name=name,
            entrypoint=f"flow:F.{name}",
            next=to,
            join=name.startswith("j"),
            source=Location(file="flow.py", line=10 * (i + 1)),
        )
        for i, (name, to) in enumerate(steps.items())
    ]
    return FlowGraph(name="F", start="start", steps=tuple(nodes), source=Location(file="flow.py", line=3))


def to(*names: str) -> Next:
    """Goto or split."""
    return Goto(to=names[0]) if len(names) == 1 else Split(to=names)


def over(name: str) -> Next:
    """Foreach."""
    return Foreach(to=name, over="xs")


def on(**cases: str) -> Next:
    """Switch."""
    return Switch(on="x", cases=cases)


ONE_MISTAKE: dict[str, tuple[str, int, FlowGraph]] = {
    "no end": ("FI202", 3, graph_with(start=to("end"))),
    "no end, with branches": ("FI202", 3, graph_with(start=to("a", "b"), a=to("j"), b=to("j"), j=to("end"))),
    "a typo in the middle": ("FI203", 10, graph_with(start=to("traim"), train=to("a"), a=to("end"), end=End())),
    "a typo in the way to a join": (
        "FI203",
        20,
        graph_with(start=to("a", "b"), a=to("joim"), b=to("join"), join=to("end"), end=End()),
    ),
    "a chain that nothing leads to": ("FI204", 20, graph_with(start=to("end"), a=to("b"), b=to("end"), end=End())),
    "a ring that nothing leads to": (
        "FI204",
        20,
        graph_with(start=to("end"), a=to("b"), b=on(p="a", q="end"), end=End()),
    ),
    "a foreach that never joins": ("FI205", 10, graph_with(start=over("a"), a=to("b"), b=to("end"), end=End())),
    "one branch joins, one ends": (
        "FI205",
        10,
        graph_with(start=to("a", "b"), a=to("end"), b=to("j"), j=to("end"), end=End()),
    ),
    "a foreach inside another joins once": (
        "FI205",
        10,
        graph_with(start=over("a"), a=over("b"), b=to("j"), j=to("end"), end=End()),
    ),
    "a join too many": (
        "FI206",
        50,
        graph_with(start=to("a", "b"), a=to("j1"), b=to("j1"), j1=to("j2"), j2=to("end"), end=End()),
    ),
    "a join behind a switch": (
        "FI206",
        40,
        graph_with(start=on(p="a", q="b"), a=to("j"), b=to("j"), j=to("end"), end=End()),
    ),
    "branches meet in the end": ("FI207", 40, graph_with(start=to("a", "b"), a=to("end"), b=to("end"), end=End())),
    "branches meet before the end": (
        "FI207",
        40,
        graph_with(start=to("a", "b"), a=to("m"), b=to("m"), m=to("n"), n=to("end"), end=End()),
    ),
    "an edge out of a foreach, back to the start": (
        "FI208",
        20,
        graph_with(start=over("a"), a=on(p="start", q="j"), j=to("end"), end=End()),
    ),
    "a case that skips the join": (
        "FI208",
        20,
        graph_with(start=over("a"), a=on(p="j", q="end"), j=to("end"), end=End()),
    ),
    "a foreach straight into its join": ("FI209", 10, graph_with(start=over("j"), j=to("end"), end=End())),
    "two joins": (
        "FI210",
        10,
        graph_with(start=to("a", "b"), a=to("j1"), b=to("j2"), j1=to("end"), j2=to("end"), end=End()),
    ),
    "back without a condition": ("FI211", 30, graph_with(start=to("a"), a=on(p="b", q="end"), b=to("a"), end=End())),
    "two deciders": ("FI212", 20, graph_with(start=to("a"), a=on(p="a", q="b"), b=on(p="a", q="end"), end=End())),
    "one decider, two heads": (
        "FI214",
        30,
        graph_with(start=to("a"), a=to("b"), b=on(p="a", q="b", r="end"), end=End()),
    ),
    "a way out of the middle of a loop": (
        "FI214",
        20,
        graph_with(start=to("a"), a=on(leave="end", stay="b"), b=on(again="a", done="end"), end=End()),
    ),
    "a branch twice": ("FI216", 10, graph_with(start=to("a", "a"), a=to("j"), j=to("end"), end=End())),
    "a branch twice among others": (
        "FI216",
        10,
        graph_with(start=to("a", "b", "a"), a=to("j"), b=to("j"), j=to("end"), end=End()),
    ),
}


@pytest.mark.parametrize(("code", "line", "graph"), ONE_MISTAKE.values(), ids=ONE_MISTAKE)
def test_one_mistake_is_one_finding(code: str, line: int, graph: FlowGraph) -> None:
    """What only follows from a mistake is not told beside it, and the finding stands where the mistake is."""
    (finding,) = check(graph)
    assert (finding.code, finding.source) == (code, Source("flow.py", line)), finding
    assert finding.severity is Severity.ERROR
    assert finding.detail
    assert finding.hint


def test_two_mistakes_are_two_findings() -> None:
    """Mistakes that have nothing to do with each other come together, in the order of the file."""
    graph = graph_with(
        start=to("a", "b"), a=to("missing"), b=to("m"), m=to("n"), n=to("j"), j=to("end"), unused=to("end"), end=End()
    )
    assert [(d.code, d.source and d.source.line) for d in check(graph)] == [("FI203", 20), ("FI204", 70)]


def test_an_unknown_step_and_one_that_is_left_over_may_belong_together() -> None:
    """Where the names are too far apart for a guess, both ends of the broken way are told."""
    graph = graph_with(start=to("train"), fit=to("end"), end=End())
    unknown, left = check(graph)
    assert (unknown.code, left.code) == ("FI203", "FI204")
    assert "did you mean" not in unknown.summary


def test_a_close_name_is_proposed() -> None:
    """A step that is misspelt is named in the message."""
    (finding,) = check(graph_with(start=to("trian"), train=to("end"), end=End()))
    assert "(did you mean 'train'?)" in finding.summary


@pytest.mark.parametrize("next_", [over("a"), on(p="a", q="j")], ids=["foreach", "switch"])
def test_a_step_with_catch_decides_nothing(next_: Next) -> None:
    """@catch on a step that decides a foreach or a switch is refused; elsewhere it is fine."""
    steps = {"start": to("s"), "s": next_, "a": to("j" if isinstance(next_, Foreach) else "m"), "end": End()}
    steps |= {"j": to("end")} if isinstance(next_, Foreach) else {"m": to("end")}
    if isinstance(next_, Switch):
        steps["s"] = on(p="a", q="m")
    graph = graph_with(**steps)
    caught = [s.model_copy(update={"policy": Policy(catch=Catch())}) for s in graph.steps]
    assert check(graph) == []
    (finding,) = check(graph.model_copy(update={"steps": tuple(caught)}))
    assert (finding.code, "`s`" in finding.summary) == ("FI215", True)


def test_the_first_step_takes_no_inputs() -> None:
    """A start that is a join has nothing before it."""
    graph = graph_with(start=to("end"), end=End())
    steps = [s.model_copy(update={"join": s.name == "start"}) for s in graph.steps]
    (finding,) = check(graph.model_copy(update={"steps": tuple(steps)}))
    assert (finding.code, finding.source) == ("FI217", Source("flow.py", 10))


def test_a_graph_without_steps_says_what_is_missing() -> None:
    """A class that has no step yet hears of start and end, at the class."""
    found = check(graph_with())
    assert [(d.code, d.source) for d in found] == [("FI201", Source("flow.py", 3)), ("FI202", Source("flow.py", 3))]


def test_a_graph_without_places_is_named() -> None:
    """A finding in a graph that was not read from a file names the flow instead of a file."""
    graph = FlowGraph(name="F", start="start", steps=())
    assert {d.source for d in check(graph)} == {Source("F")}


def test_only_a_graph_without_findings_is_compiled() -> None:
    """compile_program raises every finding in one error, and gives the program where there is none."""
    with pytest.raises(GraphError) as caught:
        compile_program(graph_with(start=to("missing", "missing"), other=to("end"), end=End()))
    assert [d.code for d in caught.value.diagnostics] == ["FI203", "FI216", "FI204"]
    assert len(compile_program(graph_with(start=to("end"), end=End())).sequences) == 1


def test_every_rule_has_its_own_code_and_says_what_it_asks_for() -> None:
    """The rules are in the order of their codes, no two share one, and each has a sentence of its own."""
    codes = [getattr(rule, "code", "") for rule in RULES]
    assert codes == sorted(set(codes))
    assert all(re.fullmatch(r"FI2\d\d", code) for code in codes)
    texts = [(rule.__doc__ or "") for rule in RULES]
    assert all(texts)
    assert len(set(texts)) == len(texts)


def test_a_finding_reads_as_place_code_and_remedy() -> None:
    """As text: file, line, severity, code, what is wrong, why, and what to do."""
    (finding,) = check(graph_with(start=over("a"), a=to("end"), end=End()))
    assert isinstance(finding, Diagnostic)
    assert str(finding) == (
        "flow.py:10: error FI205: the foreach of `start` never joins: `end` ends inside it\n"
        "  each branch has its own artifacts, and only a join says which of them go on\n"
        "  hint: lead all of its branches to one step that takes `inputs`: def join(self, inputs)"
    )
