"""`MyFlow()` at the end of a flow file, in the ways in which people write and start it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.project import Project

BODY = """
class Small(FlowSpec):
    @step
    def start(self):
        self.box = Box()
        self.next(self.end)

    @step
    def end(self):
        print(type(self.box).__module__)
"""
HEAD = "from flowinfra import FlowSpec, step\n\nclass Box:\n    pass\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty folder."""
    return Project(tmp_path)


def test_without_the_guard_nothing_runs_twice(project: Project) -> None:
    """A file that calls its flow without `if __name__` works, although it is imported once more by its name."""
    project.write("small.py", HEAD + BODY + "\nSmall()\n")
    assert project.python("small.py", "run").stdout == "[end 0] small\n"
    assert project.flowinfra("run", "small.py").stdout == "[end 0] small\n"


def test_in_a_package_and_as_a_module(project: Project) -> None:
    """A flow in a package is run by its file and by `python -m`; its tasks know it by its full name."""
    project.write("jobs/__init__.py", "")
    project.write("jobs/tools.py", "class Box:\n    pass\n")
    project.write(
        "jobs/small.py",
        "from flowinfra import FlowSpec, step\nfrom jobs.tools import Box\n"
        + BODY
        + '\nif __name__ == "__main__":\n    Small()\n',
    )
    assert project.python("-m", "jobs.small", "run").stdout == "[end 0] jobs.tools\n"
    assert project.flowinfra("run", "jobs/small.py").stdout == "[end 0] jobs.tools\n"
    assert len({r["run"].split("-")[0] for r in project.document("runs")}) == 1


def test_a_script_that_calls_an_imported_flow(project: Project) -> None:
    """The script is only the way in: the flow belongs to the file in which it is written."""
    project.write("small.py", HEAD + BODY)
    project.write("go.py", "from small import Small\n\nSmall()\n")
    assert project.python("go.py", "run").stdout == "[end 0] small\n"


def test_a_flow_that_is_in_no_file(project: Project) -> None:
    """A flow that was typed into the interpreter has no source to read; that is said."""
    done = project.python("-c", HEAD + BODY + "\nimport sys; sys.argv = ['x', 'run']\nSmall()\n", check=False)
    assert done.returncode == 1
    assert "FI106" in done.stderr


def test_the_flow_is_run_from_another_folder(project: Project) -> None:
    """The flow's modules are found beside it, and the run belongs to the folder in which one stands."""
    project.write("here/small.py", HEAD + BODY + '\nif __name__ == "__main__":\n    Small()\n')
    there = Project(project.folder / "there")
    there.folder.mkdir()
    done = there.python("../here/small.py", "run")
    assert done.stdout == "[end 0] small\n"
    assert [r["flow"] for r in there.document("runs")] == ["Small"]
    assert sorted(p.name for p in (project.folder / "here").iterdir()) == ["small.py"]


def test_the_environment_names_another_home(project: Project) -> None:
    """FLOWINFRA_HOME is where everything goes."""
    project.write("small.py", HEAD + BODY)
    other = Project(project.folder, {"FLOWINFRA_HOME": str(project.folder / "elsewhere")})
    other.flowinfra("run", "small.py", "-q")
    assert (project.folder / "elsewhere" / "store").is_dir()
    assert not (project.folder / ".flowinfra").exists()
    assert [r["flow"] for r in other.document("runs")] == ["Small"]
