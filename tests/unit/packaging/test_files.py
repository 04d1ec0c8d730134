from __future__ import annotations

import os
import threading
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.authoring.loader import load_flow
from flowinfra.diagnostics import PackagingError, RunError, Severity
from flowinfra.orchestrators.start import StartedRun, write_start
from flowinfra.packaging.build import build
from flowinfra.packaging.files import CHUNK_BYTES, INLINE_BYTES, LocalFile, StoredFile, open_file, store_file
from flowinfra.packaging.store import Store
from flowinfra.runtime.artifacts import Ref, encode, read_artifact
from flowinfra.wire import blob_key, run_key


def stored(store: Store, file: LocalFile | str) -> StoredFile:
    """A large file, in the store."""
    assert isinstance(file, LocalFile)
    found = StoredFile.from_json(store_file(store, "F", file))
    assert found is not None
    return found


def put(store: Store, file: StoredFile) -> Ref:
    """The artifact of a file."""
    ref, data = encode(file)
    store.put_content(blob_key("F", ref.blob), data)
    return ref


def test_a_small_file_stands_in_the_input(tmp_path: Path) -> None:
    """As text or in base64, as whoever has no file gives it; an empty one too."""
    store = Store.open("memory://")
    (tmp_path / "a").write_bytes("ü".encode("latin-1"))
    (tmp_path / "empty").touch()
    for encoding, value in (("latin-1", "ü"), ("base64", "/A==")):
        file = open_file(tmp_path / "a", encoding)
        assert isinstance(file, LocalFile)
        assert store_file(store, "F", file) == value
    assert store_file(store, "F", LocalFile(tmp_path / "empty", "utf-8")) == ""
    assert list(store.list("")) == []


def test_a_large_file_is_stored_in_parts_and_read_back(tmp_path: Path) -> None:
    """Text and bytes, a character across the border of two parts included; equal parts lie there once."""
    store = Store.open(str(tmp_path / "store"))
    text = "x" * (CHUNK_BYTES - 1) + "ü" + "y" * CHUNK_BYTES
    (tmp_path / "data.txt").write_text(text, encoding="utf-8")
    file = stored(store, open_file(tmp_path / "data.txt", "utf-8"))
    assert (file.name, file.size, len(file.chunks), file.is_text) == ("data.txt", len(text) + 1, 3, True)
    ref = put(store, file)
    assert (ref.codec, ref.type, ref.size, ref.text) == ("file", "str", file.size, f"<data.txt: {file.size:,} bytes>")
    assert read_artifact(store, "F", ref) == text
    (tmp_path / "data.txt").unlink()
    assert read_artifact(store, "F", ref) == text
    (tmp_path / "zeros").write_bytes(bytes(3 * CHUNK_BYTES))
    zeros = stored(store, open_file(tmp_path / "zeros", "base64"))
    assert len(set(zeros.chunks)) == 1
    assert read_artifact(store, "F", put(store, zeros)) == bytes(3 * CHUNK_BYTES)


def test_one_part_is_in_memory_at_a_time(tmp_path: Path) -> None:
    """Storing 64 MiB takes two parts of it, reading it the whole and two parts."""
    store = Store.open(str(tmp_path / "store"))
    size = 8 * CHUNK_BYTES
    with open(tmp_path / "big", "wb") as out:
        out.writelines(os.urandom(CHUNK_BYTES // 2) + b"a" * (CHUNK_BYTES // 2) for _ in range(8))
    tracemalloc.start()
    file = stored(store, open_file(tmp_path / "big", "base64"))
    _, storing = tracemalloc.get_traced_memory()
    ref = put(store, file)
    tracemalloc.reset_peak()
    assert len(read_artifact(store, "F", ref)) == size
    _, reading = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert storing < 2.5 * CHUNK_BYTES
    assert reading < 1.5 * size


def test_a_damaged_or_missing_part_is_told(tmp_path: Path) -> None:
    """Each part is verified before it is used."""
    store = Store.open(str(tmp_path / "store"))
    (tmp_path / "big").write_bytes(b"a" * INLINE_BYTES + b"b")
    ref = put(store, stored(store, open_file(tmp_path / "big", "utf-8")))
    part = next(key for key in store.list("blobs") if not key.endswith(ref.blob))
    store.put(part, b"other")
    with pytest.raises(RunError, match="FI706"):
        read_artifact(store, "F", ref, "the artifact data")
    store.delete(part)
    with pytest.raises(PackagingError, match="FI401"):
        read_artifact(store, "F", ref)


def test_what_is_not_there_or_no_text_is_told_at_once(tmp_path: Path) -> None:
    """Before anything starts; a file that goes away later, when the run starts."""
    (tmp_path / "raw").write_bytes(b"a" * CHUNK_BYTES + b"\xff")
    with pytest.raises(UnicodeDecodeError):
        open_file(tmp_path / "raw", "utf-8")
    for wrong in (tmp_path / "none", tmp_path):
        with pytest.raises(OSError, match=r"No such file|directory"):
            open_file(wrong, "utf-8")
    file = open_file(tmp_path / "raw", "base64")
    assert isinstance(file, LocalFile)
    (tmp_path / "raw").unlink()
    with pytest.raises(PackagingError, match=r"FI436.*raw cannot be read: No such file"):
        store_file(Store.open("memory://"), "F", file)


def test_a_pipe_is_read_when_it_is_named(tmp_path: Path) -> None:
    """`--data <(command)`: it can be read once only."""
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text("hello"))
    writer.start()
    assert open_file(tmp_path / "pipe", "utf-8") == "hello"
    writer.join()


def test_whoever_starts_a_run_stores_its_files(tmp_path: Path) -> None:
    """The input names the parts; a second start with other content changes nothing."""
    store = Store.open(str(tmp_path / "store"))
    (tmp_path / "big").write_bytes(b"a" * 100_000)
    file = open_file(tmp_path / "big", "utf-8")
    run = StartedRun(flow="F", run="r1", release="0" * 64, started_ms=1, target="local")
    write_start(store, run, {"data": file, "n": 1})
    (tmp_path / "big").write_bytes(b"b" * 100_000)
    write_start(store, run, {"data": file, "n": 1})
    values = store.get_json(run_key("F", "r1", "input.json"))
    found = StoredFile.from_json(values["data"])
    assert values["n"] == 1
    assert found is not None
    assert read_artifact(store, "F", put(store, found)) == "a" * 100_000


@given(st.recursive(st.none() | st.text() | st.integers(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
def test_other_values_are_no_references(value: object) -> None:
    """Whatever a JSON value looks like, it is a reference only if it is one whole."""
    assert StoredFile.from_json(value) is None
    assert StoredFile.from_json({"$file": value}) is None
    file = StoredFile("a", "utf-8", 3, ("0" * 64,))
    assert StoredFile.from_json(file.to_json()) == file
    assert StoredFile.from_json({"$file": {**file.to_json()["$file"], "chunks": ["../x"]}}) is None


LARGE = """
from flowinfra import FlowSpec, IncludeFile, step

class Large(FlowSpec):
    data = IncludeFile("data", default="data.bin", is_text=False)

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def test_a_large_default_is_not_packed(tmp_path: Path) -> None:
    """A warning says so and what to do; the bundle is the code alone."""
    (tmp_path / "large_flow.py").write_text(LARGE)
    with open(tmp_path / "data.bin", "wb") as file:
        file.truncate((64 << 20) + 1)
    built = build(load_flow(tmp_path / "large_flow.py", "Large"))
    assert [f.path for f in built.bundle.files] == ["large_flow.py"]
    assert [(d.code, d.severity) for d in built.diagnostics] == [("FI183", Severity.WARNING)]
    with open(tmp_path / "data.bin", "wb") as file:
        file.truncate(100)
    built = build(load_flow(tmp_path / "large_flow.py", "Large"))
    assert [f.path for f in built.bundle.files] == ["data.bin", "large_flow.py"]
    assert built.diagnostics == ()
