"""Help, check, graph and show of a flow file, and the parameters that it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.project import Project

HELP = """\
Usage: python params.py [OPTIONS] COMMAND [ARGS]...

  Takes one parameter of each type.

Options:
  -h, --help  Show this message and exit.

Commands:
  run     Run the flow on this machine.
  resume  Go on with a run that has failed.
  spin    Run one task again, with the inputs of a run.
  check   Check the flow without running it.
  graph   Draw the flow's graph.
  show    Show the flow, or one of its runs.
  runs    List the flow's runs, newest first.
  logs    Show what the tasks of a run printed.
  dump    Show the artifacts of a run, step or task as text or JSON.
  tag     Show and change the tags of a run.

Parameters of a run:
  --alpha FLOAT       how much  [default: 0.5]
  --n INT             how many  [required]
  --words JSON        [default: ["a"]]
  --day DATE          [default: 2030-01-01]
  --flag / --no-flag  [default: false]
  --extra JSON        [default: {"a": 1}]
  --tag TEXT          called like an option  [default: plain]
  --text PATH         any text file  [default: note.txt]
  --made INT          [default: computed]
"""

FLOW = """\
Params  params.py:11
  Takes one parameter of each type.

Parameters
  alpha  float = 0.5          how much
  day    date = "2030-01-01"
  extra  json = {"a": 1}
  flag   bool = false
  made   int = <computed>
  n      int required         how many
  tag    str = "plain"        called like an option
  text   file = "note.txt"    any text file
  words  list = ["a"]

Steps
  start  → end           Print them all.
  end    end of the run

Environments
  default  as it is where it runs
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A folder with the flow files params.py and fan.py."""
    project = Project(tmp_path)
    project.add("params.py", "note.txt", "fan.py")
    return project


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_without_a_command_the_flow_introduces_itself(project: Project, arguments: list[str]) -> None:
    """`python flow.py` prints what the flow is for, its commands and its parameters, and exits with 0."""
    done = project.python("params.py", *arguments)
    assert done.stdout == HELP
    assert done.stderr == ""


def test_help_of_run_lists_the_parameters(project: Project) -> None:
    """The help of both command lines names each parameter; one that is called like an option is given by --param."""
    for done in (project.python("params.py", "run", "--help"), project.flowinfra("run", "params.py", "--help")):
        assert "--n INT             how many  [required]" in done.stdout
        assert "--param tag=TEXT" in done.stdout
        assert "--max-workers" in done.stdout
    assert "Parameters of" not in project.flowinfra("run", "--help").stdout


def test_show_of_a_file_is_the_flow(project: Project) -> None:
    """`show FILE` and `python FILE show` print parameters with types and defaults, steps with their docs."""
    assert project.flowinfra("show", "params.py").stdout == FLOW
    assert project.python("params.py", "show").stdout == FLOW
    assert project.document("show", "params.py")["name"] == "Params"


def test_check_says_in_one_line_that_all_is_fine(project: Project) -> None:
    """What was looked at is counted; as JSON there is the release, and no finding."""
    done = project.flowinfra("check", "fan.py")
    line = "Fan is fine: 4 steps, 1 foreach, 3 parameters, 1 file "
    assert done.stdout.startswith(line)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
    document = project.document("check", "fan.py")
    assert (document["steps"], document["diagnostics"]) == (4, [])
    assert document["release"].startswith(done.stdout.split()[-1])
    assert not (project.folder / ".flowinfra").exists()


def test_check_says_what_the_target_does_not_use(project: Project) -> None:
    """What Local does not use is a warning, and no reason to fail."""
    text = (project.folder / "fan.py").read_text()
    project.write(
        "big.py",
        text.replace("import FlowSpec,", "import FlowSpec, resources,").replace("@retry(times=1)", "@resources(cpu=2)"),
    )
    done = project.flowinfra("check", "big.py")
    assert "warning FI302" in done.stderr
    assert "is fine" in done.stdout


@pytest.mark.parametrize(
    ("form", "first"),
    [("text", "start\n└─ for each of numbers: each"), ("mermaid", "flowchart TD\n"), ("dot", 'digraph "Fan"')],
)
def test_graph_in_each_form(project: Project, form: str, first: str) -> None:
    """The picture is on stdout alone, and the same on both command lines."""
    done = project.flowinfra("graph", "fan.py", "--format", form)
    assert done.stdout.startswith(first)
    assert done.stderr == ""
    assert project.python("fan.py", "graph", "--format", form).stdout == done.stdout


def test_graph_as_json_is_the_graph_value(project: Project) -> None:
    """The JSON of a graph reads back as a FlowGraph."""
    from flowinfra.model.graph import FlowGraph

    document = project.document("graph", "fan.py")
    assert document.pop("diagnostics") == []
    assert [s.name for s in FlowGraph.from_json(document).steps] == ["each", "end", "join", "start"]


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["--n", "1"], "0.5 1 ['a'] 2030-01-01 False {'a': 1} plain hé 42"),
        (["--n=-1", "--alpha", "-2.5e3"], "-2500.0 -1 ['a'] 2030-01-01 False {'a': 1} plain hé 42"),
        (["--n", "1", "--flag", "--words", '["x", "y z"]'], "0.5 1 ['x', 'y z'] 2030-01-01 True {'a': 1} plain hé 42"),
        (["--n", "1", "--flag", "true", "--no-flag"], "0.5 1 ['a'] 2030-01-01 False {'a': 1} plain hé 42"),
        (["--n", "1", "--day", "2031-02-03", "--extra", "null"], "0.5 1 ['a'] 2031-02-03 False None plain hé 42"),
        (["--n", "1", "-p", "tag=a=b c", "--made", "7"], "0.5 1 ['a'] 2030-01-01 False {'a': 1} a=b c hé 7"),
        (["--n", "1", "--text", "other.txt"], "0.5 1 ['a'] 2030-01-01 False {'a': 1} plain else 42"),
        (["--n", "1", "--param", "tag=--n"], "0.5 1 ['a'] 2030-01-01 False {'a': 1} --n hé 42"),
    ],
)
def test_parameters_of_each_type(project: Project, arguments: list[str], printed: str) -> None:
    """What is written on the command line arrives in the steps with its declared type."""
    project.write("other.txt", "else")
    done = project.python("params.py", "run", *arguments)
    assert done.stdout == f"[start 0] {printed}\n"


def test_an_option_that_a_parameter_is_called_like(project: Project) -> None:
    """The option wins and says so; nobody loses a parameter silently."""
    done = project.flowinfra("run", "params.py", "--n", "1", "--tag", "mine")
    assert "warning FI946: --tag is an option" in done.stderr
    assert " plain " in done.stdout
    assert project.document("runs")[0]["tags"] == ["mine"]


def test_the_file_may_stand_behind_the_options(project: Project) -> None:
    """Options of ours, parameters and the file may come in any order."""
    done = project.flowinfra("run", "--max-workers", "1", "--n", "3", "params.py", "-q")
    assert done.returncode == 0
    assert project.document("show", "Params")["parameters"]["n"] == 3


def test_options_stand_before_the_command_as_the_field_writes_them(project: Project) -> None:
    """`--no-pylint --with ... run` is understood; what is asked for and not there is told, all of it at once."""
    store = project.folder / "elsewhere"
    told = ["--no-pylint", "--with", "retry", "--metadata", "local", "--environment", "local"]
    done = project.python("fan.py", *told, "--datastore-root", str(store), "run")
    assert "succeeded" in done.stderr
    assert (store / "runs").is_dir()
    refused = project.python("fan.py", "--environment", "conda", "--datastore", "s3", "run", check=False)
    assert (refused.returncode, refused.stderr.count("FI858")) == (2, 2)
