"""What every target must do for a ``Deployer``; a target is added with a driver in :mod:`targets`."""

from __future__ import annotations

import datetime
import json
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from targets import Driver, LocalDriver, User, tree

from flowinfra import DeployedFlow, Deployer, FlowinfraError, TriggeredRun
from flowinfra.control.client import Run

TARGETS: list[Callable[[Path], Driver]] = [LocalDriver]


@pytest.fixture(params=TARGETS, ids=lambda target: target.word)
def driver(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    """A project on the target, in which one stands as ada."""
    made: Driver = request.param(tmp_path / "project")
    made.prepare()
    monkeypatch.chdir(made.folder)
    for name, value in made.environment("ada").items():
        monkeypatch.setenv(name, value)
    yield made
    made.settle()


@pytest.fixture
def ada(driver: Driver) -> User:
    return User(driver, "ada")


@pytest.fixture
def bob(driver: Driver) -> User:
    return User(driver, "bob")


BRANCHY = """
from flowinfra import Config, FlowSpec, project, step


@project(name="shop")
class Branchy(FlowSpec):
    size = Config("size", default_value={"rows": 1})

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def codes(why: FlowinfraError) -> list[str]:
    return [d.code for d in why.diagnostics]


def refused(kind: type[BaseException], do: Callable[[], object]) -> list[str]:
    """The codes with which something is refused."""
    with pytest.raises(kind) as caught:
        do()
    assert isinstance(caught.value, FlowinfraError)
    return codes(caught.value)


def held(ada: User, deployed: DeployedFlow, **parameters: Any) -> tuple[TriggeredRun, Path]:
    """A run whose first task has begun and waits for a file."""
    gate = ada.folder.parent / "gate"
    run = deployed.trigger(wait_for=str(gate), **parameters)
    run.wait_for_run(timeout=120)
    return run, gate


def kept(ada: User) -> dict[str, str]:
    """What is below the project, without what a database that is open has beside it."""
    found = tree(ada.folder)
    return {k: v for k, v in found.items() if k != ".flowinfra" and not k.endswith(("-wal", "-shm"))}


# -- deploying ------------------------------------------------------------------------------------------------------


def test_the_story_of_the_guide(ada: User) -> None:
    """Deploy, trigger, wait for the run, read it; nothing of the flow is imported by the caller."""
    import sys

    deployed = ada.deployer().create()
    assert (deployed.name, deployed.flow_name) == ("Hello/default", "Hello")
    assert re.fullmatch(r"[0-9a-f]{32}", deployed.production_token or "")
    triggered = deployed.trigger(alpha=5, word="ä")
    while triggered.run is None:
        time.sleep(0.01)
    assert isinstance(triggered.run, Run)
    assert triggered.pathspec == triggered.run.pathspec == f"Hello/{triggered.name}"
    assert triggered.wait_for_completion(timeout=120) == ada.driver.words["succeeded"] == triggered.status
    assert not triggered.is_running
    assert triggered.run.data.result == [5, "ä", "2030-01-01", None]
    assert triggered.terminate() is False
    assert "hello" not in sys.modules
    again = DeployedFlow.get_triggered_run(deployed.name, triggered.name)
    assert (again.name, again.status) == (triggered.name, triggered.status)


def test_deploying_again_keeps_the_token_and_changes_nothing(ada: User) -> None:
    """What is unchanged is not touched; an edit of the file is seen, and the token stays."""
    first = ada.deployer().create()
    before = kept(ada)
    second = ada.deployer().create()
    assert second.production_token == first.production_token
    assert kept(ada) == before
    file = ada.folder / "hello.py"
    file.write_text(file.read_text().replace('default="old"', 'default="new"'), encoding="utf-8")
    third = ada.deployer().create()
    assert third.production_token == first.production_token
    run = third.trigger()
    run.wait_for_completion(timeout=120)
    assert run.run is not None
    assert run.run.data.result[1] == "new"


def test_each_deployment_has_a_stack_of_its_own(ada: User) -> None:
    """Deploying one leaves the others as they are, and deleting one too; each may be deployed by itself at once."""
    made: dict[str, DeployedFlow] = {}
    threads = [
        threading.Thread(target=lambda name=name: made.update({name: ada.deployer(name).create()}))  # type: ignore[misc]
        for name in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ada.deployer("c").create()
    names = [d.name for d in DeployedFlow.list_deployed_flows()]
    assert names == ["Hello/a", "Hello/b", "Hello/c"]
    assert made["a"].delete() is True
    assert [d.name for d in DeployedFlow.list_deployed_flows("Hello")] == ["Hello/b", "Hello/c"]
    assert list(DeployedFlow.list_deployed_flows("Other")) == []
    assert made["a"].delete() is False
    assert made["a"].production_token is None
    assert refused(FlowinfraError, made["a"].trigger) == ["FI810"]


def test_options_reach_the_run(ada: User) -> None:
    """Tags, parameters, the namespace, the limit of workers and the timeout of the deployment hold for its runs."""
    attributes = ada.folder.parent / "attributes.json"
    deployed = ada.deployer("set").create(
        tags=["team:x", "nightly"],
        user_namespace="user:grace",
        max_workers=2,
        parameters={"word": "given", "when": datetime.date(2031, 2, 3)},
        deployer_attribute_file=str(attributes),
    )
    told = json.loads(attributes.read_text())
    assert told == {"name": deployed.name, "flow_name": "Hello", "metadata": deployed.metadata}
    triggered = deployed.trigger(more={"a": [1, None]})
    triggered.wait_for_completion(timeout=120)
    run = triggered.run
    assert run is not None
    assert {"team:x", "nightly"} <= run.user_tags
    assert deployed.production_namespace in run.tags
    assert run.data.result == [3, "given", "2031-02-03", {"a": [1, None]}]
    assert run.data.namespace == "user:grace"
    short = ada.deployer("short").create(workflow_timeout=1)
    late = short.trigger(wait_for=str(ada.folder / "never"))
    assert late.wait_for_completion(timeout=120) == ada.driver.words["timed_out"]


def test_the_document_is_complete_and_has_no_effect(ada: User) -> None:
    """only_json says everything that would be deployed; files, folders and tokens are as they were, even their times."""
    above = ada.folder.parent
    (ada.folder / "helper.py").write_text("VALUE = 1\n", encoding="utf-8")
    file = ada.folder / "hello.py"
    file.write_text("import helper\n" + file.read_text(), encoding="utf-8")
    before = tree(above)
    described = ada.deployer().create(only_json=True, tags=["x"], workflow_timeout=9, max_workers=4)
    assert tree(above) == before
    document = described.document
    assert document is not None
    assert (described.name, described.flow_name, described.production_token) == ("Hello/default", "Hello", None)
    assert document["deployment"]["tags"] == ["x"]
    assert (document["deployment"]["timeout_seconds"], document["deployment"]["max_workers"]) == (9, 4)
    assert {s["name"] for s in document["release"]["document"]["graph"]["steps"]} == {"start", "end"}
    assert {"hello.py", "helper.py"} <= set(document["bundle"]["files"])
    assert described.delete() is False
    assert list(DeployedFlow.list_deployed_flows()) == []
    assert refused(FlowinfraError, described.trigger) == ["FI810"]
    assert tree(above) == before
    real = ada.deployer().create(tags=["x"], workflow_timeout=9, max_workers=4)
    before = tree(above)
    again = ada.deployer().create(
        only_json=True, generate_new_token=True, tags=["x"], workflow_timeout=9, max_workers=4
    )
    assert tree(above) == before
    assert again.document == document
    assert real.document is None


def test_wrong_options_come_all_at_once(ada: User) -> None:
    """Unknown options with the nearest one, wrong types and what excludes one another; nothing is started for it."""
    create: Any = ada.deployer().create
    found = refused(
        FlowinfraError,
        lambda: create(max_worker=3, tags="a", max_workers=True, workflow_timeout=0, generate_new_token=1),
    )
    assert sorted(found) == ["FI852", "FI853", "FI853", "FI853", "FI853"]
    with pytest.raises(FlowinfraError, match="did you mean 'max_workers'") as caught:
        create(max_worker=3)
    assert "deployer_attribute_file" in str(caught.value)
    assert refused(FlowinfraError, lambda: create(generate_new_token=True, given_token="t")) == ["FI892"]
    assert refused(FlowinfraError, lambda: create(authorize="production:")) == ["FI853"]
    assert not (ada.folder / ".flowinfra").exists()


def test_a_flow_that_breaks_rules_is_refused_with_everything_that_was_found(ada: User) -> None:
    """The findings of the deploying process arrive as they are, with file and line; nothing is deployed."""
    (ada.folder / "bad.py").write_text(
        "from flowinfra import FlowSpec, step\n\n\nclass Bad(FlowSpec):\n    @step\n    def start(self):\n"
        "        self.next(self.nowhere)\n\n    @step\n    def end(self):\n        pass\n",
        encoding="utf-8",
    )
    with pytest.raises(FlowinfraError) as caught:
        ada.deployer(flow="bad.py").create()
    assert all(d.source and d.source.file.endswith("bad.py") for d in caught.value.diagnostics if d.source)
    assert list(DeployedFlow.list_deployed_flows()) == []


def test_options_before_the_command_hold_for_what_is_deployed(ada: User) -> None:
    """Decorators for every step, values of configs, and the branch of the flow's project, which names the deployment."""
    (ada.folder / "branchy.py").write_text(BRANCHY, encoding="utf-8")
    given: dict[str, Any] = {"decospecs": ["retry:times=2"], "config_value": [("size", {"rows": 7})]}
    made = ada.deployer(flow="branchy.py", branch="new", **given).create(only_json=True)
    assert made.name == "Branchy/shop.test.new.Branchy"
    assert made.document is not None
    assert made.document["deployment"]["tags"] == ["project:shop", "project_branch:test.new"]
    graph = made.document["release"]["document"]["graph"]
    assert [s["policy"]["retry"]["times"] for s in graph["steps"]] == [2, 2]
    assert "7" in json.dumps(made.document["release"]["document"].get("bindings"))
    production = ada.deployer(flow="branchy.py", production=True).create()
    assert production.name == "Branchy/shop.prod.Branchy"
    assert DeployedFlow.from_deployment("shop.prod.Branchy").address == production.address
    assert refused(FlowinfraError, ada.deployer(branch="new").create) == ["FI173"]


def test_a_deployment_that_takes_too_long_is_given_up(ada: User) -> None:
    """file_read_timeout ends the deploying process, whatever the flow file does while it is imported."""
    (ada.folder / "slow.py").write_text("import time\n\ntime.sleep(600)\n", encoding="utf-8")
    slow = ada.deployer(flow="slow.py", file_read_timeout=1)
    assert refused(FlowinfraError, slow.create) == ["FI855"]
    assert list(DeployedFlow.list_deployed_flows()) == []


# -- tokens and owners ----------------------------------------------------------------------------------------------


def test_tokens_are_kept_for_the_user_alone(ada: User) -> None:
    """The file of a token is readable by its user only; given and new tokens replace it, and each is a new namespace."""
    deployed = ada.deployer().create()
    first, namespace = deployed.production_token, deployed.production_namespace
    (file,) = ada.tokens()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first in file.read_text()
    ada.deployer().create(generate_new_token=True)
    second = deployed.production_token
    assert second != first
    assert deployed.production_namespace != namespace
    ada.deployer().create(given_token="production:my own token")
    assert deployed.production_token == "my own token"
    assert len(ada.tokens()) == 1
    ada.deployer().create()
    assert deployed.production_token == "my own token"
    file.unlink()
    assert deployed.production_token == "my own token"  # the state of her own stack has it
    assert deployed.delete() is True
    made = ada.deployer().create()
    assert made.production_token not in (None, first, second, "my own token")


def test_somebody_else_needs_the_token_once(ada: User, bob: User) -> None:
    """Another user is refused with the address until he shows the token; the token stays, and who knows it may go on."""
    deployed = ada.deployer().create()
    token = deployed.production_token or ""
    with pytest.raises(FlowinfraError) as caught:
        bob.deployer().create()
    assert codes(caught.value) == ["FI820"]
    assert deployed.address in str(caught.value)
    assert refused(FlowinfraError, lambda: bob.deployer().create(authorize="0" * 32)) == ["FI821"]
    assert bob.tokens() == []
    taken = bob.deployer().create(authorize=f"production:{token}")
    assert taken.production_token == token
    assert taken.trigger().wait_for_completion(timeout=120) == ada.driver.words["succeeded"]
    assert bob.deployer().create().production_token == token
    # Ada knows the token: she takes it back, and Bob, who knows it too, once more.
    assert ada.deployer().create(tags=["ada"]).production_token == token
    assert bob.deployer().create().production_token == token
    # A new token shuts her out.
    bob.deployer().create(generate_new_token=True)
    assert refused(FlowinfraError, lambda: ada.deployer().create()) == ["FI820"]
    assert refused(FlowinfraError, deployed.delete) == ["FI820"]
    assert refused(FlowinfraError, lambda: deployed.delete(authorize=token)) == ["FI821"]
    assert deployed.delete(authorize=taken.production_token) is True
    assert taken.delete() is False
    assert ada.deployer().create().production_token != taken.production_token


def test_runs_of_somebody_else_need_the_token(ada: User, bob: User) -> None:
    """Everybody may start and read runs; ending, suspending and resuming them takes the token."""
    his = bob.deployer().create()
    found = DeployedFlow.from_deployment("Hello")
    assert found.production_token is None
    run, gate = held(ada, found)
    for operate in (run.terminate, run.suspend, run.unsuspend):
        assert refused(FlowinfraError, operate) == ["FI820"]
        assert refused(FlowinfraError, lambda operate=operate: operate(authorize="no")) == ["FI821"]  # type: ignore[misc]
        assert refused(FlowinfraError, lambda operate=operate: operate(authorize=3)) == ["FI853"]  # type: ignore[misc,arg-type]
    assert run.status == ada.driver.words["running"]
    assert run.suspend(authorize=his.production_token) is True
    assert run.terminate(authorize=f"production:{his.production_token}") is True
    assert run.wait_for_completion(timeout=120) == ada.driver.words["stopped"]
    assert not gate.exists()


# -- triggering -----------------------------------------------------------------------------------------------------


def test_values_are_checked_against_what_is_deployed(ada: User) -> None:
    """Unknown names, wrong types and unfit texts come at once; defaults are the deployed ones, not those of a checkout."""
    deployed = ada.deployer().create()
    file = ada.folder / "hello.py"
    text = file.read_text().replace("default=3", "default=99").replace('"word", default="old"', '"words", default="x"')
    file.write_text(text, encoding="utf-8")
    with pytest.raises(FlowinfraError) as caught:
        deployed.trigger(alpha="3", when=datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC), words="x", more={1})
    assert sorted(codes(caught.value)) == ["FI711", "FI712", "FI712", "FI712", "FI716"]
    assert "alpha, more, wait-for, when, word" in str(caught.value)
    assert refused(FlowinfraError, lambda: deployed.trigger(alpha=True)) == ["FI712", "FI716"]
    assert deployed.list_runs() == []
    run = deployed.trigger(when=datetime.date(2029, 1, 1))
    run.wait_for_completion(timeout=120)
    assert run.run is not None
    assert run.run.data.result == [3, "old", "2029-01-01", None]


def test_runs_are_listed_newest_first_by_state(ada: User) -> None:
    """Words of another target, misspelt ones and repeated ones are told exactly, as a ValueError."""
    words = ada.driver.words
    deployed = ada.deployer().create()
    done = deployed.trigger()
    done.wait_for_completion(timeout=120)
    run, _ = held(ada, deployed)
    assert [r.name for r in deployed.list_runs()] == [run.name, done.name]
    assert [r.name for r in deployed.list_runs(states=[words["running"].upper()])] == [run.name]
    assert [r.name for r in deployed.list_runs([words["succeeded"], words["running"]])] == [run.name, done.name]
    assert deployed.list_runs([words["stopped"]]) == []
    wrong = ["no such state", words["running"], words["running"]]
    assert sorted(refused(ValueError, lambda: deployed.list_runs(wrong))) == ["FI896", "FI897"]
    with pytest.raises(ValueError, match=words["succeeded"]):
        deployed.list_runs(["done"])
    assert run.terminate() is True
    run.wait_for_completion(timeout=120)


def test_a_run_is_ended_once(ada: User) -> None:
    """The first to ask is told True, everybody after him False; waiting too short is a TimeoutError."""
    deployed = ada.deployer().create()
    run, _ = held(ada, deployed)
    assert run.is_running
    with pytest.raises(TimeoutError) as caught:
        run.wait_for_completion(timeout=0.05)
    assert isinstance(caught.value, FlowinfraError)
    assert codes(caught.value) == ["FI895"]
    assert run.terminate() is True
    assert run.terminate() is False
    assert run.wait_for_completion(timeout=120) == ada.driver.words["stopped"]
    assert run.terminate() is False
    assert run.suspend() is False
    assert run.unsuspend() is False


def test_a_suspended_run_starts_no_further_task(ada: User) -> None:
    """The task that runs ends, the next one does not begin before the run goes on; each word is taken once."""
    deployed = ada.deployer().create()
    run, gate = held(ada, deployed)
    assert run.unsuspend() is False
    assert run.suspend() is True
    assert run.suspend() is False
    assert run.is_suspended
    gate.touch()
    found = run.run
    assert found is not None
    deadline = time.monotonic() + 120
    while not found["start"].task.finished and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(TimeoutError, match="suspended"):
        run.wait_for_completion(timeout=0.7)
    assert "end" not in found
    assert run.status == ada.driver.words["running"]
    assert run.unsuspend() is True
    assert run.wait_for_completion(timeout=120) == ada.driver.words["succeeded"]


# -- finding --------------------------------------------------------------------------------------------------------


def test_what_is_not_there_is_said_with_what_is(ada: User) -> None:
    """Names of deployments and runs that are not there give what is near; a run of another deployment is none of this."""
    assert refused(FlowinfraError, lambda: DeployedFlow.from_deployment("Hello/default")) == ["FI810"]
    one, other = ada.deployer("one").create(), ada.deployer("other").create()
    with pytest.raises(FlowinfraError, match="did you mean 'Hello/one'"):
        DeployedFlow.from_deployment("Hello/on")
    assert refused(FlowinfraError, lambda: DeployedFlow.from_deployment("Hello")) == ["FI819"]
    assert DeployedFlow.from_deployment(one.address).name == "Hello/one"
    run = other.trigger()
    assert refused(FlowinfraError, lambda: DeployedFlow.get_triggered_run("Hello/one", run.name)) == ["FI811"]
    assert refused(FlowinfraError, lambda: DeployedFlow.get_triggered_run("Hello/one", "nothing")) == ["FI811"]
    assert DeployedFlow.get_triggered_run("Hello/other", run.pathspec).name == run.name
    assert refused(FlowinfraError, lambda: DeployedFlow.from_deployment("x", impl="airflow")) == ["FI890"]
    assert refused(FlowinfraError, lambda: DeployedFlow.from_deployment("x", metadata="here")) == ["FI894"]
    run.wait_for_completion(timeout=120)


def test_it_is_found_from_elsewhere_by_its_metadata(ada: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metadata names the place, so that a script in another folder finds deployment and runs, without source code."""
    deployed = ada.deployer().create()
    run = deployed.trigger()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (ada.folder / "hello.py").unlink()
    monkeypatch.chdir(elsewhere)
    found = DeployedFlow.from_deployment("Hello", metadata=deployed.metadata)
    assert found.address == deployed.address
    assert [r.name for r in found.list_runs()] == [run.name]
    again = DeployedFlow.get_triggered_run("Hello", run.name, metadata=deployed.metadata)
    assert again.wait_for_completion(timeout=120) == ada.driver.words["succeeded"]
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("target", ["step_functions", "argo_workflows"])
def test_targets_that_are_not_there_are_named(ada: User, target: str) -> None:
    """A target that this version does not have is refused by name, with what there is."""
    deployer = Deployer(ada.folder / "hello.py", show_output=False)
    with pytest.raises(FlowinfraError, match="local") as caught:
        getattr(deployer, target)()
    assert codes(caught.value) == ["FI890"]
