"""A flow whose helper raises while it is imported."""

from helper import PRICES

from flowinfra import FlowSpec, step


class Raises(FlowSpec):
    @step
    def start(self):
        self.prices = PRICES
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Raises()
