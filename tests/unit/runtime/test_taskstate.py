from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.diagnostics import RunError
from flowinfra.packaging.backends import Files
from flowinfra.packaging.store import Store
from flowinfra.runtime.artifacts import Ref, encode
from flowinfra.runtime.decisions import decide
from flowinfra.runtime.lineage import Lineage, TaskRef
from flowinfra.runtime.rundata import CommitValue, RunData
from flowinfra.runtime.taskstate import Inputs, TaskState, changed_values
from flowinfra.wire import blob_key


class Counting(Files):
    """Local files that count what is read."""

    __slots__ = ("reads",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reads: list[str] = []

    def get(self, key: str) -> bytes | None:
        """Read, and note it."""
        self.reads.append(key)
        return super().get(key)


def task(step: str) -> dict[str, Any]:
    return {"kind": "task", "step": step}


PROGRAM = {
    "sequences": [
        [
            task("start"),
            {"kind": "map", "body": 1, "over": "xs", "join": "join"},
            task("join"),
            {"kind": "parallel", "branches": [2, 3], "join": "both"},
            task("both"),
            task("end"),
        ],
        [task("work")],
        [task("a")],
        [task("b")],
    ]
}


@pytest.fixture
def store(tmp_path: Path) -> Counting:
    return Counting(tmp_path)


@pytest.fixture
def data(store: Counting, tmp_path: Path) -> RunData:
    return RunData(Store(tmp_path.as_uri(), store), "F", "r1")


def commit(data: RunData, step: str, at: str, **values: Any) -> dict[str, Ref]:
    refs = {}
    for name, value in values.items():
        refs[name], raw = encode(value)
        data.store.put(blob_key("F", refs[name].blob), raw)
    data.create_commit(step, at, CommitValue(refs, attempt="0-x"))
    return refs


def joining(data: RunData, step: str, parents: list[tuple[str, str]]) -> tuple[FlowSpec, TaskState]:
    state = TaskState(data, Lineage(PROGRAM), step, "0", [TaskRef(*p) for p in parents], {})
    return flow_with(state), state


def flow_with(state: TaskState) -> FlowSpec:
    flow: FlowSpec = object.__new__(FlowSpec)
    flow.__dict__["_flowinfra"] = state
    return flow


def behind(data: RunData, **values: Any) -> tuple[FlowSpec, TaskState]:
    refs = commit(data, "both", "0", **values)
    state = TaskState(data, Lineage(PROGRAM), "end", "0", [TaskRef("both", "0")], refs)
    return flow_with(state), state


def test_artifacts_are_loaded_when_they_are_asked_for(data: RunData, store: Counting) -> None:
    """Each once; what is not asked for is not read."""
    flow, _ = behind(data, a=[1], b=2)
    store.reads.clear()
    assert flow.a == [1]
    assert flow.a is flow.a
    assert len(store.reads) == 1
    assert hasattr(flow, "b")
    assert not hasattr(flow, "c")


def test_what_was_only_read_keeps_its_hash(data: RunData) -> None:
    """Of numbers and texts that are still the same nothing is encoded again; of lists it cannot be known."""
    flow, state = behind(data, number=1, text="x", items=[1], untouched=(1, 2))
    assert (flow.number, flow.text, flow.items) == (1, "x", [1])
    flow.items.append(2)
    flow.text = "y"
    flow._private = 3
    values, kept = changed_values(flow, state)
    assert values == {"text": "y", "items": [1, 2]}
    assert kept == {"number": state.base["number"], "untouched": state.base["untouched"]}


def test_what_was_deleted_is_gone(data: RunData) -> None:
    """Later steps do not see it."""
    flow, state = behind(data, a=1, b=2)
    assert flow.a == 1
    del flow.a
    _, kept = changed_values(flow, state)
    assert set(kept) == {"b"}


def test_ten_thousand_inputs_are_read_one_by_one(data: RunData, store: Counting) -> None:
    """A view is made when it is asked for and not kept; its artifacts are read when they are."""
    commit(data, "work", "0.7", x=7)
    inputs = Inputs(data, Lineage(PROGRAM), [TaskRef("work", f"0.{i}") for i in range(10_000)], TaskRef("start", "0"))
    store.reads.clear()
    assert len(inputs) == 10_000
    assert inputs[7] is not inputs[7]
    assert [repr(view) for view in inputs[1:3]] == ["<input from work/0.1>", "<input from work/0.2>"]
    assert store.reads == []
    assert inputs[7].x == 7
    assert len(store.reads) == 2
    assert inputs[-1]._ref == ("work", "0.9999")


def test_inputs_of_a_split_have_the_names_of_their_last_steps(data: RunData) -> None:
    """In the order of the branches; a name that is not there is named with those that are."""
    commit(data, "a", "0", x=1)
    commit(data, "b", "0", x=2)
    inputs = joining(data, "both", [("a", "0"), ("b", "0")])[1].inputs
    assert [view.x for view in inputs] == [1, 2]
    assert (inputs.a.x, inputs.b.x) == (1, 2)
    assert dir(inputs.a) == ["x"]
    assert not hasattr(inputs, "c")
    with pytest.raises(AttributeError, match=r"no input comes from a step 'aa' \(did you mean 'a'\?\)"):
        _ = inputs.aa


def test_an_input_knows_its_item(data: RunData) -> None:
    """Its index and item, unless the branch has left artifacts of these names."""
    commit(data, "start", "0", xs=["p", "q"])
    commit(data, "work", "0.1", y=1)
    commit(data, "work", "0.0", index="mine")
    inputs = joining(data, "join", [("work", "0.0"), ("work", "0.1")])[1].inputs
    assert (inputs[1].index, inputs[1].input) == (1, "q")
    assert inputs[0].index == "mine"


def merged(data: RunData, **branches: dict[str, Any]) -> tuple[FlowSpec, TaskState]:
    for step, values in branches.items():
        commit(data, step, "0", **values)
    return joining(data, "both", [(step, "0") for step in branches])


def test_merging_takes_over_what_is_the_same(data: RunData, store: Counting) -> None:
    """By hash: nothing is loaded. What only one branch has is taken over too."""
    flow, state = merged(data, a={"same": [1], "only_a": 1}, b={"same": [1], "only_b": 2})
    store.reads.clear()
    flow.merge_artifacts(state.inputs)
    assert not any(key.startswith("blobs/") for key in store.reads)
    assert (flow.same, flow.only_a, flow.only_b) == ([1], 1, 2)
    _, kept = changed_values(flow, state)
    assert set(kept) == {"only_a", "only_b"}


def test_merging_names_everything_that_differs(data: RunData) -> None:
    """All at once; nothing is taken over then."""
    flow, state = merged(data, a={"x": 1, "y": 1, "z": 1}, b={"x": 2, "y": 3, "z": 1})
    with pytest.raises(RunError, match=r"FI708.*disagree on self\.x, self\.y") as found:
        flow.merge_artifacts(state.inputs)
    assert "self.z" not in str(found.value)
    assert not hasattr(flow, "z")


def test_what_the_join_has_set_wins(data: RunData) -> None:
    """And what is excluded, or not included, is neither compared nor taken over."""
    flow, state = merged(data, a={"x": 1, "y": 1, "z": 1}, b={"x": 2, "y": 3, "z": 1})
    flow.x = 9
    flow.merge_artifacts(state.inputs, exclude=["y"])
    assert flow.x == 9
    assert flow.z == 1
    assert not hasattr(flow, "y")
    flow, state = merged(data)
    flow, state = joining(data, "both", [("a", "0"), ("b", "0")])
    flow.merge_artifacts(state.inputs, include=["z"])
    assert flow.z == 1
    assert not hasattr(flow, "y")


def test_merging_a_foreach_over_nothing_takes_over_what_was_before_it(data: RunData) -> None:
    """So that the steps behind it find what they find for any other width."""
    commit(data, "start", "0", before=1, xs=[])
    flow, state = joining(data, "join", [])
    assert len(state.inputs) == 0
    flow.merge_artifacts(state.inputs)
    assert flow.before == 1


def test_merging_may_be_given_some_of_the_inputs(data: RunData) -> None:
    """A list of views is as good as all of them."""
    flow, state = merged(data, a={"x": 1}, b={"x": 2})
    flow.merge_artifacts([state.inputs[1]])
    assert flow.x == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"inputs": "inputs", "include": ["x"], "exclude": ["y"]}, "include or exclude, not both"),
        ({"inputs": [1, 2]}, "the inputs of a join"),
        ({"inputs": None}, "the inputs of a join"),
        ({"inputs": "inputs", "include": ["nope"]}, "no input has nope"),
    ],
)
def test_merging_in_a_wrong_way_says_so(data: RunData, arguments: dict[str, Any], says: str) -> None:
    """With what to write instead."""
    flow, state = merged(data, a={"x": 1}, b={"x": 1})
    if arguments["inputs"] == "inputs":
        arguments = {**arguments, "inputs": state.inputs}
    with pytest.raises(RunError, match="FI709") as found:
        flow.merge_artifacts(**arguments)
    assert says in str(found.value)


def test_a_transition_is_noted_once(data: RunData) -> None:
    """The second call is an error."""
    _, state = behind(data)
    state.next(("a",))
    with pytest.raises(RunError, match="FI702"):
        state.next(("b",))


@pytest.mark.parametrize(
    ("noted", "following"),
    [
        ((("a",), None, None), {"kind": "goto", "to": "b"}),
        ((("a", "b"), None, None), {"kind": "split", "to": ["b", "a"]}),
        ((("a",), "xs", None), {"kind": "foreach", "to": "a", "over": "ys"}),
        ((("a",), None, None), {"kind": "foreach", "to": "a", "over": "ys"}),
        (({"x": "a"}, None, "c"), {"kind": "switch", "on": "c", "cases": {"x": "b"}}),
        (({"x": "a"}, None, "c"), {"kind": "switch", "on": "d", "cases": {"x": "a"}}),
    ],
)
def test_another_transition_than_the_compiled_one_is_refused(
    data: RunData, noted: tuple[Any, Any, Any], following: dict[str, Any]
) -> None:
    """The message shows both as one would write them."""
    flow, state = behind(data)
    state.next(*noted)
    with pytest.raises(RunError, match=r"FI702.*self\.next\(.*its release has self\.next\("):
        decide(flow, state, {"next": following}, Lineage(PROGRAM).decides("end"))


class Sized:
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Any:
        return iter(self.items)


@pytest.mark.parametrize(
    ("value", "items", "listed"),
    [
        ([1, 2], [1, 2], True),
        ((1,), [1], True),
        (range(3), [0, 1, 2], True),
        ({7}, [7], False),
        ({"k": 1}, ["k"], False),
        ({"k": 1}.keys(), ["k"], False),
        (Sized([4, 5]), [4, 5], False),
        ([], [], True),
        (set(), [], False),
    ],
)
def test_a_foreach_takes_everything_with_a_length(data: RunData, value: Any, items: list[Any], listed: bool) -> None:
    """Lists, tuples and ranges are indexed as they are; of all else the order of this process is kept."""
    _, state = behind(data)
    state.step, state.task = "start", "0"
    flow = flow_with(state)
    flow.xs = value
    state.next(("work",), "xs")
    node = {"next": {"kind": "foreach", "to": "work", "over": "xs"}}
    decided = decide(flow, state, node, Lineage(PROGRAM).decides("start"))
    assert decided.control == list(range(len(items)))
    assert list(decided.items) == items
    assert decided.listed is listed


@pytest.mark.parametrize("value", [17, None, "text", b"bytes", (i for i in "ab"), iter([1]), map(str, [1])])
def test_a_foreach_over_what_has_no_items_is_refused(data: RunData, value: Any) -> None:
    """The message names step, attribute and type; a text is a value, not a list of letters."""
    _, state = behind(data)
    state.step, state.task = "start", "0"
    flow = flow_with(state)
    flow.xs = value
    state.next(("work",), "xs")
    node = {"next": {"kind": "foreach", "to": "work", "over": "xs"}}
    with pytest.raises(RunError, match=rf"FI703.*start.*self\.xs.*{type(value).__name__}"):
        decide(flow, state, node, Lineage(PROGRAM).decides("start"))
