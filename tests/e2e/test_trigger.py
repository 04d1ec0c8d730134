"""trigger: starting runs of what is deployed."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.project import Project, interrupt

PROGRAM = """
import flowinfra.components as fic
from flowinfra import DeploymentSpec
from fan import Fan

daily = DeploymentSpec(Fan, name="daily", parameters={"items": 2}, tags=["deployed"])
idle = DeploymentSpec(Fan, name="idle", paused=True)
fic.export(fic.FlowDeployment("daily", daily), fic.FlowDeployment("idle", idle))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with two deployments of one flow."""
    project = Project(tmp_path)
    project.write("Pulumi.yaml", "name: demo\nruntime: python\nmain: stacks/\n")
    project.write("Pulumi.dev.yaml", "config:\n  flowinfra:target: local\n")
    project.write("stacks/__main__.py", PROGRAM)
    project.add("fan.py")
    (project.folder / "fan.py").rename(project.folder / "stacks" / "fan.py")
    project.flowinfra("up", "--yes")
    return project


def test_wait_shows_progress_and_the_result(project: Project) -> None:
    """The run's id and the artifacts of its last task are on stdout, steps as they begin on stderr."""
    done = project.flowinfra("trigger", "Fan/daily", "--wait")
    run, *result = done.stdout.splitlines()
    assert result == ["found = [Found(item=0), Found(item=1)]", "total = 1"]
    said = project.steady(done.stderr).splitlines()
    assert said == [
        "Fan/RUN started",
        "  start",
        "  each",
        "  join",
        "  end",
        "Fan/RUN succeeded after N s",
        "next: flowinfra show Fan/RUN",
    ]
    (line,) = project.document("runs", "Fan/daily")
    assert (line["run"], line["deployment"], line["tags"]) == (run, "Fan/daily", ["deployed"])
    assert project.document("runs", "Fan/idle") == []


def test_a_run_of_what_is_deployed_not_of_the_checkout(project: Project) -> None:
    """A change in the checkout reaches runs only by `up`; parameters are those of the deployed release."""
    file = project.folder / "stacks" / "fan.py"
    file.write_text(file.read_text().replace("sum(", "1000 + sum(").replace("    items =", "    things ="))
    document = project.flowinfra("trigger", "daily", "--wait", "--items", "4")
    assert document.stdout.splitlines()[-1] == "total = 6"


def test_parameters_are_checked_before_anything_starts(project: Project) -> None:
    """Unknown, unreadable and stray ones come at once, with the signature; no run is entered."""
    found = project.findings("trigger", "Fan/daily", "--itmes", "3", "--pause", "long", "-p", "fail=raise", "x")
    assert [d["code"] for d in found] == ["FI711", "FI713", "FI947", "FI716"]
    assert "did you mean 'items'" in found[0]["summary"]
    assert project.document("runs") == []


def test_params_in_both_ways(project: Project) -> None:
    """`--param name=value` and `--name value` mean the same; the deployment's own values hold where none is given."""
    project.flowinfra("trigger", "Fan/daily", "--wait", "--param", "pause=0.01", "--tag", "by hand")
    shown = project.document("show", "Fan")
    assert shown["parameters"] == {"fail": "", "items": 2, "pause": 0.01}
    assert shown["tags"] == ["by hand", "deployed"]


def test_a_paused_deployment_can_be_started_by_a_person(project: Project) -> None:
    """Paused means that nothing starts by itself."""
    assert project.flowinfra("trigger", "idle", "--wait", "--items", "1").stdout.splitlines()[-1] == "total = 0"


def test_a_failed_run_ends_the_command_with_1(project: Project) -> None:
    """Why it failed, and where to look."""
    done = project.flowinfra("trigger", "Fan/daily", "--wait", "--fail", "raise", check=False)
    assert done.returncode == 1
    said = project.steady(done.stderr)
    assert "Fan/RUN failed after N s\n  each 0.1: ValueError: one is not allowed\n" in said
    assert said.endswith("next: flowinfra logs Fan/RUN --step each\n")


def test_waiting_can_end_before_the_run(project: Project) -> None:
    """With --timeout the command ends with 9 and the run goes on."""
    done = project.flowinfra("trigger", "Fan/daily", "--wait", "--timeout", "1", "--pause", "4", check=False)
    assert done.returncode == 9
    run = done.stdout.split()[0]
    assert [r["state"] for r in project.document("runs")] == ["running"]
    assert project.flowinfra("logs", run, "--follow").stdout.endswith("[end 0] total 1\n")


def test_an_interrupt_ends_the_waiting_only(project: Project) -> None:
    """Ctrl-C while one waits leaves the run alone and says where to look."""
    waiting = project.start("-P", "-m", "flowinfra.cli.main", "trigger", "Fan/daily", "--wait", "--pause", "2")
    assert waiting.stdout is not None
    run = waiting.stdout.readline().strip()
    interrupt(waiting)
    _, said = waiting.communicate(timeout=60)
    assert waiting.returncode == 8
    assert f"the run goes on: flowinfra show Fan/{run}" in said
    assert project.flowinfra("logs", run, "--follow").stdout.endswith("[end 0] total 1\n")


def test_without_waiting_the_id_is_all_that_is_printed(project: Project) -> None:
    """Stdout is the run's id, for scripts; --json is the same as a document."""
    done = project.flowinfra("trigger", "Fan/daily")
    assert len(done.stdout.split()) == 1
    assert f"flowinfra logs Fan/{done.stdout.strip()} --follow" in done.stderr
    document = project.document("trigger", "Fan/daily")
    assert document["pathspec"] == f"Fan/{document['run']}"
    assert project.flowinfra("logs", document["run"], "--follow").stdout.endswith("[end 0] total 1\n")


def test_a_deployment_that_is_none_or_several(project: Project) -> None:
    """The nearest name, or all that fit."""
    for name, code, words in (
        ("Fan/dialy", "FI810", "did you mean 'Fan/daily'"),
        ("dayly", "FI810", "did you mean 'daily'"),
        ("Fan", "FI819", "Fan/daily, Fan/idle"),
    ):
        (found,) = project.findings("trigger", name)
        assert found["code"] == code
        assert words in found["summary"] + found["detail"]


def test_stacks_have_their_own(project: Project) -> None:
    """Where two stacks have a deployment of one name, --stack chooses, and without it the selected one is meant."""
    project.write("Pulumi.prod.yaml", "config:\n  flowinfra:target: local\n")
    project.flowinfra("up", "--yes", "--stack", "prod")
    first, second = (project.document("trigger", "Fan/daily", *more, "--wait") for more in ([], ["--stack", "prod"]))
    assert first["run"].split("-")[0] != second["run"].split("-")[0]
    assert (
        first["run"].split("-")[0]
        == project.document("trigger", "daily", "--stack", "dev", "--wait")["run"].split("-")[0]
    )
    project.flowinfra("stack", "select", "prod")
    assert second["run"].split("-")[0] == project.document("trigger", "daily", "--wait")["run"].split("-")[0]


def test_nothing_is_deployed(tmp_path: Path) -> None:
    """In an empty project the remedy is `up`."""
    project = Project(tmp_path)
    (found,) = project.findings("trigger", "x/y")
    assert found["code"] == "FI810"
    assert "flowinfra up" in found["hint"]
