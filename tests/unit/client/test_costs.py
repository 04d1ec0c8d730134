"""What the client costs, counted at the store's own seam: a backend that counts what it is asked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from written_runs import Shelves

from flowinfra import Flow, Flows, Run, namespace, wire
from flowinfra.canonical import canonical_json
from flowinfra.control.find import newest_runs
from flowinfra.control.place import Place
from flowinfra.control.report import list_runs
from flowinfra.packaging.backends import Files
from flowinfra.packaging.store import Store

RUNS = 10_000
T0 = 1_700_000_000_000


class Counting:
    """Local files, and how often they were asked."""

    def __init__(self, folder: Path) -> None:
        self._files = Files(folder)
        self.asked: Counter[str] = Counter()
        self.keys: list[str] = []

    def _count(self, what: str, key: str) -> None:
        self.asked[what] += 1
        self.keys.append(f"{what} {key}")

    def get(self, key: str) -> bytes | None:
        self._count("get", key)
        return self._files.get(key)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        self._count("get", key)
        return self._files.get_range(key, start, length)

    def size(self, key: str) -> int | None:
        self._count("head", key)
        return self._files.size(key)

    def put(self, key: str, data: bytes) -> None:
        self._count("put", key)
        self._files.put(key, data)

    def create(self, key: str, data: bytes) -> bool:
        self._count("put", key)
        return self._files.create(key, data)

    def delete(self, key: str) -> None:
        self._count("delete", key)
        self._files.delete(key)

    def list(self, folder: str, after: str | None) -> Iterator[str]:
        """Counted by pages of 1,000, as a bucket hands them out."""
        for number, key in enumerate(self._files.list(folder, after)):
            if number % 1000 == 0:
                self._count("list", folder)
            yield key
        if not self.keys or self.keys[-1] != f"list {folder}":
            self._count("list", folder)

    def level(self, folder: str) -> Any:
        self._count("list", folder)
        return self._files.level(folder)


@pytest.fixture
def counting(shelves: Shelves) -> Counting:
    """A store with one flow of 10,000 runs, of which the newest 20 are there; opened by what it counts with."""
    folder = Path(shelves.store.url.removeprefix("file://"))
    index = folder / wire.index_prefix("Sort")
    index.mkdir(parents=True)
    for n in range(RUNS - 20):
        (folder / wire.index_key("Sort", T0 + n, f"r{n}")).touch()
    for n in range(RUNS - 20, RUNS):
        shelves.write(f"r{n}", started_ms=T0 + n, tags=("x",) if n % 2 else ())
    return Counting(folder)


def cost(counting: Counting, action: Callable[[Store], object]) -> tuple[object, dict[str, int]]:
    """What *action* gives, and what the store was asked for."""
    counting.asked.clear()
    store = Store("file:///counted", counting)
    found = action(store)
    return found, dict(counting.asked)


def test_the_newest_of_10000_runs_cost_two_listings(counting: Counting) -> None:
    """One page says that the flow is there, one which runs are the newest; nothing of a run is read."""
    found, asked = cost(counting, lambda store: [run.id for run in islice(Flow("Sort", store=store), 10)])
    assert found == [f"r{n}" for n in range(RUNS - 1, RUNS - 11, -1)]
    assert asked == {"list": 2}


def test_all_of_10000_runs_cost_a_page_for_each_thousand(counting: Counting) -> None:
    """Ids, pathspecs and start times of all of them come out of the listing."""
    found, asked = cost(counting, lambda store: [(run.pathspec, run.created_at) for run in Flow("Sort", store=store)])
    assert isinstance(found, list)
    assert len(found) == RUNS
    assert asked == {"list": 11}


def test_a_list_of_runs_reads_only_those_that_it_shows(counting: Counting, shelves: Shelves) -> None:
    """What one row of `flowinfra runs` needs is its start, its end and a look at its tags; 9,990 others cost nothing."""

    def show(store: Store) -> list[str]:
        return [line.run for line in list_runs(newest_runs(Place(shelves.home, store), ["Sort"]), limit=10)]

    found, asked = cost(counting, show)
    assert found == [f"r{n}" for n in range(RUNS - 1, RUNS - 11, -1)]
    assert asked["list"] == 1 + 10
    assert asked["get"] == 2 * 10
    assert set(asked) == {"list", "get"}
    shown = {key.split("/")[2] for key in counting.keys if key.startswith("get runs/")}
    assert shown == set(found)


def test_the_latest_run_with_a_tag_costs_as_many_reads_as_runs_are_looked_at(counting: Counting) -> None:
    """A search by tag reads from the newest backwards and stops."""
    found, asked = cost(counting, lambda store: next(Flow("Sort", store=store).runs("x")).id)
    assert found == f"r{RUNS - 1}"
    assert asked == {"list": 3, "get": 1}


def test_a_namespace_costs_the_tags_of_the_runs_that_are_looked_at(counting: Counting) -> None:
    """With a namespace each run's tags are read, newest first, until enough are found."""
    namespace("x")
    try:
        found, asked = cost(counting, lambda store: [run.id for run in islice(Flow("Sort", store=store), 3)])
    finally:
        namespace(None)
    assert found == [f"r{RUNS - 1}", f"r{RUNS - 3}", f"r{RUNS - 5}"]
    # Is there the flow, and is one of its runs seen (1 run)? Then the list (5 runs).
    assert asked == {"list": 3 + 6, "get": 6}


def test_flows_cost_one_listing(counting: Counting) -> None:
    """However many runs they have."""
    found, asked = cost(counting, lambda store: [flow.id for flow in Flows(store=store)])
    assert (found, asked) == (["Sort"], {"list": 1})


def test_a_run_of_many_tasks_is_opened_without_reading_them(counting: Counting, shelves: Shelves) -> None:
    """Its result costs the run's document, its plan, the last task's commit and the value, whatever its foreach had."""
    run = shelves.write("wide")
    folder = Path(shelves.store.url.removeprefix("file://"))
    for n in range(1000):
        os.makedirs(folder / wire.task_key("Sort", "wide", "work", f"0.{n}"))
    run.commit("end", values={"total": 7, "other": "x"})
    run.data.end("succeeded")
    found, asked = cost(counting, lambda store: Run("Sort/wide", store=store).data.total)
    assert (found, asked) == (7, {"head": 1, "get": 4, "list": 2})
    run.commit("work", "0.500", {"square": 9})
    found, asked = cost(counting, lambda store: Run("Sort/wide", store=store)["work"]["0.500"].data.square)
    assert (found, asked) == (9, {"head": 1, "get": 2, "list": 2})


def test_tasks_around_a_task_are_found_without_reading_them(counting: Counting, shelves: Shelves) -> None:
    """The children of a wide foreach cost one listing; the join, whose parents are in its commit, costs none."""
    run = shelves.write("wide")
    key = run.data.task_key("start", "0", "artifacts.json")
    shelves.store.put(
        key, canonical_json({"artifacts": {}, "parents": [], "attempt": "0-x", "control": list(range(999))})
    )
    folder = Path(shelves.store.url.removeprefix("file://"))
    for n in range(999):
        os.makedirs(folder / wire.task_key("Sort", "wide", "work", f"0.{n}"))
    run.commit("join", parents=[("work", f"0.{n}") for n in range(999)])
    start = Run("Sort/wide", store=Store("file:///counted", counting))["start"].task
    found, asked = cost(counting, lambda _: len(list(start.child_tasks)))
    assert (found, asked) == (999, {"list": 1, "get": 3})
    join = Run("Sort/wide", store=Store("file:///counted", counting))["join"].task
    found, asked = cost(counting, lambda _: len(list(join.parent_tasks)))
    assert (found, asked) == (999, {"get": 1})
