"""What the contract tests read: the files of the repository as a commit would hold them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.tree import PACKAGES, Module


@pytest.fixture(scope="session")
def modules(root: Path) -> list[Module]:
    """Every module of both packages, by path."""
    files = [file for package in PACKAGES for file in sorted((root / package).rglob("*.py"))]
    return [Module(file.relative_to(root).as_posix(), file) for file in files]


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
