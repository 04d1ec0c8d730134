from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from samples import NEWER, SAMPLES

from support.interpreters import VERSIONS, interpreters

# Run by each interpreter, with nothing installed but the standard library.
PROGRAM = """
import ast, json, sys, warnings
warnings.simplefilter("ignore")
from flowinfra.sources.digest import ast_digest, code_digests
from flowinfra.sources.walk import walk
import pathlib
samples, flow = json.load(sys.stdin)
modules = walk(pathlib.Path(flow))
print(json.dumps({
    "samples": {name: ast_digest(ast.parse(text)) for name, text in samples.items()},
    "steps": code_digests(modules, [("flow", "F")], ["start", "end"]),
    "modules": [m.name for m in modules.modules],
}, sort_keys=True))
"""

FLOW = {
    "flow.py": (
        "import helpers, os\n"
        "from pkg import one as two\n"
        "LIMIT = 1e-5\n"
        "def clean(x): return helpers.strip(x) if x > LIMIT else f'{x!r:>{LIMIT}}'\n"
        "class F(FlowSpec):\n"
        "    @step\n"
        "    def start(self):\n"
        "        self.x = clean(two.y)\n"
        "        self.next(self.end)\n"
        "    @step\n"
        "    def end(self):\n"
        "        from pkg import late\n"
    ),
    "helpers.py": "def strip(x): return {*x, *{'a', 'b', 'c'}}\n",
    "pkg/__init__.py": "",
    "pkg/one.py": "y = {1: 2, **{3: 4}}\n",
    "pkg/late.py": "from . import one\n",
}


@pytest.fixture(scope="module")
def pythons() -> dict[tuple[int, int], Path]:
    return interpreters()


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Run:
    return Run(root, tmp_path)


class Run:
    """Runs the program in a folder of its own each time, on a copy of the flow that lies in another place each time."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.folder = folder
        self.count = 0

    def __call__(self, python: Path, seed: str, samples: dict[str, str]) -> dict[str, object]:
        self.count += 1
        here = self.folder / str(self.count) / ("deep/" * self.count)
        for path, text in FLOW.items():
            (here / "src" / path).parent.mkdir(parents=True, exist_ok=True)
            (here / "src" / path).write_text(text)
        done = subprocess.run(
            [str(python), "-B", "-c", PROGRAM],
            input=json.dumps([samples, str(here / "src" / "flow.py")]),
            env={"PYTHONPATH": str(self.root), "PYTHONHASHSEED": seed, "PATH": os.environ.get("PATH", "")},
            cwd=here,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found


def test_hash_seeds_and_folders_change_nothing(run: Run) -> None:
    """The same interpreter gives the same digests for two hash seeds, in two working folders, on two copies."""
    first = run(Path(sys.executable), "0", SAMPLES)
    assert first == run(Path(sys.executable), "1", SAMPLES)
    assert first["modules"] == ["flow", "helpers", "pkg", "pkg.late", "pkg.one"]


def test_versions_of_python_agree(run: Run, pythons: dict[tuple[int, int], Path]) -> None:
    """Every supported Python gives the same digests for all code that every supported Python reads."""
    missing = [f"{a}.{b}" for a, b in VERSIONS if (a, b) not in pythons]
    if len(pythons) == 1:
        pytest.skip(f"needs a second interpreter: Python {', '.join(missing)} not found")
    results = {version: run(python, str(n % 2), SAMPLES) for n, (version, python) in enumerate(pythons.items())}
    expected = results[sys.version_info[:2]]
    assert results == dict.fromkeys(results, expected)


def test_newer_syntax_agrees_from_its_version_on(run: Run, pythons: dict[tuple[int, int], Path]) -> None:
    """Code that only newer versions read has the same digests in all of them."""
    compared = 0
    for since, samples in NEWER.items():
        results = [run(python, "0", samples) for version, python in pythons.items() if version >= since]
        compared += len(results)
        assert all(result == results[0] for result in results)
    if not compared:
        pytest.skip("needs Python 3.12 or newer")
