"""A copy of the repository's example that a test may change, deploy and run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Example:
    """A project of its own: the files of the example in a folder of the test."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def copy(cls, folder: Path, variables: Mapping[str, str] | None = None) -> Example:
        """Copy the example into *folder*."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "Pulumi.prod.yaml"):
            shutil.copy(ROOT / name, folder / name)
        shutil.copytree(ROOT / "stacks", folder / "stacks", ignore=shutil.ignore_patterns("__pycache__"))
        return cls(folder, dict(variables or {}))

    def environment(self) -> dict[str, str]:
        """A user's environment, without the caller's settings of flowinfra and Pulumi."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLOWINFRA_", "PULUMI_", "AWS_"))}
        found = os.pathsep.join((str(ROOT), str(ROOT / "providers")))
        return {**kept, "PYTHONPATH": found, "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1", **self.variables}

    def flowinfra(self, *arguments: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run `flowinfra ARGUMENTS` in the project."""
        done = subprocess.run(
            [sys.executable, "-m", "flowinfra.cli.main", *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            pytest.fail(f"flowinfra {arguments} exited {done.returncode}\n{done.stdout}\n{done.stderr}", pytrace=False)
        return done

    def document(self, *arguments: str) -> Any:
        """What a command prints with --json."""
        return json.loads(self.flowinfra(*arguments, "--json").stdout)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace *old* by *new* in a file; it must be there."""
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def files(self) -> dict[str, str]:
        """Every file of the project by its content."""
        found = (p for p in self.folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        return {p.relative_to(self.folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in sorted(found)}
