"""Digests of code by its syntax tree: equal for every formatting, comment, docstring and supported Python.

``ast.dump`` differs between versions of Python, so the serialiser is ours. It writes each node as its class and its
fields by name, and each value behind its type and length, so that no two trees share a byte string. It leaves out

* positions, type comments, the ``u`` in front of a string, and whether a name is read or written (its place says so);
* fields that are None or empty, so that a field which a newer Python added changes nothing where it is not used;
* statements that do nothing: strings on their own (docstrings among them) and ``pass``.

The text of an f-string is joined where versions of Python cut it differently. The serialiser keeps its own stack, so a
tree may be as deep as the parser allows.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from flowinfra.canonical import framed_digest, sha256_hex
from flowinfra.sources.reach import Reach, Reached
from flowinfra.sources.walk import Module, Modules

__all__ = ["ast_digest", "code_digests", "module_digest"]

_LEFT_OUT: Final = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_END: Final = object()


def ast_digest(node: ast.AST) -> str:
    """The SHA-256 of what *node* says."""
    parts: list[bytes] = []
    _write(node, parts.append)
    return sha256_hex(b"".join(parts))


def module_digest(module: Module) -> str:
    """The SHA-256 of what a whole module says."""
    return ast_digest(module.tree)


def code_digests(modules: Modules, classes: Sequence[tuple[str, str]], steps: Sequence[str]) -> dict[str, str]:
    """For each step a digest of the code that it may come to run: its function, and what that reaches.

    Policy decorators (flowinfra's own, and ``@<environment>.step``) are left out: the graph holds what they say. What a
    step reaches, and how carefully that is judged, is in :mod:`flowinfra.sources.reach`. A step that no class defines by
    its name (a factory put it there) gets the digest of all modules.

    Args:
        modules: what :func:`~flowinfra.sources.walk.walk` found.
        classes: the flow's class and its base classes in the order of the MRO, as
            ``[(cls.__module__, cls.__qualname__), ...]``; classes that are not the flow's own are passed over.
        steps: the names of the methods that are steps.
    """
    reach = Reach(modules, classes, steps)
    wholes: dict[str, str] = {}
    known: dict[int, str] = {}  # by the id of a node, which lives as long as *reach*

    def whole(name: str) -> str:
        if name not in wholes:
            wholes[name] = module_digest(modules.by_name[name])
        return wholes[name]

    def digest(node: ast.AST) -> str:
        if id(node) not in known:
            known[id(node)] = ast_digest(node)
        return known[id(node)]

    def of(found: Reached) -> str:
        others = sorted({digest(node) for node in found.others})
        imported = (part for name in found.modules for part in (name, whole(name)))
        return framed_digest("own", *map(digest, found.own), "others", *others, "modules", *imported)

    everything = Reached((), (), tuple(m.name for m in modules.modules))
    return {step: of(reach.of(step) or everything) for step in sorted(steps)}


def _write(root: ast.AST, out: Callable[[bytes], None]) -> None:
    stack: list[Any] = [root]
    while stack:
        item = stack.pop()
        if item is _END:
            out(b")")
        elif isinstance(item, ast.Constant):
            out(_constant(item.value))
        elif isinstance(item, ast.AST):
            out(_framed(b"(", type(item).__name__.encode()))
            stack.append(_END)
            for name, value in reversed(_fields(item)):
                stack += [value, _Name(name)]
        elif isinstance(item, list):
            out(_framed(b"[", str(len(item)).encode()))
            stack += reversed(item)
        elif isinstance(item, _Name):
            out(_framed(b".", item.encode()))
        else:
            out(_constant(item))


class _Name(str):
    """The name of a field, apart from a string in the tree."""

    __slots__ = ()


def _fields(node: ast.AST) -> list[tuple[str, Any]]:
    """The fields of *node* that say something, sorted by name."""
    found: list[tuple[str, Any]] = []
    for name, value in sorted(ast.iter_fields(node)):
        said: Any = value
        if name in _LEFT_OUT:
            continue
        if isinstance(value, list):
            said = [item for item in value if not _does_nothing(item)]
            if isinstance(node, ast.JoinedStr):
                said = list(_joined(said))
        elif name == "format_spec" and isinstance(value, ast.JoinedStr) and not list(_joined(value.values)):
            continue  # f"{x:}" is f"{x}"
        if said is not None and said != []:
            found.append((name, said))
    return found


def _does_nothing(item: object) -> bool:
    if isinstance(item, ast.Expr):
        return isinstance(item.value, ast.Constant) and isinstance(item.value.value, str)
    return isinstance(item, ast.Pass)


def _joined(values: Iterable[ast.expr]) -> Iterator[ast.expr]:
    """The parts of an f-string, with neighbouring text made one and empty text left out."""
    text: list[str] = []
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            text.append(value.value)
            continue
        if any(text):
            yield ast.Constant("".join(text))
        text = []
        yield value
    if any(text):
        yield ast.Constant("".join(text))


def _constant(value: object) -> bytes:
    """A value in a tree: its type, and its exact content."""
    match value:
        case None | True | False:
            return _framed(b"b", str(value).encode())
        case int():
            return _framed(b"i", format(value, "x").encode())  # decimal digits are limited in number
        case float():
            return _framed(b"f", value.hex().encode())
        case complex():
            return _framed(b"c", f"{value.real.hex()} {value.imag.hex()}".encode())
        case str():
            return _framed(b"s", value.encode("utf-8", "surrogatepass"))
        case bytes():
            return _framed(b"y", value)
        case _ if value is ...:
            return _framed(b"b", b"...")
        case _:
            raise TypeError(f"a syntax tree holds no {type(value).__name__}")


def _framed(kind: bytes, data: bytes) -> bytes:
    return kind + len(data).to_bytes(8, "big") + data
