"""Items that fail while the file `fail` names them, once all others are done."""
# ruff: noqa: T201 - a flow prints

import time
from pathlib import Path

from flowinfra import FlowSpec, Parameter, current, step


def failing() -> set[int]:
    file = Path("fail")
    return {int(word) for word in file.read_text().split()} if file.exists() else set()


class Steady(FlowSpec):
    """A list of numbers, doubled."""

    items = Parameter("items", default=6, help="how many numbers")
    day = Parameter("day", type=str, default=lambda: time.strftime("%H:%M:%S") + str(time.monotonic_ns()))

    @step
    def start(self):
        self.numbers = list(range(self.items))
        self.next(self.double, foreach="numbers")

    @step
    def double(self):
        bad = failing()
        if self.input in bad:
            while len(list(Path("done").iterdir())) < self.items - len(bad):
                time.sleep(0.02)
            raise ValueError(f"{self.input} is not to be doubled")
        self.doubled = self.input * 2
        Path("done").mkdir(exist_ok=True)
        (Path("done") / str(self.input)).touch()
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(i.doubled for i in inputs)
        self.next(self.end)

    @step
    def end(self):
        self.origin = current.origin_run_id
        print("total", self.total)


if __name__ == "__main__":
    Steady()
