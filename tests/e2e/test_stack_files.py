"""stack and config, on Pulumi's own files, and init."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from support.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project without a stack."""
    project = Project(tmp_path / "demo")
    project.write("Pulumi.yaml", "name: demo\nruntime: python\nmain: stacks/\n")
    return project


def names(project: Project) -> dict[str, bool]:
    """The stacks, and whether each is selected."""
    return {s["name"]: s["current"] for s in project.document("stack", "ls")}


def test_stacks_are_made_selected_and_removed(project: Project) -> None:
    """Init makes configuration and state and selects; select chooses; rm removes all of it."""
    assert names(project) == {}
    project.flowinfra("stack", "init", "dev")
    project.flowinfra("stack", "init", "prod")
    assert names(project) == {"dev": False, "prod": True}
    state = json.loads((project.folder / ".flowinfra/state/.pulumi/stacks/demo/dev.json").read_text())
    assert state["version"] == 3
    assert yaml.safe_load((project.folder / "Pulumi.dev.yaml").read_text()) == {"config": {"flowinfra:target": "local"}}
    project.flowinfra("stack", "select", "dev")
    assert names(project) == {"dev": True, "prod": False}
    project.flowinfra("stack", "rm", "dev", "--yes")
    assert names(project) == {"prod": True}
    assert not (project.folder / "Pulumi.dev.yaml").exists()
    project.flowinfra("stack", "rm", "prod", "--yes", "--preserve-config")
    assert (project.folder / "Pulumi.prod.yaml").exists()


def test_the_list_of_stacks_as_text(project: Project) -> None:
    """The selected stack has a star; `stack` alone means `stack ls`."""
    project.flowinfra("stack", "init", "dev")
    assert project.flowinfra("stack").stdout == "NAME  RESOURCES  LAST UPDATE\ndev*  0          n/a\n"
    assert project.flowinfra("stack").stdout == project.flowinfra("stack", "ls").stdout


def test_one_damaged_state_hides_no_other_stack(project: Project) -> None:
    """The list says which state cannot be read, and why, and lists the others."""
    project.flowinfra("stack", "init", "one")
    project.flowinfra("stack", "init", "two")
    (damaged,) = project.folder.glob(".flowinfra/state/.pulumi/stacks/*/one.json")
    damaged.write_text("{", encoding="utf-8")
    listed = {s["name"]: s.get("problem") for s in project.document("stack", "ls")}
    assert (listed["one"], listed["two"]) == ("FI610", None)
    assert "unreadable (FI610)" in project.flowinfra("stack", "ls").stdout


def test_an_existing_configuration_is_kept(project: Project) -> None:
    """A stack whose file came with the clone gets a state and keeps its file to the byte."""
    text = "# ours\nconfig:\n  demo:size: 3   # three\n"
    project.write("Pulumi.dev.yaml", text)
    project.flowinfra("stack", "init", "dev")
    assert (project.folder / "Pulumi.dev.yaml").read_text() == text


def test_what_cannot_be(project: Project) -> None:
    """Each mistake has its code, its remedy and Pulumi's exit code, and changes no file."""
    project.flowinfra("stack", "init", "dev")
    before = project.files()
    for line, exit_code, code, words in (
        ("stack init dev", 2, "FI940", "flowinfra stack select dev"),
        ("stack init a/b", 2, "FI905", "'a/b'"),
        ("stack select dve", 6, "FI930", "did you mean 'dev'"),
        ("stack rm dve --yes", 6, "FI930", "did you mean 'dev'"),
        ("config get colour", 2, "FI908", "flowinfra config set demo:colour VALUE"),
        ("config rm colour", 2, "FI908", "demo:colour"),
        ("config set flowinfra:tagret local", 2, "FI920", "did you mean 'flowinfra:target'"),
        ("config set flowinfra:max_workers many", 2, "FI921", "many"),
        ("config set a:b:c x", 2, "FI906", "a:b:c"),
        ("config set colour", 2, "FI948", "colour"),
        ("config ls --stack prdo", 6, "FI930", "prdo"),
    ):
        done = project.flowinfra(*line.split(), check=False)
        assert (done.returncode, done.stdout) == (exit_code, ""), done.stderr
        assert code in done.stderr
        assert words in done.stderr
        assert project.files() == before


def test_without_an_answer_nothing_is_removed(project: Project) -> None:
    """Where nobody can be asked, rm needs --yes."""
    project.flowinfra("stack", "init", "dev")
    before = project.files()
    done = project.flowinfra("stack", "rm", "dev", check=False)
    assert (done.returncode, "--yes" in done.stderr) == (8, True)
    done = project.flowinfra("stack", "rm", "dev", "--json", check=False)
    assert (done.returncode, json.loads(done.stdout)) == (8, {"removed": None})
    assert project.files() == before


def test_values_are_set_read_and_removed(project: Project) -> None:
    """A plain key gets the project's namespace; the file keeps its comments and its order."""
    project.write("Pulumi.dev.yaml", "# ours\nconfig:\n  other:key: x   # kept\n")
    project.flowinfra("config", "set", "colour", "blue")
    project.flowinfra("config", "set", "flowinfra:max_workers", "4", "--stack", "dev")
    assert project.flowinfra("config", "get", "colour").stdout == "blue\n"
    assert project.flowinfra("config", "--stack", "dev", "get", "demo:colour").stdout == "blue\n"
    assert project.document("config") == {
        "demo:colour": {"value": "blue", "secret": False},
        "flowinfra:max_workers": {"value": "4", "secret": False},
        "other:key": {"value": "x", "secret": False},
    }
    text = (project.folder / "Pulumi.dev.yaml").read_text()
    assert text.startswith("# ours\nconfig:\n  other:key: x   # kept\n")
    project.flowinfra("config", "rm", "colour")
    assert project.flowinfra("config").stdout == (
        "KEY                    VALUE\nflowinfra:max_workers  4\nother:key              x\n"
    )


def test_a_secret_is_encrypted_and_masked(project: Project) -> None:
    """A secret never stands in a file or a list; it is shown on request, to who has the passphrase."""
    project.flowinfra("stack", "init", "dev")
    project.flowinfra("config", "set", "token", "s3cr3t", "--secret")
    document = yaml.safe_load((project.folder / "Pulumi.dev.yaml").read_text())
    assert document["config"]["demo:token"]["secure"].startswith("v1:")
    assert document["encryptionsalt"].startswith("v1:")
    assert "s3cr3t" not in "".join(p.read_text() for p in project.folder.rglob("*") if p.is_file())
    assert "demo:token        <secret>\n" in project.flowinfra("config").stdout
    assert project.document("config")["demo:token"] == {"secret": True}
    done = project.flowinfra("config", "get", "token", check=False)
    assert (done.returncode, done.stdout, "--show-secrets" in done.stderr) == (2, "", True)
    assert project.flowinfra("config", "get", "token", "--show-secrets").stdout == "s3cr3t\n"
    assert (project.folder / ".flowinfra/passphrase").stat().st_mode & 0o777 == 0o600
    other = Project(project.folder, {"PULUMI_CONFIG_PASSPHRASE": "wrong"})
    assert [d["code"] for d in other.findings("config", "get", "token", "--show-secrets")] == ["FI621"]


def test_a_value_can_come_from_standard_input(project: Project) -> None:
    """`-` reads the value, so that it is in no history of commands; one line feed at the end is not part of it."""
    import subprocess
    import sys

    project.flowinfra("stack", "init", "dev")
    subprocess.run(
        [sys.executable, "-m", "flowinfra.cli.main", "config", "set", "text", "-"],
        cwd=project.folder,
        env=project.environment(),
        input="two\nlines\n",
        text=True,
        check=True,
        capture_output=True,
    )
    assert project.document("config", "get", "text") == {"value": "two\nlines", "secret": False}


# -- init -----------------------------------------------------------------------------------------------------------


def test_a_new_project_works_at_once(tmp_path: Path) -> None:
    """What init writes can be checked, run, previewed, deployed and triggered, with the commands that it prints."""
    project = Project(tmp_path / "my flows")
    project.folder.mkdir()
    done = project.flowinfra("init")
    assert "made the project my-flows" in done.stderr
    commands = re.findall(r"^  ((?:python|flowinfra) .*?)  +#", done.stderr, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        tool, *arguments = command.split()
        if tool == "python":
            assert "pi is about 3." in project.python(*arguments).stdout
        else:
            last = project.flowinfra(*arguments, *(["--yes"] if arguments == ["up"] else []))
    assert last.stdout.splitlines()[-2].startswith("pi = 3.1")
    assert project.flowinfra("check", "flows/hello.py").stderr == ""
    assert "No changes" in project.flowinfra("up", "--yes").stdout
    assert {p.name for p in project.folder.iterdir()} == {
        ".flowinfra",
        "Pulumi.yaml",
        "Pulumi.dev.yaml",
        "stacks",
        "flows",
    }


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    """One file in the way, and nothing at all is written."""
    project = Project(tmp_path)
    project.write("flows/hello.py", "mine")
    done = project.flowinfra("init", "demo", check=False)
    assert (done.returncode, "flows/hello.py" in done.stderr) == (2, True)
    assert list(project.files()) == ["flows/hello.py"]
    assert [d["code"] for d in project.findings("init", "no name")] == ["FI953"]


def test_init_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Where a file cannot be written, those before it are removed again."""
    project = Project(tmp_path)
    project.write("stacks", "a file where a folder should be")
    done = project.flowinfra("init", "demo", check=False)
    assert (done.returncode, "FI952" in done.stderr) == (2, True)
    assert list(project.files()) == ["stacks"]


def test_init_as_json(tmp_path: Path) -> None:
    """The files, and the commands to go on with."""
    document = Project(tmp_path).document("init", "demo")
    assert document["project"] == "demo"
    assert document["made"] == ["Pulumi.yaml", "Pulumi.dev.yaml", "stacks/__main__.py", "flows/hello.py"]
    assert document["next"][1] == "flowinfra preview"


def test_a_stack_with_resources_is_not_removed_by_accident(tmp_path: Path) -> None:
    """Rm refuses while the state lists resources; --force forgets them and says how many."""
    project = Project(tmp_path / "demo")
    project.folder.mkdir()
    project.flowinfra("init")
    project.flowinfra("up", "--yes")
    (stack,) = project.document("stack", "ls")
    assert stack["resourceCount"] == 4
    assert stack["lastUpdate"]
    done = project.flowinfra("stack", "rm", "dev", "--yes", check=False)
    assert done.returncode == 4
    assert "flowinfra destroy --stack dev" in done.stderr
    assert project.document("stack", "rm", "dev", "--yes", "--force")["forgotten"] == stack["resourceCount"]
    assert project.document("stack", "ls") == []
