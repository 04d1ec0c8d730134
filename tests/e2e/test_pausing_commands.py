"""pause, resume and drift, as an operator types them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from support.example import Example
from support.project import Project

PROGRAM = """
import flowinfra.components as fic
from flowinfra import DeploymentSpec
from fan import Fan

fic.export(fic.FlowDeployment("daily", DeploymentSpec(Fan, name="daily", parameters={"items": 1}, tags=["t"])))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with one deployment, of which Ada takes care."""
    project = Project(tmp_path, {"FLOWINFRA_USER": "ada"})
    project.write("Pulumi.yaml", "name: demo\nruntime: python\nmain: stacks/\n")
    project.write("Pulumi.dev.yaml", "config:\n  flowinfra:target: local\n")
    project.write("stacks/__main__.py", PROGRAM)
    project.add("fan.py")
    (project.folder / "fan.py").rename(project.folder / "stacks" / "fan.py")
    project.flowinfra("up", "--yes")
    return project


def test_pausing_is_told_kept_and_taken_back(project: Project) -> None:
    """Who, when and why are shown; a second time nothing changes; up leaves it, and resume ends it."""
    said = project.steady(project.flowinfra("pause", "Fan/daily", "--reason", "full disk").stdout)
    assert said == (
        "Fan/daily is paused by ada since WHEN (full disk)\n"
        "  the program says not paused; `flowinfra up` leaves it as it is\n"
    )
    again = project.document("pause", "Fan/daily", "--reason", "another")
    assert (again["changed"], again["paused"], again["operated"]["reason"]) == (False, True, "full disk")
    project.flowinfra("up", "--yes")
    shown = project.flowinfra("show", "Fan/daily").stdout
    assert shown.startswith("Fan/daily  paused\n")
    assert "paused by ada since" in shown
    assert project.document("show", "Fan/daily")["operated"]["by"] == "ada"
    assert project.flowinfra("resume", "Fan/daily").stdout == "Fan/daily is not paused\n"
    assert project.flowinfra("resume", "Fan/daily").stdout == "Fan/daily was not paused\n"
    assert project.document("show", "Fan/daily")["operated"] is None


def test_a_person_starts_a_run_of_what_is_paused_and_is_told(project: Project) -> None:
    """Trigger starts it all the same, and says who has paused it."""
    project.flowinfra("pause", "Fan/daily")
    done = project.flowinfra("trigger", "Fan/daily", "--wait")
    assert "note: Fan/daily is paused by ada since " in done.stderr
    assert done.stdout.splitlines()[-1] == "total = 0"
    assert project.document("trigger", "Fan/daily")["paused"] is True
    project.flowinfra("runs", "Fan/daily")


def test_other_words_than_a_full_name_are_refused(project: Project) -> None:
    """A short name, a run and a name that is not there say what to give instead, with the nearest."""
    run = project.document("trigger", "Fan/daily", "--wait")["run"]
    for command in ("pause", "resume"):
        for word, code, words in (
            ("daily", "FI922", "did you mean 'Fan/daily'"),
            (f"Fan/{run}", "FI923", "is a run"),
            (run, "FI923", "is a run"),
            ("Fan/dialy", "FI810", "did you mean 'Fan/daily'"),
        ):
            (found,) = project.findings(command, word)
            assert found["code"] == code
            assert words in found["summary"]


def test_another_project_shows_the_token(project: Project, tmp_path: Path) -> None:
    """From a folder of another project the production token is needed, and the right one is enough."""
    home = str(project.folder / ".flowinfra")
    other = Project(tmp_path / "other", {"FLOWINFRA_HOME": home, "FLOWINFRA_USER": "bob"})
    other.folder.mkdir()
    other.write("Pulumi.yaml", "name: other\nruntime: python\n")
    assert other.findings("pause", "Fan/daily")[0]["code"] == "FI820"
    assert other.findings("pause", "Fan/daily", "--authorize", "wrong")[0]["code"] == "FI821"
    token = project.document("outputs", "Fan/daily", "--show-secrets")["production_token"]
    assert other.document("pause", "Fan/daily", "--authorize", token)["operated"]["by"] == "bob"


def test_drift_is_shown_and_settled(project: Project) -> None:
    """Recorded, actual and owner per property; 7 for what is the code's; adopted and put back by name."""
    assert project.flowinfra("drift", "--expect-no-changes").stdout.startswith("No drift")
    project.flowinfra("pause", "Fan/daily", "--reason", "full disk")
    shown = project.flowinfra("drift", "--expect-no-changes").stdout
    assert "paused  false → true   the operator's" in shown
    assert "paused by ada on " in shown
    with sqlite3.connect(project.folder / ".flowinfra" / "local.db") as database:
        database.execute("UPDATE deployments SET tags = ?", [json.dumps(["hand"])])
    done = project.flowinfra("drift", "--expect-no-changes", check=False)
    assert (done.returncode, "Drift: 1 changed past the program, 1 changed by an operator." in done.stdout) == (7, True)
    assert (
        "| `daily-deployment` (`LocalDeployment`) | `tags[0]` | `t` | `hand` | code |"
        in project.flowinfra("drift", "--markdown").stdout
    )
    (change,) = project.document("drift")["drift"]
    assert {d["path"]: d.get("owner", "code") for d in change["drifted"]} == {"paused": "operator", "tags[0]": "code"}
    asked = project.flowinfra("drift", "--revert", "Fan/daily", check=False)
    assert asked.returncode == 8
    assert project.document("show", "Fan/daily")["tags"] == ["hand"]
    reverted = project.document("drift", "--revert", "Fan/daily:tags", "--adopt", "Fan/daily:paused", "--yes")
    assert [p["path"] for p in reverted["reverted"][0]["properties"]] == ["tags[0]"]
    assert [p["path"] for p in reverted["adopted"][0]["properties"]] == ["paused"]
    assert project.document("show", "Fan/daily")["tags"] == ["t"]
    assert project.flowinfra("drift").stdout.startswith("No drift")
    assert project.findings("drift", "--adopt", "Fan/daily", "--revert", "Fan/daily")[0]["code"] == "FI684"


def test_a_mode_is_told_and_asked_on_the_command_line(example: Example) -> None:
    """Preview shows what the mode made different and what up would refuse; up refuses; --force says so."""
    example.flowinfra("config", "set", "flowinfra:mode", "production")
    preview = example.document("preview")
    assert "FI672" in {f["code"] for f in preview["findings"]}
    refused = example.flowinfra("up", "--yes", check=False)
    assert refused.returncode != 0
    assert "FI672" in refused.stderr
    forced = example.document("up", "--yes", "--force")
    assert any(f["summary"].startswith("forced by ") for f in forced["findings"])
    assert {d["setting"] for d in forced["defaults"]} == {"flowinfra:require_clean", "flowinfra:protect"}
