"""The forms of values that stand between JSON and pickle: arrays, frames, models and dataclasses without running code.

A codec takes a value only if it gives back exactly that value; what it does not take, the next one gets, and pickle is
the last. None of the libraries is imported before a value of it is met: such a value has imported it already. Decision
0024 says why these forms and no others.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import enum
import importlib
import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ATOMS", "LIBRARY_CODECS", "MAX_BITS", "Codec", "is_atom", "json_bytes", "json_value", "plain_array"]

#: The types that JSON has as they are.
ATOMS: Final = frozenset({type(None), bool, int, float, str})

#: Bits of an integer from which on it is no JSON: Python reads integers of up to 4,300 digits from text.
MAX_BITS: Final = 14_000

_HEADER_LIMIT: Final = 10_000  # NumPy reads no longer header of a file that it does not trust
_MAX_DEPTH: Final = 100
_KINDS: Final = "biufcSUmMV"  # of dtypes whose memory is their content


@dataclass(frozen=True, slots=True)
class Codec:
    """One form of values.

    Attributes:
        name: what is recorded with the artifact.
        encode: the value as bytes, or None if this form would not give back exactly the value.
        decode: the value again.
    """

    name: str
    encode: Callable[[Any], bytes | None]
    decode: Callable[[bytes], Any]


def is_atom(value: Any) -> bool:
    """Whether *value* is exactly null, a boolean, a text, or a finite number that JSON readers take."""
    kind = type(value)
    if kind is int:
        return bool(value.bit_length() < MAX_BITS)
    return kind in ATOMS and (kind is not float or math.isfinite(value))


def json_bytes(document: Any) -> bytes:
    """A document as JSON; ValueError for what JSON or UTF-8 have no form for."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def json_value(data: bytes) -> Any:
    """The document again."""
    return json.loads(data)


def _loaded(name: str) -> ModuleType | None:
    """The library *name*, if it was imported: without that, nothing can be a value of it."""
    return sys.modules.get(name)


def _or_none(encode: Callable[[Any], bytes | None]) -> Callable[[Any], bytes | None]:
    """Whatever a library raises over a value that it cannot write, the next codec gets the value."""

    def tried(value: Any) -> bytes | None:
        with contextlib.suppress(Exception):
            return encode(value)
        return None

    return tried


# -- NumPy ----------------------------------------------------------------------------------------------------------


def plain_array(value: np.ndarray[Any, Any]) -> bool:
    """Whether the memory of an array is its content, and a .npy file keeps its dtype."""
    import numpy as np

    dtype = value.dtype
    if type(value) is not np.ndarray or dtype.hasobject or dtype.kind not in _KINDS or _has_metadata(dtype):
        return False
    restored: Any = np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype))
    return bool(restored == dtype and restored.isalignedstruct == dtype.isalignedstruct)


def _has_metadata(dtype: Any) -> bool:
    if dtype.metadata:
        return True
    if dtype.subdtype is not None:
        return _has_metadata(dtype.subdtype[0])
    return any(_has_metadata(field[0]) for field in (dtype.fields or {}).values())


def _encode_array(value: Any) -> bytes | None:
    np = _loaded("numpy")
    if np is None or not isinstance(value, np.ndarray) or not plain_array(value):
        return None
    return _npy(value)


def _npy(value: Any) -> bytes | None:
    """A .npy file in memory, made with one copy of the data."""
    import numpy as np

    shape: dict[str, Any] = np.lib.format.header_data_from_array_1_0(value)
    head = io.BytesIO()
    try:
        np.lib.format.write_array_header_1_0(head, shape)
    except ValueError:
        head = io.BytesIO()
        np.lib.format.write_array_header_2_0(head, shape)
    if len(head.getvalue()) >= _HEADER_LIMIT:
        return None
    whole = np.ascontiguousarray(value.T if shape["fortran_order"] else value)
    if not whole.nbytes:
        return head.getvalue()
    return b"".join((head.getvalue(), whole.reshape(-1).view(np.uint8).data))


def _decode_array(data: bytes) -> Any:
    import numpy as np

    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _encode_scalar(value: Any) -> bytes | None:
    np = _loaded("numpy")
    if np is None or not isinstance(value, np.generic):
        return None
    array = np.asarray(value)
    data = _npy(array) if plain_array(array) else None
    if data is None:
        return None
    again = _decode_scalar(data)
    same = type(again) is type(value) and again.dtype == value.dtype and again.tobytes() == value.tobytes()
    return data if same else None  # of a text its zeros at the end would be lost


def _decode_scalar(data: bytes) -> Any:
    return _decode_array(data)[()]


# -- pandas ---------------------------------------------------------------------------------------------------------


def _encode_frame(value: Any) -> bytes | None:
    pandas = _loaded("pandas")
    if pandas is None or type(value) not in (pandas.DataFrame, pandas.Series):
        return None
    from flowinfra.runtime import frames

    return frames.encode(value)


def _decode_frame(data: bytes) -> Any:
    from flowinfra.runtime import frames

    return frames.decode(data)


# -- pydantic -------------------------------------------------------------------------------------------------------


def _encode_model(value: Any) -> bytes | None:
    pydantic = _loaded("pydantic")
    if pydantic is None or not isinstance(value, pydantic.BaseModel):
        return None
    # What was left to its default stays so where that gives back the same; a default may be another one each time.
    for unset in (True, False):
        with contextlib.suppress(Exception):
            document = {
                "class": _name_of(type(value)),
                "set": sorted(value.model_fields_set),
                "data": json.loads(value.model_dump_json(round_trip=True, by_alias=False, exclude_unset=unset)),
            }
            data = json_bytes(document)
            if _same(_decode_model(data), value):
                return data
    return None


def _decode_model(data: bytes) -> Any:
    from pydantic import BaseModel

    document = json.loads(data)
    kind = _class_called(document["class"])
    if not issubclass(kind, BaseModel):
        raise TypeError(f"{document['class']} is no pydantic model any more")
    value = kind.model_validate_json(json.dumps(document["data"]), by_name=True, by_alias=False)
    object.__setattr__(value, "__pydantic_fields_set__", set(document["set"]))
    return value


def _same(one: Any, other: Any) -> bool:
    """Whether two values cannot be told apart: their types, and all that is in them."""
    if type(one) is not type(other):
        return False
    if hasattr(one, "__pydantic_fields_set__"):
        parts = ("__dict__", "__pydantic_extra__", "__pydantic_private__", "__pydantic_fields_set__")
        return all(_same(getattr(one, part, None), getattr(other, part, None)) for part in parts)
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            _same(a, b) and _same(one[a], other[b]) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, (set, frozenset)):
        return bool(one == other) and sorted(map(repr, one)) == sorted(map(repr, other))
    if dataclasses.is_dataclass(one):
        return all(_same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    return bool(one == other) and (not isinstance(one, (float, datetime.datetime)) or repr(one) == repr(other))


# -- dataclasses ----------------------------------------------------------------------------------------------------


class _UnfitError(Exception):
    """The value has something in it that this form does not keep."""


def _encode_dataclass(value: Any) -> bytes | None:
    if isinstance(value, type) or not dataclasses.is_dataclass(value):
        return None
    return json_bytes(_tree(value, set(), 0))


def _tree(value: Any, seen: set[int], depth: int) -> Any:
    """*value* as JSON in which every object says what it stands for; nothing in it may be shared."""
    if is_atom(value):
        return value
    kind: Any = type(value)
    if issubclass(kind, enum.Enum) and kind[value.name] is value:
        return {"enum": _name_of(kind), "name": value.name}
    if kind in (datetime.date, datetime.datetime):
        text = value.isoformat()
        if repr(kind.fromisoformat(text)) != repr(value):
            raise _UnfitError
        return {kind.__name__: text}
    if id(value) in seen or depth > _MAX_DEPTH:
        raise _UnfitError
    seen.add(id(value))
    if kind is list:
        return [_tree(item, seen, depth + 1) for item in value]
    if kind is tuple:
        return {"tuple": [_tree(item, seen, depth + 1) for item in value]}
    if kind is dict and all(type(key) is str for key in value):
        return {"dict": {key: _tree(item, seen, depth + 1) for key, item in value.items()}}
    if dataclasses.is_dataclass(value):
        fields = {name: _tree(item, seen, depth + 1) for name, item in _state(value)}
        return {"class": _name_of(kind), "fields": fields}
    raise _UnfitError


def _state(value: Any) -> Iterable[tuple[str, Any]]:
    """The fields of a dataclass, if they are all of its state, and no method of its own says otherwise."""
    kind = type(value)
    names = [field.name for field in dataclasses.fields(value)]
    own = {"__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__"}
    for owner in kind.__mro__[:-1]:
        for name in own & vars(owner).keys():
            if getattr(vars(owner)[name], "__module__", "") != "dataclasses":
                raise _UnfitError
    object.__new__(kind)  # TypeError for what is built on another type, an exception say
    held = getattr(value, "__dict__", {})
    slots = {slot for owner in kind.__mro__ for slot in _slots(owner) if slot not in ("__dict__", "__weakref__")}
    if not {*held, *(slot for slot in slots if hasattr(value, slot))} <= set(names):
        raise _UnfitError
    # In the order in which they are held, which vars() shows.
    return [(n, getattr(value, n)) for n in (*held, *(n for n in names if n not in held))]


def _slots(owner: type) -> Iterable[str]:
    slots = vars(owner).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else slots


def _decode_dataclass(data: bytes) -> Any:
    return _value(json.loads(data))


def _value(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_value(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    match tree:
        case {"class": name, "fields": fields}:
            return _made(_class_called(name), fields)
        case {"dict": items}:
            return {key: _value(item) for key, item in items.items()}
        case {"tuple": items}:
            return tuple(_value(item) for item in items)
        case {"enum": owner, "name": name}:
            kind = _class_called(owner)
            if not issubclass(kind, enum.Enum):
                raise TypeError(f"{owner} is no enumeration any more")
            return kind[name]
        case {"datetime": text}:
            return datetime.datetime.fromisoformat(text)
        case {"date": text}:
            return datetime.date.fromisoformat(text)
    raise ValueError(f"an object with {', '.join(tree)} means nothing here")


def _made(kind: type, fields: Mapping[str, Any]) -> Any:
    """An instance with these fields; ``__init__`` is not run, as it ran when the value was first made."""
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__qualname__} is no dataclass any more")
    value = object.__new__(kind)
    known = {field.name: field for field in dataclasses.fields(kind)}
    gone = [name for name in fields if name not in known]
    if gone:
        raise ValueError(f"{kind.__qualname__} has no field {', '.join(gone)} any more")
    for name, tree in fields.items():
        object.__setattr__(value, name, _value(tree))
    for name, default in _defaults(known[n] for n in known if n not in fields):
        object.__setattr__(value, name, default)
    return value


def _defaults(fields: Iterable[dataclasses.Field[Any]]) -> Iterator[tuple[str, Any]]:
    """The defaults of fields that came to the class after the value was written; one without is left unset."""
    for field in fields:
        if field.default is not dataclasses.MISSING:
            yield field.name, field.default
        elif field.default_factory is not dataclasses.MISSING:
            yield field.name, field.default_factory()


# -- classes by name ------------------------------------------------------------------------------------------------


def _name_of(kind: type) -> str:
    """``module:Class``, if it is found again under it."""
    name = f"{kind.__module__}:{kind.__qualname__}"
    if _class_called(name) is not kind:
        raise _UnfitError
    return name


def _class_called(name: str) -> type:
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    if not isinstance(found, type):
        raise TypeError(f"{name} is no class any more")
    return found


#: The codecs of libraries, in the order in which they are tried.
LIBRARY_CODECS: Final[tuple[Codec, ...]] = (
    Codec("npy", _or_none(_encode_array), _decode_array),
    Codec("numpy-scalar", _or_none(_encode_scalar), _decode_scalar),
    Codec("pandas", _or_none(_encode_frame), _decode_frame),
    Codec("pydantic", _or_none(_encode_model), _decode_model),
    Codec("dataclass", _or_none(_encode_dataclass), _decode_dataclass),
)
