"""``drift``: what was changed past the program, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.options import command, stack_options

if TYPE_CHECKING:
    from flowinfra.control.stacks import OpenStack
    from flowinfra.model.plan import Plan

__all__ = ["drift"]

_ADDRESS = "ADDRESS[:PROPERTY]"


@click.command()
@stack_options
@click.option("--adopt", "adopts", multiple=True, metavar=_ADDRESS, help="Take it into the state; may be repeated.")
@click.option(
    "--revert", "reverts", multiple=True, metavar=_ADDRESS, help="Put back what is recorded; may be repeated."
)
@click.option(
    "--engine",
    type=click.Choice(["embedded", "pulumi"]),
    help="The engine, for this time; by default what the stack's settings say.",
)
@click.option(
    "--expect-no-changes", is_flag=True, help="Exit with 7 if there is drift; what is the operator's does not count."
)
@click.option("--markdown", is_flag=True, help="Print Markdown, for a comment or a ticket.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@command
def drift(
    console: Console,
    cwd: Path,
    stack: str | None,
    adopts: tuple[str, ...],
    reverts: tuple[str, ...],
    engine: str | None,
    expect_no_changes: bool,
    markdown: bool,
    yes: bool,
) -> Exit:
    """Show what was changed past the program: recorded, actual, and who may change it.

    ADDRESS is a URN, FLOW/DEPLOYMENT, or the name of a resource. What is adopted is in the state and not in the
    program: the next `up` puts it back unless it is written there, except for what is the operator's.
    """
    from flowinfra.control.drift import drift as find
    from flowinfra.control.drift import is_wrong
    from flowinfra.control.stacks import open_stack
    from flowinfra.diagnostics import ConfigurationError, error

    both = sorted(set(adopts) & set(reverts))
    if both:
        raise ConfigurationError(
            error("FI684", f"{', '.join(both)}: adopted and reverted at once", hint="give it to one of the two options")
        )
    opened = open_stack(cwd, stack, engine=engine)
    plan = find(opened)
    if adopts or reverts:
        return _settle(console, opened, plan, adopts, reverts, yes)
    _show(console, plan, markdown)
    return Exit.CHANGES if expect_no_changes and is_wrong(plan) else Exit.OK


def _settle(
    console: Console, opened: OpenStack, plan: Plan, adopts: tuple[str, ...], reverts: tuple[str, ...], yes: bool
) -> Exit:
    from flowinfra.cli.views.drift import adopted_text, reverted_text
    from flowinfra.control.drift import adopt, choose, revert

    taken, put_back = choose(plan, adopts), choose(plan, reverts)
    if not yes:
        if not console.as_json:
            _show(console, plan, markdown=False)
        names = ", ".join([*(f"adopt {name}" for name in adopts), *(f"revert {name}" for name in reverts)])
        if not console.confirm(f"{names[0].upper()}{names[1:]}?"):
            if console.as_json:
                console.document({"adopted": [], "reverted": []})
            console.note("nothing was changed; --yes answers without asking")
            return Exit.CANCELLED
    if taken:
        adopt(opened, taken)
    if put_back:
        revert(opened, put_back)
    if console.as_json:
        console.document(
            {
                key: [{"address": c.change.address, "properties": [f.to_json() for f in c.chosen]} for c in choices]
                for key, choices in (("adopted", taken), ("reverted", put_back))
            }
        )
    else:
        console.data("".join([adopted_text(taken) if taken else "", reverted_text(put_back) if put_back else ""]))
    return Exit.OK


def _show(console: Console, plan: Plan, markdown: bool) -> None:
    from flowinfra.cli.views.drift import drift_markdown, drift_text
    from flowinfra.cli.views.findings import findings_text

    if console.as_json:
        console.document(plan.to_json())
        return
    said = findings_text(plan.findings, console)
    if said:
        console.note(said + "\n")
    if markdown:
        console.data(drift_markdown(plan))
    else:
        console.data(drift_text(plan, console))
