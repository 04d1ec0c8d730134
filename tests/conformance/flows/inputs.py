"""Parameters of every type, what `current` tells about a task, and items that are large."""

import datetime
import threading
from pathlib import Path

from flowinfra import FlowSpec, IncludeFile, JSONType, Parameter, current, step


def tomorrow():
    """A default that only the first task can make."""
    return datetime.date(2030, 1, 2)


class Inputs(FlowSpec):
    count = Parameter("the-count", default=3)
    share = Parameter("share", type=float, default=1)
    on = Parameter("on", default=True)
    names = Parameter("names", default=["a"])
    table = Parameter("table", default={"k": [1]})
    any = Parameter("any", type=JSONType, default=None)
    day = Parameter("day", type=datetime.date, default=tomorrow)
    moment = Parameter("moment", default=datetime.datetime(2030, 1, 1, 8, tzinfo=datetime.UTC))
    text = IncludeFile("text", default="beside.txt")

    @step
    def start(self):
        self.names.append("changed")  # of this task's own copy
        self.next(self.look)

    @step
    def look(self):
        self.seen = {
            "count": self.count,
            "share": [self.share, type(self.share).__name__],
            "on": self.on,
            "names": self.names,
            "table": self.table,
            "any": self.any,
            "day": self.day,
            "moment": self.moment,
            "text": self.text,
        }
        self.next(self.end)

    @step
    def end(self):
        pass


class Asks(FlowSpec):
    size = Parameter("size", default=7)

    @step
    def start(self):
        self.items = ["x"]
        self.next(self.ask, foreach="items")

    @step
    def ask(self):
        in_thread = []
        thread = threading.Thread(target=lambda: in_thread.append(current.step_name))
        thread.start()
        thread.join()
        self.told = {
            "pathspec": current.pathspec,
            "attempt": current.attempt,
            "flow": current.flow_name,
            "tags": sorted(current.tags),
            "username": current.username,
            "namespace": current.namespace,
            "origin": current.origin_run_id,
            "running": current.is_running_flow,
            "size": [current.parameters.size, dict(current.parameters)],
            "in_thread": in_thread,
        }
        self.folder = current.tempdir
        (Path(current.tempdir) / "file").touch()
        self.next(self.join)

    @step
    def join(self, inputs):
        self.merge_artifacts(inputs)
        self.left = Path(self.folder).exists()
        self.next(self.end)

    @step
    def end(self):
        pass


class LargeItems(FlowSpec):
    @step
    def start(self):
        self.items = [f"{i}" * 20_000 for i in range(40)]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.head = (self.input[:2], len(self.input))
        self.next(self.join)

    @step
    def join(self, inputs):
        self.heads = [each.head for each in inputs]
        self.same = [each.input for each in inputs] == inputs[0].items
        self.next(self.end)

    @step
    def end(self):
        pass
