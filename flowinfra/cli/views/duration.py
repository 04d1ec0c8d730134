"""Times and durations as text."""

from __future__ import annotations

from datetime import datetime

__all__ = ["duration", "moment"]


def duration(seconds: float) -> str:
    """Seconds as people say them: ``0.3 s``, ``12 s``, ``3 min 5 s``, ``2 h 4 min``, ``3 d 1 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"


def moment(at: datetime | None) -> str:
    """A point in time in the local time zone; a dash if there is none."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}" if at is not None else "-"
