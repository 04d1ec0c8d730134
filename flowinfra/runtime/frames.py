"""pandas frames and series as bytes: each column's memory as it is, and a description in JSON in front.

The form is ours and not Parquet, which needs a library larger than pandas itself and does not keep every frame (an
index with a frequency, labels that are no texts): decision 0024. Nothing in it is code. What it cannot give back
exactly it does not take; then the frame is pickled.

Layout: ``FIFRAME1``, the length of the description in eight bytes, the description, then the parts one behind the other.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final

import numpy as np
import pandas as pd  # type: ignore[import-untyped]

from flowinfra.runtime.codecs import is_atom, json_bytes

__all__ = ["decode", "encode"]

_MAGIC: Final = b"FIFRAME1"
_LENGTH: Final = struct.Struct("<Q")
_MEMORY: Final = "biufcmM"  # kinds of dtypes whose memory is their content
_MASKED: Final = {
    **dict.fromkeys(("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"), pd.arrays.IntegerArray),
    **dict.fromkeys(("Float32", "Float64"), pd.arrays.FloatingArray),
    "boolean": pd.arrays.BooleanArray,
}

Spec = dict[str, Any]


class _UnfitError(Exception):
    """The frame has something in it that this form does not keep."""


def encode(value: pd.DataFrame | pd.Series) -> bytes:
    """A frame or a series as bytes, made with one copy of its data.

    Raises:
        Exception: this form would not give back exactly *value*.
    """
    out = _Writer()
    if isinstance(value, pd.DataFrame):
        columns = [_column(out, value.iloc[:, i]) for i in range(value.shape[1])]
        spec = {"kind": "frame", "columns": _checked_index(out, value.columns), "data": columns}
    else:
        spec = {"kind": "series", "name": _label(value.name), "data": [_column(out, value)]}
    spec |= {
        "index": _checked_index(out, value.index),
        "attrs": _attributes(value.attrs),
        "duplicates": value.flags.allows_duplicate_labels,
    }
    description = json_bytes({**spec, "sizes": [len(part) for part in out.parts]})
    return b"".join((_MAGIC, _LENGTH.pack(len(description)), description, *out.parts))


def decode(data: bytes) -> Any:
    """The frame or series again.

    Raises:
        ValueError: *data* is none.
    """
    if data[: len(_MAGIC)] != _MAGIC:
        raise ValueError("it is no frame")
    start = len(_MAGIC) + _LENGTH.size
    (length,) = _LENGTH.unpack_from(data, len(_MAGIC))
    spec = json.loads(data[start : start + length])
    parts, at, view = [], start + length, memoryview(data)
    for size in spec["sizes"]:
        parts.append(view[at : at + size])
        at += size
    index = _index_of(spec["index"], parts)
    columns = [_series_of(column, parts, index) for column in spec["data"]]
    value: Any
    if spec["kind"] == "series":
        value = columns[0]
        value.name = spec["name"]
    else:
        value = pd.DataFrame(dict(enumerate(columns)), index=index)
        value.columns = _index_of(spec["columns"], parts)
    if not spec["duplicates"]:
        value = value.set_flags(allows_duplicate_labels=False)
    value.attrs.update(spec["attrs"])
    return value


class _Writer:
    """Collects the parts."""

    def __init__(self) -> None:
        self.parts: list[Any] = []

    def add(self, data: Any) -> int:
        self.parts.append(data)
        return len(self.parts) - 1


# -- arrays ---------------------------------------------------------------------------------------------------------


def _column(out: _Writer, column: pd.Series) -> Spec:
    return _array(out, column.array)


def _array(out: _Writer, array: Any) -> Spec:
    """What describes *array*, whose memory goes to *out*."""
    array = _bare(array)
    spec = _described(out, array)
    probe = _Writer()
    # Whether its type comes back is seen on an empty one; its content is its memory.
    again = _array_of(_described(probe, array[:0]), [memoryview(bytes(p)) for p in probe.parts])
    if again.dtype != array.dtype or repr(again.dtype) != repr(array.dtype):
        raise _UnfitError
    return spec


def _bare(array: Any) -> Any:
    """The array of NumPy behind pandas' wrapper."""
    return np.asarray(array) if type(array) is pd.arrays.NumpyExtensionArray else array


def _described(out: _Writer, array: Any) -> Spec:
    dtype = array.dtype
    if isinstance(dtype, np.dtype):
        values = np.asarray(array)
        if dtype.kind in _MEMORY and dtype.metadata is None:
            return {"is": "numpy", "dtype": dtype.str, "at": out.add(_memory(values))}
        if dtype.kind == "O":
            return {"is": "objects", "at": out.add(_texts(values.tolist()))}
    elif type(dtype) is pd.CategoricalDtype:
        return {
            "is": "categories",
            "codes": _described(out, array.codes),
            "of": _checked_index(out, dtype.categories),
            "ordered": bool(dtype.ordered),
        }
    elif type(dtype) is pd.StringDtype:
        texts = [None if gone else text for text, gone in zip(array.tolist(), array.isna(), strict=True)]
        missing = "NaN" if isinstance(dtype.na_value, float) else "NA"
        return {"is": "texts", "storage": dtype.storage, "missing": missing, "at": out.add(_texts(texts))}
    elif type(dtype) is pd.DatetimeTZDtype:
        zone = {"unit": dtype.unit, "zone": str(dtype.tz)}
        return {"is": "zoned", **zone, "at": out.add(_memory(array.asi8))}
    elif dtype.name in _MASKED and type(array) is _MASKED[dtype.name]:
        gone = np.asarray(array.isna(), dtype=bool)
        zero = False if dtype.name == "boolean" else 0
        values = array.to_numpy(dtype=dtype.numpy_dtype, na_value=zero)
        return {"is": "masked", "values": _described(out, values), "gone": _described(out, gone), "type": dtype.name}
    raise _UnfitError


def _array_of(spec: Spec, parts: list[memoryview]) -> Any:
    match spec["is"]:
        case "numpy":
            return np.frombuffer(parts[spec["at"]], dtype=np.dtype(spec["dtype"])).copy()
        case "objects":
            items = json.loads(bytes(parts[spec["at"]]))
            out = np.empty(len(items), dtype=object)
            out[:] = items
            return out
        case "categories":
            dtype = pd.CategoricalDtype(_index_of(spec["of"], parts), ordered=spec["ordered"])
            return pd.Categorical.from_codes(_array_of(spec["codes"], parts), dtype=dtype)
        case "texts":
            missing: Any = np.nan if spec["missing"] == "NaN" else pd.NA
            kind: Any = pd.StringDtype
            return pd.array(json.loads(bytes(parts[spec["at"]])), dtype=kind(spec["storage"], na_value=missing))
        case "zoned":
            stamps = np.frombuffer(parts[spec["at"]], dtype="<i8").view(f"M8[{spec['unit']}]").copy()
            zoned: Any = pd.DatetimeIndex(stamps).tz_localize("UTC").tz_convert(spec["zone"])
            return zoned.array
        case "masked":
            values, gone = _array_of(spec["values"], parts), _array_of(spec["gone"], parts)
            return _MASKED[spec["type"]](values, gone)
    raise ValueError(f"columns of the kind {spec['is']!r} are not known here")


def _series_of(spec: Spec, parts: list[memoryview], index: Any) -> Any:
    array = _array_of(spec, parts)
    return pd.Series(array, index=index, dtype=array.dtype, copy=False)


def _memory(values: Any) -> Any:
    """The bytes of an array of one dimension; a view where they lie together."""
    whole = np.ascontiguousarray(values)
    return whole.view(np.uint8).data if whole.nbytes else b""


def _texts(items: list[Any]) -> bytes:
    """Texts, numbers and None as JSON; NaN has a word there that Python's reader knows."""
    if not all(is_atom(item) or (type(item) is float and item != item) for item in items):  # noqa: PLR0124 - NaN
        raise _UnfitError
    return json.dumps(items, separators=(",", ":"), ensure_ascii=False).encode()


# -- labels ---------------------------------------------------------------------------------------------------------


def _label(name: Any) -> Any:
    if not is_atom(name):
        raise _UnfitError
    return name


def _attributes(attributes: dict[Any, Any]) -> Spec:
    """Attributes of a frame, if JSON keeps them; compared in both forms, so that no tuple becomes a list."""
    plain: Spec = json.loads(json_bytes(attributes))
    if repr(plain) != repr(attributes):
        raise _UnfitError
    return plain


def _checked_index(out: _Writer, index: Any) -> Spec:
    """What describes *index*, which is made again to see that it is the same."""
    own = _Writer()
    spec = _index(own, index)
    again = _index_of(spec, [memoryview(bytes(part)) for part in own.parts])
    kept = type(again) is type(index) and again.identical(index) and again.dtype == index.dtype
    if not kept or getattr(again, "freq", None) != getattr(index, "freq", None):
        raise _UnfitError
    return _index(out, index)


def _index(out: _Writer, index: Any) -> Spec:
    if type(index) is pd.RangeIndex:
        return {"is": "range", "of": [index.start, index.stop, index.step], "name": _label(index.name)}
    if type(index) is pd.MultiIndex:
        return {
            "is": "levels",
            "levels": [_index(out, level) for level in index.levels],
            "codes": [_described(out, np.asarray(codes)) for codes in index.codes],
            "names": [_label(name) for name in index.names],
        }
    if type(index) not in (pd.Index, pd.DatetimeIndex, pd.TimedeltaIndex, pd.CategoricalIndex):
        raise _UnfitError
    freq = getattr(index, "freqstr", None)
    return {"is": "array", "array": _described(out, _bare(index.array)), "name": _label(index.name), "freq": freq}


def _index_of(spec: Spec, parts: list[memoryview]) -> Any:
    match spec["is"]:
        case "range":
            return pd.RangeIndex(*spec["of"], name=spec["name"])
        case "levels":
            levels = [_index_of(level, parts) for level in spec["levels"]]
            codes = [_array_of(codes, parts) for codes in spec["codes"]]
            return pd.MultiIndex(levels=levels, codes=codes, names=spec["names"], verify_integrity=False)
        case "array":
            array = _array_of(spec["array"], parts)
            index: Any = pd.Index(array, dtype=array.dtype, name=spec["name"])
            if spec["freq"]:
                index.freq = spec["freq"]
            return index
    raise ValueError(f"labels of the kind {spec['is']!r} are not known here")
