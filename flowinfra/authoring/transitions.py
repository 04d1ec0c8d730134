"""Reading ``self.next(...)`` from the syntax tree of a step, so that a graph is known without running it."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TypeGuard

from flowinfra.diagnostics import Diagnostic, Source, error, nearest

__all__ = ["Transition", "line_of_next", "read_transition", "unknown_step"]

_KEYWORDS = ("foreach", "condition", "max_concurrency")
_FORMS = (
    'self.next(self.a), self.next(self.a, self.b), self.next(self.a, foreach="xs") '
    'or self.next({"yes": self.a, "no": self.b}, condition="answer")'
)


@dataclass(frozen=True, slots=True)
class Transition:
    """A transition as it is written: exactly one of the forms of ``self.next``."""

    to: tuple[str, ...] = ()
    cases: tuple[tuple[str, str], ...] = ()
    foreach: str | None = None
    condition: str | None = None
    max_concurrency: int | None = None


def read_transition(
    function: ast.FunctionDef | ast.AsyncFunctionDef, file: str
) -> tuple[Transition | None, list[Diagnostic]]:
    """The transition of a step; None where there is none to read. *file* is for the findings."""
    me = function.args.args[0].arg if function.args.args else "self"
    calls = [n for n in _nodes(function, me, nested=False) if _is_next(n, me)]
    read = {id(n) for call in calls for n in (call, call.func)}
    elsewhere = [n for n in _nodes(function, me, nested=True) if _names_next(n, me) and id(n) not in read]
    if elsewhere:
        return None, [
            error(
                "FI112",
                f"the step `{function.name}` uses {me}.next in a nested function, or hands it to other code",
                detail="whether and when it is called cannot be read from the source",
                hint=f"call {me}.next in the body of the step itself",
                source=Source(file, elsewhere[0].lineno),
            )
        ]
    if len(calls) > 1:
        lines = ", ".join(str(c.lineno) for c in calls)
        return None, [
            error(
                "FI111",
                f"the step `{function.name}` has {len(calls)} transitions (lines {lines})",
                detail="a graph is known before it runs, so a step has one transition",
                hint='to choose at run time write self.next({"yes": self.a, "no": self.b}, condition="answer")',
                source=Source(file, calls[1].lineno),
            )
        ]
    return _Reader(calls[0], function.name, me, file).read() if calls else (None, [])


def line_of_next(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The line of the first ``self.next(...)`` in *function*; 0 where there is none."""
    me = function.args.args[0].arg if function.args.args else "self"
    return next((node.lineno for node in _nodes(function, me, nested=True) if _is_next(node, me)), 0)


def unknown_step(step: str, to: str, names: Collection[str]) -> tuple[str, str, str]:
    """Summary, detail and hint of FI203: the step *step* goes to *to*, and the steps are *names*."""
    return (
        f"the step `{step}` goes to `{to}`, which is no step{nearest(to, names)}",
        f"the steps are {', '.join(names)}",
        f"write a step `{to}` with @step, or name another one in self.next",
    )


def _nodes(function: ast.FunctionDef | ast.AsyncFunctionDef, me: str, *, nested: bool) -> Iterator[ast.AST]:
    """The nodes of a function's body in the order of the source, those of nested functions where asked for.

    A nested function with a parameter called *me* means something else by it.
    """
    todo: list[ast.AST] = list(reversed(function.body))
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            takes = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if not nested or me in [a.arg for a in takes]:
                continue
        if isinstance(node, ast.ClassDef) and not nested:
            continue
        yield node
        todo.extend(reversed(list(ast.iter_child_nodes(node))))


def _is_next(node: ast.AST, me: str) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and _names_next(node.func, me)


def _names_next(node: ast.AST, me: str) -> TypeGuard[ast.Attribute]:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "next"
        and isinstance(node.value, ast.Name)
        and node.value.id == me
    )


@dataclass(slots=True)
class _Reader:
    """Reads one call of ``self.next``; finds everything that is wrong with it."""

    call: ast.Call
    step: str
    me: str
    file: str
    found: list[Diagnostic] = field(default_factory=list)

    def read(self) -> tuple[Transition | None, list[Diagnostic]]:
        words = self.words()
        foreach = self.name_in(words, "foreach", "xs")
        condition = self.name_in(words, "condition", "answer")
        limit = self.limit(words)
        first = self.call.args[0] if self.call.args else None
        to, cases = ([], self.cases(first, words)) if isinstance(first, ast.Dict) else (self.targets(words), [])
        if "foreach" in words and (len(self.call.args) != 1 or isinstance(first, ast.Dict)):
            hint = 'write self.next(self.a, foreach="xs")'
            self.wrong("foreach goes with exactly one step", words["foreach"], hint, "FI114")
        if "max_concurrency" in words and "foreach" not in words:
            hint = 'write self.next(self.a, foreach="xs", max_concurrency=10)'
            self.wrong("max_concurrency goes with foreach", words["max_concurrency"], hint, "FI114")
        if self.found:
            return None, self.found
        return Transition(tuple(to), tuple(cases), foreach, condition, limit), []

    def wrong(self, what: str, node: ast.expr, hint: str = f"write {_FORMS}", code: str = "FI112") -> None:
        self.found.append(
            error(code, f"the step `{self.step}`: {what}", hint=hint, source=Source(self.file, node.lineno))
        )

    def words(self) -> dict[str, ast.expr]:
        out: dict[str, ast.expr] = {}
        for keyword in self.call.keywords:
            if keyword.arg in _KEYWORDS:
                out[keyword.arg] = keyword.value
            else:
                name = keyword.arg or f"**{ast.unparse(keyword.value)}"
                known = ", ".join(_KEYWORDS)
                what = f"{self.me}.next takes no `{name}`{nearest(name, _KEYWORDS)}"
                self.wrong(what, keyword.value, f"it takes steps, or a dict of cases, and {known}", "FI113")
        return out

    def name_in(self, words: dict[str, ast.expr], word: str, example: str) -> str | None:
        node = words.get(word)
        if node is None:
            return None
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            return node.value
        hint = f'write {word}="{example}" and set self.{example}'
        self.wrong(f"{word} is the name of an attribute, written out as text", node, hint)
        return None

    def limit(self, words: dict[str, ast.expr]) -> int | None:
        node = words.get("max_concurrency")
        if node is None:
            return None
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value > 0:
            return node.value
        self.wrong("max_concurrency is a whole number above 0, written out", node, "e.g. max_concurrency=10")
        return None

    def targets(self, words: dict[str, ast.expr]) -> list[str]:
        """The steps that the arguments name."""
        out: list[str] = []
        for argument in self.call.args:
            if isinstance(argument, ast.Dict):
                hint = 'write self.next({"yes": self.a, "no": self.b}, condition="answer")'
                self.wrong("a dict of cases goes alone", argument, hint, "FI114")
                return []
            target = self.step_name(argument)
            if target is None:
                self.wrong(f"`{ast.unparse(argument)}` cannot be read as a step before the flow runs", argument)
            else:
                out.append(target)
        if not self.call.args:
            self.wrong("self.next names no step", self.call)
        if "condition" in words:
            hint = 'write self.next({"yes": self.a, "no": self.b}, condition="answer")'
            self.wrong("condition goes with a dict of cases", words["condition"], hint, "FI114")
        return out

    def cases(self, given: ast.Dict, words: dict[str, ast.expr]) -> list[tuple[str, str]]:
        """The cases of a switch."""
        out: list[tuple[str, str]] = []
        if len(self.call.args) > 1:
            hint = 'write self.next({"yes": self.a, "no": self.b}, condition="answer")'
            self.wrong("a dict of cases goes alone", self.call.args[1], hint, "FI114")
        for key, value in zip(given.keys, given.values, strict=True):
            to = self.step_name(value)
            if not isinstance(key, ast.Constant) or not isinstance(key.value, (str, int)):
                self.wrong("a case of a switch is a text written out", key or value)
            elif to is None:
                self.wrong("a case of a switch leads to a step written as self.<name>", value)
            elif str(key.value) in dict(out):
                self.wrong(f"the case {str(key.value)!r} is there twice", key, "give each case once", "FI114")
            else:
                out.append((str(key.value), to))
        if "condition" not in words:
            hint = 'write self.next({...}, condition="answer") and set self.answer'
            self.wrong("a switch needs the attribute that decides", self.call, hint, "FI114")
        if not given.keys:
            self.wrong("a switch without cases", given, code="FI114")
        return out

    def step_name(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == self.me:
            return node.attr
        return None
