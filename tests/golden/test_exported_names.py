"""The public names of the package."""

from __future__ import annotations

from pathlib import Path

from support.golden import Golden
from support.tree import declared_names


def test_the_public_names_are_those_of_the_golden_file(root: Path, golden: Golden) -> None:
    """A name is added or removed on purpose, never by accident."""
    golden.check("public_names.txt", "".join(f"{name}\n" for name in sorted(declared_names(root))))
