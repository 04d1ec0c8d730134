"""A project whose store has runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from written_runs import PROGRAM, STEPS, Shelves

from flowinfra import wire
from flowinfra.canonical import canonical_json, sha256_hex
from flowinfra.packaging.home import Home
from flowinfra.packaging.store import Store


@pytest.fixture
def shelves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelves:
    """A project in which one stands."""
    for name in ("FLOWINFRA_HOME", "FLOWINFRA_STORE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    home = Home.find(folder, {}).ensure()
    store = Store.open(home.store_url)
    steps = [{"name": name, **({"next": {"kind": "goto", "to": "x"}} if name != "end" else {})} for name in STEPS]
    release = canonical_json(
        {
            "wire": wire.WIRE_VERSION,
            "flowinfra": "0.1.0",
            "graph": {"name": "Sort", "start": "start", "steps": steps},
            "program": {"sequences": PROGRAM},
            "bundle": "b" * 64,
        }
    )
    digest = sha256_hex(release)
    store.put(wire.release_key(digest), release)
    return Shelves(home, store, digest)
