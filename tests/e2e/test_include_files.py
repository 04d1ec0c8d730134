"""IncludeFile from the command line and from Python: given by path, stored by content, read where it is asked for."""

from __future__ import annotations

from pathlib import Path

from support.project import Project

FLOW = """
from flowinfra import FlowSpec, IncludeFile, step


class Reads(FlowSpec):
    table = IncludeFile("table", default="table.csv")
    raw = IncludeFile("raw", is_text=False)

    @step
    def start(self):
        self.lines = len(self.table.splitlines())
        self.next(self.end)

    @step
    def end(self):
        self.head = None if self.raw is None else self.raw[:2]


if __name__ == "__main__":
    Reads()
"""

READ = """
from flowinfra import Flow
run = Flow("Reads").latest_run
print(run.data.lines, run.data.head, run.data.table[:4], len(run.data.raw or b""))
"""


def test_files_travel_by_content(tmp_path: Path) -> None:
    """A small default and a large file; a resumed run has what its origin had, whatever became of the files."""
    project = Project(tmp_path)
    project.write("Pulumi.yaml", "name: demo\nruntime: python\n")
    project.write("reads.py", FLOW)
    (tmp_path / "table.csv").write_text("a;b\n" * 20_000)
    (tmp_path / "raw.bin").write_bytes(b"\x00\xff" * 50_000)
    project.python("reads.py", "run", "--raw", "raw.bin")
    assert project.python("-c", READ).stdout == "20000 b'\\x00\\xff' a;b\n 100000\n"
    (tmp_path / "table.csv").write_text("changed\n")
    (tmp_path / "raw.bin").unlink()
    project.python("reads.py", "resume", "start")
    assert project.python("-c", READ).stdout == "20000 b'\\x00\\xff' a;b\n 100000\n"
    assert "<raw.bin: 100,000 bytes>" in project.flowinfra("show", project.newest("Reads")).stdout


def test_a_file_that_cannot_be_given_is_told_before_anything_starts(tmp_path: Path) -> None:
    """One that is not there, and one that is no text, at once."""
    project = Project(tmp_path)
    project.write("Pulumi.yaml", "name: demo\nruntime: python\n")
    project.write("reads.py", FLOW)
    (tmp_path / "table.csv").write_text("a")
    (tmp_path / "latin").write_bytes(b"\xfc")
    found = project.findings("run", "reads.py", "--raw", "none.bin", "--table", "latin")
    assert sorted(d["summary"].split(";")[1] for d in found if d["code"] == "FI713") == [
        " 'latin' cannot be read as one",
        " 'none.bin' cannot be read as one",
    ]
    assert project.document("runs") == []
