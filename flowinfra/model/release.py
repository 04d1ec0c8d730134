"""A release: everything that a run needs and that promotion moves, by digest."""

from __future__ import annotations

from typing import Any

from flowinfra.model.base import SCHEMA_VERSION, Value
from flowinfra.model.graph import FlowGraph, Location
from flowinfra.model.program import Program

__all__ = ["Binding", "Release"]


class Binding(Value):
    """Something outside the source that the flow read while it was compiled.

    Its place is part of a release, unlike that of a step: who reads a release anew has nothing else to find it by.
    """

    kind: str
    """``environment``, ``config`` or ``domain``."""
    name: str
    value: Any
    sha256: str = ""
    """Over the canonical JSON of the value."""
    attribute: str = ""
    """Of a config: the attribute of the flow that holds it."""
    source: Location | None = None
    """Where the flow asks for it."""


class Release(Value):
    """Graph, program, bundle, images, and the versions that can run them.

    Its digest is the SHA-256 of the very bytes that are stored (:meth:`stored`), so that the task program verifies it
    without knowing the schema.
    """

    schema_version: int = SCHEMA_VERSION
    wire: int
    """The version of the wire protocol; a task program of another one refuses by name."""
    flowinfra: str
    """The version of flowinfra that made it."""
    graph: FlowGraph
    program: Program
    bundle: str
    """The digest of the code."""
    images: dict[str, str] = {}
    """Environment to image reference, by digest where it is known."""
    bindings: tuple[Binding, ...] = ()

    def stored(self) -> bytes:
        """The bytes that are stored under the release's digest."""
        from flowinfra.canonical import canonical_json

        return canonical_json(self.content())
