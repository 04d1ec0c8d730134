"""What the import walk and the bundle find wrong with a flow's files, worded in one place."""

from __future__ import annotations

import sys
from pathlib import Path

from flowinfra.diagnostics import Diagnostic, Source, error, warning

__all__ = [
    "beyond_top",
    "computed_import",
    "leaving_link",
    "missing_module",
    "not_importable",
    "shown",
    "unparsable",
    "unreadable",
]


def shown(path: Path) -> str:
    """*path* as a message names it: relative to the current folder if it lies in it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def not_importable(file: Path, root: Path, why: str) -> Diagnostic:
    """FI437: the flow *file* has no name under *root*."""
    return error(
        "FI437",
        f"{shown(file)} cannot be imported from {shown(root)}: {why}",
        detail="The task program imports the flow by its name, which comes from the path below that folder.",
        hint="give a root that the file lies under, and a file name such as census.py",
        source=Source(str(file.absolute())),
    )


def leaving_link(root: Path, link: str, target: str) -> Diagnostic:
    """FI430: *link*, relative to *root*, leads to *target* outside of it."""
    return error(
        "FI430",
        f"{link} is a link that leaves {shown(root)}: it leads to {target}",
        detail="A bundle holds only what lies in its folder, so that it is the same for everyone who makes it.",
        hint="put a copy of the file there, or install what it belongs to as a package",
        source=Source(str(root / link)),
    )


def unreadable(file: Path, exc: OSError) -> Diagnostic:
    """FI436: *file* is needed and cannot be read."""
    return error(
        "FI436",
        f"{shown(file)} cannot be read: {exc.strerror or exc}",
        hint="make the file readable, or remove what refers to it",
        source=Source(str(file.absolute())),
    )


def beyond_top(source: Source, level: int) -> Diagnostic:
    """FI433: a relative import leads above the root."""
    return error(
        "FI433",
        f"a relative import with {level} dot{'s' if level > 1 else ''} leads above the flow's root",
        detail="Python refuses it too: relative imports work inside packages only.",
        hint="import the module by its name from the root, or give a root further up",
        source=source,
    )


def missing_module(name: str, folder: str, compiled: str | None, source: Source) -> Diagnostic:
    """FI433, or FI434 where a *compiled* module is what is there: own module *name* cannot be bundled."""
    if compiled:
        return error(
            "FI434",
            f"the module {name} is a compiled one ({compiled})",
            detail="It runs on one kind of machine only, so no bundle holds it.",
            hint="install it as a package in the environment that the step runs in",
            source=source,
        )
    return error(
        "FI433",
        f"the module {name} is imported but not there",
        detail=f"Neither a module nor a package of that name lies in {folder or 'the root'}.",
        hint="correct the name, add the file, or wrap the import in try/except ImportError if the flow can do without it",
        source=source,
    )


def computed_import(source: Source) -> Diagnostic:
    """FI435: a module is imported by a name that only running the flow would tell; a warning."""
    return warning(
        "FI435",
        "an import whose module is computed cannot be followed",
        detail="If the module is one of the flow's own, it is missing from the bundle and from the step's digest.",
        hint='write the name out (import_module("name")), or import the module somewhere in the flow',
        source=source,
    )


def unparsable(file: Path, exc: Exception) -> Diagnostic:
    """FI432: *file* is no Python that this interpreter reads."""
    line = (exc.lineno or 0) if isinstance(exc, SyntaxError) else 0
    why = exc.msg if isinstance(exc, SyntaxError) else str(exc) or "it is nested too deeply"
    return error(
        "FI432",
        f"{shown(file)} cannot be parsed: {why}",
        detail=f"It is one of the flow's own modules; Python {sys.version_info[0]}.{sys.version_info[1]} read it.",
        hint="correct the file, or remove the import that leads to it",
        source=Source(str(file.absolute()), line),
    )
