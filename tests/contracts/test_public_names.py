"""What `import flowinfra` promises to have."""

from __future__ import annotations

import ast
from pathlib import Path

from support.child import Python
from support.tree import declared_names


def test_every_public_name_can_be_had(root: Path, python: Python) -> None:
    """Each name of `__all__` resolves, is listed by `dir`, and stays the same object; any other is an AttributeError."""
    program = """
import flowinfra, sys
for name in flowinfra.__all__:
    assert getattr(flowinfra, name) is getattr(flowinfra, name), name
    assert name in dir(flowinfra), name
try:
    flowinfra.no_such_name
except AttributeError as error:
    assert "no_such_name" in str(error), error
else:
    raise AssertionError("no AttributeError")
print(*sorted(flowinfra.__all__))
"""
    assert python.code(program).split() == sorted(declared_names(root))


def test_a_type_checker_sees_every_public_name(root: Path) -> None:
    """What is loaded lazily is imported under TYPE_CHECKING too, so that editors and checkers know its type."""
    tree = ast.parse((root / "flowinfra" / "__init__.py").read_text(encoding="utf-8"))
    bound = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    assert set(declared_names(root)) <= bound | assigned


def test_both_packages_are_typed(root: Path) -> None:
    """Both packages carry the marker that makes checkers read their annotations."""
    assert (root / "flowinfra" / "py.typed").exists()
    assert (root / "providers" / "flowinfra_providers" / "py.typed").exists()
