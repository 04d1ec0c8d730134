"""Flows that misbehave: they ignore signals, leave processes behind, print a lot, or end in odd ways."""

# ruff: noqa: T201 - what a flow prints is its log

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from flowinfra import FlowSpec, Parameter, catch, current, retry, step, timeout


class Sleepers(FlowSpec):
    """Every item starts a process of its own and says the numbers of both."""

    count = Parameter("count", default=3)
    stubborn = Parameter("stubborn", default=False)

    @step
    def start(self):
        self.items = list(range(self.count))
        self.next(self.work, foreach="items")

    @step
    def work(self):
        if self.stubborn:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
        print("pids", os.getpid(), child.pid, flush=True)
        time.sleep(300)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


class Stubborn(FlowSpec):
    """Its step ignores SIGTERM and takes too long."""

    @timeout(seconds=1)
    @step
    def start(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
        print("pids", os.getpid(), child.pid, flush=True)
        time.sleep(300)
        self.next(self.end)

    @step
    def end(self):
        pass


class LeftBehind(FlowSpec):
    """Its step ends while a process that it has started still holds its output."""

    @step
    def start(self):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
        print("pids", child.pid)
        self.next(self.end)

    @step
    def end(self):
        pass


class Killed(FlowSpec):
    """The first attempts of its steps are killed at once, as the kernel does when memory runs out."""

    @retry(times=1)
    @step
    def start(self):
        self.items = [0, 1, 2]
        if current.retry_count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.next(self.work, foreach="items")

    @catch(var="why")
    @step
    def work(self):
        if self.index == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.types = [None if each.why is None else each.why.type for each in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


class Exits(FlowSpec):
    """Its step ends in the way that a parameter says."""

    how = Parameter("how", default="exit")

    @step
    def start(self):
        if self.how == "exit":
            sys.exit("that is all")
        if self.how == "interrupt":
            raise KeyboardInterrupt
        if self.how == "_exit":
            os._exit(7)
        if self.how == "close":
            sys.stdout.close()
            os.close(2)
        if self.how == "group":
            raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])
        if self.how == "unsayable":
            raise Unsayable
        self.next(self.end)

    @step
    def end(self):
        pass


class Unsayable(Exception):
    def __str__(self):
        raise RuntimeError("no")


class Prints(FlowSpec):
    """Prints on both streams: a long line, many lines, bytes that are no text, and no line feed at the end."""

    @step
    def start(self):
        print("ü" * 500_000)
        for i in range(20_000):
            print(f"line {i}")
        sys.stderr.write("to err\n")
        os.write(1, b"\xff\xfe\n")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        sys.stdout.write("no line feed")
        self.next(self.end)

    @step
    def end(self):
        pass


class Meets(FlowSpec):
    """Both attempts of its step go on only when both have begun."""

    folder = Parameter("folder", default="")

    @step
    def start(self):
        (Path(self.folder) / str(os.getpid())).touch()
        until = time.monotonic() + 60
        while len(list(Path(self.folder).iterdir())) < 2 and time.monotonic() < until:
            time.sleep(0.001)
        self.items = ["a", "b"]
        self.who = os.getpid()
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


class Loops(FlowSpec):
    """One task per kind of document that a commit is copied to."""

    @step
    def start(self):
        self.items = {"b", "a"}
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.verdict = "done"
        self.next({"more": self.work, "done": self.join}, condition="verdict")

    @step
    def join(self, inputs):
        self.letters = sorted(each.input for each in inputs)
        self.next(self.end)

    @step
    def end(self):
        print("the end")


class Missing(FlowSpec):
    """Reads what nobody has set, in a join and elsewhere."""

    where = Parameter("where", default="end")

    @step
    def start(self):
        self.total = 1
        self.next(self.a, self.b)

    @step
    def a(self):
        self.next(self.join)

    @step
    def b(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        if self.where == "join":
            print(self.total)
        if self.where == "inputs":
            print(inputs.a.totl)
        if self.where == "branch":
            print(inputs.c)
        self.next(self.end)

    @step
    def end(self):
        print(self.total)


class Leaves(FlowSpec):
    """A process that ends with 0 although its step has not ended."""

    where = Parameter("where", default="end")

    @retry(times=1)
    @step
    def start(self):
        self.items = [1]
        if self.where == "start" and current.retry_count < 1:
            os._exit(0)
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        if self.where == "end":
            os._exit(0)
