"""DeploymentSpec: what is wrong comes at once; what is right becomes a deployment."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from flowinfra import DeploymentSpec, FlowSpec, step
from flowinfra.authoring.settings import caller
from flowinfra.diagnostics import AuthoringError
from flowinfra.model.deployment import Deployment
from support.flows import HEAD, Flows


class Churn(FlowSpec):
    """A flow."""

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


def test_a_spec_becomes_a_deployment() -> None:
    """Every setting arrives; parameters are JSON, a tag counts once, and a single tag may be a text."""
    spec = DeploymentSpec(
        Churn,
        "daily",
        parameters={"rate": 0.5, "day": datetime.date(2024, 1, 2), "nothing": None},
        tags=["a", "b", "a"],
        paused=True,
        max_workers=4,
        description="every morning",
    )
    assert spec.value("Churn") == Deployment(
        flow="Churn",
        name="daily",
        parameters={"rate": 0.5, "day": "2024-01-02", "nothing": None},
        tags=("a", "b"),
        paused=True,
        max_workers=4,
        description="every morning",
    )
    assert DeploymentSpec(Churn, tags="one").value("Churn") == Deployment(flow="Churn", name="default", tags=("one",))
    assert spec.load() is Churn
    assert repr(spec) == "DeploymentSpec(Churn, name='daily')"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "neither flow nor location": ({}, "give a flow or a flow_location"),
    "both": ({"flow": Churn, "flow_location": "a.py"}, "give a flow or a flow_location, not both"),
    "no flow": ({"flow": 3}, "3 is no subclass of FlowSpec"),
    "a flow's object": ({"flow": object.__new__(Churn)}, "is no subclass of FlowSpec"),
    "a name with a slash": ({"flow": Churn, "name": "a/b"}, "'a/b' is no name of a deployment"),
    "a blank name": ({"flow": Churn, "name": " "}, "' ' is no name of a deployment"),
    "a name that is no text": ({"flow": Churn, "name": 1}, "1 is no name of a deployment"),
    "too many tags": ({"flow": Churn, "tags": ["x"] * 51}, "the tags are too many"),
    "an empty tag": ({"flow": Churn, "tags": [""]}, "the tags are too many, too long, or no texts"),
    "tags that are no list": ({"flow": Churn, "tags": 5}, "tags=5 is no list of texts"),
    "no workers": ({"flow": Churn, "max_workers": 0}, "max_workers=0 is no whole number above 0"),
    "truth as workers": ({"flow": Churn, "max_workers": True}, "max_workers=True is no whole number"),
    "parameters that are no dict": ({"flow": Churn, "parameters": [1]}, "parameters=[1] is no dict"),
    "a parameter without JSON": ({"flow": Churn, "parameters": {"x": {1}}}, "the parameter 'x' has no JSON value"),
    "a parameter that is no number": ({"flow": Churn, "parameters": {"x": float("nan")}}, "'x' has no JSON value"),
    "a parameter's name that is no text": ({"flow": Churn, "parameters": {1: 2}}, "the name 1 of a parameter"),
    "paused as text": ({"flow": Churn, "paused": "no"}, "paused='no' is neither True nor False"),
    "a description that is no text": ({"flow": Churn, "description": 3}, "description=3 is no text"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_told_at_its_line(case: str) -> None:
    """One FI150 finding at the line of the spec."""
    arguments, part = WRONG[case]
    line = caller().line + 2
    with pytest.raises(AuthoringError) as caught:
        DeploymentSpec(**arguments)
    (finding,) = caught.value.diagnostics
    assert finding.code == "FI150"
    assert part in finding.summary
    assert finding.hint
    assert finding.source is not None
    assert (Path(finding.source.file).resolve(), finding.source.line) == (Path(__file__).resolve(), line)


def test_all_that_is_wrong_comes_at_once() -> None:
    """Five wrong arguments are five findings in one error."""
    with pytest.raises(AuthoringError) as caught:
        DeploymentSpec(None, "a/b", parameters={"x": {1}}, tags=[""], max_workers=-1)  # type: ignore[list-item]
    assert len(caught.value.diagnostics) == 5


def test_a_place_without_a_flow_file_is_told_at_the_spec() -> None:
    """The path is shown as it was looked for, and what it is relative to."""
    spec = DeploymentSpec(flow_location="../flows/nothing_here.py")
    with pytest.raises(AuthoringError) as caught:
        spec.load()
    (finding,) = caught.value.diagnostics
    assert (finding.code, finding.source) == ("FI101", spec.source)
    assert str(Path(__file__).parents[1] / "flows" / "nothing_here.py") in finding.summary


def test_a_flow_may_be_given_by_its_place(flows: Flows) -> None:
    """flow_location is relative to the file that makes the spec, wherever the process runs."""
    flows.write(HEAD + "\nclass Train(FlowSpec):\n    pass\n\nclass Serve(FlowSpec):\n    pass\n", "flows/models_h.py")
    stack = flows.write(
        "from flowinfra import DeploymentSpec\n\nspec = DeploymentSpec(flow_location='../flows/models_h.py:Serve')\n",
        "stacks/dev_h.py",
    )
    space: dict[str, Any] = {"__name__": "dev_h"}
    exec(compile(stack.read_text(), str(stack), "exec"), space)  # noqa: S102 as an engine runs a stack program
    assert space["spec"].load().__name__ == "Serve"
    assert repr(space["spec"]) == "DeploymentSpec(../flows/models_h.py:Serve, name='default')"
