from __future__ import annotations

import base64
import dataclasses
import datetime
import enum
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pandas.testing import assert_frame_equal, assert_series_equal

from flowinfra.canonical import sha256_hex
from flowinfra.diagnostics import RunError
from flowinfra.runtime.artifacts import Ref, decode, encode
from flowinfra.runtime.failures import TaskFailure
from support.child import Python


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    ends: tuple[Point, Point]
    colour: Colour = Colour.RED
    drawn: datetime.datetime | None = None
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Counted:
    """Its constructor does something."""

    n: int

    def __post_init__(self) -> None:
        self.n += 1


@dataclasses.dataclass
class Own:
    n: int

    def __getstate__(self) -> Any:
        return {"n": self.n}


@dataclasses.dataclass
class Failure(Exception):
    n: int


class Inner(pydantic.BaseModel):
    n: int = 1
    tags: list[str] = []


class Model(pydantic.BaseModel):
    name: str
    at: datetime.date | None = None
    inner: Inner = Inner()
    other: Any = None
    aliased: int = pydantic.Field(default=3, alias="Aliased")
    _cache: dict[str, int] = pydantic.PrivateAttr(default_factory=dict)


class Hashed(pydantic.BaseModel):
    """Its validator changes what it is given each time."""

    secret: str

    @pydantic.field_validator("secret")
    @classmethod
    def _hash(cls, value: str) -> str:
        return f"#{value}"


def again(value: Any) -> tuple[str, Any]:
    """The codec that took *value*, and what comes back."""
    ref, data = encode(value)
    assert (ref.blob, ref.size) == (sha256_hex(data), len(data))
    return ref.codec, decode(ref, data)


# -- NumPy ----------------------------------------------------------------------------------------------------------

SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
DTYPES = (
    arrays.scalar_dtypes()
    | arrays.unicode_string_dtypes()
    | arrays.byte_string_dtypes()
    | arrays.nested_dtypes(max_itemsize=200)
)


@given(st.data())
def test_arrays_come_back_as_they_were(data: Any) -> None:
    """Any dtype but objects, any shape, any order in memory; writable, and without pickle."""
    array = data.draw(arrays.arrays(data.draw(DTYPES), data.draw(SHAPES)))
    if array.ndim == 2 and data.draw(st.booleans()):
        array = np.asfortranarray(array)
    if array.ndim and data.draw(st.booleans()):
        array = array[::-1]
    codec, found = again(array)
    assert codec in ("npy", "pickle")
    assert codec == "npy" or array.dtype.names is not None or array.dtype.subdtype is not None
    assert type(found) is np.ndarray
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable


def test_what_a_npy_file_cannot_keep_is_pickled() -> None:
    """Objects, subclasses, masks, and what is said beside a dtype."""
    told = np.zeros(2, np.dtype("i4", metadata={"unit": "m"}))
    for value in (np.array(["a", None], object), np.ma.masked_array([1, 2], [0, 1]), told, np.rec.array([(1,)])):
        codec, found = again(value)
        assert codec == "pickle"
        assert type(found) is type(value)
    assert again(told)[1].dtype.metadata == {"unit": "m"}


@given(st.data())
def test_scalars_keep_their_type(data: Any) -> None:
    """A np.float32 is one again; a number of C that NumPy has under another name, too, is pickled."""
    value = data.draw(arrays.arrays(data.draw(arrays.scalar_dtypes()), ()))[()]
    codec, found = again(value)
    assert type(found) is type(value)
    assert found.tobytes() == value.tobytes()
    assert codec == "numpy-scalar"
    assert again(np.longlong(3))[1] == 3


def test_an_array_is_copied_once() -> None:
    """Encoding 64 MiB takes 64 MiB and little more, in whichever order they lie."""
    import tracemalloc

    for array in (np.zeros((1024, 8192)), np.zeros((1024, 8192), order="F")):
        tracemalloc.start()
        encode(array)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1.1 * array.nbytes


# -- pandas ---------------------------------------------------------------------------------------------------------

LABELS = st.none() | st.text(max_size=3) | st.integers(-5, 5)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@st.composite
def columns(draw: st.DrawFn, size: int) -> Any:
    """A column of *size* items, of any kind."""
    kind = draw(
        st.sampled_from(["numpy", "text", "object", "category", "zoned", "Int64", "boolean", "Float32", "period"])
    )
    gone = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    ints = draw(st.lists(st.integers(-100, 100), min_size=size, max_size=size))
    texts = [None if g else t for g, t in zip(gone, draw(st.lists(TEXTS, min_size=size, max_size=size)), strict=True)]
    match kind:
        case "numpy":
            dtype = draw(st.sampled_from(["i1", "u4", ">i8", "f4", "f8", "c16", "?", "M8[ns]", "M8[s]", "m8[us]"]))
            return np.array(ints).astype(dtype)
        case "text":
            return pd.array(texts, dtype=draw(st.sampled_from(["str", "string"])))
        case "object":
            mixed = [draw(st.sampled_from([t, 1, 1.5, None, float("nan"), True])) for t in texts]
            out = np.empty(size, object)
            out[:] = mixed
            return out
        case "category":
            return pd.Categorical(texts, ordered=draw(st.booleans()))
        case "zoned":
            zone = draw(st.sampled_from(["UTC", "Europe/Berlin", "+02:00"]))
            return pd.DatetimeIndex(pd.to_datetime(np.array(ints) * 10**9)).tz_localize("UTC").tz_convert(zone).array
        case "period":
            return pd.period_range("2030-01", periods=size, freq="M").array
        case "boolean":
            return pd.array([None if g else i > 0 for g, i in zip(gone, ints, strict=True)], dtype="boolean")
        case _:
            return pd.array([None if g else i for g, i in zip(gone, ints, strict=True)], dtype=kind)


@st.composite
def indexes(draw: st.DrawFn, size: int) -> Any:
    """Labels for *size* rows."""
    match draw(st.sampled_from(["range", "plain", "texts", "dates", "levels", "categories", "periods"])):
        case "range":
            return pd.RangeIndex(3, 3 + 2 * size, 2, name=draw(LABELS))
        case "plain":
            return pd.Index(draw(st.lists(st.integers(0, 3), min_size=size, max_size=size)), dtype="int64", name="n")
        case "texts":
            return pd.Index(draw(st.lists(TEXTS, min_size=size, max_size=size)), dtype="str")
        case "dates":
            zone = draw(st.sampled_from([None, "Europe/Berlin"]))
            days = pd.date_range("2030-03-30", periods=size, freq=draw(st.sampled_from(["D", "h", "MS"])), tz=zone)
            return days if draw(st.booleans()) else days[::-1]
        case "levels":
            rows = draw(st.lists(st.tuples(st.integers(0, 2), TEXTS), min_size=size, max_size=size))
            return pd.MultiIndex.from_tuples(rows, names=["a", draw(LABELS)]) if size else pd.RangeIndex(0)
        case "categories":
            return pd.CategoricalIndex(draw(st.lists(TEXTS, min_size=size, max_size=size)))
        case _:
            return pd.period_range("2030-01", periods=size, freq="M")


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Any frame."""
    size = draw(st.integers(0, 4))
    parts = draw(st.lists(columns(size), max_size=4))
    index = draw(indexes(size))
    found = pd.DataFrame(
        {i: pd.Series(part, index=index, dtype=part.dtype) for i, part in enumerate(parts)}, index=index
    )
    found.columns = pd.Index(draw(st.lists(LABELS, min_size=len(parts), max_size=len(parts))), dtype=object)
    if draw(st.booleans()):
        found.attrs["unit"] = draw(st.sampled_from(["m", ["m", 1], ("m", 1)]))
    return found


@given(frames())
def test_frames_come_back_as_they_were(frame: pd.DataFrame) -> None:
    """Dtypes, labels, names, categories, time zones, frequencies and attributes; what cannot be kept is pickled."""
    codec, found = again(frame)
    assert codec in ("pandas", "pickle")
    assert_frame_equal(found, frame, check_exact=True, check_freq=True, check_column_type="equiv")
    assert list(map(repr, found.dtypes)) == list(map(repr, frame.dtypes))
    assert type(found.index) is type(frame.index)
    assert list(found.index.names) == list(frame.index.names)
    assert repr(found.attrs) == repr(frame.attrs)
    if frame.shape[1]:
        series = frame.iloc[:, 0]
        assert_series_equal(again(series)[1], series, check_exact=True)


def test_ordinary_frames_are_not_pickled() -> None:
    """Mixed columns, a time index with a zone, categories, texts with gaps, levels of labels, forbidden duplicates."""
    days = pd.date_range("2030-01-01", periods=3, freq="D", tz="Europe/Berlin", name="day")
    frame = pd.DataFrame(
        {
            "n": [1, 2, 3],
            "x": [0.5, None, 2.0],
            "who": ["a", None, "b"],
            "kind": pd.Categorical(["u", "v", "u"], ordered=True),
            "at": days,
            "count": pd.array([1, None, 3], dtype="Int32"),
        },
        index=days,
    ).set_flags(allows_duplicate_labels=False)
    codec, found = again(frame)
    assert codec == "pandas"
    assert_frame_equal(found, frame)
    assert found.index.freq == days.freq
    assert found.flags.allows_duplicate_labels is False
    assert found["kind"].cat.ordered
    found.loc[days[0], "n"] = 7  # it can be worked with
    assert again(frame.reset_index().groupby(["kind", "who"], observed=True).sum(numeric_only=True))[0] == "pandas"
    assert again(frame["who"])[0] == again(pd.Series([1, 2], name="s"))[0] == "pandas"


def test_a_frame_that_would_change_is_pickled() -> None:
    """Objects in cells, periods, sparse columns, labels that are tuples, subclasses."""

    class Mine(pd.DataFrame):
        pass

    for value in (
        pd.DataFrame({"a": [{1}, {2}]}),
        pd.Series(pd.period_range("2030", periods=2, freq="D")),
        pd.Series(pd.arrays.SparseArray([0, 0, 1])),
        pd.Series([1], name=("a", "b")),
        pd.Series([pd.Timestamp("2030-01-01"), None], dtype=object),
    ):
        assert again(value)[0] == "pickle"
    with pytest.raises(Exception, match="Mine"):
        encode(Mine({"a": [1]}))  # of a local class, so not even pickle takes it: it was not made a plain frame


# -- models and dataclasses -----------------------------------------------------------------------------------------


@given(
    st.builds(
        Model,
        name=st.text(st.characters(exclude_categories=["Cs"])),
        at=st.none() | st.dates(),
        inner=st.builds(Inner, n=st.integers()) | st.builds(Inner),
        other=st.none() | st.floats() | st.lists(st.integers()) | st.tuples(st.integers()) | st.just(Colour.RED),
        Aliased=st.integers(),
    )
)
def test_models_come_back_as_they_were(model: Model) -> None:
    """Fields, aliases, which of them were set; a value that validation would change is pickled."""
    codec, found = again(model)
    assert repr(found) == repr(model)
    assert type(found.other) is type(model.other)
    assert found.model_fields_set == model.model_fields_set
    assert found.inner.model_fields_set == model.inner.model_fields_set
    assert (codec == "pydantic") == (
        model.other is None or (type(model.other) in (list, float) and repr(model.other) not in ("nan", "inf", "-inf"))
    )


def test_models_that_would_change_are_pickled() -> None:
    """A validator that is not idempotent, private attributes that were set, and changed defaults that were never set."""
    assert again(Hashed(secret="x"))[0] == "pickle"
    assert again(Hashed(secret="x"))[1].secret == "#x"
    model = Model(name="a")
    model._cache["k"] = 1
    codec, found = again(model)
    assert (codec, found._cache) == ("pickle", {"k": 1})
    grown = Model(name="a")
    grown.inner = Inner()
    grown.inner.tags.append("t")
    assert again(grown)[1].inner.tags == ["t"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.just(Colour.RED),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner)
        | st.dictionaries(st.integers(), inner)
        | st.builds(Line, ends=st.tuples(st.builds(Point, x=st.integers()), st.builds(Point, x=st.integers())))
    ),
    max_leaves=8,
)


@given(PLAIN)
def test_dataclasses_come_back_as_they_were(value: Any) -> None:
    """With nested ones, tuples, dates and enumerations, frozen and with slots."""
    point = Point(1, 2.0, [])
    line = Line((point, Point(3)), Colour.RED, datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC), {"value": value})
    codec, found = again(line)
    assert codec in ("dataclass", "pickle")
    assert repr(found) == repr(line)
    assert type(found.notes["value"]) is type(value)
    assert found == line or "nan" in repr(value)


def test_a_dataclass_is_made_without_its_constructor() -> None:
    """What it did when the value was made is not done again."""
    assert again(Counted(1)) == ("dataclass", Counted(1))
    assert again(Counted(1))[1].n == 2


def test_dataclasses_with_a_state_of_their_own_are_pickled() -> None:
    """Own pickling, exceptions, attributes that are no fields, things that are shared."""
    more = Point(1)
    more.z = 3  # type: ignore[attr-defined]
    tags = ["a"]
    for value in (Own(1), Failure(1), more, Line((Point(1, 0, tags), Point(2, 0, tags)))):
        assert again(value)[0] == "pickle"
    assert again(more)[1].z == 3


def test_a_dataclass_that_has_changed_since() -> None:
    """A new field has its default; a field that is gone is an error that names it."""
    ref, data = encode(Point(1))
    older = data.replace(b',"y":0.5', b"")
    assert decode(_ref_of(ref, older), older) == Point(1)
    newer = data.replace(b'"y"', b'"z"')
    with pytest.raises(RunError, match=r"FI707.*Point has no field z any more"):
        decode(_ref_of(ref, newer), newer)


def test_a_name_in_an_artifact_is_not_called() -> None:
    """Whoever changes stored bytes can at most name another class of the same kind."""
    for codec, data in (
        ("dataclass", b'{"class":"subprocess:Popen","fields":{}}'),
        ("dataclass", b'{"enum":"subprocess:Popen","name":"x"}'),
        ("pydantic", b'{"class":"subprocess:Popen","set":[],"data":{}}'),
        ("dataclass", b'{"class":"os:system","fields":{}}'),
    ):
        with pytest.raises(RunError, match=r"FI707.* any more"):
            decode(Ref(sha256_hex(data), codec, "x", len(data)), data)


def test_no_library_is_imported_before_a_value_of_it_is_met(python: Python) -> None:
    """Neither to write other values nor to know the codecs."""
    printed = python.code(
        "from flowinfra.runtime.artifacts import encode\n"
        "import sys\n"
        "for value in (1, {'a': [1]}, (1, 2), {1}, slice(1)):\n"
        "    encode(value)\n"
        "print(sorted({'numpy', 'pandas', 'pydantic'} & sys.modules.keys()))"
    )
    assert printed.strip() == "[]"


def _ref_of(ref: Ref, data: bytes) -> Ref:
    return dataclasses.replace(ref, blob=sha256_hex(data), size=len(data))


FIRST_RELEASE = Path(__file__).resolve().parents[2] / "fixtures" / "first_release" / "artifacts.json"


def test_artifacts_of_the_first_release_open() -> None:
    """It pickled what has a form of its own now."""
    found = {}
    for name, kept in json.loads(FIRST_RELEASE.read_text(encoding="utf-8")).items():
        ref = Ref.from_json(kept["ref"])
        assert ref.codec in ("json", "pickle")
        found[name] = decode(ref, base64.b64decode(kept["data"]), name)
    array, scalar = found.pop("array"), found.pop("scalar")
    assert found == {
        "plain": {"b": [1, 2.5, None, "ü"]},
        "tuple": (1, "a"),
        "day": datetime.date(2030, 1, 2),
        "failure": TaskFailure("ValueError", "no", "trace", "train", "0.1"),
    }
    assert (array.dtype, array.tolist()) == (np.dtype("f4"), [[0, 1], [2, 3]])
    assert (type(scalar), scalar) == (np.float32, 1.5)
    assert {name: encode(value)[0].codec for name, value in found.items()} == {
        "plain": "json",
        "tuple": "pickle",
        "day": "pickle",
        "failure": "dataclass",
    }
