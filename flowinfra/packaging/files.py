"""Files that a run is given (``IncludeFile``): streamed into the store as blobs when the run starts, and fixed from then on.

What a person names is a path (:class:`LocalFile`). Whoever starts the run stores the content: a small one stands in
input.json as it always did, as text or in base64; of a larger one input.json has a reference (:class:`StoredFile`) to
blobs of some megabytes each. So nobody holds a large file in memory but the step that asks for it.
"""

from __future__ import annotations

import base64
import codecs
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flowinfra.canonical import sha256_hex
from flowinfra.diagnostics import PackagingError
from flowinfra.packaging.store import Store
from flowinfra.sources.findings import unreadable
from flowinfra.wire import blob_key

__all__ = [
    "BASE64",
    "CHUNK_BYTES",
    "INLINE_BYTES",
    "LocalFile",
    "StoredFile",
    "open_file",
    "store_file",
    "stored_values",
]

#: The size of a file's blobs; so much of it is in memory while it is stored.
CHUNK_BYTES: Final = 8 << 20

#: A file up to this size stands in input.json itself, which has room for several such files.
INLINE_BYTES: Final = 16 << 10

#: The word for bytes where an encoding of a text may stand.
BASE64: Final = "base64"

_FIELD: Final = "$file"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine whose content a parameter shall have; made by :func:`open_file`.

    Attributes:
        path: where it is, absolute.
        encoding: of its text; ``base64`` for bytes.
    """

    path: Path
    encoding: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The content of a file, as blobs of its flow.

    Attributes:
        name: the file's name, without its folder.
        encoding: of its text; ``base64`` for bytes.
        size: its bytes.
        chunks: the SHA-256 of each blob, in order.
    """

    name: str
    encoding: str
    size: int
    chunks: tuple[str, ...]

    @property
    def is_text(self) -> bool:
        """Whether a step gets text; else it gets bytes."""
        return self.encoding != BASE64

    def __str__(self) -> str:
        return f"<{self.name}: {self.size:,} bytes>"

    def to_json(self) -> dict[str, Any]:
        """As it stands in input.json."""
        content = {"name": self.name, "encoding": self.encoding, "size": self.size, "chunks": list(self.chunks)}
        return {_FIELD: content}

    @classmethod
    def from_json(cls, value: Any) -> StoredFile | None:
        """What :meth:`to_json` wrote; None if *value* is none."""
        content = value.get(_FIELD) if isinstance(value, dict) and len(value) == 1 else None
        match content:
            case {"name": str(name), "encoding": str(encoding), "size": int(size), "chunks": list(chunks)} if all(
                isinstance(chunk, str) and _DIGEST.fullmatch(chunk) for chunk in chunks
            ):
                return cls(name, encoding, size, tuple(chunks))
        return None


def open_file(path: str | Path, encoding: str) -> LocalFile | str:
    """The file at *path*; its content right away, as JSON has it, where it can be read only once (a pipe, a terminal).

    A text is read through once here, so that a wrong encoding is told before anything starts.

    Args:
        path: absolute, relative to the current folder, or with ``~``.
        encoding: of its text; ``base64`` for bytes.

    Raises:
        OSError: it is not there or cannot be read.
        UnicodeDecodeError: it is no text in that encoding.
    """
    found = Path(os.path.abspath(Path(path).expanduser()))
    with open(found, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return _as_json(file.read(), encoding)
        if encoding != BASE64:
            decoder = codecs.getincrementaldecoder(encoding)()
            while data := file.read(CHUNK_BYTES):
                decoder.decode(data)
            decoder.decode(b"", final=True)
        elif os.fstat(file.fileno()).st_size:
            file.read(1)  # some files open and cannot be read
    return LocalFile(found, encoding)


def store_file(store: Store, flow: str, file: LocalFile) -> Any:
    """Store the content of *file* for *flow*; the JSON value that a run's input has for it.

    Raises:
        PackagingError: FI436, it cannot be read (any more); FI403, the store cannot be written.
    """
    chunks: list[str] = []
    size = 0
    try:
        for data in _chunks(file.path):
            if not chunks and len(data) <= INLINE_BYTES:
                return _as_json(data, file.encoding)
            digest = sha256_hex(data)
            store.put_content(blob_key(flow, digest), data)
            chunks.append(digest)
            size += len(data)
    except (OSError, UnicodeDecodeError) as why:
        problem = why if isinstance(why, OSError) else OSError(f"it is no {file.encoding} any more")
        raise PackagingError(unreadable(file.path, problem)) from why
    if not chunks:
        return ""
    return StoredFile(file.path.name, file.encoding, size, tuple(chunks)).to_json()


def stored_values(store: Store, flow: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """*values* with the content of files in place of files.

    Raises:
        PackagingError: as :func:`store_file`.
    """
    return {n: store_file(store, flow, v) if isinstance(v, LocalFile) else v for n, v in values.items()}


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while data := file.read(CHUNK_BYTES):
            yield data


def _as_json(data: bytes, encoding: str) -> str:
    return base64.b64encode(data).decode() if encoding == BASE64 else data.decode(encoding)
