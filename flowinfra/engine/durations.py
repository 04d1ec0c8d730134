"""Durations as Go writes them (``time.ParseDuration``): ``30s``, ``1h30m``. Pure."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["seconds_of"]

_DURATION: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}


def seconds_of(duration: str) -> float:
    """Seconds in a Go duration such as ``1h30m``.

    Raises:
        ValueError: it is none.
    """
    text = duration.strip()
    if text == "0":
        return 0.0
    found = _DURATION.findall(text)
    if not found or "".join(n + u for n, u in found) != text.removeprefix("+"):
        raise ValueError(duration)
    return sum(float(n) * _SECONDS[unit] for n, unit in found)
