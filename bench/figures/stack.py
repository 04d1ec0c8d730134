"""The example as a user deploys it: preview, up, and up again."""

from __future__ import annotations

import ast
import hashlib
import shutil
from pathlib import Path

from bench.measure import ROOT, BenchError, Context, Figure, Result, bare, median, python, run, timed

STACK = ("--stack", "dev")
# What a stack program and a flow file have because they are ours, as against what the flow itself needs.
OURS = {"flowinfra", "pulumi", "__future__"}


def project(context: Context) -> Path:
    """A copy of the example, as a fresh clone has it."""
    folder = context.scratch / "project"
    folder.mkdir()
    settings = sorted(ROOT.glob("Pulumi*.yaml"))
    if not settings:
        raise BenchError("there is no Pulumi.yaml")
    for file in settings:
        shutil.copy(file, folder)
    shutil.copytree(ROOT / "stacks", folder / "stacks", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def foreign_imports(folder: Path) -> list[str]:
    """The packages that the example's files import at their top and that are neither ours nor its own."""
    files = sorted((folder / "stacks").rglob("*.py"))
    own = {file.stem for file in files} | {path.name for path in (folder / "stacks").rglob("*") if path.is_dir()}
    found: set[str] = set()
    for file in files:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return sorted(name for name in found if name.partition(".")[0] not in OURS | own)


def preview(context: Context) -> Result:
    folder = project(context)
    command = [context.command, "preview", *STACK]
    imports = foreign_imports(folder)
    source = f"import {', '.join(imports)}" if imports else "pass"
    run(command, cwd=folder)
    rounds = [(timed(command, cwd=folder), python(source, cwd=folder), bare(folder)) for _ in range(context.runs)]
    whole, with_imports, floor = (median(column) for column in zip(*rounds, strict=True))
    own = max(with_imports - floor, 0.0)
    seconds = whole - own
    return Result(f"{seconds:.2f} s", floor, seconds <= 1.0, f"{whole:.2f} s less {own:.3f} s for {', '.join(imports)}")


def state_of(folder: Path) -> dict[str, tuple[str, int]]:
    """Content and time of every file of the project, so that rewriting the same bytes shows too."""
    return {
        str(file.relative_to(folder)): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }


def unchanged_up(context: Context) -> Result:
    folder = project(context)
    command = [context.command, "up", *STACK, "--yes"]
    first = timed(command, cwd=folder)
    before = state_of(folder)
    pairs = [(timed(command, cwd=folder), bare(folder)) for _ in range(context.runs)]
    after = state_of(folder)
    touched = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    seconds = median(one for one, _ in pairs)
    told = f"{seconds:.2f} s, " + (f"wrote {', '.join(touched[:4])}" if touched else "nothing written")
    detail = f"{len(before)} files compared by content and time; the first up took {first:.2f} s"
    return Result(told, median(two for _, two in pairs), seconds < 2 and not touched, detail)


FIGURES = (
    Figure("preview", "preview of the example, less what its flow itself imports", "at most 1.0 s", preview),
    Figure("up", "`up` without a change", "under 2 s, no file written", unchanged_up),
)
