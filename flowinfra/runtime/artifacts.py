"""Values as content-addressed blobs: encoding, verification, decoding, and the short text that servers may show.

A value is written in the first form that gives back exactly what was put in: JSON, a form of the library that it comes
from (:mod:`flowinfra.runtime.codecs`), else pickle. Which one it was is recorded with the artifact.
"""

from __future__ import annotations

import codecs as text_codecs
import io
import json
import pickle
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flowinfra.canonical import canonical_json, sha256_hex
from flowinfra.diagnostics import Diagnostic, RunError, error
from flowinfra.packaging.files import StoredFile
from flowinfra.packaging.store import Store
from flowinfra.runtime.codecs import ATOMS, LIBRARY_CODECS, MAX_BITS, Codec, json_bytes, json_value
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
    "read_artifact",
    "read_unloaded",
    "short_text",
]

#: Bytes of the text form that is kept in a commit.
TEXT_LIMIT: Final = 1024

#: The codec of an IncludeFile: the artifact's blob names the blobs of the file's content.
_FILE: Final = "file"

_IMMUTABLE: Final = frozenset({*ATOMS, bytes})
_SCANNED: Final = 64 * TEXT_LIMIT  # of a long text, what a text form is made from: secrets in it make it shorter
_MAX_DEPTH: Final = 200  # the JSON module recurses; what is nested deeper is pickled


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
        return json_bytes(value)
    except ValueError:  # NaN, infinities, lone surrogates
        return None


def _is_plain(value: Any) -> bool:
    """Whether *value* is made of exact JSON types, nothing in it is shared, and no number is too long to be read.

    Pickle keeps two references to one list the same list; JSON would make them two.
    """
    if type(value) in ATOMS:
        return type(value) is not int or value.bit_length() < MAX_BITS
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
            if int in kinds and any(type(x) is int and x.bit_length() >= MAX_BITS for x in container):
                return False
            if not kinds <= ATOMS:
                below += [x for x in container if type(x) not in ATOMS]
        level = below
    return False


def _encode_pickle(value: Any) -> bytes:
    return pickle.dumps(value, protocol=5)


#: The codecs, in the order in which they are tried; the last one takes everything that can be written at all.
CODECS: Final[tuple[Codec, ...]] = (
    Codec("json", _encode_json, json_value),
    *LIBRARY_CODECS,
    Codec("pickle", _encode_pickle, pickle.loads),
)


def encode(
    value: Any, codecs: Sequence[Codec] = CODECS, redact: Callable[[str], str] | None = None
) -> tuple[Ref, bytes]:
    """*value* as bytes, and what a commit says of them; whatever the last codec raises if no form fits.

    Args:
        value: any value, or a stored file, whose content is stored already.
        codecs: the forms, in the order in which they are tried.
        redact: takes the secrets out of the text form.
    """
    if isinstance(value, StoredFile):
        data = canonical_json(value.to_json())
        return Ref(sha256_hex(data), _FILE, "str" if value.is_text else "bytes", value.size, str(value)), data
    for codec in codecs:
        found = codec.encode(value)
        if found is not None:
            text = short_text(value, redact)
            return Ref(sha256_hex(found), codec.name, _type_name(value), len(found), text), found
    raise TypeError("no codec takes it")


def encode_all(
    values: Mapping[str, Any],
    step: str,
    put: Callable[[str, bytes], None],
    codecs: Sequence[Codec] = CODECS,
    redact: Callable[[str], str] | None = None,
) -> dict[str, Ref]:
    """Write *values* through *put* (a blob's hash and its bytes), each only while it is being written in memory.

    *redact* takes the secrets out of the text forms.

    Raises:
        RunError: FI705 for each attribute of *step* that cannot be serialised; nothing is committed then.
    """
    refs: dict[str, Ref] = {}
    found: list[Diagnostic] = []
    for name, value in values.items():
        try:
            refs[name], data = encode(value, codecs, redact)
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


def read_artifact(store: Store, flow: str, ref: Ref, name: str = "the artifact") -> Any:
    """The value that *ref* names, out of the store: fetched, verified, decoded.

    A file that a run was given is fetched part by part: while it is put together, one more part of it is in memory.

    Args:
        store: where the blobs are.
        flow: the flow's name.
        ref: what the commit says.
        name: what to call it in messages.

    Raises:
        RunError: as :func:`decode`.
        PackagingError: FI401, its blob is not there; FI403, it cannot be read.
    """
    file = read_unloaded(store, flow, ref, name)
    if not isinstance(file, StoredFile):
        return file
    chunks = _file_chunks(store, flow, file, name)
    try:
        return _joined_text(chunks, file.encoding) if file.is_text else _joined(chunks)
    except (UnicodeDecodeError, LookupError) as why:
        raise RunError(_undecodable(ref, name, why)) from why


def read_unloaded(store: Store, flow: str, ref: Ref, name: str = "the artifact") -> Any:
    """As :func:`read_artifact`, but of a file only where its content is: a :class:`~flowinfra.packaging.files.StoredFile`."""
    data = store.get(blob_key(flow, ref.blob))
    if ref.codec != _FILE:
        return decode(ref, data, name)
    _verify(ref.blob, data, name)
    file = StoredFile.from_json(json.loads(data))
    if file is None:
        raise RunError(_undecodable(ref, name, ValueError("it does not name the parts of a file")))
    return file


def decode(ref: Ref, data: bytes, name: str = "artifact", codecs: Sequence[Codec] = CODECS) -> Any:
    """The value that *ref* names, out of its bytes. Pickled values run code: only for data of one's own runs.

    Raises:
        RunError: FI706, *data* is not what the commit names; FI707, it cannot be decoded here; FI744, it was written by
            a codec that is not known here.
    """
    _verify(ref.blob, data, name)
    codec = next((c for c in codecs if c.name == ref.codec), None)
    if codec is None:
        raise RunError(
            error(
                "FI744",
                f"{name}, a {ref.type}, cannot be read: the codec {ref.codec!r} is not known here",
                detail=f"known here are {', '.join(c.name for c in codecs)}",
                hint="read it with the version of flowinfra that wrote it, or a later one",
            )
        )
    try:
        return codec.decode(data)
    except Exception as why:  # unpickling raises whatever the modules and classes that it imports raise
        raise RunError(_undecodable(ref, name, why)) from why


def _verify(digest: str, data: bytes, name: str) -> None:
    found = sha256_hex(data)
    if found != digest:
        raise RunError(
            error(
                "FI706",
                f"{name} is damaged: its content is not what its task has committed",
                detail=f"the commit names the SHA-256 {digest}, the store holds {len(data)} bytes with {found}",
                hint="run the step again, and look at who may write to the store",
            )
        )


def _undecodable(ref: Ref, name: str, why: Exception) -> Diagnostic:
    return error(
        "FI707",
        f"{name}, a {ref.type}, cannot be decoded: {type(why).__name__}: {why}",
        detail=f"it was written as {ref.codec}",
        hint="install the same version of the package that it comes from, or read it where it is installed",
    )


def _file_chunks(store: Store, flow: str, file: StoredFile, name: str) -> Iterator[bytes]:
    for digest in file.chunks:
        data = store.get(blob_key(flow, digest))
        _verify(digest, data, name)
        yield data


def _joined(chunks: Iterable[bytes]) -> bytes:
    # Unlike b"".join this does not hold all parts and the whole at once, and getvalue() hands out its buffer uncopied.
    whole = io.BytesIO()
    for chunk in chunks:
        whole.write(chunk)
    return whole.getvalue()


def _joined_text(chunks: Iterable[bytes], encoding: str) -> str:
    decoder = text_codecs.getincrementaldecoder(encoding)()
    text = ""
    for chunk in chunks:
        text += decoder.decode(chunk)  # grows in place: nothing else refers to it
    return text + decoder.decode(b"", final=True)


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
            self._values[name] = read_artifact(self._store, self._flow, self.refs[name], f"the artifact {name}")
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self.refs

    def __iter__(self) -> Iterator[str]:
        return iter(self.refs)

    def __len__(self) -> int:
        return len(self.refs)


def short_text(value: Any, redact: Callable[[str], str] | None = None) -> str:
    """A text form of *value* of at most :data:`TEXT_LIMIT` bytes, made without walking through large containers.

    *redact* takes the secrets out of it, before anything is cut, so that no part of one is left.
    """
    try:
        text = _repr_of(value, redact or _unchanged)
    except Exception as why:  # noqa: BLE001 - repr() of a user's class may raise anything
        text = f"<{_type_name(value)}, whose repr raises {type(why).__name__}>"
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= TEXT_LIMIT:
        return data.decode()
    return data[: TEXT_LIMIT - 3].decode("utf-8", "ignore") + "…"


class _Shortener(reprlib.Repr):
    """``reprlib`` that redacts what it is about to cut."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 100
        self.maxstring = self.maxother = self.maxlong = 200
        self.maxlevel = 6
        self._redact = redact

    def repr_str(self, x: str, level: int) -> str:
        """A text."""
        return super().repr_str(self._redact(x[:_SCANNED]), level)

    def repr_instance(self, x: Any, level: int) -> str:
        """What is no container: it may show a text inside it."""
        try:
            text = self._redact(repr(x))
        except Exception:  # noqa: BLE001 - repr() of a user's class may raise anything
            return f"<{type(x).__name__} instance at {id(x):#x}>"
        if len(text) <= self.maxother:
            return text
        half = max(0, (self.maxother - 3) // 2)
        return f"{text[:half]}...{text[len(text) - half :]}"


def _unchanged(text: str) -> str:
    return text


def _repr_of(value: Any, redact: Callable[[str], str]) -> str:
    if type(value) is str:
        return repr(redact(value[:_SCANNED])[:TEXT_LIMIT])
    if type(value) is bytes:
        return redact(repr(value[:_SCANNED]))
    if type(value) is int and value.bit_length() >= MAX_BITS:
        return f"<int of {value.bit_length()} bits>"
    if type(value) in (list, tuple, dict, set, frozenset):
        return redact(_Shortener(redact).repr(value))
    return redact(repr(value))


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
