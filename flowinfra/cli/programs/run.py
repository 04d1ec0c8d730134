"""The program of a :class:`~flowinfra.Runner`: one run of one flow, as ``flowinfra run`` carries it out.

What it tells: ``prepared`` as soon as the run can be read, ``ended`` when it has, ``error`` if it could not begin.
Progress goes to stdout, where a Runner's users look for it; only what tasks print to stderr goes there.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from flowinfra.cli.programs.channel import Channel, serve
from flowinfra.cli.programs.loading import load_source
from flowinfra.control.invocation import FlowSource, TopOptions
from flowinfra.diagnostics import ConfigurationError, FlowinfraError, error

if TYPE_CHECKING:
    from flowinfra.authoring.flowspec import FlowSpec
    from flowinfra.control.direct import DirectRun, RunOptions
    from flowinfra.control.runner.keywords import Sorted
    from flowinfra.runtime.events import Event
    from flowinfra.runtime.workers import Workers

__all__ = ["main"]


def main(fd: int) -> NoReturn:
    """Carry out what comes over the socket *fd*."""
    serve(fd, _body, collect=False)


def _body(channel: Channel) -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    top = TopOptions.from_json(channel.spec["top"])
    goes_on = channel.spec["do"] != "run"
    flow = load_source(FlowSource.from_json(channel.spec["flow"]), top, goes_on=goes_on)
    # Before anything else is imported: tasks are copies of this process as it is now.
    from flowinfra.runtime.workers import prepare_workers

    with prepare_workers() as workers:
        return _run(channel, flow, top, workers)


def _run(channel: Channel, flow: type[FlowSpec], top: TopOptions, workers: Workers) -> int:
    from flowinfra.runtime.localspec import StopSwitch

    switch = StopSwitch()
    channel.watch(switch.stop)
    spec = channel.spec
    sorted_out = _sorted(spec, flow)
    given = sorted_out.options
    if spec["do"] != "run":
        from flowinfra.control.configs import as_in_run

        flow = as_in_run(flow, given.get("origin_run_id") or spec.get("task"))
    _decorate(flow, [*top.decospecs, *given.get("decospecs", ())])
    direct = _PREPARE[spec["do"]](flow, sorted_out, _options(given, top), spec)
    if given.get("run_id_file"):
        _write(given["run_id_file"], direct.run)
    return _carry_out(channel, direct, workers, switch, sorted_out, quiet=top.quiet)


def _sorted(spec: Mapping[str, Any], flow: type[FlowSpec]) -> Sorted:
    from flowinfra.cli.arguments import parameters_of
    from flowinfra.control.messages import decode_value
    from flowinfra.control.runner import keywords

    given = keywords.Given(
        spec["do"],
        *(
            {name: decode_value(value) for name, value in spec[what].items()}
            for what in ("keywords", "parameters", "options")
        ),
    )
    takes = {"run": keywords.RUN, "resume": keywords.RESUME, "spin": keywords.SPIN}[spec["do"]]
    declared = parameters_of(flow).values() if spec["do"] == "run" else None
    return keywords.sort_out(given, declared, takes, flow.__name__)


def _decorate(flow: type[FlowSpec], specs: list[str]) -> None:
    if specs:
        from flowinfra.control.decospecs import decorate

        decorate(flow, specs)


def _options(given: Mapping[str, Any], top: TopOptions) -> RunOptions:
    from flowinfra.control.direct import RunOptions
    from flowinfra.runtime.localspec import MAX_WORKERS

    return RunOptions(
        max_workers=given.get("max_workers", MAX_WORKERS),
        tags=given.get("tags", ()),
        timeout_seconds=given.get("timeout"),
        user_namespace=given.get("user_namespace") or given.get("namespace") or "",
        **_project(top),
    )


def _project(top: TopOptions) -> dict[str, Any]:
    """What was said about the project; a flow without one refuses it."""
    said: dict[str, Any] = {} if top.branch is None else {"branch": top.branch}
    return said if top.production is None else {**said, "production": top.production}


def _write(file: str, run: str) -> None:
    try:
        with open(file, "w", encoding="utf-8") as out:
            out.write(run)
    except OSError as why:
        raise ConfigurationError(
            error("FI951", f"{file} cannot be written: {why.strerror}", hint="give run_id_file another path")
        ) from why


# -- preparing ------------------------------------------------------------------------------------------------------


def _prepare_run(flow: type[FlowSpec], given: Sorted, options: RunOptions, spec: Mapping[str, Any]) -> DirectRun:
    del spec
    from flowinfra.control.direct import prepare_run
    from flowinfra.runtime.parameters import check_parameters

    return prepare_run(flow, lambda declared: check_parameters(declared, given.parameters, flow.__name__), options)


def _prepare_resume(flow: type[FlowSpec], given: Sorted, options: RunOptions, spec: Mapping[str, Any]) -> DirectRun:
    del spec
    from flowinfra.control.resuming import prepare_resume

    said = {
        name: given.options[name]
        for name in ("origin_run_id", "step_to_rerun", "rerun_changed")
        if name in given.options
    }
    return prepare_resume(flow, options, **said)


def _prepare_spin(flow: type[FlowSpec], given: Sorted, options: RunOptions, spec: Mapping[str, Any]) -> DirectRun:
    del given
    from flowinfra.control.spinning import prepare_spin

    parts = spec["task"].split("/")
    if len(parts) == 1:
        return prepare_spin(flow, parts[0], options)
    return prepare_spin(flow, parts[2] if len(parts) > 2 else "", options, origin=spec["task"])


_PREPARE: Final[Mapping[str, Callable[..., DirectRun]]] = {
    "run": _prepare_run,
    "resume": _prepare_resume,
    "spin": _prepare_spin,
}


# -- carrying out ---------------------------------------------------------------------------------------------------


def _carry_out(
    channel: Channel, direct: DirectRun, workers: Workers, switch: Any, given: Sorted, *, quiet: bool
) -> int:
    from flowinfra.cli.console import Console, emit
    from flowinfra.cli.exits import Exit, state_exit
    from flowinfra.cli.views.run import Lines, Progress, ending_text
    from flowinfra.runtime.events import RunStarted

    gc.freeze()  # what was imported stays: no collection looks at it again
    gc.enable()
    console = Console(color="never", interactive=False)
    progress = Progress(direct.steps)
    if not quiet:
        _say(console, [*direct.diagnostics, *given.warnings])
        emit(sys.stdout, f"{direct.built.flow} {direct.run} started\n")
    lines = Lines(console, progress, stream=sys.stdout)
    prepared = {
        "is": "prepared",
        "flow": direct.built.flow,
        "run": direct.run,
        "task": list(direct.only or ()),
        "store": direct.home.store_url,
        "home": str(direct.home.path),
        "project": str(direct.home.project_dir),
    }
    told = False

    def tell() -> None:
        nonlocal told
        if not told:
            told = True
            channel.tell(prepared)

    def on_event(event: Event) -> None:
        if isinstance(event, RunStarted):  # from now on it can be read
            tell()
        lines(event)

    try:
        ended = direct.carry_out(workers, on_event, switch)
    except FlowinfraError as why:
        if not told:
            raise
        _say(console, why.diagnostics)
        channel.tell({"is": "ended", "state": "failed"})
        return Exit.ERROR
    tell()
    emit(sys.stdout, ending_text(direct.built.flow, direct.run, ended, progress, console) + "\n")
    channel.tell({"is": "ended", "state": ended.state})
    return state_exit(ended.state)


def _say(console: Any, found: Any) -> None:
    if found:
        from flowinfra.cli.views.diagnostics import as_text

        console.note(as_text(found, console))
