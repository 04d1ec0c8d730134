"""Releases: made of a graph and a program, read as plain JSON by whoever runs them.

The digest of a release is the SHA-256 of the very bytes that are stored. So :func:`load`, which the task program uses,
verifies a release without knowing its schema, and without pydantic; only :func:`make` needs the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from flowinfra._version import __version__
from flowinfra.canonical import sha256_hex
from flowinfra.diagnostics import PackagingError, error
from flowinfra.packaging.store import Store
from flowinfra.wire import WIRE_VERSION, release_key

if TYPE_CHECKING:
    from flowinfra.model.graph import FlowGraph
    from flowinfra.model.program import Program
    from flowinfra.model.release import Binding

__all__ = ["load", "make"]

_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")


def make(
    graph: FlowGraph,
    program: Program,
    bundle: str,
    bindings: Iterable[Binding] = (),
    *,
    images: Mapping[str, str] | None = None,
) -> tuple[str, bytes]:
    """The release of a flow as ``(digest, bytes)``, for ``store.put_content(wire.release_key(digest), bytes)``.

    Args:
        graph: the flow.
        program: its blocks.
        bundle: the digest of its code.
        bindings: what it read from outside the source while it was compiled; the order is of no meaning.
        images: environment to image reference.
    """
    from flowinfra.model.release import Release

    release = Release(
        wire=WIRE_VERSION,
        flowinfra=__version__,
        graph=graph,
        program=program,
        bundle=bundle,
        images=dict(images or {}),
        bindings=tuple(sorted(bindings, key=lambda b: (b.kind, b.name))),
    )
    data = release.stored()
    return sha256_hex(data), data


def load(store: Store, digest: str) -> dict[str, Any]:
    """The release *digest* as plain JSON.

    Raises:
        KeyMissing: FI401, the store does not have it.
        PackagingError: FI410, what is stored is not what the digest names; FI411, it speaks another wire version.
    """
    if not _DIGEST.match(digest):
        raise PackagingError(
            error(
                "FI412",
                f"{digest!r} is no digest of a release",
                detail="A release is named by the 64 hex digits of its SHA-256.",
                hint="give the release's whole digest, as `flowinfra outputs` shows it",
            )
        )
    data = store.get(release_key(digest))
    found = sha256_hex(data)
    if found != digest:
        raise PackagingError(
            error(
                "FI410",
                f"the release {digest[:12]} in {store.url} is damaged",
                detail=f"Its content has the SHA-256 {found}; nothing runs from it.",
                hint="run `flowinfra refresh`, which finds it out, and `flowinfra up`, which writes it anew; look at who "
                "may write to the store",
            )
        )
    release = _document(data)
    wire = release.get("wire")
    if wire != WIRE_VERSION:
        raise PackagingError(
            error(
                "FI411",
                f"the release {digest[:12]} speaks wire version {wire!r}, this flowinfra speaks {WIRE_VERSION}",
                detail=f"It was made by flowinfra {release.get('flowinfra')}; this is {__version__}. Runs of the two would not "
                "understand each other's files.",
                hint=f"run it with flowinfra {release.get('flowinfra')}, or deploy the flow again with this one",
            )
        )
    return release


def _document(data: bytes) -> dict[str, Any]:
    """The JSON object in *data*; what is none says nothing, so it speaks no wire version."""
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
