"""Fixtures that every kind of test shares. What only one folder needs stands in that folder's conftest."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from flowinfra.packaging.home import FOLDER
from support.child import Python
from support.golden import Golden

ROOT = Path(__file__).resolve().parents[1]

# No deadline: how fast a machine is decides nothing. Found counterexamples are printed so that they can be replayed.
settings.register_profile("flowinfra", deadline=None, print_blob=True)
settings.load_profile("flowinfra")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to start where a project lies above the tests' own folders: each of them would be taken for a part of it."""
    del config
    folder = Path(tempfile.gettempdir()).resolve()
    foreign = [
        there for at in (folder, *folder.parents) for name in (FOLDER, "Pulumi.yaml") if (there := at / name).exists()
    ]
    if foreign:
        raise pytest.UsageError(
            f"{', '.join(map(str, foreign))}: projects of the tests, which lie below, would belong to it; "
            "remove it, or set TMPDIR to a folder elsewhere"
        )


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
