"""A file of a gigabyte: stored in parts, and in memory once, in the step that asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.backends import FORK
from conformance.shapes import FLOWS
from flowinfra.packaging.files import CHUNK_BYTES, LocalFile, store_file
from flowinfra.packaging.store import Store


@pytest.mark.soak
def test_a_gigabyte_is_in_memory_once(tmp_path: Path) -> None:
    """The task that reads it grows by its size and a few parts; the one before it does not grow at all."""
    size = 128 * CHUNK_BYTES
    with open(tmp_path / "data.bin", "wb") as file:
        file.writelines(bytes([n]) * CHUNK_BYTES for n in range(128))
    store = Store.open(str(tmp_path / "store"))
    value = store_file(store, "Reads", LocalFile(tmp_path / "data.bin", "base64"))
    observed = FORK.run_flow(FLOWS / "reads.py", "Reads", tmp_path, parameters={"data": value})
    assert observed.state == "succeeded", observed.error
    assert observed.artifacts("end@0")["size"] == size
    used = {e["step"]: e["maxrss_kib"] * 1024 for e in observed.events if e["kind"] == "task_ended"}
    assert used["start"] < 20 * CHUNK_BYTES
    assert size < used["end"] < size + 24 * CHUNK_BYTES
