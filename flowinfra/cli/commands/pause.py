"""``pause`` and ``resume``: what operators may change in a deployment past the program."""

from __future__ import annotations

from pathlib import Path

import click

from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.options import command, stack_options

__all__ = ["pause", "resume"]

_authorize = click.option(
    "--authorize", metavar="TOKEN", help="The production token, where another project owns the deployment."
)


@click.command()
@click.argument("deployment", metavar="FLOW/DEPLOYMENT")
@stack_options
@click.option("--reason", default="", metavar="TEXT", help="Why; shown to whoever looks at the deployment.")
@_authorize
@command
def pause(console: Console, cwd: Path, deployment: str, stack: str | None, reason: str, authorize: str | None) -> Exit:
    """Let nothing start runs of a deployment by itself; runs go on, and `trigger` still starts one.

    It stays so through every `up`, until `resume`, or until the program changes what it says about `paused` itself.
    """
    return _set(console, cwd, deployment, True, stack, reason, authorize)


@click.command()
@click.argument("deployment", metavar="FLOW/DEPLOYMENT")
@stack_options
@click.option("--reason", default="", metavar="TEXT", help="Why, where the program says paused.")
@_authorize
@command
def resume(console: Console, cwd: Path, deployment: str, stack: str | None, reason: str, authorize: str | None) -> Exit:
    """Let a paused deployment start again."""
    return _set(console, cwd, deployment, False, stack, reason, authorize)


def _set(
    console: Console, cwd: Path, name: str, paused: bool, stack: str | None, reason: str, authorize: str | None
) -> Exit:
    from flowinfra.cli.views.deployment import deployment_json, paused_text
    from flowinfra.control import pausing

    done = pausing.pause(name, paused, reason=reason, authorize=authorize, start=cwd, stack=stack)
    if console.as_json:
        console.document({**deployment_json(done.deployed), "changed": done.changed})
    else:
        console.data(paused_text(done, console))
    return Exit.OK
