"""The object store: where releases, bundles, runs and artifacts lie, by the keys of :mod:`flowinfra.wire`.

One class over obstore for local files, S3, Google Cloud Storage and memory, with one behaviour for all of them:

* a key that one of them could not hold is refused by all of them, before anything is written;
* listings are in lexical order, and lazy where the store can be listed in order;
* what is not there is :class:`KeyMissing`, whatever else goes wrong is a :class:`PackagingError` that names the key.

Opening is cheap: no folder is made, nothing is connected to and no thread is started before the first read or write,
so that a process may open a store and then fork. A store that was *used* must not be used again in a forked child.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import unquote, urlsplit

from flowinfra.diagnostics import Diagnostic, PackagingError, error

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore

__all__ = ["KeyMissing", "Store", "absolute_url"]

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

# What every store can hold: no empty segment, no ``.`` or ``..``, no control character or lone surrogate, and no
# segment longer than a file name may be.
_SEGMENT: Final = r"(?!\.\.?(?:/|\Z))[^/\x00-\x1f\x7f\ud800-\udfff]{1,255}"
_KEY: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*\Z")
_STAGED: Final = re.compile(r"#[0-9]+\Z")  # obstore writes a local file under such a name first and then renames it

_PAGE: Final = 1000
_Names = list[str]  # the class has a method called list
_OS_ERROR: Final = re.compile(r"\(os error (\d+)\)")
_ENOTDIR: Final = "(os error 20)"
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

    __slots__ = ("_folder", "_objects", "url")

    def __init__(self, url: str, folder: Path | None, objects: ObjectStore | None) -> None:
        self.url = url
        self._folder = folder  # of a store on local files
        self._objects = objects  # made on first use there, because making it makes the folder

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
            return Store(url, Path(unquote(url.removeprefix("file://").removeprefix(parts.netloc))), None)
        return Store(url, None, _remote(url))

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
        import obstore
        from obstore.exceptions import BaseError

        _check(key)
        try:
            return obstore.get(self._reader(), key).bytes().to_bytes()
        except (BaseError, OSError, ValueError) as exc:
            self._unless_absent(exc, "read", key)
            return None

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """At most *length* bytes of *key* from byte *start* on; what lies behind its end is left out.

        Raises:
            KeyMissing: there is no such object.
            ValueError: *start* or *length* is negative.
        """
        import obstore
        from obstore.exceptions import BaseError

        _check(key)
        if start < 0 or length < 0:
            raise ValueError(f"a range has no negative start or length: {start}, {length}")
        if length:
            try:
                return obstore.get_range(self._reader(), key, start=start, length=length).to_bytes()
            except (BaseError, OSError, ValueError) as exc:
                # Stores word "behind the end" each in their own way; the size tells it from a real failure.
                size = self.size(key)
                if size is None:
                    raise KeyMissing(key, self.url) from None
                if start < size:
                    self._failed(exc, "read", key)
        elif not self.exists(key):
            raise KeyMissing(key, self.url)
        return b""

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
        import obstore
        from obstore.exceptions import BaseError

        _check(key)
        try:
            return obstore.head(self._reader(), key)["size"]
        except (BaseError, OSError, ValueError) as exc:
            self._unless_absent(exc, "read", key)
            return None

    # -- writing --------------------------------------------------------------------------------------------------

    def put(self, key: str, data: bytes) -> None:
        """Write *key*, whatever is there; readers see the old object or the new one, whole.

        Raises:
            PackagingError: FI403, it cannot be written (a full disk, no permission, no connection).
        """
        import obstore
        from obstore.exceptions import BaseError

        _check(key)
        try:
            obstore.put(self._writer(), key, data, use_multipart=False)
        except (BaseError, OSError, ValueError) as exc:
            self._failed(exc, "write", key)

    def create(self, key: str, data: bytes) -> bool:
        """Write *key* unless it is there; False if it is. Of several who create at once, exactly one gets True.

        Raises:
            PackagingError: FI403, it cannot be written.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError

        _check(key)
        try:
            obstore.put(self._writer(), key, data, mode="create")
        except AlreadyExistsError:
            return False
        except (BaseError, OSError, ValueError) as exc:
            self._failed(exc, "write", key)
        return True

    def put_content(self, key: str, data: bytes) -> None:
        """Write *key*, whose name is the digest of *data*: what is there already is the same and stays."""
        self.create(key, data)

    def delete(self, key: str) -> None:
        """Remove *key*; nothing happens if it is not there."""
        import obstore
        from obstore.exceptions import BaseError

        _check(key)
        try:
            obstore.delete(self._reader(), key)
        except (BaseError, OSError, ValueError) as exc:
            self._unless_absent(exc, "remove", key)

    # -- listing --------------------------------------------------------------------------------------------------

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[str]:
        """The keys in the folder *prefix* and below it (all of them for ``""``), in lexical order of their code points.

        Args:
            prefix: a folder, with or without the ``/`` behind it; never the beginning of a name.
            after: leave out all keys up to this one, and this one.
        """
        folder = _folder_of(prefix)
        if self._folder is not None:
            return self._walk(folder, after)
        return self._pages(folder, after)

    def folders(self, prefix: str) -> _Names:
        """The names of the folders right in the folder *prefix*, sorted."""
        return self._level(_folder_of(prefix))[0]

    def names(self, prefix: str) -> _Names:
        """The names of the objects right in the folder *prefix*, sorted."""
        return self._level(_folder_of(prefix))[1]

    def _level(self, folder: str) -> tuple[_Names, _Names]:
        import obstore
        from obstore.exceptions import BaseError

        if self._folder is not None:
            entries = self._scan(folder)
            return sorted(n[:-1] for n in entries if n[-1] == "/"), [n for n in entries if n[-1] != "/"]
        try:
            found = obstore.list_with_delimiter(self._reader(), folder or None)
        except (BaseError, OSError, ValueError) as exc:
            self._failed(exc, "list", folder)
        return (
            sorted(p.rstrip("/").rsplit("/", 1)[-1] for p in found["common_prefixes"]),
            sorted(m["path"].rsplit("/", 1)[-1] for m in found["objects"]),
        )

    def _pages(self, folder: str, after: str | None) -> Iterator[str]:
        import obstore
        from obstore.exceptions import BaseError

        try:
            for page in obstore.list(self._reader(), folder or None, offset=after, chunk_size=_PAGE):
                yield from (meta["path"] for meta in page)
        except (BaseError, OSError, ValueError) as exc:
            self._failed(exc, "list", folder)

    def _walk(self, folder: str, after: str | None) -> Iterator[str]:
        # Ours, because obstore lists local files in no order and would have to be collected whole to be sorted. Only
        # one level of each folder on the way is in memory.
        levels = [iter([folder])] if folder else [iter(self._scan(""))]
        while levels:
            path = next(levels[-1], None)
            if path is None:
                levels.pop()
            elif path and not path.endswith("/"):
                if after is None or path > after:
                    yield path
            elif after is None or path > after or after.startswith(path):
                levels.append(iter([path + name for name in self._scan(path)]))

    def _scan(self, folder: str) -> _Names:
        # Names of one folder, folders with "/" behind, so that sorting them sorts the keys below them.
        assert self._folder is not None
        try:
            with os.scandir(self._folder / folder) as entries:
                names = [e.name + "/" if e.is_dir() else e.name for e in entries]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as exc:
            self._failed(exc, "list", folder)
        return sorted(n for n in names if _KEY.match(n.removesuffix("/")) and not _STAGED.search(n))

    # -- the store behind it --------------------------------------------------------------------------------------

    def _writer(self) -> ObjectStore:
        if self._objects is None:
            from obstore.store import LocalStore

            assert self._folder is not None
            self._objects = LocalStore(self._folder, mkdir=True)
        return self._objects

    def _reader(self) -> ObjectStore:
        # Reading makes no folder: where none is, nothing is.
        if self._objects is None and self._folder is not None and not os.path.isdir(self._folder):
            raise FileNotFoundError(self._folder)
        return self._writer()

    def _unless_absent(self, exc: Exception, doing: str, key: str) -> None:
        # A folder where the object would be, or an object where its folder would be, is no object either: other stores
        # know no folders at all.
        if isinstance(exc, FileNotFoundError):
            return
        if self._folder is not None and (_ENOTDIR in str(exc) or os.path.isdir(self._folder / key)):
            return
        self._failed(exc, doing, key)

    def _failed(self, exc: Exception, doing: str, key: str) -> NoReturn:
        if isinstance(exc, PackagingError):
            raise exc
        raise PackagingError(_failure(self.url, exc, doing, key)) from exc


def _remote(url: str) -> ObjectStore:
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    # object_store speaks plain http only if it is told to; who sets such an endpoint means it.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    options: ClientConfig = {"allow_http": True} if endpoint.startswith("http://") else {}
    try:
        return from_url(url, client_options=options) if options and url.startswith("s3") else from_url(url)
    except (BaseError, OSError, ValueError) as exc:
        raise PackagingError(_unusable(url, _first_line(exc))) from exc


def _check(key: str) -> None:
    if _KEY.match(key) and not _STAGED.search(key):
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


def _first_line(exc: Exception) -> str:
    return str(exc).partition("\n")[0] or type(exc).__name__


def _unusable(url: str, why: str) -> Diagnostic:
    return error(
        "FI402",
        f"the store {url!r} cannot be opened: {why}",
        hint="use a path, or a URL such as file:///srv/flows, s3://bucket/prefix or gs://bucket/prefix",
    )


def _failure(url: str, exc: Exception, doing: str, key: str) -> Diagnostic:
    text = _first_line(exc)
    found = _OS_ERROR.search(text)
    number = int(found[1]) if found else getattr(exc, "errno", None)
    if number in _NO_SPACE:
        hint = "free space on that disk, raise the limit, or set FLOWINFRA_STORE to another place"
    elif number in _NO_RIGHT:
        hint = "give this user the right to read and write there, or set FLOWINFRA_STORE to another place"
    elif url.startswith("file://"):
        hint = "look at what lies at that path"
    else:
        hint = "check that the store can be reached and that the credentials in the environment may use it"
    return error("FI403", f"cannot {doing} {key!r}: {text}", detail=f"The store is {url}.", hint=hint)
