"""The guides: every complete file in them runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.example import ROOT, Example

BLOCK = re.compile(r"```python\n# file: (?P<name>[a-z_]+\.py)\n(?P<body>.*?)```", re.DOTALL)
FILES = {m["name"]: m["body"] for m in BLOCK.finditer((ROOT / "docs" / "flows.md").read_text(encoding="utf-8"))}
EXPECTED = {
    "hello.py": "hello Ada, hello Ada, hello Ada",
    "regions.py": "ap 2.2 3",
    "careful.py": "went on without it: nobody there",
    "nightly.py": "the password of ['eu', 'us'] is ***",
}


def test_the_guide_has_files() -> None:
    """Each file of the guide is run below, with what it prints."""
    assert FILES.keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_of_the_guide_runs(tmp_path: Path, name: str) -> None:
    """The file passes its check, runs, and prints what the guide lets its reader expect."""
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    project = Example(tmp_path, {"SHOP_PASSWORD": "correct horse"})
    project.flowinfra("check", name)
    options = ["--name", "Ada", "--how-often", "3"] if name == "hello.py" else []
    assert EXPECTED[name] in project.flowinfra("run", name, *options).stdout


def test_the_commands_of_the_guide_do_what_they_say(tmp_path: Path) -> None:
    """The command that is given for a file runs it, with the configs and the branch that it names."""
    import shlex
    import subprocess
    import sys

    (tmp_path / "nightly.py").write_text(FILES["nightly.py"], encoding="utf-8")
    text = (ROOT / "docs" / "flows.md").read_text(encoding="utf-8")
    found = re.search(r"^SHOP_PASSWORD=\.\.\. python (nightly\.py .*)$", text, re.MULTILINE)
    assert found
    done = subprocess.run(
        [sys.executable, *shlex.split(found[1])],
        cwd=tmp_path,
        env=Example(tmp_path, {"SHOP_PASSWORD": "correct horse"}).environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "the password of ['ap'] is ***" in done.stdout
    assert re.search(r"shop\.test\.try1\.Nightly 1$", done.stdout, re.MULTILINE)


def test_results_are_read_as_the_guide_says(tmp_path: Path) -> None:
    """The snippet that reads results works after a run."""
    (tmp_path / "hello.py").write_text(FILES["hello.py"], encoding="utf-8")
    project = Example(tmp_path)
    project.flowinfra("run", "hello.py", "--name", "Ada")
    text = (ROOT / "docs" / "flows.md").read_text(encoding="utf-8")
    (tmp_path / "read.py").write_text(text.split("## Reading results")[1].split("```python\n")[1].split("```")[0])
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "read.py"], cwd=tmp_path, env=project.environment(), capture_output=True, text=True, check=True
    )
    assert "True ['hello Ada', 'hello Ada']" in done.stdout
