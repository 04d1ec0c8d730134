"""What of a flow's code a step may come to run: the definitions it reaches by name, and the modules it imports.

The answer errs on the side of too much, never knowingly of too little:

* every name that is read anywhere in a piece of code counts as the module's definition of that name, even where a local
  variable of that name hides it;
* every attribute, and every string that could be one (``getattr(self, "clean")``), counts as the member of the flow's
  class of that name, whatever it is read from. Only the steps are not followed: ``self.next(self.other)`` names them;
* the step's own ``self.next(...)`` is in the graph and does not count, so a new way changes the shape and no code;
* a declaration made with flowinfra (a Parameter, a TaskEnvironment) is in the graph and does not count itself, but what
  it refers to does (a function that computes a default);
* statements of the module that only have an effect (``logging.basicConfig()``) run before every step and always count;
  what stands under ``if __name__ == "__main__":`` never runs in a task and never counts;
* an imported own module counts as a whole, with everything that it imports.

What it cannot see: a member that is put on the class from outside, and data files.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flowinfra.sources.walk import Module, Modules

__all__ = ["Reach", "Reached"]

#: Attributes of an environment (``@gpu.step``) that make a step or a task: policy, which is in the graph.
_MAKERS: Final = frozenset({"step", "task"})

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Reached:
    """What one step reaches.

    Attributes:
        own: the step's function, one per class that defines it, policy decorators and transition left out.
        others: further definitions and effects, each once, in no order that means anything.
        modules: names of own modules that count as a whole, sorted.
    """

    own: tuple[ast.AST, ...]
    others: tuple[ast.AST, ...]
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _References:
    names: frozenset[str]
    attributes: frozenset[str]
    imports: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Scope:
    """The statements of a module or a class: by the names that they bind, and those that bind none."""

    bound: dict[str, list[ast.AST]] = field(default_factory=dict)
    effects: list[ast.AST] = field(default_factory=list)

    @classmethod
    def of(cls, body: Iterable[ast.stmt]) -> _Scope:
        scope = cls()
        for statement in body:
            if _is_main_guard(statement) or _is_text(statement):
                continue
            if isinstance(statement, ast.Import | ast.ImportFrom):
                # Name by name, so that a further name in an import changes only who uses that one.
                for single in _single_imports(statement):
                    name = single.names[0].asname or single.names[0].name.split(".", 1)[0]
                    (scope.effects if name == "*" else scope.bound.setdefault(name, [])).append(single)
                continue
            names = set(_binds(statement))
            for name in names:
                scope.bound.setdefault(name, []).append(statement)
            if not names:
                scope.effects.append(statement)
        return scope


@dataclass(frozen=True)
class _Class:
    """One class of the flow: itself without its members, and the members."""

    module: Module
    shell: ast.AST
    scope: _Scope


class Reach:
    """The reach of the steps of one flow.

    Args:
        modules: the flow's own modules.
        classes: the flow's class and its own base classes as (module, qualified name), in the order of the MRO. What is
            no own module or has no such class is passed over.
        steps: the names of all steps.
    """

    def __init__(self, modules: Modules, classes: Sequence[tuple[str, str]], steps: Iterable[str]) -> None:
        self._modules = modules.by_name
        self._steps = frozenset(steps)
        self._scopes: dict[str, _Scope] = {}
        self._edges: dict[str, Mapping[tuple[int, int], tuple[str, ...]]] = {}
        # By the id of a node. All nodes live as long as this object: in the modules' trees, in the scopes, or in here.
        self._definitions: dict[int, _Class] = {}
        self._stripped: dict[int, ast.AST] = {}
        self._references: dict[int, _References] = {}
        self._classes = tuple(self._find(classes))
        self._always = tuple(self._find_always())
        # In these a plain name may be one of the class; in a method it is not.
        self._class_statements = {
            id(n)
            for c in self._classes
            for nodes in c.scope.bound.values()
            for n in nodes
            if not isinstance(n, _Function)
        }

    def of(self, step: str) -> Reached | None:
        """What *step* reaches; None if no class defines it by that name."""
        own = [
            (c.module, self._without_policy(node, c.module))
            for c in self._classes
            for node in c.scope.bound.get(step, ())
        ]
        if not own:
            return None
        seen: dict[int, tuple[Module, ast.AST]] = {}
        modules: set[str] = set()
        waiting = [*own, *((c.module, c.shell) for c in self._classes), *self._always]
        for owner in {c.module.name for c in self._classes}:
            modules.update(self._imported(owner, (0, 0)))
        while waiting:
            module, node = waiting.pop()
            if id(node) in seen:
                continue
            seen[id(node)] = (module, node)
            found = self._refer(node)
            modules.update(m for at in found.imports for m in self._imported(module.name, at))
            waiting += self._named(module, found.names)
            waiting += self._members(found.attributes)
            if id(node) in self._class_statements:
                waiting += self._members(found.names)
        first = {id(node) for _, node in own}
        return Reached(
            tuple(node for _, node in own),
            tuple(n for key, (m, n) in seen.items() if key not in first and not self._is_declaration(n, m)),
            tuple(sorted(self._closure(modules))),
        )

    # -- where to go from a piece of code -------------------------------------------------------------------------

    def _find_always(self) -> Iterator[tuple[Module, ast.AST]]:
        for name in sorted({c.module.name for c in self._classes}):
            yield from ((self._modules[name], node) for node in self._scope(name).effects)
        for c in self._classes:
            yield from ((c.module, node) for node in c.scope.effects)
            # Python calls these without naming them.
            yield from ((c.module, node) for name in c.scope.bound if _is_magic(name) for node in c.scope.bound[name])

    def _named(self, module: Module, names: Iterable[str]) -> Iterator[tuple[Module, ast.AST]]:
        scope = self._scope(module.name)
        for name in names:
            for node in scope.bound.get(name, ()):
                known = self._definitions.get(id(node))
                yield (module, known.shell if known else node)

    def _members(self, names: Iterable[str]) -> Iterator[tuple[Module, ast.AST]]:
        for name in names:
            if name not in self._steps:
                for c in self._classes:
                    yield from ((c.module, node) for node in c.scope.bound.get(name, ()))

    def _imported(self, module: str, at: tuple[int, int]) -> tuple[str, ...]:
        if module not in self._edges:
            table: dict[tuple[int, int], tuple[str, ...]] = {}
            for edge in self._modules[module].edges:
                table[edge.line, edge.column] = (*table.get((edge.line, edge.column), ()), *edge.modules)
            self._edges[module] = table
        return self._edges[module].get(at, ())

    def _closure(self, names: Iterable[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found and name in self._modules:
                found.add(name)
                waiting += self._modules[name].imports
        return found

    # -- reading syntax trees, each once --------------------------------------------------------------------------

    def _scope(self, module: str) -> _Scope:
        if module not in self._scopes:
            self._scopes[module] = _Scope.of(self._modules[module].tree.body)
        return self._scopes[module]

    def _refer(self, node: ast.AST) -> _References:
        if id(node) not in self._references:
            self._references[id(node)] = _references(node)
        return self._references[id(node)]

    def _find(self, classes: Sequence[tuple[str, str]]) -> Iterator[_Class]:
        for module_name, qualified in classes:
            module = self._modules.get(module_name)
            node = _class_in(module.tree.body, qualified.split(".")) if module else None
            if module is None or node is None:
                continue
            kept = [d for d in node.decorator_list if not self._is_policy(d, module)]
            shell = ast.ClassDef(name="", bases=node.bases, keywords=node.keywords, body=[], decorator_list=kept)
            # The bases are compared, not followed: the flow's own ones are in *classes* themselves.
            self._references[id(shell)] = _references(*node.keywords, *kept)
            found = _Class(module, shell, _Scope.of(node.body))
            self._definitions[id(node)] = found
            yield found

    def _without_policy(self, node: ast.AST, module: Module) -> ast.AST:
        if not isinstance(node, _Function):
            return node
        if id(node) not in self._stripped:
            fields = dict(ast.iter_fields(node))
            fields["decorator_list"] = [d for d in node.decorator_list if not self._is_policy(d, module)]
            if node.name in self._steps:
                fields["body"] = [statement for statement in node.body if not _is_transition(statement, node)]
            self._stripped[id(node)] = type(node)(**fields)
        return self._stripped[id(node)]

    def _is_declaration(self, node: ast.AST, module: Module) -> bool:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(node.value, ast.Call):
            return False
        return self._is_flowinfra(node.value, module)

    def _is_policy(self, decorator: ast.expr, module: Module) -> bool:
        """Whether a decorator only says how a step is run, which the graph holds and the code digest leaves out."""
        made = decorator
        while isinstance(made, ast.Call):
            made = made.func
        return (isinstance(made, ast.Attribute) and made.attr in _MAKERS) or self._is_flowinfra(made, module)

    def _is_flowinfra(self, made: ast.expr, module: Module) -> bool:
        """Whether an expression is a name out of flowinfra, called or not."""
        while isinstance(made, ast.Attribute | ast.Call):
            made = made.func if isinstance(made, ast.Call) else made.value
        if not isinstance(made, ast.Name):
            return False
        scope = self._scope(module.name)
        nodes = scope.bound.get(made.id) or [n for n in scope.effects if isinstance(n, ast.ImportFrom)]
        return bool(nodes) and all(_imports_flowinfra(node) for node in nodes)


def _imports_flowinfra(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=[ast.alias(name=name)]) | ast.ImportFrom(module=str(name), level=0):
            return name.split(".", 1)[0] == "flowinfra"
        case _:
            return False


def _single_imports(statement: ast.Import | ast.ImportFrom) -> Iterator[ast.Import | ast.ImportFrom]:
    for alias in statement.names:
        if isinstance(statement, ast.Import):
            yield ast.Import(names=[alias])
        else:
            yield ast.ImportFrom(module=statement.module, names=[alias], level=statement.level)


def _class_in(body: Sequence[ast.stmt], path: Sequence[str]) -> ast.ClassDef | None:
    """The class at *path*, also inside ``if`` and ``try``; the last one where there are several."""
    found: ast.ClassDef | None = None
    waiting: list[ast.AST] = list(reversed(body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ClassDef):
            if node.name == path[0]:
                found = node
        elif isinstance(node, ast.stmt | ast.ExceptHandler) and not isinstance(node, _Function):
            waiting += reversed(list(ast.iter_child_nodes(node)))
    return _class_in(found.body, path[1:]) if found and len(path) > 1 else found


def _is_main_guard(statement: ast.stmt) -> bool:
    match statement:
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[only]), orelse=[]):
            return isinstance(only, ast.Constant) and only.value == "__main__"
        case _:
            return False


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _is_magic(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _binds(statement: ast.stmt) -> Iterator[str]:
    """The names that *statement* binds in the scope that it stands in."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
                waiting += node.decorator_list
                continue
            case ast.Lambda():
                continue
            case ast.alias(name=name, asname=asname):
                yield asname or name.split(".", 1)[0]
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case ast.MatchMapping(rest=str(name)):
                yield name
        waiting += ast.iter_child_nodes(node)


def _references(*roots: ast.AST) -> _References:
    names: set[str] = set()
    attributes: set[str] = set()
    imports: list[tuple[int, int]] = []
    for root in roots:
        for node in ast.walk(root):
            match node:
                case ast.Name(id=name):
                    names.add(name)
                case ast.Attribute(attr=name):
                    attributes.add(name)
                case ast.Constant(value=str(text)) if text.isidentifier():
                    attributes.add(text)
                case ast.Global(names=declared):
                    names.update(declared)
                case ast.alias() | ast.Call():
                    imports.append((node.lineno, node.col_offset))
    return _References(frozenset(names), frozenset(attributes), tuple(imports))


def _is_transition(statement: ast.stmt, step: _Function) -> bool:
    """Whether a statement is the step's ``self.next(...)``, which the graph holds."""
    match statement:
        case ast.Expr(ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="next"))):
            return [a.arg for a in step.args.args[:1]] == [name]
        case _:
            return False
