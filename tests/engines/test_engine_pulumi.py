"""The engine `pulumi`: the real CLI behind our own plans."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest

from engines.toy.library import Thing
from engines.toy.world import actions, change
from flowinfra.control.plans import enriched
from flowinfra.diagnostics import EngineError, GraphError, error
from flowinfra.engine.base import Declined, Event, LogEvent, Options, ResourceEvent, StackRef
from flowinfra.engine.config import Project
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.engine.pulumi import PulumiEngine
from flowinfra.engine.state.secrets import Passphrase
from flowinfra.model.plan import Action, Operation, Plan
from oracle import TESTS, Both
from support.example import ROOT, Example
from tests.engines.pulumi_cli import PulumiCli
from tests.engines.test_oracle_plans import SCENARIOS

pytestmark = pytest.mark.engines

SEEN: contextvars.ContextVar[list[str]] = contextvars.ContextVar("seen")


@pytest.fixture
def both(pulumi_cli_folder: Path, tmp_path: Path) -> Both:
    return Both.create(pulumi_cli_folder, tmp_path)


def engine(both: Both, **variables: str) -> PulumiEngine:
    """The engine whose CLI lives in the environment of the test."""
    return PulumiEngine(environment={**both.cli.environment, **variables})


def document(plan: Plan) -> dict[str, Any]:
    """*plan* without what must differ: the engine's word, names drawn at random, the order of a provider's findings."""
    found = plan.to_json()
    del found["engine"]
    for item in found["changes"]:
        if item["type"] == "toy:index:Thing" and item["action"] in ("create", "replace"):
            del item["after"]["name"]
        for paths in ("changed", "replaced_by"):
            item[paths] = sorted(item.get(paths, ()))
    return found


def same_plans(both: Both, operation: Operation = Operation.UP) -> Plan:
    """The plan, which is the same whoever makes it."""
    theirs = engine(both).preview(both.ref, operation=operation)
    assert document(theirs) == document(both.engine.preview(both.ref, operation=operation))
    return theirs


def files(folder: Path) -> dict[str, bytes]:
    """Every file below *folder* by its content."""
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


# -- plans ------------------------------------------------------------------------------------------------------------


def test_its_plans_are_those_of_the_embedded_engine(both: Both) -> None:
    """For a fresh stack and each change on top: the same value, with sources, paths, reasons and unknowns."""
    before = files(both.project)
    assert same_plans(both).counts() == {Action.CREATE: 9}
    assert files(both.project) == before
    assert not both.exists
    settings: dict[str, Any] = {}
    engine(both).up(both.ref)
    assert files(both.project) == before
    for number, several in enumerate((SCENARIOS[:1], SCENARIOS[1:3], SCENARIOS[3:])):
        for _, what in several:
            settings.update(what)
        both.set(**settings)
        assert same_plans(both).has_changes
        if number % 2:
            both.engine.up(both.ref)
        else:
            engine(both).up(both.ref)
    assert not same_plans(both).applyable
    assert both.things_alive()
    both.set(**{**settings, "kind": "k3"})
    for one in (engine(both), both.engine):
        for operation in (Operation.UP, Operation.DESTROY):
            with pytest.raises(EngineError, match="FI606") as refused:
                one.preview(both.ref, operation=operation)
            assert "::b" in str(refused.value)

    both.set(**{**settings, "protect": False})
    assert change(same_plans(both), "b").reason == "protect changed"
    engine(both).up(both.ref)
    same_plans(both, Operation.DESTROY)
    things = sorted(both.cloud.iterdir())
    things[0].write_text(json.dumps({**json.loads(things[0].read_text(encoding="utf-8")), "size": 77}))
    things[1].unlink()
    assert len(same_plans(both, Operation.REFRESH).drift) == 2


def test_what_only_the_state_holds_is_a_reason_too(both: Both) -> None:
    """An option or a secret output that changes is told and applied; after that nothing is left to do."""
    secret = ["one"]
    options = [pulumi.ResourceOptions()]

    def program() -> None:
        first = Thing("first")
        Thing("second", pulumi.ResourceOptions.merge(options[0], pulumi.ResourceOptions(depends_on=[first])))
        pulumi.export("hidden", pulumi.Output.secret({"deep": secret[0]}))

    ref = replace(both.ref, program=program)
    engine(both).up(ref)
    untouched = files(both.cli.backend)
    assert not engine(both).up(ref).has_changes
    assert files(both.cli.backend) == untouched

    secret[0] = "two"
    assert change(engine(both).preview(ref), "proj-dev").reason == "outputs changed: hidden"
    engine(both).up(ref)
    assert engine(both).outputs(ref, True) == {"hidden": {"deep": "two"}}
    assert engine(both).outputs(ref) == {"hidden": "<secret>"}
    options[0] = pulumi.ResourceOptions(retain_on_delete=True)
    plan = engine(both).up(ref)
    assert change(plan, "second").reason == "retainOnDelete changed"
    assert not engine(both).preview(ref).applyable


def test_targets_are_the_only_ones_that_change(both: Both) -> None:
    """With a target, the plan says what it was limited to and that it is not complete."""
    both.set(parts=["small", "sleeping"])
    engine(both).up(both.ref)
    both.set(parts=["small", "sleeping"], size=7)
    options = Options(targets=("urn:pulumi:dev::proj::toy:index:Thing::first",))
    plan = engine(both).up(both.ref, options=options)
    assert not plan.has_changes
    assert not plan.complete
    options = Options(targets=("urn:pulumi:dev::proj::toy:index:Thing::only",))
    assert actions(engine(both).up(both.ref, options=options)) == {"only": "update"}


def test_the_flows_of_the_example_are_compared_as_by_the_embedded_engine(pulumi_cli: PulumiCli, tmp_path: Path) -> None:
    """The example's plans are the same, flow diffs included; its files stay as they are."""
    plugin = tmp_path / "plugins" / "pulumi-resource-flowinfra"
    plugin.parent.mkdir()
    plugin.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "from flowinfra_providers.plugin import main; main()" "$@"\n'
    )
    plugin.chmod(0o755)
    home = tmp_path / "project" / ".flowinfra"
    cli = replace(
        pulumi_cli,
        path=(plugin.parent,),
        variables={"PYTHONPATH": f"{ROOT}:{ROOT / 'providers'}", "PULUMI_CONFIG_PASSPHRASE": "secret"},
    )
    example = Example.copy(
        tmp_path / "project", {"PULUMI_BACKEND_URL": cli.backend.as_uri(), "PULUMI_CONFIG_PASSPHRASE": "secret"}
    )
    project = Project.find(example.folder)
    ref = StackRef(project.name, "dev", project.folder, project.main, cli.backend.as_uri())
    theirs = PulumiEngine(environment=cli.environment)
    ours = EmbeddedEngine(passphrase=Passphrase(environment={"PULUMI_CONFIG_PASSPHRASE": "secret"}))

    def compared() -> Plan:
        plans = [enriched(one.preview(ref)) for one in (theirs, ours)]
        assert document(plans[0]) == document(plans[1])
        return plans[0]

    before = example.files()
    assert compared().counts()[Action.CREATE] > 3
    assert {k: v for k, v in example.files().items() if not k.startswith(".flowinfra/")} == before
    example.flowinfra("up", "--yes")
    assert not compared().has_changes
    example.edit("stacks/census.py", "times=2", "times=5")
    changed = compared()
    assert any(c.flow is not None and c.flow.changes for c in changed.changes)
    theirs.up(ref)
    assert example.flowinfra("preview", "--expect-no-changes").returncode == 0
    assert home.is_dir()


# -- programs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "code", "place"),
    [("refused", "FI605", ""), ("raising", "FI600", "__main__.py:"), ("failing", "FI604", "")],
)
def test_what_fails_is_said_as_by_the_embedded_engine(both: Both, part: str, code: str, place: str) -> None:
    """A refused input, a program that raises, a provider that fails: code and summary of our own, no traceback."""
    both.set(parts=[part])
    said: list[EngineError] = []
    for one in (engine(both), both.engine):
        with pytest.raises(EngineError, match=code) as problem:
            one.up(both.ref)
        said.append(problem.value)
        assert place in str(problem.value)
    mine, others = ([(d.code, d.summary) for d in p.diagnostics] for p in said)
    assert mine == others


def test_an_error_of_our_own_that_the_program_raises_comes_out_as_itself(both: Both) -> None:
    """With all its diagnostics, also from a callback that runs later."""
    problem = GraphError([error("FI201", "one"), error("FI202", "two")])

    def fail(_: object) -> None:
        raise problem

    for program in (lambda: fail(None), lambda: pulumi.export("x", pulumi.Output.from_input(1).apply(fail))):
        with pytest.raises(GraphError) as raised:
            engine(both).preview(replace(both.ref, program=program))
        assert raised.value.diagnostics == problem.diagnostics


def test_a_program_that_registers_nothing_is_refused_before_it_deletes(both: Both) -> None:
    """In the preview; and in the update, if its module is cached by then."""
    both.set(parts=["small"])
    engine(both).up(both.ref)
    with pytest.raises(EngineError, match="FI642"):
        engine(both).preview(replace(both.ref, program=lambda: None))

    runs: list[str] = []

    def cached() -> None:
        if not runs:
            Thing("only", size=5)
        runs.append("run")

    with pytest.raises(EngineError, match="FI642"):
        engine(both).up(replace(both.ref, program=cached))
    assert len(runs) == 2
    assert both.things_alive()
    assert len(list(both.cloud.iterdir())) == 1


def test_functions_run_at_once_in_threads_inside_a_running_loop_and_find_their_context(both: Both) -> None:
    """Several engines in one process: each program has its own stack, context and result."""

    def program() -> None:
        SEEN.get().append(pulumi.get_stack())
        Thing(pulumi.get_stack())

    def one(stack: str, seen: list[str], plans: dict[str, Plan]) -> None:
        ref = replace(both.ref, stack=stack, program=program)
        plans[stack] = engine(both).preview(ref, options=Options(context={SEEN: seen}))

    async def all_of_them() -> dict[str, Plan]:
        plans: dict[str, Plan] = {}
        await asyncio.gather(*(asyncio.to_thread(one, s, seen[s], plans) for s in seen))
        one("here", seen["here"], plans)
        return plans

    seen: dict[str, list[str]] = {"one": [], "two": [], "here": []}
    plans = asyncio.run(all_of_them())
    assert {s: sorted(actions(p)) for s, p in plans.items()} == {s: sorted([s, f"proj-{s}"]) for s in seen}
    assert seen == {"one": ["one"], "two": ["two"], "here": ["here", "here"]}


def test_what_the_embedded_engine_refuses_works_here(both: Both) -> None:
    """An asset is kept in a stash."""

    def program() -> None:
        pulumi.Stash("kept", input=pulumi.StringAsset("hello"))

    ref = replace(both.ref, program=program)
    with pytest.raises(EngineError, match="FI602"):
        both.engine.preview(ref)
    assert actions(engine(both).up(ref))["kept"] == "create"
    assert not engine(both).preview(ref).has_changes


def test_what_happens_is_told_and_nothing_else_is_printed(both: Both, capfd: pytest.CaptureFixture[str]) -> None:
    """Resources begin and end, the program's log comes through and becomes findings, the CLI itself is silent."""

    def program() -> None:
        Thing("only")
        pulumi.log.info("as you wish")
        pulumi.log.warn("careful")
        pulumi.log.error("it may go on")

    told: list[Event] = []
    plan = engine(both).up(replace(both.ref, program=program), told.append)
    resources = [(e.action, e.phase) for e in told if isinstance(e, ResourceEvent) and e.address.endswith("::only")]
    assert resources == [("create", "start"), ("create", "done")]
    said = [(e.severity, e.message) for e in told if isinstance(e, LogEvent)]
    assert sorted(said) == [("error", "it may go on"), ("info", "as you wish"), ("warning", "careful")]
    assert sorted((f.code, f.severity) for f in plan.findings) == [("FI641", "error"), ("FI641", "warning")]
    assert capfd.readouterr() == ("", "")


# -- changes of the state ---------------------------------------------------------------------------------------------


def test_who_is_asked_may_decline_and_is_asked_again_if_the_state_has_moved(both: Both) -> None:
    """Declined: nothing is written. Somebody is faster than the answer: there is a new preview to agree to."""
    both.set(parts=["small"])

    def decline(plan: Plan) -> None:
        raise Declined

    with pytest.raises(Declined):
        engine(both).up(both.ref, approve=decline)
    assert not both.exists
    asked: list[dict[str, str]] = []

    def hesitate(plan: Plan) -> None:
        asked.append(actions(plan))
        if len(asked) == 1:
            both.set(parts=["small"], size=2)
            both.engine.up(both.ref)
            both.set(parts=["small"], size=3)

    engine(both).up(both.ref, approve=hesitate)
    assert [a["only"] for a in asked] == ["create", "update"]
    assert engine(both).outputs(both.ref) == {"size": 3}


def test_a_stack_that_is_locked_is_left_alone_until_the_lock_is_removed(both: Both) -> None:
    """It is said who holds it; `cancel` names him and removes it."""
    both.set(parts=["small"])
    engine(both).up(both.ref)
    folder = both.cli.backend / ".pulumi" / "locks" / "organization" / "proj" / "dev"
    folder.mkdir(parents=True, exist_ok=True)
    lock = {"pid": os.getpid(), "username": "somebody", "hostname": "elsewhere", "timestamp": "2030-01-01T00:00:00Z"}
    (folder / "0c2e4bb5-0dd4-4b9c-9b6a-8a2ba64ac1a3.json").write_text(json.dumps(lock), encoding="utf-8")
    with pytest.raises(EngineError, match=r"(?s)FI620.*somebody@elsewhere"):
        engine(both).destroy(both.ref)
    engine(both).preview(both.ref)
    assert "somebody@elsewhere" in engine(both).cancel(both.ref)[0]
    engine(both).destroy(both.ref)
    assert list(both.cloud.iterdir()) == []
    assert engine(both).destroy(both.ref).changes == ()


def test_secrets_need_the_right_passphrase(both: Both, tmp_path: Path) -> None:
    """A wrong one and a missing one are told apart; without any secret yet the project makes its own."""
    engine(both).up(both.ref)
    with pytest.raises(EngineError, match="FI621"):
        engine(both, PULUMI_CONFIG_PASSPHRASE="wrong").preview(both.ref)
    bare = {k: v for k, v in both.cli.environment.items() if k != "PULUMI_CONFIG_PASSPHRASE"}
    with pytest.raises(EngineError, match="FI622"):
        PulumiEngine(environment=bare).preview(both.ref)
    fresh = both.named("fresh").ref
    assert PulumiEngine(environment=bare).preview(fresh).has_changes
    assert not (both.project / ".flowinfra").exists()
    both.set(parts=["small"])
    PulumiEngine(environment=bare).up(fresh)
    assert (both.project / ".flowinfra" / "passphrase").stat().st_mode & 0o777 == 0o600
    assert not PulumiEngine(environment=bare).preview(fresh).applyable


def test_a_missing_plugin_is_named(both: Both) -> None:
    """With the file that is looked for and where it may be put."""
    ref = replace(both.ref, program=lambda: (pulumi.CustomResource("nope:index:Thing", "x", {}), None)[1])
    with pytest.raises(EngineError, match=r"(?s)FI646.*pulumi-resource-nope"):
        engine(both).preview(ref)


INTERRUPTED = (
    "import sys; sys.path[:0] = sys.argv[2:]\n"
    "from pathlib import Path\n"
    "from oracle import Both; from pulumi_cli import PulumiCli\n"
    "from flowinfra.engine.pulumi import PulumiEngine\n"
    "root = Path(sys.argv[1])\n"
    "cli = PulumiCli(Path(sys.argv[2]), root / 'pulumi',"
    " variables={'TOY_DIR': str(root / 'cloud'), 'PYTHONPATH': sys.argv[3]})\n"
    "both = Both(cli, root / 'project', root / 'cloud')\n"
    "try:\n    PulumiEngine(environment=cli.environment).up(both.ref)\n"
    "except KeyboardInterrupt:\n    print('interrupted')\n"
)


def interrupted(both: Both, slow: int, times: int) -> None:
    """An update that is interrupted that many times while it creates something slow."""
    both.set(parts=["sleeping"], slow=slow)
    folders = [str(both.cli.engines), str(TESTS), str(TESTS / "engines")]
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(both.project.parent), *folders], stdout=subprocess.PIPE, text=True
    ) as process:
        until(lambda: any(f'"sleep": {slow}' in p.read_text("utf-8") for p in both.cloud.iterdir()), process)
        for time_ in range(times):
            time.sleep(time_)  # what comes too soon after the one before is one interrupt
            process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert out == "interrupted\n"
    assert not list((both.cli.backend / ".pulumi").glob("locks/**/*.json"))


def test_an_interrupt_ends_the_cli_in_order(both: Both) -> None:
    """One Ctrl-C: what had begun ends and is recorded, the lock is gone, and the process reports the interrupt."""
    interrupted(both, slow=3, times=1)
    assert both.things_alive()
    both.set(parts=["sleeping"])
    engine(both).up(both.ref)
    assert both.things_alive()


def test_a_second_interrupt_gives_up_what_has_begun_and_leaves_no_process(both: Both) -> None:
    """It is recorded as pending; neither the CLI nor a plugin goes on."""
    interrupted(both, slow=120, times=2)
    assert [p["type"] for p in both.checkpoint["checkpoint"]["latest"]["pending_operations"]] == ["creating"]
    mark = f"TOY_DIR={both.cloud}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            assert mark not in path.read_bytes().split(b"\0"), path


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None
        time.sleep(0.05)


def test_what_a_killed_embedded_engine_has_begun_is_told_and_goes_on_here(both: Both) -> None:
    """The preview knows its journal and writes nothing; the update takes it over, and the record can be forgotten."""
    both.set(parts=["sleeping"])
    engine(both).up(both.ref)
    both.set(parts=["sleeping"], slow=120)
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from oracle import Both; from pulumi_cli import PulumiCli\n"
        "root = Path(sys.argv[1])\n"
        "both = Both(PulumiCli(root, root / 'pulumi'), root / 'project', root / 'cloud')\n"
        "both.engine.up(both.ref)\n"
    )
    folders = [str(TESTS), str(TESTS / "engines")]
    with subprocess.Popen([sys.executable, "-c", script, str(both.project.parent), *folders], text=True) as process:
        try:
            until(lambda: any('"sleep": 120' in p.read_text(encoding="utf-8") for p in both.cloud.iterdir()), process)
        finally:
            process.kill()
    both.set(parts=["sleeping"], slow=0, more=True)
    before = files(both.cli.backend)
    assert [f.code for f in engine(both).preview(both.ref).findings] == ["FI630"]
    assert files(both.cli.backend) == before
    with pytest.raises(EngineError, match=r"(?s)FI620.*does not run any more"):
        engine(both).up(both.ref)
    engine(both).cancel(both.ref)
    assert [f.code for f in engine(both).preview(both.ref).findings] == ["FI630"]
    engine(both).refresh(both.ref, clear_pending_creates=True)
    assert engine(both).preview(both.ref).findings == ()


def children(parent: int) -> set[int]:
    """Ids of the processes that *parent* has started and that still run."""
    said = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return {int(pid) for pid, of in map(str.split, said.splitlines()) if int(of) == parent}


def running(processes: set[int]) -> set[int]:
    """Which of *processes* run; one that has ended and that nobody has asked for is none."""
    said = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    return {int(pid) for pid, state in map(str.split, said.splitlines()) if state[0] != "Z"} & processes


def test_a_cli_that_is_killed_is_told_and_its_plugins_end(both: Both) -> None:
    """Not as an error of the program; after `cancel` the stack goes on, and knows what had been begun."""
    both.set(parts=["sleeping"], slow=120)
    others = children(os.getpid())
    problems: list[BaseException] = []

    def run() -> None:
        try:
            engine(both).up(both.ref)
        except EngineError as problem:
            problems.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    while not any('"sleep": 120' in p.read_text(encoding="utf-8") for p in both.cloud.iterdir()):
        assert thread.is_alive()
        time.sleep(0.05)
    (cli,) = running(children(os.getpid()) - others)
    plugins = children(cli)
    assert plugins
    os.kill(cli, signal.SIGKILL)
    thread.join()
    assert re.search(r"(?s)FI628.*SIGKILL.*flowinfra cancel", str(problems[0]))
    assert "FI600" not in str(problems[0])
    deadline = time.monotonic() + 60
    while running(plugins) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not running(plugins)
    assert len(engine(both).cancel(both.ref)) == 1
    both.set(parts=["sleeping"], slow=0, more=True)
    assert [f.code for f in engine(both).up(both.ref).findings] == ["FI630"]


def test_targets_that_are_nothing_are_told_as_by_the_embedded_engine(both: Both) -> None:
    """A name is refused; a pattern that fits nothing is let through by the CLI, and warned of."""
    both.set(parts=["small"])
    both.engine.up(both.ref)
    for operation in Operation:
        for each in (engine(both), both.engine):
            with pytest.raises(EngineError, match="FI651"):
                each.preview(both.ref, operation=operation, options=Options(targets=("nonsense",)))
            plan = each.preview(both.ref, operation=operation, options=Options(targets=("**nope**",)))
            assert [f.code for f in plan.findings] == ["FI627"]


def test_a_state_that_does_not_fit_together_is_refused_as_by_the_embedded_engine(both: Both) -> None:
    """Before the CLI is asked, which would print its stack."""
    both.set(parts=["small"])
    both.engine.up(both.ref)
    file = both.cli.backend / ".pulumi" / "stacks" / "proj" / "dev.json"
    document = both.checkpoint
    resources = document["checkpoint"]["latest"]["resources"]
    resources.append(dict(resources[-1]))
    file.write_text(json.dumps(document), encoding="utf-8")
    assert both.theirs() is None
    for each in (engine(both), both.engine):
        with pytest.raises(EngineError, match=r"FI625.*'only' is there twice"):
            each.up(both.ref)


def test_no_thread_is_left_behind(both: Both) -> None:
    """After success and after failure nothing of an operation runs on in this process."""
    both.set(parts=["failing"])
    before = set(threading.enumerate())
    with pytest.raises(EngineError, match="FI604"):
        engine(both).up(both.ref)
    both.set(parts=["small"])
    engine(both).up(both.ref)
    deadline = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [t.name for t in set(threading.enumerate()) - before if t.name.startswith("flowinfra")] == []
