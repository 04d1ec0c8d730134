"""@project: names, branches, tags, and what contradicts itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra import FlowSpec, project
from flowinfra.authoring.graph import read_graph
from flowinfra.authoring.loader import load_flow
from flowinfra.authoring.project import Project, project_of_tags, resolve_project
from flowinfra.diagnostics import AuthoringError
from support.flows import Flows

NAMES = st.from_regex(r"[a-z0-9_]{1,20}", fullmatch=True)


def flow(*, branch: str | None = None, production: bool | None = None) -> type[FlowSpec]:
    """A flow of the project `demo`."""

    @project(name="demo", branch=branch, production=production)
    class Churn(FlowSpec):
        pass

    return Churn


BRANCHES = {
    "the user's own": (None, None, None, False, "user.ada"),
    "by option": (None, None, "exp", False, "test.exp"),
    "by decorator": ("exp", None, None, False, "test.exp"),
    "by both, the same": ("exp", None, "exp", False, "test.exp"),
    "production by option": (None, None, None, True, "prod"),
    "production by decorator": (None, True, None, False, "prod"),
    "a variant of production": ("exp", True, None, False, "prod.exp"),
    "a variant of production by options": (None, None, "exp", True, "prod.exp"),
    "a decorator that says that it is none": (None, False, None, False, "user.ada"),
}


@pytest.mark.parametrize("case", BRANCHES)
def test_the_branch(case: str) -> None:
    """The decorator, the options, and else the user, as in the field."""
    branch, production, option, flag, expected = BRANCHES[case]
    found = resolve_project(flow(branch=branch, production=production), branch=option, production=flag, user="ada")
    assert found is not None
    assert (found.name, found.branch, found.flow_name) == ("demo", expected, f"demo.{expected}.Churn")
    assert found.production == expected.startswith("prod")
    assert found.is_user_branch == expected.startswith("user.")


@given(NAMES, NAMES, st.sampled_from(["user", "test", "prod"]))
def test_a_run_says_by_its_tags_where_it_belongs(name: str, branch: str, kind: str) -> None:
    """What was resolved is read from the tags again, whatever other tags there are."""
    made = Project(name, f"{kind}.{branch}", "Churn")
    assert project_of_tags("Churn", ["mine", *made.tags, "user:ada"]) == made


def test_without_a_project_there_is_none() -> None:
    """Neither for a flow nor for tags."""
    assert resolve_project(FlowSpec, user="ada") is None
    assert project_of_tags("Churn", ["project:demo", "user:ada"]) is None


CONTRADICTIONS = {
    "another branch": ("exp", None, "other", False, "FI171"),
    "production where the flow says that it is none": (None, False, None, True, "FI171"),
    "a branch that is no name": (None, None, "Exp 1", False, "FI170"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_options_and_decorator_must_agree(case: str) -> None:
    """Neither is stronger than the other."""
    branch, production, option, flag, code = CONTRADICTIONS[case]
    with pytest.raises(AuthoringError) as raised:
        resolve_project(flow(branch=branch, production=production), branch=option, production=flag, user="ada")
    assert [d.code for d in raised.value.diagnostics] == [code]


def test_an_option_without_a_project_is_refused() -> None:
    """It would change nothing."""
    with pytest.raises(AuthoringError, match="FI173"):
        resolve_project(FlowSpec, branch="exp", user="ada")
    with pytest.raises(AuthoringError, match="--production"):
        resolve_project(FlowSpec, production=True, user="ada")


@pytest.mark.parametrize("name", ["", "Demo", "a" * 129, "a-b", None, 3])
def test_names_are_checked_where_they_are_written(name: str) -> None:
    """As the field has them."""
    with pytest.raises(AuthoringError, match="FI170"):
        project(name=name)


def test_two_decorators_that_differ_are_a_finding_of_the_flow(flows: Flows) -> None:
    """It comes with everything else that is wrong with it."""
    file = flows.write(
        """
from flowinfra import FlowSpec, project, step

@project(name="one", branch="a")
@project(name="two", branch="a")
class Churn(FlowSpec):
    @step
    def start(self):
        self.next(self.nowhere)
"""
    )
    found = read_graph(load_flow(file), root=file.parent)[1]
    assert [d.code for d in found] == ["FI171", "FI203"]


def test_a_subclass_is_in_the_project_of_its_base() -> None:
    """Unless it says another one."""

    class Special(flow()):  # type: ignore[misc]
        pass

    @project(name="own")
    class Own(flow()):  # type: ignore[misc]
        pass

    names = [found.name for f in (Special, Own) if (found := resolve_project(f, user="ada"))]
    assert names == ["demo", "own"]
