"""What goes wrong while a flow is built or runs is told with its place in the flow file."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.example import Example

HEAD = "import threading\nfrom flowinfra import FlowSpec, IncludeFile, step\n\n\nclass Flow(FlowSpec):\n"
FOREACH = """    @step
    def start(self):
        self.xs = {value}
        self.next(self.work, foreach="xs")

    @step
    def work(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass
"""
SWITCH = """    @step
    def start(self):
        self.answer = "maybe"
        self.next({"yes": self.end, "no": self.other}, condition="answer")

    @step
    def other(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""
SILENT = """    @step
    def start(self):
        if self.__class__ is None:
            self.next(self.end)

    @step
    def end(self):
        pass
"""


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        (FOREACH.format(value="7"), "FI703", 9),
        (FOREACH.format(value="[threading.Lock()]"), "FI705", 9),
        (SWITCH, "FI704", 9),
        (SILENT, "FI701", 6),
    ],
)
def test_a_finding_of_a_run_has_its_line(tmp_path: Path, body: str, code: str, line: int) -> None:
    """A foreach over no list, what cannot be kept, a case that there is none for, a step that leads nowhere."""
    (tmp_path / "flow.py").write_text(HEAD + body)
    done = Example(tmp_path).flowinfra("run", "flow.py", check=False)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert f"flow.py:{line}: error {code}" in said, said
    assert "RunError" not in said


def test_a_default_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """An IncludeFile whose default is no file is named with its line, before anything runs."""
    body = '    note = IncludeFile(default="note.txt")\n\n' + FOREACH.format(value="[1]")
    (tmp_path / "flow.py").write_text(HEAD + body)
    project = Example(tmp_path)
    done = project.flowinfra("run", "flow.py", check=False)
    assert "FI124" in done.stderr
    assert "flow.py:6" in done.stderr
    (tmp_path / "note.txt").write_text("remember")
    assert project.flowinfra("run", "flow.py").returncode == 0
