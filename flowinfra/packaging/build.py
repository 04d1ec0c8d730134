"""A flow's class → everything that is deployed or run: graph, program, bundle, release. Pure but for reading sources."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass, field
from pathlib import Path

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.graph import located, read_graph
from flowinfra.authoring.parameters import IncludeFile
from flowinfra.compiler.check import check, compile_program
from flowinfra.diagnostics import (
    AuthoringError,
    Diagnostic,
    FlowinfraError,
    error,
    has_errors,
    raise_errors,
    sort_diagnostics,
)
from flowinfra.model.graph import FlowGraph
from flowinfra.model.program import Program
from flowinfra.packaging import release
from flowinfra.packaging.bundle import Bundle
from flowinfra.packaging.bundle import build as build_bundle
from flowinfra.sources.digest import code_digests
from flowinfra.sources.walk import default_root, walk

__all__ = ["Built", "build", "source_of"]


@dataclass(frozen=True, slots=True)
class Built:
    """A flow, compiled.

    Attributes:
        graph: the flow, with source positions relative to *root*.
        program: its blocks.
        bundle: its code.
        release: the digest of the release.
        release_bytes: what is stored under it.
        root: the folder that has to be on ``sys.path`` for its modules.
        diagnostics: warnings.
    """

    graph: FlowGraph
    program: Program
    bundle: Bundle
    release: str
    release_bytes: bytes = field(repr=False)
    root: Path
    diagnostics: tuple[Diagnostic, ...] = ()


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
    file, root = source_of(flow)
    graph, found = read_graph(flow, root=root)
    problems: list[FlowinfraError] = []
    modules = None
    try:
        modules = walk(file, root)
    except FlowinfraError as why:
        problems.append(why)
    if graph is not None:
        found = [*found, *located(check(graph), root)]
    found += [d for p in problems for d in p.diagnostics]
    if has_errors(found) or graph is None or modules is None:
        kind = AuthoringError if graph is None or not problems else type(problems[0])
        raise kind(sort_diagnostics(found))
    classes = [
        (module if module != "__main__" else modules.entry, owner.__qualname__)
        for owner in flow.__mro__
        if (module := owner.__module__) in sys.modules
    ]
    digests = code_digests(modules, classes, [s.name for s in graph.steps])
    graph = graph.model_copy(
        update={"steps": tuple(s.model_copy(update={"code_digest": digests[s.name]}) for s in graph.steps)}
    )
    program = compile_program(graph)
    bundle = build_bundle(modules, _data_files(flow, file, root))
    digest, data = release.make(graph, program, bundle.digest)
    return Built(graph, program, bundle, digest, data, root, (*found, *modules.diagnostics))


def _data_files(flow: type[FlowSpec], file: Path, root: Path) -> list[str]:
    """The files that the flow's IncludeFile defaults name, relative to *root*."""
    names: set[str] = set()
    outside: list[Diagnostic] = []
    for owner in flow.__mro__:
        for value in vars(owner).values():
            if not isinstance(value, IncludeFile) or not value.default:
                continue
            path = (file.parent / value.default).resolve()
            if path.is_relative_to(root):
                names.add(path.relative_to(root).as_posix())
            else:
                outside.append(
                    error(
                        "FI123",
                        f"the default of {value.name} lies outside the flow's folder: {value.default}",
                        detail="it is packed with the code, which is that folder",
                        hint="move the file beside the flow, or require the parameter",
                        source=value.source,
                    )
                )
    raise_errors(outside, AuthoringError)
    return sorted(names)
