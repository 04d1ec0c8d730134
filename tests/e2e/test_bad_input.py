"""What is wrong with a flow file or a command line is said with its place and the remedy, and nothing is started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.project import Project

SIGNATURE = (
    'Params(alpha: float = 0.5, day: date = "2030-01-01", extra: json = {"a": 1}, flag: bool = false, '
    'made: int = <computed>, n: int, tag: str = "plain", text: file = "note.txt", words: list = ["a"])'
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A folder with the flow files of the tests."""
    project = Project(tmp_path)
    project.add("params.py", "note.txt", "broken.py", "several.py", "raises.py", "helper.py", "fan.py")
    return project


def said(project: Project, *arguments: str, code: int) -> str:
    """What a command says that ends with *code* before it has stored or started anything."""
    done = project.flowinfra(*arguments, check=False)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    assert done.stdout == ""
    assert "/flowinfra/" not in done.stderr.replace(str(project.folder), "")
    assert not (project.folder / ".flowinfra/store").exists()
    return project.steady(done.stderr)


def test_a_flow_file_that_raises_shows_its_own_trace(project: Project) -> None:
    """The trace leads through the author's files only, and the finding points to the line that raises."""
    text = said(project, "run", "raises.py", code=1)
    assert text.startswith("│ error FI102: the flow file raises while it is imported: KeyError: 'prices'\n")
    assert "│   at helper.py:6\n" in text
    frames = [line.strip("│ ") for line in text.splitlines() if 'File "' in line]
    assert frames == [
        'File "FOLDER/raises.py", line 3, in <module>',
        'File "FOLDER/helper.py", line 9, in <module>',
        'File "FOLDER/helper.py", line 6, in load',
    ]


def test_a_flow_file_that_raises_under_python_shows_what_python_shows(project: Project) -> None:
    """`python raises.py run` never reaches us: the trace is Python's own."""
    done = project.python("raises.py", "run", check=False)
    assert done.returncode == 1
    assert "flowinfra" not in done.stderr
    assert done.stderr.splitlines()[-1] == "KeyError: 'prices'"


@pytest.mark.parametrize(
    ("file", "code", "words"),
    [
        ("nothere.py", "FI101", ["nothere.py"]),
        ("helper.txt", "FI101", ["helper.txt"]),
        ("several.py", "FI104", ["First, Second", "several.py:First"]),
        ("several.py:Frist", "FI105", ["did you mean 'First'", "Base, First, Second"]),
        ("empty.py", "FI103", ["class MyFlow(FlowSpec)"]),
        ("syntax.py", "FI102", ["syntax.py:2", "cannot be read as Python"]),
        ("json.py", "FI108", ["json.py", "rename"]),
    ],
)
def test_a_file_without_the_flow(project: Project, file: str, code: str, words: list[str]) -> None:
    """No file, no flow, several flows, an unknown flow, no Python: each says what there is and what to do."""
    project.write("empty.py", "x = 1\n")
    project.write("syntax.py", "x = 1\nclass (\n")
    project.write("json.py", (project.folder / "fan.py").read_text())
    text = said(project, "check", file, code=1)
    assert text.startswith(f"│ error {code}: ")
    assert all(word in text for word in words), text


def test_each_command_says_it_in_the_same_words(project: Project) -> None:
    """run, graph and show refuse a file as check does."""
    assert len({said(project, command, "several.py", code=1) for command in ("check", "run", "graph", "show")}) == 1


def test_one_of_several_flows_can_be_named(project: Project) -> None:
    """`FILE:NAME` chooses."""
    assert project.flowinfra("run", "several.py:Second").stdout == "[end 0] Second\n"


def test_all_findings_of_a_flow_come_at_once(project: Project) -> None:
    """Everything that is wrong with the graph is said in one go, each with file and line, as text and as JSON."""
    text = said(project, "run", "broken.py", code=1)
    found = project.findings("check", "broken.py")
    assert [(d["code"], d["file"], d["line"]) for d in found] == [
        ("FI203", "broken.py", 22),
        ("FI207", "broken.py", 22),
        ("FI204", "broken.py", 26),
    ]
    assert all(d["hint"] and d["summary"] in text for d in found)


def test_a_broken_graph_is_drawn_all_the_same(project: Project) -> None:
    """`graph` draws what there is, so that its author can look at it, says what is wrong, and exits with 1."""
    done = project.flowinfra("graph", "broken.py", check=False)
    assert done.returncode == 1
    assert done.stdout == "start → left, right\nleft → join\nright → join\njoin → emd\nalone → end\nend\n"
    assert "FI203" in done.stderr


def test_all_that_is_wrong_with_parameters_comes_at_once(project: Project) -> None:
    """Missing, unknown and unreadable parameters and a misspelt option: all of them, with the signature."""
    command = ["run", "params.py", "--alhpa", "3", "--day", "tomorrow", "--words", "{}", "--max-worker", "2", "stray"]
    found = project.findings(*command)
    assert [(d["code"], d["severity"]) for d in found] == [
        ("FI710", "error"),
        ("FI711", "error"),
        ("FI713", "error"),
        ("FI713", "error"),
        ("FI943", "error"),
        ("FI947", "error"),
        ("FI716", "note"),
    ]
    text = said(project, *command, code=1)
    for words in (
        "the parameter n (int) must be given",
        "no parameter 'alhpa' (did you mean 'alpha'?)",
        "the parameter day is of the type date",
        "the parameter words is of the type list",
        "no option --max-worker (did you mean '--max-workers'?)",
        "'stray' belongs to no option",
        SIGNATURE,
    ):
        assert words in text, text


def test_a_parameter_without_its_value(project: Project) -> None:
    """An option at the end of the line that needs a value is not said to be missing, but to have none."""
    assert [d["code"] for d in project.findings("run", "params.py", "--n")] == ["FI945", "FI716"]


def test_a_file_parameter_that_is_not_there(project: Project) -> None:
    """A path that cannot be read is an error of that parameter."""
    found, _ = project.findings("run", "params.py", "--n", "1", "--text", "nothere.txt")
    assert found["code"] == "FI713"
    assert "nothere.txt" in found["summary"] + found["detail"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--with", "retri"], "did you mean 'retry'"),
        (["--with", "retry:tims=2"], "did you mean 'times'"),
        (["--with", "retry:2"], "no argument=value"),
        (["--with", "kubernetes"], "cannot run a step on Kubernetes"),
        (["--with", "sometimes"], "the decorators are"),
        (["--tag", ""], "tags"),
    ],
)
def test_options_that_cannot_be_used(project: Project, arguments: list[str], words: str) -> None:
    """A decorator, an argument of one, or a tag that cannot be: the nearest and what there is."""
    assert words in said(project, "run", "fan.py", *arguments, code=2)


def test_a_run_id_file_that_cannot_be_written_starts_nothing(project: Project) -> None:
    """A script that waits for the id is not left waiting for a run that it cannot know."""
    text = said(project, "run", "fan.py", "--run-id-file", "no/such/folder/id", code=2)
    assert "FI951" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], "there is no command 'rnu' (did you mean 'run'?)"),
        (["stack", "selct", "dev"], "there is no command 'selct' (did you mean 'select'?)"),
        (["run"], "Missing argument 'FILE[:NAME]'"),
        (["trigger"], "Missing argument 'DEPLOYMENT'"),
        (["graph", "fan.py", "--fromat", "dot"], "Did you mean '--format'?"),
        (["runs", "--limit", "none"], "'none' is not a valid integer"),
        (["graph", "fan.py", "--format", "svg"], "'text', 'mermaid', 'dot'"),
    ],
)
def test_a_command_line_that_is_none(project: Project, arguments: list[str], words: str) -> None:
    """An unknown command or option is answered with the nearest one; the exit code is 2."""
    assert words in said(project, *arguments, code=2)


def test_the_same_on_the_flows_own_command_line(project: Project) -> None:
    """`python flow.py` says it in the same way, under the name by which it was called."""
    done = project.python("params.py", "rnu", check=False)
    assert done.returncode == 2
    assert "Usage: python params.py" in done.stderr
    assert "did you mean 'run'" in done.stderr
    done = project.python("params.py", "run", "--alhpa", "1", check=False)
    assert done.returncode == 1
    assert "did you mean 'alpha'" in done.stderr


def test_a_folder_that_is_not_there(project: Project) -> None:
    """`--cwd` names a folder that does not exist."""
    assert "FI931" in said(project, "runs", "--cwd", "nowhere", code=2)


def test_output_that_cannot_be_written_is_told(project: Project) -> None:
    """A full disk behind stdout is no bug of ours: it is said on stderr, also where a document was asked for."""
    for arguments in (["check", "fan.py"], ["check", "fan.py", "--json"], ["runs", "--json"]):
        done = with_stdout(project, "/dev/full", *arguments)
        assert (done.returncode, "FI831" in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr


def test_a_run_goes_on_where_its_output_cannot_be_written(project: Project) -> None:
    """What tasks print is kept in the store anyway; that it is not shown is said once."""
    done = with_stdout(project, "/dev/full", "run", "fan.py")
    assert (done.returncode, done.stderr.count("the rest is not shown, the work goes on")) == (0, 1), done.stderr
    assert [run["state"] for run in project.document("runs")] == ["succeeded"]


def test_what_a_flow_file_prints_is_no_part_of_a_document(project: Project) -> None:
    """With --json stdout is one document, whatever runs while the flow is imported."""
    fan = (project.folder / "fan.py").read_text()
    project.write("chatty.py", fan + '\nprint("at import")\n')
    assert project.document("check", "chatty.py:Fan")["flow"] == "Fan"
    ended = project.flowinfra("run", "chatty.py:Fan", "--json")
    assert json.loads(ended.stdout)["state"] == "succeeded"
    assert "item 1" in project.flowinfra("logs", "--stream", "out").stdout


def with_stdout(project: Project, path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`flowinfra ARGUMENTS > PATH`."""
    if not Path(path).exists():
        pytest.skip(f"this system has no {path}")
    with open(path, "w") as out:
        return subprocess.run(
            [sys.executable, "-m", "flowinfra.cli.main", *arguments],
            cwd=project.folder,
            env=project.environment(),
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )


def test_a_full_or_forbidden_store(project: Project) -> None:
    """A store that cannot be written ends the run before it begins, with the path and the reason."""
    project.write("blocked", "a file where a folder should be")
    other = Project(project.folder, {"FLOWINFRA_STORE": str(project.folder / "blocked" / "store")})
    done = other.flowinfra("run", "fan.py", check=False)
    assert done.returncode == 1
    assert "FI403" in done.stderr
    assert "blocked" in done.stderr
