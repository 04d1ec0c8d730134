"""Two versions of a graph as one drawing."""

from __future__ import annotations

import re

from hypothesis import given, settings

from flowinfra.compiler.drawdiff import FORMATS, draw_diff
from flowinfra.model.graph import FlowGraph, Goto
from support.plans import HOSTILE, flow
from tests.strategies import flow_graphs, wild_graphs

CHECKED = flow(
    steps={
        "join": {"next": Goto(to="check")},
        "check": {"entrypoint": "churn:Churn.check", "next": Goto(to="end")},
    }
)


def test_a_step_that_came_is_marked() -> None:
    """The drawing is that of the new graph; what came has a plus, and what leads elsewhere says where it led."""
    assert draw_diff(flow(), CHECKED).splitlines() == [
        "  start",
        "  └─ for each of regions: fit",
        "~ join   (was → end)",
        "+ check",
        "  end",
    ]


def test_a_step_that_went_stands_where_it_was() -> None:
    """What is there no more is drawn behind the step that it came after."""
    assert draw_diff(CHECKED, flow()).splitlines()[2:] == ["~ join   (was → check)", "- check", "  end"]


def test_mermaid_marks_steps_and_edges() -> None:
    """Steps have classes, edges that came are thick, and those that went are dotted."""
    text = draw_diff(flow(), CHECKED, "mermaid")
    assert 'check_["check"]:::added' in text
    assert "join_ ==> check_" in text
    assert "join_ -.-> end_" in text
    assert 'check_["check"]:::removed' in draw_diff(CHECKED, flow(), "mermaid")


def test_what_a_label_holds_stays_in_it() -> None:
    """The name of an artifact comes from the flow file; in Mermaid it can neither end its label nor begin markup."""
    other = flow(steps={"start": {"next": flow().step("start").next.model_copy(update={"over": HOSTILE})}})
    (line,) = [x for x in draw_diff(flow(), other, "mermaid").splitlines() if "each of #96;" in x]
    label = line.split("|", 1)[1].rsplit("|", 1)[0]
    assert re.fullmatch('"[^"<>`]*"', label)


@given(flow_graphs())
@settings(max_examples=30)
def test_nothing_is_marked_in_a_graph_beside_itself(graph: FlowGraph) -> None:
    """A graph and itself have no marks, also when one of them comes out of a state."""
    again = FlowGraph.from_keyed(graph.keyed())
    assert all(line.startswith("  ") for line in draw_diff(again, graph).splitlines())
    assert ":::" not in draw_diff(again, graph, "mermaid")


@given(wild_graphs(), wild_graphs())
@settings(max_examples=40)
def test_every_step_of_both_is_drawn(one: FlowGraph, other: FlowGraph) -> None:
    """Whatever the graphs, also ones that break rules, each step of both has its mark."""
    for form in FORMATS:
        text = draw_diff(one, other, form)
        names = set(re.findall(r"\b[sm]\w+\b", text))
        assert {s.name for s in (*one.steps, *other.steps)} <= {n.removesuffix("_") for n in names}
    marked = [line for line in draw_diff(one, other).splitlines() if line[0] == "+"]
    assert len(marked) == len({s.name for s in other.steps} - {s.name for s in one.steps})
