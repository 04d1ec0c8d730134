"""Which module may import what, and what a start-up loads."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.child import Python

STANDARD_LIBRARY_ONLY = (
    "flowinfra/canonical.py",
    "flowinfra/diagnostics.py",
    "flowinfra/wire.py",
    "flowinfra/_version.py",
)

HEAVY = (
    "pulumi",
    "pydantic",
    "grpc",
    "boto3",
    "botocore",
    "lightkube",
    "httpx",
    "fastapi",
    "sqlalchemy",
    "jsonschema",
    "numpy",
    "pandas",
)

FLOW = """
from flowinfra import FlowSpec, IncludeFile, JSONType, Parameter, TaskEnvironment, current, step
from flowinfra import catch, environment, resources, retry, secrets, timeout

env = TaskEnvironment("small")

class Small(FlowSpec):
    size = Parameter("size", type=int, default=3)
    extra = Parameter("extra", type=JSONType, default="{}")

    @retry(times=2)
    @timeout(seconds=30)
    @step
    def start(self):
        self.items = list(range(self.size))
        self.next(self.each, foreach="items")

    @catch(var="problem")
    @resources(cpu=1)
    @env.step
    def each(self):
        self.next(self.end)

    @environment(vars={"A": "b"})
    @secrets(["TOKEN", "file:/run/secrets/key"])
    @step
    def end(self, inputs):
        current.run_id
"""


def test_the_import_contracts_hold(root: Path) -> None:
    """The layers and the other contracts of pyproject.toml are kept."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=root,
        env={"PYTHONPATH": f"{root}:{root / 'providers'}", "NO_COLOR": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[done.stdout.find("Broken contracts") :] + done.stderr


@pytest.mark.parametrize("path", STANDARD_LIBRARY_ONLY)
def test_the_lowest_modules_import_only_the_standard_library(root: Path, path: str) -> None:
    """What a task reads before anything else depends on no other package."""
    tree = ast.parse((root / path).read_text(encoding="utf-8"))
    strange = {
        name
        for name in imported_packages(tree)
        if name not in sys.stdlib_module_names and not name.startswith("flowinfra")
    }
    assert strange == set()


def imported_packages(tree: ast.Module) -> Iterator[str]:
    """The top-level package of every import, also of those inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import flowinfra", (*HEAVY, "asyncio", "obstore", "rich", "click", "yaml")),
        ("import flowinfra.wire", (*HEAVY, "asyncio", "obstore", "rich", "click", "yaml")),
        ("import flowinfra.runtime.entrypoint", (*HEAVY, "asyncio", "rich", "click", "yaml")),
        ("import flowinfra.authoring", (*HEAVY, "asyncio", "rich", "click")),
        ("import flowinfra.cli.main", ("pulumi", "pydantic", "grpc", "boto3", "httpx", "fastapi", "asyncio")),
        ("import flowinfra_providers", ("pulumi", "grpc")),
        (FLOW, (*HEAVY, "asyncio", "rich", "click")),
    ],
    ids=["flowinfra", "wire", "entrypoint", "authoring", "cli", "providers", "a flow file"],
)
def test_a_start_loads_nothing_heavy(python: Python, statement: str, unwanted: tuple[str, ...]) -> None:
    """Importing this loads none of the packages that cost time and that it does not need."""
    printed = python.code(f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))")
    loaded = {name.partition(".")[0] for name in json.loads(printed.splitlines()[-1])}
    assert loaded & set(unwanted) == set()
