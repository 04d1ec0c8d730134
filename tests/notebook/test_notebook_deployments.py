"""Flows of a notebook that are deployed from there, in a real Jupyter kernel."""

from __future__ import annotations

from support.kernel import Notebook

FLOW = """
from flowinfra import FlowSpec, NBDeployer, Parameter, step

class Greet(FlowSpec):
    name = Parameter(default="world")

    @step
    def start(self):
        self.text = f"hello {self.name}"
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def test_a_cell_is_deployed_and_triggered(notebook: Notebook) -> None:
    """A flow of a cell is deployed, runs without the notebook's file, is changed in place, and is deleted."""
    notebook.good(FLOW)
    notebook.good("deployed = NBDeployer(Greet, show_output=False).local().create(tags=['cell'])")
    assert notebook.files() == []
    ran = notebook.good(
        "started = deployed.trigger(name='Ada')\nstarted.wait_for_completion(timeout=120)\n"
        "started.status, started.run.data.text"
    )
    assert ran.value == "('succeeded', 'hello Ada')"
    notebook.good(FLOW.replace("hello", "bye"))
    again = notebook.good(
        "again = NBDeployer(Greet, show_output=False).local().create()\n"
        "started = again.trigger()\nstarted.wait_for_completion(timeout=120)\n"
        "again.name == deployed.name, started.run.data.text, again.delete()"
    )
    assert again.value == "(True, 'bye world', True)"
    assert notebook.files() == []


def test_what_cannot_be_deployed_leaves_no_file(notebook: Notebook) -> None:
    """A graph that breaks rules, an unknown option and a target that is not there are raised in the cell."""
    notebook.good(FLOW.replace("Greet", "Endless").replace("self.next(self.end)", "pass"))
    for line, word in (
        ("NBDeployer(Endless, show_output=False).local().create()", "start"),
        ("NBDeployer(Endless).local().create(tag=['x'])", "tags"),
        ("NBDeployer(Endless).argo_workflows()", "FI890"),
        ("NBDeployer(Endless, quite=True)", "quiet"),
    ):
        ran = notebook.cell(line)
        assert ran.error is not None, line
        assert word in ran.message
    assert notebook.files() == []
