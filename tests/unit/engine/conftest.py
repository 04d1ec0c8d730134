"""Fixtures for the engine's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.toy.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A project of toy resources in a folder of its own."""
    made = World(tmp_path)
    for folder in (made.project, made.cloud):
        folder.mkdir()
    return made
