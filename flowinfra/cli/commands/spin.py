"""``spin``: one task once more, from what a run has recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowinfra.cli.commands import flows
from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.options import command

if TYPE_CHECKING:
    from flowinfra.authoring.flowspec import FlowSpec
    from flowinfra.runtime.workers import Workers

__all__ = ["make_spin", "spin"]


def make_spin(flow: type[FlowSpec] | None = None) -> click.Command:
    """The command ``spin``."""

    @click.command("spin", cls=flows.GoesOn)
    @flows.file_argument(flow)
    @click.argument("step")
    @click.option("--run", "origin", metavar="RUN", help="The run whose inputs it gets (default: the flow's newest).")
    @click.option(
        "--task", metavar="ID", help="Which task of the step, e.g. 0.2 (default: the one that failed, or the first)."
    )
    @flows.run_options
    @command
    def spin(console: Console, cwd: Path, step: str, **given: Any) -> Exit:
        """Run one task of a step again, as its code is now, with the inputs that a run has recorded.

        It gets a run of its own, which no list shows; nothing of the recorded run changes.
        """
        return _spin(console, cwd, flows.resumable(flow, given.get("file")), step, given)

    return spin


def _spin(console: Console, cwd: Path, flow: type[FlowSpec], step: str, given: dict[str, Any]) -> Exit:
    # Before anything else is imported: tasks are copies of this process as it is now.
    from flowinfra.runtime.workers import prepare_workers

    with prepare_workers() as workers:
        return _spin_with(console, cwd, flow, step, workers, given)


def _spin_with(
    console: Console, cwd: Path, flow: type[FlowSpec], step: str, workers: Workers, given: dict[str, Any]
) -> Exit:
    from flowinfra.control.configs import as_in_run
    from flowinfra.control.decospecs import decorate
    from flowinfra.control.spinning import prepare_spin

    flow = as_in_run(flow, given["origin"], start=cwd)
    decorate(flow, given["specs"])
    direct = prepare_spin(flow, step, flows.options_of(given), origin=given["origin"], task=given["task"], start=cwd)
    return flows.carry_out(console, direct, workers, given)


spin = make_spin()
