"""Whether a process can be forked safely: it has one thread, or its other threads end by themselves before a fork."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from pathlib import Path
from typing import Final

__all__ = ["fork", "forkable", "thread_count"]

_TASKS: Final = Path("/proc/self/task")


def thread_count() -> int:
    """The threads of this process: those of the operating system on Linux, those of Python elsewhere."""
    if sys.platform == "linux":
        return sum(1 for _ in _TASKS.iterdir())
    return threading.active_count()


def fork() -> int:
    """``os.fork`` without the warning about threads: whoever calls this looks at them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def forkable() -> str:
    """Why copies of this process are not safe to use; empty if they are.

    A copy has only the thread that forked. What another one held at that moment (a lock of an object store's runtime,
    say) is held for ever. Libraries that expect forks end their threads before one and start them again when they are
    next needed (OpenBLAS, and so NumPy); so after a fork that does nothing, only the others are left.
    """
    if thread_count() > 1:
        pid = fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    others = thread_count() - 1
    if others < 1:
        return ""
    names = sorted({t.name for t in threading.enumerate() if t is not threading.main_thread()})
    known = f" ({', '.join(names)})" if names else ""
    return (
        f"importing the flow has started {others} thread{'s' if others > 1 else ''}{known}: its process cannot be forked, "
        "so each task starts an interpreter of its own, which takes longer. What starts them (using an object store, a "
        "client, a pool) belongs into a step"
    )
