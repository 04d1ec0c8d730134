"""Unpacking a bundle: verified first, then whole or not at all, by as many processes at once as there may be.

The task program does this before it runs anything, so the module imports neither pydantic nor the sources.
"""

from __future__ import annotations

import io
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NoReturn

from flowinfra.diagnostics import PackagingError, error
from flowinfra.packaging.manifest import MODE, bundle_file, manifest_digest
from flowinfra.packaging.store import Store
from flowinfra.wire import bundle_key

if TYPE_CHECKING:
    from tarfile import TarInfo  # 10 ms, which a task whose code is unpacked already does not pay

__all__ = ["ensure_unpacked", "is_whole", "unpack", "verified"]

_FOLDER: Final = "bundles"


def ensure_unpacked(store: Store, digest: str, cache: Path) -> Path:
    """The folder below *cache* with the code of the bundle *digest*, read from *store* if it is not there yet.

    A folder that is there was verified when it was made and is not looked into again.

    Raises:
        KeyMissing: FI401, the store does not have it.
        PackagingError: as :func:`unpack`.
    """
    into = cache / _FOLDER / digest
    return into if into.is_dir() else unpack(store.get(bundle_key(digest)), digest, into)


def unpack(data: bytes, digest: str, into: Path) -> Path:
    """Unpack the tar *data* of the bundle *digest* as the folder *into*; nothing happens if that is there.

    The folder appears at once, by a rename; of several processes that unpack the same bundle, one does it and the others
    find it done.

    Raises:
        PackagingError: FI420, the content is not what the digest names, or holds what no bundle holds (a link, a path out
            of the folder, a file twice); FI422, the folder cannot be written.
    """
    import shutil
    import tempfile

    if into.is_dir():
        return into
    files = verified(data, digest)
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{digest[:12]}-", dir=into.parent))
    except OSError as exc:
        _cannot_write(into, exc)
    try:
        _write(data, files, temporary)
        _publish(temporary, into)
    except OSError as exc:
        _cannot_write(into, exc)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return into


def is_whole(data: bytes, digest: str) -> bool:
    """Whether the tar *data* is the bundle *digest*; nothing is unpacked."""
    try:
        verified(data, digest)
    except PackagingError:
        return False
    return True


def verified(data: bytes, digest: str) -> list[TarInfo]:
    """The members of the tar *data*, all of them plain files that together have the digest.

    Raises:
        PackagingError: FI420, the content is not what the digest names, or holds what no bundle holds.
    """
    import tarfile

    members: list[TarInfo] = []
    files = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                if why := _refused(member, {m.name for m in members}):
                    _damaged(digest, f"it holds {member.name!r}, {why}")
                content = tar.extractfile(member)
                assert content is not None  # a regular file has content
                files.append(bundle_file(member.name, content.read()))
                members.append(member)
    except (tarfile.TarError, OSError, EOFError, ValueError) as exc:
        _damaged(digest, f"it cannot be read as a tar: {exc}")
    if (found := manifest_digest(files)) != digest:
        _damaged(digest, f"its content has the digest {found}")
    return members


def _refused(member: TarInfo, known: set[str]) -> str:
    """Why no bundle holds *member*; empty if it may."""
    path = PurePosixPath(member.name)
    if not member.isreg() or member.issparse():
        return "which is no plain file"
    if path.is_absolute() or ".." in path.parts or path.as_posix() != member.name or member.name in ("", "."):
        return "which is no plain path inside the folder"
    if member.name in known:
        return "which is there twice"
    return ""


def _write(data: bytes, members: list[TarInfo], folder: Path) -> None:
    import tarfile

    for member in members:
        member.mode = MODE
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        # The filter is Python's own second look; releases before 3.11.4 do not have it.
        if hasattr(tarfile, "data_filter"):
            tar.extractall(folder, members, filter="data")
        else:
            tar.extractall(folder, members)  # noqa: S202 - each member was judged above
    folder.chmod(0o755)  # mkdtemp makes it readable by one user only


def _publish(temporary: Path, into: Path) -> None:
    try:
        os.rename(temporary, into)  # refused where a folder with anything in it is, which is what is wanted
    except OSError:
        if not into.is_dir():
            raise


def _damaged(digest: str, why: str) -> NoReturn:
    raise PackagingError(
        error(
            "FI420",
            f"the bundle {digest[:12]} is damaged: {why}",
            detail="Nothing was unpacked and nothing runs from it.",
            hint="run `flowinfra refresh`, which finds it out, and `flowinfra up`, which writes it anew; look at who may write to the store",
        )
    )


def _cannot_write(into: Path, exc: OSError) -> NoReturn:
    raise PackagingError(
        error(
            "FI422",
            f"the code cannot be unpacked into {into}: {exc.strerror or exc}",
            hint="free space there, make the folder writable, or set FLOWINFRA_HOME to another place",
        )
    ) from exc
