"""``config_expr``: a value that is worked out from configs, written as text."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FrameType
from typing import Any

from flowinfra.authoring.configs import Config
from flowinfra.authoring.later import Later, Names, failed
from flowinfra.authoring.settings import caller, is_ours
from flowinfra.diagnostics import AuthoringError, Source, error

__all__ = ["config_expr"]


def config_expr(expression: str) -> Any:
    """The value of a Python expression over the flow's configs, for arguments of decorators and defaults of parameters.

    It may use the names of configs, and what the module of the flow has: ``config_expr("config.gpus * 2")``. In the body
    of a class that has made its configs already the value is worked out at once; above the class, and in a class that
    has its configs from a base, when the class is complete.

    Args:
        expression: the expression.

    Raises:
        AuthoringError: FI167, it is no expression, or evaluating it raises.
    """
    source = caller()
    try:
        code = compile(expression, "<config_expr>", "eval")
        used = {node.id for node in ast.walk(ast.parse(expression, mode="eval")) if isinstance(node, ast.Name)}
    except (SyntaxError, TypeError, ValueError) as why:
        raise AuthoringError(
            error(
                "FI167",
                f"config_expr({expression!r}): it is no expression: {getattr(why, 'msg', why)}",
                hint="write one as Python has it, e.g. config_expr('config.gpus * 2')",
                source=source,
            )
        ) from None
    frame = _author()
    here = frame.f_locals if "__qualname__" in frame.f_locals else {}
    configs = dict(_configs(here))
    later = Later(str(expression), _evaluator(code, frame.f_globals, dict(here)), source)
    known = {*configs, *here, *frame.f_globals, *dir(builtins)}
    if used <= known and configs and all(configs[name]._state.known for name in used & {*configs}):
        return _now(later, {name: config._state.value for name, config in configs.items()}, source)
    return later


def _evaluator(code: CodeType, module: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    def evaluate(names: Names) -> Any:
        return eval(code, {**module, **body, **names})  # noqa: S307 - the author's own code, as the flow file is

    return evaluate


def _now(later: Later, names: Names, source: Source) -> Any:
    try:
        return later._evaluate(names)
    except Exception as why:  # noqa: BLE001 - the author's expression may raise anything
        raise AuthoringError(failed(later._text, why, names, source)) from None


def _configs(body: Mapping[str, Any]) -> Iterator[tuple[str, Config]]:
    for attribute, value in body.items():
        if isinstance(value, Config):
            yield attribute, value
            yield value._state.name, value


def _author() -> FrameType:
    """The frame that calls flowinfra."""
    frame = sys._getframe(1)
    while is_ours(frame.f_code.co_filename) and frame.f_back is not None:
        frame = frame.f_back
    return frame
