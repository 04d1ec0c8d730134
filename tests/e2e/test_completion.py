"""What a shell offers while one types a command of flowinfra; in the shells themselves."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from flowinfra.cli.choices import outlined_flows
from flowinfra.cli.main import COMMANDS
from flowinfra.control.stacks import own_stack
from support.project import Project

ALL = "\x1b*"  # bash's insert-completions: each candidate becomes a word of the line


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with two stacks and two flow files, and `flowinfra` on the path as a script of its own."""
    project = Project(tmp_path / "project")
    project.folder.mkdir()
    project.write("Pulumi.yaml", "name: shop\nruntime: python\n")
    for name in ("Pulumi.dev.yaml", "Pulumi.prod.yaml", "helper.py"):
        project.write(name, "")
    project.add("params.py", "several.py")
    (project.folder / "flows here").mkdir()
    shutil.copy(project.folder / "params.py", project.folder / "flows here" / "params.py")
    program = tmp_path / "bin" / "flowinfra"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m flowinfra.cli.main "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return Project(project.folder, {"PATH": f"{program.parent}:{os.environ['PATH']}", "TERM": "dumb"})


BASH = (
    ("bash", "--norc", "--noprofile", "-i"),
    (
        "bind 'set enable-bracketed-paste off'",
        "bind 'set bell-style none'",
        'eval "$(flowinfra completion bash)"',
    ),
)
ZSH = (
    ("zsh", "-f", "-i"),
    (
        "bindkey -e; unset zle_bracketed_paste; PS1=; setopt no_beep no_prompt_sp",
        "autoload -Uz compinit && compinit -u -D",
        'eval "$(flowinfra completion zsh)"',
    ),
)
Shell = tuple[tuple[str, ...], tuple[str, ...]]


def typed(project: Project, *lines: str, shell: Shell = BASH) -> list[list[str]]:
    """What lines become that are typed into an interactive shell, each as the words that it then has.

    Behind each the cursor goes to the front, a command that prints its arguments is put there, and enter is pressed.
    """
    command, setup = shell
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    if command[0] == "bash" and int(subprocess.check_output(["bash", "-c", "echo $BASH_VERSINFO"])) < 4:
        pytest.skip("this bash cannot complete without adding a space, as of 4.0 it can")
    keys = "".join(f"{line}\x01printf '<%s>\\n' x \n" for line in lines)
    screen, end = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=project.folder,
        env={**project.environment(), "HOME": str(project.folder), "HISTFILE": ""},
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
    )
    os.close(end)
    os.write(screen, ("\n".join(setup) + "\n" + keys + "exit\n").encode())
    written = bytearray()
    while True:
        try:
            data = os.read(screen, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not data:
            break
        written += data
    os.close(screen)
    process.wait()
    printed = re.findall(r"^<(.*)>\r?$", written.decode(), re.MULTILINE)
    found: list[list[str]] = []
    for word in printed:
        if word == "x":
            found.append([])
        else:
            found[-1].append(word)
    assert len(found) == len(lines), written.decode()
    return found


def offered(project: Project, shell: str, *words: str) -> list[str]:
    """What the program answers the script of a shell, without its first line."""
    done = subprocess.run(
        ["flowinfra", *words],
        cwd=project.folder,
        env={**project.environment(), "_FLOWINFRA_COMPLETE": shell},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[1:]


def values(lines: Sequence[str]) -> list[str]:
    """The candidates without what is said of them."""
    return [line.partition("\t")[0] for line in lines]


def test_bash_completes_commands_files_and_parameters(project: Project) -> None:
    """One tab completes a command, a flow file, the flow in it, and a parameter of that flow with its space."""
    lines = typed(
        project,
        "flowinfra prev\t",
        "flowinfra run par\t--al\t0.5",
        "flowinfra run several.py:F\t",
        "flowinfra run flows\t\t--al\t",
        "flowinfra run params.py --no-f\t",
    )
    assert lines == [
        ["flowinfra", "preview"],
        ["flowinfra", "run", "params.py", "--alpha", "0.5"],
        ["flowinfra", "run", "several.py:First"],
        ["flowinfra", "run", "flows here/params.py", "--alpha"],
        ["flowinfra", "run", "params.py", "--no-flag"],
    ]


def test_bash_completes_values(project: Project) -> None:
    """Stacks, choices behind an equals sign, decorators, and the commands of a group are offered, all of them."""
    lines = typed(
        project,
        f"flowinfra up --stack {ALL}",
        f"flowinfra stack rm {ALL}",
        f"flowinfra run params.py --color={ALL}",
        f"flowinfra run --with re{ALL}",
        f"flowinfra config {ALL}",
        "flowinfra init --cwd flo\t",
    )
    assert lines == [
        ["flowinfra", "up", "--stack", "dev", "prod"],
        ["flowinfra", "stack", "rm", "dev", "prod"],
        ["flowinfra", "run", "params.py", "--color=auto", "always", "never"],
        ["flowinfra", "run", "--with", "retry", "resources"],
        ["flowinfra", "config", "ls", "get", "set", "rm"],
        ["flowinfra", "init", "--cwd", "flows here/"],
    ]


def test_runs_are_offered_newest_first(project: Project) -> None:
    """Of a flow that has run its runs are offered, each with its time; first the flow's own name."""
    for _ in range(2):
        project.flowinfra("run", "several.py:First", "--quiet")
    ids = [found["pathspec"] for found in project.document("runs", "First")]
    assert offered(project, "fish", "logs", "") == ["First/"]
    assert values(offered(project, "fish", "show", "First/")) == ids
    assert typed(project, f"flowinfra logs Fi\t{ALL}") == [["flowinfra", "logs", *ids]]


def test_steps_runs_and_configs_of_the_flow_are_offered(project: Project) -> None:
    """Behind a flow file its steps, the runs that may be resumed, and the names of its configs are offered."""
    project.write("sized.py", "class Sized(FlowSpec):\n    sizes = Config('sizes')\n")
    project.flowinfra("run", "several.py:First", "--quiet")
    newest = project.newest("First")
    assert values(offered(project, "fish", "resume", "several.py:First", "--origin-run-id", "First/")) == [newest]
    assert offered(project, "fish", "spin", "several.py:First", "") == ["start", "end"]
    assert offered(project, "fish", "resume", "several.py:First", "e") == ["end"]
    assert offered(project, "fish", "run", "sized.py", "--config", "") == ["sizes"]
    assert "--rerun-changed" in values(offered(project, "fish", "resume", "several.py", "--re"))
    assert offered(project, "fish", "tag", "add", "F") == ["First/"]


def test_a_stack_that_a_deployer_made_is_not_offered(project: Project) -> None:
    """It is that Deployer's alone, as `flowinfra stack ls` has it."""
    project.write(f"Pulumi.{own_stack('dev', 'ada', 'local', 'Hello/default')}.yaml", "")
    assert offered(project, "fish", "up", "--stack", "") == ["dev", "prod"]


def test_every_command_is_offered_with_its_help(project: Project) -> None:
    """Without a word all commands are offered, with the line that the help has for each."""
    assert offered(project, "fish", "") == [f"{name}\t{line}" for name, (_, line) in COMMANDS.items()]


def test_what_was_given_is_not_offered_again(project: Project) -> None:
    """Options that may be given once are offered once; a parameter called like an option is given by --param."""
    left = values(offered(project, "fish", "run", "params.py", "--quiet", "--alpha", "1", "--tag", "x", "--"))
    assert {"--quiet", "--alpha"}.isdisjoint(left)
    assert left.count("--tag") == 1
    assert "tag=" in values(offered(project, "fish", "run", "params.py", "--param", ""))


def test_the_help_says_how_it_is_installed(project: Project) -> None:
    """One line for each shell, as it can be copied."""
    said = project.flowinfra("completion", "--help").stdout
    assert '\n  bash  eval "$(flowinfra completion bash)"' in said
    assert "\n  fish  flowinfra completion fish > ~/.config" in said


def test_a_broken_line_gets_no_answer_and_no_trace(project: Project) -> None:
    """Unknown commands, files that are no Python and folders that are not there only mean that nothing is offered."""
    project.write("torn.py", "class Torn(FlowSpec:\n")
    for words in (["nonsense", ""], ["run", "torn.py", "--al"], ["run", "no/such/fo"], ["trigger", "No/such", "--al"]):
        assert offered(project, "fish", *words) == []


def test_flow_files_are_read_and_not_run() -> None:
    """Parameters are found by their names, also inherited ones, in a source that would end whoever ran it."""
    source = """
raise SystemExit("this must not run")

class Base(flowinfra.FlowSpec):
    seed = Parameter(default=1, help="of the generator")

class Real(Base):
    often: int = Parameter("how-often", type=int)
    dry = flowinfra.Parameter(type=bool, default=False)
    notes = IncludeFile("notes")
    other = something("name")
    size = Config("sizes")

    @env.step(retry=2)
    def start(self):
        pass
"""
    found = outlined_flows(source)
    assert list(found) == ["Real"]
    assert (found["Real"].steps, found["Real"].configs) == (("start",), ("sizes",))
    assert [(p.name, p.kind) for p in found["Real"].parameters] == [
        ("seed", ""),
        ("how-often", ""),
        ("dry", "bool"),
        ("notes", "file"),
    ]


def test_fish_completes(project: Project) -> None:
    """Fish offers what its script gets, with the descriptions."""
    if (fish := shutil.which("fish")) is None:
        pytest.skip("fish is not installed")
    script = "flowinfra completion fish | source; complete -C 'flowinfra run params.py --al'; complete -C 'flowinfra up --stack '"
    done = subprocess.run(
        [fish, "--no-config", "-c", script],
        cwd=project.folder,
        env={**project.environment(), "HOME": str(project.folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["--alpha\thow much", "dev", "prod"]


def test_zsh_completes(project: Project) -> None:
    """In zsh, too, one tab completes commands, files, flows behind a colon, parameters and values."""
    lines = typed(
        project,
        "flowinfra prev\t",
        "flowinfra run par\t --al\t0.5",
        "flowinfra run several.py:F\t",
        "flowinfra up --stack=d\t",
        "flowinfra stack rm pr\t",
        shell=ZSH,
    )
    assert lines == [
        ["flowinfra", "preview"],
        ["flowinfra", "run", "params.py", "--alpha", "0.5"],
        ["flowinfra", "run", "several.py:First"],
        ["flowinfra", "up", "--stack=dev"],
        ["flowinfra", "stack", "rm", "prod"],
    ]
