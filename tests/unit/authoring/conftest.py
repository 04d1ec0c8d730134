"""Flow files of each test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.flows import Flows, imports_undone


@pytest.fixture
def flows(tmp_path: Path) -> Iterator[Flows]:
    """Writes and reads flow files; what they import is forgotten after the test."""
    with imports_undone():
        yield Flows(tmp_path)
