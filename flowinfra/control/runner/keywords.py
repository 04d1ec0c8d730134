"""What a run is given by name in Python: the flow's parameters and the options of the run, in one namespace.

A Python value is checked against the type that the flow declares, and never made into text. Everything that is wrong is
found at once. This is read by the program that has imported the flow; whoever calls it has not.
"""

from __future__ import annotations

import datetime
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flowinfra.control.invocation import wrong_type
from flowinfra.control.messages import Foreign
from flowinfra.diagnostics import (
    ConfigurationError,
    Diagnostic,
    FlowinfraError,
    ParameterError,
    error,
    nearest,
    warning,
)

__all__ = ["RESUME", "RUN", "SPIN", "Given", "Sorted", "sort_out", "typed_value"]

#: The name of an option → what it takes, and what makes it of a value (TypeError or ValueError: it cannot).
Options = Mapping[str, tuple[str, Callable[[Any], Any]]]

_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Given:
    """What was given to a call.

    Attributes:
        call: its name, for messages.
        keywords: by name: parameters and options.
        parameters: surely parameters.
        options: surely options.
    """

    call: str
    keywords: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sorted:
    """What was given, sorted out and checked.

    Attributes:
        parameters: values as JSON by name.
        options: values by name.
        warnings: what was found and does not stop.
    """

    parameters: dict[str, Any]
    options: dict[str, Any]
    warnings: tuple[Diagnostic, ...] = ()


def sort_out(given: Given, declared: Iterable[Any] | None, options: Options, flow: str) -> Sorted:
    """Tell parameters from options, and check both.

    Args:
        given: what was given.
        declared: the flow's parameters (objects of :class:`flowinfra.Parameter`); None where the call takes none.
        options: those that the call takes.
        flow: the flow's name, for messages.

    Raises:
        ParameterError: a parameter is wrong (FI712) or missing (FI710); it carries what is wrong with options too.
        ConfigurationError: FI853, an option is wrong; FI854, a name may be both; FI864, one is given twice; FI860, it is neither.
    """
    kinds = {p.name.replace("-", "_"): p for p in declared or ()}
    found: list[Diagnostic] = []
    parameters: dict[str, Any] = dict(given.parameters) if declared is not None else {}
    chosen: dict[str, Any] = dict(given.options)
    if declared is None:
        found += [_no_parameters(given.call, name) for name in given.parameters]
    for name, value in given.keywords.items():
        plain = name.replace("-", "_")
        if plain in kinds and plain in options:
            found.append(_ambiguous(given.call, name, flow))
        elif plain in (chosen if plain in options else parameters):
            found.append(_twice(given.call, name, "options" if plain in options else "parameters"))
        elif plain in options:
            chosen[plain] = value
        else:
            parameters[name] = value
    values, problems = _typed(given, parameters, kinds, options, flow, takes=declared is not None)
    found += problems
    settled: dict[str, Any] = {}
    for name, value in chosen.items():
        if name not in options:
            found.append(
                _misplaced(given.call, name, f"an option: it is a parameter of {flow}", "parameters")
                if name.replace("-", "_") in kinds
                else _unknown(given.call, name, kinds, options, flow)
            )
        elif value is not None:
            try:
                settled[name] = options[name][1](value)
            except (TypeError, ValueError):
                found.append(wrong_type(name, options[name][0], value))
    if found:
        raise (ParameterError if any(d.code.startswith("FI71") for d in found) else ConfigurationError)(found)
    return Sorted(values, settled, tuple(_without_effect(name) for name in settled if name in _WITHOUT_EFFECT))


def _typed(
    given: Given, parameters: Mapping[str, Any], kinds: Mapping[str, Any], options: Options, flow: str, *, takes: bool
) -> tuple[dict[str, Any], list[Diagnostic]]:
    values: dict[str, Any] = {}
    found: list[Diagnostic] = []
    named: set[str] = set()
    for name, value in parameters.items():
        parameter = kinds.get(name.replace("-", "_"))
        if parameter is None:
            if takes and name in options:
                found.append(_misplaced(given.call, name, f"a parameter of {flow}: it is an option", "options"))
            elif takes:
                found.append(_unknown(given.call, name, kinds, options, flow))
            else:
                found.append(_no_parameters(given.call, name, options))
            continue
        named.add(parameter.name)
        try:
            values[parameter.name] = typed_value(parameter, value)
        except FlowinfraError as why:
            found += why.diagnostics
        except (TypeError, ValueError) as why:
            found.append(_misfit(parameter, value, str(why)))
    for parameter in kinds.values():
        if takes and parameter.required and parameter.name not in named and not _meant(parameter.name, given, options):
            found.append(
                error(
                    "FI710",
                    f"the parameter {parameter.name} ({parameter.kind}) must be given",
                    detail=parameter.help,
                    hint=f"give it to {given.call}(): {parameter.name.replace('-', '_')}=...",
                )
            )
    return values, found


def _meant(name: str, given: Given, options: Options) -> bool:
    """Whether the parameter was given under a name that means an option too: that is said already."""
    return name.replace("-", "_") in options and name.replace("-", "_") in given.keywords


def typed_value(parameter: Any, value: Any) -> Any:
    """A Python value for *parameter* as JSON (a file: as :func:`flowinfra.runtime.parameters.parse_text` reads its path).

    Raises:
        TypeError: it is of another type; the message says of which.
        ValueError: JSON has no form for it.
        ParameterError: FI713, the file cannot be read.
    """
    kind: str = parameter.kind
    if value is None:
        return None
    if kind == "file":
        if not isinstance(value, (str, os.PathLike)):
            raise TypeError(_is(value))
        from flowinfra.runtime.parameters import parse_text

        return parse_text(
            {"name": parameter.name, "type": kind, "json_schema": _schema(parameter)}, os.path.abspath(value)
        )
    if kind == "json":
        return _json(value)
    if not isinstance(value, _PYTHON[kind]) or (isinstance(value, bool) and kind != "bool"):
        raise TypeError(_is(value))
    if isinstance(value, datetime.date):
        if kind == "date" and isinstance(value, datetime.datetime):
            raise TypeError(_is(value))
        return value.isoformat()
    if isinstance(value, (list, tuple, dict)):
        return _json(value)
    return _float(value) if kind == "float" else value


def _float(value: Any) -> float:
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("it is too large") from None
    if not math.isfinite(number):
        raise ValueError("JSON has no form for it")
    return number


_PYTHON: Final[Mapping[str, tuple[type, ...]]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "list": (list, tuple),
    "dict": (dict,),
    "date": (datetime.date,),
    "datetime": (datetime.datetime,),
}


def _schema(parameter: Any) -> dict[str, Any]:
    encoding = parameter.encoding if parameter.is_text else "base64"
    return {"type": "string", "contentEncoding": encoding}


def _json(value: Any) -> Any:
    def refuse(item: Any) -> Any:
        raise TypeError(f"it holds {item!r}, which {_is(item).removeprefix('it ')}")

    if isinstance(value, Foreign):
        raise TypeError(_is(value))
    return json.loads(json.dumps(value, allow_nan=False, default=refuse))


def _is(value: Any) -> str:
    if not isinstance(value, Foreign):
        return f"it is of the type {type(value).__name__}"
    return "it has keys that are no texts" if value.kind == "dict" else f"it is of the type {value.kind}"


# -- findings -------------------------------------------------------------------------------------------------------


def _misfit(parameter: Any, value: Any, why: str) -> Diagnostic:
    text = repr(value)
    return error(
        "FI712",
        f"the parameter {parameter.name} is of the type {parameter.kind}; "
        f"{text if len(text) <= _SHOWN else text[:_SHOWN] + '…'} is none",
        detail=why,
        hint="give a value of that type; in Python nothing is read from a text",
    )


def _unknown(call: str, name: str, kinds: Mapping[str, Any], options: Options, flow: str) -> Diagnostic:
    has = f"the parameters of {flow} are {', '.join(kinds)}" if kinds else f"{flow} has no parameters"
    return error(
        "FI860",
        f"{call}() has no argument {name!r}{nearest(name, [*kinds, *options])}",
        detail=f"{has}; the options are {', '.join(options)}",
        hint="options that stand before the command are given to the constructor, beside the flow",
    )


def _misplaced(call: str, name: str, what: str, where: str) -> Diagnostic:
    return error(
        "FI860",
        f"{name!r} is not {what}",
        hint=f"give it as {call}({name.replace('-', '_')}=...), or in {where}={{...}}",
    )


def _no_parameters(call: str, name: str, options: Options | None = None) -> Diagnostic:
    return error(
        "FI860",
        f"{call}() has no argument {name!r}{nearest(name, options or {})}",
        detail=f"it takes no parameters: they come from the run that it goes on from; the options are "
        f"{', '.join(options or {})}",
        hint="start a new run with run() to give other parameters",
    )


def _twice(call: str, name: str, mapping: str) -> Diagnostic:
    return error(
        "FI864",
        f"{call}() is given {name} twice",
        detail=f"once by itself, and once in {mapping}={{...}}",
        hint="give it once",
    )


def _ambiguous(call: str, name: str, flow: str) -> Diagnostic:
    return error(
        "FI854",
        f"{name!r} is a parameter of {flow}, and an option of {call}() too",
        detail="one of them would be lost",
        hint=f"say which one is meant: {call}(parameters={{{name!r}: ...}}) or {call}(options={{{name!r}: ...}})",
    )


def _without_effect(name: str) -> Diagnostic:
    return warning("FI862", f"{name} has no effect: {_WITHOUT_EFFECT[name]}", hint=f"leave {name} out")


# -- options --------------------------------------------------------------------------------------------------------


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    if value < 1:
        raise ValueError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise TypeError
    return tuple(value)


def _path(value: Any) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError
    return os.fspath(value)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _duration(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError
    from flowinfra.authoring.settings import seconds_of
    from flowinfra.diagnostics import Source

    try:
        seconds = seconds_of(value, "timeout", Source(""))
    except FlowinfraError as why:
        raise ValueError from why
    return float(seconds)


_WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "max_num_splits": "a foreach may have any number of items",
    "max_log_size": "all that tasks print is kept",
}

_COMMON: Final[Options] = {
    "decospecs": ("a list of texts", _texts),
    "max_log_size": ("a whole number of at least 1", _count),
    "max_num_splits": ("a whole number of at least 1", _count),
    "max_workers": ("a whole number of at least 1", _count),
    "namespace": ("a text", _text),
    "run_id_file": ("a path", _path),
    "tags": ("a list of texts", _texts),
    "timeout": ("a number of seconds, or a text such as '2h'", _duration),
    "user_namespace": ("a text", _text),
}

#: Options of ``run``; ``namespace`` and ``user_namespace`` are the same.
RUN: Final[Options] = _COMMON

#: Options of ``resume``.
RESUME: Final[Options] = {
    **_COMMON,
    "origin_run_id": ("a text", _text),
    "rerun_changed": ("True or False", _bool),
    "step_to_rerun": ("a text", _text),
}

#: Options of ``spin``.
SPIN: Final[Options] = {
    "decospecs": _COMMON["decospecs"],
    "namespace": _COMMON["namespace"],
    "timeout": _COMMON["timeout"],
    "user_namespace": _COMMON["user_namespace"],
}
