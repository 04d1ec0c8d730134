"""A foreach as wide as it is told to be."""

from flowinfra import FlowSpec, Parameter, step


class Wide(FlowSpec):
    width = Parameter("width", type=int, default=10_000)

    @step
    def start(self):
        self.items = list(range(self.width))
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.value = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(task.value for task in inputs)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Wide()
