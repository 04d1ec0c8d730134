"""Values as content-addressed blobs: encoding, verification, decoding, and the short text that servers may show.

A value is written in the first form that gives back exactly what was put in: JSON, else pickle. Which one it was is
recorded with the artifact, so that further codecs can stand between the two without a change to what is stored.
"""

from __future__ import annotations

import json
import pickle
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flowinfra.canonical import sha256_hex
from flowinfra.diagnostics import Diagnostic, RunError, error
from flowinfra.packaging.store import Store
from flowinfra.wire import blob_key

__all__ = [
    "CODECS",
    "TEXT_LIMIT",
    "Artifacts",
    "Codec",
    "Ref",
    "decode",
    "encode",
    "encode_all",
    "is_immutable",
    "short_text",
]

#: Bytes of the text form that is kept in a commit.
TEXT_LIMIT: Final = 1024

_ATOMS: Final = frozenset({type(None), bool, int, float, str})
_IMMUTABLE: Final = frozenset({*_ATOMS, bytes})
_MAX_DEPTH: Final = 200  # the JSON module recurses; what is nested deeper is pickled
_MAX_BITS: Final = 14_000  # Python reads integers of up to 4,300 digits from text


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


@dataclass(frozen=True, slots=True)
class Ref:
    """An artifact as a commit names it.

    Attributes:
        blob: the SHA-256 of its bytes.
        codec: the name of the codec that wrote it.
        type: the name of its type.
        size: its bytes.
        text: a short text form, for those who must not decode it.
    """

    blob: str
    codec: str
    type: str
    size: int
    text: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it stands in a commit."""
        return {"blob": self.blob, "codec": self.codec, "type": self.type, "size": self.size, "text": self.text}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Ref:
        """As a commit has it; fields that a later version adds are left out."""
        return cls(document["blob"], document["codec"], document["type"], document["size"], document.get("text", ""))


def _encode_json(value: Any) -> bytes | None:
    if not _is_plain(value):
        return None
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except ValueError:  # NaN, infinities, lone surrogates
        return None


def _is_plain(value: Any) -> bool:
    """Whether *value* is made of exact JSON types, nothing in it is shared, and no number is too long to be read.

    Pickle keeps two references to one list the same list; JSON would make them two.
    """
    if type(value) in _ATOMS:
        return type(value) is not int or value.bit_length() < _MAX_BITS
    seen: set[int] = set()
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        if not level:
            return True
        below: list[Any] = []
        for container in level:
            kind = type(container)
            if id(container) in seen or kind not in (list, dict):
                return False
            seen.add(id(container))
            if kind is dict:
                if not all(type(key) is str for key in container):
                    return False
                container = list(container.values())
            kinds = set(map(type, container))
            if int in kinds and any(type(x) is int and x.bit_length() >= _MAX_BITS for x in container):
                return False
            if not kinds <= _ATOMS:
                below += [x for x in container if type(x) not in _ATOMS]
        level = below
    return False


def _encode_pickle(value: Any) -> bytes:
    return pickle.dumps(value, protocol=5)


#: The codecs, in the order in which they are tried; the last one takes everything that can be written at all.
CODECS: Final[tuple[Codec, ...]] = (
    Codec("json", _encode_json, json.loads),
    Codec("pickle", _encode_pickle, pickle.loads),
)


def encode(value: Any, codecs: Sequence[Codec] = CODECS) -> tuple[Ref, bytes]:
    """*value* as bytes, and what a commit says of them; whatever the last codec raises if no form fits."""
    for codec in codecs:
        data = codec.encode(value)
        if data is not None:
            return Ref(sha256_hex(data), codec.name, _type_name(value), len(data), short_text(value)), data
    raise TypeError("no codec takes it")


def encode_all(
    values: Mapping[str, Any], step: str, put: Callable[[str, bytes], None], codecs: Sequence[Codec] = CODECS
) -> dict[str, Ref]:
    """Write *values* through *put* (a blob's hash and its bytes), each only while it is being written in memory.

    Raises:
        RunError: FI705 for each attribute of *step* that cannot be serialised; nothing is committed then.
    """
    refs: dict[str, Ref] = {}
    found: list[Diagnostic] = []
    for name, value in values.items():
        try:
            refs[name], data = encode(value, codecs)
        except Exception as why:  # noqa: BLE001 - pickle raises whatever the object's own methods raise
            found.append(
                error(
                    "FI705",
                    f"self.{name} cannot be kept: the step {step} leaves a {_type_name(value)} in it",
                    detail=f"{type(why).__name__}: {why}",
                    hint=f"keep what it was made from instead, rename it to self._{name} if no later step needs it, "
                    f"or `del self.{name}` before the step ends",
                )
            )
            continue
        if not found:
            put(refs[name].blob, data)
    if found:
        raise RunError(found)
    return refs


def decode(ref: Ref, data: bytes, name: str = "artifact", codecs: Sequence[Codec] = CODECS) -> Any:
    """The value that *ref* names, out of its bytes. Pickled values run code: only for data of one's own runs.

    Raises:
        RunError: FI706, *data* is not what the commit names; FI707, it cannot be decoded here.
    """
    digest = sha256_hex(data)
    if digest != ref.blob:
        raise RunError(
            error(
                "FI706",
                f"{name} is damaged: its content is not what its task has committed",
                detail=f"the commit names the SHA-256 {ref.blob}, the store holds {len(data)} bytes with {digest}",
                hint="run the step again, and look at who may write to the store",
            )
        )
    codec = next((c for c in codecs if c.name == ref.codec), None)
    try:
        if codec is None:
            raise ValueError(f"the codec {ref.codec!r} is not known here")
        return codec.decode(data)
    except Exception as why:  # unpickling raises whatever the modules and classes that it imports raise
        raise RunError(
            error(
                "FI707",
                f"{name}, a {ref.type}, cannot be decoded: {type(why).__name__}: {why}",
                detail=f"it was written as {ref.codec}",
                hint="install the same version of the package that it comes from, or read it where it is installed",
            )
        ) from why


def is_immutable(value: Any) -> bool:
    """Whether a loaded value that is still the same object must still have the same content."""
    return type(value) in _IMMUTABLE


class Artifacts(Mapping[str, Any]):
    """The artifacts of one commit, each fetched and decoded when it is asked for.

    Args:
        store: where the blobs are.
        flow: the flow's name.
        refs: what the commit names.
    """

    def __init__(self, store: Store, flow: str, refs: Mapping[str, Ref]) -> None:
        self._store = store
        self._flow = flow
        self.refs = refs
        self._values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            ref = self.refs[name]
            self._values[name] = decode(ref, self._store.get(blob_key(self._flow, ref.blob)), f"the artifact {name}")
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self.refs

    def __iter__(self) -> Iterator[str]:
        return iter(self.refs)

    def __len__(self) -> int:
        return len(self.refs)


def short_text(value: Any) -> str:
    """A text form of *value* of at most :data:`TEXT_LIMIT` bytes, made without walking through large containers."""
    try:
        text = _repr_of(value)
    except Exception as why:  # noqa: BLE001 - repr() of a user's class may raise anything
        text = f"<{_type_name(value)}, whose repr raises {type(why).__name__}>"
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= TEXT_LIMIT:
        return data.decode()
    return data[: TEXT_LIMIT - 3].decode("utf-8", "ignore") + "…"


def _repr_of(value: Any) -> str:
    if type(value) in (str, bytes) and len(value) > TEXT_LIMIT:
        return repr(value[:TEXT_LIMIT])
    if type(value) is int and value.bit_length() >= _MAX_BITS:
        return f"<int of {value.bit_length()} bits>"
    if type(value) in (list, tuple, dict, set, frozenset):
        shortener = reprlib.Repr()
        shortener.maxlist = shortener.maxtuple = shortener.maxdict = shortener.maxset = shortener.maxfrozenset = 100
        shortener.maxstring = shortener.maxother = shortener.maxlong = 200
        shortener.maxlevel = 6
        return shortener.repr(value)
    return repr(value)


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
