"""The guide "Run from Python": every file and every cell in it runs as it stands."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from support.example import ROOT
from support.kernel import started
from support.project import Project

TEXT: Final = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS: Final = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
FILE: Final = re.compile(r"# file: ([a-z_]+\.py)\n")
FILES: Final[Mapping[str, str]] = {m[1]: block[m.end() :] for block in BLOCKS if (m := FILE.match(block))}
CELLS: Final = [block.removeprefix("# cell\n") for block in BLOCKS if block.startswith("# cell\n")]
RUN: Final = r"Run\('Score/[0-9a-f-]+'\)"
EXPECTED: Final[Mapping[str, str]] = {
    "first.py": rf"successful 0\n{RUN} {{'eu': 0.5, 'us': 0.5}}\nTrue\n",
    "options.py": r"\['nightly', 'north'\] 3.0\n(.*alpha.*|.*region.*|.*max_workers.*|\n)+",
    "background.py": r"successful 0.5\nsuccessful 1.0\nsuccessful 1.5\ntimeout\n",
    "lines.py": r"eu has 1.0 \| True\n",
    "mend.py": r"failed .*nobody has approved this.*\nsuccessful {'eu': 4.0, 'us': 4.0} True\nsuccessful\n"
    r"successful {'eu': 4.0, 'us': 4.0}\n",
    "read.py": r"True True {'eu': 0.5, 'us': 0.5}\n(eu|us) \1 has 0.5 \['0'\]\n\[True\] .*'reviewed'.*\n\[True\]\n",
    "deploy.py": r"Score/default 32\nsucceeded {'eu': 2.0, 'us': 2.0}\n\['succeeded'\] True\n",
}


def test_the_guide_has_nothing_that_is_not_run() -> None:
    """Each Python block is a file that is run below, with what it prints, or a cell that is run in a kernel."""
    assert len(FILES) + len(CELLS) == len(BLOCKS)
    assert FILES.keys() == {"score.py", *EXPECTED}


@pytest.mark.parametrize("name", list(EXPECTED))
def test_a_file_of_the_guide_prints_what_it_says(tmp_path: Path, name: str) -> None:
    """In a project with the guide's flow and one earlier run, the file prints what its reader expects."""
    project = Project(tmp_path, {"FLOWINFRA_CONFIG_HOME": str(tmp_path / "settings")})
    (tmp_path / ".flowinfra").mkdir()
    project.write("score.py", FILES["score.py"])
    if name == "read.py":
        project.flowinfra("run", "score.py", "--alpha", "0.25", "--quiet")
    printed = project.python(str(project.write(name, FILES[name]))).stdout
    assert re.fullmatch(EXPECTED[name], printed), printed


def test_the_cells_of_the_guide_run(tmp_path: Path) -> None:
    """One after the other in a real kernel, the cells show what the guide says, and leave no file."""
    with started(tmp_path) as notebook:
        printed = "".join(notebook.good(cell).printed for cell in CELLS)
        assert "HEY HEY HEY" in printed
        assert "True HEY HEY HEY" in printed
        assert printed.endswith("successful\n")


def test_the_script_that_the_guide_names_is_there(tmp_path: Path) -> None:
    """The command of the last section prints a script that the shell takes."""
    script = Project(tmp_path).flowinfra("completion", "bash").stdout
    (tmp_path / "script.sh").write_text(script, encoding="utf-8")
    subprocess.run(["bash", "-n", str(tmp_path / "script.sh")], check=True)
