"""A project's cache of what its programs have compiled: bundles and releases by digest.

A resource names a bundle by its digest alone, so that neither a path of this machine nor the bytes themselves enter a
stack's state. Whoever publishes it finds it here.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from flowinfra.canonical import sha256_hex
from flowinfra.diagnostics import PackagingError, error
from flowinfra.packaging.home import Home
from flowinfra.packaging.unpack import is_whole

__all__ = ["cache_bundle", "cache_release", "cached_bundle", "cached_release", "remember", "remembered"]


def cache_bundle(home: Home, digest: str, data: bytes) -> None:
    """Keep a bundle until it is published; nothing is written if it is there."""
    _keep(home, _bundle_path(home, digest), data)


def cache_release(home: Home, digest: str, data: bytes) -> None:
    """Keep a release until it is published; nothing is written if it is there."""
    _keep(home, _release_path(home, digest), data)


def cached_bundle(home: Home, digest: str) -> bytes:
    """A bundle that was compiled in this project; its content is checked against its digest.

    Raises:
        PackagingError: it is not there, or not what its digest says (FI450).
    """
    data = _take(_bundle_path(home, digest), "bundle", digest)
    if not is_whole(data, digest):
        raise _missing("bundle", digest)
    return data


def cached_release(home: Home, digest: str) -> bytes:
    """A release that was compiled in this project; its bytes are checked against its digest.

    Raises:
        PackagingError: it is not there, or not what its digest says (FI450).
    """
    data = _take(_release_path(home, digest), "release", digest)
    if sha256_hex(data) != digest:
        raise _missing("release", digest)
    return data


def remember(home: Home, key: str, release: str) -> None:
    """Note that compiling what has the digest *key* gave *release*."""
    _keep(home, _note_path(home, key), release.encode())


def remembered(home: Home, key: str) -> tuple[str, bytes] | None:
    """The release that compiling *key* gave and its bytes, or None if that is not known, or no longer whole."""
    try:
        release = _note_path(home, key).read_text(encoding="ascii")
        data = _release_path(home, release).read_bytes()
    except (OSError, UnicodeDecodeError):
        return None
    return (release, data) if sha256_hex(data) == release else None


def _note_path(home: Home, key: str) -> Path:
    return home.cache / "compiled" / f"{key}.release"


def _bundle_path(home: Home, digest: str) -> Path:
    return home.cache / "compiled" / f"{digest}.tar"


def _release_path(home: Home, digest: str) -> Path:
    return home.cache / "compiled" / f"{digest}.json"


def _keep(home: Home, path: Path, data: bytes) -> None:
    with contextlib.suppress(OSError):
        if path.read_bytes() == data:
            return  # what is there and is something else was cut by a crash, and is written again
    home.ensure()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, data)
    except OSError as why:
        raise PackagingError(
            error(
                "FI451",
                f"what was compiled cannot be kept: {why.strerror or why}",
                detail=f"it would lie at {path}; nothing has been deployed",
                hint="free space there, make the folder writable, or set FLOWINFRA_HOME to another one",
            )
        ) from why


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, also when two programs compile at once."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _take(path: Path, what: str, digest: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _missing(what, digest) from None


def _missing(what: str, digest: str) -> PackagingError:
    return PackagingError(
        error(
            "FI450",
            f"the {what} {digest[:12]} is not in this project's cache",
            detail="a program compiles it; then it is published into the store",
            hint="run the command again in the project's folder, so that the program compiles it anew",
        )
    )
