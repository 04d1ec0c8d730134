from __future__ import annotations

import asyncio
import contextvars
import copy
import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from written_runs import Shelves

from flowinfra import (
    Artifact,
    DataArtifact,
    Flow,
    Flows,
    Run,
    Step,
    Task,
    default_namespace,
    get_namespace,
    namespace,
    wire,
)
from flowinfra.canonical import canonical_json
from flowinfra.control.listing import next_steps
from flowinfra.control.namespaces import NotInNamespace
from flowinfra.diagnostics import NotFoundError, PackagingError
from flowinfra.packaging.manifest import bundle_file, manifest_digest
from flowinfra.runtime.rundata import CommitValue

T0 = 1_700_000_000_000


@pytest.fixture(autouse=True)
def _own_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that has failed in the middle leaves no namespace behind."""
    monkeypatch.delenv("FLOWINFRA_NAMESPACE", raising=False)
    default_namespace()


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises((NotFoundError, NotInNamespace)) as caught:
        action()
    return caught.value.diagnostics[0].code


# -- what each object is called -----------------------------------------------------------------------------------------


def test_each_object_tells_its_name_and_what_it_is_in(shelves: Shelves) -> None:
    """Id, pathspec, parts and parent, from an artifact up to its flow; text and repr are what one would type."""
    shelves.write("a").succeed()
    artifact = Artifact("Sort/a/end/0/total")
    assert (artifact.id, artifact.path_components) == ("total", ["Sort", "a", "end", "0", "total"])
    assert artifact.parent == Task("Sort/a/end/0")
    assert artifact.parent.parent == Step("Sort/a/end")
    assert artifact.parent.parent.parent == Run("Sort/a")
    assert artifact.parent.parent.parent.parent == Flow("Sort")
    assert Flow("Sort").parent is None
    assert f"{Run('Sort/a')} {Flow('Sort')!r}" == "Run('Sort/a') Flow('Sort')"
    assert artifact.finished_at == artifact.created_at == Task("Sort/a/end/0").finished_at
    assert isinstance(artifact, DataArtifact)


def test_flows_are_listed_and_found_by_name(shelves: Shelves) -> None:
    """All flows that have run, without reading a run."""
    assert list(Flows()) == []
    shelves.write("a")
    shelves.write("b", flow="Merge")
    flows = Flows()
    assert list(flows) == flows.flows == [Flow("Merge"), Flow("Sort")]
    assert flows["Sort"] == Flow("Sort")
    assert ("Sort" in flows, "Sorted" in flows) == (True, False)
    assert code_of(lambda: flows["Sorted"]) == "FI812"
    assert shelves.store.url in repr(flows)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Run, "Sort", ["too few parts: 1, where 2", "Flow('Sort')"]),
        (Task, "Sort/a", ["too few parts: 2, where 4", "the form of a Run: Run('Sort/a')"]),
        (Flow, "Sort/a/end/0", ["too many parts: 4, where 1 is needed", "Task('Sort/a/end/0')"]),
        (Run, "a/b/c/d/e/f", ["too many parts: 6, where 2 are needed"]),
        (Run, "Sort//", ["One of its parts is empty"]),
        (Run, "Sort/..", ["a dot that names no object"]),
    ],
)
def test_a_pathspec_of_another_object_is_told_from_a_bad_one(
    shelves: Shelves, kind: type[Run], text: str, said: list[str]
) -> None:
    """The message counts the parts and says what the text does name."""
    with pytest.raises(NotFoundError, match="FI816") as caught:
        kind(text)
    assert [part for part in said if part not in str(caught.value)] == []


# -- namespaces ---------------------------------------------------------------------------------------------------------


def test_a_namespace_narrows_what_is_seen(shelves: Shelves) -> None:
    """Listings leave other runs out; naming one of them is an error that says its tags."""
    shelves.write("mine", started_ms=T0, user="ada", tags=("x",))
    shelves.write("theirs", started_ms=T0 + 1, user="bob").succeed()
    shelves.write("other", flow="Merge", user="bob")
    everything = Flow("Sort")
    assert get_namespace() is None
    assert namespace("user:ada") == get_namespace() == "user:ada"
    assert [run.id for run in Flow("Sort")] == ["mine"]
    assert [flow.id for flow in Flows()] == ["Sort"]
    assert Flow("Sort").latest_run == Run("Sort/mine")
    for ask in (
        lambda: Run("Sort/theirs"),
        lambda: Flow("Sort")["theirs"],
        lambda: Task("Sort/theirs/end/0"),
        lambda: Artifact("Sort/theirs/end/0/total"),
        lambda: Flow("Merge"),
    ):
        assert code_of(ask) == "FI877"
    assert "theirs" not in Flow("Sort")
    assert "theirs" in everything, "an object keeps the namespace in which it was made"
    with pytest.raises(NotInNamespace, match="user:bob"):
        Run("Sort/theirs")
    assert namespace(None) is None
    run = Run("Sort/theirs")
    assert run["end"].task.data.total == 506
    namespace("x")
    assert (run.is_in_namespace(), Run("Sort/mine").is_in_namespace()) == (False, True)
    run.add_tag("x")
    assert [found.id for found in Flow("Sort")] == ["theirs", "mine"]


def test_a_namespace_belongs_to_its_context(shelves: Shelves) -> None:
    """Coroutines at once, and threads, each have their own; what one chooses no other sees."""
    shelves.write("a", user="ada")
    shelves.write("b", user="bob")

    async def see(user: str, turn: asyncio.Event, done: asyncio.Event) -> list[str]:
        namespace(f"user:{user}")
        turn.set()
        await done.wait()
        return [run.id for run in Flow("Sort")]

    async def both() -> list[list[str]]:
        one, two = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(see("ada", one, two), see("bob", two, one))

    assert asyncio.run(both()) == [["a"], ["b"]]
    assert get_namespace() is None
    namespace("user:ada")
    seen: list[str | None] = []
    threading.Thread(target=lambda: seen.append(get_namespace())).start()
    thread = threading.Thread(target=contextvars.copy_context().run, args=(lambda: seen.append(get_namespace()),))
    thread.start()
    thread.join()
    assert sorted(seen, key=str) == [None, "user:ada"]


def test_the_environment_says_the_default_namespace(shelves: Shelves, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLOWINFRA_NAMESPACE holds until a program chooses, and again after default_namespace()."""
    monkeypatch.setenv("FLOWINFRA_NAMESPACE", "user:ada")
    assert get_namespace() == "user:ada"
    assert namespace(None) is None
    assert default_namespace() == "user:ada"
    monkeypatch.setenv("FLOWINFRA_NAMESPACE", "")
    assert get_namespace() is None


# -- what else objects do -----------------------------------------------------------------------------------------------


def test_objects_can_be_sent_to_another_process(shelves: Shelves) -> None:
    """A pickle holds the name and the store: read elsewhere, it is the same object, with the same choices."""
    run = shelves.write("a", started_ms=T0, user="ada")
    run.fail("start", "0", run.begin("start"), "no")
    run.commit("start", values={"x": 1}, attempt="1")
    run.commit("end", values={"total": 7})
    namespace("user:ada")
    flow = Flow("Sort")
    namespace(None)
    shelves.write("b", user="bob")
    objects = [Run("Sort/a"), Run("Sort/a")["end"], Task("Sort/a/start/0", attempt=0), Artifact("Sort/a/end/0/total")]
    _ = [(node.tags, node.user_tags) for node in objects]
    back = pickle.loads(pickle.dumps(objects))
    assert back == objects
    assert (back[2].attempt, back[3].data, back[0].created_at) == (0, 7, objects[0].created_at)
    assert len(pickle.dumps(objects[0])) < 400
    assert [found.id for found in pickle.loads(pickle.dumps(flow))] == ["a"]
    assert copy.copy(objects[0]) == objects[0]
    assert back[0].state == copy.copy(objects[0]).state == objects[0].state
    assert (back[1].task.data.total, back[2].exception.message, back[0].end_task) == (7, "no", back[1].task)


def test_a_notebook_can_complete_keys(shelves: Shelves) -> None:
    """The names of what is inside are offered."""
    shelves.write("a").succeed()
    assert Flow("Sort")._ipython_key_completions_() == ["a"]
    assert Run("Sort/a")._ipython_key_completions_() == ["end", "join", "work", "start"]
    assert Run("Sort/a")["end"].task._ipython_key_completions_() == ["name", "total"]
    assert Artifact("Sort/a/end/0/total")._ipython_key_completions_() == []


# -- tasks around a task ------------------------------------------------------------------------------------------------


def test_children_of_a_task_are_derived(shelves: Shelves) -> None:
    """Those of a foreach by its items, a join for each item, and nothing behind the last; only what has begun is there."""
    run = shelves.write("a")
    run.commit("start", values={"items": [1, 2, 3]})
    start = shelves.store.get_json(wire.task_key("Sort", "a", "start", "0", "artifacts.json"))
    key = wire.task_key("Sort", "a", "start", "0", "artifacts.json")
    shelves.store.put(key, canonical_json({**start, "control": [0, 1, 2]}))
    for n in (0, 2):
        run.commit("work", f"0.{n}", parents=[("start", "0")])
    task = Run("Sort/a")["start"].task
    assert list(task.child_task_pathspecs) == ["Sort/a/work/0.0", "Sort/a/work/0.2"]
    assert list(Task("Sort/a/work/0.0").child_tasks) == []
    run.begin("join")
    assert list(Task("Sort/a/work/0.0").child_tasks) == [Task("Sort/a/join/0")]
    assert list(Task("Sort/a/work/0.0").parent_task_pathspecs) == ["Sort/a/start/0"]
    assert list(Task("Sort/a/join/0").child_tasks) == [], "it has not ended"


def test_steps_around_a_step_follow_from_the_graph() -> None:
    """Each kind of transition is known; a step may be led to by several."""
    steps = [
        {"name": "a", "next": {"kind": "split", "to": ["b", "c"]}},
        {"name": "b", "next": {"kind": "switch", "on": "x", "cases": {"y": "d", "n": "b", "m": "d"}}},
        {"name": "c", "next": {"kind": "foreach", "over": "xs", "to": "d"}},
        {"name": "d", "next": {"kind": "goto", "to": "e"}},
        {"name": "e", "next": {"kind": "end"}},
        {"name": "f"},
    ]
    found = next_steps({"graph": {"steps": steps}})
    assert found == {"a": ("b", "c"), "b": ("d", "b"), "c": ("d",), "d": ("e",), "e": (), "f": ()}


def test_parents_of_a_task_that_has_not_ended_follow_from_the_graph(shelves: Shelves) -> None:
    """Who looks at a task that runs or failed finds what it started from."""
    run = shelves.write("a")
    run.commit("start", values={"items": [1]})
    run.fail("work", "0.0", run.begin("work", "0.0"), "no")
    assert list(Task("Sort/a/work/0.0").parent_tasks) == [Task("Sort/a/start/0")]


# -- attempts -----------------------------------------------------------------------------------------------------------


def test_one_attempt_of_a_task_can_be_looked_at(shelves: Shelves) -> None:
    """Its output, times and failure are those of that attempt, and only the one that committed has artifacts."""
    run = shelves.write("a")
    first = run.begin("start", at=T0)
    run.log("start", "0", first, {"out.0": b"one\n", "err.0": b"e1\n"})
    run.fail("start", "0", first, "no", at=T0 + 1)
    second = run.begin("start", attempt="1", at=T0 + 10)
    run.log("start", "0", second, {"out.0": b"two\nli", "out.1": b"nes\n"})
    run.commit("start", values={"x": 1}, attempt="1", at=T0 + 10)
    before, last = Task("Sort/a/start/0", attempt=0), Task("Sort/a/start/0", attempt=1)
    assert (before.attempt, before.stdout, before.stderr, len(before.data)) == (0, "one\n", "e1\n", 0)
    assert before.exception is not None
    assert before.exception.message == "no"
    assert (last.current_attempt, list(last.loglines("stdout")), last.data.x) == (1, ["two", "lines"], 1)
    assert (last.exception, list(last.loglines("stderr"))) == (None, [])
    assert last.created_at is not None
    assert before.created_at is not None
    assert (last.created_at - before.created_at).total_seconds() == 0.01
    assert Task("Sort/a/start/0").metadata_dict == {
        "attempt": "1",
        "target": "local",
        "host": "h",
        "pid": "1",
        "outcome": "committed",
    }
    assert code_of(lambda: Task("Sort/a/start/0", attempt=2)) == "FI843"
    with pytest.raises(ValueError, match="'stdout' or 'stderr'"):
        list(last.loglines("both"))


def test_a_task_that_was_taken_over_tells_what_the_real_one_did(shelves: Shelves) -> None:
    """Output, times, attempt and metadata are those of the task that ran; its pathspec is told."""
    origin = shelves.write("before")
    folder = origin.begin("start", attempt="3", at=T0)
    origin.log("start", "0", folder, {"out.0": b"said then\n"})
    origin.commit("start", values={"x": 1}, attempt="3", at=T0)
    commit = origin.data.commit("start", "0")
    resumed = shelves.write("after", origin="before")
    copied = CommitValue(commit.artifacts, commit.parents, commit.attempt, origin="Sort/before/start/0")
    assert resumed.data.create_commit("start", "0", copied)
    run = Run("Sort/after")
    task, real = run["start"].task, Run("Sort/before")["start"].task
    assert (run.origin_pathspec, task.origin_pathspec) == ("Sort/before", "Sort/before/start/0")
    assert (real.origin_pathspec, run["start"].origin_pathspec) == (None, "Sort/before")
    assert (task.stdout, task.attempt, task.created_at) == ("said then\n", 3, real.created_at)
    assert task.finished_at == real.finished_at
    assert task.metadata_dict["origin_pathspec"] == "Sort/before/start/0"
    assert task.data.x == 1
    asked = Task("Sort/after/start/0", attempt=3)
    assert (asked.stdout, asked.attempt, asked.created_at, asked.data.x) == ("said then\n", 3, real.created_at, 1)


# -- code ---------------------------------------------------------------------------------------------------------------


def test_the_code_of_a_run_is_read_from_its_bundle(shelves: Shelves) -> None:
    """The flow's source, all files, and the digest; what is damaged is refused."""
    import io
    import tarfile

    files = {"lib/help.py": b"X = 1\n", "sort.py": b"class Sort: ...\n"}
    digest = manifest_digest([bundle_file(name, content) for name, content in files.items()])
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    shelves.store.put(wire.bundle_key(digest), out.getvalue())
    release = canonical_json(
        {
            "wire": wire.WIRE_VERSION,
            "flowinfra": "0.1.0",
            "graph": {"name": "Sort", "start": "start", "steps": [{"name": "start", "entrypoint": "sort:Sort.start"}]},
            "program": {"sequences": [[{"kind": "task", "step": "start"}]]},
            "bundle": digest,
        }
    )
    from flowinfra.canonical import sha256_hex

    shelves.store.put(wire.release_key(sha256_hex(release)), release)
    Shelves(shelves.home, shelves.store, sha256_hex(release)).write("a")
    code = Run("Sort/a").code
    assert (code.digest, str(code), code.script_name) == (digest, digest, "sort.py")
    assert code.flowspec == "class Sort: ...\n"
    assert code.info == {"digest": digest, "script": "sort.py", "flowinfra": "0.1.0"}
    assert code.path == f"{shelves.store.url}/bundles/{digest}"
    with code.extract() as folder:
        assert {str(file.relative_to(folder)) for file in Path(folder).rglob("*.py")} == set(files)
    assert not Path(folder).exists()
    shelves.store.put(wire.bundle_key(digest), out.getvalue() + b"more")
    shelves.store.put(wire.bundle_key(digest), b"damaged")
    with pytest.raises(PackagingError, match="FI420"):
        _ = Run("Sort/a").code.flowspec


def test_what_a_run_left_is_an_object_too(shelves: Shelves) -> None:
    """run.artifacts are those of the last task, as run.data are their values."""
    shelves.write("a").succeed()
    run = Run("Sort/a")
    assert [artifact.id for artifact in run.artifacts] == ["name", "total"]
    assert (run.artifacts.total.data, run.artifacts.total.codec) == (506, "json")
    assert code_of(lambda: Run(shelves.write("b").pathspec).artifacts.total) == "FI818"
