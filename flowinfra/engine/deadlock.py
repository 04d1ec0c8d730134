"""A stack program whose resources wait for one another.

Whoever depends on a component depends on everything inside it. So a resource inside a component that uses one which
depends on the component waits for itself; the SDK finds the shortest of these circles and waits for ever in the others.
Here a program is said to be stuck only if nothing can wake it any more: its loop has neither timers nor files to wait
for, no call is under way, no thread of its own lives, and every coroutine that waits is the SDK's.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pulumi

from flowinfra.diagnostics import Diagnostic, error

__all__ = ["LOOK_SECONDS", "stuck"]

#: How long nothing must have happened before one looks, and looks again.
LOOK_SECONDS: Final = 1.0

_SDK: Final = os.path.dirname(os.path.abspath(pulumi.__file__)) + os.sep
_OURS: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep
_ASYNCIO: Final = os.path.dirname(os.path.abspath(asyncio.__file__)) + os.sep
_REGISTER: Final = "register_resource.<locals>.do_register"


def stuck(pool: ThreadPoolExecutor, others: Collection[threading.Thread]) -> Diagnostic | None:
    """What to say if the running loop can never go on (FI635); None if it can.

    Args:
        pool: where it makes its calls.
        others: the threads that lived before the program began.
    """
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks(loop)
    chains = [list(_awaited(task)) for task in tasks if task is not asyncio.current_task(loop)]
    coroutines = [one for chain in chains for one in chain]
    if not chains or not _nothing_comes(loop, pool, others) or not all(map(_is_known, coroutines)):
        return None
    names = sorted(f"{here['name']} ({here['ty']})" for one in coroutines if (here := _registration(one)))
    if not names:
        return None
    return error(
        "FI635",
        "the stack program waits for itself: its resources depend on one another in a circle",
        detail=f"still waiting are {', '.join(names)}",
        hint="depend on the resource that is needed instead of on the component that it is in: whoever depends on a "
        "component (depends_on, or its outputs) depends on everything inside it",
    )


def _nothing_comes(loop: Any, pool: Any, others: Collection[threading.Thread]) -> bool:
    # What asyncio and its executor know about themselves; where one of these is missing, nothing is claimed.
    try:
        timers = any(not timer.cancelled() for timer in loop._scheduled)
        files = len(loop._selector.get_map()) > 1  # one is the loop's own, to be woken by
        busy = pool._work_queue.qsize() > 0 or pool._idle_semaphore._value < len(pool._threads)
    except AttributeError:
        return False
    return not (loop._ready or timers or files or busy or any(map(_may_wake, {*threading.enumerate()} - {*others})))


def _may_wake(thread: threading.Thread) -> bool:
    return not thread.name.startswith("flowinfra-")


def _awaited(task: asyncio.Task[Any]) -> Iterator[Any]:
    coroutine: Any = task.get_coro()
    while hasattr(coroutine, "cr_await"):
        yield coroutine
        coroutine = coroutine.cr_await


def _is_known(coroutine: Any) -> bool:
    return str(coroutine.cr_code.co_filename).startswith((_SDK, _OURS, _ASYNCIO))


def _registration(coroutine: Any) -> dict[str, Any] | None:
    """The names of a resource that is being registered, if that is what *coroutine* does."""
    frame = coroutine.cr_frame
    if coroutine.__qualname__ != _REGISTER or frame is None:
        return None
    there = {name: frame.f_locals.get(name) for name in ("name", "ty")}
    return there if all(there.values()) else None
