"""`resume`: a run that takes over what another one has done."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from support.project import Project, interrupt

TAKEN_OVER = re.compile(r"\[(\w+) ([\d.]+)\] taken over")
DONE = re.compile(r"\[(\w+) ([\d.]+)\] done in")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A folder with the flow file steady.py."""
    project = Project(tmp_path)
    project.add("steady.py")
    (tmp_path / "done").mkdir()
    return project


def fail(project: Project, *items: int) -> None:
    """Let these items fail from now on, once the others are done."""
    (project.folder / "fail").write_text(" ".join(map(str, items)))


def run_and_fail(project: Project, *arguments: str) -> str:
    """A run in which items 1 and 4 have failed and all others are done; its id."""
    fail(project, 1, 4)
    done = project.flowinfra("run", "steady.py", "-q", *arguments, check=False)
    assert done.returncode == 1, done.stderr
    fail(project)
    return project.newest("Steady").partition("/")[2]


def ran(text: str) -> tuple[set[str], set[str]]:
    """What a resumed run has taken over, and what it has run, by what it says."""
    return {"/".join(found) for found in TAKEN_OVER.findall(text)}, {"/".join(found) for found in DONE.findall(text)}


def test_only_what_failed_and_what_is_behind_it_is_run(project: Project) -> None:
    """Both command lines resume the newest run; the result, the parameters and the link to the origin are right."""
    origin = run_and_fail(project)
    done = project.flowinfra("resume", "steady.py")
    taken, run = ran(done.stderr)
    assert taken == {"start/0", *(f"double/0.{n}" for n in (0, 2, 3, 5))}
    assert run == {"double/0.1", "double/0.4", "join/0", "end/0"}
    assert project.steady(done.stderr).endswith(
        """\
Steady succeeded after N s (4 tasks, 5 taken over)
  results  flowinfra show Steady/RUN
  logs     flowinfra logs Steady/RUN
"""
    )
    program = f"""
from flowinfra import Run
run, origin = Run({project.newest("Steady")!r}), Run("Steady/{origin}")
assert run.origin_pathspec == origin.pathspec
assert run.data.origin == origin.id
assert run.data.day == origin["start"].task.data.day
assert [task.data.doubled for task in run["double"]] == [0, 2, 4, 6, 8, 10]
print(run.successful, run.data.total)
"""
    assert project.python("-c", program).stdout == "True 30\n"
    again = project.python("steady.py", "resume", "-q")
    assert "(0 tasks, 9 taken over)" in again.stderr


def test_the_run_that_failed_says_how_to_resume_it(project: Project) -> None:
    """The last line can be typed as it is."""
    fail(project, 0)
    said = project.flowinfra("run", "steady.py", "-q", check=False).stderr.splitlines()[-1]
    fail(project)
    command = said.partition("resume   flowinfra ")[2].split()
    assert "Steady succeeded" in project.flowinfra(*command).stderr


def test_from_a_step_on(project: Project) -> None:
    """A step that is named is run again with all that is behind it, though it was done; an unknown one is refused."""
    run_and_fail(project)
    project.flowinfra("resume", "steady.py", "-q")
    taken, run = ran(project.flowinfra("resume", "steady.py", "join").stderr)
    assert run == {"join/0", "end/0"}
    assert len(taken) == 7
    taken, run = ran(project.python("steady.py", "resume", "start").stderr)
    assert not taken
    assert len(run) == 9
    (found,) = project.findings("resume", "steady.py", "jion")
    assert (found["code"], "'join'" in found["summary"]) == ("FI868", True)


def test_computed_parameters_are_those_of_the_origin(project: Project) -> None:
    """Also where the first task is run again, and a resumed run that fails is resumed in its turn."""
    origin = run_and_fail(project)
    fail(project, 3)
    project.flowinfra("resume", "steady.py", "start", "-q", check=False)
    middle = project.newest("Steady").partition("/")[2]
    fail(project)
    project.flowinfra("resume", "steady.py", "-q")
    program = f"""
from flowinfra import Run
runs = [Run("Steady/" + name) for name in ({origin!r}, {middle!r}, {project.newest("Steady").partition("/")[2]!r})]
print(len({{run["start"].task.data.day for run in runs}}), [run.origin_pathspec for run in runs])
"""
    assert project.python("-c", program).stdout == f"1 [None, 'Steady/{origin}', 'Steady/{middle}']\n"


def test_changed_code_is_run_again_only_when_it_is_asked_for(project: Project) -> None:
    """Without being asked what is done stays done; with --rerun-changed the step and what is behind it is run."""
    run_and_fail(project)
    project.edit("steady.py", "self.input * 2", "self.input * 3")
    done = project.flowinfra("resume", "steady.py", "--json")
    assert json.loads(done.stdout)["state"] == "succeeded"
    shown = project.flowinfra("show", f"{project.newest('Steady')}/end/0/total").stdout
    assert str(2 * (0 + 2 + 3 + 5) + 3 * (1 + 4)) in shown
    taken, run = ran(project.flowinfra("resume", "steady.py", "--rerun-changed").stderr)
    assert taken >= {"start/0"}
    assert "join/0" not in run, "the newest run has run with that code"
    project.edit("steady.py", "sum(", "1000 + sum(")
    taken, run = ran(project.flowinfra("resume", "steady.py", "--rerun-changed").stderr)
    assert run == {"join/0", "end/0"}


def test_the_origin_is_named_by_its_id_or_pathspec(project: Project) -> None:
    """An older run can be resumed; a misspelt one gets the nearest, one of another flow and one that runs are refused."""
    origin = run_and_fail(project)
    project.flowinfra("run", "steady.py", "-q", "--items", "2")
    for name in (origin, f"Steady/{origin}", f"Steady/{origin}/double/0.4"):
        assert (
            "(4 tasks, 5 taken over)" in project.flowinfra("resume", "steady.py", "--origin-run-id", name, "-q").stderr
        )
    (found,) = project.findings("resume", "steady.py", "--origin-run-id", origin[:-1] + "x")
    assert (found["code"], origin in found["summary"]) == ("FI811", True)
    found, more = project.findings("resume", "steady.py", "ende", "--origin-run-id", "x")
    assert {found["code"], more["code"]} == {"FI868", "FI811"}
    project.add("fan.py")
    (found,) = project.findings("resume", "fan.py")
    assert found["code"] == "FI812"
    project.flowinfra("run", "fan.py", "-q")
    for name in (origin, f"Steady/{origin}"):
        (found,) = project.findings("resume", "fan.py", "--origin-run-id", name)
        assert (found["code"], "Steady" in found["summary"]) == ("FI865", True)


def test_a_run_that_runs_is_not_resumed(project: Project) -> None:
    """Two runs would do the same work; once it was stopped, what it had done is taken over."""
    fail(project, 1)
    project.edit("steady.py", "self.items - len(bad)", "100")  # it waits for ever
    process = project.start("steady.py", "run", "-q")
    try:
        end = time.monotonic() + 60
        while len(list((project.folder / "done").iterdir())) < 5:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        (found,) = project.findings("resume", "steady.py")
        assert found["code"] == "FI866"
    finally:
        interrupt(process)
        process.communicate()
    fail(project)
    taken, _ = ran(project.flowinfra("resume", "steady.py").stderr)
    assert taken == {"start/0", *(f"double/0.{n}" for n in (0, 2, 3, 4, 5))}


def test_what_is_wrong_on_the_command_line_is_said(project: Project) -> None:
    """A parameter cannot be given, and a run alone is no flow file: both lead to what to type instead."""
    origin = run_and_fail(project)
    done = project.flowinfra("resume", "steady.py", "--items", "3", check=False)
    assert done.returncode == 2
    assert "parameters are those of the run" in done.stderr
    (found,) = project.findings("resume", origin)
    assert (found["code"], "--origin-run-id" in found["hint"]) == ("FI923", True)


def test_a_run_of_which_nobody_knows_whether_it_runs(project: Project) -> None:
    """It is resumed with a warning: its marker is missing, and this project's queue has not heard of it."""
    origin = run_and_fail(project)
    (_store(project) / "runs" / "Steady" / origin / "end.json").unlink()
    for file in (project.folder / ".flowinfra").glob("local.db*"):
        file.unlink()
    done = project.flowinfra("resume", "steady.py", "-q")
    assert "FI867" in done.stderr
    assert "(4 tasks, 5 taken over)" in done.stderr


def test_parameters_may_have_changed_since(project: Project) -> None:
    """A removed one is warned of, a new one has its default everywhere, a new required one cannot be given."""
    day = '    day = Parameter("day"'
    project.edit("steady.py", day, f'    old = Parameter("old", default=1)\n{day}')
    run_and_fail(project)
    project.edit("steady.py", '"old", default=1', '"rate", default=5')
    project.edit("steady.py", "(i.doubled for i in inputs)", "(i.doubled * self.old for i in inputs)")
    done = project.flowinfra("resume", "steady.py")
    assert "FI870" in done.stderr
    assert "[end 0] total 150" in done.stdout
    assert len(ran(done.stderr)[0]) == 5
    project.edit("steady.py", '"rate", default=5', '"other", required=True, type=int')
    found, *_ = project.findings("resume", "steady.py")
    assert (found["code"], "other" in found["summary"]) == ("FI710", True)
    assert "start a new run" in found["hint"]  # and not how it is given, for here it cannot be


def _store(project: Project) -> Path:
    return project.folder / ".flowinfra" / "store"


def test_a_damaged_origin_costs_only_what_is_damaged(project: Project) -> None:
    """A commit that cannot be read, values that are gone and a release that is gone: run again what they are of."""
    origin = run_and_fail(project)
    steps = _store(project) / "runs" / "Steady" / origin / "steps" / "double"
    (steps / "0.2" / "artifacts.json").write_text("{")
    commit: dict[str, Any] = json.loads((steps / "0.5" / "artifacts.json").read_text())
    (_store(project) / "blobs" / "Steady" / commit["artifacts"]["doubled"]["blob"]).unlink()
    document = json.loads((_store(project) / "runs" / "Steady" / origin / "run.json").read_text())
    (_store(project) / "releases" / f"{document['release']}.json").rename(project.folder / "kept.json")
    project.edit("steady.py", "sum(", "0 + sum(")
    (found,) = project.findings("resume", "steady.py", "--rerun-changed")
    assert found["code"] == "FI869"
    done = project.flowinfra("resume", "steady.py")
    taken, run = ran(done.stderr)
    assert taken == {"start/0", "double/0.0", "double/0.3"}
    assert run == {*(f"double/0.{n}" for n in (1, 2, 4, 5)), "join/0", "end/0"}
    assert "double/0.2 cannot be taken over" in done.stderr
    assert "[end 0] total 30" in done.stdout


def test_a_run_of_a_deployment_is_resumed_by_its_file(tmp_path: Path) -> None:
    """What it has done is taken over by a run of the checkout, which is none of the deployment's."""
    project = Project(tmp_path)
    project.write("Pulumi.yaml", "name: demo\nruntime: python\nmain: stacks/\n")
    project.write("Pulumi.dev.yaml", "config:\n  flowinfra:target: local\n")
    project.write(
        "stacks/__main__.py",
        """
        import flowinfra.components as fic
        from flowinfra import DeploymentSpec
        from fan import Fan

        fic.export(fic.FlowDeployment("daily", DeploymentSpec(Fan, name="daily", parameters={"fail": "raise"})))
        """,
    )
    project.add("fan.py")
    (tmp_path / "fan.py").rename(tmp_path / "stacks" / "fan.py")
    project.flowinfra("up", "--yes")
    project.flowinfra("trigger", "Fan/daily", "--wait", check=False)
    project.edit("stacks/fan.py", "raise ValueError", "print")
    done = project.flowinfra("resume", "stacks/fan.py")
    assert "[start 0] taken over" in done.stderr
    assert "Fan succeeded" in done.stderr
    assert [line["deployment"] for line in project.document("runs", "Fan")] in ([None, "Fan/daily"], ["", "Fan/daily"])
    paused = project.flowinfra("resume", "Fan/daily", check=False)
    assert paused.returncode == 0, paused.stderr
