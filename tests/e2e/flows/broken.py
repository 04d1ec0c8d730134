"""A flow that breaks several rules at once."""

from flowinfra import FlowSpec, step


class Broken(FlowSpec):
    """Nobody can run this."""

    @step
    def start(self):
        self.next(self.left, self.right)

    @step
    def left(self):
        self.next(self.join)

    @step
    def right(self):
        self.next(self.join)

    @step
    def join(self):
        self.next(self.emd)

    @step
    def alone(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Broken()
