"""Values that are known a little later than they are written: expressions over configs.

A config is read when it is made, so what a decorator is given is as a rule the value itself. Two things are not known
then: what stands above the class (a flow's own decorators come before its body), and what names a config of a base class.
They are kept as a :class:`Later`, and resolved when the class is complete.
"""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

from flowinfra.authoring.invoker import serve
from flowinfra.authoring.settings import Patch, caller, mark_of, patch
from flowinfra.diagnostics import AuthoringError, Diagnostic, Source, error

__all__ = ["Held", "Later", "Names", "configurable", "has_later", "resolved", "settled"]

P = ParamSpec("P")
R = TypeVar("R")

#: The configs of a flow: by attribute, and by the name that callers use.
Names = Mapping[str, Any]


class Later:
    """A value that is not known yet; attributes, items, calls and arithmetic of it are not known either.

    Args:
        text: how it is written.
        evaluate: gives it, once the flow's configs are known.
        source: where it is written.
    """

    __slots__ = ("_evaluate", "_source", "_text")
    __hash__ = object.__hash__

    def __init__(self, text: str, evaluate: Callable[[Names], Any], source: Source) -> None:
        self._text = text
        self._evaluate = evaluate
        self._source = source

    def __getattr__(self, name: str) -> Later:
        if name.startswith("__"):
            raise AttributeError(name)
        return Later(f"{self._text}.{name}", lambda names: getattr(self._evaluate(names), name), self._source)

    def __getitem__(self, key: Any) -> Later:
        return Later(f"{self._text}[{key!r}]", lambda names: self._evaluate(names)[key], self._source)

    def __call__(self, *args: Any, **kwargs: Any) -> Later:
        """What calling it will give."""
        return Later(f"{self._text}(...)", lambda names: self._evaluate(names)(*args, **kwargs), self._source)

    def _forced(self, *_: Any) -> NoReturn:
        """The body of a class needs the value now.

        Raises:
            AuthoringError: why there is none.
        """
        with contextlib.suppress(NameError, TypeError):  # an expression over names that are not there yet
            try:
                self._evaluate({})
            except AuthoringError:
                serve(Path(self._source.file))
                raise
        raise TypeError(f"{self._text} is known when the class is complete, and its body needs it now")

    __bool__ = __len__ = __iter__ = __contains__ = __int__ = __float__ = __index__ = _forced

    def __repr__(self) -> str:
        return f"<{self._text}, later>"


class Held:
    """What holds a value that may be known later: a config."""

    __slots__ = ()

    def _now_or_later(self) -> Any:
        raise TypeError(f"{self!r} holds nothing")


def _binary(function: Callable[[Any, Any], Any], *, swapped: bool) -> Callable[[Later, Any], Later]:
    def made(self: Later, other: Any) -> Later:
        def evaluate(names: Names) -> Any:
            one, two = self._evaluate(names), _value(other, names)
            return function(two, one) if swapped else function(one, two)

        return Later(f"({self._text} {function.__name__} ...)", evaluate, self._source)

    return made


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "or_", "and_"):
    _plain = _name.rstrip("_")
    setattr(Later, f"__{_plain}__", _binary(getattr(operator, _name), swapped=False))
    setattr(Later, f"__r{_plain}__", _binary(getattr(operator, _name), swapped=True))


def has_later(*values: Any) -> bool:
    """Whether any of *values* is, or holds, a value that is not known yet."""
    return any(
        isinstance(value, (Held, Later))
        or (isinstance(value, Mapping) and has_later(*value.values()))
        or (isinstance(value, (list, tuple)) and has_later(*value))
        for value in values
    )


def resolved(value: Any, names: Names) -> Any:
    """*value* with everything in it that is known now.

    Raises:
        AuthoringError: FI167, an expression in it cannot be evaluated.
    """
    if isinstance(value, Held):
        value = value._now_or_later()
    if isinstance(value, Later):
        try:
            return value._evaluate(names)
        except AuthoringError:
            raise
        except Exception as why:  # noqa: BLE001 - the author's expression may raise anything
            raise AuthoringError(failed(value._text, why, names, value._source)) from None
    if isinstance(value, Mapping) and has_later(value):
        return {key: resolved(item, names) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and has_later(value):
        return type(value)(resolved(item, names) for item in value)
    return value


def failed(text: str, why: BaseException, names: Names, source: Source) -> Diagnostic:
    """The finding that the expression *text* raises *why*."""
    said = why.args[0] if isinstance(why, KeyError) and why.args else why
    return error(
        "FI167",
        f"the expression {text!r} over configs cannot be evaluated: {type(why).__name__}: {said}",
        detail=f"the configs are {', '.join(names)}" if names else "the flow has no config",
        hint="name a config by its attribute, e.g. config_expr('config.training.epochs')",
        source=source,
    )


def configurable(field: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """For a decorator of steps that patches *field*: it takes values that are known later too."""

    def wrap(decorator: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(decorator)
        def made(*args: Any, **kwargs: Any) -> Any:
            if not has_later(*args, *kwargs.values()):
                return decorator(*args, **kwargs)
            source, name = caller(), f"@{decorator.__name__}"

            def evaluate(names: Names) -> Any:
                return _patched(decorator, resolved(args, names), resolved(kwargs, names), source)

            return lambda step: patch(step, field, Later(name, evaluate, source), name, source)

        return made

    return wrap


def settled(function: Any, names: Names) -> list[Diagnostic]:
    """Resolve what the decorators of a step were given; what cannot be, with why, stays as it is."""
    mark = mark_of(function)
    if mark is None or not any(isinstance(p.value, Later) for p in mark.patches):
        return []
    found: list[Diagnostic] = []

    def known(one: Patch) -> Patch:
        try:
            return replace(one, value=resolved(one.value, names))
        except AuthoringError as why:
            found.extend(why.diagnostics)
            return one

    function.__flowinfra__ = replace(mark, patches=tuple(known(one) for one in mark.patches))
    return found


def _patched(decorator: Any, args: Any, kwargs: Any, source: Source) -> Any:
    """The value that *decorator* patches a step with."""

    def step() -> None: ...

    try:
        decorator(*args, **kwargs)(step)
    except AuthoringError as why:
        raise AuthoringError(replace(d, source=source) for d in why.diagnostics) from None
    mark = mark_of(step)
    assert mark is not None  # what is configurable leaves a patch
    return mark.patches[-1].value


def _value(value: Any, names: Names) -> Any:
    return value._evaluate(names) if isinstance(value, Later) else value
