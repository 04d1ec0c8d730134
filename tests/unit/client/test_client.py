from __future__ import annotations

import copy
import datetime
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from written_runs import Shelves

from flowinfra import Artifact, Flow, Run, Step, Task, wire
from flowinfra.control.find import find_run, newest_runs
from flowinfra.control.logs import Selection, read_logs
from flowinfra.control.place import Place
from flowinfra.control.report import list_runs
from flowinfra.diagnostics import NotFoundError, RunError
from flowinfra.model.states import RunState
from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator
from flowinfra.orchestrators.local.records import NewRun
from flowinfra.orchestrators.local.sqlite import Database, SqliteRunQueue
from flowinfra.packaging.store import Store

T0 = 1_700_000_000_000


def code_of(error: pytest.ExceptionInfo[NotFoundError]) -> str:
    return error.value.diagnostics[0].code


def at(ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)


# -- flows and runs ---------------------------------------------------------------------------------------------------


def test_a_flow_lists_its_runs_newest_first(shelves: Shelves) -> None:
    """The order is that of the starts, whatever the ids are."""
    for n in (2, 0, 1):
        shelves.write(f"run-{n}", started_ms=T0 + n)
    shelves.write("of another flow", flow="Merge", started_ms=T0 + 9)
    flow = Flow("Sort")
    assert [run.id for run in flow] == ["run-2", "run-1", "run-0"]
    assert [run.pathspec for run in flow] == ["Sort/run-2", "Sort/run-1", "Sort/run-0"]
    assert flow.latest_run == Run("Sort/run-2")
    assert flow.pathspec == flow.id == "Sort"


def test_listing_reads_no_run(shelves: Shelves) -> None:
    """Ids and start times come out of one listing: it works even if nothing of the runs can be read."""
    for n in range(50):
        shelves.write(f"run-{n:02}", started_ms=T0 + n)
        shelves.store.put(wire.run_key("Sort", f"run-{n:02}", "run.json"), b"damaged")
    runs = list(Flow("Sort"))
    assert [run.created_at for run in runs] == [at(T0 + n) for n in reversed(range(50))]


def test_the_latest_successful_run_is_found_behind_failed_ones(shelves: Shelves) -> None:
    """Runs that failed or have not ended are passed over."""
    shelves.write("old", started_ms=T0).succeed()
    shelves.write("good", started_ms=T0 + 1).succeed()
    shelves.write("bad", started_ms=T0 + 2).data.end("failed")
    shelves.write("new", started_ms=T0 + 3)
    flow = Flow("Sort")
    assert flow.latest_run == flow["new"]
    assert flow.latest_successful_run == flow["good"]


def test_a_flow_whose_last_step_was_caught_has_not_succeeded(shelves: Shelves) -> None:
    """The run has run to its end, but its result is that of a fallback."""
    run = shelves.write("a")
    run.commit("end", failed=True)
    run.data.end("succeeded")
    assert Run("Sort/a").finished
    assert not Run("Sort/a").successful


def test_a_flow_that_never_ran_is_answered_with_those_that_did(shelves: Shelves) -> None:
    """The nearest name is offered, and what to do."""
    with pytest.raises(NotFoundError, match="No flow has run there yet") as caught:
        Flow("Sort")
    assert code_of(caught) == "FI812"
    shelves.write("a")
    shelves.write("b", flow="Merge")
    with pytest.raises(NotFoundError) as caught:
        Flow("Sorted")
    assert "did you mean 'Sort'?" in str(caught.value)
    assert "Merge, Sort" in str(caught.value)
    assert shelves.store.url in str(caught.value)
    with pytest.raises(NotFoundError) as caught:
        Run("Sorted/a")
    assert code_of(caught) == "FI812"


def test_a_run_that_does_not_exist_is_answered_with_the_nearest(shelves: Shelves) -> None:
    """The newest ids are shown; the error is a KeyError too, as the syntax calls for."""
    for n in range(12):
        shelves.write(f"ab12cd34-run-{n:02}", started_ms=T0 + n)
    for ask in (lambda: Run("Sort/ab12cd34-run-O5"), lambda: Flow("Sort")["ab12cd34-run-O5"]):
        with pytest.raises(NotFoundError) as caught:
            ask()
        assert code_of(caught) == "FI811"
        assert "did you mean 'ab12cd34-run-" in str(caught.value)
        assert "Its newest runs: ab12cd34-run-11, ab12cd34-run-10" in str(caught.value)
        assert "and 4 more" in str(caught.value)
        assert "flowinfra runs" in str(caught.value)
    with pytest.raises(KeyError):
        Flow("Sort")["nothing like it"]
    assert "ab12cd34-run-05" in Flow("Sort")
    assert "ab12cd34-run-O5" not in Flow("Sort")


@pytest.mark.parametrize(
    ("kind", "text", "form"),
    [
        (Flow, "", "Flow"),
        (Flow, "Sort/a", "Flow"),
        (Run, "Sort", "Flow/run"),
        (Run, "Sort/a/start", "Flow/run"),
        (Run, "Sort//", "Flow/run"),
        (Run, "Sort/..", "Flow/run"),
        (Step, "Sort/a", "Flow/run/step"),
        (Task, "Sort/a/start", "Flow/run/step/task"),
        (Artifact, "Sort/a/start/0", "Flow/run/step/task/artifact"),
        (Artifact, "Sort/a/start/0/x/y", "Flow/run/step/task/artifact"),
    ],
)
def test_a_pathspec_of_another_form_is_refused(shelves: Shelves, kind: type[Run], text: str, form: str) -> None:
    """What is needed is said."""
    with pytest.raises(NotFoundError) as caught:
        kind(text)
    assert code_of(caught) == "FI816"
    assert form in str(caught.value)


def test_names_that_are_free_text_are_found(shelves: Shelves) -> None:
    """A flow whose name cannot be a key is read by its name."""
    shelves.write("a", flow="Größe & more").commit("end", values={"x": 1})
    run = Flow("Größe & more").latest_run
    assert run is not None
    assert run["end"].task.data.x == 1


def test_flows_are_listed_by_their_names_whatever_these_are(shelves: Shelves) -> None:
    """A list without a flow's name has the runs of all flows, and an id alone is found among them."""
    shelves.write("a", flow="Größe & more", started_ms=T0 + 1)
    shelves.write("b", started_ms=T0)
    place = Place(shelves.home, shelves.store)
    assert place.flows() == ["Größe & more", "Sort"]
    assert [run.pathspec for run in newest_runs(place)] == ["Größe & more/a", "Sort/b"]
    assert find_run(None, place=place).pathspec == "Größe & more/a"
    assert find_run("a", place=place).pathspec == "Größe & more/a"
    assert find_run("Größe & more", place=place).pathspec == "Größe & more/a"


def test_runs_of_one_stack_are_told_from_those_of_another(shelves: Shelves) -> None:
    """A deployment of the same name may be in several stacks; a run without a deployment is in none."""
    for n, stack in enumerate(("dev", "prod")):
        address = f"local:census/{stack}/Sort/daily"
        shelves.write(stack, started_ms=T0 + n, deployment="Sort/daily", address=address)
    shelves.write("direct", started_ms=T0 + 9)
    runs = list(Flow("Sort"))
    assert [run.stack for run in runs] == [None, "prod", "dev"]
    assert [line.run for line in list_runs(runs, limit=9, stack="dev")] == ["dev"]


# -- how a run stands -------------------------------------------------------------------------------------------------


def test_a_run_tells_what_it_was_started_with(shelves: Shelves) -> None:
    """Release, deployment, origin, times and tags are those of its start document."""
    tags = ("nightly", "production:d-0-ab12cd", "by hand")
    shelves.write("a", started_ms=T0, deployment="Sort/d", tags=tags, origin="before", user="eva")
    run = Run("Sort/a")
    assert run.release == shelves.release
    assert run.trigger is None
    assert run.deployment == "Sort/d"
    assert run.origin_pathspec == "Sort/before"
    assert run.created_at == at(T0)
    assert run.created_at.tzinfo is not None
    assert run.user_tags == {"nightly", "by hand"}
    assert run.system_tags == {
        "production:d-0-ab12cd",
        f"release:{shelves.release[:12]}",
        "deployment:Sort/d",
        "target:local",
        "user:eva",
        "date:2023-11-14",
    }
    assert run.tags == run.user_tags | run.system_tags
    assert list(Flow("Sort").runs("nightly", "user:eva")) == [run]
    assert list(Flow("Sort").runs("weekly")) == []


@pytest.mark.parametrize(
    ("word", "finished"), [("succeeded", True), ("failed", False), ("timed_out", False), ("stopped", False)]
)
def test_the_terminal_marker_says_how_a_run_ended(shelves: Shelves, word: str, finished: bool) -> None:
    """State, time and failure of an ended run are in its end.json."""
    failure = {"type": "ValueError", "message": "no", "step": "work", "task": "0.3"}
    shelves.write("a").data.end(word, None if finished else failure)
    run = Run("Sort/a")
    assert run.state is RunState(word)
    assert run.state_text == word
    assert run.finished is finished
    assert run.finished_at is not None
    assert (run.failure is None) is finished
    assert finished or str(run.failure) == "ValueError: no"


def test_a_run_that_nobody_knows_is_unknown_since_its_last_sign_of_life(shelves: Shelves) -> None:
    """Without marker and without orchestrator, the last thing that is known is said."""
    shelves.write("a", started_ms=T0)
    run = Run("Sort/a")
    assert run.state is RunState.UNKNOWN
    assert run.state_text == f"unknown since {at(T0).astimezone():%Y-%m-%d %H:%M:%S}"
    assert run.finished_at is None
    assert run.failure is None


def test_the_queue_tells_of_runs_that_have_not_ended(shelves: Shelves) -> None:
    """Waiting, running, stopped in the queue: the same object tells each in its turn."""
    shelves.write("a")
    run = Run("Sort/a")
    assert run.state is RunState.UNKNOWN
    queue = LocalOrchestrator.open(shelves.home).queue
    queue.enqueue(NewRun(run="a", flow="Sort", release=shelves.release, store=shelves.store.url))
    assert run.state is RunState.PENDING
    queue.claim("elsewhere.example|1|1")
    assert run.state is RunState.RUNNING
    assert run.finished_at is None
    queue.finish("a", RunState.FAILED, {"type": "ControlError", "message": "its process died"})
    assert run.state is RunState.FAILED
    assert str(run.failure) == "ControlError: its process died"
    assert run.finished_at is not None


def test_a_run_of_its_own_that_was_killed_has_failed_and_says_why(shelves: Shelves) -> None:
    """Nobody is left to write how it ended: that is its failure, and its duration is never negative."""
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    shelves.write("a", started_ms=T0 + 3_600_000)
    queue = SqliteRunQueue(Database(shelves.home.database), lambda: T0)
    queue.enqueue(NewRun(run="a", flow="Sort", release=shelves.release, store=shelves.store.url))
    queue.claim(f"{socket.gethostname()}|{dead.pid}|1")
    run = Run("Sort/a")
    assert run.state is RunState.FAILED
    assert "FI826" in str(run.failure)
    (line,) = list_runs([run], limit=1)
    assert line.seconds == 0


def test_a_run_of_a_machine_that_fell_silent_is_unknown_since_then(shelves: Shelves) -> None:
    """The last heartbeat is the last thing that is known of it."""
    shelves.write("a", started_ms=T0)
    queue = SqliteRunQueue(Database(shelves.home.database), lambda: T0 + 3_600_000)
    queue.enqueue(NewRun(run="a", flow="Sort", release=shelves.release, store=shelves.store.url))
    queue.claim("elsewhere.example|1|1")
    run = Run("Sort/a")
    assert run.state is RunState.UNKNOWN
    assert run.state_text == f"unknown since {at(T0 + 3_600_000).astimezone():%Y-%m-%d %H:%M:%S}"


def test_the_marker_counts_more_than_the_queue(shelves: Shelves) -> None:
    """A run that says it has succeeded has, whatever the queue still says."""
    written = shelves.write("a")
    LocalOrchestrator.open(shelves.home).register(
        NewRun(run="a", flow="Sort", release=shelves.release, store=shelves.store.url)
    )
    assert Run("Sort/a").state is RunState.RUNNING
    written.succeed()
    assert Run("Sort/a").state is RunState.SUCCEEDED


def test_followed_logs_wait_for_the_lines_behind_the_markers(shelves: Shelves) -> None:
    """Commit and marker stand before the last lines do: as long as somebody carries the run out, more may come."""
    written = shelves.write("a")
    local = LocalOrchestrator.open(shelves.home)
    local.register(NewRun(run="a", flow="Sort", release=shelves.release, store=shelves.store.url))
    folder = written.begin("end")
    written.log("end", "0", folder, {"out.0": b"early\n"})
    written.succeed()
    followed = read_logs(Run("Sort/a"), Place.open(), Selection(), follow=True)
    assert next(followed).text == "early"
    written.log("end", "0", folder, {"out.1": b"late\n"})
    local.finish("a", RunState.SUCCEEDED)
    assert [line.text for line in followed] == ["late"]


# -- steps and tasks --------------------------------------------------------------------------------------------------


def test_steps_come_newest_first(shelves: Shelves) -> None:
    """The order is that of the blocks, from behind, and only what has begun is there."""
    run = shelves.write("a")
    run.succeed()
    assert [step.id for step in Run("Sort/a")] == ["end", "join", "work", "start"]
    assert list(Run("Sort/a").steps()) == list(Run("Sort/a"))
    begun = shelves.write("b")
    begun.begin("work", "0.1")
    begun.commit("start")
    assert [step.id for step in Run("Sort/b")] == ["work", "start"]
    assert "work" in Run("Sort/b")
    assert "end" not in Run("Sort/b")
    assert list(Run(shelves.write("c").pathspec)) == []


def test_a_step_that_has_not_begun_is_answered_with_those_that_have(shelves: Shelves) -> None:
    """The nearest step is offered."""
    run = shelves.write("a")
    for ask in (lambda: Run("Sort/a")["start"], lambda: Step("Sort/a/start")):
        with pytest.raises(NotFoundError, match="None of its steps has begun") as caught:
            ask()
        assert code_of(caught) == "FI813"
    run.succeed()
    with pytest.raises(KeyError, match=r"did you mean 'work'\?"):
        Run("Sort/a")["worc"]


def test_tasks_come_in_their_natural_order(shelves: Shelves) -> None:
    """0.2 comes before 0.10, iterations and nested items in theirs."""
    run = shelves.write("a")
    run.succeed()
    step = Run("Sort/a")["work"]
    assert [task.id for task in step] == [f"0.{n}" for n in range(12)]
    assert [task.index for task in step] == list(range(12))
    assert step.task.id == "0.0"
    assert list(step.tasks()) == list(step)
    for task in ("0.1-10", "0.1-9", "0.10-0", "0.1-9.11", "0.1-9.2"):
        run.begin("nested", task)
    assert [task.id for task in Run("Sort/a")["nested"]] == ["0.1-9", "0.1-9.2", "0.1-9.11", "0.1-10", "0.10-0"]
    assert Task("Sort/a/nested/0.1-9.11").index == 11
    assert Task("Sort/a/nested/0.1-9").index == 1


def test_the_task_of_a_looping_step_is_its_last_iteration(shelves: Shelves) -> None:
    """Whoever asks for the task of a loop's step wants how it ended."""
    run = shelves.write("a")
    for n in range(12):
        run.commit("again", f"0-{n}", {"n": n})
    assert Run("Sort/a")["again"].task.data.n == 11


def test_a_task_that_does_not_exist_is_answered_with_those_that_do(shelves: Shelves) -> None:
    """The nearest id is offered."""
    shelves.write("a").succeed()
    with pytest.raises(NotFoundError) as caught:
        Task("Sort/a/work/0.12")
    assert code_of(caught) == "FI814"
    assert "0.0, 0.1, 0.2" in str(caught.value)
    assert "0.11" in Step("Sort/a/work")
    assert "0.12" not in Step("Sort/a/work")
    with pytest.raises(KeyError):
        Run("Sort/a")["work"]["0.12"]
    for pathspec, code in (("Sort/a/werk/0", "FI813"), ("Sort/b/work/0", "FI811"), ("Short/a/work/0", "FI812")):
        with pytest.raises(NotFoundError) as caught:
            Task(pathspec)
        assert code_of(caught) == code


def test_times_of_a_task_and_its_step(shelves: Shelves) -> None:
    """A task begins with its first attempt and ends with the one that counts; a step with its last task."""
    run = shelves.write("a")
    run.fail("start", "0", run.begin("start", "0", "0", at=T0), "no", at=T0 + 1)
    run.commit("start", attempt="1", at=T0 + 5000)
    run.begin("work", "0.0", at=T0)
    task = Run("Sort/a")["start"].task
    assert (task.created_at, task.finished_at) == (at(T0), at(T0 + 6000))
    step = Run("Sort/a")["start"]
    assert (step.created_at, step.finished_at) == (at(T0), at(T0 + 6000))
    assert Run("Sort/a")["work"].finished_at is None


def test_the_attempt_that_committed_counts(shelves: Shelves) -> None:
    """Output, number and outcome are those of the attempt that ended well."""
    run = shelves.write("a")
    first = run.begin("start")
    run.log("start", "0", first, {"out.0": b"first try"})
    run.fail("start", "0", first, "no")
    task = Run("Sort/a")["start"].task
    assert (task.attempt, task.finished, task.successful, task.stdout) == (0, False, False, "first try")
    assert task.exception is not None
    assert (task.exception.type, task.exception.message, task.exception.traceback) == ("ValueError", "no", "at work")
    second = run.begin("start", attempt="1")
    run.log("start", "0", second, {"out.0": b"second try"})
    run.commit("start", attempt="1")
    assert (task.attempt, task.finished, task.successful, task.stdout) == (1, True, True, "second try")
    assert task.exception is None


def test_a_failure_that_was_caught_is_told(shelves: Shelves) -> None:
    """A fallback is a task that finished, did not succeed, and knows its last real failure."""
    run = shelves.write("a")
    for n in range(2):
        run.fail("start", "0", run.begin("start", attempt=str(n)), f"try {n}")
    run.commit("start", attempt="fallback", failed=True)
    task = Run("Sort/a")["start"].task
    assert (task.finished, task.successful, task.attempt) == (True, False, 2)
    assert task.exception is not None
    assert task.exception.message == "try 1"


def test_logs_are_joined_in_the_order_of_their_chunks(shelves: Shelves) -> None:
    """Chunks are counted, not spelled, and a character may lie across two of them."""
    run = shelves.write("a")
    folder = run.begin("start")
    text = "".join(f"line {n} ü\n" for n in range(12))
    data = text.encode()
    cut = data.index("ü".encode()) + 1
    parts = [data[:cut], *[data[cut + n * 10 : cut + n * 10 + 10] for n in range(len(data) // 10 + 1)]]
    run.log("start", "0", folder, {f"out.{n}": part for n, part in enumerate(parts)})
    run.log("start", "0", folder, {"err.0": b"\xff broken"})
    task = Run("Sort/a")["start"].task
    assert task.stdout == text
    assert task.stderr == "\ufffd broken"
    assert Run("Sort/a")["start"].task.stdout == text


def test_parents_lead_back_to_the_start(shelves: Shelves) -> None:
    """Each task knows the tasks that it started from."""
    run = shelves.write("a")
    run.succeed()
    run.begin("later")
    join = Run("Sort/a")["join"].task
    assert [task.id for task in join.parent_tasks] == [f"0.{n}" for n in range(12)]
    assert [p.pathspec for task in join.parent_tasks for p in task.parent_tasks] == ["Sort/a/start/0"] * 12
    assert list(Task("Sort/a/later/0").parent_tasks) == []


# -- artifacts --------------------------------------------------------------------------------------------------------


def test_the_result_of_a_run_is_what_its_last_step_left(shelves: Shelves) -> None:
    """Values come by attribute; what is there can be listed."""
    shelves.write("a").succeed()
    data = Run("Sort/a").data
    assert (data.total, data.name) == (506, "Zoë")
    assert dir(data) == ["name", "total"]
    assert "total" in data
    assert "x" not in data
    assert len(data) == 2
    assert getattr(data, "x", "default") == "default"
    assert repr(data) == "<data of Sort/a/end/0: name, total>"
    assert data.name is data.name
    end = Run("Sort/a").end_task
    assert end == Task("Sort/a/end/0")


def test_an_unfinished_run_says_that_it_has_no_result(shelves: Shelves) -> None:
    """Asking too early is an error that names the state, and no AttributeError of None."""
    run = shelves.write("a")
    run.begin("end")
    with pytest.raises(AttributeError, match="has no result: its state is unknown since") as caught:
        _ = Run("Sort/a").data.total
    assert isinstance(caught.value, NotFoundError)
    assert caught.value.diagnostics[0].code == "FI818"
    assert len(Run("Sort/a").data) == 0
    assert not hasattr(Run("Sort/a").data, "total")
    assert Run(shelves.write("b").pathspec).end_task is None


def test_an_artifact_tells_what_it_is(shelves: Shelves) -> None:
    """Hash, size, type and text come from the commit, the value from the store."""
    shelves.write("a").succeed()
    artifact = Run("Sort/a")["end"].task["name"]
    assert artifact == Artifact("Sort/a/end/0/name")
    assert (artifact.id, artifact.pathspec) == ("name", "Sort/a/end/0/name")
    assert (artifact.type, artifact.text, artifact.data) == ("str", "'Zoë'", "Zoë")
    assert artifact.size == len('"Zoë"'.encode())
    assert Artifact("Sort/a/end/0/name").sha == artifact.sha
    assert shelves.store.exists(wire.blob_key("Sort", artifact.sha))


def test_artifacts_are_listed_by_name(shelves: Shelves) -> None:
    """By attribute, by key, by iteration: the same objects."""
    shelves.write("a").succeed()
    task = Run("Sort/a")["end"].task
    assert [artifact.id for artifact in task] == ["name", "total"]
    assert list(task.artifacts) == list(task)
    assert task.artifacts.total == task["total"] == task.artifacts["total"]
    assert task.artifacts.total.data == 506
    assert len(task.artifacts) == 2
    assert "total" in task
    assert "x" not in task.artifacts
    assert dir(task.artifacts) == ["name", "total"]
    assert "name, total" in repr(task.artifacts)
    copy.copy(task.data)


def test_an_artifact_that_does_not_exist_is_answered_with_those_that_do(shelves: Shelves) -> None:
    """The nearest name is offered; each syntax raises what it calls for."""
    shelves.write("a").succeed()
    task = Run("Sort/a")["end"].task
    for ask, kind in (
        (lambda: task.data.totl, AttributeError),
        (lambda: task.artifacts.totl, AttributeError),
        (lambda: task["totl"], KeyError),
        (lambda: Artifact("Sort/a/end/0/totl"), KeyError),
    ):
        with pytest.raises(NotFoundError, match=r"did you mean 'total'\?") as caught:
            ask()
        assert code_of(caught) == "FI815"
        assert isinstance(caught.value, kind)


def test_a_task_that_has_not_ended_well_has_no_artifacts_and_says_so(shelves: Shelves) -> None:
    """Nothing of a failed task is shown as its result."""
    run = shelves.write("a")
    run.fail("start", "0", run.begin("start"), "no")
    task = Run("Sort/a")["start"].task
    assert list(task) == []
    with pytest.raises(NotFoundError, match="has not ended well"):
        _ = task.data.x


def test_a_value_is_read_only_when_it_is_asked_for_and_only_if_its_hash_is_right(shelves: Shelves) -> None:
    """Damage in one value is found before it is decoded, and does not touch the others."""
    shelves.write("a").succeed()
    task = Run("Sort/a")["end"].task
    key = wire.blob_key("Sort", task["total"].sha)
    shelves.store.put(key, b"507")
    assert task.data.name == "Zoë"
    assert task["total"].size == 3
    with pytest.raises(RunError) as caught:
        _ = task.data.total
    assert caught.value.diagnostics[0].code == "FI706"
    assert "Sort/a/end/0/total" in str(caught.value)


# -- places -----------------------------------------------------------------------------------------------------------


def test_another_store_is_read_when_it_is_named(shelves: Shelves, tmp_path: Path) -> None:
    """By URL, by path or as an object; every object that comes of it reads there too."""
    other = Store.open(str(tmp_path / "other"))
    other.put(wire.release_key(shelves.release), shelves.store.get(wire.release_key(shelves.release)))
    shelves.write("a").succeed()
    there = Shelves(shelves.home, other, shelves.release)
    there.write("b").commit("end", values={"total": 7})
    there.write("b").data.end("succeeded")
    for store in (other, other.url, str(tmp_path / "other")):
        assert [run.id for run in Flow("Sort", store=store)] == ["b"]
        assert Run("Sort/b", store=store).data.total == 7
    assert [run.id for run in Flow("Sort")] == ["a"]
    with pytest.raises(NotFoundError):
        Run("Sort/b")


def test_the_store_of_the_environment_is_the_default(
    shelves: Shelves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FLOWINFRA_STORE decides where nothing is said."""
    shelves.write("a")
    monkeypatch.setenv("FLOWINFRA_STORE", str(tmp_path / "elsewhere"))
    with pytest.raises(NotFoundError):
        Flow("Sort")
    Shelves(shelves.home, Store.open(str(tmp_path / "elsewhere")), shelves.release).write("z")
    assert [run.id for run in Flow("Sort")] == ["z"]


def test_equal_names_in_equal_places_are_equal(shelves: Shelves, tmp_path: Path) -> None:
    """Objects compare by pathspec and store, and can be keys."""
    shelves.write("a").succeed()
    assert Run("Sort/a") == Flow("Sort")["a"]
    assert len({Run("Sort/a"), Flow("Sort")["a"]}) == 1
    assert Run("Sort/a") != Flow("Sort")
    assert repr(Run("Sort/a")["work"]["0.3"]) == "Task('Sort/a/work/0.3')"
    other = Store.open(str(tmp_path / "other"))
    Shelves(shelves.home, other, shelves.release).write("a")
    assert Run("Sort/a", store=other) != Run("Sort/a")


def test_reading_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks where nothing ever ran makes no folder."""
    for name in ("FLOWINFRA_HOME", "FLOWINFRA_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError):
        Run("Sort/a")
    assert os.listdir(tmp_path) == []


def test_importing_the_client_imports_neither_pydantic_nor_sqlite(python: Any) -> None:
    """Reading results starts fast."""
    said = python.code(
        "import sys; from flowinfra import Flow, Run, Step, Task, Artifact; "
        "print([m for m in ('pydantic', 'sqlite3', 'asyncio', 'pulumi', 'obstore') if m in sys.modules])"
    )
    assert said.strip() == "[]"
