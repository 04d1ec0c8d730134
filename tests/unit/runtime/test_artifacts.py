from __future__ import annotations

import collections
import datetime
import enum
import math
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.canonical import sha256_hex
from flowinfra.diagnostics import RunError
from flowinfra.packaging.store import Store
from flowinfra.runtime.artifacts import (
    CODECS,
    TEXT_LIMIT,
    Artifacts,
    Codec,
    Ref,
    decode,
    encode,
    encode_all,
    short_text,
)
from flowinfra.wire import blob_key


class Colour(enum.IntEnum):
    RED = 1


class Loud(str):
    __slots__ = ()


class Ordered(collections.OrderedDict[str, int]):
    pass


class Silent:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Refuses:
    def __reduce__(self) -> Any:
        raise LookupError("not me")


ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary()
VALUES = st.recursive(
    ATOMS | st.dates() | st.tuples(st.integers()) | st.sets(st.integers()) | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.dictionaries(st.integers(), inner),
    max_leaves=20,
)


def same(a: Any, b: Any) -> bool:
    """Equal, of equal types, in equal order, all the way down; NaN equals NaN and 0.0 not -0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) and same(a[x], b[y]) for x, y in zip(a, b, strict=True))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return bool(a == b) or repr(a) == repr(b)


@given(VALUES)
def test_what_comes_back_is_exactly_what_went_in(value: Any) -> None:
    """Equal types all the way down, keys in the same order, -0.0, NaN and lone surrogates included."""
    ref, data = encode(value)
    assert ref.blob == sha256_hex(data)
    assert ref.size == len(data)
    assert same(decode(ref, data), value)


@pytest.mark.parametrize(
    ("value", "codec"),
    [
        ({"b": 1, "a": [1.5, None, True, "ü"]}, "json"),
        ([], "json"),
        pytest.param(10**4000, "json", id="4000 digits"),
        pytest.param(10**5000, "pickle", id="5000 digits"),
        ([10**5000], "pickle"),
        ({"x": {"y": 10**5000}}, "pickle"),
        (float("nan"), "pickle"),
        ([float("inf")], "pickle"),
        ("\ud800", "pickle"),
        ((1, 2), "pickle"),
        ([(1,)], "pickle"),
        ({1: 2}, "pickle"),
        (Colour.RED, "pickle"),
        ([Colour.RED], "pickle"),
        (Loud("x"), "pickle"),
        ({Loud("x"): 1}, "pickle"),
        (Ordered(a=1), "pickle"),
        (b"bytes", "pickle"),
        (Decimal("1.0"), "pickle"),
        (datetime.date(2030, 1, 1), "pickle"),
    ],
)
def test_json_is_used_only_where_it_is_exact(value: Any, codec: str) -> None:
    """Subclasses, tuples, other keys, and numbers that JSON readers refuse are pickled."""
    ref, data = encode(value)
    assert ref.codec == codec
    assert same(decode(ref, data), value)


def test_what_is_shared_stays_shared() -> None:
    """Two references to one list are one list again; JSON would make them two."""
    row = [0]
    ref, data = encode([row, row])
    found = decode(ref, data)
    assert found[0] is found[1]


def test_what_is_nested_deeply_is_kept() -> None:
    """Beyond what a JSON parser can take back, and a list that contains itself."""
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]
    assert decode(*encode(deep)) == deep
    ring: list[Any] = []
    ring.append(ring)
    found = decode(*encode(ring))
    assert found[0] is found


def test_everything_that_cannot_be_kept_is_named_at_once() -> None:
    """Which attribute, which type, which step; nothing of it is committed."""
    written: dict[str, bytes] = {}
    values = {"good": 1, "gen": (i for i in range(3)), "fn": lambda: 1, "own": Refuses(), "later": "x"}
    with pytest.raises(RunError) as found:
        encode_all(values, "train", written.__setitem__)
    assert [d.code for d in found.value.diagnostics] == ["FI705"] * 3
    text = str(found.value)
    for said in ("self.gen", "generator", "self.fn", "function", "self.own", "Refuses", "LookupError: not me", "train"):
        assert said in text
    assert list(written) == [encode(1)[0].blob]


def test_content_is_verified_before_it_is_decoded() -> None:
    """A pickle that is not what the commit names is never run."""
    ref, _ = encode((1, 2))
    with pytest.raises(RunError, match="FI706"):
        decode(ref, pickle.dumps(print))


def test_what_cannot_be_decoded_here_says_why() -> None:
    """A package that is not installed, and a codec of a later version: the message names those that are known."""
    data = b"cnot_installed_here\nThing\n."
    ref = Ref(sha256_hex(data), "pickle", "not_installed_here.Thing", len(data))
    with pytest.raises(RunError, match=r"FI707.*not_installed_here"):
        decode(ref, data, "the artifact model")
    with pytest.raises(RunError, match=r"FI744.*the codec 'arrow' is not known here\n.*json, npy"):
        decode(Ref(sha256_hex(b""), "arrow", "Table", 0), b"")


def test_a_codec_may_stand_between_json_and_pickle() -> None:
    """The seam for further codecs: it is asked behind JSON, and its name is recorded."""
    dates = Codec(
        "iso-date",
        lambda value: value.isoformat().encode() if type(value) is datetime.date else None,
        lambda data: datetime.date.fromisoformat(data.decode()),
    )
    codecs = (CODECS[0], dates, CODECS[-1])
    ref, data = encode(datetime.date(2030, 1, 2), codecs)
    assert (ref.codec, data) == ("iso-date", b"2030-01-02")
    assert decode(ref, data, codecs=codecs) == datetime.date(2030, 1, 2)
    assert encode((1,), codecs)[0].codec == "pickle"


@given(VALUES)
def test_the_short_text_is_short_and_can_be_stored(value: Any) -> None:
    """At most a kibibyte of UTF-8, whatever the value is."""
    assert len(short_text(value).encode()) <= TEXT_LIMIT


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x" * 5000, "'" + "x" * 1020 + "…"),
        (Silent(), f"<{Silent.__module__}.Silent, whose repr raises RuntimeError>"),
        pytest.param(10**10_000, "<int of 33220 bits>", id="10000 digits"),
        ({"a": [1, "ü"]}, "{'a': [1, 'ü']}"),
        ("\ud800", "'\\ud800'"),
    ],
)
def test_short_texts_by_hand(value: Any, text: str) -> None:
    """It is what repr says, cut."""
    assert short_text(value) == text


def test_a_large_container_is_not_walked_for_its_text() -> None:
    """The text of a list of a million items is made of its first ones."""
    touched = []

    class Counted:
        def __repr__(self) -> str:
            touched.append(self)
            return "."

    short_text([Counted()] * 1_000_000)
    assert len(touched) <= 100


def test_artifacts_are_loaded_one_by_one(tmp_path: Path) -> None:
    """Names are known without reading anything; a value is read once, when it is asked for."""
    store = Store.open(str(tmp_path))
    refs = encode_all({"a": 1, "b": [2]}, "s", lambda blob, data: store.put(blob_key("F", blob), data))
    artifacts = Artifacts(store, "F", refs)
    assert sorted(artifacts) == ["a", "b"]
    assert "a" in artifacts
    assert artifacts["b"] is artifacts["b"]
    store.delete(blob_key("F", refs["a"].blob))
    assert artifacts["b"] == [2]
    with pytest.raises(KeyError):
        artifacts["c"]


def test_a_ref_survives_json_and_ignores_what_is_new() -> None:
    """A commit of a later version with more fields can be read."""
    ref, _ = encode({"a": 1})
    assert Ref.from_json({**ref.to_json(), "later": True}) == ref
