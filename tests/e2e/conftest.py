"""Fixtures of the tests that use flowinfra as its users do."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.example import Example


@pytest.fixture
def example(tmp_path: Path) -> Example:
    """A copy of the repository's example."""
    return Example.copy(tmp_path / "project")
