from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written_runs import Shelves

from flowinfra import Flow, Run, wire
from flowinfra.control.place import Address, Place
from flowinfra.control.tagging import change_tags
from flowinfra.diagnostics import ControlError
from flowinfra.packaging.store import Store
from support.buckets import S3, serve_s3
from support.child import Python

Tags = frozenset[str]
#: What one actor does: changes of (removed, added), one after the other.
Changes = list[tuple[Tags, Tags]]
#: What it did, and was told to be there afterwards.
Told = list[tuple[Tags, Tags, Tags]]

_NUMBERS = itertools.count()
words = st.frozensets(st.sampled_from("abcd"), max_size=3)
actors = st.lists(st.lists(st.tuples(words, words), min_size=1, max_size=4), min_size=2, max_size=4)
quick = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
few = settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """A bucket."""
    with serve_s3() as server:
        yield server


@pytest.fixture(params=["file", "s3"])
def shelf(request: pytest.FixtureRequest, shelves: Shelves, monkeypatch: pytest.MonkeyPatch) -> Shelves:
    """A project whose store lies in files or in a bucket."""
    if request.param == "file":
        return shelves
    server: S3 = request.getfixturevalue("s3")
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    url = server.url(f"t{next(_NUMBERS)}")
    monkeypatch.setenv("FLOWINFRA_STORE", url)
    return Shelves(shelves.home, Store.open(url), shelves.release)


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(ControlError) as caught:
        action()
    return caught.value.diagnostics[0].code


# -- one after the other ----------------------------------------------------------------------------------------------


def test_tags_of_a_run_are_changed_after_its_start(shelf: Shelves) -> None:
    """Adding, removing and replacing change what everyone reads from then on; run.json stays as it was."""
    shelf.write("a", tags=("nightly", "production:x"))
    run, seen = Run("Sort/a"), Run("Sort/a")
    before = shelf.store.get(wire.run_key("Sort", "a", "run.json"))
    run.add_tag("good")
    assert seen.user_tags == {"nightly", "good"}
    run.add_tags(["b", "c"])
    run.remove_tag("nightly")
    run.remove_tags({"b"})
    run.replace_tag("good", "best")
    run.replace_tags(["c", "not there"], ["d", "e"])
    assert seen.user_tags == run.user_tags == {"best", "d", "e"}
    assert "production:x" in seen.system_tags
    assert seen.tags == seen.user_tags | seen.system_tags
    assert list(Flow("Sort").runs("best", "production:x")) == [run]
    assert list(Flow("Sort").runs("nightly")) == []
    assert shelf.store.get(wire.run_key("Sort", "a", "run.json")) == before


def test_what_is_both_removed_and_added_is_there(shelves: Shelves) -> None:
    """Tags are taken away first, then given."""
    shelves.write("a", tags=("x", "y"))
    run = Run("Sort/a")
    run.replace_tags(["x", "y"], ["y", "z"])
    assert run.user_tags == {"y", "z"}


def test_a_change_of_nothing_writes_nothing(shelves: Shelves) -> None:
    """To add what is there, to remove what is not, and to add a system tag leave no version."""
    shelves.write("a", tags=("x",))
    run = Run("Sort/a")
    run.add_tag("x")
    run.remove_tag("y")
    run.add_tag("target:local")
    assert list(shelves.store.list(wire.tags_prefix("Sort", "a"))) == []
    assert run.user_tags == {"x"}


def test_steps_tasks_and_artifacts_have_the_tags_of_their_run(shelves: Shelves) -> None:
    """What belongs to a run is found by its tags."""
    shelves.write("a", tags=("x",)).succeed()
    run = Run("Sort/a")
    run.add_tag("y")
    for node in (run["end"], run["end"].task, run["end"].task["total"]):
        assert (node.user_tags, node.system_tags, node.tags) == (run.user_tags, run.system_tags, run.tags)
    assert [step.id for step in run.steps("y")] == ["end", "join", "work", "start"]
    assert list(run.steps("z")) == list(run["work"].tasks("z")) == []


def test_system_tags_stay(shelves: Shelves) -> None:
    """They say where a run comes from; the change is refused as a whole."""
    shelves.write("a", tags=("x",), user="eva")
    run = Run("Sort/a")
    assert code_of(lambda: run.remove_tags(["x", "user:eva"])) == "FI876"
    assert run.user_tags == {"x"}


@pytest.mark.parametrize("tag", ["", "x" * 501, "two\nlines", "\udc80", 7])
def test_what_cannot_be_a_tag_is_refused(shelves: Shelves, tag: str) -> None:
    """All tags are judged before anything is written, and each bad one is told."""
    shelves.write("a")
    run = Run("Sort/a")
    assert code_of(lambda: run.add_tags(["good", tag])) == "FI875"
    assert run.user_tags == frozenset()


def test_a_run_has_at_most_50_tags(shelves: Shelves) -> None:
    """What would be one too many is refused; replacing one is not."""
    shelves.write("a", tags=tuple(f"t{n}" for n in range(50)))
    run = Run("Sort/a")
    assert code_of(lambda: run.add_tag("one more")) == "FI875"
    run.replace_tag("t0", "one more")
    assert len(run.user_tags) == 50


def test_who_changed_the_tags_and_when_is_kept(shelves: Shelves, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each version says all tags, the time and the user."""
    monkeypatch.setenv("FLOWINFRA_USER", "ada")
    shelves.write("a", tags=("x",))
    Run("Sort/a").add_tag("y")
    said = shelves.store.get_json(wire.tags_key("Sort", "a", 1))
    assert (said["tags"], said["user"], said["time"] > 1_700_000_000_000) == (["x", "y"], "ada", True)


# -- at once ----------------------------------------------------------------------------------------------------------


def is_serial(actors: list[Told], last: Tags) -> bool:
    """Whether some order of all changes, in which those of each actor keep theirs, explains what each was told."""
    reached: dict[tuple[int, ...], set[Tags]] = {(0,) * len(actors): {frozenset()}}
    for place in itertools.product(*(range(len(told) + 1) for told in actors)):
        for tags in reached.get(place, ()):
            for actor, told in enumerate(actors):
                if place[actor] == len(told):
                    continue
                removed, added, after = told[place[actor]]
                if (tags - removed) | added == after:
                    then = (*place[:actor], place[actor] + 1, *place[actor + 1 :])
                    reached.setdefault(then, set()).add(after)
    return last in reached.get(tuple(len(told) for told in actors), ())


def test_the_judge_of_serial_orders_knows_a_lost_change() -> None:
    """Two additions of which one is lost are explained by no order; both kept are."""
    a, b, none = frozenset("a"), frozenset("b"), frozenset[str]()
    assert is_serial([[(none, a, a)], [(none, b, a | b)]], a | b)
    assert not is_serial([[(none, a, a)], [(none, b, b)]], a)
    assert not is_serial([[(none, a, a)], [(none, b, b)]], a | b)


def in_threads(shelf: Shelves, run: str, actors: Iterable[Changes]) -> list[Told]:
    """Carry out the changes, each actor in a thread of its own; what each was told."""
    each = list(actors)
    begin = threading.Barrier(len(each))

    def act(changes: Changes) -> Told:
        place = Place(shelf.home, Store.open(shelf.store.url))
        address = Address(place, ("Sort", run))
        document = place.store.get_json(wire.run_key("Sort", run, "run.json"))
        begin.wait(60)
        return [(gone, new, change_tags(address, document, remove=gone, add=new)) for gone, new in changes]

    with ThreadPoolExecutor(len(each)) as threads:
        return list(threads.map(act, each))


@quick
@given(actors)
def test_changes_of_threads_at_once_have_one_order(shelves: Shelves, actors: list[Changes]) -> None:
    """Whatever several threads change at once, some order of all changes explains what each saw and what is left."""
    run = f"r{next(_NUMBERS)}"
    shelves.write(run)
    told = in_threads(shelves, run, actors)
    assert is_serial(told, Run(f"Sort/{run}").user_tags)


@few
@given(actors)
def test_changes_at_once_have_one_order_in_a_bucket(
    s3: S3, shelves: Shelves, monkeypatch: pytest.MonkeyPatch, actors: list[Changes]
) -> None:
    """S3's conditional writes do what local files do."""
    for name, value in s3.variables.items():
        monkeypatch.setenv(name, value)
    run = f"r{next(_NUMBERS)}"
    shelf = Shelves(shelves.home, Store.open(s3.url("threads")), shelves.release)
    shelf.write(run)
    told = in_threads(shelf, run, actors)
    assert is_serial(told, Run(f"Sort/{run}", store=shelf.store).user_tags)


CHILD = """
import json, sys
from pathlib import Path
from flowinfra import Run
from flowinfra.control.place import Address, Place
from flowinfra.control.tagging import change_tags
from flowinfra.wire import run_key

store, run, changes = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
place = Place.open(store)
document = place.store.get_json(run_key("Sort", run, "run.json"))
told = []
for gone, new in changes:
    after = change_tags(Address(place, ("Sort", run)), document, remove=gone, add=new)
    told.append([gone, new, sorted(after)])
print(json.dumps(told))
"""


@pytest.mark.parametrize("shelf", ["file", "s3"], indirect=True)
@settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.tuples(words, words), min_size=3, max_size=6), min_size=4, max_size=4))
def test_changes_of_processes_at_once_have_one_order(
    shelf: Shelves, s3: S3, python: Python, actors: list[Changes]
) -> None:
    """Processes that know nothing of one another lose no change either, in files and in a bucket."""
    run = f"p{next(_NUMBERS)}"
    shelf.write(run)
    children = Python({**python.environment, **s3.variables})

    def act(changes: Changes) -> Told:
        plain = [[sorted(gone), sorted(new)] for gone, new in changes]
        said = json.loads(children.code(CHILD, shelf.store.url, run, json.dumps(plain)))
        return [(frozenset(gone), frozenset(new), frozenset(after)) for gone, new, after in said]

    with ThreadPoolExecutor(len(actors)) as threads:
        told = list(threads.map(act, actors))
    assert is_serial(told, Run(f"Sort/{run}", store=shelf.store).user_tags)


def test_many_at_once_all_get_their_tag(shelf: Shelves) -> None:
    """Eight that add one tag each, all at once, leave eight tags, and eight versions that each added one."""
    shelf.write("a")
    in_threads(shelf, "a", [[(frozenset(), frozenset({f"t{n}"}))] for n in range(8)])
    assert Run("Sort/a").user_tags == {f"t{n}" for n in range(8)}
    versions = [shelf.store.get_json(key)["tags"] for key in shelf.store.list(wire.tags_prefix("Sort", "a"))]
    assert [len(tags) for tags in versions] == [8, 7, 6, 5, 4, 3, 2, 1]


def test_reading_meanwhile_sees_whole_changes(shelves: Shelves) -> None:
    """Two tags that are always exchanged together are never seen apart."""
    shelves.write("a", tags=("old 1", "old 2"))
    over = threading.Event()
    seen: set[Tags] = set()

    def read() -> None:
        run = Run(Address(Place(shelves.home, shelves.store), ("Sort", "a")))
        while not over.is_set():
            seen.add(run.user_tags)

    reader = threading.Thread(target=read)
    reader.start()
    run = Run("Sort/a")
    for _ in range(30):
        run.replace_tags(["old 1", "old 2"], ["new 1", "new 2"])
        run.replace_tags(["new 1", "new 2"], ["old 1", "old 2"])
    over.set()
    reader.join()
    assert seen <= {frozenset({"old 1", "old 2"}), frozenset({"new 1", "new 2"})}


def test_a_store_that_cannot_be_written_says_so(shelves: Shelves, tmp_path: Path) -> None:
    """Tags are read from a store that one may only read; a change of them is refused with what to do."""
    shelves.write("a", tags=("x",))
    folder = Path(shelves.store.url.removeprefix("file://")) / wire.run_prefix("Sort", "a") / "tags"
    folder.write_bytes(b"no folder")
    run = Run("Sort/a")
    assert run.user_tags == {"x"}
    with pytest.raises(Exception, match="FI403"):
        run.add_tag("y")
