"""What the contract tests read: the files of the repository as a commit would hold them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

PACKAGES = ("flowinfra", "providers/flowinfra_providers")


@dataclass(frozen=True)
class Module:
    """One Python file of the packages."""

    path: str
    file: Path

    @cached_property
    def text(self) -> str:
        return self.file.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)


@pytest.fixture(scope="session")
def modules(root: Path) -> list[Module]:
    """Every module of both packages, by path."""

    def found() -> Iterator[Module]:
        for package in PACKAGES:
            for file in sorted((root / package).rglob("*.py")):
                yield Module(file.relative_to(root).as_posix(), file)

    return list(found())


@pytest.fixture(scope="session")
def tree_files(root: Path) -> list[Path]:
    """Every file that is, or would be, in a commit."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [root / name for name in listed.split("\0") if name and (root / name).is_file()]
