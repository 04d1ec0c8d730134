from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from local_project import Project, accept, until

from flowinfra import wire
from flowinfra.diagnostics import ControlError, NotFoundError, PackagingError, ParameterError, error
from flowinfra.model.states import RunState
from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator
from flowinfra.orchestrators.local.records import NewRun
from flowinfra.orchestrators.start import INPUT_LIMIT, StartedRun, write_start
from flowinfra.packaging.home import Home

DIES = """
import os, sys
if "flowinfra.orchestrators.local.worker" in sys.orig_argv:
    os.register_at_fork(after_in_child=lambda: os._exit(9))
"""

DIRECT = """
import sys
from pathlib import Path
from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator
from flowinfra.orchestrators.local.records import NewRun
from flowinfra.packaging.home import Home
local = LocalOrchestrator.open(Home.find(sys.argv[1], {}))
local.register(NewRun(run="direct", flow="Sort", release="r", store=local.store.url))
print("registered", flush=True)
sys.stdin.read()
"""


def files(project: Project) -> list[str]:
    return [key for key in project.local.store.list("") if not key.startswith("releases/")]


def test_a_triggered_run_is_in_the_store_before_it_starts(project: Project) -> None:
    """Input, start document and index entry say the same run, pinned to the deployed release."""
    deployed = project.deploy(parameters={"n": 1, "text": "from the deployment"}, tags=("nightly",))
    run = project.local.trigger(
        "Sort/nightly", {"do": "succeed", "text": "given"}, check=accept, tags=["by hand", "nightly"]
    )
    store = project.local.store
    assert run.startswith(f"{deployed.deployment.scope}-")
    assert store.get_json(wire.run_key("Sort", run, "input.json")) == {"do": "succeed", "n": 1, "text": "given"}
    document = store.get_json(wire.run_key("Sort", run, "run.json"))
    assert document["release"] == project.release
    assert document["deployment"] == "Sort/nightly"
    assert document["address"] == deployed.deployment.address
    assert document["target"] == "local"
    assert document["tags"] == ["nightly", "by hand", deployed.namespace]
    (entry,) = store.list(wire.index_prefix("Sort"))
    assert wire.run_from_index(entry) == (run, document["started"])


def test_the_check_gets_the_parameters_of_the_deployed_release(project: Project) -> None:
    """What is checked is what is deployed, and what the check returns is the input."""
    project.deploy(parameters={"n": 1})
    seen: list[object] = []

    def check(parameters: Sequence[Mapping[str, Any]], values: Mapping[str, Any], flow: str) -> Mapping[str, Any]:
        seen.append((list(parameters), dict(values), flow))
        return {**values, "do": "succeed"}

    run = project.local.trigger("Sort/nightly", {"m": 2}, check=check)
    assert seen == [([], {"n": 1, "m": 2}, "Sort")]
    assert project.local.store.get_json(wire.run_key("Sort", run, "input.json")) == {"do": "succeed", "m": 2, "n": 1}


def test_wrong_parameters_leave_nothing_behind(project: Project) -> None:
    """A refused run is neither in the store nor in the queue, and no worker is started."""
    project.deploy()

    def refuse(parameters: Sequence[Mapping[str, Any]], values: Mapping[str, Any], flow: str) -> Mapping[str, Any]:
        raise ParameterError(error("FI711", "no such parameter"))

    with pytest.raises(ParameterError):
        project.local.trigger("Sort/nightly", {"x": 1}, check=refuse)
    assert files(project) == []
    assert project.local.runs() == []
    assert project.worker() is None


def test_an_unknown_deployment_leaves_nothing_behind(project: Project) -> None:
    """The name is looked up first."""
    project.deploy()
    with pytest.raises(NotFoundError, match="did you mean 'Sort/nightly'"):
        project.local.trigger("Sort/nightlyy", {}, check=accept)
    assert files(project) == []


def test_a_release_that_is_gone_is_named(project: Project) -> None:
    """A deployment whose release is not in this store cannot be triggered."""
    project.deploy(release="0" * 64)
    with pytest.raises(PackagingError, match="releases/0000"):
        project.local.trigger("Sort/nightly", {}, check=accept)
    assert project.local.runs() == []


def test_a_deployment_chooses_by_domain(project: Project) -> None:
    """With one name in two stacks the domain decides, and the address does too."""
    project.deploy()
    prod = project.deploy(stack="prod", domain="prod")
    with pytest.raises(NotFoundError, match="deployed 2 times"):
        project.trigger("succeed")
    run = project.trigger("succeed", domain="prod")
    assert project.local.find(run).new.deployment == prod.deployment.address
    again = project.local.trigger(prod.deployment.address, {"do": "succeed"}, check=accept)
    assert project.local.find(again).new.deployment == prod.deployment.address
    assert len(project.local.runs(deployment=prod.deployment.address)) == 2


def test_a_run_that_waits_keeps_its_release(project: Project) -> None:
    """Deploying again, or deleting the deployment, does not touch runs that were triggered before."""
    one = project.with_settings(max_runs=1)
    first = one.deploy()
    busy = one.trigger("sleep")
    one.began(busy)
    waiting = one.trigger("succeed")
    one.local.deployments.delete(first.deployment.address, owner="shop/dev")
    one.go()
    record = one.ended(waiting)
    assert record.state is RunState.SUCCEEDED
    assert record.new.release == project.release


def test_a_large_input_lies_in_a_blob(project: Project) -> None:
    """Beyond its limit the input is stored once by content, and input.json names it."""
    store = project.local.store
    run = StartedRun(flow="Sort", run="r1", release=project.release, started_ms=1, target="local")
    values = {"text": "x" * (INPUT_LIMIT + 1)}
    write_start(store, run, values)
    reference = store.get_json(wire.run_key("Sort", "r1", "input.json"))["$ref"]
    assert json.loads(store.get(reference)) == values
    assert reference.startswith("blobs/Sort/")


def test_starting_again_writes_nothing_over(project: Project) -> None:
    """Input and start document are written once, whoever comes second."""
    store = project.local.store
    run = StartedRun(flow="Sort", run="r1", release=project.release, started_ms=1, target="local", user="eva")
    write_start(store, run, {"a": 1})
    write_start(store, StartedRun(flow="Sort", run="r1", release="0" * 64, started_ms=2, target="x"), {"a": 2})
    assert store.get_json(wire.run_key("Sort", "r1", "input.json")) == {"a": 1}
    assert store.get_json(wire.run_key("Sort", "r1", "run.json"))["user"] == "eva"


def test_waiting_returns_the_end(project: Project) -> None:
    """Whoever waits gets the final record."""
    project.deploy()
    assert project.local.wait(project.trigger("succeed"), 60).state is RunState.SUCCEEDED
    assert project.local.wait(project.trigger("fail"), 60).state is RunState.FAILED


def test_waiting_can_be_limited(project: Project) -> None:
    """After the timeout the run is told as it stands then."""
    project.deploy()
    run = project.trigger("sleep")
    project.began(run)
    record = project.local.wait(run, 0.0)
    assert record.state is RunState.RUNNING
    assert not record.ended


def test_waiting_replaces_a_worker_that_died(project: Project) -> None:
    """A run that waits is carried out even if the worker was killed before it came to it."""
    one = project.with_settings(max_runs=1)
    one.deploy()
    busy = one.trigger("sleep")
    one.began(busy)
    waiting = one.trigger("succeed")
    one.kill_worker()
    one.go()
    assert one.local.wait(waiting, 60).state is RunState.SUCCEEDED
    assert one.local.wait(busy, 60).state is RunState.SUCCEEDED


def test_waiting_for_workers_that_die_ends_with_that_reason(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that cannot work are not started for ever; the run stays queued."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(DIES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    project.deploy()
    run = project.trigger("succeed")
    with pytest.raises(ControlError) as caught:
        project.local.wait(run, 60)
    assert caught.value.diagnostics[0].code == "FI827"
    assert project.local.find(run).state is RunState.PENDING


def test_a_worker_that_cannot_start_is_an_error_that_keeps_the_run(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the worker said is shown, and the run waits for the next one."""
    (tmp_path / "site" / "sqlite3").mkdir(parents=True)
    (tmp_path / "site" / "sqlite3" / "__init__.py").write_text("raise ImportError('no sqlite here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    project.deploy()
    with pytest.raises(ControlError) as caught:
        project.trigger("succeed")
    assert caught.value.diagnostics[0].code == "FI827"
    assert "no sqlite here" in str(caught.value)
    monkeypatch.delenv("PYTHONPATH")
    assert [record.state for record in project.local.runs()] == [RunState.PENDING]


def test_a_file_in_the_place_of_the_workers_folder_is_named(tmp_path: Path) -> None:
    """A home that cannot be used is said to be so."""
    home = Home.find(tmp_path, {}).ensure()
    home.workers.write_text("")
    with pytest.raises(ControlError) as caught:
        LocalOrchestrator.open(home)
    assert caught.value.diagnostics[0].code == "FI827"


def test_a_queued_run_is_stopped_at_once(project: Project) -> None:
    """A run that waits ends when it is stopped, in the queue and in the store, and never starts."""
    one = project.with_settings(max_runs=1)
    one.deploy()
    busy = one.trigger("sleep")
    one.began(busy)
    waiting = one.trigger("succeed")
    assert one.local.stop(waiting).state is RunState.STOPPED
    marker = one.marker(waiting)
    assert marker is not None
    assert marker["state"] == "stopped"
    one.go()
    one.ended(busy)
    assert [start["run"] for start in one.starts()] == [busy]


def test_stopping_what_has_ended_changes_nothing(project: Project) -> None:
    """A final state stays."""
    project.deploy()
    run = project.trigger("succeed")
    project.ended(run)
    assert project.local.stop(run).state is RunState.SUCCEEDED


def test_a_direct_run_is_stopped_by_asking_its_process(project: Project) -> None:
    """The process that carries the run out gets SIGTERM."""
    child = subprocess.Popen(
        [sys.executable, "-c", DIRECT, str(project.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline() == b"registered\n"
    project.local.stop("direct")
    assert child.wait() == -signal.SIGTERM
    child.stdin.close()
    child.stdout.close()
    assert project.local.wait("direct", 60).state is RunState.FAILED


@pytest.mark.parametrize("call", ["find", "wait", "stop"])
def test_an_unknown_run_is_answered_with_the_nearest(project: Project, call: str) -> None:
    """A run id that does not exist is refused with the one that was meant, and how to list them."""
    project.local.register(NewRun(run="ab12cd34-20300101-000000-0123456789", flow="Sort", release="r", store="s"))
    with pytest.raises(NotFoundError) as caught:
        getattr(project.local, call)("ab12cd34-20300101-000000-0123456780")
    assert caught.value.diagnostics[0].code == "FI811"
    assert "did you mean 'ab12cd34-20300101-000000-0123456789'?" in str(caught.value)
    assert "flowinfra runs" in str(caught.value)


def test_runs_are_listed_newest_first_and_by_state(project: Project) -> None:
    """The list is what the queue knows, filtered."""
    project.deploy()
    runs = [project.trigger(do) for do in ("succeed", "fail", "succeed")]
    until(lambda: all(project.ended(run) for run in runs))
    assert [record.run for record in project.local.runs()] == runs[::-1]
    assert [record.run for record in project.local.runs(states=[RunState.FAILED])] == [runs[1]]
    assert [record.run for record in project.local.runs(limit=1)] == [runs[2]]


def test_whoever_only_reads_makes_no_files(tmp_path: Path) -> None:
    """Asking a project in which nothing was ever deployed leaves it untouched."""
    home = Home.find(tmp_path, {})
    store = LocalOrchestrator.open(Home.find(tmp_path / "other", {})).store
    before = sorted(p.name for p in tmp_path.iterdir())
    assert LocalOrchestrator.existing(home, store) is None
    assert sorted(p.name for p in tmp_path.iterdir()) == before
