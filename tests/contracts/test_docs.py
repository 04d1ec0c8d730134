"""The documentation is held to what is there."""

from __future__ import annotations

from pathlib import Path

from support.child import Python


def test_generated_pages_and_links_are_right(root: Path, python: Python) -> None:
    """The generated pages are what `make docs` writes now, and every relative link and anchor leads somewhere."""
    done = python.run(str(root / "tools" / "docs.py"), "--check", check=False)
    assert done.returncode == 0, done.stderr
