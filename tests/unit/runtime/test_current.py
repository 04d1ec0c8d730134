from __future__ import annotations

import threading
from pathlib import Path

import pytest

from flowinfra.diagnostics import RunError
from flowinfra.orchestrators.start import StartedRun, write_start
from flowinfra.packaging.store import Store
from flowinfra.runtime.current import Parameters, TaskInfo, current, running
from flowinfra.wire import task_key

INFO = ("Flow", "r1", "train", "0.1", 2)


def test_it_tells_about_the_task() -> None:
    """Names, ids, how many attempts came before, and where it stands among all tasks."""
    with running(TaskInfo(*INFO)):
        assert current.flow_name == "Flow"
        assert current.run_id == "r1"
        assert current.step_name == "train"
        assert current.task_id == "0.1"
        assert current.retry_count == current.attempt == 2
        assert current.pathspec == "Flow/r1/train/0.1"
        assert current.is_running_flow is True


def test_outside_a_task_it_says_so() -> None:
    """Only whether a flow runs can be asked anywhere."""
    assert current.is_running_flow is False
    with pytest.raises(RunError, match=r"FI725.*current\.run_id is only there while a step runs"):
        _ = current.run_id
    assert current.get("run_id") is None


def test_an_unknown_name_is_named_with_the_nearest() -> None:
    """An AttributeError, so that hasattr works."""
    with pytest.raises(AttributeError, match=r"did you mean 'run_id'\?"):
        _ = current.runid  # type: ignore[attr-defined]
    assert not hasattr(current, "nope")


def test_run_json_is_read_once_and_only_when_it_is_needed() -> None:
    """Tags, user, namespace and origin come from it."""
    reads = []

    def read() -> dict[str, object]:
        reads.append(1)
        return {"tags": ["a", "production:x-1-ab"], "user": "ada", "origin": "r0"}

    with running(TaskInfo(*INFO, read_run=read)):
        assert current.pathspec
        assert reads == []
        assert current.tags == {"a", "production:x-1-ab"}
        assert current.username == "ada"
        assert current.namespace == "production:x-1-ab"
        assert current.origin_run_id == "r0"
    assert reads == [1]


def test_without_a_production_tag_the_namespace_is_the_users() -> None:
    """What one starts by hand is found again under one's own name."""
    with running(TaskInfo(*INFO, read_run=lambda: {"user": "ada"})):
        assert current.namespace == "user:ada"
        assert current.origin_run_id is None
        assert current.tags == frozenset()


def test_parameters_are_a_mapping_and_attributes() -> None:
    """A value is loaded when it is asked for."""
    loaded: list[str] = []

    def load(name: str) -> int:
        loaded.append(name)
        return len(name)

    with running(TaskInfo(*INFO, parameters=Parameters(["alpha", "beta"], load))):
        assert list(current.parameters) == ["alpha", "beta"]
        assert loaded == []
        assert current.parameters.alpha == 5
        assert current.parameters["beta"] == 4
        assert dict(current.parameters) == {"alpha": 5, "beta": 4}
        with pytest.raises(AttributeError, match=r"did you mean 'alpha'\?"):
            _ = current.parameters.alhpa
        with pytest.raises(KeyError):
            current.parameters["gamma"]


def test_threads_that_a_step_starts_see_it() -> None:
    """They do not inherit the context of the thread that starts them."""
    seen: list[str] = []
    with running(TaskInfo(*INFO)):
        thread = threading.Thread(target=lambda: seen.append(current.step_name))
        thread.start()
        thread.join()
    assert seen == ["train"]


def test_the_temporary_folder_goes_with_the_task() -> None:
    """It is made when it is first asked for."""
    with running(TaskInfo(*INFO)):
        folder = Path(current.tempdir)
        (folder / "file").write_text("x")
        assert Path(current.tempdir) == folder
    assert not folder.exists()


def test_a_run_in_a_project_knows_it() -> None:
    """By its tags, as every other task of it does; without @project the names are not there."""
    with running(TaskInfo(*INFO, read_run=lambda: {"tags": ["project:demo", "project_branch:prod.b"]})):
        assert current.project_name == "demo"
        assert current.branch_name == "prod.b"
        assert current.is_production is True
        assert current.is_user_branch is False
        assert current.project_flow_name == "demo.prod.b.Flow"
    with running(TaskInfo(*INFO)):
        assert not hasattr(current, "project_name")
        assert current.get("is_production", "none") == "none"
        with pytest.raises(AttributeError, match="the flow has no @project"):
            _ = current.branch_name


def test_the_namespace_that_was_asked_for_is_the_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--namespace` reaches the tasks in their environment."""
    monkeypatch.setenv("FLOWINFRA_NAMESPACE", "user:bob")
    with running(TaskInfo(*INFO, read_run=lambda: {"user": "ada"})):
        assert current.namespace == "user:bob"


def test_the_graph_is_told_in_the_words_of_the_field() -> None:
    """Steps by name, with their type and what comes next; and nothing has triggered the run."""
    graph = {
        "name": "Flow",
        "start": "start",
        "parameters": [{"name": "alpha", "type": "float", "json_schema": {}}],
        "steps": [
            {"name": "start", "next": {"kind": "split", "to": ["a", "b"]}},
            {"name": "a", "next": {"kind": "foreach", "to": "c", "over": "xs"}},
            {"name": "b", "next": {"kind": "switch", "on": "y", "cases": {"1": "c", "2": "d", "3": "c"}}},
            {"name": "c", "next": {"kind": "goto", "to": "d"}},
            {"name": "d", "join": True, "next": {"kind": "goto", "to": "end"}},
            {"name": "end"},
        ],
    }
    with running(TaskInfo(*INFO, read_graph=lambda: graph)):
        told = current.graph
        assert current.trigger is None
    assert (told["name"], told["start"], told["parameters"]) == ("Flow", "start", [{"name": "alpha", "type": "float"}])
    assert {name: (step["type"], step["next"]) for name, step in told["steps"].items()} == {
        "start": ("split-static", ["a", "b"]),
        "a": ("split-foreach", ["c"]),
        "b": ("split-switch", ["c", "d"]),
        "c": ("linear", ["d"]),
        "d": ("join", ["end"]),
        "end": ("end", []),
    }


def test_the_objects_of_the_client_are_at_hand(tmp_path: Path) -> None:
    """The run and the task that this is, in the store that the task uses."""
    store = Store.open(str(tmp_path))
    run = StartedRun(flow="Flow", run="r1", release="0" * 64, started_ms=1, target="local", tags=("a",))
    write_start(store, run, {})
    store.put(task_key("Flow", "r1", "train", "0.1", "attempts/0-x/begin.json"), b'{"time": 1, "host": "h", "pid": 1}')
    with running(TaskInfo(*INFO, store=store)):
        assert current.run.pathspec == "Flow/r1"
        assert "a" in current.run.tags
        assert current.task.pathspec == "Flow/r1/train/0.1"
