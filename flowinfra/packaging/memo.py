"""What one run of a stack program has worked out already, so that a hundred deployments of one flow compile it once.

Whoever runs a program gives it a table of its own (:data:`MEMO`, in the program's context): nothing outlives the run, and
two runs at once share nothing. Without a table, as under the Pulumi CLI's own host, everything is worked out anew.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, TypeVar

__all__ = ["MEMO", "memoized"]

T = TypeVar("T")

#: The table of the run whose context this is.
MEMO: Final[ContextVar[dict[object, Any] | None]] = ContextVar("flowinfra_memo", default=None)


def memoized(key: object, make: Callable[[], T]) -> T:
    """What *make* gives, called once per run for each *key*; what it raises is raised each time."""
    memo = MEMO.get()
    if memo is None:
        return make()
    if key not in memo:
        memo[key] = make()
    found: T = memo[key]
    return found
