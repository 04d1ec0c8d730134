"""Which of the code that a step uses is another than before: the step itself, a helper, or a definition of a module.

The digest of a step's code says that something changed; this says what. Both versions of the flow's own modules are
needed for it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from flowinfra.sources.digest import ast_digest
from flowinfra.sources.reach import Reach, Reached
from flowinfra.sources.walk import Module, Modules

__all__ = ["Cause", "Version", "causes"]


@dataclass(frozen=True, slots=True, order=True)
class Cause:
    """One piece of code that changed.

    Attributes:
        name: what it is called, with its module unless that is the flow's own file.
        path: the file that it is in now, relative to the root; empty where that is not known or it is gone.
        line: where it begins there.
    """

    name: str
    path: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Version:
    """The code of a flow at one time.

    Attributes:
        modules: its own modules.
        classes: the flow's class and its bases, as (module, qualified name).
        steps: the names of its steps.
    """

    modules: Modules
    classes: Sequence[tuple[str, str]]
    steps: Sequence[str]


def causes(before: Version, after: Version, steps: Iterable[str]) -> dict[str, tuple[Cause, ...]]:
    """For each of *steps* what changed of its code, sorted; nothing for a step that one version does not have."""
    old = Reach(before.modules, before.classes, before.steps)
    new = Reach(after.modules, after.classes, after.steps)
    found: dict[str, tuple[Cause, ...]] = {}
    for step in steps:
        was, now = old.of(step), new.of(step)
        if was and now:
            found[step] = tuple(sorted({*_own(was, now), *_others(was, now), *_modules(before, after, was, now)}))
    return found


def _own(was: Reached, now: Reached) -> Iterator[Cause]:
    if [ast_digest(n) for n in was.own] != [ast_digest(n) for n in now.own]:
        yield Cause("its own code")


def _others(was: Reached, now: Reached) -> Iterator[Cause]:
    old, new = _named(was.others), _named(now.others)
    for name in old.keys() | new.keys():
        if {d for d, _ in old.get(name, ())} != {d for d, _ in new.get(name, ())}:
            yield Cause(name)


def _named(nodes: Iterable[ast.AST]) -> dict[str, list[tuple[str, int]]]:
    out: dict[str, list[tuple[str, int]]] = {}
    for node in nodes:
        out.setdefault(_name(node), []).append((ast_digest(node), getattr(node, "lineno", 0)))
    return out


def _name(node: ast.AST) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name) if name:
            return name
        case ast.ClassDef():
            return "the flow's class"
        case ast.Import() | ast.ImportFrom():
            return "an import"
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case _:
            return "the module's statements"


def _modules(before: Version, after: Version, was: Reached, now: Reached) -> Iterator[Cause]:
    for name in {*was.modules, *now.modules}:
        old = before.modules.by_name.get(name) if name in was.modules else None
        new = after.modules.by_name.get(name) if name in now.modules else None
        if new is None or old is None:
            yield Cause(name, new.path if new else "")
        else:
            yield from _definitions(old, new)


def _definitions(old: Module, new: Module) -> Iterator[Cause]:
    was, now = _named(old.tree.body), _named(new.tree.body)
    for name in was.keys() | now.keys():
        known = [digest for digest, _ in was.get(name, ())]
        if known != [digest for digest, _ in now.get(name, ())]:
            line = next((line for digest, line in now.get(name, ()) if digest not in known), 0)
            label = f"{name} of {new.name}" if " " in name else f"{new.name}.{name}"
            yield Cause(label, new.path if line else "", line)
