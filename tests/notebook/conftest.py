"""Fixtures of the tests in a real Jupyter kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.kernel import Notebook, started


@pytest.fixture(scope="session")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """A kernel that tests share; each defines its own flows, and leaves no file behind."""
    with started(tmp_path_factory.mktemp("notebook")) as there:
        yield there
