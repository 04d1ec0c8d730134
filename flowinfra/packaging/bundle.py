"""Bundles: the flow's own modules and the files it asks for, packed to the same bytes wherever that is done."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flowinfra.packaging import datafiles
from flowinfra.packaging.datafiles import LeftOut
from flowinfra.packaging.manifest import BundleFile, bundle_file, manifest_digest
from flowinfra.packaging.unpack import ensure_unpacked, unpack
from flowinfra.sources.walk import Modules

__all__ = ["Bundle", "BundleFile", "LeftOut", "build", "ensure_unpacked", "left_out", "unpack"]


@dataclass(frozen=True, slots=True)
class Bundle:
    """The code of a flow; stored with ``store.put_content(wire.bundle_key(bundle.digest), bundle.data)``.

    Attributes:
        digest: its name: a digest over paths and contents, not over the tar.
        files: what is in it, sorted by path.
        data: the tar, not compressed.
    """

    digest: str
    files: tuple[BundleFile, ...]
    data: bytes = field(repr=False)


def build(modules: Modules, extra: Sequence[str] = ()) -> Bundle:
    """Pack *modules*, and the files below their root that the patterns in *extra* ask for.

    Raises:
        PackagingError: as :func:`flowinfra.packaging.datafiles.requested`.
    """
    contents = datafiles.requested(modules.root, extra)
    contents.update({m.path: m.source for m in modules.modules})
    files = tuple(bundle_file(path, contents[path]) for path in sorted(contents))
    return Bundle(manifest_digest(files), files, _tar(files, contents))


def left_out(root: Path, bundle: Bundle, *, limit: int = 1000) -> tuple[LeftOut, ...]:
    """What lies below *root* and is not in *bundle*, and why; reads folders, so only for who asks."""
    return datafiles.left_out(root, {f.path for f in bundle.files}, limit=limit)


def _tar(files: Sequence[BundleFile], contents: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    # The format is named because its default may change; owner, group and time stay at tarfile's zero and "".
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in files:
            member = tarfile.TarInfo(file.path)
            member.size = file.size
            member.mode = file.mode
            tar.addfile(member, io.BytesIO(contents[file.path]))
    return out.getvalue()
