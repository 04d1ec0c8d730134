"""A flow has one digest, whoever reads it, wherever it lies."""

from __future__ import annotations

import itertools
from pathlib import Path

from support.child import Python
from support.flows import HEAD

FLOW = (
    HEAD
    + '''
small = TaskEnvironment("small", image="img", env_vars={"B": "2", "A": "1", "C": "3"})


class Census(FlowSpec):
    """Counts."""

    limit = Parameter(default=10, help="how many")
    names = Parameter(default=["b", "a"])
    options = Parameter(default={"z": 1, "a": {"y": 2, "b": None}})
    rows = IncludeFile(default="rows.csv")

    @step
    def start(self):
        self.xs = list(range(self.limit))
        self.next(self.each, foreach="xs", max_concurrency=3)

    @retry(times=2, delay="5s")
    @resources(cpu=2, memory="1Gi")
    @small.step
    def each(self):
        self.next({"low": self.low, "high": self.high, "none": self.join}, condition="size")

    @environment({"Z": "z", "D": "d"})
    @step
    def low(self):
        self.next(self.join)

    @step
    def high(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass
'''
)

READ = """
import sys
from pathlib import Path
from flowinfra.authoring.graph import build_graph
from flowinfra.authoring.loader import load_flow, root_of
from flowinfra.canonical import json_digest
from flowinfra.compiler.check import compile_program
file = Path(sys.argv[1])
graph = build_graph(load_flow(file), root=root_of(file))
print(graph.digest(), json_digest(graph.keyed()), compile_program(graph).digest())
"""


def test_a_flow_has_the_same_digests_everywhere(python: Python, tmp_path: Path) -> None:
    """Hash seeds, folders and the working folder change neither the graph's digest, nor its keyed form, nor its program's."""
    found = set()
    for seed, folder in itertools.product(("0", "1"), ("one", "another/place")):
        file = tmp_path / folder / "census.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(FLOW, encoding="utf-8")
        place, path = (file.parent, file.name) if seed == "0" else (tmp_path, str(file))
        found.add(python.run("-c", READ, path, cwd=place, env={"PYTHONHASHSEED": seed}).stdout)
    assert len(found) == 1


def test_texts_and_lines_do_not_change_the_digest(python: Python, tmp_path: Path) -> None:
    """Moved lines, comments, another docstring and another help text are the same flow; another default is not."""
    variants = {
        "as it is": FLOW,
        "moved": FLOW.replace("class Census", "# a comment\n\n\nclass Census"),
        "other texts": FLOW.replace("Counts.", "Counts things.").replace("how many", "how many of them"),
        "other default": FLOW.replace("default=10", "default=11"),
    }
    digests = {}
    for name, source in variants.items():
        file = tmp_path / name / "census.py"
        file.parent.mkdir()
        file.write_text(source, encoding="utf-8")
        digests[name] = python.code(READ, str(file))
    assert digests["as it is"] == digests["moved"] == digests["other texts"] != digests["other default"]
