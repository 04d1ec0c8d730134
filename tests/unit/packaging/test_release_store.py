from __future__ import annotations

from typing import Any

import pytest

from flowinfra import wire
from flowinfra._version import __version__
from flowinfra.canonical import canonical_json, sha256_hex
from flowinfra.diagnostics import PackagingError
from flowinfra.model.graph import FlowGraph, Goto, Location, StepNode
from flowinfra.model.program import Program, Task
from flowinfra.model.release import Binding
from flowinfra.packaging import release
from flowinfra.packaging.store import KeyMissing, Store
from support.child import Python

GRAPH = FlowGraph(
    name="Hello",
    start="start",
    steps=(
        StepNode(
            name="start", entrypoint="flow:F.start", next=Goto(to="end"), doc="text", source=Location(file="f", line=1)
        ),
        StepNode(name="end", entrypoint="flow:F.end"),
    ),
)
PROGRAM = Program(sequences=((Task(step="start"), Task(step="end")),))
BUNDLE = "ab" * 32


def stored(content: dict[str, Any]) -> tuple[Store, str]:
    store, data = Store.open("memory://"), canonical_json(content)
    store.put(wire.release_key(sha256_hex(data)), data)
    return store, sha256_hex(data)


def refused(store: Store, digest: str) -> tuple[str, str]:
    with pytest.raises(PackagingError) as caught:
        release.load(store, digest)
    only = caught.value.diagnostics[0]
    return only.code, only.summary


def test_a_release_is_read_as_it_was_made() -> None:
    """What make returns is stored under its digest and comes back as plain JSON with its versions."""
    digest, data = release.make(GRAPH, PROGRAM, BUNDLE, images={"default": "img@sha256:1"})
    store = Store.open("memory://")
    store.put_content(wire.release_key(digest), data)
    found = release.load(store, digest)
    assert (found["wire"], found["flowinfra"], found["bundle"]) == (wire.WIRE_VERSION, __version__, BUNDLE)
    assert found["images"] == {"default": "img@sha256:1"}
    assert found["program"] == {"sequences": [[{"kind": "task", "step": "start"}, {"kind": "task", "step": "end"}]]}
    assert [s["name"] for s in found["graph"]["steps"]] == ["end", "start"]


def test_what_is_outside_the_digest_is_not_stored() -> None:
    """Moved lines, reworded docstrings and the order of bindings make no new release."""
    moved = GRAPH.model_copy(update={"doc": "other", "source": Location(file="g", line=9)})
    one, two = Binding(kind="environment", name="A", value=1), Binding(kind="config", name="B", value=None)
    first = release.make(GRAPH, PROGRAM, BUNDLE, [one, two])
    assert release.make(moved, PROGRAM, BUNDLE, [two, one]) == first
    assert release.make(GRAPH, PROGRAM, BUNDLE, [one])[0] != first[0]
    assert release.make(GRAPH, PROGRAM, "cd" * 32, [one, two])[0] != first[0]


def test_a_damaged_release_is_refused() -> None:
    """Bytes that do not have the digest they are stored under are never read."""
    digest, data = release.make(GRAPH, PROGRAM, BUNDLE)
    store = Store.open("memory://")
    store.put(wire.release_key(digest), data.replace(b"flow:F.start", b"evil:F.start"))
    code, summary = refused(store, digest)
    assert (code, digest[:12] in summary) == ("FI410", True)


def test_another_wire_version_is_refused_by_name() -> None:
    """A release of another wire version is refused with both versions and the flowinfra that made it."""
    store, digest = stored({"wire": wire.WIRE_VERSION + 1, "flowinfra": "9.9"})
    with pytest.raises(PackagingError) as caught:
        release.load(store, digest)
    only = caught.value.diagnostics[0]
    assert only.code == "FI411"
    assert f"version {wire.WIRE_VERSION + 1}" in only.summary
    assert str(wire.WIRE_VERSION) in only.summary
    assert "9.9" in only.hint
    assert refused(*stored({"flowinfra": "0.0"}))[0] == "FI411"


@pytest.mark.parametrize("digest", ["", "abc", "../../x", "AB" * 32, "ab" * 32 + "\n"])
def test_what_is_no_digest_is_refused(digest: str) -> None:
    """A name that cannot be a digest never becomes a key."""
    assert refused(Store.open("memory://"), digest)[0] == "FI412"


def test_a_release_that_is_not_stored_is_missing() -> None:
    """An unknown digest is KeyMissing."""
    with pytest.raises(KeyMissing):
        release.load(Store.open("memory://"), "ab" * 32)


@pytest.mark.parametrize("data", [b"[]", b"{", b"null", b""])
def test_content_that_is_no_release_is_refused(data: bytes) -> None:
    """A document that has the right digest but is no release speaks no wire version that could be run."""
    store = Store.open("memory://")
    store.put(wire.release_key(sha256_hex(data)), data)
    assert refused(store, sha256_hex(data))[0] == "FI411"


def test_loading_needs_no_pydantic(python: Python) -> None:
    """The task program reads its release without loading the model."""
    digest, data = release.make(GRAPH, PROGRAM, BUNDLE)
    code = (
        "import sys\nfrom flowinfra.packaging import release\nfrom flowinfra.packaging.store import Store\n"
        "store = Store.open('memory://')\nstore.put(f'releases/{sys.argv[1]}.json', sys.argv[2].encode())\n"
        "assert release.load(store, sys.argv[1])['graph']['name'] == 'Hello'\n"
        "assert not {'pydantic', 'asyncio'} & set(sys.modules)\n"
    )
    python.code(code, digest, data.decode())
