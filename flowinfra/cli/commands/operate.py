"""``trigger``, ``runs`` and ``logs``: starting runs of what is deployed, and reading what has run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowinfra.cli.arguments import own_options, parameter_texts, parameter_values, separate, shadowed
from flowinfra.cli.commands.flows import duration_seconds, state_exit
from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.options import command, stack_options

if TYPE_CHECKING:
    from flowinfra.authoring.flowspec import FlowSpec
    from flowinfra.control.operate import DeployedFlow
    from flowinfra.model.states import RunState

__all__ = ["logs", "make_logs", "make_runs", "runs", "trigger"]

_STATES = ("pending", "running", "succeeded", "failed", "timed_out", "stopped", "unknown")


class _Trigger(click.Command):
    """A command with the parameters of a deployment among its options."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", "DEPLOYMENT", "[PARAMETERS]"]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        parts = separate(args, own_options(self.get_params(ctx)))
        left = super().parse_args(ctx, list(parts.ours))
        if parts.subject is None and not ctx.resilient_parsing:
            raise click.UsageError("Missing argument 'DEPLOYMENT'.", ctx)
        ctx.params.update(deployment=parts.subject, rest=parts.rest, ours=tuple(parts.ours))
        return left


@click.command(cls=_Trigger)
@stack_options
@click.option("--param", "-p", multiple=True, metavar="NAME=VALUE", help="A parameter; also as --NAME VALUE.")
@click.option("--tag", "tags", multiple=True, metavar="TEXT", help="Tag the run; may be repeated.")
@click.option("--wait", "-w", "waits", is_flag=True, help="Wait for the end, and show the result.")
@click.option("--timeout", metavar="DURATION", help="With --wait: how long, e.g. 90s or 2h; exits with 9 then.")
@command
def trigger(console: Console, cwd: Path, **given: Any) -> Exit:
    """Start a run of a deployment and print its id.

    DEPLOYMENT is Flow/name, or one of the two where only one deployment fits. Parameters are given as --NAME VALUE and
    checked against what is deployed. A paused deployment can be started too: what is paused is what starts by itself.
    """
    from flowinfra.cli.views.diagnostics import as_text
    from flowinfra.control.operate import find_deployment

    found = find_deployment(given["deployment"], start=cwd, stack=given["stack"])
    kinds = {p["name"]: p["type"] for p in found.parameters()}
    written = parameter_texts(given["rest"], kinds, given["param"])
    timeout = duration_seconds(given["timeout"], "--timeout")

    def values(declared: Sequence[Mapping[str, Any]], recorded: Mapping[str, Any], flow: str) -> Mapping[str, Any]:
        return parameter_values(declared, written, flow, options=own_options(trigger.params), recorded=recorded)

    warnings = shadowed(given["ours"], kinds)
    if warnings and not console.as_json:
        console.note(as_text(warnings, console))
    run = found.trigger(values, tags=given["tags"])
    if not console.as_json:
        _say_paused(console, found)
    if given["waits"]:
        return _wait(console, found, run, timeout)
    if console.as_json:
        started = {"flow": found.flow, "run": run, "pathspec": f"{found.flow}/{run}", "state": "pending"}
        console.document({**started, "paused": found.deployed.deployment.paused})
    else:
        console.data(run)
        console.note(f"next: flowinfra logs {found.flow}/{run} --follow")
    return Exit.OK


def _say_paused(console: Console, found: DeployedFlow) -> None:
    from flowinfra.cli.views.deployment import paused_words

    if found.deployed.deployment.paused:
        console.note(
            f"note: {found.full_name} is paused{paused_words(found.deployed)}; this run was started all the same"
        )


def _wait(console: Console, found: DeployedFlow, run: str, timeout: float | None) -> Exit:
    from flowinfra.cli.views.runs import run_json, waited_text
    from flowinfra.control.client import Run
    from flowinfra.control.operate import Watch
    from flowinfra.control.place import Address, Place
    from flowinfra.control.report import report_run

    pathspec = f"{found.flow}/{run}"
    place = Place(found.orchestrator.home, found.orchestrator.store)
    try:
        if not console.as_json:
            console.data(run)
            console.note(f"{pathspec} started")
        with Watch(place, found.flow, run, lambda step: None if console.as_json else console.note(f"  {step}")):
            record = found.wait(run, timeout)
    except KeyboardInterrupt:
        console.note(f"\nthe run goes on: flowinfra show {pathspec}")
        return Exit.CANCELLED
    report = report_run(Run(Address(place, (found.flow, run))), place.store)
    if console.as_json:
        console.document(run_json(report))
    else:
        text, result = waited_text(report, console)
        console.note(text)
        if result:
            console.data(result)
    return state_exit(report.line.state.value) if record.ended else Exit.TIMEOUT


def make_runs(flow: type[FlowSpec] | None = None) -> click.Command:
    """The command ``runs``."""

    @click.command("runs")
    @click.argument("which", metavar="[DEPLOYMENT]" if flow else "[FLOW|FLOW/DEPLOYMENT]", required=False)
    @click.option("--stack", "-s", metavar="TEXT", help="Only those of this stack's deployments; by default all.")
    @click.option("--limit", "-n", type=click.IntRange(min=1), default=20, show_default=True, help="How many.")
    @click.option("--state", "states", multiple=True, type=click.Choice(_STATES), help="Only these; may be repeated.")
    @click.option("--tag", "tags", multiple=True, metavar="TEXT", help="Only those with this tag; may be repeated.")
    @command
    def runs(
        console: Console,
        which: str | None,
        stack: str | None,
        limit: int,
        states: tuple[str, ...],
        tags: tuple[str, ...],
    ) -> Exit:
        """List runs, newest first."""
        from flowinfra.cli.views.runs import line_json, lines_text
        from flowinfra.control.find import newest_runs
        from flowinfra.control.place import Place
        from flowinfra.control.report import list_runs
        from flowinfra.model.states import RunState

        place = Place.open()
        name, deployment = _selected(flow, which)
        wanted: list[RunState] = [RunState(state) for state in states]
        found = list_runs(
            newest_runs(place, _known_flows(place, name)),
            limit=limit,
            states=wanted,
            deployment=deployment,
            stack=stack,
            tags=tags,
        )
        if console.as_json:
            console.document([line_json(line) for line in found])
        elif found:
            console.data(lines_text(found, console))
        else:
            console.note(
                "no such run"
                if which or stack or states or tags
                else "nothing has run here yet; next: flowinfra run FILE"
            )
        return Exit.OK

    return runs


def _selected(flow: type[FlowSpec] | None, which: str | None) -> tuple[str | None, str | None]:
    """The flow and the full name of the deployment that are meant."""
    if which is None:
        return (flow.__name__ if flow else None), None
    name, slash, deployment = which.partition("/")
    if flow is not None:
        return flow.__name__, f"{flow.__name__}/{deployment if slash else name}"
    return name, which if slash else None


def _known_flows(place: Any, name: str | None) -> list[str] | None:
    from flowinfra.control import missing

    if name is None:
        return None
    flows = place.flows()
    if name not in flows:
        raise missing.NoSuchKey(missing.no_flow(name, place.store.url, flows))
    return [name]


def make_logs(flow: type[FlowSpec] | None = None) -> click.Command:
    """The command ``logs``."""

    @click.command("logs")
    @click.argument("run", required=False)
    @click.option("--step", help="Of this step only.")
    @click.option("--task", help="Of this task only.")
    @click.option("--attempt", type=click.IntRange(min=0), help="Of this attempt only, counted from 0.")
    @click.option(
        "--stream", type=click.Choice(["out", "err", "both"]), default="both", show_default=True, help="Of this stream."
    )
    @click.option("--follow", "-f", is_flag=True, help="Go on until the run has ended.")
    @command
    def logs(console: Console, run: str | None, stream: str, follow: bool, **given: Any) -> Exit:
        """Show what the tasks of a run printed; without RUN, of the newest one.

        RUN is a run's id, Flow/run, or the pathspec of a step or task of it.
        """
        from flowinfra.cli.views.runs import log_json, log_text
        from flowinfra.control import missing
        from flowinfra.control.find import find_run, whole_pathspec
        from flowinfra.control.logs import Selection, read_logs
        from flowinfra.control.place import Place

        place, name = Place.open(), flow.__name__ if flow else None
        named = whole_pathspec(run or "", flow=name, place=place)
        if named.count("/") > 3:
            raise missing.NoSuchKey(missing.bad_pathspec(named, "Flow/run/step/task"))
        found = find_run(run, flow=name, place=place)
        _, _, step, task = [*named.split("/"), None, None, None, None][:4]
        selection = Selection(
            given["step"] or step,
            given["task"] or task,
            given["attempt"],
            ("out", "err") if stream == "both" else ("err",) if stream == "err" else ("out",),
        )
        lines = read_logs(found, place, selection, follow=follow)
        if console.as_json:
            console.document([log_json(line) for line in lines])
            return Exit.OK
        for line in lines:
            console.data(log_text(line, console) + "\n")
        return Exit.OK

    return logs


runs = make_runs()
logs = make_logs()
