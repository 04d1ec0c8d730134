"""Which processes a test has left behind."""

from __future__ import annotations

import os
import secrets
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_PATIENCE = 60.0


@dataclass(frozen=True)
class Mark:
    """A variable that only the processes of one test have, and all of them inherit."""

    value: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def env(self) -> dict[str, str]:
        """For the environment of what is started."""
        return {"TEST_MARK": self.value}

    def alive(self) -> list[int]:
        """The processes that have it and run, zombies not counted."""
        if sys.platform != "linux":
            pytest.skip("environments of other processes are read from /proc")
        wanted = f"TEST_MARK={self.value}".encode()
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) == os.getpid():
                continue
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:  # it has ended meanwhile, or is another user's
                continue
        return found

    def gone(self) -> bool:
        """Whether all of them end; waits for that, and only as long as a test may hang."""
        until = time.monotonic() + _PATIENCE
        while left := self.alive():
            if time.monotonic() > until:
                pytest.fail(f"these processes are left: {left}")
            time.sleep(0.02)
        return True
