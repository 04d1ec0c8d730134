"""The fork trap: this flow uses an object store while it is imported, which leaves threads and locks in its process."""

import obstore
from obstore.store import MemoryStore

from flowinfra import FlowSpec, step

STORE = MemoryStore()
obstore.put(STORE, "settings", b"7")


class Trap(FlowSpec):
    @step
    def start(self):
        self.items = list(range(40))
        self.next(self.work, foreach="items")

    @step
    def work(self):
        # A put of this size takes the pool of threads that the import has started.
        obstore.put(STORE, f"item{self.input}", b"x" * 100_000)
        self.value = int(bytes(obstore.get(STORE, "settings").bytes())) * self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(each.value for each in inputs)
        self.next(self.end)

    @step
    def end(self):
        pass
