"""``--with retry:times=2``: decorators that are put on every step of a flow for one run."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from flowinfra.authoring import decorators
from flowinfra.authoring import secrets as secret_decorators
from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.settings import mark_of
from flowinfra.diagnostics import ConfigurationError, Diagnostic, FlowinfraError, Source, error, nearest

__all__ = ["decorate"]

#: Decorator → the field of a step's settings that it sets.
_FIELDS: Final[Mapping[str, str]] = {
    "retry": "retry",
    "timeout": "timeout_seconds",
    "catch": "catch",
    "resources": "resources",
    "environment": "env_vars",
    "secrets": "secrets",
}
#: Decorators that run a step somewhere else, and where.
_ELSEWHERE: Final[Mapping[str, str]] = {"kubernetes": "on Kubernetes", "batch": "on AWS Batch"}
_SOURCE: Final = Source("--with")


def decorate(flow: type[FlowSpec], specs: Iterable[str]) -> None:
    """Put decorators on the steps of *flow* that do not have them: what stands in the flow file is stronger.

    Args:
        flow: its class; it is changed.
        specs: ``name`` or ``name:argument=value,argument=value``; values as JSON, or as plain text.

    Raises:
        ConfigurationError: FI950, there is no such decorator, or it has no such argument; FI954, it belongs to a target
            that this version does not have; all that are wrong at once.
    """
    found: list[Diagnostic] = []
    wanted: list[tuple[str, Callable[[Any], Any]]] = []
    for spec in specs:
        name, _, rest = spec.partition(":")
        if name in _ELSEWHERE:
            found.append(
                error(
                    "FI954",
                    f"--with {spec}: this version of flowinfra cannot run a step {_ELSEWHERE[name]}",
                    detail="the target that does it is not there yet",
                    hint="leave it out: all steps of a local run then run on this machine",
                )
            )
            continue
        if name not in _FIELDS:
            found.append(
                error(
                    "FI950",
                    f"--with {spec}: there is no decorator {name!r}{nearest(name, _FIELDS)}",
                    hint=f"the decorators are {', '.join(_FIELDS)}",
                )
            )
            continue
        try:
            wanted.append((_FIELDS[name], _made(name, spec, _arguments(spec, rest))))
        except FlowinfraError as why:
            found += why.diagnostics
    if found:
        raise ConfigurationError(found)
    for function in _steps(flow):
        for name, decorator in wanted:
            mark = mark_of(function)
            if mark is not None and all(p.field != name for p in mark.patches):
                decorator(function)


def _steps(flow: type[FlowSpec]) -> list[Any]:
    there = {name: value for owner in reversed(flow.__mro__) for name, value in vars(owner).items()}
    return [value for value in there.values() if (mark := mark_of(value)) is not None and mark.is_step]


def _made(name: str, spec: str, arguments: dict[str, Any]) -> Callable[[Any], Any]:
    function = getattr(secret_decorators if name == "secrets" else decorators, name)
    takes = [p for p in inspect.signature(function).parameters if p != "function" and not p.startswith("_")]
    unknown = [argument for argument in arguments if argument not in takes]
    if unknown:
        raise ConfigurationError(
            error(
                "FI950",
                f"--with {spec}: {name} has no argument {argument!r}{nearest(argument, takes)}",
                hint=f"its arguments are {', '.join(takes)}",
            )
            for argument in unknown
        )
    if "_source" in inspect.signature(function).parameters:
        arguments["_source"] = _SOURCE
    made: Callable[[Any], Any] = function(**arguments)
    return made


def _arguments(spec: str, text: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for part in _parts(text):
        name, equals, value = part.partition("=")
        if not equals:
            raise ConfigurationError(
                error("FI950", f"--with {spec}: {part!r} is no argument=value", hint="e.g. --with retry:times=2")
            )
        try:
            out[name.strip()] = json.loads(value)
        except ValueError:
            out[name.strip()] = value.strip()
    return out


def _parts(text: str) -> list[str]:
    """*text* at its commas, but for those inside brackets."""
    parts: list[str] = []
    depth = 0
    for part in text.split(",") if text else ():
        if depth:
            parts[-1] += f",{part}"
        else:
            parts.append(part)
        depth += sum(part.count(c) for c in "[{") - sum(part.count(c) for c in "]}")
    return parts
