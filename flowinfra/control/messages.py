"""What goes between a process and the programs that it starts: errors and Python values as JSON.

Both sides import this, so it imports next to nothing.
"""

from __future__ import annotations

import base64
import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flowinfra import diagnostics
from flowinfra.diagnostics import Diagnostic, FlowinfraError, Severity, Source

__all__ = ["Foreign", "decode_value", "encode_value", "error_from_json", "error_to_json"]

_TAG: Final = "!"
_SHOWN: Final = 200


def error_to_json(why: FlowinfraError) -> dict[str, Any]:
    """An error as JSON; :func:`error_from_json` reads it."""
    return {
        "kind": next(kind.__name__ for kind in type(why).__mro__ if kind.__module__ == diagnostics.__name__),
        "diagnostics": [
            {
                "code": d.code,
                "severity": d.severity.value,
                "summary": d.summary,
                "detail": d.detail,
                "hint": d.hint,
                "source": [d.source.file, d.source.line] if d.source else None,
            }
            for d in why.diagnostics
        ],
    }


def error_from_json(document: Mapping[str, Any]) -> FlowinfraError:
    """The error that :func:`error_to_json` wrote: the same class of :mod:`flowinfra.diagnostics`, the same diagnostics."""
    found = [
        Diagnostic(
            d["code"],
            Severity(d["severity"]),
            d["summary"],
            d["detail"],
            d["hint"],
            Source(d["source"][0], d["source"][1]) if d["source"] else None,
        )
        for d in document["diagnostics"]
    ]
    kind = getattr(diagnostics, document["kind"], FlowinfraError)
    known = isinstance(kind, type) and issubclass(kind, FlowinfraError)
    return (kind if known else FlowinfraError)(found)


@dataclass(frozen=True, slots=True)
class Foreign:
    """A value that no program takes: what is said about it to whoever gave it.

    Attributes:
        kind: the name of its class.
        text: its representation, shortened.
    """

    kind: str
    text: str

    def __repr__(self) -> str:
        return self.text


def encode_value(value: Any) -> Any:
    """A Python value as JSON that :func:`decode_value` reads back as the same type.

    Numbers of NumPy become Python's, tuples become lists, and what has no form becomes a :class:`Foreign`.
    """
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, (list, tuple)):
        return [encode_value(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {_TAG: "dict", "value": {str(key): encode_value(item) for key, item in value.items()}}
    if isinstance(value, datetime.datetime):  # before date: it is one
        return {_TAG: "datetime", "value": value.isoformat()}
    if isinstance(value, datetime.date):
        return {_TAG: "date", "value": value.isoformat()}
    if isinstance(value, bytes):
        return {_TAG: "bytes", "value": base64.b64encode(value).decode()}
    if isinstance(value, os.PathLike):
        return {_TAG: "path", "value": os.fsdecode(value)}
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
        scalar: Any = value
        return encode_value(scalar.item())
    text = repr(value)
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return {_TAG: "foreign", "kind": type(value).__qualname__, "value": shown}


def decode_value(document: Any) -> Any:
    """The value that :func:`encode_value` wrote."""
    if isinstance(document, list):
        return [decode_value(item) for item in document]
    if not isinstance(document, dict):
        return document
    value = document["value"]
    match document[_TAG]:
        case "dict":
            return {key: decode_value(item) for key, item in value.items()}
        case "datetime":
            return datetime.datetime.fromisoformat(value)
        case "date":
            return datetime.date.fromisoformat(value)
        case "bytes":
            return base64.b64decode(value)
        case "path":
            from pathlib import Path

            return Path(value)
        case _:
            return Foreign(document["kind"], value)
