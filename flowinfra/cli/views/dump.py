"""Artifacts as text."""

from __future__ import annotations

from flowinfra.cli.console import Console
from flowinfra.control.dumping import Dumped, DumpedTask

__all__ = ["dumped_text"]


def dumped_text(task: DumpedTask, console: Console) -> str:
    """The artifacts of one task: a line each, the lines of a longer text below its name."""
    head = console.style(task.pathspec, "bold")
    if task.artifacts is None:
        return f"{head}  {console.style('has not ended well', 'yellow')}\n"
    return "\n".join([head, *(_artifact(artifact, console) for artifact in task.artifacts)]) + "\n"


def _artifact(artifact: Dumped, console: Console) -> str:
    name = f"  {console.style(artifact.name, 'cyan')}"
    text = artifact.text
    if not artifact.whole:
        cut = console.style(f"  [{artifact.type}, {artifact.codec}, {artifact.size:,} bytes]", "dim")
        return f"{name} = {' '.join(text.split())}{cut}"
    if "\n" in text:
        return "\n".join([f"{name}:", *(f"    {line}" for line in text.splitlines())])
    return f"{name} = {text}"
