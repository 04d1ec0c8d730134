"""The import walk: from a flow file to all modules of its own, without importing any of them.

A module is the flow's own if it lies under the *root*, the folder that is first on ``sys.path`` when the flow runs.
Python's rules for a folder hold: a package with ``__init__.py``, then ``name.py``, then a folder without
``__init__.py`` if what is asked for lies in it. Own modules shadow installed packages, as they do at run time.

Imports count wherever they stand: in functions, under conditions, in ``try``, and as ``importlib.import_module("name")``
or ``__import__("name")`` with the name written out. An own module that is imported and not there is an error, unless the
flow itself is prepared for it (``except ImportError``, ``if TYPE_CHECKING``).
"""

from __future__ import annotations

import ast
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from flowinfra.diagnostics import Diagnostic, PackagingError, Source, raise_errors
from flowinfra.sources.findings import (
    beyond_top,
    computed_import,
    leaving_link,
    missing_module,
    not_importable,
    unparsable,
    unreadable,
)

__all__ = ["ImportEdge", "Module", "Modules", "default_root", "folder_or_file", "link_out_of", "walk"]

#: Never the flow's own, even in a checkout that has them under the root: the task program brings its own.
_OURS: Final = frozenset({"flowinfra", "flowinfra_providers"})

_IMPORT_ERRORS: Final = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_COMPILED: Final = (".so", ".pyd")


@dataclass(frozen=True, slots=True, order=True)
class ImportEdge:
    """One imported name in a module.

    Attributes:
        line: where it stands, from 1; 0 for the packages that the module itself lies in.
        column: where it starts in the line, from 0.
        modules: the own modules that it loads, packages on the way included, sorted.
    """

    line: int
    column: int
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Module:
    """One of the flow's own modules.

    Attributes:
        name: what it is imported as.
        path: its file relative to the root, with ``/``.
        package: whether it is the ``__init__`` of a package.
        edges: its imports of own modules.
        source: the bytes of the file.
        tree: their syntax tree; nobody changes it.
    """

    name: str
    path: str
    package: bool
    edges: tuple[ImportEdge, ...]
    source: bytes = field(repr=False)
    tree: ast.Module = field(repr=False, compare=False)

    @property
    def imports(self) -> tuple[str, ...]:
        """The own modules that it imports, sorted."""
        return tuple(sorted({name for edge in self.edges for name in edge.modules}))


@dataclass(frozen=True)
class Modules:
    """A flow's own modules.

    Attributes:
        root: the folder that their names start from, absolute, links resolved.
        entry: the name of the flow file's module.
        modules: all that it needs, the entry included, sorted by name.
        third_party: top-level names of what it imports from elsewhere, the standard library left out, sorted.
        diagnostics: what could not be followed; warnings only.
    """

    root: Path
    entry: str
    modules: tuple[Module, ...]
    third_party: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, Module]:
        """The modules by name."""
        return {m.name: m for m in self.modules}


def default_root(entry_file: Path) -> Path:
    """The folder of the flow file; of one that lies in a package, the first folder above that is none."""
    folder = entry_file.resolve().parent
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        folder = folder.parent
    return folder


def walk(entry_file: Path, root: Path | None = None) -> Modules:
    """Follow the imports of *entry_file* through all own modules under *root*.

    Args:
        entry_file: the flow file.
        root: the folder that imports start from; default: :func:`default_root`.

    Raises:
        PackagingError: all that is wrong at once: FI430, a module is a link that leaves the root; FI432, a file cannot be
            parsed; FI433, an own module is imported that is not there; FI434, an imported own module is a compiled one;
            FI436, a file cannot be read; FI437, the flow file cannot be imported from the root.
    """
    top = (root or default_root(entry_file)).resolve()
    return _Walk(top, _entry(entry_file, top)).run()


def link_out_of(root: Path, path: str) -> tuple[str, str] | None:
    """The link on the way from *root* to *path* (relative, with ``/``) that leads out of *root*, and where it leads.

    *root* has its own links resolved.
    """
    here = root
    for part in path.split("/"):
        here = here / part
        if os.path.islink(here):
            target = Path(os.path.realpath(here))
            if not target.is_relative_to(root):
                return here.relative_to(root).as_posix(), str(target)
    return None


def folder_or_file(entry: os.DirEntry[str]) -> bool | None:
    """True for a folder, False for a file, None for what is neither or cannot be looked at."""
    try:
        return True if entry.is_dir() else False if entry.is_file() else None
    except OSError:
        return None


def _entry(entry_file: Path, root: Path) -> str:
    """The name under which the flow file is imported from *root*."""
    # The last part stays as it is: a flow file that is a link is judged like every other module.
    file = entry_file.parent.resolve() / entry_file.name
    if not os.path.isfile(file):
        raise PackagingError(unreadable(file, FileNotFoundError(2, "there is no such file")))
    if not file.is_relative_to(root):
        raise PackagingError(not_importable(file, root, "it does not lie under it"))
    parts = file.relative_to(root).with_suffix("").parts
    if file.suffix != ".py" or any("." in part for part in parts):
        raise PackagingError(
            not_importable(file, root, "a part of its path holds a dot, or its name does not end in .py")
        )
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    found = _Folder(root).module(name) if name else None
    if found is None or found.path != file.relative_to(root).as_posix():
        raise PackagingError(not_importable(file, root, f"another module has its name, {name!r}"))
    return name


@dataclass(frozen=True, slots=True)
class _Found:
    path: str
    package: bool


class _Folder:
    """What lies under the root, by listings: unlike a test for a path they tell ``Foo.py`` from ``foo.py`` everywhere."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listings: dict[str, dict[str, bool]] = {}

    def listing(self, folder: str) -> dict[str, bool]:
        """The names in *folder*, and whether each is a folder."""
        if folder not in self._listings:
            try:
                with os.scandir(self._root / folder) as entries:
                    self._listings[folder] = {e.name: kind for e in entries if (kind := folder_or_file(e)) is not None}
            except OSError:
                self._listings[folder] = {}
        return self._listings[folder]

    def find(self, folder: str, name: str) -> _Found | None:
        """The module *name* in *folder*."""
        entries = self.listing(folder)
        below = f"{folder}{name}/"
        if entries.get(name) and self.listing(below).get("__init__.py") is False:
            return _Found(f"{below}__init__.py", package=True)
        if entries.get(f"{name}.py") is False:
            return _Found(f"{folder}{name}.py", package=False)
        return None

    def module(self, name: str) -> _Found | None:
        """The module with the dotted *name*."""
        return self.find(*_split(name))

    def is_folder(self, name: str) -> bool:
        """Whether a folder lies where a module with the dotted *name* would: a package without ``__init__.py``."""
        folder, last = _split(name)
        return self.listing(folder).get(last) is True

    def compiled(self, folder: str, name: str) -> str | None:
        """The file of a compiled module *name* in *folder*."""
        return next(
            (
                f
                for f, d in self.listing(folder).items()
                if not d and f.startswith(f"{name}.") and f.endswith(_COMPILED)
            ),
            None,
        )


@dataclass(frozen=True, slots=True)
class _Import:
    """One import as written: *module* (absolute), a *name* from it, and whether the flow can do without it."""

    at: tuple[int, int]
    line: int
    module: str
    name: str
    relative: bool
    optional: bool


class _Walk:
    def __init__(self, root: Path, entry: str) -> None:
        self._root = root
        self._entry = entry
        self._folder = _Folder(root)
        self._trees: dict[str, tuple[_Found, bytes, ast.Module]] = {}
        self._refused: set[str] = set()
        self._modules: dict[str, Module] = {}
        self._third_party: set[str] = set()
        self._diagnostics: list[Diagnostic] = []

    def run(self) -> Modules:
        waiting = self._locate(self._entry)
        while waiting:
            name = waiting.pop()
            if name not in self._modules and (loaded := self._load(name)):
                found, source, tree = loaded
                edges = tuple(sorted(self._edges(name, found, tree)))
                self._modules[name] = Module(name, found.path, found.package, edges, source, tree)
                waiting += [m for edge in edges for m in edge.modules]
        rest = raise_errors(self._diagnostics, PackagingError)
        return Modules(
            self._root,
            self._entry,
            tuple(self._modules[name] for name in sorted(self._modules)),
            tuple(sorted(self._third_party)),
            tuple(rest),
        )

    # -- files ----------------------------------------------------------------------------------------------------

    def _locate(self, name: str) -> list[str]:
        """The modules that importing *name* loads: the packages on the way that have a file, and itself if it has one."""
        parts = name.split(".")
        return [".".join(parts[: n + 1]) for n in range(len(parts)) if self._folder.module(".".join(parts[: n + 1]))]

    def _load(self, name: str) -> tuple[_Found, bytes, ast.Module] | None:
        if name in self._trees or name in self._refused:
            return self._trees.get(name)
        found = self._folder.module(name)
        assert found is not None
        read = self._read(found)
        if read is None:
            self._refused.add(name)
            return None
        self._trees[name] = (found, *read)
        return self._trees[name]

    def _read(self, found: _Found) -> tuple[bytes, ast.Module] | None:
        file = self._root / found.path
        if link := link_out_of(self._root, found.path):
            self._diagnostics.append(leaving_link(self._root, *link))
            return None
        try:
            source = file.read_bytes()
        except OSError as exc:
            self._diagnostics.append(unreadable(file, exc))
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what the compiler warns of is told when the flow is imported
                return source, ast.parse(source, filename=str(file))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
            self._diagnostics.append(unparsable(file, exc))
            return None

    # -- imports --------------------------------------------------------------------------------------------------

    def _edges(self, name: str, found: _Found, tree: ast.Module) -> Iterator[ImportEdge]:
        package = name if found.package else name.rpartition(".")[0]
        source = str(self._root / found.path)
        # Whoever imports a module has imported the packages that it lies in.
        parents = [m for m in self._locate(package) if m != name] if package else []
        if parents:
            yield ImportEdge(0, 0, tuple(parents))
        for imported in self._imports(package, source, tree):
            if modules := self._resolve(imported, source):
                yield ImportEdge(*imported.at, tuple(sorted(modules)))

    def _imports(self, package: str, source: str, tree: ast.Module) -> Iterator[_Import]:
        stack: list[tuple[ast.AST, bool]] = [(tree, False)]
        while stack:
            node, optional = stack.pop()
            match node:
                case ast.Import(names=names):
                    for a in names:
                        yield _Import(_at(a), node.lineno, a.name, "", relative=False, optional=optional)
                case ast.ImportFrom(module=module, names=names, level=level):
                    base = _absolute(package, module or "", level)
                    if base is None:
                        self._diagnostics.append(beyond_top(Source(source, node.lineno), level))
                        continue
                    for a in names:
                        yield _Import(_at(a), node.lineno, base, a.name, relative=level > 0, optional=optional)
                case ast.Call() if _is_import_call(node.func):
                    yield from self._called(package, source, node)
            prepared = {id(child) for child in _prepared(node)}
            stack += [(child, optional or id(child) in prepared) for child in ast.iter_child_nodes(node)]

    def _called(self, package: str, source: str, call: ast.Call) -> Iterator[_Import]:
        given = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "name"), None)
        if not isinstance(given, ast.Constant) or not isinstance(given.value, str):
            self._diagnostics.append(computed_import(Source(source, call.lineno)))
            return
        module = given.value.lstrip(".")
        base = _absolute(package, module, len(given.value) - len(module))
        if base:
            yield _Import(_at(call), call.lineno, base, "", relative=False, optional=True)

    def _resolve(self, imported: _Import, source: str) -> set[str]:
        """The own modules that *imported* loads."""
        if imported.module.split(".", 1)[0] in _OURS:
            self._third_party.add(imported.module.split(".", 1)[0])
            return set()
        loaded = self._locate(imported.module)
        folder = imported.module.replace(".", "/") + "/"
        below = [n for n in self._names(imported) if self._folder.find(folder, n)]
        modules = {*loaded, *(f"{imported.module}.{n}" for n in below)}
        top = imported.module.split(".", 1)[0]
        if not imported.relative and not modules:
            if top not in sys.stdlib_module_names:
                self._third_party.add(top)
            return modules
        if not imported.optional:
            self._report_missing(imported, modules, source)
        return modules

    def _names(self, imported: _Import) -> Iterator[str]:
        """The name that is imported from the module; for ``*``, those that ``__all__`` of a package lists."""
        if imported.name == "*":
            found = self._folder.module(imported.module)
            if found and found.package and (loaded := self._load(imported.module)):
                yield from _listed(loaded[2])
        elif imported.name:
            yield imported.name

    def _report_missing(self, imported: _Import, modules: set[str], source: str) -> None:
        missing = imported.module
        found = self._folder.module(missing)
        if found is None and not self._folder.is_folder(missing):
            if self._extends_path(missing.rpartition(".")[0]):
                return
        else:
            wanted = f"{missing}.{imported.name}"
            if imported.name in ("", "*") or wanted in modules or (found and self._may_define(found, imported)):
                return
            missing = wanted
        folder, last = _split(missing)
        compiled = self._folder.compiled(folder, last)
        self._diagnostics.append(missing_module(missing, folder, compiled, Source(source, imported.line)))

    def _may_define(self, found: _Found, imported: _Import) -> bool:
        """Whether the module itself may have the imported name; of a plain module that is not ours to judge."""
        if not found.package or (loaded := self._load(imported.module)) is None:
            return True
        names = _bound_names(loaded[2])
        return names is None or imported.name in names

    def _extends_path(self, package: str) -> bool:
        """Whether *package* looks for its modules in further places, which only running it would tell."""
        own = bool(package) and package in self._locate(package)
        loaded = self._load(package) if own else None
        return loaded is not None and b"__path__" in loaded[1]


def _at(node: ast.alias | ast.Call) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _split(name: str) -> tuple[str, str]:
    """``a.b`` as ``("a/", "b")``."""
    head, _, last = name.rpartition(".")
    return (f"{head.replace('.', '/')}/" if head else ""), last


def _absolute(package: str, module: str, level: int) -> str | None:
    """The absolute name of *module*, *level* dots up from inside *package*; None if that is above the root."""
    if level == 0:
        return module
    parts = package.split(".") if package else []
    if level > len(parts):
        return None
    base = parts[: len(parts) - level + 1]
    return ".".join([*base, module] if module else base)


def _is_import_call(function: ast.expr) -> bool:
    match function:
        case ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"):
            return True
        case _:
            return False


def _prepared(node: ast.AST) -> list[ast.stmt]:
    """The statements in *node* that may fail to import something, or do not run at all."""
    match node:
        case ast.Try(handlers=handlers, body=body) | ast.TryStar(handlers=handlers, body=body):
            caught = any(h.type is None or _names_in(h.type) & _IMPORT_ERRORS for h in handlers)
        case ast.If(test=test, body=body):
            caught = "TYPE_CHECKING" in _names_in(test)
        case ast.With(items=items, body=body):
            calls = [i.context_expr for i in items if isinstance(i.context_expr, ast.Call)]
            caught = any(
                "suppress" in _names_in(c.func) and any(_names_in(a) & _IMPORT_ERRORS for a in c.args) for c in calls
            )
        case _:
            return []
    return body if caught else []


def _names_in(node: ast.AST) -> set[str]:
    found = (n for n in ast.walk(node) if isinstance(n, ast.Name | ast.Attribute))
    return {n.id if isinstance(n, ast.Name) else n.attr for n in found}


def _listed(tree: ast.Module) -> Iterator[str]:
    """What ``__all__`` of a module lists as plain strings."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
                constants = (n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant))
                yield from (c for c in constants if isinstance(c, str))


def _bound_names(tree: ast.Module) -> set[str] | None:
    """All names that a module binds anywhere; None if it may have others (``import *``, ``__getattr__``, ``__path__``)."""
    names: set[str] = {"__name__", "__doc__", "__file__", "__path__", "__spec__", "__loader__", "__package__"}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="__path__" | "globals" | "setattr" | "vars"):
                return None
            case ast.Name(id=name):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                if name == "__getattr__":
                    return None
                names.add(name)
            case ast.alias(name="*"):
                return None
            case ast.alias(name=name, asname=asname):
                names.add(asname or name.split(".", 1)[0])
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                names.add(name)
            case ast.ExceptHandler(name=str(name)):
                names.add(name)
    return names
