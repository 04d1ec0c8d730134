"""Configs, projects and exit hooks as users have them: on the command line, from Python, resumed, and deployed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from support.project import Project, interrupt

PARTS = {"scale": 2, "parts": [1, 2, 3]}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a flow that its config shapes: 2 * (1 + 2 + 3) + 3 is 15."""
    made = Project(tmp_path)
    made.write("Pulumi.yaml", "name: demo\nruntime: python\nmain: stacks/\n")
    made.write("Pulumi.dev.yaml", "config:\n  flowinfra:target: local\n")
    made.add("tuned.py")
    made.write("tuned.json", json.dumps(PARTS))
    made.write("big.json", json.dumps({**PARTS, "scale": 10}))
    return made


READ = """
from flowinfra import Flow
run = Flow("Tuned").latest_run
print([run.id, run.data.total, run.data.config, run.data.scale, run["start"].task.data.where[1:], run["work"].task.data.config["scale"]])
"""


def last(project: Project) -> list[Any]:
    """What the last run has left."""
    found: list[Any] = eval(project.python("-c", READ).stdout)  # noqa: S307 - of our own
    return found


# -- the command line -----------------------------------------------------------------------------------------------


def test_configs_on_either_side_of_the_command(project: Project) -> None:
    """A file before it, a value behind it, and `flowinfra run` alike; what was read is an artifact of every task."""
    project.python("tuned.py", "run")
    assert last(project)[1:4] == [15, PARTS, 2]
    done = project.python("tuned.py", "--config", "config", "big.json", "run", "--scale", "7")
    assert "scale 7 10 total 63" in done.stdout
    assert last(project)[1:4] == [63, {**PARTS, "scale": 10}, 7]
    project.python("tuned.py", "run", "--config-value", "config", '{"scale": 1, "parts": [5, 6]}')
    assert last(project)[1:4] == [13, {"scale": 1, "parts": [5, 6]}, 1]
    project.flowinfra("run", "tuned.py", "--config", "config", "big.json")
    assert last(project)[1] == 63


def test_configs_shape_what_is_shown(project: Project) -> None:
    """`show`, `check` and the help of a run know the flow as its configs make it."""
    value = '{"scale": 9, "parts": []}'
    text = project.python("tuned.py", "show", "--config-value", "config", value).stdout
    assert 'Configs\n  config  {"scale": 9, "parts": []}\n' in text
    assert "Exit hooks\n  on success  tuned:well\n  on success  tuned:always\n  on error    tuned:badly\n" in text
    shown = json.loads(project.python("tuned.py", "show", "--json", "--config-value", "config", value).stdout)
    assert [p["default"] for p in shown["parameters"]] == [9]
    checked = project.document("check", "tuned.py", "--config-value", "config", value)
    assert checked["release"] != project.document("check", "tuned.py")["release"]
    helped = project.python("tuned.py", "--help").stdout
    assert "--config config FILE  What it is tuned with.  [default: tuned.json]" in helped
    assert "default: 9" in project.python("tuned.py", "run", "--config-value", "config", value, "--help").stdout


def test_a_broken_config_is_said_before_anything_starts(project: Project) -> None:
    """With the place where it is declared, and without a trace of ours, though the class itself needs the value."""
    done = project.python("tuned.py", "run", "--config", "confg", "big.json", check=False)
    assert "FI165" in done.stderr
    (project.folder / "tuned.json").unlink()
    for done in (project.python("tuned.py", "run", check=False), project.flowinfra("run", "tuned.py", check=False)):
        assert done.returncode == 1
        assert ("FI161" in done.stderr, "at tuned.py:27" in done.stderr, "Traceback" in done.stderr) == (
            True,
            True,
            False,
        )
    done = project.python("tuned.py", "--config", "config", check=False)
    assert "FI945" in done.stderr


def test_a_file_that_only_options_name(project: Project) -> None:
    """Python runs the flow file once before the options are read; the default need not be there then."""
    (project.folder / "tuned.json").unlink()
    assert "total 63" in project.python("tuned.py", "run", "--config", "config", "big.json").stdout
    assert "total 63" in project.python("tuned.py", "--config", "config", "big.json", "run").stdout


# -- tasks ----------------------------------------------------------------------------------------------------------

DRIVE = """
import sys
from pathlib import Path
from flowinfra.authoring.configs import ConfigSources
from flowinfra.authoring.loader import load_flow
from flowinfra.runtime.workers import prepare_workers

flow = load_flow(Path("tuned.py"), configs=ConfigSources.given([("config", "big.json")]))
Path("big.json").unlink()
Path("tuned.json").unlink()
with prepare_workers(sys.argv[1]) as workers:
    from flowinfra.control.direct import RunOptions, prepare_run
    from flowinfra.runtime.parameters import check_parameters

    direct = prepare_run(flow, lambda declared: check_parameters(declared, {}, "Tuned"), RunOptions())
    said = []
    print(direct.carry_out(workers, said.append).state)
    print([e.text for e in said if e.kind == "task_line" and e.step == "exit_hook"])
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_tasks_need_no_config_file(project: Project, method: str) -> None:
    """However they are started, they get what was read, and so do the exit hooks."""
    project.write("drive.py", DRIVE)
    state, hooks = project.python("drive.py", method).stdout.splitlines()
    assert state == "succeeded"
    assert last(project)[1:4] == [63, {**PARTS, "scale": 10}, 10]
    assert hooks == f"['well: Tuned/{last(project)[0]} True 63', 'always']"


# -- from Python ----------------------------------------------------------------------------------------------------

RUNNER = """
from flowinfra import Runner
with Runner("tuned.py", config=[("config", "big.json")], show_output=False).run() as running:
    print(running.status, running.run.data.total)
with Runner("tuned.py", config_value=[("config", {"scale": 1, "parts": [1]})], branch="exp", show_output=False).run() as running:
    print(running.status, running.run.data.total, running.run["start"].task.data.where[1], sorted(running.run.system_tags))
"""


def test_a_runner_gives_configs_and_a_branch(project: Project) -> None:
    """By file and by value, as the field's Runner does."""
    one, two = project.python("-c", RUNNER).stdout.splitlines()
    assert one == "successful 63"
    assert two.startswith("successful 2 test.exp")
    assert "project:demo" in two
    assert "project_branch:test.exp" in two


# -- resume ---------------------------------------------------------------------------------------------------------


def test_a_resumed_run_has_the_configs_of_its_origin(project: Project) -> None:
    """Also where the file says something else by now, or is gone; other ones are refused."""
    project.write("broken", "")
    project.python("tuned.py", "run", check=False)
    (project.folder / "broken").unlink()
    project.write("tuned.json", json.dumps({"scale": 100, "parts": [9]}))
    done = project.python("tuned.py", "resume")
    assert "start 0] taken over" in done.stderr
    assert last(project)[1:4] == [15, PARTS, 2]
    (project.folder / "tuned.json").unlink()
    project.flowinfra("resume", "tuned.py", "join")
    assert last(project)[1:4] == [15, PARTS, 2]
    assert "scale 2 2 total 15" in project.python("tuned.py", "spin", "end").stdout
    for options in ((), ("--quiet",)):
        given = (*options, "--config", "config", "big.json", "resume")
        assert "FI174" in project.python("tuned.py", *given, check=False).stderr


# -- projects -------------------------------------------------------------------------------------------------------


def test_branches_of_a_project(project: Project) -> None:
    """The user's own without an option; options stand on either side of the command."""
    project.python("tuned.py", "run")
    branch, name, production = last(project)[4]
    assert branch.startswith("user.")
    assert (name, production) == (f"demo.{branch}.Tuned", False)
    project.python("tuned.py", "--branch", "exp", "run")
    assert last(project)[4] == ("test.exp", "demo.test.exp.Tuned", False)
    project.python("tuned.py", "run", "--production")
    assert last(project)[4] == ("prod", "demo.prod.Tuned", True)
    done = project.python("tuned.py", "run", "--branch", "Exp 1", check=False)
    assert "FI170" in done.stderr


# -- exit hooks -----------------------------------------------------------------------------------------------------


def test_hooks_run_once_behind_the_end(project: Project) -> None:
    """Their output is shown and kept; one that fails is told, keeps no other from being called, and changes nothing."""
    done = project.python("tuned.py", "run")
    run = last(project)[0]
    assert f"[exit_hook on_success] well: Tuned/{run} True 15" in done.stdout
    assert "[exit_hook on_success] always" in done.stdout
    project.write("broken", "")
    done = project.python("tuned.py", "run", check=False)
    assert done.returncode == 1
    assert "[exit_hook on_error] badly: False, é\n[exit_hook on_error] always\n" in done.stdout
    assert "[exit_hook on_error] ValueError: the hook itself" in done.stderr
    assert "note: an exit hook has failed; the run itself has failed" in done.stderr
    kept = sorted(file for file in project.folder.glob(".flowinfra/store/runs/Tuned/*/hooks/*"))
    assert [file.name for file in kept if run in str(file)] == ["out.0"]
    assert [file.name for file in kept if run not in str(file)] == ["err.0", "out.0"]


SLOW = """
import os
import signal
import subprocess
import time
from flowinfra import FlowSpec, exit_hook, step

def slow(run):
    if os.path.exists("slow"):
        subprocess.Popen(["sleep", "600"], stdout=open("slow", "w"))
        print("the hook has begun", flush=True)
        time.sleep(600)

@exit_hook(on_success=slow)
class Slow(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Slow()
"""


def test_a_hook_can_be_interrupted(project: Project) -> None:
    """Ctrl-C ends it and what it has started; the run has succeeded all the same."""
    project.write("slow.py", SLOW)
    project.write("slow", "")
    process = project.start("-u", "slow.py", "run")
    assert process.stdout is not None
    assert process.stdout.readline() == "[exit_hook on_success] the hook has begun\n"
    interrupt(process)
    _, said = process.communicate(timeout=60)  # waits for the pipes too, so nothing that holds them lives on
    assert process.returncode == 0
    assert "an exit hook has failed; the run itself has succeeded" in said


def test_a_killed_run_leaves_no_hook(project: Project) -> None:
    """Nor anything that the hook has started: all of it holds the pipe open, which ends with the last of them."""
    project.write("slow.py", SLOW)
    os.mkfifo(project.folder / "slow")
    process = project.start("slow.py", "run")
    with (project.folder / "slow").open() as alive:
        process.kill()
        process.communicate(timeout=60)
        assert alive.read() == ""


LIMITED = """
from pathlib import Path
from flowinfra import Flow
from flowinfra.control.place import Place
from flowinfra.model.states import RunState
from flowinfra.runtime.hooks import run_hooks
from flowinfra.runtime.localspec import LocalRun, StopSwitch
from flowinfra.runtime.rundata import RunData

place, run = Place.open(), Flow("Slow").latest_run.id
data = RunData(place.store, "Slow", run)
digest = data.read_run()["release"]
spec = LocalRun(store_url=place.store.url, flow="Slow", release=digest, run=run, code=Path.cwd())
run_hooks(spec, place.release(digest), data, RunState.SUCCEEDED, lambda e: print(e.text), StopSwitch(), seconds=1.5)
"""


def test_hooks_have_a_limit_together(project: Project) -> None:
    """A hook that hangs keeps no process of the run alive for ever."""
    project.write("slow.py", SLOW)
    project.write("limited.py", LIMITED)
    project.python("slow.py", "run")
    project.write("slow", "")
    said = project.python("limited.py").stdout
    assert said.splitlines() == ["the hook has begun", "an exit hook has failed; the run itself has succeeded"]


LEAVES = """
import subprocess
from flowinfra import FlowSpec, exit_hook, step

def leaves(run):
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    open("left", "w").write(str(child.pid))
    print("the hook has ended")

@exit_hook(on_success=leaves)
class Leaves(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Leaves()
"""


def test_what_a_hook_leaves_running_is_not_waited_for(project: Project) -> None:
    """A process that has left the hook's group, and holds its output open, keeps nobody waiting."""
    project.write("leaves.py", LEAVES)
    process = project.start("leaves.py", "run")
    try:
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        os.kill(int((project.folder / "left").read_text()), signal.SIGKILL)
    assert process.returncode == 0
    assert "[exit_hook on_success] the hook has ended\n" in said


# -- deployed -------------------------------------------------------------------------------------------------------

PROGRAM = """
import flowinfra.components as fic
from flowinfra import DeploymentSpec
from tuned import Tuned

plain = DeploymentSpec(Tuned, name="plain")
big = DeploymentSpec(Tuned, name="big", config={"config": "../big.json"})
small = DeploymentSpec(flow_location="tuned.py", name="small", config_value={"config": {"scale": 1, "parts": [1]}})
fic.export(*(fic.FlowDeployment(spec.name, spec) for spec in (plain, big, small)))
"""


def test_deployments_of_one_flow_with_configs_of_their_own(project: Project) -> None:
    """Each has a release; a change of a config is a change of the plan; runs need no file; hooks run there too."""
    project.write("stacks/__main__.py", PROGRAM)
    for name in ("tuned.py", "tuned.json"):
        (project.folder / name).rename(project.folder / "stacks" / name)
    project.flowinfra("up", "--yes")
    project.write("big.json", json.dumps({**PARTS, "scale": 11, "extra": "é"}))
    plan = project.document("preview")
    changes = [c for change in plan["changes"] if change.get("flow") for c in change["flow"].get("changes", ())]
    assert [(c["layer"], c["subject"], c["field"], c.get("before"), c.get("after")) for c in changes] == [
        ("interface", "parameter scale", "default", 10, 11),
        ("environment", "environment default.start", "resources.cpu", 11, 12),
        ("code", "config config", "extra", None, "é"),
        ("code", "config config", "scale", 10, 11),
    ]
    for file in (project.folder / "big.json", project.folder / "stacks" / "tuned.json"):
        file.unlink()
    totals = []
    for name in ("plain", "big", "small"):
        project.flowinfra("trigger", f"Tuned/{name}", "--wait")
        totals.append(last(project)[1])
        assert last(project)[4] == ("test.dev", "demo.test.dev.Tuned", False)
    assert totals == [15, 63, 2]
    hooks = sorted(file.read_text() for file in project.folder.glob(".flowinfra/store/runs/Tuned/*/hooks/out.0"))
    assert [text.splitlines()[0].rpartition(" ")[2] for text in hooks] != []
    assert sorted(int(text.splitlines()[0].rpartition(" ")[2]) for text in hooks) == [2, 15, 63]
