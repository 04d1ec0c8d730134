"""A foreach whose tasks say something, may fail, and may take long."""
# ruff: noqa: T201 - a flow prints

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from flowinfra import FlowSpec, Parameter, current, retry, step


@dataclass(frozen=True)
class Found:
    """A class of the flow file itself, which its artifacts are made of."""

    item: int


class Fan(FlowSpec):
    """One task per item."""

    items = Parameter(default=3, type=int, help="how many items")
    fail = Parameter(default="", help="how to go wrong: raise, once, exit, items, lock")
    pause = Parameter(default=0.0, type=float, help="seconds that each item takes")

    @step
    def start(self) -> None:
        """Make the items."""
        self.numbers = 5 if self.fail == "items" else list(range(self.items))
        if self.fail == "lock":
            self.guard = threading.Lock()
        self.next(self.each, foreach="numbers")

    @retry(times=1)
    @step
    def each(self) -> None:
        """Work on one item."""
        print(f"item {self.input}", flush=True)
        print(f"no harm in {self.input}", file=sys.stderr)
        time.sleep(self.pause)
        if self.input == 1:
            if self.fail == "raise" or (self.fail == "once" and current.retry_count == 0):
                raise ValueError("one is not allowed")
            if self.fail == "exit":
                sys.exit(3)
        self.found = Found(self.input)
        self.next(self.join)

    @step
    def join(self, inputs: Sequence[Fan]) -> None:
        """Bring them together."""
        self.found = [i.found for i in inputs]
        self.total = sum(f.item for f in self.found)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Say the total."""
        print(f"total {self.total}")


if __name__ == "__main__":
    Fan()
