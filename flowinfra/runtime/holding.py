"""Holding back the tasks of a run that is suspended.

Whoever carries out a deployed run is told through a named pipe, because its teller (a worker of the Local orchestrator)
may be killed and replaced while the run goes on. Nothing is lost while nobody listens: the teller cannot open the pipe
then, and tries again. What runs already goes on, as on the targets that suspend workflows themselves: a frozen process
would lose its connections, and its timeouts would pass while it can do nothing.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from flowinfra.orchestrators.local.control import HOLD

__all__ = ["Hold"]


class Hold:
    """Hears whether tasks shall be held back.

    Attributes:
        held: whether they shall.
    """

    def __init__(self, pipe: Path) -> None:
        """Listen at the named pipe *pipe*.

        Raises:
            OSError: it cannot be opened.
        """
        self.held = False
        self._fd = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        # Its own writer, so that the pipe is not at its end whenever a teller has closed it.
        self._open = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """What becomes readable when something was told."""
        return self._fd

    def hear(self) -> None:
        """Take what was told; the last word holds."""
        with contextlib.suppress(BlockingIOError):
            while told := os.read(self._fd, 512):
                self.held = told[-1:] == HOLD

    def close(self) -> None:
        """Stop listening."""
        os.close(self._fd)
        os.close(self._open)
