"""``state``: the state of a stack as a file, and putting right what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.groups import NearestGroup
from flowinfra.cli.options import command, stack_options
from flowinfra.control.files import write_file

if TYPE_CHECKING:
    from flowinfra.control.recovery import Repair, StoredState

__all__ = ["state"]

_file = click.option("--file", "-f", "file", type=click.Path(path_type=Path), help="The file.")
_yes = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


@click.group(cls=NearestGroup)
def state() -> None:
    """Export, import and repair the state of a stack. The files are those of `pulumi stack export` and `import`."""


@state.command("export")
@stack_options
@_file
@click.option("--show-secrets", is_flag=True, help="Write secrets as they are.")
@command
def state_export(console: Console, cwd: Path, stack: str | None, file: Path | None, show_secrets: bool) -> Exit:
    """Write the state to --file, or print it."""
    document = _open(cwd, stack).export(show_secrets=show_secrets)
    if file is None:
        console.document(document)
        return Exit.OK
    write_file(file, json.dumps(document, indent=4, ensure_ascii=False).encode() + b"\n", private=show_secrets)
    resources = len(document["deployment"].get("resources", []))
    if console.as_json:
        console.document({"file": str(file), "resources": resources})
    else:
        console.note(f"wrote {resources} resources to {file}")
    return Exit.OK


@state.command("import")
@stack_options
@click.option("--file", "-f", "file", type=click.Path(path_type=Path), required=True, help="The file.")
@click.option(
    "--force",
    is_flag=True,
    help="Also if its resources do not fit together, its secrets cannot be opened or the present state is damaged.",
)
@_yes
@command
def state_import(console: Console, cwd: Path, stack: str | None, file: Path, force: bool, yes: bool) -> Exit:
    """Make what --file holds the state. The present one is kept among the backups; nothing is deployed or deleted."""
    stored = _open(cwd, stack)
    found = len(stored.examine(file, force=force).resources)
    asked = f"Replace the state of {stored.ref.project}/{stored.ref.stack} by that in {file} ({found} resources)?"
    if not yes and not console.confirm(asked):
        return _declined(console, {"imported": None})
    done = stored.restore(file, force=force)
    if console.as_json:
        console.document({"imported": done.resources, "replaced": done.replaced, "warnings": list(done.warnings)})
        return Exit.OK
    for text in done.warnings:
        console.note(f"warning: {text}")
    console.note(f"imported {done.resources} resources; there were {done.replaced}. next: flowinfra preview")
    return Exit.OK


@state.command("repair")
@stack_options
@_yes
@command
def state_repair(console: Console, cwd: Path, stack: str | None, yes: bool) -> Exit:
    """Look for what is wrong with the state, say what would be done about it, ask, and do it."""
    stored = _open(cwd, stack)
    plan = stored.diagnose()
    if not console.as_json:
        console.data(_text(plan) or "nothing is wrong with the state")
    if not plan.possible:
        if console.as_json:
            console.document({"found": _steps(plan), "repaired": False, "left": _steps(plan)})
        return Exit.RESOURCE if plan.steps else Exit.OK
    if not yes and not console.confirm("Repair it?"):
        return _declined(console, {"found": _steps(plan), "repaired": False, "left": _steps(plan)})
    left = stored.repair(plan)
    if console.as_json:
        console.document({"found": _steps(plan), "repaired": True, "left": _steps(left)})
    else:
        console.note("repaired" if not left.steps else f"repaired; what is left:\n{_text(left)}")
    return Exit.RESOURCE if left.steps else Exit.OK


def _declined(console: Console, document: dict[str, object]) -> Exit:
    if console.as_json:
        console.document(document)
    console.note("nothing was changed; --yes answers without asking")
    return Exit.CANCELLED


def _text(plan: Repair) -> str:
    return "\n".join(f"- {s.what}\n    {s.remedy or s.hint or 'nothing can be done about it here'}" for s in plan.steps)


def _steps(plan: Repair) -> list[dict[str, str]]:
    return [{"kind": s.kind, "what": s.what, "remedy": s.remedy, "hint": s.hint} for s in plan.steps]


def _open(cwd: Path, stack: str | None) -> StoredState:
    from flowinfra.control.recovery import StoredState

    return StoredState.open(cwd, stack)
