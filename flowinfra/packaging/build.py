"""A flow's class → everything that is deployed or run: graph, program, bundle, release. Pure but for reading sources.

Compiling is a pure function of the document that is read from the class, of the digests of its code, and of the versions
of flowinfra and the wire protocol. So a project keeps, beside the releases that it has compiled, which of them each such
input gave: whoever runs an unchanged flow gets its release without loading the model (:func:`compile_flow`).
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flowinfra._version import __version__
from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.graph import Document, located, read_bindings, read_document
from flowinfra.authoring.parameters import IncludeFile
from flowinfra.canonical import json_digest
from flowinfra.diagnostics import (
    AuthoringError,
    Diagnostic,
    FlowinfraError,
    error,
    has_errors,
    raise_errors,
    sort_diagnostics,
    warning,
)
from flowinfra.packaging import cache
from flowinfra.packaging.bundle import Bundle
from flowinfra.packaging.bundle import build as build_bundle
from flowinfra.packaging.home import Home
from flowinfra.sources.digest import code_digests
from flowinfra.sources.walk import Modules, default_root, walk
from flowinfra.wire import WIRE_VERSION

if TYPE_CHECKING:
    from flowinfra.model.graph import FlowGraph
    from flowinfra.model.program import Program

__all__ = ["Built", "Compiled", "build", "compile_flow", "source_of"]

#: The largest file that is packed because it is the default of an IncludeFile: a bundle is put together in memory.
_PACKED_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Compiled:
    """What running a flow needs of it.

    Attributes:
        flow: its name.
        parameters: those that it declares, as JSON.
        bundle: its code.
        release: the digest of the release.
        release_bytes: what is stored under it.
        root: the folder that has to be on ``sys.path`` for its modules.
        diagnostics: warnings.
    """

    flow: str
    parameters: tuple[Document, ...]
    bundle: Bundle
    release: str
    release_bytes: bytes = field(repr=False)
    root: Path
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def configs(self) -> dict[str, Any]:
        """The values of its configs by name, as the release has recorded them."""
        bindings = json.loads(self.release_bytes).get("bindings", ())
        return {b["name"]: b["value"] for b in bindings if b["kind"] == "config"}


@dataclass(frozen=True, slots=True)
class Built(Compiled):
    """A compiled flow with its values.

    Attributes:
        graph: the flow, with source positions relative to *root*.
        program: its blocks.
    """

    graph: FlowGraph = field(kw_only=True)
    program: Program = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class _Source:
    """A flow as it is read, before it is compiled."""

    flow: type[FlowSpec]
    document: Document
    bindings: Sequence[Document]
    modules: Modules
    bundle: Bundle
    root: Path
    large: tuple[Diagnostic, ...]

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What was found that stops nothing."""
        return (*self.modules.diagnostics, *self.large)

    def key(self) -> str:
        """The digest of everything that compiling depends on."""
        read = [self.document, list(self.bindings)]
        return json_digest([__version__, WIRE_VERSION, read, self.classes(), self.bundle.digest])

    def classes(self) -> list[tuple[str, str]]:
        """The flow's class and its bases in the order of the MRO, as (module, qualified name)."""
        return [
            (module if module != "__main__" else self.modules.entry, owner.__qualname__)
            for owner in self.flow.__mro__
            if (module := owner.__module__) in sys.modules
        ]


def source_of(flow: type[FlowSpec]) -> tuple[Path, Path]:
    """The file that *flow* is written in, and the folder that its modules are imported from.

    Raises:
        AuthoringError: it is not written in a file (FI106).
    """
    name = inspect.getsourcefile(flow)
    if name is None or not Path(name).is_file():
        raise AuthoringError(
            error(
                "FI106",
                f"the flow {flow.__name__} is not written in a file",
                detail="its code is packed and its transitions are read from there",
                hint="write it into a .py file",
            )
        )
    file = Path(name).resolve()
    # A module's name says from where it was imported: flows.churn in /p/flows/churn.py comes from /p.
    parts = flow.__module__.split(".")
    base = file.parent if file.stem == "__init__" else file.with_suffix("")
    if flow.__module__ != "__main__" and list(base.parts[-len(parts) :]) == parts:
        return file, Path(*base.parts[: -len(parts)])
    return file, default_root(file)


def build(flow: type[FlowSpec]) -> Built:
    """Compile *flow*.

    Raises:
        FlowinfraError: the flow breaks rules or cannot be packed; the error carries everything that was found.
    """
    return _compile(_read(flow))


def compile_flow(flow: type[FlowSpec], home: Home) -> Compiled:
    """What running *flow* needs; compiled only if the project in *home* has not compiled the very same before.

    Raises:
        FlowinfraError: as :func:`build`.
    """
    source = _read(flow)
    key = source.key()
    known = cache.remembered(home, key)
    if known is not None:
        release, data = known
        # As the model says them; help and place are no part of a release.
        said = {p["name"]: p for p in json.loads(data)["graph"].get("parameters", ())}
        parameters = tuple(
            {**said[p["name"]], **{k: p[k] for k in ("help", "source") if p.get(k)}}
            for p in sorted(source.document["parameters"], key=lambda p: p["name"])
        )
        return Compiled(flow.__name__, parameters, source.bundle, release, data, source.root, source.warnings)
    built = _compile(source)
    cache.cache_release(home, built.release, built.release_bytes)
    cache.remember(home, key, built.release)
    return built


def _read(flow: type[FlowSpec]) -> _Source:
    file, root = source_of(flow)
    document, found = read_document(flow, root=root)
    bindings, unread = read_bindings(flow, root=root)
    found = [*found, *unread]
    problems: list[FlowinfraError] = []
    modules = None
    try:
        modules = walk(file, root)
    except FlowinfraError as why:
        problems.append(why)
    if document is not None and (found or problems):
        found += _broken_rules(document, root)  # with what else is wrong, so that all of it comes at once
    found += [d for p in problems for d in p.diagnostics]
    if document is None or modules is None or has_errors(found):
        kind = AuthoringError if document is None or not problems else type(problems[0])
        raise kind(sort_diagnostics(found))
    names, large = _data_files(flow, file, root)
    return _Source(flow, document, bindings, modules, build_bundle(modules, names), root, tuple(large))


def _broken_rules(document: Document, root: Path) -> list[Diagnostic]:
    from flowinfra.compiler.check import check
    from flowinfra.model.graph import FlowGraph

    return located(check(FlowGraph.from_json(document)), root)


def _compile(source: _Source) -> Built:
    from flowinfra.compiler.check import check, compile_program
    from flowinfra.model.graph import FlowGraph
    from flowinfra.model.release import Binding
    from flowinfra.packaging import release

    modules, document = source.modules, source.document
    raise_errors(located(check(FlowGraph.from_json(document)), source.root), AuthoringError)
    digests = code_digests(modules, source.classes(), [s["name"] for s in document["steps"]])
    steps = [{**s, "code_digest": digests[s["name"]]} for s in document["steps"]]
    graph = FlowGraph.from_json({**document, "steps": steps})
    program = compile_program(graph)
    bindings = [Binding.from_json(b) for b in source.bindings]
    digest, data = release.make(graph, program, source.bundle.digest, bindings)
    parameters: list[dict[str, Any]] = [p.to_json() for p in graph.parameters]
    return Built(
        source.flow.__name__,
        tuple(parameters),
        source.bundle,
        digest,
        data,
        source.root,
        source.warnings,
        graph=graph,
        program=program,
    )


def _data_files(flow: type[FlowSpec], file: Path, root: Path) -> tuple[list[str], list[Diagnostic]]:
    """The files that the flow's IncludeFile defaults name, relative to *root*, and warnings about those too large to pack.

    Raises:
        AuthoringError: FI123, FI124, a file lies outside of *root*, or is not there.
    """
    names: set[str] = set()
    large: list[Diagnostic] = []
    outside: list[Diagnostic] = []
    for owner in flow.__mro__:
        for value in vars(owner).values():
            if not isinstance(value, IncludeFile) or not value.default:
                continue
            path = (file.parent / value.default).resolve()
            if not path.is_file():
                outside.append(
                    error(
                        "FI124",
                        f"the default of {value.name} is no file: {value.default}",
                        detail=f"it is looked for at {path}",
                        hint="make the file, correct the path (it is relative to the flow file), or leave the default out",
                        source=value.source,
                    )
                )
            elif not path.is_relative_to(root):
                outside.append(
                    error(
                        "FI123",
                        f"the default of {value.name} lies outside the flow's folder: {value.default}",
                        detail="it is packed with the code, which is that folder",
                        hint="move the file beside the flow, or require the parameter",
                        source=value.source,
                    )
                )
            elif path.stat().st_size > _PACKED_BYTES:
                large.append(
                    warning(
                        "FI183",
                        f"the default of {value.name} is too large to be packed: {path.stat().st_size >> 20:,} MiB",
                        detail="runs that are started in this checkout read it there; where the flow is deployed it is "
                        "not there",
                        hint=f"give the file when a run is started (--{value.name} PATH), or require the parameter",
                        source=value.source,
                    )
                )
            else:
                names.add(path.relative_to(root).as_posix())
    raise_errors(outside, AuthoringError)
    return sorted(names), large
