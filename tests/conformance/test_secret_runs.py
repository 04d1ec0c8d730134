"""Secrets and large files in runs of real processes, from a checkout and from a bundle."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from conformance.backends import FORK, SPAWN, LocalBackend, Observed
from conformance.shapes import FLOWS
from conformance.stored import ROOT, Stored
from flowinfra.packaging.files import INLINE_BYTES, LocalFile, StoredFile, store_file
from flowinfra.packaging.store import Store

SECRETIVE = FLOWS / "secretive.py"
VALUE = 'first "line" of it\nsecond line: ünïcode'


def large(folder: Path) -> tuple[LocalFile, bytes]:
    """A file that does not fit into an input.json."""
    content = b"abc" * INLINE_BYTES
    (folder / "data.bin").write_bytes(content)
    return LocalFile(folder / "data.bin", "base64"), content


def check(observed: Observed, size: int) -> None:
    """What the run has left says nothing of the secret."""
    log, errors = observed.log("start@0"), observed.log("start@0", "err")
    assert log == "mine ***\n***\nchild ***\n"
    assert errors.startswith("mine ***\nchild ***\n")
    assert "warning FI745: self.shown holds a secret" in errors
    start, plain = observed.artifacts("start@0"), observed.artifacts("plain@0")
    assert start["equal"] is True
    assert start["shown"] == {"text": f"the value is {VALUE}"}  # a value is its author's; its text form is not
    assert start.refs["shown"].text == "{'text': 'the value is ***'}"
    assert (plain["size"], plain["head"], plain["names"]) == (size, b"abc", ["data"])
    assert plain["types"] == {"start": "start", "plain": "linear", "fails": "linear", "end": "end"}
    assert plain.refs["data"].codec == "file"
    error = observed.data.last_error("fails", "0")
    assert error["message"] == "refused: '***'"
    assert error["traceback"].count("***") == 2
    told = [observed.log("fails@0", "err"), json.dumps(observed.data.read_end())]
    kept = [observed.data.store.get(key).decode("utf-8", "replace") for key in observed.data.store.list("runs")]
    for text in [
        *told,
        *kept,
        *(observed.data.store.get(key).decode() for key in observed.data.store.list("releases")),
    ]:
        assert not re.search("first|second line|nïcode|u00efcode", text), text


@pytest.mark.parametrize("backend", [FORK, SPAWN], ids=str)
def test_a_secret_reaches_its_step_and_nothing_else(
    backend: LocalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs, error records, traces, text forms, release and input: none of them has it, for either way of starting."""
    monkeypatch.setenv("FI_TEST_SECRET", VALUE)
    file, content = large(tmp_path)
    store = Store.open(str(tmp_path / "store"))
    observed = backend.run_flow(
        SECRETIVE, "Secretive", tmp_path, parameters={"data": store_file(store, "Secretive", file)}
    )
    assert observed.state == "failed"
    assert observed.error["message"] == "refused: '***'"
    assert not any("first" in json.dumps(event) for event in observed.events)
    check(observed, len(content))


def test_a_secret_of_a_deployed_task(tmp_path: Path) -> None:
    """The task program, with nothing but a bundle and the store, keeps its own logs: they have no secret either."""
    file, content = large(tmp_path)
    stored = Stored.put(SECRETIVE, "Secretive", tmp_path).started({"data": file})
    (tmp_path / "data.bin").write_bytes(b"something else")  # the run's content was fixed when it was started
    assert StoredFile.from_json((stored.data.read_input() or {})["data"]) is not None
    for step in ("start", "plain", "fails"):
        done = stored.task(step, "0", FI_TEST_SECRET=VALUE)
        assert done.returncode == (1 if step == "fails" else 0), done.stderr
        assert not re.search("first|second line|nïcode", done.stdout + done.stderr)
    check(stored.observed, len(content))


def test_a_secret_that_is_missing_ends_the_task_before_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that are missing are named; it is not repeated, as it would only happen again."""
    monkeypatch.delenv("FI_TEST_NOT_SET", raising=False)
    observed = FORK.run_flow(SECRETIVE, "Missing", tmp_path)
    assert (observed.state, observed.error["code"]) == ("failed", "FI740")
    assert observed.trace() == {"start@0@0": 1}
    log = observed.log("start@0", "err")
    assert "environment:FI_TEST_NOT_SET, which is not there" in log
    assert "file:/does/not/exist, which is not there" in log
    assert observed.log("start@0") == ""
    stored = Stored.put(SECRETIVE, "Missing", tmp_path / "deployed")
    assert stored.task("start", "0").returncode == 2


def test_a_secret_that_cannot_be_had_now_fails_the_attempt(tmp_path: Path) -> None:
    """The exit code says that it is worth another attempt, and the next one has it; the source is a package's."""
    package = tmp_path / "package"
    info = package / "flaky-1.dist-info"
    info.mkdir(parents=True)
    (package / "flaky.py").write_text(FLAKY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flaky\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[flowinfra.secrets]\nflaky = flaky:read\n")
    stored = Stored.put(SECRETIVE, "Flaky", tmp_path)
    path = {"PYTHONPATH": f"{package}:{ROOT}", "FLAKY": str(tmp_path / "seen")}
    first = stored.task("start", "0", "0", **path)
    assert first.returncode == 1
    assert "FI741" in first.stderr
    assert "ConnectionError: not now" in first.stderr
    assert stored.data.last_error("start", "0")["code"] == "FI741"
    second = stored.task("start", "0", "1", **path)
    assert second.returncode == 0, second.stderr
    assert second.stdout == "***\n"


FLAKY = """
import os, pathlib

def read(name):
    seen = pathlib.Path(os.environ["FLAKY"])
    if not seen.exists():
        seen.touch()
        raise ConnectionError("not now")
    return "v4lue of " + name
"""
