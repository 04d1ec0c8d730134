"""Every diagnostic code has its page, every page its code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from support.tree import Module

CODE = re.compile(r"FI[1-9]\d\d")
SECTIONS = ("What it means", "Why", "What to do")


def used_codes(modules: list[Module]) -> dict[str, list[str]]:
    """Each code that stands as a string of its own in the code, with its places."""
    used: dict[str, list[str]] = {}
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                used.setdefault(node.value, []).append(f"{module.path}:{node.lineno}")
    return used


def test_every_code_has_a_page_and_every_page_a_code(root: Path, modules: list[Module]) -> None:
    """A user who looks a code up finds its page, and no page describes what cannot happen."""
    used = used_codes(modules)
    pages = {file.stem for file in (root / "docs" / "diagnostics").glob("FI*.md")}
    without_page = [f"{code} has no page: {', '.join(places)}" for code, places in used.items() if code not in pages]
    unused = [f"{code} has a page, and nothing uses it" for code in pages if code not in used]
    found = sorted(without_page + unused)
    assert not found, "\n".join(found)


def test_every_page_says_what_why_and_what_to_do(root: Path) -> None:
    """Each page is titled by its code and has the three parts."""
    wrong = []
    for file in sorted((root / "docs" / "diagnostics").glob("FI*.md")):
        text = file.read_text(encoding="utf-8")
        if not text.startswith(f"# {file.stem}: "):
            wrong.append(f"{file.name}: does not begin with '# {file.stem}: '")
        wrong.extend(f"{file.name}: has no part '{part}'" for part in SECTIONS if part not in text)
    assert wrong == []


def test_every_page_is_named_by_a_code(root: Path) -> None:
    """No page is lost under a name that no message prints."""
    names = [file.stem for file in (root / "docs" / "diagnostics").glob("*.md") if file.stem != "README"]
    assert [name for name in names if not CODE.fullmatch(name)] == []
