"""Flows of a notebook, in a real Jupyter kernel."""

from __future__ import annotations

import pytest

from support.kernel import Notebook

IMPORTS = """
import os
from flowinfra import FlowSpec, NBRunner, Parameter, Runner, step
"""
NAP = """
class Nap(FlowSpec):
    secs = Parameter("seconds", default=3)

    @step
    def start(self):
        print(f"sleeping {self.secs} s")
        self.where = os.getcwd()
        self.next(self.end)

    @step
    def end(self):
        print("awake")
"""


@pytest.fixture
def napping(notebook: Notebook) -> Notebook:
    """A kernel in which the flow Nap stands in a cell of its own."""
    notebook.good(IMPORTS)
    notebook.good(NAP)
    return notebook


def test_a_flow_of_the_same_cell_runs(notebook: Notebook) -> None:
    """As the field has it: one cell with imports, class and nbrun; what the tasks print is shown, the run is returned."""
    ran = notebook.good(f"{IMPORTS}{NAP}\nrun = NBRunner(Nap).nbrun(seconds=1)\nrun.successful, run.data.secs, run.id")
    assert "sleeping 1 s" in ran.printed
    assert "awake" in ran.printed
    assert ran.value.startswith("(True, 1, '")
    assert notebook.files() == []


def test_a_flow_of_another_cell_runs(notebook: Notebook) -> None:
    """A class, a helper and a constant of three cells are one flow, which works in the notebook's folder."""
    notebook.good(IMPORTS)
    notebook.good("FACTOR = 21")
    notebook.good("def double(x):\n    return 2 * x")
    notebook.good(NAP.replace("Nap", "Doubled").replace("os.getcwd()", "(os.getcwd(), double(FACTOR))"))
    ran = notebook.good("NBRunner(Doubled, show_output=False).nbrun(seconds=0)['start'].task.data.where")
    assert ran.value == repr((str(notebook.project.folder.resolve()), 42))
    assert ran.printed == ""


def test_a_flow_that_fails_returns_its_run_and_leaves_no_file(napping: Notebook) -> None:
    """What a step raises is shown with its line; the run that comes back has failed; nothing is left behind."""
    napping.good(NAP.replace("Nap", "Broken").replace('print("awake")', "1 / 0"))
    ran = napping.good(
        "failed = NBRunner(Broken).nbrun(seconds=0)\nfailed.successful, failed['end'].task.exception.type"
    )
    assert ran.value == "(False, 'ZeroDivisionError')"
    assert "1 / 0" in ran.printed
    assert napping.files() == []


def test_what_is_wrong_before_a_run_is_raised_and_leaves_no_file(napping: Notebook) -> None:
    """Wrong parameters, wrong options and a graph that breaks rules are raised in the cell, each by its own finding."""
    wrong = napping.cell("NBRunner(Nap).nbrun(secnods=1)")
    assert "secnods" in wrong.message
    assert "seconds" in wrong.message
    option = napping.cell("NBRunner(Nap, decospec=['retry'])")
    assert "decospecs" in option.message
    napping.good(NAP.replace("Nap", "Endless").replace("self.next(self.end)", "pass"))
    endless = napping.cell("NBRunner(Endless, show_output=False).nbrun()")
    assert endless.error is not None
    assert "start" in endless.message
    assert napping.files() == []


def test_two_flows_of_a_cell_are_run_each_by_itself(notebook: Notebook) -> None:
    """The class that is given is the one that runs, wherever it stands in its cell."""
    both = f"{NAP.replace('Nap', 'First')}\n{NAP.replace('Nap', 'Second')}"
    lines = "[NBRunner(flow, show_output=False).nbrun(seconds=0).pathspec for flow in (First, Second)]"
    ran = notebook.good(f"{IMPORTS}\n{both}\n{lines}")
    assert ran.value.startswith("['First/")
    assert "'Second/" in ran.value
    assert notebook.files() == []


def test_a_cell_awaits_a_run(napping: Notebook) -> None:
    """In the kernel's own event loop runs can be awaited, side by side, and their lines read as they come."""
    ran = napping.good("""
nb = NBRunner(Nap)
runs = [await nb.async_run(seconds=n) for n in range(2)]
for running in runs:
    await running.wait()
lines = [line async for _, line in runs[1].stream_log("stdout")]
print([running.status for running in runs], any("sleeping 1 s" in line for line in lines))
nb.cleanup()
""")
    assert ran.printed == "['successful', 'successful'] True\n"
    assert napping.files() == []


def test_the_file_of_an_awaited_run_goes_when_the_run_has_ended(napping: Notebook) -> None:
    """While a run goes on its flow stands in a file; when it has ended the file is gone without any cleanup."""
    napping.good(NAP.replace("Nap", "Gone").replace("os.getcwd()", "sorted(os.listdir())"))
    napping.good("gone = await NBRunner(Gone).async_run(seconds=0)\nawait gone.wait()")
    there = napping.good("gone.run['start'].task.data.where").value
    assert "nb_Gone.py" in there
    # The file is removed by a thread that is told of the end as the cell is.
    napping.good("import threading\nfor t in threading.enumerate():\n    if t.name.endswith('-file'): t.join()")
    assert napping.files() == []


def test_runs_are_resumed(napping: Notebook) -> None:
    """A run that failed goes on with the flow as its cell has it now; what was done is taken over."""
    flow = NAP.replace("Nap", "Mended").replace("os.getcwd()", "os.getpid()")
    napping.good(flow.replace('print("awake")', "raise ValueError"))
    napping.good("old = NBRunner(Mended, show_output=False).nbrun(seconds=0)")
    napping.good(flow)
    ran = napping.good(
        "new = NBRunner(Mended, show_output=False).nbresume(origin_run_id=old.id)\n"
        "new.successful, new['start'].task.data.where == old['start'].task.data.where"
    )
    assert ran.value == "(True, True)"
    assert napping.files() == []


def test_values_of_other_cells_are_named(napping: Notebook) -> None:
    """A flow that uses what another cell computed is refused before anything runs, with every such name."""
    napping.good("table = [n * n for n in range(3)]\nmodel = object()")
    napping.good(NAP.replace("Nap", "Using").replace("os.getcwd()", "(table, model)"))
    ran = napping.cell("NBRunner(Using)")
    assert ran.error == "ConfigurationError"
    assert ran.message.count("FI887") == 2
    assert "`table`" in ran.message
    assert "`model`" in ran.message


def test_a_flow_without_steps_of_its_own_runs(napping: Notebook) -> None:
    """A class that only changes a default of another cell's flow is a flow of its own."""
    napping.good('class Short(Nap):\n    secs = Parameter("seconds", default=0)')
    assert napping.good("NBRunner(Short, show_output=False).nbrun().pathspec").value.startswith("'Short/")


def test_runner_names_the_one_for_notebooks(napping: Notebook) -> None:
    """Runner, given a class of a cell, says which name to use instead; NBRunner refuses a class that no cell has."""
    ran = napping.cell("Runner(Nap)")
    assert "NBRunner" in ran.message
    napping.project.write("filed.py", f"{IMPORTS}{NAP.replace('Nap', 'Filed')}")
    filed = napping.cell("from filed import Filed\nNBRunner(Filed)")
    assert "FI886" in filed.message
    assert "FI886" in napping.cell("NBRunner('filed.py')").message
    (napping.project.folder / "filed.py").unlink()


def test_a_folder_that_cannot_be_written_to_is_said(napping: Notebook) -> None:
    """Where the flow's file cannot be made the folder is named, and how to choose another."""
    ran = napping.cell("NBRunner(Nap, base_dir='no/such/folder').nbrun()")
    assert "FI888" in ran.message
    assert "base_dir" in ran.message


def test_an_interrupted_cell_stops_its_run_and_leaves_no_file(napping: Notebook) -> None:
    """Interrupting the kernel ends the cell by KeyboardInterrupt, the run with it, and removes the flow's file."""
    napping.good(NAP.replace("Nap", "Long").replace("self.where = os.getcwd()", "import time; time.sleep(600)"))
    begun = napping.project.folder / ".flowinfra" / "store" / "runs" / "Long"
    raised = napping.interrupted(
        "NBRunner(Long, show_output=False).nbrun()", lambda: any(begun.rglob("attempts")) if begun.exists() else False
    )
    assert raised == "KeyboardInterrupt"
    assert [run["state"] for run in napping.project.document("runs", "Long")] == ["stopped"]
    assert napping.files() == []
