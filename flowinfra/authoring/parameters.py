"""``Parameter``, ``JSONType`` and ``IncludeFile``: typed inputs of a flow."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

from flowinfra.authoring.frozen import ConfigList, ConfigValue, plain
from flowinfra.authoring.later import Held, Later, Names, resolved
from flowinfra.authoring.settings import caller
from flowinfra.diagnostics import AuthoringError, Diagnostic, Source, error

__all__ = ["IncludeFile", "JSONType", "Parameter", "kind_of", "schema_of", "to_json"]

T = TypeVar("T")


class JSONType:
    """The type of a parameter that takes any JSON value."""


class _Missing:
    """Tells a default of ``None`` from none."""


_MISSING = _Missing()

_KINDS: dict[Any, str] = {
    int: "int",
    float: "float",
    str: "str",
    bool: "bool",
    list: "list",
    dict: "dict",
    datetime.date: "date",
    datetime.datetime: "datetime",
    JSONType: "json",
}

_SCHEMAS: dict[str, dict[str, Any]] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "list": {"type": "array"},
    "dict": {"type": "object"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "json": {},
    "file": {"type": "string"},
}


class Parameter(Generic[T]):
    """A typed input of a flow, as an attribute of its class.

    Inside a step ``self.<attribute>`` is the value. Callers use *name*, which is the attribute's name unless given.

    Args:
        name: how callers name it.
        default: its value where none is given, ``None`` unless said otherwise; or a function of no arguments that makes
            it, called by the first task of each run.
        type: ``int, float, str, bool, list, dict, datetime.date, datetime.datetime`` or :class:`JSONType`; taken from
            the default where it is not given.
        required: a value must be given; so there is no default.
        help: one line for the command line and the docs.

    Raises:
        AuthoringError: the type is none of these (FI120), the default does not fit it or is given beside required
            (FI121), or the name is no text (FI122).
    """

    @overload
    def __init__(
        self,
        name: str | None = ...,
        default: T | Callable[[], T] = ...,
        type: type[T] = ...,
        required: bool = ...,
        help: str = ...,
    ) -> None: ...

    @overload
    def __init__(
        self: Parameter[Any],
        name: str | None = ...,
        default: Any = ...,
        type: Any = ...,
        required: bool = ...,
        help: str = ...,
    ) -> None: ...

    def __init__(
        self,
        name: str | None = None,
        default: Any = _MISSING,
        type: Any = None,
        required: bool = False,
        help: str = "",
    ) -> None:
        self._set_up(name, default, type, required, help, caller())

    def _set_up(self, name: str | None, default: Any, type: Any, required: bool, help: str, source: Source) -> None:
        self.name = name or ""
        self.attribute = ""
        self.help = help
        self.source = source
        self.required = required
        self.callable_default: Callable[[], Any] | None = None
        self.default: Any = None
        self.has_default = not isinstance(default, _Missing)
        self._later = (default, type) if isinstance(default, (Held, Later)) else None
        if isinstance(default, (ConfigList, ConfigValue)):
            default = plain(default)
        if self._later is not None:
            default = None  # until the flow's configs are known
        elif self.has_default and callable(default):
            self.callable_default = default
        elif self.has_default:
            self.default = default
        if name is not None and not isinstance(name, str):
            hint = f"write Parameter(default={name!r})"
            raise AuthoringError(error("FI122", f"{name!r} is no name of a parameter", hint=hint, source=source))
        label = f"Parameter {name!r}" if name else "Parameter"
        self.kind = kind_of(type, default if self.callable_default is None else None, label, source)
        problem = ""
        if required and self.has_default:
            problem = "it is required and has a default"
        elif self.has_default and self.callable_default is None and default is not None:
            problem = _misfit(self.kind, default)
        if problem:
            raise AuthoringError(
                error("FI121", f"{label}: {problem}", hint="give type= and a default of that type", source=source)
            )

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name
        self.name = self.name or name

    def settle(self, names: Names) -> list[Diagnostic]:
        """Work out a default that is an expression over configs, given their values; what is wrong with it."""
        if self._later is None:
            return []
        default, type_ = self._later
        attribute = self.attribute
        try:
            self._set_up(self.name, resolved(default, names), type_, self.required, self.help, self.source)
        except AuthoringError as why:
            self._later = (default, type_)
            return list(why.diagnostics)
        finally:
            self.attribute = attribute
        return []

    @overload
    def __get__(self, instance: None, owner: type) -> Parameter[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        return instance.__getattr__(self.attribute)

    def __set__(self, instance: Any, value: Any) -> None:
        raise AttributeError(f"the parameter {self.name} cannot be set inside a run; use another attribute")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, type={self.kind})"


class IncludeFile(Parameter[Any]):
    """A parameter whose callers name a file; inside a step it is the file's content.

    The content is stored when the run starts, and is the same for all of it whatever becomes of the file. It is read
    when a step asks for it: a large file costs no memory before.

    Args:
        name: how callers name it.
        default: a path relative to the flow file.
        required: a path must be given.
        is_text: the content as text; otherwise as bytes.
        encoding: of the text.
        help: one line for the command line and the docs.

    Raises:
        AuthoringError: FI182, Python has no such encoding of texts; and as :class:`Parameter`.
    """

    def __init__(
        self,
        name: str | None = None,
        default: str | None = None,
        required: bool = False,
        is_text: bool = True,
        encoding: str = "utf-8",
        help: str = "",
    ) -> None:
        source = caller()
        self._set_up(name, _MISSING if default is None else default, str, required, help, source)
        if is_text and not _is_encoding(encoding):
            raise AuthoringError(
                error(
                    "FI182",
                    f"IncludeFile {name or ''}: {encoding!r} is no encoding of texts",
                    hint='e.g. encoding="utf-8", or is_text=False for the bytes of the file',
                    source=source,
                )
            )
        self.kind = "file"
        self.is_text = is_text
        self.encoding = encoding


def _is_encoding(name: Any) -> bool:
    try:
        return bytes(1).decode(name) is not None  # codecs that are no encodings of texts raise here
    except (LookupError, TypeError):
        return False
    except UnicodeError:
        return True


def kind_of(type_: Any, default: Any, label: str, source: Source) -> str:
    """The word for a parameter's type; from its default where no type is given, else ``str``.

    Raises:
        AuthoringError: parameters cannot be of that type (FI120).
    """
    wanted = JSONType if isinstance(type_, JSONType) else type_
    if wanted is None:
        wanted = str if default is None or isinstance(default, _Missing) else type(default)
    found = next((word for known, word in _KINDS.items() if known is wanted), None)
    if found is None:
        name = wanted.__name__ if isinstance(wanted, type) else repr(wanted)
        raise AuthoringError(
            error(
                "FI120",
                f"{label}: {f'the default {default!r}' if type_ is None else 'the type'} is {name}",
                hint="the types are int, float, str, bool, list, dict, datetime.date, datetime.datetime and JSONType",
                source=source,
            )
        )
    return found


def schema_of(kind: str) -> dict[str, Any]:
    """The JSON Schema of values of *kind*."""
    return dict(_SCHEMAS[kind])


def _misfit(kind: str, value: Any) -> str:
    """Why *value* is no default of *kind*; empty if it is one."""
    expected: dict[str, Any] = {word: cls for cls, word in _KINDS.items()}
    fits = {
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value),
        "date": isinstance(value, datetime.date) and not isinstance(value, datetime.datetime),
        "json": True,
        "file": isinstance(value, str),
    }
    if not fits.get(kind, kind not in fits and isinstance(value, expected[kind])):
        return f"the default {value!r} is no {kind}"
    if kind in ("list", "dict", "json"):
        try:
            to_json(kind, value)
        except (TypeError, ValueError) as why:
            return f"the default is no JSON value: {why}"
    return ""


def to_json(kind: str, value: Any) -> Any:
    """A Python value of *kind* as JSON.

    Raises:
        TypeError: it holds something that JSON has no form for.
        ValueError: it holds NaN or an infinity.
    """
    import json

    if value is None:
        return None
    if kind in ("date", "datetime"):
        return value.isoformat()
    if kind == "float":
        return float(value)
    if kind in ("list", "dict", "json"):
        return json.loads(json.dumps(value, allow_nan=False))
    return value
