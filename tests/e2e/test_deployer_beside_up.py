"""A ``Deployer`` and ``flowinfra up`` in one project: each sees what the other has deployed, and takes nothing away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowinfra import DeployedFlow, Deployer, FlowinfraError
from flowinfra.control.deployer.facade import TargetDeployer
from support.project import Project

FLOW = """\
from flowinfra import FlowSpec, Parameter, step


class Report(FlowSpec):
    size = Parameter("size", type=int, default=1)

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        self.total = self.size + 1
"""
PROGRAM = """\
import flowinfra.components as fic
from flowinfra import DeploymentSpec
from report import Report

fic.export(fic.FlowDeployment("daily", DeploymentSpec(Report, "daily", parameters={"size": 4})))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a stack program that deploys Report/daily, in which one stands."""
    made = Project(tmp_path / "shop", {"FLOWINFRA_CONFIG_HOME": str(tmp_path / "settings")})
    made.write("Pulumi.yaml", "name: shop\nruntime: python\n")
    made.write("report.py", FLOW)
    made.write("__main__.py", PROGRAM)
    for name in [name for name in os.environ if name.startswith(("FLOWINFRA_", "PULUMI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FLOWINFRA_CONFIG_HOME", made.variables["FLOWINFRA_CONFIG_HOME"])
    monkeypatch.chdir(made.folder)
    made.flowinfra("stack", "init", "dev")
    return made


def deployer(project: Project, name: str | None = None) -> TargetDeployer:
    return Deployer(project.folder / "report.py", show_output=False).local(name)


def codes(caught: pytest.ExceptionInfo[FlowinfraError]) -> list[str]:
    return [d.code for d in caught.value.diagnostics]


def test_each_finds_and_leaves_what_the_other_has_deployed(project: Project) -> None:
    """Both kinds are listed by both; an `up` removes nothing of a Deployer's, and its stack is not among the program's."""
    project.flowinfra("up", "--yes")
    mine = deployer(project, "mine").create()
    assert [d.name for d in DeployedFlow.list_deployed_flows()] == ["Report/daily", "Report/mine"]
    daily = DeployedFlow.from_deployment("Report/daily")
    run = daily.trigger()
    assert run.wait_for_completion(timeout=120) == "succeeded"
    assert run.run is not None
    assert run.run.data.total == 5
    assert [s["name"] for s in project.document("stack", "ls")] == ["dev"]
    project.write("__main__.py", PROGRAM.replace('"daily"', '"weekly"'))
    project.flowinfra("up", "--yes")
    assert [d.name for d in DeployedFlow.list_deployed_flows()] == ["Report/mine", "Report/weekly"]
    done = project.document("trigger", "Report/mine", "--size", "2", "--wait")
    assert done["state"] == "succeeded"
    assert mine.list_runs()[0].pathspec == done["pathspec"]


def test_a_name_of_the_program_is_taken_over_with_its_token_only(project: Project) -> None:
    """Without the token the name is refused with its address; with it the Deployer's stack owns it, also after a destroy."""
    project.flowinfra("up", "--yes")
    with pytest.raises(FlowinfraError, match="local:shop/dev/Report/daily") as caught:
        deployer(project, "daily").create()
    assert codes(caught) == ["FI820"]
    daily = DeployedFlow.from_deployment("Report/daily")
    with pytest.raises(FlowinfraError) as caught:
        daily.delete()
    assert codes(caught) == ["FI820"]
    # Who stands in the project operates the runs of its program, as on the command line.
    run = daily.trigger()
    run.terminate()
    run.wait_for_completion(timeout=120)
    token = project.document("outputs", "--show-secrets")["Report/daily"]["production_token"]
    taken = deployer(project, "daily").create(authorize=token)
    assert taken.production_token == token
    project.flowinfra("destroy", "--yes")
    assert [d.name for d in DeployedFlow.list_deployed_flows()] == ["Report/daily"]
    assert taken.delete() is True
    assert list(DeployedFlow.list_deployed_flows()) == []


def test_the_stack_of_a_deployment_is_no_program_s(project: Project) -> None:
    """`up` on it is refused, for it would delete the deployment; its outputs are shown, and destroy removes it."""
    made = deployer(project).create()
    owner = made.address.split("/")
    assert owner[1] == "dev"
    (stack,) = [p.stem for p in (project.folder / ".flowinfra/state/.pulumi/stacks/shop").glob("*.of.*.json")]
    assert [f["code"] for f in project.findings("up", "--yes", "--stack", stack)] == ["FI891"]
    shown = project.document("outputs", "--show-secrets", "--stack", stack)
    assert shown["production_token"] == made.production_token
    assert [d.name for d in DeployedFlow.list_deployed_flows()] == ["Report/default"]
    project.flowinfra("destroy", "--yes", "--stack", stack)
    assert list(DeployedFlow.list_deployed_flows()) == []
    assert made.delete() is False


def test_settings_of_the_selected_stack_hold(project: Project) -> None:
    """Prefixes, tags and limits of the selected stack's mode hold for what a Deployer deploys too."""
    project.flowinfra("config", "set", "flowinfra:name_prefix", "team")
    project.flowinfra("config", "set", "flowinfra:max_workers", "3")
    made = deployer(project).create()
    assert made.name == "Report/team-default"
    document = deployer(project).create(only_json=True).document
    assert document is not None
    assert document["deployment"]["max_workers"] == 3
    project.flowinfra("config", "set", "flowinfra:require_plan", "true")
    with pytest.raises(FlowinfraError) as caught:
        deployer(project).create(tags=["x"])
    assert codes(caught) == ["FI673"]
    assert made.delete() is True
