"""Shapes without a decision: lines, splits, and splits in splits. ``trail`` tells which way the data has come."""

from flowinfra import FlowSpec, Parameter, step


def joined(inputs):
    """The trails of all inputs, in their order."""
    return "(" + "|".join(each.trail for each in inputs) + ")"


class Linear(FlowSpec):
    greeting = Parameter("greeting", default="hello")
    times = Parameter("times", default=2)

    @step
    def start(self):
        self.trail = "start"
        self.untouched = {"kept": [1, 2.5, None, True, "ü"]}
        self.next(self.a)

    @step
    def a(self):
        self.trail += ">a"
        self.next(self.b)

    @step
    def b(self):
        self.trail += ">b"
        self.said = " ".join([self.greeting] * self.times)
        self.next(self.end)

    @step
    def end(self):
        self.trail += ">end"


class Split(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.same = 7
        self.next(self.a, self.b)

    @step
    def a(self):
        self.trail += ">a"
        self.only_a = "a"
        self.next(self.join)

    @step
    def b(self):
        self.trail += ">b"
        self.next(self.join)

    @step
    def join(self, inputs):
        self.trail = joined(inputs) + ">join"
        self.by_name = [inputs.a.only_a, inputs.b.trail]
        self.merge_artifacts(inputs)
        self.next(self.end)

    @step
    def end(self):
        self.trail += ">end"
        self.seen = [self.same, self.only_a]


class NestedSplit(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.next(self.a, self.b)

    @step
    def a(self):
        self.trail += ">a"
        self.next(self.c, self.d)

    @step
    def c(self):
        self.trail += ">c"
        self.next(self.inner)

    @step
    def d(self):
        self.trail += ">d"
        self.next(self.inner)

    @step
    def inner(self, inputs):
        self.trail = joined(inputs) + ">inner"
        self.next(self.join)

    @step
    def b(self):
        self.trail += ">b"
        self.next(self.join)

    @step
    def join(self, inputs):
        self.trail = joined(inputs) + ">join"
        self.next(self.end)

    @step
    def end(self):
        self.trail += ">end"
