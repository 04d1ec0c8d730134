from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.packaging.store import Store
from flowinfra.runtime.logs import CHUNK_BYTES, Lines, LogWriter, Uploader


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """*data* in pieces that end at *cuts*."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return (data[a:b] for a, b in pairwise(places))


@given(st.text(st.sampled_from("aü☃\n\r"), max_size=60), st.lists(st.integers(0, 1000)))
def test_lines_do_not_depend_on_how_the_bytes_arrive(text: str, cuts: list[int]) -> None:
    """Whatever is cut in two, a character included, the lines are those of the whole."""
    lines = Lines()
    found = [line for piece in pieces(text.encode(), cuts) for line in lines.feed(piece)]
    found += lines.end()
    expected = text.split("\n")
    assert found == [line.removesuffix("\r") for line in (expected if expected[-1] else expected[:-1])]


def test_an_endless_line_is_handed_on_in_pieces() -> None:
    """It does not grow for ever in memory, and nothing of it is lost."""
    lines = Lines()
    found = [line for _ in range(200) for line in lines.feed(b"x" * 65536)]
    assert len(found) == 1
    assert sum(map(len, [*found, *lines.end()])) == 200 * 65536


@given(st.lists(st.tuples(st.binary(max_size=50_000), st.floats(0, 0.7)), max_size=12))
def test_chunks_hold_everything_in_order(writes: list[tuple[bytes, float]]) -> None:
    """Put together they are what was written; none waits longer than a second for the next write, none is huge."""
    chunks: dict[str, bytes] = {}
    writer = LogWriter("folder/", "out", chunks.__setitem__)
    now = 0.0
    for data, pause in writes:
        now += pause
        due = writer.due()
        if due is not None and due <= now:
            writer.flush()
        writer.write(data, now)
    writer.flush()
    assert writer.due() is None
    assert list(chunks) == [f"folder/out.{i}" for i in range(len(chunks))]
    assert b"".join(chunks.values()) == b"".join(data for data, _ in writes)
    assert all(0 < len(chunk) < CHUNK_BYTES + 50_000 for chunk in chunks.values())


def test_nothing_is_written_where_nothing_was_printed() -> None:
    """A silent task costs no object."""
    chunks: dict[str, bytes] = {}
    writer = LogWriter("folder/", "err", chunks.__setitem__)
    writer.write(b"", 0.0)
    writer.flush()
    assert chunks == {}


def test_the_uploader_writes_in_its_own_thread_until_it_is_closed(tmp_path: Path) -> None:
    """What was handed over is there when close returns; without anything there is no thread."""
    store = Store.open(str(tmp_path))
    told: list[str] = []
    uploader = Uploader(store, told.append)
    uploader.close()
    for i in range(500):
        uploader.put(f"log/out.{i}", b"x%d" % i)
    uploader.close()
    assert len(store.names("log")) == 500
    assert told == []


def test_logs_that_cannot_be_kept_are_told_once(tmp_path: Path) -> None:
    """A log ends no run."""
    (tmp_path / "log").write_text("a file where a folder should be")
    told: list[str] = []
    uploader = Uploader(Store.open(str(tmp_path)), told.append)
    for i in range(3):
        uploader.put(f"log/out.{i}", b"x")
    uploader.close()
    assert len(told) == 1
    assert told[0].startswith("logs cannot be kept: ")


KEEPS = """
import os, sys, time
from flowinfra.packaging.store import Store
from flowinfra.runtime.logs import pumped
store = Store.open(sys.argv[1])
with pumped(store, "log/"):
    print("mine", flush=True)
    if (pid := os.fork()) == 0:
        os.setsid()
        while sys.argv[2] == "prints" and os.write(2, b"y" * 1000):
            pass
        time.sleep(600)
os.kill(pid, 9)
print("behind", store.get("log/out.0"), flush=True)
"""


@pytest.mark.parametrize("does", ["waits", "prints"])
def test_a_copy_that_lives_on_keeps_no_logs_open(does: str, tmp_path: Path) -> None:
    """A copy of the task's process has all of its ends open; its logs end with the step, whatever the copy prints."""
    done = subprocess.run(
        [sys.executable, "-c", KEEPS, str(tmp_path), does],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("mine\nbehind b'mine\\n'\n", 0)
