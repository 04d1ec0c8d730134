"""A project with a queue, workers and a program that stands in for real runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from local_project import HERE, Project

from flowinfra import wire
from flowinfra.canonical import canonical_json, sha256_hex
from flowinfra.orchestrators.local.launch import WorkerSettings
from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator
from flowinfra.packaging.home import Home


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project with nothing in it but a release."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    folder = tmp_path / "project"
    folder.mkdir()
    settings = WorkerSettings(idle_seconds=0.3, grace_seconds=0.3, program="queued_run")
    local = LocalOrchestrator.open(Home.find(folder, {}), settings=settings)
    release = canonical_json(
        {
            "wire": wire.WIRE_VERSION,
            "flowinfra": "0.1.0",
            "graph": {"name": "Sort", "start": "start", "steps": [{"name": "start"}]},
            "program": {"sequences": [[{"kind": "task", "step": "start"}]]},
            "bundle": "b" * 64,
        }
    )
    digest = sha256_hex(release)
    local.store.put(wire.release_key(digest), release)
    made = Project(folder, local, digest)
    yield made
    made.clean_up()
