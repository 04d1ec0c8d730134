"""What decorators leave on a step: typed patches, resolved when the graph is built.

A decorator never wraps the function. It adds one :class:`Patch` to the function's :class:`StepMark`, so decorators work
in any order, and the function stays what the author wrote: callable, typed, testable.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flowinfra.diagnostics import AuthoringError, Source, error

if TYPE_CHECKING:
    from flowinfra.authoring.environment import TaskEnvironment

__all__ = [
    "Flow",
    "Function",
    "Patch",
    "StepMark",
    "caller",
    "flow_patches",
    "is_ours",
    "mark_of",
    "patch",
    "patch_flow",
    "placed",
    "seconds_of",
    "set_step",
]

Function = TypeVar("Function", bound=Callable[..., Any])
Flow = TypeVar("Flow", bound=type)

_MARK = "__flowinfra__"
_FLOW_MARK = "__flowinfra_flow__"
_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*")


@dataclass(frozen=True, slots=True)
class Patch:
    """One decorator's change of one field of a step's settings."""

    field: str
    value: Any
    decorator: str
    source: Source


@dataclass(frozen=True, slots=True)
class StepMark:
    """What is known of a function before the graph is built."""

    is_step: bool = False
    environment: TaskEnvironment | None = None
    patches: tuple[Patch, ...] = ()


def mark_of(function: Any) -> StepMark | None:
    """What decorators left on *function*, if any did."""
    mark = getattr(function, _MARK, None)
    return mark if isinstance(mark, StepMark) else None


def patch(function: Function, field: str, value: Any, decorator: str, source: Source) -> Function:
    """Add a patch to *function*; returns the function itself."""
    mark = mark_of(function) or StepMark()
    setattr(function, _MARK, replace(mark, patches=(*mark.patches, Patch(field, value, decorator, source))))
    return function


def set_step(function: Function, environment: TaskEnvironment | None) -> Function:
    """Make *function* a step, in *environment* if one is given."""
    mark = mark_of(function) or StepMark()
    setattr(function, _MARK, replace(mark, is_step=True, environment=environment or mark.environment))
    return function


def patch_flow(flow: Flow, field: str, value: Any, decorator: str, source: Source) -> Flow:
    """Add a patch to a flow's class itself; returns the class."""
    own = vars(flow).get(_FLOW_MARK, ())
    setattr(flow, _FLOW_MARK, (*own, Patch(field, value, decorator, source)))
    return flow


def flow_patches(flow: type, field: str) -> list[Patch]:
    """The patches of *field* on a flow's class; those of its bases hold where it has none itself."""
    for owner in flow.__mro__:
        found = [p for p in vars(owner).get(_FLOW_MARK, ()) if p.field == field]
        if found:
            return found
    return []


def is_ours(file: str) -> bool:
    """Whether *file* belongs to flowinfra itself, and so is not where an author looks for a mistake."""
    return file.startswith(_PACKAGE)


def caller() -> Source:
    """The place in the author's file that is calling flowinfra now: the innermost frame that is not ours."""
    frame = sys._getframe(1)
    while is_ours(frame.f_code.co_filename) and frame.f_back is not None:
        frame = frame.f_back
    return Source(frame.f_code.co_filename, frame.f_lineno)


def placed(source: Source) -> Source:
    """A place that means the same from every folder; views show it as seen from the reader's."""
    return Source(os.path.abspath(source.file), source.line)


def seconds_of(value: float | str | timedelta, what: str, source: Source) -> float:
    """A duration in seconds: a number of seconds, a ``timedelta``, or text such as ``90s``, ``15m``, ``1h30m``, ``2d``.

    Raises:
        AuthoringError: it is none of these, or negative.
    """
    seconds: float | None = None
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and value.strip() and not _DURATION.sub("", value).strip():
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(value))
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        raise AuthoringError(
            error(
                "FI131",
                f"{what}: {value!r} is no duration",
                hint="give seconds as a number, or text such as '90s', '15m', '1h30m', '2d'",
                source=source,
            )
        )
    return seconds
