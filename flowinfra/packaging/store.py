"""The object store: where releases, bundles, runs and artifacts lie, by the keys of :mod:`flowinfra.wire`.

One class for local files, S3, Google Cloud Storage and memory, with one behaviour for all of them:

* a key that one of them could not hold is refused by all of them, before anything is written;
* listings are in lexical order, and lazy where the store can be listed in order;
* what is not there is :class:`KeyMissing`, whatever else goes wrong is a :class:`PackagingError` that names the key.

Opening is cheap: no folder is made, nothing is connected to and no thread is started before the first read or write,
so that a process may open a store and then fork. A store other than local files that was *used* must not be used again
in a forked child.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import unquote, urlsplit

from flowinfra.diagnostics import Diagnostic, PackagingError, error
from flowinfra.packaging.backends import STAGED, Backend, Files, Objects

__all__ = ["KeyMissing", "Store", "absolute_url"]

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

# What every store can hold: no empty segment, no ``.`` or ``..``, no control character or lone surrogate, and no
# segment longer than a file name may be.
_SEGMENT: Final = r"(?!\.\.?(?:/|\Z))[^/\x00-\x1f\x7f\ud800-\udfff]{1,255}"
_KEY: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*\Z")

_Names = list[str]  # the class has a method called list
_NO_SPACE: Final = frozenset({27, 28, 69, 122})  # EFBIG, ENOSPC, EDQUOT on macOS and on Linux
_NO_RIGHT: Final = frozenset({1, 13, 30})  # EPERM, EACCES, EROFS


class KeyMissing(PackagingError):
    """FI401: there is no object under this key."""

    def __init__(self, key: str, url: str = "") -> None:
        """*url* is the store's, for the message."""
        self.key = key
        self.url = url
        super().__init__(
            error(
                "FI401",
                f"there is no object {key!r}" + (f" in {url}" if url else ""),
                detail="It was never written, was removed, or lies in another store.",
                hint="compare the store's URL (FLOWINFRA_STORE) with the one of whoever wrote it",
            )
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key, self.url)


def absolute_url(text: str) -> str:
    """*text* as a URL that means the same in every folder: a bare or relative path becomes a ``file://`` URL."""
    return text if _URL.match(text) else Path(text).expanduser().resolve().as_uri()


class Store:
    """An object store; made by :meth:`open`.

    Attributes:
        url: where it is; opened again by another process, it is the same store (but for ``memory://``).
    """

    __slots__ = ("_backend", "url")

    def __init__(self, url: str, backend: Backend) -> None:
        self.url = url
        self._backend = backend

    @staticmethod
    def open(url: str) -> Store:
        """The store at *url*: ``file://``, ``s3://``, ``gs://``, ``memory://`` (one per call), or a bare path.

        Credentials, region and endpoint come from the environment as obstore reads it (``AWS_*``, ``GOOGLE_*``).

        Raises:
            PackagingError: FI402, nothing can be opened under that URL.
        """
        url = absolute_url(url)
        if url.startswith("file://"):
            parts = urlsplit(url)
            if parts.netloc not in ("", "localhost"):
                raise PackagingError(_unusable(url, f"files of another host ({parts.netloc}) cannot be read"))
            # A "?" or "#" in a path is only ever there because someone wrote the URL by hand and did not encode it.
            return Store(url, Files(Path(unquote(url.removeprefix("file://").removeprefix(parts.netloc)))))
        try:
            return Store(url, Objects(url))
        except OSError as exc:
            raise PackagingError(_unusable(url, exc.strerror or str(exc))) from exc

    def __repr__(self) -> str:
        return f"Store.open({self.url!r})"

    # -- reading --------------------------------------------------------------------------------------------------

    def get(self, key: str) -> bytes:
        """The object *key*.

        Raises:
            KeyMissing: there is none.
            PackagingError: FI403, it cannot be read.
        """
        data = self.find(key)
        if data is None:
            raise KeyMissing(key, self.url)
        return data

    def find(self, key: str) -> bytes | None:
        """The object *key*, or None if there is none."""
        _check(key)
        try:
            return self._backend.get(key)
        except OSError as exc:
            self._failed(exc, "read", key)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """At most *length* bytes of *key* from byte *start* on; what lies behind its end is left out.

        Raises:
            KeyMissing: there is no such object.
            ValueError: *start* or *length* is negative.
        """
        _check(key)
        if start < 0 or length < 0:
            raise ValueError(f"a range has no negative start or length: {start}, {length}")
        # Stores word "behind the end" each in their own way, so the size is asked for first.
        size = self.size(key)
        if size is None:
            raise KeyMissing(key, self.url)
        length = min(length, size - start)
        if length <= 0:
            return b""
        try:
            return self._backend.get_range(key, start, length)
        except OSError as exc:
            self._failed(exc, "read", key)

    def get_json(self, key: str) -> Any:
        """The value of the JSON document *key*.

        Raises:
            KeyMissing: there is none.
            PackagingError: FI404, it is no JSON.
        """
        data = self.get(key)
        try:
            return json.loads(data)
        except ValueError as exc:
            raise PackagingError(
                error(
                    "FI404",
                    f"the object {key!r} is no JSON: {exc}",
                    detail=f"It lies in {self.url}, has {len(data)} bytes, and was not written by flowinfra or was cut.",
                    hint="restore the object, or remove what it belongs to and make that again",
                )
            ) from exc

    def exists(self, key: str) -> bool:
        """Whether there is an object *key*."""
        return self.size(key) is not None

    def size(self, key: str) -> int | None:
        """The size of *key* in bytes, or None if there is none."""
        _check(key)
        try:
            return self._backend.size(key)
        except OSError as exc:
            self._failed(exc, "read", key)

    # -- writing --------------------------------------------------------------------------------------------------

    def put(self, key: str, data: bytes) -> None:
        """Write *key*, whatever is there; readers see the old object or the new one, whole.

        Raises:
            PackagingError: FI403, it cannot be written (a full disk, no permission, no connection).
        """
        _check(key)
        try:
            self._backend.put(key, data)
        except OSError as exc:
            self._failed(exc, "write", key)

    def create(self, key: str, data: bytes) -> bool:
        """Write *key* unless it is there; False if it is. Of several who create at once, exactly one gets True.

        Raises:
            PackagingError: FI403, it cannot be written.
        """
        _check(key)
        try:
            return self._backend.create(key, data)
        except OSError as exc:
            self._failed(exc, "write", key)

    def put_content(self, key: str, data: bytes) -> None:
        """Write *key*, whose name is the digest of *data*: what is there already is the same and stays."""
        self.create(key, data)

    def delete(self, key: str) -> None:
        """Remove *key*; nothing happens if it is not there."""
        _check(key)
        try:
            self._backend.delete(key)
        except OSError as exc:
            self._failed(exc, "remove", key)

    # -- listing --------------------------------------------------------------------------------------------------

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[str]:
        """The keys in the folder *prefix* and below it (all of them for ``""``), in lexical order of their code points.

        Args:
            prefix: a folder, with or without the ``/`` behind it; never the beginning of a name.
            after: leave out all keys up to this one, and this one.
        """
        folder = _folder_of(prefix)
        try:
            # what cannot be a key was not written by a store
            yield from (key for key in self._backend.list(folder, after) if _KEY.match(key))
        except OSError as exc:
            self._failed(exc, "list", folder)

    def folders(self, prefix: str) -> _Names:
        """The names of the folders right in the folder *prefix*, sorted."""
        return self._level(prefix)[0]

    def names(self, prefix: str) -> _Names:
        """The names of the objects right in the folder *prefix*, sorted."""
        return self._level(prefix)[1]

    def _level(self, prefix: str) -> tuple[_Names, _Names]:
        folder = _folder_of(prefix)
        try:
            folders, names = self._backend.level(folder)
        except OSError as exc:
            self._failed(exc, "list", folder)
        return [n for n in folders if _KEY.match(n)], [n for n in names if _KEY.match(n)]

    def _failed(self, exc: OSError, doing: str, key: str) -> NoReturn:
        raise PackagingError(_failure(self.url, exc, doing, key)) from exc


def _check(key: str) -> None:
    if _KEY.match(key) and not STAGED.search(key):
        return
    raise PackagingError(
        error(
            "FI405",
            f"{key!r} cannot be the key of an object",
            detail="A key has no empty segment, no '.' or '..', no control character, no segment above 255 characters, "
            "and does not end with '#' and digits: not every store could hold it.",
            hint="change the name (of the flow, the domain or the version) that it was made of",
        )
    )


def _folder_of(prefix: str) -> str:
    folder = prefix.removesuffix("/")
    if folder:
        _check(folder)
    return f"{folder}/" if folder else ""


def _unusable(url: str, why: str) -> Diagnostic:
    return error(
        "FI402",
        f"the store {url!r} cannot be opened: {why}",
        hint="use a path, or a URL such as file:///srv/flows, s3://bucket/prefix or gs://bucket/prefix",
    )


def _failure(url: str, exc: OSError, doing: str, key: str) -> Diagnostic:
    text, number = exc.strerror or str(exc), exc.errno
    if number in _NO_SPACE:
        hint = "free space on that disk, raise the limit, or set FLOWINFRA_STORE to another place"
    elif number in _NO_RIGHT:
        hint = "give this user the right to read and write there, or set FLOWINFRA_STORE to another place"
    elif url.startswith("file://"):
        hint = "look at what lies at that path"
    else:
        hint = "check that the store can be reached and that the credentials in the environment may use it"
    return error("FI403", f"cannot {doing} {key!r}: {text}", detail=f"The store is {url}.", hint=hint)
