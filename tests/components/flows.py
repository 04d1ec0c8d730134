"""A small flow that the component tests deploy."""

from flowinfra import FlowSpec, Parameter, TaskEnvironment, step

boxed = TaskEnvironment("boxed", image="python:3.12")


class Small(FlowSpec):
    """Two steps and a parameter."""

    size = Parameter(default=3, help="how large")
    label = Parameter(type=str, required=True)

    @step
    def start(self) -> None:
        """Begin."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


class Boxed(FlowSpec):
    """A flow that asks for an image."""

    @boxed.step
    def start(self) -> None:
        """Begin."""
        self.next(self.end)

    @boxed.step
    def end(self) -> None:
        """Finish."""
