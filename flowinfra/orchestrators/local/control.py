"""What the process of a run is told while it runs: to hold back tasks, or to go on.

Through a named pipe beside its lock. Whether anybody listens is known when it is opened, so what was not told is told
again later; a signal would end a process that does not listen yet.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from flowinfra.packaging.home import Home

__all__ = ["GO", "HOLD", "run_control", "tell_control"]

#: What is written into the pipe.
HOLD: Final = b"-"
GO: Final = b"+"


def run_control(home: Home, run: str) -> Path:
    """The named pipe by which the process of a run is told to hold back tasks, see :mod:`flowinfra.runtime.holding`."""
    return home.workers / f"{run}.control"


def tell_control(control: Path, *, held: bool) -> bool:
    """Tell the process of a run to hold back tasks or to go on; False if it does not listen yet, or has ended."""
    try:
        fd = os.open(control, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.write(fd, HOLD if held else GO) == 1
    except OSError:
        return False
    finally:
        os.close(fd)
