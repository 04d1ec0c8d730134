"""A new project: a small flow that does something real, and the program that deploys it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Final

from flowinfra.diagnostics import ConfigurationError, error

__all__ = ["DEPLOYMENT", "FLOW_FILE", "create_project", "project_name"]

#: The deployment of a new project, and its flow file.
DEPLOYMENT: Final = "HelloPi/default"
FLOW_FILE: Final = "flows/hello.py"

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}\Z")

_FILES: Final[Mapping[str, str]] = {
    "Pulumi.yaml": """\
name: $name
description: Flows, deployed with flowinfra.
runtime: python
main: stacks/
""",
    "Pulumi.dev.yaml": """\
config:
  # On this machine. `flowinfra config` shows what is set, `flowinfra config set KEY VALUE` changes it.
  flowinfra:target: local
""",
    "stacks/__main__.py": '''\
"""The stack program: which flows are deployed, and with which values. `flowinfra preview` shows what would change."""

import flowinfra.components as fic
from flowinfra import DeploymentSpec

hello = DeploymentSpec(
    flow_location="../flows/hello.py:HelloPi",
    name="default",
    parameters={"batches": 8},
    tags=["example"],
    description="An estimate of pi",
)

fic.export(fic.FlowDeployment("hello-pi", hello))
''',
    FLOW_FILE: '''\
"""A first flow: pi out of random points, in batches side by side."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import mean, pstdev

from flowinfra import FlowSpec, Parameter, retry, step


class HelloPi(FlowSpec):
    """Estimate pi: of random points in a square, the share inside the quarter circle is pi / 4."""

    batches = Parameter(default=8, type=int, help="how many batches")
    points = Parameter(default=50_000, type=int, help="random points per batch")
    seed = Parameter(default=1, type=int, help="the same seed gives the same points")

    @step
    def start(self) -> None:
        """Plan one task per batch."""
        self.seeds = [self.seed * 10_000 + n for n in range(self.batches)]
        self.next(self.throw, foreach="seeds")

    @retry(times=2)
    @step
    def throw(self) -> None:
        """Throw the points of one batch. What is set on self can be read by the steps behind, and later."""
        dice = random.Random(self.input)
        inside = sum(dice.random() ** 2 + dice.random() ** 2 <= 1 for _ in range(self.points))
        self.estimate = 4 * inside / self.points
        print(f"batch {self.index} says {self.estimate:.4f}")
        self.next(self.gather)

    @step
    def gather(self, inputs: Sequence[HelloPi]) -> None:
        """Bring the batches together."""
        estimates = [batch.estimate for batch in inputs]
        self.pi = round(mean(estimates), 5)
        self.spread = round(pstdev(estimates), 5)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Say what came out."""
        print(f"pi is about {self.pi} (the batches differ by {self.spread})")


if __name__ == "__main__":
    HelloPi()
''',
}


def project_name(given: str | None, folder: Path) -> str:
    """The name of a new project in *folder*: what is given, else the folder's own name in allowed characters.

    Raises:
        ConfigurationError: FI953, what is given is no name.
    """
    if given is None:
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.name).strip("-.")[:100] or "flows"
    if not _NAME.match(given):
        raise ConfigurationError(
            error(
                "FI953",
                f"{given!r} is no name for a project",
                detail="Pulumi allows up to 100 letters, digits, '-', '_' and '.'",
                hint=f"flowinfra init {re.sub(r'[^A-Za-z0-9_.-]+', '-', given).strip('-.')[:100] or 'flows'}",
            )
        )
    return given


def create_project(folder: Path, name: str) -> list[str]:
    """Write a new project into *folder*; the paths of its files, relative to it.

    Raises:
        ConfigurationError: FI952, some of the files are there, or cannot be written; then nothing is changed.
    """
    there = [path for path in _FILES if (folder / path).exists()]
    if there:
        raise ConfigurationError(
            error(
                "FI952",
                f"{folder} has {', '.join(there)} already",
                detail="nothing is overwritten, and nothing was written",
                hint="go to an empty folder, or move what is there",
            )
        )
    made: list[Path] = []
    try:
        for path, text in _FILES.items():
            file = folder / path
            made += [parent for parent in reversed(file.parents) if not parent.exists()]
            file.parent.mkdir(parents=True, exist_ok=True)
            made.append(file)
            file.write_text(Template(text).substitute(name=name) if path == "Pulumi.yaml" else text, encoding="utf-8")
    except OSError as why:
        for path_made in reversed(made):
            with contextlib.suppress(OSError):
                path_made.rmdir() if path_made.is_dir() else path_made.unlink()
        raise ConfigurationError(
            error(
                "FI952",
                f"the project cannot be written: {why.strerror}: {why.filename}",
                hint="look at free space and permissions there",
            )
        ) from why
    return list(_FILES)
