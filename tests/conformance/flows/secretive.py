"""Steps with secrets: what they print, raise and keep."""

import os
import subprocess
import sys

from flowinfra import FlowSpec, IncludeFile, Secret, TaskEnvironment, current, retry, secrets, step

vault = TaskEnvironment("vault", secrets=[Secret("FI_TEST_SECRET", env_var="SHARED")])


class Secretive(FlowSpec):
    data = IncludeFile("data", is_text=False)

    @secrets(["FI_TEST_SECRET"])
    @vault.step
    def start(self):
        value = os.environ["FI_TEST_SECRET"]
        self.equal = os.environ["SHARED"] == value
        self.shown = {"text": f"the value is {value}"}
        sys.stdout.write(f"mine {value}\n")
        sys.stderr.write(f"mine {value}\n")
        for byte in value.encode():
            os.write(1, bytes([byte]))
        os.write(1, b"\n")
        subprocess.run(["sh", "-c", 'echo "child $SHARED"; echo "child $SHARED" >&2'], check=True)
        self.next(self.plain)

    @step
    def plain(self):
        self.size = len(self.data)
        self.head = self.data[:3]
        self.names = [p["name"] for p in current.graph["parameters"]]
        self.types = {name: s["type"] for name, s in current.graph["steps"].items()}
        self.next(self.fails)

    @vault.step
    def fails(self):
        try:
            raise KeyError(os.environ["SHARED"])
        except KeyError as why:
            raise ValueError(f"refused: {os.environ['SHARED']!r}") from why
        self.next(self.end)

    @step
    def end(self):
        pass


class Missing(FlowSpec):
    @retry(times=2)
    @secrets(["FI_TEST_NOT_SET", "file:/does/not/exist"])
    @step
    def start(self):
        sys.stdout.write("never\n")
        self.next(self.end)

    @step
    def end(self):
        pass


class Flaky(FlowSpec):
    @secrets(["flaky:team/api-key"])
    @step
    def start(self):
        sys.stdout.write(os.environ["API_KEY"] + "\n")
        self.next(self.end)

    @step
    def end(self):
        pass
