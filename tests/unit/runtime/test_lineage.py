from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.diagnostics import RunError
from flowinfra.runtime.lineage import Lineage
from flowinfra.wire import parse_task_id
from strategies import Tree, trees
from support.walk import Walk, program_of


def unread(step: str, task: str) -> Any:
    raise AssertionError(f"nothing about {step}/{task} needs to be read")


def program(*sequences: list[dict[str, Any]]) -> dict[str, Any]:
    return {"sequences": list(sequences)}


def task(step: str) -> dict[str, Any]:
    return {"kind": "task", "step": step}


LOOP_IN_FOREACH = program(
    [task("start"), {"kind": "map", "body": 1, "over": "xs", "join": "join"}, task("join"), task("end")],
    [task("p"), {"kind": "loop", "on": "v", "body": 2, "again": ["more"], "exits": {"good": 3, "bad": 4}}],
    [task("a"), task("b")],
    [task("g")],
    [],
)


@given(trees(), st.integers(0, 10**6))
def test_parents_follow_from_the_id_the_blocks_and_the_control_files(tree: Tree, seed: int) -> None:
    """For every task of a random run, what is derived equals what a walk over the blocks has handed on."""
    walk = Walk(program_of(tree), seed)
    lineage = Lineage(walk.program)
    for (step, at), expected in walk.parents.items():
        lineage.check(step, at)
        found = lineage.parents(step, at, lambda *key: walk.control[key], lambda *key: walk.last[key])
        assert len(found) == len(expected)
        assert [tuple(ref) for ref in found] == expected


@given(trees(), st.integers(0, 10**6))
def test_children_are_the_inverse_of_parents(tree: Tree, seed: int) -> None:
    """What a task hands on to, derived from its own decision alone, are the tasks of the run that have it as a parent."""
    walk = Walk(program_of(tree), seed)
    lineage = Lineage(walk.program)
    for place in walk.parents:
        found = [tuple(ref) for ref in lineage.children(*place, walk.control.get(place))]
        behind = [child for child, parents in walk.parents.items() if place in parents]
        if lineage.decides(place[0]).kind == "foreach" and not walk.control[place]:
            # A foreach over nothing: its join has no parent, and comes next all the same.
            assert [child for child in found if child not in behind] == found
            assert [lineage.joins(step) for step, _ in found] == ["foreach"]
            continue
        assert found == behind


@given(trees(), st.integers(0, 10**6))
def test_decisions_are_those_that_the_walk_needs(tree: Tree, seed: int) -> None:
    """A step decides if and only if a run of it leaves a control value, and its cases hold that value."""
    walk = Walk(program_of(tree), seed)
    lineage = Lineage(walk.program)
    for step, at in walk.parents:
        decision = lineage.decides(step)
        assert (decision.kind != "none") == ((step, at) in walk.control)
        if decision.kind in ("switch", "loop"):
            assert walk.control[step, at] in decision.cases
        if decision.kind == "loop":
            outer, n = lineage.loop(at)
            assert (walk.last[step, outer] == n) == (walk.control[step, at] not in decision.again)


@given(trees(), st.integers(0, 10**6))
def test_exactly_the_last_task_ends_the_run(tree: Tree, seed: int) -> None:
    """Of all tasks of a random run, one ends it: the last one."""
    walk = Walk(program_of(tree), seed)
    lineage = Lineage(walk.program)
    ending = [
        (step, at)
        for step, at in walk.parents
        if lineage.ends_run(step, walk.control.get((step, at)) if lineage.decides(step).cases else None)
    ]
    assert ending == walk.ends


@given(trees(), st.integers(0, 10**6))
def test_the_first_task_is_the_one_without_parents(tree: Tree, seed: int) -> None:
    """It is known without reading anything; apart from it, only the join of a foreach over nothing has none."""
    walk = Walk(program_of(tree), seed)
    lineage = Lineage(walk.program)
    assert next(iter(walk.parents)) == lineage.first()
    orphans = [step for (step, at), parents in walk.parents.items() if not parents and (step, at) != lineage.first()]
    assert {lineage.joins(step) for step in orphans} <= {"foreach"}


@given(trees(), st.integers(0, 10**6))
def test_the_item_of_a_task_is_that_of_the_innermost_foreach(tree: Tree, seed: int) -> None:
    """Its index is the last part of the id that a foreach has added around the step."""
    walk = Walk(program_of(tree), seed)
    lineage = Lineage(walk.program)
    for step, at in walk.parents:
        item = lineage.item(step, at)
        indices = [text for separator, text in parse_task_id(at) if separator == "."]
        assert (item is None) == (not indices)
        if item is not None:
            assert str(item.index) == indices[-1]
            assert at.startswith(f"{item.decider.task}.{item.index}")
            assert walk.control[item.decider][item.index] == item.index


def test_children_of_a_wide_foreach_are_derived_one_by_one() -> None:
    """They are told by number, without a list of all of them; a loop in the body is entered."""
    lineage = Lineage(
        program([task("a"), {"kind": "map", "body": 1, "over": "xs", "join": "j"}, task("j")], [task("x")])
    )
    children = lineage.children("a", "0", range(10_000_000))
    assert len(children) == 10_000_000
    assert (children[7], children[-1]) == (("x", "0.7"), ("x", "0.9999999"))
    assert lineage.children("x", "0.3", None) == (("j", "0"),)
    nested = Lineage(LOOP_IN_FOREACH)
    assert nested.children("p", "0.2", None) == (("a", "0.2-0"),)
    assert nested.children("b", "0.2-0", "more") == (("a", "0.2-1"),)
    assert nested.children("b", "0.2-1", "good") == (("g", "0.2"),)
    assert nested.children("b", "0.2-1", "bad") == (("join", "0"),)
    assert nested.children("end", "0", None) == ()


def test_parents_of_a_foreach_are_looked_up_one_by_one() -> None:
    """A join of ten thousand items reads one list, and of an item only what is asked for."""
    read: list[tuple[str, str]] = []
    body = [task("look"), {"kind": "choice", "on": "c", "cases": {"a": 2, "b": 3}}]
    flow = [task("start"), {"kind": "map", "body": 1, "over": "xs", "join": "join"}, task("join")]

    def control(step: str, at: str) -> Any:
        read.append((step, at))
        return list(range(10_000)) if step == "start" else "a"

    parents = Lineage(program(flow, body, [task("x")], [])).parents("join", "0", control, unread)
    assert len(parents) == 10_000
    assert parents[7] == ("x", "0.7")
    assert parents[-1] == ("x", "0.9999")
    assert parents[2:4] == [("x", "0.2"), ("x", "0.3")]
    assert read == [("start", "0"), ("look", "0.7"), ("look", "0.9999"), ("look", "0.2"), ("look", "0.3")]


def test_a_loop_in_a_foreach_by_hand() -> None:
    """The ids of section 0 of the protocol: `0.2-1` is iteration 1 in item 2."""
    lineage = Lineage(LOOP_IN_FOREACH)
    assert lineage.parents("a", "0.2-0", unread, unread) == (("p", "0.2"),)
    assert lineage.parents("b", "0.2-0", unread, unread) == (("a", "0.2-0"),)
    assert lineage.parents("a", "0.2-1", unread, unread) == (("b", "0.2-0"),)
    assert lineage.parents("g", "0.2", unread, lambda *_: 1) == (("b", "0.2-1"),)
    control = {("start", "0"): [0, 1], ("b", "0.0-1"): "good", ("b", "0.1-1"): "bad"}
    joined = lineage.parents("join", "0", lambda *key: control[key], lambda *_: 1)
    assert list(joined) == [("g", "0.0"), ("b", "0.1-1")]


@pytest.mark.parametrize(
    ("cases", "case", "ends"),
    [({"a": 1, "b": 2}, "a", False), ({"a": 1, "b": 2}, "b", True)],
)
def test_a_choice_at_the_end_ends_the_run_in_each_case(cases: dict[str, int], case: str, ends: bool) -> None:
    """The last task of the case that was taken ends the run; where the case is empty, the task that took it."""
    lineage = Lineage(program([task("start"), {"kind": "choice", "on": "c", "cases": cases}], [task("x")], []))
    assert lineage.ends_run("start", case) is ends
    assert lineage.ends_run("x")


def test_a_loop_at_the_end_ends_the_run_when_it_is_left() -> None:
    """Its decider ends the run by an empty exit, the last task of the exit by another one."""
    loop = {"kind": "loop", "on": "v", "body": 1, "again": ["more"], "exits": {"done": 2, "x": 3}}
    lineage = Lineage(program([task("start"), loop], [task("a")], [], [task("last")]))
    assert lineage.ends_run("a", "done")
    assert not lineage.ends_run("a", "more")
    assert not lineage.ends_run("a", "x")
    assert lineage.ends_run("last")


@pytest.mark.parametrize("at", ["0", "0.1", "0-1", "0-1.2", "0.1-2.3", "", "1", "0.x", "0..1"])
def test_an_id_that_the_step_cannot_have_is_refused(at: str) -> None:
    """The parts of an id must be those of the place where the step stands."""
    with pytest.raises(RunError, match="FI722"):
        Lineage(LOOP_IN_FOREACH).check("a", at)


def test_a_step_that_is_not_there_is_refused() -> None:
    """An orchestrator that runs another definition is told so."""
    with pytest.raises(RunError, match="no step 'nope'"):
        Lineage(LOOP_IN_FOREACH).check("nope", "0")


def test_depth_is_no_limit() -> None:
    """A program of two thousand nested levels is indexed and looked up without recursion."""
    depth = 2000
    sequences = [
        [task(f"s{i}"), {"kind": "map", "body": i + 1, "over": "xs", "join": f"j{i}"}, task(f"j{i}")]
        for i in range(depth)
    ]
    lineage = Lineage(program(*sequences, [task("leaf")]))
    at = "0" + ".1" * depth
    lineage.check("leaf", at)
    assert lineage.parents("leaf", at, unread, unread) == ((f"s{depth - 1}", at[:-2]),)
    item = lineage.item("leaf", at)
    assert item is not None
    assert item.index == 1
    assert not lineage.ends_run("leaf")
    assert lineage.ends_run("j0")
