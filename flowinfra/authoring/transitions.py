"""Reading ``self.next(...)`` from the syntax tree of a step, so that a graph is known without running it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flowinfra.diagnostics import Diagnostic, Source, error, nearest

__all__ = ["Transition", "read_transition"]

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
    calls = [c for c in _own_nodes(function) if _is_next(c, me)]
    hidden = [c for c in ast.walk(function) if isinstance(c, ast.Call) and _is_next(c, me) and c not in calls]
    if hidden:
        return None, [
            error(
                "FI112",
                f"the step `{function.name}` calls {me}.next inside a nested function",
                detail="whether and when it is called cannot be read from the source",
                hint=f"call {me}.next in the body of the step itself",
                source=Source(file, hidden[0].lineno),
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
    return _read(calls[0], function.name, me, file) if calls else (None, [])


def _own_nodes(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.Call]:
    """The calls in a function's body, those of nested functions and classes left out."""
    todo: list[ast.AST] = list(reversed(function.body))
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Call):
            yield node
        todo.extend(reversed(list(ast.iter_child_nodes(node))))


def _is_next(node: ast.AST, me: str) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "next"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == me
    )


def _read(call: ast.Call, step: str, me: str, file: str) -> tuple[Transition | None, list[Diagnostic]]:
    found: list[Diagnostic] = []

    def wrong(what: str, node: ast.AST, hint: str = f"write {_FORMS}", code: str = "FI112") -> None:
        found.append(
            error(
                code, f"the step `{step}`: {what}", hint=hint, source=Source(file, getattr(node, "lineno", call.lineno))
            )
        )

    words: dict[str, ast.expr] = {}
    for keyword in call.keywords:
        if keyword.arg not in _KEYWORDS:
            name = keyword.arg or "**"
            wrong(f"self.next takes no `{name}`{nearest(name, _KEYWORDS)}", keyword.value, code="FI113")
        else:
            words[keyword.arg] = keyword.value
    foreach = _text(words.get("foreach"), "foreach", "xs", wrong)
    condition = _text(words.get("condition"), "condition", "answer", wrong)
    most = words.get("max_concurrency")
    limit = most.value if isinstance(most, ast.Constant) and type(most.value) is int and most.value > 0 else None
    if most is not None and limit is None:
        wrong("max_concurrency is a whole number above 0, written out", most, hint="e.g. max_concurrency=10")

    to: list[str] = []
    cases: list[tuple[str, str]] = []
    if len(call.args) == 1 and isinstance(call.args[0], ast.Dict):
        for key, value in zip(call.args[0].keys, call.args[0].values, strict=True):
            case_to = _step_name(value, me)
            if not isinstance(key, ast.Constant) or not isinstance(key.value, (str, int, bool)):
                wrong("a case of a switch is a text written out", key or value)
            elif case_to is None:
                wrong("a case of a switch leads to a step written as self.<name>", value)
            else:
                cases.append((str(key.value), case_to))
        if "condition" not in words:
            wrong(
                "a switch needs the attribute that decides", call, 'write self.next({...}, condition="answer")', "FI114"
            )
        if not call.args[0].keys:
            wrong("a switch without cases", call, code="FI114")
        if len(dict(cases)) != len(cases):
            wrong("a case is there twice", call, "give each case once", "FI114")
    else:
        for argument in call.args:
            target = _step_name(argument, me)
            if target is None:
                wrong(f"`{ast.unparse(argument)}` cannot be read as a step before the flow runs", argument)
            else:
                to.append(target)
        if not call.args:
            wrong("self.next names no step", call)
        if "condition" in words:
            wrong("condition goes with a dict of cases", words["condition"], code="FI114")
    if "foreach" in words and (len(to) != 1 or cases) and not found:
        wrong("foreach goes with exactly one step", words["foreach"], 'write self.next(self.a, foreach="xs")', "FI114")
    if most is not None and "foreach" not in words:
        wrong(
            "max_concurrency goes with foreach",
            most,
            'write self.next(self.a, foreach="xs", max_concurrency=10)',
            "FI114",
        )
    if found:
        return None, found
    return Transition(tuple(to), tuple(cases), foreach, condition, limit), []


def _text(node: ast.expr | None, word: str, example: str, wrong: Callable[..., None]) -> str | None:
    if node is None:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
        return node.value
    wrong(
        f"{word} is the name of an attribute, written out as text",
        node,
        f'write {word}="{example}" and set self.{example}',
    )
    return None


def _step_name(node: ast.expr, me: str) -> str | None:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == me:
        return node.attr
    return None
