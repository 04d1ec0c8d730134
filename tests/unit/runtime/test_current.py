from __future__ import annotations

import threading
from pathlib import Path

import pytest

from flowinfra.diagnostics import RunError
from flowinfra.runtime.current import Parameters, TaskInfo, current, running

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
