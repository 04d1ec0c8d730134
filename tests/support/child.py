"""Clean child processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest


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
