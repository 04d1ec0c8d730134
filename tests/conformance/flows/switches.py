"""Shapes with a switch: plain, nested, inside and around foreach and split, with cases that go straight on."""

from flowinfra import FlowSpec, Parameter, step


def joined(inputs):
    """The trails of all inputs, in their order."""
    return "(" + "|".join(each.trail for each in inputs) + ")"


class Switch(FlowSpec):
    case = Parameter("case", default="good")

    @step
    def start(self):
        self.trail = "start"
        self.answer = self.case
        self.next({"good": self.good, "bad": self.bad}, condition="answer")

    @step
    def good(self):
        self.trail += ">good"
        self.next(self.end)

    @step
    def bad(self):
        self.trail += ">bad"
        self.next(self.end)

    @step
    def end(self):
        self.trail += ">end"


class NestedSwitch(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.answer = True
        self.next({True: self.good, False: self.bad}, condition="answer")

    @step
    def good(self):
        self.trail += ">good"
        self.how = "very"
        self.next({"very": self.very, "just": self.just}, condition="how")

    @step
    def very(self):
        self.trail += ">very"
        self.next(self.end)

    @step
    def just(self):
        self.trail += ">just"
        self.next(self.end)

    @step
    def bad(self):
        self.trail += ">bad"
        self.next(self.end)

    @step
    def end(self):
        self.trail += ">end"


class SwitchInForeach(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.items = ["even", "odd", "skip"]
        self.next(self.look, foreach="items")

    @step
    def look(self):
        self.trail += f">look{self.index}"
        self.kind = self.input
        self.next({"even": self.even, "odd": self.odd, "skip": self.join}, condition="kind")

    @step
    def even(self):
        self.trail += ">even"
        self.next(self.join)

    @step
    def odd(self):
        self.trail += ">odd"
        self.next(self.join)

    @step
    def join(self, inputs):
        self.trail = joined(inputs) + ">join"
        self.next(self.end)

    @step
    def end(self):
        self.trail += ">end"


class ForeachInSwitch(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.answer = "many"
        self.next({"many": self.many, "one": self.one}, condition="answer")

    @step
    def many(self):
        self.trail += ">many"
        self.items = [0, 1]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.trail += f">w{self.input}"
        self.next(self.join)

    @step
    def join(self, inputs):
        self.trail = joined(inputs) + ">join"
        self.next(self.end)

    @step
    def one(self):
        self.trail += ">one"
        self.next(self.end)

    @step
    def end(self):
        self.trail += ">end"


class SplitInSwitch(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.answer = "two"
        self.next({"two": self.two, "one": self.one}, condition="answer")

    @step
    def two(self):
        self.trail += ">two"
        self.next(self.a, self.b)

    @step
    def a(self):
        self.trail += ">a"
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
    def one(self):
        self.trail += ">one"
        self.next(self.end)

    @step
    def end(self):
        self.trail += ">end"


class SwitchInSplit(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.next(self.a, self.b)

    @step
    def a(self):
        self.trail += ">a"
        self.answer = 2
        self.next({1: self.once, 2: self.twice}, condition="answer")

    @step
    def once(self):
        self.trail += ">once"
        self.next(self.join)

    @step
    def twice(self):
        self.trail += ">twice"
        self.next(self.join)

    @step
    def b(self):
        self.trail += ">b"
        self.next(self.join)

    @step
    def join(self, inputs):
        self.trail = joined(inputs) + ">join"
        self.from_case = inputs.twice.trail
        self.next(self.end)

    @step
    def end(self):
        self.trail += ">end"
