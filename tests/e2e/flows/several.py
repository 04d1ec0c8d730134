"""Two flows in one file, and a base of both."""
# ruff: noqa: T201 - a flow prints

from flowinfra import FlowSpec, step


class Base(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        print(type(self).__name__)


class First(Base):
    """The one."""


class Second(Base):
    """The other."""
