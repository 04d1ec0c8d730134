"""Rules of the house that no off-the-shelf tool knows."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from support.tree import Module

LONGEST_MODULE = 600
# What sends a package client somewhere else, or records where a file came from.
REDIRECTION = re.compile(
    r"--(?:extra-)?index-url[ =]|--find-links[ =]|\"resolved\":|^registry ?= ?\w|GOPROXY=\w", re.MULTILINE
)
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b|raise NotImplemented" + "Error")


def test_no_module_is_longer_than_600_lines(modules: list[Module]) -> None:
    """A module that outgrows a reader's memory becomes a folder."""
    lengths = {module.path: len(module.text.splitlines()) for module in modules}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_nothing_is_left_unfinished(modules: list[Module]) -> None:
    """What is not there yet is absent, not half there."""
    places = [
        f"{module.path}:{number}: {line.strip()}"
        for module in modules
        for number, line in enumerate(module.text.splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert places == []


def test_every_package_explains_itself(modules: list[Module]) -> None:
    """Each package begins with an essay: what comes in, what goes out, what may not happen here."""
    packages = [module for module in modules if module.path.endswith("/__init__.py")]
    short = [module.path for module in packages if len(ast.get_docstring(module.tree) or "") < 40]
    assert short == []


def test_every_test_says_the_behaviour_that_it_proves(root: Path) -> None:
    """A test's docstring is one sentence about what holds."""
    silent = [
        f"{file.relative_to(root)}:{node.lineno}: {node.name}"
        for file in sorted((root / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_mocks_are_banned_by_the_linter(root: Path, tmp_path: Path) -> None:
    """Each way to patch internals is reported as TID251, so that no review has to."""
    written = ["from unittest import mock", "from unittest.mock import patch", "import unittest.mock", "import mock"]
    source = "".join(f"{line}\n" for line in written)
    settings = ["--no-cache", "--config", str(root / "pyproject.toml"), "--select", "TID251", "--output-format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *settings, "--stdin-filename", str(tmp_path / "test_x.py"), "-"],
        input=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert sorted({found["location"]["row"] for found in json.loads(done.stdout)}) == [1, 2, 3, 4]


def test_no_file_names_this_machine(root: Path, tree_files: list[Path]) -> None:
    """Nothing that is committed holds a path of the machine on which it was made."""
    here = re.compile(rf"(?<![\w.~-]){re.escape(str(root))}\b" + parent_pattern(root))
    assert matching_lines(root, tree_files, here) == []


def parent_pattern(root: Path) -> str:
    """Also the folder that holds the clone, unless it is one that any text may name."""
    parent = root.parent
    ordinary = {Path("/"), Path("/tmp"), Path("/src"), Path("/app"), Path("/home"), Path("/opt")}
    return "" if parent in ordinary else rf"|(?<![\w.~-]){re.escape(str(parent))}/"


def test_no_file_names_a_package_registry(root: Path, tree_files: list[Path]) -> None:
    """Packages are named by name and version; where they come from is the machine's setting."""
    found = matching_lines(root, [file for file in tree_files if file != Path(__file__).resolve()], REDIRECTION)
    hosts = configured_hosts()
    if hosts:
        found += matching_lines(root, tree_files, re.compile("|".join(map(re.escape, sorted(hosts)))))
    assert found == []


def configured_hosts() -> set[str]:
    """The hosts that this machine's package clients are set to."""
    questions = (
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        ["npm", "config", "get", "registry"],
        ["go", "env", "GOPROXY"],
    )
    hosts: set[str] = set()
    for question in questions:
        if shutil.which(question[0]) is None:
            continue
        answer = subprocess.run(question, capture_output=True, text=True, check=False).stdout
        hosts.update(re.findall(r"https?://(?:[^/@\s]*@)?([^/:,|\s]+)", answer))
    return hosts


def matching_lines(root: Path, files: list[Path], pattern: re.Pattern[str]) -> list[str]:
    """The places in *files* that hold *pattern*."""
    places = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        places += [
            f"{file.relative_to(root)}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(text.splitlines(), 1)
            if pattern.search(line)
        ]
    return places
