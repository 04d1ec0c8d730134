"""The wire protocol: names that never collide, ids that can be read back, an index whose listing is newest first."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra import wire

plain_names = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
#: Names as users write them, many of them alike, and the plain name that looks like the key of another one.
any_names = st.one_of(
    plain_names,
    st.text(min_size=1, max_size=70).filter(lambda name: "/" not in name),
    st.sampled_from(["a b", "a-b", "a  b", "a.b", "daily report", "daily-report", "Zoë", "Zo", ".", "..", " "]),
    st.sampled_from(["a b", "Zoë", "."]).map(lambda name: wire.flow_key(name).replace(".", "-")),
)
executions = st.from_regex(r"[A-Za-z0-9_-]{1,80}", fullmatch=True)
runs = st.builds(
    lambda scope, execution: wire.run_id(wire.scope_digits(scope), execution), st.text(max_size=9), executions
)
steps = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,63}", fullmatch=True)
milliseconds = st.integers(1, 10**13 - 1)

#: How a task's id grows: an item, an iteration, or a task that a driver starts.
growth = st.one_of(
    st.tuples(st.just("item"), st.integers(0, 10**6)),
    st.tuples(st.just("iteration"), st.integers(0, 10**6)),
    st.tuples(st.just("driven"), st.text(max_size=9)),
)


def grown(path: list[tuple[str, int | str]]) -> str:
    """The id of the task at the end of *path*."""
    task = "0"
    for kind, value in path:
        match kind, value:
            case "item", int():
                task = wire.child_id(task, value)
            case "iteration", int():
                task = wire.iteration_id(task, value)
            case _:
                task = wire.driven_id(task, str(value))
    return task


task_ids = st.lists(growth, max_size=5).map(grown)


@given(st.lists(growth, max_size=6))
def test_a_task_id_is_its_path(path: list[tuple[str, int | str]]) -> None:
    """Every id that is made can be read back, part by part, and is made of safe characters only."""
    task = grown(path)
    parts = wire.parse_task_id(task)
    assert "0" + "".join(separator + text for separator, text in parts) == task
    for (kind, value), (separator, text) in zip(path, parts, strict=True):
        assert separator == ("-" if kind == "iteration" else ".")
        if isinstance(value, int):
            assert int(text) == value
        else:
            assert re.fullmatch(r"[0-9a-f]{32}", text)
    assert re.fullmatch(r"[0-9a-f.-]+", task)


@given(st.lists(growth, max_size=4), st.lists(growth, max_size=4))
def test_different_paths_are_different_ids(
    one: list[tuple[str, int | str]], other: list[tuple[str, int | str]]
) -> None:
    """No two places in a run share an id."""
    assert (grown(one) == grown(other)) == (one == other)


@pytest.mark.parametrize(
    "text", ["", "1", "00", "0.", "0-", "0.1.", "0.x", "0..1", "0.1 ", "0.1\n", "0/1", "0.-1", "0-" + "a" * 32, "0.abc"]
)
def test_what_is_no_task_id_is_refused(text: str) -> None:
    """A text that no path makes is a ValueError that shows it."""
    with pytest.raises(ValueError, match="is no task id"):
        wire.parse_task_id(text)


def test_the_protocols_own_example_of_a_task_id() -> None:
    """Item 2, iteration 1, item 7."""
    assert wire.child_id(wire.iteration_id(wire.child_id("0", 2), 1), 7) == "0.2-1.7"
    assert wire.parse_task_id("0.2-1.7") == [(".", "2"), ("-", "1"), (".", "7")]


@given(any_names, any_names)
def test_flows_with_different_names_never_share_a_folder(one: str, other: str) -> None:
    """A flow's key is its own, is safe in every store, and no key is the prefix of another one's folder."""
    keys = [wire.flow_key(name) for name in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}|[A-Za-z0-9_-]{1,48}\.[0-9a-f]{8}", key) for key in keys)
    if one != other:
        assert not wire.run_prefix(one).startswith(wire.run_prefix(other))
        assert not wire.index_prefix(one).startswith(wire.index_prefix(other))


@given(plain_names)
def test_a_plain_name_is_its_own_key(name: str) -> None:
    """What may stand in a key stands there as it is."""
    assert wire.flow_key(name) == name


def test_a_free_name_can_still_be_recognised() -> None:
    """Of a name that cannot stand in a key, what can stays readable."""
    assert re.fullmatch(r"daily-report-v2\.[0-9a-f]{8}", wire.flow_key("daily report (v2)"))
    assert re.fullmatch(r"flow\.[0-9a-f]{8}", wire.flow_key("日次"))


places = st.tuples(any_names, runs, steps, task_ids)


@given(places, places)
def test_tasks_never_share_a_key(one: tuple[str, str, str, str], other: tuple[str, str, str, str]) -> None:
    """Two tasks of any flows, runs and steps have the same folder only if they are the same task."""
    folders = [wire.task_key(*place) for place in (one, other)]
    assert (folders[0] == folders[1]) == (one == other)
    if one != other:
        assert not folders[0].startswith(folders[1])
        assert not folders[1].startswith(folders[0])


@given(any_names, runs, steps, task_ids)
def test_the_documents_of_a_run_lie_apart(flow: str, run: str, step: str, task: str) -> None:
    """All keys around one run differ, lie below the run's folder where they belong to it, and have no empty part."""
    of_run = [wire.run_key(flow, run, document) for document in ("input.json", "run.json", "end.json")]
    of_task = [wire.task_key(flow, run, step, task, name) for name in ("artifacts.json", "control.json", "last.json")]
    folder = wire.task_key(flow, run, step, task, "attempts/") + wire.attempt_folder("0", "abc") + "/"
    logs = [wire.log_key(folder, stream, n) for stream in ("out", "err") for n in range(3)]
    others = [
        wire.bundle_key("d"),
        wire.release_key("d"),
        wire.version_key("dev", "train", "3"),
        wire.blob_key(flow, "d"),
        wire.index_key(flow, 1, run),
    ]
    keys = [*of_run, *of_task, *logs, *others]
    assert len(set(keys)) == len(keys)
    assert all(key.startswith(wire.run_prefix(flow, run)) for key in [*of_run, *of_task, *logs])
    assert all(key.startswith(wire.step_prefix(flow, run, step)) for key in [*of_task, *logs])
    assert not any("//" in key or key.startswith("/") for key in keys)


@given(any_names, milliseconds, runs)
def test_the_index_says_which_run_and_when(flow: str, started: int, run: str) -> None:
    """A key in the index is read back as the run and its start."""
    key = wire.index_key(flow, started, run)
    assert wire.run_from_index(key) == wire.IndexEntry(run, started)
    assert wire.run_from_index(key.removeprefix(wire.index_prefix(flow))) == (run, started)


@given(st.lists(st.tuples(milliseconds, runs), max_size=8, unique_by=lambda entry: entry[1]))
def test_a_listing_of_the_index_is_newest_first(entries: list[tuple[int, str]]) -> None:
    """The lexical order of the keys, which every store lists in, is the order from the newest run to the oldest."""
    keys = sorted(wire.index_key("F", started, run) for started, run in entries)
    starts = [wire.run_from_index(key).started_ms for key in keys]
    assert starts == sorted(starts, reverse=True)
    assert {wire.run_from_index(key).run for key in keys} == {run for _, run in entries}


def test_an_entry_is_one_however_often_it_is_written() -> None:
    """The same run at the same start is the same key."""
    assert wire.index_key("F", 5, "r") == wire.index_key("F", 5, "r")


@given(st.lists(st.text(max_size=5), min_size=1, max_size=3), st.lists(st.text(max_size=5), min_size=1, max_size=3))
def test_run_ids_of_different_deployments_differ(one: list[str], other: list[str]) -> None:
    """The digits in front of a run id tell deployments with the same execution name apart."""
    ids = [wire.run_id(wire.scope_digits(*parts), "exec") for parts in (one, other)]
    if "\0".join(one) == "\0".join(other):
        assert ids[0] == ids[1]
    else:
        assert ids[0] != ids[1]
    assert all(re.fullmatch(r"[0-9a-f]{8}-exec", run) for run in ids)


@given(st.integers(0, 4_000_000_000_000), st.integers(0, 4_000_000_000_000))
def test_execution_names_sort_by_time(one: int, other: int) -> None:
    """Names of ours fit every orchestrator, are never drawn twice, and sort by the second of their start."""
    first, second = wire.execution_name(one), wire.execution_name(other)
    assert re.fullmatch(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{10}", first)
    assert len(wire.run_id("0" * 8, first)) <= 89
    if one // 1000 != other // 1000:
        assert (first < second) == (one < other)


def test_the_command_of_a_task_is_plain_strings() -> None:
    """The program and its five arguments, in the order of the protocol."""
    command = wire.task_command("code", "run", "step", "0.1", "0")
    assert command == ["flowinfra-task", "code", "run", "step", "0.1", "0"]


def test_the_fields_of_a_document_are_told_apart() -> None:
    """No two fields of one document share a name."""
    for document in (wire.RunDocument, wire.Commit, wire.Attempt, wire.End):
        fields = [value for name, value in vars(document).items() if not name.startswith("_")]
        assert len(set(fields)) == len(fields)
    variables = (wire.ENV_STORE, wire.ENV_CODE, wire.ENV_ATTEMPT, wire.ENV_LOGS)
    assert all(one != other for one, other in itertools.combinations(variables, 2))
