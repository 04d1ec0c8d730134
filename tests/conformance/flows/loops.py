"""Shapes with a loop: of one step and of several, inside and around foreach, switch and loop."""

from flowinfra import FlowSpec, step


def joined(inputs):
    """The trails of all inputs, in their order."""
    return "(" + "|".join(each.trail for each in inputs) + ")"


class Loop(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.rounds = 0
        self.next(self.a)

    @step
    def a(self):
        self.trail += ">a"
        self.next(self.b)

    @step
    def b(self):
        self.trail += ">b"
        self.rounds += 1
        self.verdict = "done" if self.rounds == 3 else "more"
        self.next({"more": self.a, "done": self.end}, condition="verdict")

    @step
    def end(self):
        self.trail += ">end"


class LoopOfOneStep(FlowSpec):
    @step
    def start(self):
        self.rounds = 0
        self.trail = ""
        self.next(self.again)

    @step
    def again(self):
        self.trail += f">{self.rounds}"
        self.rounds += 1
        self.verdict = "stop" if self.rounds == 2 else "go"
        self.next({"go": self.again, "stop": self.end}, condition="verdict")

    @step
    def end(self):
        self.trail += ">end"


class LoopInForeach(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.items = [0, 1]
        self.next(self.begin, foreach="items")

    @step
    def begin(self):
        self.trail += f">p{self.input}"
        self.rounds = 0
        self.next(self.turn)

    @step
    def turn(self):
        self.trail += ">t"
        self.rounds += 1
        self.verdict = "more" if self.rounds < self.input + 2 else ["good", "bad"][self.input]
        self.next({"more": self.turn, "good": self.good, "bad": self.join}, condition="verdict")

    @step
    def good(self):
        self.trail += ">good"
        self.next(self.join)

    @step
    def join(self, inputs):
        self.trail = joined(inputs) + ">join"
        self.next(self.end)

    @step
    def end(self):
        self.trail += ">end"


class ForeachInLoop(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.rounds = 0
        self.next(self.a)

    @step
    def a(self):
        self.trail += ">a"
        self.items = [0, 1]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.trail += f">w{self.input}"
        self.next(self.join)

    @step
    def join(self, inputs):
        self.trail = joined(inputs) + ">join"
        self.rounds = inputs[0].rounds + 1
        self.verdict = "more" if self.rounds < 2 else "done"
        self.next({"more": self.a, "done": self.end}, condition="verdict")

    @step
    def end(self):
        self.trail += ">end"


class LoopInSwitch(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.rounds = 0
        self.answer = "turn"
        self.next({"turn": self.turn, "skip": self.end}, condition="answer")

    @step
    def turn(self):
        self.trail += ">t"
        self.rounds += 1
        self.verdict = "more" if self.rounds < 2 else "done"
        self.next({"more": self.turn, "done": self.end}, condition="verdict")

    @step
    def end(self):
        self.trail += ">end"


class LoopInLoop(FlowSpec):
    @step
    def start(self):
        self.trail = "start"
        self.outer = 0
        self.next(self.p)

    @step
    def p(self):
        self.trail += ">p"
        self.inner = 0
        self.next(self.a)

    @step
    def a(self):
        self.trail += ">a"
        self.inner += 1
        self.verdict = "more" if self.inner < 2 else "done"
        self.next({"more": self.a, "done": self.b}, condition="verdict")

    @step
    def b(self):
        self.trail += ">b"
        self.outer += 1
        self.again = "yes" if self.outer < 2 else "no"
        self.next({"yes": self.p, "no": self.end}, condition="again")

    @step
    def end(self):
        self.trail += ">end"
