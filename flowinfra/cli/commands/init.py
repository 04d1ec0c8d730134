"""``init``: a new project."""

from __future__ import annotations

from pathlib import Path

import click

from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.options import command

__all__ = ["init"]


@click.command()
@click.argument("name", required=False)
@command
def init(console: Console, cwd: Path, name: str | None) -> Exit:
    """Start a project in this folder: a small flow, and the program that deploys it.

    NAME is the project's name; by default the folder's. Nothing is overwritten.
    """
    from flowinfra.control.newproject import DEPLOYMENT, FLOW_FILE, create_project, project_name

    project = project_name(name, cwd)
    made = create_project(cwd, project)
    commands = [
        (f"python {FLOW_FILE} run --batches 4", "run the flow from here"),
        ("flowinfra preview", "what would be deployed"),
        ("flowinfra up", "deploy it on this machine"),
        (f"flowinfra trigger {DEPLOYMENT} --wait", "start a run of what is deployed"),
    ]
    if console.as_json:
        console.document({"project": project, "made": made, "next": [line for line, _ in commands]})
        return Exit.OK
    console.note(f"made the project {console.style(project, 'bold')}")
    for path in made:
        console.note(f"  {path}")
    console.note("\nnext:")
    width = max(len(line) for line, _ in commands)
    for line, why in commands:
        console.note(f"  {line:<{width}}  {console.style(f'# {why}', 'dim')}")
    return Exit.OK
