"""Carries out one attempt, and kills its own process before or after a given write: ``COUNT before|after`` on argv."""

from __future__ import annotations

import os
import signal
import sys

from flowinfra.packaging.store import Store
from flowinfra.runtime.task import Call, prepare, run_attempt


class KillingStore(Store):
    """A store whose process dies at a write; counts puts and creates."""

    __slots__ = ("left", "when")

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
    url, code, release, step, task, count, when = sys.argv[1:]
    sys.path.insert(0, code)
    plain = Store.open(url)
    prepared = prepare(plain, release)
    store = KillingStore(plain.url, plain._folder, None)
    store.left, store.when = int(count), when
    result = run_attempt(Call(release, "r1", step, task, "0"), store, prepared, f"k{count}{when}")
    return 99 if store.left > 0 else int(result)


if __name__ == "__main__":
    sys.exit(main())
