"""Shapes with a foreach: plain, three deep, with longer bodies, around and inside splits, wide, and over nothing."""

from flowinfra import FlowSpec, Parameter, step


def joined(inputs):
    """The trails of all inputs, in their order."""
    return "(" + "|".join(each.trail for each in inputs) + ")"


class Foreach(FlowSpec):
    width = Parameter("width", default=3)

    @step
    def start(self):
        self.trail = "start"
        self.items = [f"item{i}" for i in range(self.width)]
        self.before = "there"
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.trail += f">{self.input}@{self.index}"
        self.number = self.index
        self.next(self.join)

    @step
    def join(self, inputs):
        self.trail = joined(inputs) + ">join"
        self.total = sum(each.number for each in inputs)
        self.merge_artifacts(inputs, exclude=["number"])
        self.next(self.end)

    @step
    def end(self):
        self.trail += ">end"
        self.seen = [self.before, self.width]


class ForeachThrice(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.xs = [0, 1]
        self.next(self.a, foreach="xs")

    @step
    def a(self):
        self.trail += f">a{self.input}"
        self.ys = {"k": 1, "l": 2}
        self.next(self.b, foreach="ys")

    @step
    def b(self):
        self.trail += f">b{self.input}"
        self.zs = (True, None)
        self.next(self.c, foreach="zs")

    @step
    def c(self):
        self.trail += f">c{self.input}"
        self.next(self.join_c)

    @step
    def join_c(self, inputs):
        self.trail = joined(inputs) + ">jc"
        self.next(self.join_b)

    @step
    def join_b(self, inputs):
        self.trail = joined(inputs) + ">jb"
        self.next(self.join_a)

    @step
    def join_a(self, inputs):
        self.trail = joined(inputs) + ">ja"
        self.next(self.end)

    @step
    def end(self):
        self.trail += ">end"


class ForeachOfTwoSteps(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.items = range(2)
        self.next(self.a, foreach="items", max_concurrency=1)

    @step
    def a(self):
        self.trail += f">a{self.input}"
        self.next(self.b)

    @step
    def b(self):
        self.trail += f">b{self.input}"
        self.next(self.join)

    @step
    def join(self, inputs):
        self.trail = joined(inputs) + ">join"
        self.next(self.end)

    @step
    def end(self):
        self.trail += ">end"


class SplitInForeach(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.items = [0, 1]
        self.next(self.a, foreach="items")

    @step
    def a(self):
        self.trail += f">a{self.input}"
        self.next(self.b, self.c)

    @step
    def b(self):
        self.trail += f">b{self.input}"
        self.next(self.inner)

    @step
    def c(self):
        self.trail += f">c{self.input}"
        self.next(self.inner)

    @step
    def inner(self, inputs):
        self.trail = joined(inputs) + f">inner{self.input}"
        self.next(self.join)

    @step
    def join(self, inputs):
        self.trail = joined(inputs) + ">join"
        self.next(self.end)

    @step
    def end(self):
        self.trail += ">end"


class ForeachInSplit(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.next(self.a, self.b)

    @step
    def a(self):
        self.trail += ">a"
        self.items = [0, 1]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.trail += f">w{self.input}"
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
