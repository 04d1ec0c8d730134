"""Files that are no modules: those a flow asks for by pattern, those that are never packed, and why the rest stays out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from flowinfra.diagnostics import Diagnostic, PackagingError, error, raise_errors
from flowinfra.sources.findings import leaving_link, unreadable
from flowinfra.sources.walk import folder_or_file, link_out_of

__all__ = ["LeftOut", "is_secret", "left_out", "requested"]

#: File names that stand for keys, passwords and tokens; compared in lower case.
_SECRET: Final = (
    ".env",
    ".env.*",
    "*.env",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "*.ppk",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    "credentials",
    "credentials.json",
    "credentials.y*ml",
    "credentials.csv",
    "client_secret*.json",
    "service-account*.json",
    "secrets.json",
    "secrets.toml",
    "secrets.y*ml",
    ".netrc",
    "_netrc",
    ".npmrc",
    ".pypirc",
    ".pgpass",
    ".htpasswd",
    ".git-credentials",
    ".dockercfg",
    ".dockerconfigjson",
    "kubeconfig",
    "passphrase",
    "*.tfstate",
)
#: Published parts and examples, which are there to be shared.
_HARMLESS: Final = ("*.pub", ".env.example", ".env.sample", ".env.template", ".env.dist")

_BYTE_CODE: Final = ("*.pyc", "*.pyo")
_WILD: Final = {"*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True, slots=True, order=True)
class LeftOut:
    """A file or a whole folder (its path ends with ``/``) that is no part of a bundle, and why."""

    path: str
    reason: str


def is_secret(name: str) -> bool:
    """Whether a file of that name is taken for a secret."""
    low = name.lower()
    return any(fnmatchcase(low, p) for p in _SECRET) and not any(fnmatchcase(low, p) for p in _HARMLESS)


def requested(root: Path, patterns: Sequence[str]) -> dict[str, bytes]:
    """The files below *root* that *patterns* ask for, by path.

    In a pattern ``*`` and ``?`` stay inside a folder, ``**`` crosses folders, and a folder stands for all in it. What
    Python makes by itself (byte code) never counts.

    Raises:
        PackagingError: all that is wrong at once: FI430, a link leaves the root; FI431, a file is taken for a secret; FI436,
            a file cannot be read; FI438, a pattern matches nothing or leads out of the root.
    """
    diagnostics: list[Diagnostic] = []
    contents: dict[str, bytes] = {}
    for pattern in patterns:
        try:
            matches = list(_matching(root, pattern))
        except OSError as exc:
            diagnostics.append(unreadable(Path(exc.filename or root), exc))
            continue
        if not matches:
            diagnostics.append(_no_match(pattern))
        for path in matches:
            if path in contents:
                continue
            if link := link_out_of(root, path):
                diagnostics.append(leaving_link(root, *link))
            elif is_secret(path.rsplit("/", 1)[-1]):
                diagnostics.append(_secret(path, pattern))
            else:
                try:
                    path.encode()
                    contents[path] = (root / path).read_bytes()
                except UnicodeEncodeError:
                    diagnostics.append(unreadable(root / path, OSError("its name is no UTF-8")))
                except OSError as exc:
                    diagnostics.append(unreadable(root / path, exc))
    raise_errors(diagnostics, PackagingError)
    return contents


def left_out(root: Path, packed: Collection[str], *, limit: int = 1000) -> tuple[LeftOut, ...]:
    """What lies below *root* and is not among the *packed* paths, and why; at most *limit* entries, in order.

    Folders that no flow keeps its code in (hidden ones, byte code, virtual environments) are one entry each and are not
    looked into.
    """
    found: list[LeftOut] = []
    for path in _files(root, "", pruned=found.append):
        if path not in packed:
            found.append(LeftOut(path, _reason(root, path)))
        if len(found) >= limit:
            break
    return tuple(sorted(found)[:limit])


def _reason(root: Path, path: str) -> str:
    name = path.rsplit("/", 1)[-1]
    if link_out_of(root, path):
        return "outside the root"
    if is_secret(name):
        return "secret-like name"
    if any(fnmatchcase(name, p) for p in _BYTE_CODE):
        return "byte code"
    return "not imported" if name.endswith(".py") else "not asked for"


def _pruned(folder: Path) -> str:
    """Why a folder is not looked into; empty if it is."""
    if folder.name == "__pycache__":
        return "byte code"
    if folder.name == "node_modules" or os.path.isfile(folder / "pyvenv.cfg"):
        return "installed packages"
    return "hidden folder" if folder.name.startswith(".") else ""


def _files(root: Path, start: str, pruned: Callable[[LeftOut], None] | None = None) -> Iterator[str]:
    """The paths of all files below the folder *start* of *root*, in order; a link that leaves the root counts as a file."""
    stack = [start]
    while stack:
        path = stack.pop()
        if path and not path.endswith("/"):
            yield path
            continue
        try:
            with os.scandir(root / path) as entries:
                kinds = {e.name: kind for e in entries if (kind := folder_or_file(e)) is not None}
        except OSError:
            if pruned is None:
                raise
            pruned(LeftOut(path, "cannot be read"))
            continue
        below: list[str] = []
        for name, is_folder in kinds.items():
            inside = f"{path}{name}"
            if not is_folder or link_out_of(root, inside):
                below.append(inside)
            elif why := _pruned(root / inside):
                if pruned:
                    pruned(LeftOut(f"{inside}/", why))
            elif not _leads_up(root / inside):
                below.append(f"{inside}/")
        stack += sorted(below, reverse=True)


def _leads_up(folder: Path) -> bool:
    """Whether *folder* is a link to one that it lies in itself."""
    return os.path.islink(folder) and folder.parent.resolve().is_relative_to(folder.resolve())


def _matching(root: Path, pattern: str) -> Iterator[str]:
    """The paths of the files that *pattern* asks for, in order."""
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or pattern.startswith("/"):
        return
    fixed = next((n for n, part in enumerate(parts) if _WILD.keys() & set(part)), len(parts))
    start = "/".join(parts[:fixed])
    if link_out_of(root, start) or (fixed == len(parts) and os.path.isfile(root / start)):
        yield start
    elif os.path.isdir(root / start):
        wanted = re.compile(_regex(parts))
        for path in _files(root, f"{start}/" if start else ""):
            if wanted.match(path) and not any(fnmatchcase(path, p) for p in _BYTE_CODE):
                yield path


def _regex(parts: Sequence[str]) -> str:
    out: list[str] = []
    for n, part in enumerate(parts):
        last = n == len(parts) - 1
        if part == "**":
            out.append("[^/]+" if last else "(?:[^/]+/)*")
        else:
            out.append("".join(_WILD.get(c) or re.escape(c) for c in part) + ("" if last else "/"))
    return "".join(out) + r"(?:/.*)?\Z"  # a folder stands for all in it


def _no_match(pattern: str) -> Diagnostic:
    return error(
        "FI438",
        f"no file matches {pattern!r}",
        detail="Patterns are relative to the flow's root and never lead out of it.",
        hint="correct the pattern, or take it away if the flow does not need the files",
    )


def _secret(path: str, pattern: str) -> Diagnostic:
    return error(
        "FI431",
        f"{path} looks like a secret and is not packed",
        detail=f"The pattern {pattern!r} asks for it. A bundle can be read by all who may read the store, and stays there.",
        hint="hand it to the step as a secret of its environment; if it is none, give the file another name or narrow the "
        "pattern",
    )
