"""Plain values that authors give to decorators and environments."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from flowinfra.authoring.settings import caller
from flowinfra.diagnostics import AuthoringError, Diagnostic, error

__all__ = ["Resources"]

_SIZES = {
    "": 1,
    "mi": 1,
    "mib": 1,
    "m": 1,
    "gi": 1024,
    "gib": 1024,
    "g": 1024,
    "ti": 1024**2,
    "tib": 1024**2,
    "t": 1024**2,
}


@dataclass(frozen=True, slots=True, init=False)
class Resources:
    """What one task may use; what is not given is the target's default.

    Args:
        cpu: virtual CPUs, fractions allowed.
        memory: MiB as a number, or text such as ``512Mi`` or ``4Gi``.
        gpu: whole accelerators.
        disk: scratch space, like *memory*.

    Raises:
        AuthoringError: a value is not positive, not whole, or not readable (FI134).
    """

    cpu: float | None
    memory_mib: int | None
    gpu: int | None
    disk_mib: int | None

    def __init__(
        self,
        cpu: float | None = None,
        memory: int | str | None = None,
        gpu: int | str | None = None,
        disk: int | str | None = None,
    ) -> None:
        object.__setattr__(self, "cpu", _number("cpu", cpu))
        object.__setattr__(self, "memory_mib", _mebibytes("memory", memory))
        object.__setattr__(self, "gpu", _count("gpu", gpu))
        object.__setattr__(self, "disk_mib", _mebibytes("disk", disk))


def _number(name: str, value: float | str | None) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1
    if isinstance(value, bool) or not 0 < number < math.inf:
        raise AuthoringError(_wrong(f"{name}={value!r} is no positive number", f"e.g. {name}=2"))
    return number


def _count(name: str, value: float | str | None) -> int | None:
    if value is None:
        return None
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal():
        raise AuthoringError(_wrong(f"{name}={value!r} is no whole number", f"e.g. {name}=1"))
    return int(text)


def _mebibytes(name: str, value: int | str | None) -> int | None:
    if value is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(value))
    factor = _SIZES.get(found[2].lower()) if found else None
    if found is None or factor is None or float(found[1]) <= 0 or isinstance(value, bool):
        raise AuthoringError(
            _wrong(f"{name}={value!r} is no size", "MiB as a number, or text such as '512Mi' or '4Gi'")
        )
    return max(1, round(float(found[1]) * factor))


def _wrong(what: str, hint: str) -> Diagnostic:
    return error("FI134", f"resources: {what}", hint=hint, source=caller())
