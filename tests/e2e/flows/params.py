"""Everything that can be given to a flow."""
# ruff: noqa: T201 - a flow prints

from __future__ import annotations

import datetime

from flowinfra import FlowSpec, IncludeFile, JSONType, Parameter, step


class Params(FlowSpec):
    """Takes one parameter of each type."""

    alpha = Parameter(default=0.5, type=float, help="how much")
    number = Parameter("n", required=True, type=int, help="how many")
    words = Parameter(default=["a"], type=list)
    day = Parameter(default=datetime.date(2030, 1, 1), type=datetime.date)
    flag = Parameter(default=False, type=bool)
    extra = Parameter(default={"a": 1}, type=JSONType)
    tag = Parameter(default="plain", help="called like an option")
    text = IncludeFile(default="note.txt", help="any text file")
    made = Parameter(default=lambda: 40 + 2, type=int)

    @step
    def start(self) -> None:
        """Print them all."""
        print(self.alpha, self.number, self.words, self.day, self.flag, self.extra, self.tag, self.text, self.made)
        self.next(self.end)

    @step
    def end(self) -> None:
        self.sum = self.number + self.made


if __name__ == "__main__":
    Params()
