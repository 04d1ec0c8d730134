"""The manifest of a bundle: its files by path and content, whose digest is the bundle's name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from flowinfra.canonical import framed_digest, sha256_hex

__all__ = ["MODE", "BundleFile", "bundle_file", "manifest_digest"]

#: The mode of every file in a bundle; what a checkout or an umask says about modes differs between machines.
MODE: Final = 0o644


@dataclass(frozen=True, slots=True, order=True)
class BundleFile:
    """One file: its path below the root with ``/``, the SHA-256 of its content, and its size in bytes."""

    path: str
    sha256: str
    size: int
    mode: int = MODE


def bundle_file(path: str, content: bytes) -> BundleFile:
    """The entry of a file."""
    return BundleFile(path, sha256_hex(content), len(content))


def manifest_digest(files: Iterable[BundleFile]) -> str:
    """The digest of a bundle: over paths and contents, so that it does not depend on how they are packed."""
    return framed_digest("bundle", *(part for file in sorted(files) for part in (file.path, file.sha256)))
