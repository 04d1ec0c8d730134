"""Shapes in which steps fail: retries, fallbacks, time limits, and failures that end the run."""

import time

from flowinfra import FlowSpec, catch, current, retry, step, timeout


class Retry(FlowSpec):
    @step
    def start(self):
        self.next(self.a)

    @retry(times=2)
    @step
    def a(self):
        if current.retry_count < 1:
            raise ValueError("on purpose")
        self.attempts = current.retry_count
        self.next(self.end)

    @step
    def end(self):
        pass


class RetryInForeach(FlowSpec):
    @step
    def start(self):
        self.items = [0, 1]
        self.next(self.a, foreach="items")

    @retry(times=2)
    @step
    def a(self):
        if current.retry_count < self.input:
            raise ValueError("on purpose")
        self.attempts = current.retry_count
        self.next(self.join)

    @step
    def join(self, inputs):
        self.attempts = [each.attempts for each in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


class Catch(FlowSpec):
    @step
    def start(self):
        self.kept = "kept"
        self.next(self.a)

    @catch(var="why")
    @retry(times=1)
    @step
    def a(self):
        self.lost = "lost"
        raise ValueError("on purpose")
        self.next(self.b)

    @catch(var="why_not")
    @step
    def b(self):
        self.told = [self.why.type, self.why.message, self.why.step, "on purpose" in self.why.traceback]
        self.lost_is_there = hasattr(self, "lost")
        self.next(self.end)

    @step
    def end(self):
        pass


class Failure(FlowSpec):
    @step
    def start(self):
        self.next(self.a)

    @retry(times=1)
    @step
    def a(self):
        raise ValueError("on purpose")
        self.next(self.end)

    @step
    def end(self):
        pass


class FailureInSplit(FlowSpec):
    @step
    def start(self):
        self.next(self.a, self.b)

    @step
    def a(self):
        time.sleep(0.5)  # until b has begun
        raise ValueError("on purpose")
        self.next(self.join)

    @step
    def b(self):
        time.sleep(60)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


class FailureInForeach(FlowSpec):
    @step
    def start(self):
        self.items = [0, 1]
        self.next(self.a, foreach="items", max_concurrency=1)

    @step
    def a(self):
        raise ValueError(f"on purpose {self.input}")
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


class Timeout(FlowSpec):
    @step
    def start(self):
        self.next(self.a)

    @timeout(seconds=1)
    @step
    def a(self):
        time.sleep(60)
        self.next(self.end)

    @step
    def end(self):
        pass


class TimeoutAndRetry(FlowSpec):
    @step
    def start(self):
        self.next(self.a)

    @retry(times=1)
    @timeout(seconds=1)
    @step
    def a(self):
        if current.retry_count == 0:
            time.sleep(60)
        self.attempts = current.retry_count
        self.next(self.end)

    @step
    def end(self):
        pass


class NotSerialisable(FlowSpec):
    @step
    def start(self):
        self.next(self.a)

    @retry(times=3)
    @step
    def a(self):
        self.good = 1
        self.generator = (i for i in range(3))
        self.function = lambda: None
        self.next(self.end)

    @step
    def end(self):
        pass


class NotIterable(FlowSpec):
    @retry(times=3)
    @step
    def start(self):
        self.items = 17
        self.next(self.a, foreach="items")

    @step
    def a(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


class NoSuchCase(FlowSpec):
    @retry(times=3)
    @step
    def start(self):
        self.answer = "godo"
        self.next({"good": self.a, "bad": self.end}, condition="answer")

    @step
    def a(self):
        self.next(self.end)

    @step
    def end(self):
        pass


class NoNext(FlowSpec):
    @retry(times=3)
    @step
    def start(self):
        if len(self.__dict__) < 10:
            return
        self.next(self.end)

    @step
    def end(self):
        pass


class Disagreement(FlowSpec):
    @step
    def start(self):
        self.items = [1, 2]
        self.next(self.a, foreach="items")

    @step
    def a(self):
        self.x = self.input
        self.y = -self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.merge_artifacts(inputs)
        self.next(self.end)

    @step
    def end(self):
        pass
