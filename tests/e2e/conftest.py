"""Fixtures of the tests that use flowinfra as its users do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.example import Example


@pytest.fixture
def example(tmp_path: Path) -> Example:
    """A copy of the repository's example."""
    return Example.copy(tmp_path / "project")


@pytest.fixture(scope="session")
def _deployed_once(tmp_path_factory: pytest.TempPathFactory) -> Example:
    example = Example.copy(tmp_path_factory.mktemp("deployed") / "project")
    example.flowinfra("up", "--yes")
    return example


@pytest.fixture
def deployed(_deployed_once: Example, tmp_path: Path) -> Example:
    """A copy of the repository's example, deployed: a project may be moved with all that is in it."""
    shutil.copytree(_deployed_once.folder, tmp_path / "project", symlinks=True)
    return Example(tmp_path / "project")
