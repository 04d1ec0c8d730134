"""The parameters of a run: checked before it starts, made into Python values by its first task.

A parameter is the plain JSON of :class:`flowinfra.model.graph.ParameterSpec` out of a release, so that a deployment is
checked against what is *deployed*, whatever the flow file says by now. Everything that is wrong comes at once.

A value of the type ``file`` is a file of this machine (:class:`~flowinfra.packaging.files.LocalFile`) until the run is
started. Then it is the content, as text or in base64, or a reference to it in the store; a step gets the content. Its
default is a path relative to the flow file, whose content the first task stores.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from flowinfra.authoring.parameters import to_json
from flowinfra.diagnostics import Diagnostic, ParameterError, Severity, error, nearest
from flowinfra.packaging.files import BASE64, LocalFile, StoredFile, open_file
from flowinfra.runtime.failures import user_trace

__all__ = [
    "check_parameters",
    "from_python",
    "made_by_first_task",
    "parse_text",
    "parse_texts",
    "resolve",
    "signature",
    "to_python",
]

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
_ANNOTATIONS: Final = frozenset({"format", "contentEncoding"})  # of a schema: checked by converting the value
_WORDS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_SHOWN: Final = 80


def check_parameters(
    parameters: Sequence[Mapping[str, Any]], given: Mapping[str, Any], flow: str = "the flow"
) -> dict[str, Any]:
    """The run's complete input by name, as JSON values or files: what is given, and the defaults of what is not.

    Defaults that only the first task can make (functions, files) are left out. A name may be given with ``_`` for ``-``.

    Args:
        parameters: of the release.
        given: JSON values or files by name; names that begin with ``$`` are none of the parameters' and are left out.
        flow: the flow's name, for the messages.

    Raises:
        ParameterError: FI710, one is missing; FI711, one is not known; FI712, a value does not fit. All of them at
            once, with the signature.
    """
    by_name = {p["name"]: p for p in parameters}
    plain = {_plain(name): name for name in by_name}
    found: list[Diagnostic] = []
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name.startswith("$"):
            continue
        known = name if name in by_name else plain.get(_plain(name))
        if known is None:
            found.append(
                error(
                    "FI711",
                    f"{flow} has no parameter {name!r}{nearest(name, by_name)}",
                    hint=f"its parameters are {', '.join(by_name)}" if by_name else "it has no parameters at all",
                )
            )
            continue
        why = _misfit(by_name[known], value)
        if why:
            found.append(_wrong(by_name[known], value, why))
        else:
            values[known] = value
    taken = {name if name in by_name else plain.get(_plain(name)) for name in given}
    for name, parameter in by_name.items():
        if name in taken:
            continue
        if parameter.get("required"):
            found.append(
                error(
                    "FI710",
                    f"the parameter {name} ({parameter['type']}) must be given",
                    detail=parameter.get("help", ""),
                    hint=f"give it: --{name} VALUE on a command line, {_plain(name)}=VALUE in Python",
                )
            )
        elif not made_by_first_task(parameter):
            values[name] = parameter.get("default")
    _raise(found, parameters, flow)
    return {name: values[name] for name in by_name if name in values}


def parse_texts(parameters: Sequence[Mapping[str, Any]], texts: Mapping[str, str]) -> dict[str, Any]:
    """Values from a command line as JSON values; unknown names are kept as text, for :func:`check_parameters` to name.

    Raises:
        ParameterError: FI713, for each text that cannot be read.
    """
    by_plain = {_plain(p["name"]): p for p in parameters}
    found: list[Diagnostic] = []
    values: dict[str, Any] = {}
    for name, text in texts.items():
        parameter = by_plain.get(_plain(name))
        try:
            values[name] = text if parameter is None else parse_text(parameter, text)
        except ParameterError as why:
            found += why.diagnostics
    if found:
        raise ParameterError(found)
    return values


def parse_text(parameter: Mapping[str, Any], text: str) -> Any:
    """A value as it is written on a command line, as JSON.

    Numbers and texts are written as they are, ``true`` or ``false``, dates as in ISO 8601, lists, dicts and JSON values
    as JSON. A file is written by its path, and read as a :class:`~flowinfra.packaging.files.LocalFile`.

    Raises:
        ParameterError: FI713, it cannot be read as that type.
    """
    kind = parameter["type"]
    try:
        return _READERS.get(kind, _read_plain)(parameter, text)
    except (ValueError, OSError, RecursionError, LookupError) as why:
        raise ParameterError(
            error(
                "FI713",
                f"the parameter {parameter['name']} is of the type {kind}; {_shorten(repr(text))} cannot be read as one",
                detail=_reason(why),
                hint=_EXAMPLES.get(kind, ""),
            )
        ) from None


def signature(parameters: Sequence[Mapping[str, Any]], flow: str) -> str:
    """``Flow(name: type = default, ...)`` on one line."""
    parts = []
    for p in parameters:
        default = ""
        if p.get("computed_default"):
            default = " = <computed>"
        elif not p.get("required"):
            default = f" = {_shorten(json.dumps(p.get('default'), ensure_ascii=False))}"
        parts.append(f"{p['name']}: {p['type']}{default}")
    return f"{flow}({', '.join(parts)})"


def resolve(
    parameters: Sequence[Mapping[str, Any]],
    given: Mapping[str, Any],
    defaults: Mapping[str, Callable[[], Any]],
    folder: Path,
    flow: str,
    store: Callable[[LocalFile], Any],
) -> dict[str, Any]:
    """The Python values of a run's parameters by attribute; called by the first task. Of a large file it is where it is.

    Args:
        parameters: of the release.
        given: the run's input.
        defaults: the functions that make computed defaults, by attribute.
        folder: the folder of the flow file, where default files are.
        flow: the flow's name, for the messages.
        store: stores a file; its value as JSON.

    Raises:
        ParameterError: as :func:`check_parameters`; FI714, a default cannot be made.
    """
    checked = check_parameters(parameters, given, flow)
    values: dict[str, Any] = {}
    found: list[Diagnostic] = []
    for parameter in parameters:
        name, attribute = parameter["name"], parameter["attribute"]
        if name in checked:
            values[attribute] = to_python(parameter, checked[name])
            continue
        try:
            if parameter.get("computed_default"):
                value = to_json(parameter["type"], defaults[attribute]())
            else:
                found_file = open_file(folder / parameter["default"], _encoding(parameter))
                value = store(found_file) if isinstance(found_file, LocalFile) else found_file
            why = _misfit(parameter, value)
            if why:
                raise ValueError(f"{_shorten(repr(value))}: {why}")
            values[attribute] = to_python(parameter, value)
        except Exception as why:  # noqa: BLE001 - the function is the author's
            found.append(
                error(
                    "FI714",
                    f"the default of the parameter {name} cannot be made: {type(why).__name__}: {why}",
                    detail=user_trace(why),
                    hint=f"give the parameter when you start the run, or mend its default in {flow}",
                )
            )
    if found:
        raise ParameterError(found)
    return values


def to_python(parameter: Mapping[str, Any], value: Any) -> Any:
    """A JSON value that fits *parameter* as the Python value that steps see.

    Raises:
        ValueError: it is no such date or no base64.
    """
    if value is None:
        return None
    match parameter["type"]:
        case "int":
            return int(value)
        case "float":
            return float(value)
        case "date":
            return datetime.date.fromisoformat(value)
        case "datetime":
            return datetime.datetime.fromisoformat(value)
        case "file" if isinstance(value, dict):
            return StoredFile.from_json(value)
        case "file" if _encoding(parameter) == BASE64:
            return base64.b64decode(value, validate=True)
        case _:
            return value


def from_python(parameter: Mapping[str, Any], value: Any) -> Any:
    """What :func:`to_python` made a value from, as JSON; a file that is stored stays where it is."""
    if isinstance(value, StoredFile):
        return value.to_json()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else to_json(parameter["type"], value)


# -- checking -------------------------------------------------------------------------------------------------------


def _misfit(parameter: Mapping[str, Any], value: Any) -> str:
    """Why *value* does not fit; empty if it does."""
    if parameter["type"] == "file" and (isinstance(value, LocalFile) or StoredFile.from_json(value)):
        return ""
    schema = parameter.get("json_schema", {})
    kinds = schema.get("type", list(_TYPES))
    if {"type"} | _ANNOTATIONS >= schema.keys():
        # The schemas of plain types, without loading a validator.
        known = [kinds] if isinstance(kinds, str) else kinds
        if not any(_is_kind(kind, value) for kind in known):
            return f"it is {_kind_of(value)}"
    else:
        import jsonschema

        wrong = next(iter(jsonschema.Draft202012Validator(schema).iter_errors(value)), None)
        if wrong is not None:
            at = "".join(f"[{part!r}]" for part in wrong.absolute_path)
            return f"{at}: {wrong.message}" if at else str(wrong.message)
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        to_python(parameter, value)
    except (ValueError, TypeError, OverflowError) as why:
        return _reason(why)
    return ""


def _is_kind(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()  # JSON Schema: 3.0 is an integer
    return isinstance(value, _TYPES[kind])


def _kind_of(value: Any) -> str:
    found = next((kind for kind, types in _TYPES.items() if type(value) in types), type(value).__name__)
    return f"a JSON {found}" if found in _TYPES else f"a {found}"


def _wrong(parameter: Mapping[str, Any], value: Any, why: str) -> Diagnostic:
    kind = parameter["type"]
    return error(
        "FI712",
        f"the parameter {parameter['name']} is of the type {kind}; {_shorten(repr(value))} is none",
        detail=why,
        hint=_EXAMPLES.get(kind, ""),
    )


def _raise(found: list[Diagnostic], parameters: Sequence[Mapping[str, Any]], flow: str) -> None:
    if found:
        note = Diagnostic("FI716", Severity.NOTE, f"the parameters are {signature(parameters, flow)}")
        raise ParameterError([*found, note])


def made_by_first_task(parameter: Mapping[str, Any]) -> bool:
    """Whether the default of *parameter* is made when a run starts: by a function, or from a file."""
    return bool(parameter.get("computed_default")) or (
        parameter["type"] == "file" and parameter.get("default") is not None
    )


# -- texts ----------------------------------------------------------------------------------------------------------


def _read_plain(_: Mapping[str, Any], text: str) -> Any:
    return text


def _read_int(_: Mapping[str, Any], text: str) -> Any:
    return int(text)


def _read_float(_: Mapping[str, Any], text: str) -> Any:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("JSON has no form for it")
    return number


def _read_bool(_: Mapping[str, Any], text: str) -> Any:
    word = text.strip().lower()
    if word not in _WORDS:
        raise ValueError("it is neither true nor false")
    return _WORDS[word]


def _read_json(parameter: Mapping[str, Any], text: str) -> Any:
    value = json.loads(text)
    kind = {"list": list, "dict": dict}.get(parameter["type"])
    if kind is not None and not isinstance(value, kind):
        raise ValueError(f"it is {_kind_of(value)}")
    return value


def _read_date(_: Mapping[str, Any], text: str) -> Any:
    return datetime.date.fromisoformat(text.strip()).isoformat()


def _read_datetime(_: Mapping[str, Any], text: str) -> Any:
    return datetime.datetime.fromisoformat(text.strip()).isoformat()


def _read_file(parameter: Mapping[str, Any], path: str) -> Any:
    return open_file(path, _encoding(parameter))


_READERS: Final[dict[str, Callable[[Mapping[str, Any], str], Any]]] = {
    "int": _read_int,
    "float": _read_float,
    "bool": _read_bool,
    "list": _read_json,
    "dict": _read_json,
    "json": _read_json,
    "date": _read_date,
    "datetime": _read_datetime,
    "file": _read_file,
}
_EXAMPLES: Final = {
    "int": "e.g. 3",
    "float": "e.g. 0.5",
    "bool": "true or false",
    "list": 'a JSON array, e.g. ["a", "b"]',
    "dict": 'a JSON object, e.g. {"a": 1}',
    "json": 'a JSON value; a text has its quotes, e.g. "a"',
    "date": "as in ISO 8601, e.g. 2030-01-31",
    "datetime": "as in ISO 8601, e.g. 2030-01-31T08:00:00+00:00",
    "file": "on a command line the path of a file, elsewhere its content",
}


def _encoding(parameter: Mapping[str, Any]) -> str:
    encoding: str = parameter.get("json_schema", {}).get("contentEncoding", "utf-8")
    return encoding


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _reason(why: BaseException) -> str:
    if isinstance(why, binascii.Error):
        return f"it is no base64: {why}"
    if isinstance(why, UnicodeEncodeError):
        return "it has half a character in it (a lone surrogate), which no file can hold"
    if isinstance(why, OSError):
        return f"{why.filename}: {why.strerror}" if why.filename else str(why)
    return str(why)
