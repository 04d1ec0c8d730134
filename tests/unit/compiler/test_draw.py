"""Pictures of graphs."""

from __future__ import annotations

import pytest
from hypothesis import given

from flowinfra.compiler.draw import FORMATS, draw, in_order
from flowinfra.model.graph import FlowGraph, Goto, StepNode, Switch
from tests.strategies import flow_graphs


@given(flow_graphs())
def test_every_step_is_in_every_picture(flow: FlowGraph) -> None:
    """Each step stands exactly once in the text, and in the pictures as one node."""
    words = draw(flow, "text").replace(":", " ").split()
    assert all(words.count(step.name) == 1 for step in flow.steps)
    dot = draw(flow, "dot")
    assert all(dot.count(f'    "{step.name}" [') == 1 for step in flow.steps)
    mermaid = draw(flow, "mermaid").splitlines()
    assert all(
        sum(line.startswith(f"    {s.name}_") and "-->" not in line for line in mermaid) == 1 for s in flow.steps
    )


@given(flow_graphs())
def test_order_begins_with_start_and_has_every_step(flow: FlowGraph) -> None:
    """The order of a picture begins where a run begins and leaves no step out."""
    order = [step.name for step in in_order(flow)]
    assert order[0] == flow.start
    assert sorted(order) == sorted(step.name for step in flow.steps)


@pytest.mark.parametrize("form", FORMATS)
def test_a_graph_that_breaks_rules_is_drawn_too(form: str) -> None:
    """An author can look at a graph whose steps are missing or never reached."""
    flow = FlowGraph(
        name="F",
        start="start",
        steps=(
            StepNode(name="start", entrypoint="m:F.start", next=Goto(to="nowhere")),
            StepNode(name="lost", entrypoint="m:F.lost"),
        ),
    )
    text = draw(flow, form)
    assert "nowhere" in text
    assert "lost" in text


def test_a_loop_says_when_it_repeats() -> None:
    """A loop shows the case that repeats it and those that leave it."""
    flow = FlowGraph(
        name="F",
        start="start",
        steps=(
            StepNode(name="start", entrypoint="m:F.start", next=Goto(to="train")),
            StepNode(
                name="train", entrypoint="m:F.train", next=Switch(on="verdict", cases={"again": "train", "ok": "end"})
            ),
            StepNode(name="end", entrypoint="m:F.end"),
        ),
    )
    assert draw(flow) == ("start\n├─ repeat while verdict is again: train\n└─ once verdict is ok: straight on\nend\n")
