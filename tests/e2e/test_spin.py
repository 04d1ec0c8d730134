"""`spin`: one task once more, with the inputs that a run has recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.project import Project

FLOW = """
from flowinfra import FlowSpec, Parameter, catch, current, step

class Mill(FlowSpec):
    rate = Parameter(default=3, type=int)

    @step
    def start(self):
        self.rows = ["a", "b"]
        self.word = "grain"
        self.next(self.each, foreach="rows")

    @step
    def each(self):
        self.columns = list(range(2 if self.input == "a" else 0))
        self.next(self.cell, foreach="columns")

    @step
    def cell(self):
        self.mark = f"{current.task_id} {self.input} {self.word}"
        self.next(self.row)

    @step
    def row(self, inputs):
        self.marks = [i.mark for i in inputs]
        self.next(self.turn)

    @step
    def turn(self):
        self.turns = getattr(self, "turns", 0) + 1
        self.verdict = "again" if self.turns < 3 else "enough"
        self.next({"again": self.turn, "enough": self.rows_end}, condition="verdict")

    @step
    def rows_end(self):
        self.next(self.all)

    @step
    def all(self, inputs):
        self.marks = [(i.marks, i.turns, i.input) for i in inputs]
        self.next(self.left, self.right)

    @catch(var="oops")
    @step
    def left(self):
        raise ValueError(str(self.rate))
        self.next(self.both)

    @step
    def right(self):
        self.next(self.both)

    @step
    def both(self, inputs):
        self.merge_artifacts(inputs, include=["marks"])
        self.next(self.end)

    @step
    def end(self):
        self.done = [self.rate, current.origin_run_id]

if __name__ == "__main__":
    Mill()
"""


@pytest.fixture(scope="module")
def milled(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which the flow has run once, well; tests that change something copy it."""
    project = Project(tmp_path_factory.mktemp("mill"))
    project.write("mill.py", FLOW)
    (project.folder / ".flowinfra").mkdir()
    project.flowinfra("run", "mill.py", "-q", "--rate", "5")
    return project


def spun(project: Project, *arguments: str, check: bool = True) -> dict[str, Any]:
    """What `spin` says with --json."""
    done = project.flowinfra("spin", "mill.py", *arguments, "--json", check=check)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


PLACES = [
    ("start", "0"),
    ("each", "0.1"),
    ("cell", "0.0.1"),
    ("row", "0.0"),
    ("row", "0.1"),
    ("turn", "0.0-0"),
    ("turn", "0.1-2"),
    ("rows_end", "0.1"),
    ("all", "0"),
    ("left", "0"),
    ("both", "0"),
    ("end", "0"),
]


def test_every_place_of_a_flow_can_be_spun(milled: Project) -> None:
    """In nested foreachs, loops, joins and behind a caught failure the task leaves the same, from the same parents."""
    program = f"""
import json, sys
from pathlib import Path
from flowinfra import Flow, Task
from flowinfra.authoring.loader import load_flow
from flowinfra.control.direct import RunOptions
from flowinfra.control.spinning import prepare_spin
from flowinfra.runtime.workers import prepare_workers

flow = load_flow(Path("mill.py"))
origin = Flow("Mill").latest_run
for step, task in {PLACES!r}:
    direct = prepare_spin(flow, step, RunOptions(), origin=origin.id, task=task)
    with prepare_workers("spawn") as workers:
        ended = direct.carry_out(workers, lambda event: None)
    assert ended.state == "succeeded", (step, task, ended)
    one, other = Task(f"Mill/{{direct.run}}/{{step}}/{{task}}"), origin[step][task]
    changed = {{"oops", "done"}}  # they say when, and in which run
    assert {{a.id: a.data for a in one if a.id not in changed}} == {{a.id: a.data for a in other if a.id not in changed}}
    assert ["/".join(p.pathspec.split("/")[2:]) for p in one.parent_tasks] == [
        "/".join(p.pathspec.split("/")[2:]) for p in other.parent_tasks
    ]
    assert one.successful == other.successful
assert one.data.done == [5, origin.id]
print(len(list(Flow("Mill"))))
"""
    assert milled.python("-c", program).stdout == "1\n"


def test_the_command_runs_the_code_as_it_is_now(milled: Project) -> None:
    """What is changed in the file is what runs; the recorded run stays as it is, and no list shows the new one."""
    text = (milled.folder / "mill.py").read_text()
    try:
        milled.edit("mill.py", '{self.word}"', '{self.word} ground"')
        ended = spun(milled, "cell", "--task", "0.0.1")
        assert ended["task"] == f"{ended['pathspec']}/cell/0.0.1"
        assert ended["origin"] == milled.newest("Mill")
        assert json.loads(milled.flowinfra("dump", ended["task"], "--json").stdout)
        assert "0.0.1 1 grain ground" in milled.flowinfra("show", f"{ended['task']}/mark").stdout
        assert "ground" not in milled.flowinfra("show", f"{ended['origin']}/cell/0.0.1/mark").stdout
        assert len(milled.document("runs")) == 1
    finally:
        (milled.folder / "mill.py").write_text(text)


def test_a_parameter_that_is_new_has_its_default(milled: Project) -> None:
    """Also behind tasks that did not have it."""
    text = (milled.folder / "mill.py").read_text()
    try:
        milled.edit("mill.py", "    rate = ", "    unit = Parameter(default='kg')\n    rate = ")
        milled.edit("mill.py", '{self.word}"', '{self.word} {self.unit}"')
        assert "grain kg" in milled.flowinfra("show", f"{spun(milled, 'cell')['task']}/mark").stdout
    finally:
        (milled.folder / "mill.py").write_text(text)


def test_without_a_task_the_first_one_is_meant(milled: Project) -> None:
    """Both command lines; the run may be named by its id, and the task by its pathspec."""
    origin = milled.newest("Mill")
    assert spun(milled, "cell")["task"].endswith("/cell/0.0.0")
    assert spun(milled, "cell", "--run", f"{origin}/cell/0.0.1")["task"].endswith("/cell/0.0.1")
    done = milled.python("mill.py", "spin", "end", "--run", origin.partition("/")[2])
    assert "Mill succeeded" in done.stderr
    assert "/end/0\n" in done.stderr


def test_the_task_that_failed_is_meant_first(tmp_path: Path) -> None:
    """It is what one wants to try again; a spun task that fails says so by its exit code."""
    project = Project(tmp_path)
    project.write("mill.py", FLOW.replace("self.columns =", "assert self.input != 'b', 'no b'; self.columns ="))
    project.flowinfra("run", "mill.py", "-q", "--max-workers", "1", check=False)
    done = project.flowinfra("spin", "mill.py", "each", check=False)
    assert done.returncode == 1
    assert "[each 0.1]" in done.stderr
    assert "resume" not in done.stderr
    (found,) = project.findings("spin", "mill.py", "both")
    assert (found["code"], "start" in found["detail"]) == ("FI813", True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["cel"], "FI868", "'cell'"),
        (["cell", "--task", "0.0"], "FI871", "0.0"),
        (["cell", "--task", "zero"], "FI871", "zero"),
        (["cell", "--task", "0.0.7"], "FI872", "0.0.7"),
        (["cell", "--task", "0.1.0"], "FI872", "0.1.0"),
        (["cell", "--task", "0.9.0"], "FI872", "0.9.0"),
        (["turn", "--task", "0.0-9"], "FI872", "0.0-9"),
        (["cell", "--run", "nothing"], "FI811", "nothing"),
        (["cell", "--run", "../x"], "FI816", "../x"),
        (["cell", "--run", "Other/nothing"], "FI865", "Other"),
    ],
)
def test_what_is_not_there_is_named(milled: Project, arguments: list[str], code: str, words: str) -> None:
    """Steps, tasks and runs that do not exist, items that the foreach did not have, turns that the loop did not take."""
    (found,) = milled.findings("spin", "mill.py", *arguments)
    assert (found["code"], words in found["summary"]) == (code, True), found


@pytest.mark.parametrize("content", [None, "{", '{"artifacts": 3}'])
def test_damaged_inputs_are_named(tmp_path: Path, content: str | None) -> None:
    """A commit of a parent that is gone or cannot be read is found before anything runs."""
    project = Project(tmp_path)
    project.write("mill.py", FLOW)
    project.flowinfra("run", "mill.py", "-q")
    run = tmp_path / ".flowinfra" / "store" / "runs" / project.newest("Mill")
    file = run / "steps" / "cell" / "0.0.1" / "artifacts.json"
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    (found,) = project.findings("spin", "mill.py", "row")
    assert (found["code"], "row/0.0" in found["summary"]) == ("FI872", True)
    assert json.loads(project.flowinfra("spin", "mill.py", "all", "--json").stdout)["state"] == "succeeded"
