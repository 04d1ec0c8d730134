"""What stands behind a :class:`~flowinfra.packaging.store.Store`: local files, or an object store through obstore.

Both answer alike: None for an object that is not there, OSError for whatever else goes wrong. Keys are checked before
they get here.

Local files are ours and not obstore's for one reason: nearly every task of a local run is a forked child that reads and
writes a handful of small objects. obstore starts a runtime with threads for the first of them (measured: 1.2 ms for four
writes against 0.4), and a process that has such threads cannot safely be forked again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore

__all__ = ["STAGED", "Backend", "Files", "Objects"]

#: The end of a name under which a local file is written before it gets its own; listings leave such files out.
STAGED: Final = re.compile(r"#[0-9]+\Z")

_PAGE: Final = 1000
_Names = list[str]  # the classes have a method called list
_OS_ERROR: Final = re.compile(r"\(os error (\d+)\)")


class Backend(Protocol):
    """The operations of a store on keys that are valid."""

    def get(self, key: str) -> bytes | None:
        """The object, or None."""
        ...

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """*length* bytes from *start* on, fewer at the end; the object is there."""
        ...

    def size(self, key: str) -> int | None:
        """Its size in bytes, or None."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write it, whatever is there; readers see the old or the new one, whole."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write it unless it is there; of several at once exactly one gets True."""
        ...

    def delete(self, key: str) -> None:
        """Remove it; nothing happens if it is not there."""
        ...

    def list(self, folder: str, after: str | None) -> Iterator[str]:
        """The keys below *folder* (``""`` or with ``/`` at its end), in lexical order."""
        ...

    def level(self, folder: str) -> tuple[_Names, _Names]:
        """The names of the folders and of the objects right in *folder*, sorted."""
        ...


class Files:
    """A folder of local files."""

    __slots__ = ("_folder",)

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def get(self, key: str) -> bytes | None:
        try:
            with open(self._path(key), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None  # a folder is no object, nor is what would lie in an object: other stores know no folders

    def get_range(self, key: str, start: int, length: int) -> bytes:
        with open(self._path(key), "rb") as file:
            file.seek(start)
            return file.read(length)

    def size(self, key: str) -> int | None:
        try:
            with open(self._path(key), "rb") as file:
                return os.fstat(file.fileno()).st_size
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        staged = self._staged(path, data)
        try:
            os.replace(staged, path)
        except OSError:  # a folder is there
            os.unlink(staged)
            raise

    def create(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        if os.path.lexists(path):
            return False
        staged = self._staged(path, data)
        try:
            os.link(staged, path)  # fails if the name is taken, and the file is whole the moment it has it
        except FileExistsError:
            return False
        finally:
            os.unlink(staged)
        return True

    def delete(self, key: str) -> None:
        try:
            os.unlink(self._path(key))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        except PermissionError:
            if not os.path.isdir(self._path(key)):  # macOS says so of a folder
                raise

    def list(self, folder: str, after: str | None) -> Iterator[str]:
        # Only one level of each folder on the way is in memory.
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

    def level(self, folder: str) -> tuple[_Names, _Names]:
        entries = self._scan(folder)
        return sorted(n[:-1] for n in entries if n[-1] == "/"), [n for n in entries if n[-1] != "/"]

    def _path(self, key: str) -> str:
        return f"{self._folder}/{key}"

    def _staged(self, path: str, data: bytes) -> str:
        """Write *data* beside *path* under a name that no one else uses: process ids are not unique across containers."""
        name = f"{path}#{int.from_bytes(os.urandom(8), 'big')}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        try:
            handle = os.open(name, flags, 0o666)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            handle = os.open(name, flags, 0o666)
        try:
            with os.fdopen(handle, "wb", buffering=0) as file:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
        except BaseException:
            os.unlink(name)
            raise
        return name

    def _scan(self, folder: str) -> _Names:
        """Names in one folder, folders with ``/`` behind, so that sorting them sorts the keys below them."""
        try:
            with os.scandir(self._path(folder)) as entries:
                names = [e.name + "/" if e.is_dir() else e.name for e in entries]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(n for n in names if not STAGED.search(n))


class Objects:
    """An object store: S3, Google Cloud Storage, or memory."""

    __slots__ = ("_store",)

    def __init__(self, url: str) -> None:
        from obstore.store import from_url

        # object_store speaks plain http only if it is told to; who sets such an endpoint means it.
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
        options: ClientConfig = {"allow_http": True} if endpoint.startswith("http://") else {}
        with _Told():
            self._store: ObjectStore = (
                from_url(url, client_options=options) if options and url.startswith("s3") else from_url(url)
            )

    def get(self, key: str) -> bytes | None:
        import obstore

        try:
            with _Told():
                return obstore.get(self._store, key).bytes().to_bytes()
        except FileNotFoundError:
            return None

    def get_range(self, key: str, start: int, length: int) -> bytes:
        import obstore

        with _Told():
            return obstore.get_range(self._store, key, start=start, length=length).to_bytes()

    def size(self, key: str) -> int | None:
        import obstore

        try:
            with _Told():
                return obstore.head(self._store, key)["size"]
        except FileNotFoundError:
            return None

    def put(self, key: str, data: bytes) -> None:
        import obstore

        with _Told():
            obstore.put(self._store, key, data, use_multipart=False)

    def create(self, key: str, data: bytes) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        try:
            with _Told():
                obstore.put(self._store, key, data, mode="create")
        except AlreadyExistsError:
            return False
        return True

    def delete(self, key: str) -> None:
        import obstore

        try:
            with _Told():
                obstore.delete(self._store, key)
        except FileNotFoundError:
            return

    def list(self, folder: str, after: str | None) -> Iterator[str]:
        import obstore

        with _Told():
            for page in obstore.list(self._store, folder or None, offset=after, chunk_size=_PAGE):
                yield from (meta["path"] for meta in page)

    def level(self, folder: str) -> tuple[_Names, _Names]:
        import obstore

        with _Told():
            found = obstore.list_with_delimiter(self._store, folder or None)
        return (
            sorted(p.rstrip("/").rsplit("/", 1)[-1] for p in found["common_prefixes"]),
            sorted(m["path"].rsplit("/", 1)[-1] for m in found["objects"]),
        )


class _Told:
    """Turns what obstore raises into OSError with the number of the error, where its text tells one."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: object) -> None:
        from obstore.exceptions import AlreadyExistsError, BaseError

        if isinstance(problem, AlreadyExistsError | OSError) or not isinstance(problem, BaseError | ValueError):
            return
        text = str(problem).partition("\n")[0] or type(problem).__name__
        found = _OS_ERROR.search(text)
        raise OSError(int(found[1]) if found else 0, text) from problem
