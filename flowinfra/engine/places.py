"""Where in the source a resource is registered, as the SDK says it with every registration."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

__all__ = ["file_of", "place_of", "place_of_registration"]

_OWN: Final = Path(__file__).resolve().parents[1]


def place_of_registration(request: Any, project_dir: Path) -> str:
    """``file:line`` of a ``RegisterResourceRequest`` or ``ReadResourceRequest`` for people; empty if it is not known.

    That is the innermost line of the project itself, relative to *project_dir*.
    """
    root = Path(os.path.realpath(project_dir))
    frames: Iterable[Any] = [f.pc for f in request.stackTrace.frames] or [request.sourcePosition]
    for position in frames:
        path = file_of(position.uri)
        if path is None or "site-packages" in path.parts or path.is_relative_to(_OWN):
            continue
        if path.is_relative_to(root):
            return f"{path.relative_to(root).as_posix()}:{position.line}"
    path = file_of(request.sourcePosition.uri)
    known = path is not None and "site-packages" not in path.parts
    return f"{path}:{request.sourcePosition.line}" if known else ""


def place_of(position: str, project_dir: Path) -> str:
    """``file:line`` out of a position in the state (``project:///file#line``); empty for what authors did not write."""
    path, _, line = position.removeprefix("project:///").partition("#")
    if not line or "site-packages" in path or (_OWN.name in path and _is_own(path, project_dir)):
        return ""
    return f"{path}:{line.partition(',')[0]}"


def _is_own(path: str, project_dir: Path) -> bool:
    return Path(os.path.realpath(project_dir / unquote(path))).is_relative_to(_OWN)


def file_of(uri: str) -> Path | None:
    """The file of a ``file:///`` URI."""
    return Path(unquote(urlsplit(uri).path)) if uri.startswith("file:///") else None
