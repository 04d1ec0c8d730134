"""The branch of its project in which a stack deploys a flow with @project."""

from __future__ import annotations

from typing import Any

import pytest

from flowinfra import FlowSpec, project
from flowinfra.authoring.project import project_of_tags
from flowinfra.components.projects import in_project
from flowinfra.components.settings import Settings
from flowinfra.diagnostics import AuthoringError
from flowinfra.model.deployment import Deployment


def flow(**arguments: Any) -> type[FlowSpec]:
    """A flow of the project `demo`."""

    @project(name="demo", **arguments)
    class Churn(FlowSpec):
        pass

    return Churn


def branch(declared: type[FlowSpec], tags: tuple[str, ...] = (), **settings: Any) -> str | None:
    """Where it is deployed in a stack `EU-1` with these settings; None if it is in no project."""
    config = {f"flowinfra:{name}": value for name, value in settings.items()}
    deployment = Deployment(flow="Churn", name="daily", tags=tags)
    found = in_project(deployment, declared, Settings.from_config("EU-1", config), "ada")
    assert found.tags[: len(tags)] == tags
    where = project_of_tags("Churn", found.tags)
    return where.branch if where else None


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a stack without a mode": ({}, {}, "test.eu_1"),
    "a stack of a developer": ({}, {"mode": "development"}, "user.ada"),
    "production": ({}, {"mode": "production"}, "prod"),
    "a branch by setting": ({}, {"project_branch": "exp"}, "test.exp"),
    "a branch of production by setting": ({}, {"mode": "production", "project_branch": "exp"}, "prod.exp"),
    "production by setting": ({}, {"project_production": "true"}, "prod"),
    "a production stack that deploys none": ({}, {"mode": "production", "project_production": "false"}, "test.eu_1"),
    "a branch by decorator": ({"branch": "own"}, {"mode": "development"}, "test.own"),
    "production by decorator": ({"production": True}, {}, "prod"),
    "no production by decorator": ({"production": False}, {"mode": "production"}, "test.eu_1"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_branch_of_a_stack(case: str) -> None:
    """The decorator, the settings, and else the mode; without one it is the same whoever deploys."""
    arguments, settings, expected = CASES[case]
    assert branch(flow(**arguments), ("mine",), **settings) == expected


def test_a_deployment_that_is_in_a_branch_stays_there() -> None:
    """An imperative entry point has said it already."""
    assert branch(flow(), ("project:demo", "project_branch:user.bob"), mode="production") == "user.bob"


def test_a_flow_without_a_project_is_in_none() -> None:
    """Settings for others in the same stack are no concern of its."""
    assert branch(FlowSpec, mode="production", project_branch="exp") is None


def test_settings_must_agree_with_the_decorator() -> None:
    """The finding names the setting."""
    with pytest.raises(AuthoringError, match="flowinfra:project_branch"):
        branch(flow(branch="own"), project_branch="other")
