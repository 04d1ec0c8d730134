"""Carries out one attempt, and kills its own process before or after a given write: ``COUNT before|after`` on argv."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from flowinfra.packaging.backends import Files
from flowinfra.packaging.store import Store
from flowinfra.runtime.task import Call, prepare, run_attempt


class KillingFiles(Files):
    """Local files whose process dies at a write; counts puts and creates."""

    __slots__ = ("left", "when")

    def __init__(self, folder: Path, left: int, when: str) -> None:
        super().__init__(folder)
        self.left = left
        self.when = when

    def put(self, key: str, data: bytes) -> None:
        """Write, or die."""
        self.step("before")
        super().put(key, data)
        self.step("after")

    def create(self, key: str, data: bytes) -> bool:
        """Create, or die."""
        self.step("before")
        done = super().create(key, data)
        self.step("after")
        return done

    def step(self, when: str) -> None:
        """One write is about to happen, or has happened."""
        self.left -= when == "before"
        if self.left == 0 and when == self.when:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    """Exit code of the attempt; 99 if there were fewer writes."""
    folder, code, release, step, task, count, when = sys.argv[1:]
    sys.path.insert(0, code)
    prepared = prepare(Store.open(folder), release)
    files = KillingFiles(Path(folder), int(count), when)
    store = Store(Path(folder).as_uri(), files)
    result = run_attempt(Call(release, "r1", step, task, "0"), store, prepared, f"k{count}{when}")
    return 99 if files.left > 0 else int(result)


if __name__ == "__main__":
    sys.exit(main())
