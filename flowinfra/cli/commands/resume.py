"""``resume``: go on with a run that has failed; and, given a deployment, let it start again after a pause."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowinfra.cli.commands import flows, pause
from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.options import command

if TYPE_CHECKING:
    from flowinfra.authoring.flowspec import FlowSpec
    from flowinfra.runtime.workers import Workers

__all__ = ["make_resume", "resume"]


def make_resume(flow: type[FlowSpec] | None = None) -> click.Command:
    """The command ``resume`` for runs."""

    @click.command("resume", cls=flows.GoesOn)
    @flows.file_argument(flow)
    @click.argument("step", required=False, metavar="[STEP]")
    @click.option("--origin-run-id", metavar="RUN", help="The run to resume (default: the flow's newest).")
    @click.option("--rerun-changed", is_flag=True, help="Run steps whose code has changed, and all behind them, again.")
    @flows.run_options
    @command
    def resume(console: Console, cwd: Path, **given: Any) -> Exit:
        """Go on with a run that has failed: a new run, which takes over what the other one has done.

        Finished tasks are taken over without being run or copied, with STEP only those before it. What is left runs the
        code as it stands here, with the parameters of the run that is resumed.
        """
        return _resume(console, cwd, flows.resumable(flow, given.get("file")), given)

    return resume


def _resume(console: Console, cwd: Path, flow: type[FlowSpec], given: dict[str, Any]) -> Exit:
    # Before anything else is imported: tasks are copies of this process as it is now.
    from flowinfra.runtime.workers import prepare_workers

    with prepare_workers() as workers:
        return _resume_with(console, cwd, flow, workers, given)


def _resume_with(console: Console, cwd: Path, flow: type[FlowSpec], workers: Workers, given: dict[str, Any]) -> Exit:
    from flowinfra.control.configs import as_in_run
    from flowinfra.control.decospecs import decorate
    from flowinfra.control.resuming import prepare_resume

    flow = as_in_run(flow, given["origin_run_id"], start=cwd)
    decorate(flow, given["specs"])
    direct = prepare_resume(
        flow,
        flows.options_of(given),
        origin_run_id=given["origin_run_id"],
        step_to_rerun=given["step"],
        rerun_changed=given["rerun_changed"],
        start=cwd,
    )
    return flows.carry_out(console, direct, workers, given)


class _Either(click.Command):
    """``resume FILE`` goes on with a run, ``resume FLOW/DEPLOYMENT`` with a deployment that was paused."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        words = [word for word in args if not word.startswith("-")]
        deployment = bool(words) and not any(flows.is_file(word) for word in words)
        chosen = pause.resume if deployment else self._of_runs
        return chosen.make_context(info_name, args, parent, **extra)

    @property
    def _of_runs(self) -> click.Command:
        made = make_resume()
        made.epilog = "`resume FLOW/DEPLOYMENT` lets a paused deployment start again: `resume FLOW/DEPLOYMENT --help`."
        return made


resume = _Either("resume")
