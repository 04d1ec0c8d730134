from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flowinfra.orchestrators.local.interpreter import Interpreter, ask_interpreter, current_interpreter, installed


def test_an_interpreter_says_of_itself_what_others_hear_from_it() -> None:
    """The record made inside a process equals the one that a child of the same interpreter prints."""
    script = Path(sys.modules[Interpreter.__module__].__file__ or "")
    printed = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, cwd="/").stdout
    mine = current_interpreter()
    assert f'"version": "{mine.version}"' in printed
    assert f'"packages": "{mine.packages}"' in printed


def test_another_environment_has_another_digest_of_packages(tmp_path: Path) -> None:
    """An environment with nothing in it is the same language with other packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    other = ask_interpreter(str(tmp_path / "env" / "bin" / "python"))
    mine = current_interpreter()
    assert other.language == mine.language
    assert other.packages != mine.packages


def test_an_installed_package_changes_the_digest(tmp_path: Path) -> None:
    """Adding a distribution to an environment changes its record; a file beside it does not."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    python = str(tmp_path / "env" / "bin" / "python")
    before = ask_interpreter(python)
    site = next((tmp_path / "env" / "lib").glob("python*")) / "site-packages"
    (site / "notes.txt").write_text("nothing")
    assert ask_interpreter(python) == before
    (site / "Some_Package-1.2.dist-info").mkdir()
    assert ask_interpreter(python).packages != before.packages


def test_installed_packages_are_named_as_users_name_them() -> None:
    """Names are normalised and carry their version."""
    assert any(line.startswith("pytest==") for line in installed())
    assert installed() == sorted(installed())


def test_a_path_without_a_program_is_not_found(tmp_path: Path) -> None:
    """Neither a missing file nor a folder is an interpreter."""
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(FileNotFoundError):
            ask_interpreter(str(path))


def test_a_program_that_is_no_python_says_so(tmp_path: Path) -> None:
    """What answers something else is refused with its own words."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho broken installation >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(ValueError, match="broken installation"):
        ask_interpreter(str(program))
