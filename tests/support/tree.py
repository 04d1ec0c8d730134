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
