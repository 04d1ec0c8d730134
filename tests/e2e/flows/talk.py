"""A flow that says what a test wants to hear, and ends when the test lets it."""
# ruff: noqa: T201 - a flow prints

import subprocess
import sys
import time
from pathlib import Path

from flowinfra import FlowSpec, Parameter, current, step


class Talk(FlowSpec):
    lines = Parameter(default=3)
    letters = Parameter(default=0)
    hold = Parameter(default="")
    fail = Parameter(default=False)
    child = Parameter(default=False)

    @step
    def start(self):
        if self.child:
            subprocess.Popen(["sleep", "1000"])
        for number in range(self.lines):
            print(f"line {number} ü€😀" + "é" * self.letters)
            print(f"aside {number}", file=sys.stderr)
        while self.hold and not Path(self.hold).exists():
            time.sleep(0.01)
        if self.fail:
            raise ValueError("as told")
        self.total = self.lines
        self.run = current.run_id
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Talk()
