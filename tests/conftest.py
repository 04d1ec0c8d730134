"""Fixtures that every kind of test shares. What only one folder needs stands in that folder's conftest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from support.child import Python
from support.golden import Golden

ROOT = Path(__file__).resolve().parents[1]

# No deadline: how fast a machine is decides nothing. Found counterexamples are printed so that they can be replayed.
settings.register_profile("flowinfra", deadline=None, print_blob=True)
settings.load_profile("flowinfra")


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the repository."""
    return ROOT


@pytest.fixture
def python(root: Path) -> Python:
    """Clean children without the caller's FLOWINFRA_* and PULUMI_* settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWINFRA_", "PULUMI_"))}
    found = os.pathsep.join((str(root), str(root / "providers")))
    return Python({**kept, "PYTHONPATH": found, "PYTHONSAFEPATH": "1"})


@pytest.fixture(scope="session")
def golden(root: Path) -> Golden:
    """The golden files."""
    return Golden(root / "tests" / "golden", accept=os.environ.get("FLOWINFRA_ACCEPT") == "1")
