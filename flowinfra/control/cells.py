"""A flow that is written in a notebook, as the text of a file.

A run's tasks are other processes: they import the flow. So what the flow needs of the notebook becomes a module: the
statement with its class, the statements that bind the names it uses, and theirs in turn, in the order in which they were
run. Sources only, no values: what another cell computed cannot be written down, and is named instead.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Extract", "extract"]

_DEFINITIONS: Final = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
#: What only a notebook has; a line with one of them is none of a flow's.
_NOTEBOOK: Final = frozenset({"NBDeployer", "NBRunner", "display", "get_ipython"})


@dataclass(frozen=True, slots=True)
class Extract:
    """What was found.

    Attributes:
        source: the text of the module; empty where the cell does not write the class at its top level.
        computed: names that the flow uses and that only a running notebook can tell.
    """

    source: str
    computed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Statement:
    """A statement at the top level of a cell."""

    place: tuple[int, int]
    node: ast.stmt
    text: str

    @property
    def binds(self) -> frozenset[str]:
        return frozenset(_bound(self.node))

    @property
    def uses(self) -> frozenset[str]:
        return frozenset(_used(self.text))

    @property
    def is_literal(self) -> bool:
        """Whether it gives a name a value that stands in it."""
        value = self.node.value if isinstance(self.node, (ast.Assign, ast.AnnAssign)) else None
        try:
            return value is not None and (ast.literal_eval(value), True)[1]
        except (ValueError, TypeError, SyntaxError, MemoryError):
            return False


def extract(cells: Sequence[str], own: str, name: str, known: Collection[str] = ()) -> Extract:
    """The module for the class *name* that the cell *own* writes.

    Args:
        cells: the sources of all cells, in the order in which they were run.
        own: the source of the cell with the class.
        name: the class.
        known: the names that have a value in the notebook.
    """
    order = list(cells)
    if own not in order:
        order.append(own)
    home = len(order) - 1 - order[::-1].index(own)
    everything = {at: list(_statements(at, cell)) for at, cell in enumerate(order)}
    classes = [s for s in everything[home] if isinstance(s.node, ast.ClassDef) and s.node.name == name]
    if not classes:
        return Extract("")
    # What its own cell says holds before what others say, and of those the one that was run last.
    search = [*everything[home][::-1], *(s for at in sorted(everything, reverse=True) for s in everything[at][::-1])]
    chosen = {s.place: s for s in (*_settings(everything[home], classes[-1]), classes[-1])}
    computed: list[str] = []
    stars = {s.place: s for s in search if "*" in s.binds}
    todo = sorted({word for s in chosen.values() for word in s.uses} - {name})
    seen = {name}
    while todo:
        wanted = todo.pop()
        if wanted in seen or hasattr(builtins, wanted):
            continue
        seen.add(wanted)
        found = next((s for s in search if wanted in s.binds and not (s.uses & _NOTEBOOK)), None)
        if found is None:
            if stars:
                chosen.update(stars)
            elif wanted in known:
                computed.append(wanted)
        elif found.place[0] == home or isinstance(found.node, _DEFINITIONS) or found.is_literal:
            chosen[found.place] = found
            todo += sorted(found.uses)
        else:
            computed.append(wanted)
    future = {s.text for s in search if isinstance(s.node, ast.ImportFrom) and s.node.module == "__future__"}
    lines = [*sorted(future), *(chosen[place].text for place in sorted(chosen) if chosen[place].text not in future)]
    return Extract("\n\n".join(lines) + "\n", tuple(sorted(computed)))


def _statements(at: int, cell: str) -> Iterator[_Statement]:
    try:
        tree = ast.parse(cell)
    except (SyntaxError, ValueError):
        return  # it was never run
    lines = cell.splitlines()
    for number, node in enumerate(tree.body):
        decorators = getattr(node, "decorator_list", None)
        if decorators:
            text = "\n".join(lines[min(d.lineno for d in decorators) - 1 : node.end_lineno])
        else:
            text = ast.get_source_segment(cell, node) or ""
        yield _Statement((at, number), node, text)


def _settings(statements: Sequence[_Statement], own: _Statement) -> Iterator[_Statement]:
    """Calls into imported modules in front of the class, such as ``sys.path.append(...)``."""
    imported = {
        name
        for s in statements
        if isinstance(s.node, (ast.Import, ast.ImportFrom)) and not _is_ours(s.node)
        for name in s.binds
    }
    for statement in statements:
        if statement.place < own.place and isinstance(statement.node, ast.Expr):
            root = statement.node.value
            while isinstance(root, (ast.Call, ast.Attribute, ast.Subscript)):
                root = root.func if isinstance(root, ast.Call) else root.value
            if isinstance(root, ast.Name) and root.id in imported and not (statement.uses & _NOTEBOOK):
                yield statement


def _is_ours(node: ast.Import | ast.ImportFrom) -> bool:
    module = node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name
    return module.partition(".")[0] == "flowinfra"


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that a statement binds where it stands, not inside of what it defines."""
    todo = [node]
    while todo:
        at = todo.pop()
        if isinstance(at, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield at.name
        elif isinstance(at, ast.alias):
            yield at.asname or at.name.partition(".")[0]
        elif isinstance(at, ast.Name) and isinstance(at.ctx, ast.Store):
            yield at.id
        elif isinstance(at, (ast.MatchAs, ast.MatchStar)) and at.name:
            yield at.name
        if not isinstance(at, _SCOPES):
            todo += ast.iter_child_nodes(at)


def _used(text: str) -> Iterator[str]:
    """The names that it looks up in its module."""
    try:
        top = symtable.symtable(text, "<cell>", "exec")
    except SyntaxError:  # a cell may await at its top level, a module may not
        return
    todo = [top]
    while todo:
        scope = todo.pop()
        todo += scope.get_children()
        for symbol in scope.get_symbols():
            if symbol.is_referenced() if scope is top else symbol.is_global():
                yield symbol.get_name()
