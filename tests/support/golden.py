"""Golden files."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Golden:
    """Compares with files under tests/golden, or rewrites them where FLOWINFRA_ACCEPT=1 (`make golden`)."""

    folder: Path
    accept: bool

    def check(self, name: str, actual: str) -> None:
        """Hold *actual* against the golden file *name* (a path below tests/golden)."""
        file = self.folder / name
        if self.accept:
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists() or file.read_text(encoding="utf-8") != actual:
                file.write_text(actual, encoding="utf-8")
            return
        if not file.exists():
            pytest.fail(f"tests/golden/{name} does not exist: run `make golden` and read it", pytrace=False)
        expected = file.read_text(encoding="utf-8")
        if expected != actual:
            lines = difflib.unified_diff(
                expected.splitlines(), actual.splitlines(), f"tests/golden/{name}", "now", lineterm=""
            )
            told = "\n".join(lines)
            pytest.fail(f"{told}\nIf this is meant: run `make golden` and read the diff.", pytrace=False)
