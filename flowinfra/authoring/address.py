"""How a flow is named: ``file.py:Name``. Apart from the loader, so that whoever only names a flow imports little."""

from __future__ import annotations

from pathlib import Path

__all__ = ["split_address"]


def split_address(address: str) -> tuple[Path, str | None]:
    """``file.py:Name`` as a path and a name; the name is None where only the file is given."""
    file, colon, name = address.rpartition(":")
    if colon and file.endswith(".py"):
        return Path(file), name or None
    return Path(address), None
