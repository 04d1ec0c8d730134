"""The files of the repository, as contracts read them."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGES = ("flowinfra", "providers/flowinfra_providers")


@dataclass(frozen=True)
class Module:
    """One Python file of the packages."""

    path: str
    file: Path

    @cached_property
    def text(self) -> str:
        return self.file.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)


def declared_names(root: Path) -> list[str]:
    """The public names of the package: `__all__` as it is written."""
    tree = ast.parse((root / "flowinfra" / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return [str(name) for name in ast.literal_eval(node.value)]
    raise AssertionError("flowinfra/__init__.py has no literal __all__")
