"""This flow can only be imported where an environment variable does not say otherwise."""

import os

from flowinfra import FlowSpec, step

if os.environ.get("BREAK_IMPORT"):
    raise LookupError("the import is broken on purpose")


class Breaks(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass
