"""A step that reads a file, behind one that does not."""

from flowinfra import FlowSpec, IncludeFile, step


class Reads(FlowSpec):
    data = IncludeFile("data", is_text=False)

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        self.size = len(self.data)
