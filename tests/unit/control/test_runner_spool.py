"""What a program prints, kept and read: nothing is lost or doubled, whatever is cut where."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.control.spool import LineReader, Spool
from flowinfra.diagnostics import ControlError

PIECES = st.lists(st.sampled_from(["a", "ä", "€", "😀", "\n", "\r\n", "line", "\r"]), max_size=40)


def drained(reader: LineReader, *, ended: bool) -> list[tuple[int, str]]:
    found = list(reader.lines(ended=ended))
    while reader.behind:
        found += reader.lines(ended=ended)
    return found


@given(pieces=PIECES, cuts=st.lists(st.integers(0, 200), max_size=10), data=st.data())
def test_lines_come_once_and_whole(
    pieces: list[str], cuts: list[int], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However the bytes come in, the lines are those of the text, and every position goes on right behind its line."""
    text = "".join(pieces)
    raw = text.encode()
    spool = Spool(tmp_path_factory.mktemp("spool") / "out")
    reader = LineReader(spool)
    found: list[tuple[int, str]] = []
    places = sorted({min(cut, len(raw)) for cut in cuts} | {0, len(raw)})
    for start, stop in itertools.pairwise(places):
        spool.append(raw[start:stop])
        found += drained(reader, ended=False)
    found += drained(reader, ended=True)
    lines = text.split("\n")
    whole = lines[:-1] + ([lines[-1]] if lines[-1] else [])
    assert [line for _, line in found] == [line.removesuffix("\r") for line in whole]
    if found:
        at = data.draw(st.integers(0, len(found) - 1))
        assert drained(LineReader(spool, found[at][0]), ended=True) == found[at + 1 :]
    assert spool.text() == text


def test_a_line_of_a_megabyte_is_one_line(tmp_path: Path) -> None:
    """A line that is longer than every buffer comes whole."""
    spool = Spool(tmp_path / "out")
    for _ in range(20):
        spool.append("é".encode() * 50_000)
    spool.append(b"\nnext")
    first, last = drained(LineReader(spool), ended=True)
    assert first == (2_000_001, "é" * 1_000_000)
    assert last == (2_000_005, "next")


def test_readers_see_what_a_writer_writes_meanwhile(tmp_path: Path) -> None:
    """Several threads that read while one writes all see every line once, in order."""
    spool = Spool(tmp_path / "out")
    over = threading.Event()
    seen: list[list[str]] = [[], [], []]

    def read(mine: list[str]) -> None:
        reader = LineReader(spool)
        while True:
            ended = over.is_set()
            mine += [line for _, line in reader.lines(ended=ended)]
            if ended and not reader.behind:
                return

    threads = [threading.Thread(target=read, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    for number in range(2000):
        spool.append(f"line {number} ü\n".encode())
    over.set()
    for thread in threads:
        thread.join()
    assert seen == [[f"line {number} ü" for number in range(2000)]] * 3


def test_what_cannot_be_kept_is_told(tmp_path: Path) -> None:
    """Where the file cannot be written, what came before is there, and reading on says why there is no more."""
    spool = Spool(tmp_path / "out")
    spool.append(b"kept\n")
    spool.path.unlink()
    spool.path.mkdir()
    spool.append(b"lost\n")
    with pytest.raises(ControlError, match="could not be kept"):
        spool.read(5)


def test_what_was_removed_is_told(tmp_path: Path) -> None:
    """After the files were removed, reading says so."""
    spool = Spool(tmp_path / "out")
    spool.append(b"kept\n")
    spool.path.unlink()
    for read in (spool.text, lambda: spool.read(0)):
        with pytest.raises(ControlError, match="cleanup"):
            read()
