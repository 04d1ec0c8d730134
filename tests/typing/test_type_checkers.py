"""Flow files are typed: mypy --strict and pyright see in them what runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FILES = ("flow_types.py", "flow_mistakes.py")


def pyright_of(root: Path) -> list[str]:
    """The command of pyright: as tools/pyright.sh installs it, or beside this interpreter; skips where there is none."""
    installed = root / ".venv" / "pyright" / "node_modules" / "pyright" / "index.js"
    node = shutil.which("node")
    if installed.exists() and node:
        return [node, str(installed)]
    beside = Path(sys.executable).with_name("pyright")
    if beside.exists():
        return [str(beside)]
    pytest.skip("pyright is not installed: `make types` does it")


def test_mypy_sees_the_types_of_a_flow(root: Path, tmp_path: Path) -> None:
    """Mypy --strict finds nothing, every assert_type holds, and every ignored mistake is one."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "/dev/null", "--cache-dir", str(tmp_path)]
    files = [str(root / "tests" / "typing" / name) for name in FILES]
    done = subprocess.run([*command, *files], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_sees_the_types_of_a_flow(root: Path, tmp_path: Path) -> None:
    """Pyright agrees with mypy on both files."""
    command = pyright_of(root)
    for name in FILES:
        shutil.copy(root / "tests" / "typing" / name, tmp_path)
    settings = {
        "include": list(FILES),
        "extraPaths": [str(root)],
        "pythonVersion": "3.11",
        "enableTypeIgnoreComments": False,  # those are for mypy
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    done = subprocess.run(
        [*command, "--pythonpath", sys.executable, "--outputjson"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(FILES)
    found = report["generalDiagnostics"]
    assert [f"{Path(d['file']).name}:{d['range']['start']['line'] + 1}: {d['message']}" for d in found] == []
