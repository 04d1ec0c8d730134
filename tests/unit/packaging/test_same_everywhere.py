"""The same source gives the same release: for every folder, user, hash seed and supported Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.example import ROOT
from support.interpreters import VERSIONS, interpreters

# Everything that a release is compiled from, with nothing installed but the standard library; compiling it is a pure
# function of that, and of the version of flowinfra.
PROGRAM = """
import json, sys
from pathlib import Path
from flowinfra.authoring.graph import read_document
from flowinfra.authoring.loader import load_flow
from flowinfra.packaging.bundle import build
from flowinfra.sources.digest import code_digests
from flowinfra.sources.walk import walk
file = Path(sys.argv[1])
flow = load_flow(file)
document, found = read_document(flow, root=file.parent)
modules = walk(file)
digests = code_digests(modules, [("census", "Census")], [s["name"] for s in document["steps"]])
bundle = build(modules)
print(json.dumps([document, found, digests, bundle.digest, bundle.data.hex()], sort_keys=True))
"""


def read(python: Path, folder: Path, seed: str, user: str) -> str:
    """What *python* reads of a copy of the example in *folder*."""
    shutil.copytree(ROOT / "stacks", folder, ignore=shutil.ignore_patterns("__pycache__"))
    home = folder.parent / f"home-{user}"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [str(python), "-c", PROGRAM, str(folder / "census.py")],
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": seed,
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(home),
            "USER": user,
            "LOGNAME": user,
            "LANG": "C.UTF-8" if seed == "0" else "C",
            "TZ": "UTC" if seed == "0" else "Asia/Kathmandu",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_folders_users_and_hash_seeds(tmp_path: Path) -> None:
    """Another folder, user, home, hash seed, locale and time zone change nothing of what a release is made from."""
    one = read(Path(sys.executable), tmp_path / "one", "0", "ada")
    other = read(Path(sys.executable), tmp_path / "a folder with spaces" / "two", "1", "grace")
    assert one == other
    assert json.loads(one)[1] == []


@pytest.mark.parametrize("version", VERSIONS, ids=lambda v: f"{v[0]}.{v[1]}")
def test_pythons(tmp_path: Path, version: tuple[int, int]) -> None:
    """Each supported Python reads the same."""
    found = interpreters()
    if version not in found:
        pytest.skip(f"there is no Python {version[0]}.{version[1]} on this machine")
    mine = read(Path(sys.executable), tmp_path / "mine", "0", "ada")
    assert read(found[version], tmp_path / "its", "1", "ada") == mine
