"""Which runs the client sees: all of them, or those that have one tag.

The choice belongs to the context (:mod:`contextvars`): a coroutine or thread that makes one changes nothing for the
others. Without a choice it is what ``FLOWINFRA_NAMESPACE`` says, else every run is seen: a store is a project's own.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from flowinfra.diagnostics import ControlError, error
from flowinfra.wire import ENV_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NotInNamespace", "default_namespace", "get_namespace", "namespace", "not_in"]

_CHOSEN: Final[ContextVar[tuple[str | None] | None]] = ContextVar("flowinfra_namespace", default=None)
_SHOWN: Final = 8


class NotInNamespace(ControlError, KeyError):
    """FI877: what was named is there, but not among what is seen."""

    def __str__(self) -> str:
        return "\n".join(str(d) for d in self.diagnostics)


def namespace(name: str | None) -> str | None:
    """From now on see only the runs with the tag *name*, such as ``user:ada`` or ``production:...``; None: all runs.

    It holds in the context that calls it: in this thread, or in this asyncio task and those that it starts.

    Returns:
        The namespace, as :func:`get_namespace` tells it.
    """
    _CHOSEN.set((name or None,))
    return get_namespace()


def get_namespace() -> str | None:
    """The tag that runs must have to be seen; None: all are seen."""
    chosen = _CHOSEN.get()
    return (os.environ.get(ENV_NAMESPACE) or None) if chosen is None else chosen[0]


def default_namespace() -> str | None:
    """Go back to ``FLOWINFRA_NAMESPACE``, or to all runs where that is not set.

    Returns:
        The namespace, as :func:`get_namespace` tells it.
    """
    _CHOSEN.set(None)
    return get_namespace()


def not_in(name: str, pathspec: str, tags: Iterable[str] | None) -> NotInNamespace:
    """What *pathspec* names is not seen; *tags* are its own, None for a flow, of which no run has the tag *name*."""
    what = f"no run of {pathspec} is" if tags is None else f"{pathspec} is not"
    own = sorted(tags or ())
    shown = f"Its tags: {', '.join(own[:_SHOWN])}{f' and {len(own) - _SHOWN} more' if len(own) > _SHOWN else ''}"
    return NotInNamespace(
        error(
            "FI877",
            f"{what} in the namespace {name!r}",
            detail=shown if own else "",
            hint="see all runs with namespace(None), or those of another one with namespace('user:NAME')",
        )
    )
