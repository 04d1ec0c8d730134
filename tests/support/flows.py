"""Flow files for tests: written to a folder of their own, read as `flowinfra check` reads them."""

from __future__ import annotations

import contextlib
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from flowinfra.authoring.configs import ConfigSources
from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.graph import located, read_graph
from flowinfra.authoring.loader import load_flow, root_of
from flowinfra.compiler.check import check
from flowinfra.diagnostics import AuthoringError, Diagnostic
from flowinfra.model.graph import FlowGraph

#: What most flows import.
HEAD = """\
import datetime
from flowinfra import FlowSpec, IncludeFile, JSONType, Parameter, Resources, TaskEnvironment, step
from flowinfra import catch, environment, resources, retry, timeout
"""

MARK = "# <- here"


@dataclass(frozen=True)
class Flows:
    """Writes flow files under *folder* and reads them."""

    folder: Path

    def write(self, source: str, name: str = "") -> Path:
        """A file with *source*; without a *name* it is a module of its own."""
        file = self.folder / (name or f"flow_{uuid4().hex}.py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
        return file

    def written(self, body: str) -> Path:
        """A file that begins with the usual imports and goes on with *body*."""
        return self.write(HEAD + textwrap.dedent(body))

    def load(self, body: str) -> type[FlowSpec]:
        """The flow in a file with the usual imports and *body*."""
        return load_flow(self.written(body))

    def read(
        self, file: Path, name: str | None = None, configs: ConfigSources | None = None
    ) -> tuple[FlowGraph | None, list[Diagnostic]]:
        """The graph of the flow in *file*, if there is one, and everything that is wrong with it."""
        try:
            flow = load_flow(file, name, configs=configs)
        except AuthoringError as error:
            return None, list(error.diagnostics)
        graph, found = read_graph(flow, root=root_of(file))
        return (graph, found) if graph is None else (graph, located(check(graph), root_of(file)))

    def graph(self, body: str) -> FlowGraph:
        """The graph of a flow that has no finding."""
        graph, found = self.read(self.written(body))
        assert graph is not None, found
        assert found == []
        return graph

    def findings(self, body: str) -> list[Diagnostic]:
        """The findings in a flow; each must be at a line that is marked with `# <- here`, if any line is."""
        file = self.written(body)
        _, found = self.read(file)
        marked = [n for n, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1) if MARK in line]
        if marked:
            assert {d.source and Path(d.source.file).resolve() for d in found} == {file.resolve()}, found
            assert [d.source and d.source.line for d in found] == marked, found
        return found


@contextlib.contextmanager
def imports_undone() -> Iterator[None]:
    """Afterwards, what was imported inside is forgotten and `sys.path` is as before."""
    path, modules = list(sys.path), set(sys.modules)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            if not name.startswith(("flowinfra", "pydantic")):
                del sys.modules[name]
