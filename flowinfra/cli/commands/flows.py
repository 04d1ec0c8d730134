"""``run``, ``check``, ``graph`` and ``show``: what can be done with a flow file, and with what has run.

Each command is made by a function that takes a flow or None: with None its first argument is a flow file; with a flow
it is a command of that flow's own command line (``python flow.py run``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowinfra.authoring.loader import load_flow, split_address
from flowinfra.cli.arguments import (
    described,
    own_options,
    parameter_texts,
    parameter_values,
    parameters_of,
    separate,
    shadowed,
)
from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.options import Function, command
from flowinfra.diagnostics import FlowinfraError

if TYPE_CHECKING:
    from flowinfra.authoring.flowspec import FlowSpec
    from flowinfra.cli.views.run import Progress, Watcher
    from flowinfra.control.direct import DirectRun
    from flowinfra.runtime.workers import Workers

__all__ = [
    "check",
    "duration_seconds",
    "graph",
    "make_check",
    "make_graph",
    "make_run",
    "make_show",
    "run",
    "show",
    "state_exit",
]

_FILE = "FILE[:NAME]"


def make_run(flow: type[FlowSpec] | None = None) -> click.Command:
    """The command ``run``."""

    @click.command("run", cls=_FlowCommand)
    @click.option("--param", "-p", multiple=True, metavar="NAME=VALUE", help="A parameter; also as --NAME VALUE.")
    @click.option("--max-workers", type=click.IntRange(min=1), help="How many tasks run at once (default: 16).")
    @click.option("--tag", "tags", multiple=True, metavar="TEXT", help="Tag the run; may be repeated.")
    @click.option("--with", "specs", multiple=True, metavar="SPEC", help="Decorate every step, e.g. retry:times=2.")
    @click.option("--timeout", metavar="DURATION", help="Stop the run after this long, e.g. 90s or 2h.")
    @click.option("--run-id-file", type=click.Path(path_type=Path), help="Write the run's id into this file.")
    @click.option("--quiet", "-q", is_flag=True, help="Do not show what tasks print.")
    @command
    def run(console: Console, cwd: Path, **given: Any) -> Exit:
        """Run a flow on this machine, from its checkout.

        The run makes a release like a deployment, and is read like any other run; what its tasks import is the code as
        it stands here. Parameters are given as --NAME VALUE.
        """
        return _run(console, cwd, given)

    run.flow = flow
    return run


def make_check(flow: type[FlowSpec] | None = None) -> click.Command:
    """The command ``check``."""

    @click.command("check")
    @_file_argument(flow)
    @click.option("--files", is_flag=True, help="List what is packed, and what is left out and why.")
    @command
    def check(console: Console, files: bool, file: str | None = None) -> Exit:
        """Check a flow without running it: everything that is wrong, with its place and what to do."""
        from flowinfra.cli.views.flow import checked_json, checked_text, files_text
        from flowinfra.packaging.build import build
        from flowinfra.packaging.bundle import left_out
        from flowinfra.targets.base import check_target
        from flowinfra.targets.local import Local

        built = build(_flow(flow, file))
        found = [*built.diagnostics, *check_target(Local(), built.graph)]
        others = left_out(built.root, built.bundle) if files else ()
        if console.as_json:
            console.document(checked_json(built, found, others))
        else:
            _say(console, found)
            console.data(files_text(built, others, console) if files else "")
            console.data(checked_text(built, console))
        return Exit.OK

    return check


def make_graph(flow: type[FlowSpec] | None = None) -> click.Command:
    """The command ``graph``."""

    @click.command("graph")
    @_file_argument(flow)
    @click.option(
        "--format", "form", type=click.Choice(["text", "mermaid", "dot"]), default="text", help="How to draw it."
    )
    @command
    def graph(console: Console, form: str, file: str | None = None) -> Exit:
        """Draw a flow's graph; also of one that breaks rules, so that one can look at it."""
        from flowinfra.authoring.graph import located, read_graph
        from flowinfra.cli.views.diagnostics import as_json
        from flowinfra.compiler.check import check
        from flowinfra.compiler.draw import draw
        from flowinfra.diagnostics import AuthoringError, has_errors
        from flowinfra.packaging.build import source_of

        loaded = _flow(flow, file)
        root = source_of(loaded)[1]
        found_graph, found = read_graph(loaded, root=root)
        if found_graph is None:
            raise AuthoringError(found)
        found = [*found, *located(check(found_graph), root)]
        if console.as_json:
            console.document({**found_graph.to_json(), "diagnostics": as_json(found)})
        else:
            console.data(draw(found_graph, form))
            _say(console, found)
        return Exit.ERROR if has_errors(found) else Exit.OK

    return graph


def make_show(flow: type[FlowSpec] | None = None) -> click.Command:
    """The command ``show``."""

    @click.command("show")
    @click.argument("what", metavar="[RUN]" if flow else "FILE|RUN|DEPLOYMENT", required=flow is None)
    @command
    def show(console: Console, what: str | None) -> Exit:
        """Show a flow (its steps and parameters), a deployment, or a run: how it ended, and what it made.

        RUN is a run's id, Flow/run, or the pathspec of a step, a task or an artifact of it. A flow's name means its
        latest run. DEPLOYMENT is Flow/name.
        """
        if what is None or split_address(what)[0].suffix == ".py":
            return _show_flow(console, _flow(flow, what))
        if _show_deployment(console, what):
            return Exit.OK
        return _show_run(console, what, flow)

    return show


# -- arguments ------------------------------------------------------------------------------------------------------


class _FlowCommand(click.Command):
    """A command with the parameters of a flow among its options; its callback gets what only the flow can read."""

    flow: type[FlowSpec] | None = None

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", *([] if self.flow else [_FILE]), "[PARAMETERS]"]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        parts = separate(args, own_options(self.get_params(ctx)), is_subject=None if self.flow else _is_file)
        ctx.meta[__name__] = parts.subject
        left = super().parse_args(ctx, list(parts.ours))
        if self.flow is None and parts.subject is None and not ctx.resilient_parsing:
            raise click.UsageError(f"Missing argument '{_FILE}'.", ctx)
        ctx.params.update(flow=self.flow, file=parts.subject, rest=parts.rest, ours=tuple(parts.ours))
        return left

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        file: str | None = ctx.meta.get(__name__)
        try:
            flow = self.flow or (_flow(None, file) if file else None)
        except FlowinfraError:
            return  # the command itself says what is wrong
        parameters = list(parameters_of(flow).values()) if flow else []
        if flow and parameters:
            options = own_options(self.get_params(ctx))
            with formatter.section(f"Parameters of {flow.__name__}"):
                formatter.write_dl([described(p, options) for p in parameters])


def _is_file(word: str) -> bool:
    return word.partition(":")[0].endswith(".py")


def _file_argument(flow: type[FlowSpec] | None) -> Callable[[Function], Function]:
    return click.argument("file", metavar=_FILE) if flow is None else lambda function: function


def _flow(flow: type[FlowSpec] | None, address: str | None) -> type[FlowSpec]:
    if flow is not None:
        return flow
    file, name = split_address(address or "")
    return load_flow(file, name)


# -- running --------------------------------------------------------------------------------------------------------


def _run(console: Console, cwd: Path, given: Mapping[str, Any]) -> Exit:
    flow = _flow(given["flow"], given["file"])
    # Before anything else is imported: tasks are copies of this process as it is now.
    from flowinfra.runtime.workers import prepare_workers

    with prepare_workers() as workers:
        return _run_with(console, cwd, flow, workers, given)


def _run_with(console: Console, cwd: Path, flow: type[FlowSpec], workers: Workers, given: Mapping[str, Any]) -> Exit:
    from flowinfra.control.decospecs import decorate
    from flowinfra.control.direct import RunOptions, prepare_run
    from flowinfra.runtime.localrun import MAX_WORKERS

    kinds = {name: p.kind for name, p in parameters_of(flow).items()}
    written = parameter_texts(given["rest"], kinds, given["param"])
    options = RunOptions(
        max_workers=given["max_workers"] or MAX_WORKERS,
        tags=given["tags"],
        timeout_seconds=duration_seconds(given["timeout"], "--timeout"),
    )
    decorate(flow, given["specs"])

    def values(declared: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        return parameter_values(declared, written, flow.__name__, options=own_options(make_run().params))

    direct = prepare_run(flow, values, options, start=cwd)
    if not console.as_json:
        _say(console, [*direct.diagnostics, *shadowed(given["ours"], kinds)])
    if given["run_id_file"] is not None:
        _write(given["run_id_file"], direct.run)
    return _carry_out(console, direct, workers, output=not given["quiet"])


def _carry_out(console: Console, direct: DirectRun, workers: Workers, *, output: bool) -> Exit:
    from flowinfra.cli.views.run import Progress, ending_text, run_json

    flow = direct.built.flow
    progress = Progress(direct.steps)
    with _watcher(console, direct, progress, output) as watch:
        ended = direct.carry_out(workers, watch)
    if console.as_json:
        console.document(
            run_json(flow, direct.run, ended.state, ended.error, seconds=ended.seconds, release=direct.built.release)
        )
    else:
        console.note(ending_text(flow, direct.run, ended, progress, console))
    return state_exit(ended.state)


def _watcher(console: Console, direct: DirectRun, progress: Progress, output: bool) -> Watcher:
    import sys

    from flowinfra.cli.views.run import Lines, Silent

    if console.as_json:
        return Silent()
    title = f"{direct.built.flow} {direct.run}"
    if console.live():
        from flowinfra.cli.views.live import Screen

        return Screen(title, progress, color=console.colored(sys.stderr), output=output)
    console.note(f"{console.style(title, 'bold', stream=sys.stderr)} started")
    return Lines(console, progress, output=output)


def state_exit(state: str) -> Exit:
    """The exit code for how a run has ended."""
    return {"succeeded": Exit.OK, "stopped": Exit.CANCELLED, "timed_out": Exit.TIMEOUT}.get(state, Exit.ERROR)


def duration_seconds(text: str | None, option: str) -> float | None:
    """The duration that was given to *option*, in seconds.

    Raises:
        AuthoringError: FI131, it is none.
    """
    from flowinfra.authoring.settings import seconds_of
    from flowinfra.diagnostics import Source

    if text is None:
        return None
    return seconds_of(float(text) if text.replace(".", "", 1).isdigit() else text, option, Source(""))


def _write(file: Path, run: str) -> None:
    from flowinfra.diagnostics import ConfigurationError, error

    try:
        file.write_text(run, encoding="utf-8")
    except OSError as why:
        raise ConfigurationError(
            error("FI951", f"{file} cannot be written: {why.strerror}", hint="give --run-id-file another path")
        ) from why


# -- showing --------------------------------------------------------------------------------------------------------


def _show_flow(console: Console, flow: type[FlowSpec]) -> Exit:
    from flowinfra.authoring.graph import build_graph
    from flowinfra.cli.views.flow import flow_text
    from flowinfra.packaging.build import source_of

    found = build_graph(flow, root=source_of(flow)[1])
    if console.as_json:
        console.document(found.to_json())
    else:
        console.data(flow_text(found, console))
    return Exit.OK


def _show_deployment(console: Console, name: str) -> bool:
    """Show the deployments of this full name; whether there are any."""
    from flowinfra.control.pausing import deployments_called

    found = deployments_called(name)
    if found and console.as_json:
        from flowinfra.cli.views.deployment import deployment_json

        console.document(deployment_json(found[0]) if len(found) == 1 else [deployment_json(d) for d in found])
    elif found:
        from flowinfra.cli.views.deployment import deployment_text

        console.data("\n".join(deployment_text(d, console) for d in found))
    return bool(found)


def _show_run(console: Console, what: str, flow: type[FlowSpec] | None) -> Exit:
    from flowinfra.cli.views import runs as view
    from flowinfra.control.client import Run, Step, Task
    from flowinfra.control.find import find_node
    from flowinfra.control.place import Place
    from flowinfra.control.report import report_artifact, report_run, report_task

    place = Place.open()
    document: object
    node = find_node(what, flow=flow.__name__ if flow else None, place=place)
    if isinstance(node, Run):
        run = report_run(node, place.store)
        text, document = view.run_text(run, console), view.run_json(run)
    elif isinstance(node, Step):
        tasks = [report_task(task) for task in node]
        text, document = view.tasks_text(tasks, console), [view.task_json(task) for task in tasks]
    elif isinstance(node, Task):
        task = report_task(node)
        text, document = view.task_text(task, console), view.task_json(task)
    else:
        artifact = report_artifact(node)
        text, document = view.artifact_text(artifact), view.artifact_json(artifact)
    if console.as_json:
        console.document(document)
    else:
        console.data(text)
    return Exit.OK


def _say(console: Console, found: Sequence[Any]) -> None:
    from flowinfra.cli.views.diagnostics import as_text

    if found:
        console.note(as_text(found, console))


run = make_run()
check = make_check()
graph = make_graph()
show = make_show()
