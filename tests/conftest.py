"""Fixtures that every kind of test shares. What only one folder needs stands in that folder's conftest."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# No deadline: how fast a machine is decides nothing. Found counterexamples are printed so that they can be replayed.
settings.register_profile("flowinfra", deadline=None, print_blob=True)
settings.load_profile("flowinfra")


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the repository."""
    return ROOT


@dataclass(frozen=True)
class Python:
    """Starts clean child processes of this interpreter that find the package, wherever they run."""

    environment: Mapping[str, str]

    def run(
        self,
        *arguments: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        stdin: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `python ARGUMENTS`; with *check* a failure shows what the child said."""
        command = [sys.executable, *arguments]
        environment = {**self.environment, **(env or {})}
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            pytest.fail(f"{command} exited {done.returncode}\n{done.stdout}\n{done.stderr}", pytrace=False)
        return done

    def code(self, source: str, *arguments: str, cwd: Path | None = None) -> str:
        """What the program *source* prints."""
        return self.run("-c", source, *arguments, cwd=cwd).stdout


@pytest.fixture
def python(root: Path) -> Python:
    """Clean children without the caller's FLOWINFRA_* and PULUMI_* settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWINFRA_", "PULUMI_"))}
    found: Sequence[str] = [str(root), str(root / "providers")]
    return Python({**kept, "PYTHONPATH": os.pathsep.join(found), "PYTHONSAFEPATH": "1"})


@dataclass(frozen=True)
class Golden:
    """Compares with files under tests/golden, or rewrites them where FLOWINFRA_ACCEPT=1 (`make golden`)."""

    folder: Path
    accept: bool

    def check(self, name: str, actual: str) -> None:
        """Hold *actual* against the golden file *name* (a path below tests/golden)."""
        file = self.folder / name
        if self.accept:
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists() or file.read_text(encoding="utf-8") != actual:
                file.write_text(actual, encoding="utf-8")
            return
        if not file.exists():
            pytest.fail(f"tests/golden/{name} does not exist: run `make golden` and read it", pytrace=False)
        expected = file.read_text(encoding="utf-8")
        if expected != actual:
            lines = difflib.unified_diff(
                expected.splitlines(), actual.splitlines(), f"tests/golden/{name}", "now", lineterm=""
            )
            told = "\n".join(lines)
            pytest.fail(f"{told}\nIf this is meant: run `make golden` and read the diff.", pytrace=False)


@pytest.fixture(scope="session")
def golden(root: Path) -> Golden:
    """The golden files."""
    return Golden(root / "tests" / "golden", accept=os.environ.get("FLOWINFRA_ACCEPT") == "1")
