"""This flow starts a thread while it is imported."""

import threading
import time

from flowinfra import FlowSpec, step

threading.Thread(target=time.sleep, args=(3600,), name="heartbeat", daemon=True).start()


class Threaded(FlowSpec):
    @step
    def start(self):
        self.alive = [t.name for t in threading.enumerate()]
        self.next(self.end)

    @step
    def end(self):
        pass
