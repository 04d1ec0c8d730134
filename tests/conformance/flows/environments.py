"""Steps in two environments."""

import os

from flowinfra import FlowSpec, TaskEnvironment, step

blue = TaskEnvironment("blue", env_vars={"COLOUR": "blue"})


class Environments(FlowSpec):
    @blue.step
    def start(self):
        self.seen = [os.environ.get("COLOUR")]
        self.next(self.end)

    @step
    def end(self):
        self.seen.append(os.environ.get("COLOUR"))
