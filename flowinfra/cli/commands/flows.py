"""``run``, ``check``, ``graph`` and ``show``: what can be done with a flow file, and with what has run.

Each command is made by a function that takes a flow or None: with None its first argument is a flow file; with a flow
it is a command of that flow's own command line (``python flow.py run``).
"""

from __future__ import annotations

import os
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
from flowinfra.cli.configs import config_options, project_options, sources_of
from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit, state_exit
from flowinfra.cli.options import Function, command
from flowinfra.control.configs import load_resumable
from flowinfra.diagnostics import FlowinfraError
from flowinfra.wire import ENV_STORE

if TYPE_CHECKING:
    from flowinfra.authoring.flowspec import FlowSpec
    from flowinfra.cli.views.run import Progress, Watcher
    from flowinfra.control.direct import DirectRun, RunOptions
    from flowinfra.runtime.workers import Workers

__all__ = [
    "GoesOn",
    "carry_out",
    "check",
    "duration_seconds",
    "file_argument",
    "graph",
    "is_file",
    "loaded",
    "make_check",
    "make_graph",
    "make_run",
    "make_show",
    "options_of",
    "resumable",
    "run",
    "run_options",
    "show",
    "state_exit",
]

_FILE = "FILE[:NAME]"


def make_run(flow: type[FlowSpec] | None = None) -> click.Command:
    """The command ``run``."""

    @click.command("run", cls=_FlowCommand)
    @click.option("--param", "-p", multiple=True, metavar="NAME=VALUE", help="A parameter; also as --NAME VALUE.")
    @run_options
    @config_options
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
    @file_argument(flow)
    @click.option("--files", is_flag=True, help="List what is packed, and what is left out and why.")
    @config_options
    @command
    def check(console: Console, files: bool, file: str | None = None, **given: Any) -> Exit:
        """Check a flow without running it: everything that is wrong, with its place and what to do."""
        from flowinfra.cli.views.flow import checked_json, checked_text, files_text
        from flowinfra.packaging.build import build
        from flowinfra.packaging.bundle import left_out
        from flowinfra.targets.base import check_target
        from flowinfra.targets.local import Local

        built = build(loaded(flow, file, given))
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
    @file_argument(flow)
    @click.option(
        "--format", "form", type=click.Choice(["text", "mermaid", "dot"]), default="text", help="How to draw it."
    )
    @config_options
    @command
    def graph(console: Console, form: str, file: str | None = None, **given: Any) -> Exit:
        """Draw a flow's graph; also of one that breaks rules, so that one can look at it."""
        from flowinfra.authoring.graph import located, read_graph
        from flowinfra.cli.views.diagnostics import as_json
        from flowinfra.compiler.check import check
        from flowinfra.compiler.draw import draw
        from flowinfra.diagnostics import AuthoringError, has_errors
        from flowinfra.packaging.build import source_of

        drawn = loaded(flow, file, given)
        root = source_of(drawn)[1]
        found_graph, found = read_graph(drawn, root=root)
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
    @config_options
    @command
    def show(console: Console, what: str | None, **given: Any) -> Exit:
        """Show a flow (its steps and parameters), a deployment, or a run: how it ended, and what it made.

        RUN is a run's id, Flow/run, or the pathspec of a step, a task or an artifact of it. A flow's name means its
        latest run. DEPLOYMENT is Flow/name.
        """
        if what is None or split_address(what)[0].suffix == ".py":
            return _show_flow(console, loaded(flow, what, given))
        if _show_deployment(console, what):
            return Exit.OK
        return _show_run(console, what, flow)

    return show


def _use_store(ctx: click.Context, option: click.Parameter, url: str | None) -> str | None:
    # For all that follows, e.g. the search for the run that is resumed, and for the tasks.
    del ctx, option
    if url:
        os.environ[ENV_STORE] = url
    return url


def run_options(function: Function) -> Function:
    """Adds what may be said about every run."""
    for option in reversed(
        [
            click.option("--max-workers", type=click.IntRange(min=1), help="How many tasks run at once (default: 16)."),
            click.option("--tag", "tags", multiple=True, metavar="TEXT", help="Tag the run; may be repeated."),
            click.option(
                "--with", "specs", multiple=True, metavar="SPEC", help="Decorate every step, e.g. retry:times=2."
            ),
            click.option("--timeout", metavar="DURATION", help="Stop the run after this long, e.g. 90s or 2h."),
            click.option("--run-id-file", type=click.Path(path_type=Path), help="Write the run's id into this file."),
            click.option("--quiet", "-q", is_flag=True, help="Do not show what tasks print."),
            click.option(
                "--datastore-root",
                metavar="URL",
                help="The object store (default: the project's).",
                callback=_use_store,
            ),
            # What the field's command lines say: understood, and checked against what there is.
            click.option("--datastore", hidden=True),
            click.option("--environment", hidden=True),
            click.option("--metadata", hidden=True),
            click.option("--pylint/--no-pylint", default=None, hidden=True),
        ]
    ):
        function = option(function)
    return project_options(function)


# -- arguments ------------------------------------------------------------------------------------------------------


class GoesOn(click.Command):
    """A command that goes on from a run, and has its parameters."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Say of an unknown option that it cannot be a parameter either."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as why:
            said = f"{why.message} (parameters are those of the run that it goes on from)"
            raise click.NoSuchOption(why.option_name, said, why.possibilities, ctx) from None


class _FlowCommand(click.Command):
    """A command with the parameters of a flow among its options; its callback gets what only the flow can read."""

    flow: type[FlowSpec] | None = None

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", *([] if self.flow else [_FILE]), "[PARAMETERS]"]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        parts = separate(args, own_options(self.get_params(ctx)), is_subject=None if self.flow else is_file)
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
            flow = self.flow or (loaded(None, file, ctx.params) if file else None)
        except FlowinfraError:
            return  # the command itself says what is wrong
        parameters = list(parameters_of(flow).values()) if flow else []
        if flow and parameters:
            options = own_options(self.get_params(ctx))
            with formatter.section(f"Parameters of {flow.__name__}"):
                formatter.write_dl([described(p, options) for p in parameters])


def is_file(word: str) -> bool:
    """Whether *word* is written like the address of a flow file."""
    return word.partition(":")[0].endswith(".py")


def file_argument(flow: type[FlowSpec] | None) -> Callable[[Function], Function]:
    """Adds the flow file as an argument, unless the command is one of the command line of *flow*."""
    return click.argument("file", metavar=_FILE) if flow is None else lambda function: function


def loaded(flow: type[FlowSpec] | None, address: str | None, given: Mapping[str, Any] | None = None) -> type[FlowSpec]:
    """The flow of a command: the one whose own command line it is, else the one that *address* names.

    Its configs come from where the arguments in *given* say, if the command has options for them.
    """
    if flow is not None:
        return flow
    file, name = split_address(address or "")
    return load_flow(file, name, configs=None if given is None else sources_of(given))


def resumable(flow: type[FlowSpec] | None, address: str | None) -> type[FlowSpec]:
    """Like :func:`loaded`, for commands that go on from a run: its configs need not be readable any more."""
    if flow is not None:
        return flow
    file, name = split_address(address or "")
    return load_resumable(file, name)


# -- running --------------------------------------------------------------------------------------------------------


def _run(console: Console, cwd: Path, given: Mapping[str, Any]) -> Exit:
    flow = loaded(given["flow"], given["file"], given)
    # Before anything else is imported: tasks are copies of this process as it is now.
    from flowinfra.runtime.workers import prepare_workers

    with prepare_workers() as workers:
        return _run_with(console, cwd, flow, workers, given)


def _run_with(console: Console, cwd: Path, flow: type[FlowSpec], workers: Workers, given: Mapping[str, Any]) -> Exit:
    from flowinfra.control.decospecs import decorate
    from flowinfra.control.direct import prepare_run

    kinds = {name: p.kind for name, p in parameters_of(flow).items()}
    written = parameter_texts(given["rest"], kinds, given["param"])
    options = options_of(given)
    decorate(flow, given["specs"])

    def values(declared: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        return parameter_values(declared, written, flow.__name__, options=own_options(make_run().params))

    direct = prepare_run(flow, values, options, start=cwd)
    return carry_out(console, direct, workers, given, said=shadowed(given["ours"], kinds))


def options_of(given: Mapping[str, Any]) -> RunOptions:
    """What was said about a run, out of the arguments of a command with :func:`run_options`.

    Raises:
        FlowinfraError: FI131, FI858 or FI949, a value cannot be used.
    """
    from flowinfra.control.direct import RunOptions
    from flowinfra.runtime.localspec import MAX_WORKERS

    said = {name: given[name] for name in ("datastore", "datastore_root", "environment", "metadata") if given[name]}
    if said:
        from flowinfra.control.invocation import TopOptions

        TopOptions.of(said)  # says what is not there
    return RunOptions(
        max_workers=given["max_workers"] or MAX_WORKERS,
        tags=given["tags"],
        timeout_seconds=duration_seconds(given["timeout"], "--timeout"),
        branch=given["branch"],
        production=given["production"],
    )


def carry_out(
    console: Console, direct: DirectRun, workers: Workers, given: Mapping[str, Any], *, said: Sequence[Any] = ()
) -> Exit:
    """Run what is ready, and show it; *said* are findings about the command line."""
    from flowinfra.cli.views.run import Progress, ending_text, run_json

    if not console.as_json:
        _say(console, [*direct.diagnostics, *said])
    if given["run_id_file"] is not None:
        _write(given["run_id_file"], direct.run)
    flow = direct.built.flow
    progress = Progress(direct.steps)
    with _watcher(console, direct, progress, output=not given["quiet"]) as watch:
        ended = direct.carry_out(workers, watch)
    if console.as_json:
        console.document(
            run_json(
                flow,
                direct.run,
                ended.state,
                ended.error,
                seconds=ended.seconds,
                release=direct.built.release,
                **_more_json(direct, progress),
            )
        )
    else:
        task = "/".join(direct.only or ())
        result = f"{direct.pathspec}/{task}" if task else ""
        resume = "" if task else _resume_command(given.get("file"))
        console.note(ending_text(flow, direct.run, ended, progress, console, result=result, resume=resume))
    return state_exit(ended.state)


def _more_json(direct: DirectRun, progress: Progress) -> dict[str, Any]:
    more: dict[str, Any] = {"tasks": progress.tasks, "reused": progress.reused, "retries": progress.retries}
    if direct.origin:
        more["origin"] = f"{direct.built.flow}/{direct.origin}"
    if direct.only is not None:
        more["task"] = "/".join((direct.pathspec, *direct.only))
    return more


def _resume_command(file: str | None) -> str:
    import shlex
    import sys

    return f"python {shlex.quote(sys.argv[0])} resume" if file is None else f"flowinfra resume {shlex.quote(file)}"


def _watcher(console: Console, direct: DirectRun, progress: Progress, *, output: bool) -> Watcher:
    import sys

    from flowinfra.cli.views.run import Lines, Silent

    if console.as_json:
        return Silent(progress)
    title = f"{direct.built.flow} {direct.run}"
    if console.live():
        from flowinfra.cli.views.live import Screen

        return Screen(title, progress, color=console.colored(sys.stderr), output=output)
    console.note(f"{console.style(title, 'bold', stream=sys.stderr)} started")
    return Lines(console, progress, output=output)


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
    from flowinfra.authoring.graph import build_graph, read_bindings
    from flowinfra.cli.views.flow import flow_text
    from flowinfra.diagnostics import AuthoringError, raise_errors
    from flowinfra.packaging.build import source_of

    root = source_of(flow)[1]
    graph = build_graph(flow, root=root)
    bindings, found = read_bindings(flow, root=root)
    raise_errors(found, AuthoringError)
    if console.as_json:
        console.document(graph.to_json())
    else:
        console.data(flow_text(graph, console, {b["name"]: b["value"] for b in bindings}))
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
