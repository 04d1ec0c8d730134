"""The command line of a flow file: ``python flow.py run --alpha 3``.

``MyFlow()`` at the end of the file comes here. The file is imported once more under the name that its tasks import it
by, so that what is stored does not say ``__main__``.
"""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.loader import load_flow
from flowinfra.cli.arguments import described, hoisted, own_options, parameters_of
from flowinfra.cli.configs import described_configs, take_configs
from flowinfra.cli.console import Console
from flowinfra.cli.groups import NearestGroup
from flowinfra.cli.options import guarded
from flowinfra.control.configs import load_resumable, refuse_configs
from flowinfra.diagnostics import AuthoringError, error

__all__ = ["flow_group", "main", "serve_file"]

#: The commands, and the function of ``flowinfra.cli.commands`` that makes each for one flow.
_COMMANDS = {
    "run": ("flows", "make_run", "Run the flow on this machine."),
    "resume": ("resume", "make_resume", "Go on with a run that has failed."),
    "spin": ("spin", "make_spin", "Run one task again, with the inputs of a run."),
    "check": ("flows", "make_check", "Check the flow without running it."),
    "graph": ("flows", "make_graph", "Draw the flow's graph."),
    "show": ("flows", "make_show", "Show the flow, or one of its runs."),
    "runs": ("operate", "make_runs", "List the flow's runs, newest first."),
    "logs": ("operate", "make_logs", "Show what the tasks of a run printed."),
    "dump": ("dump", "make_dump", "Show the artifacts of a run, step or task as text or JSON."),
    "tag": ("tag", "make_tag", "Show and change the tags of a run."),
}


#: Commands that go on from a run, whose configs they have.
_GOES_ON = ("resume", "spin")


def main(flow: type[FlowSpec]) -> None:
    """Serve the command line of *flow*, whose file Python runs; ends the process."""
    _serve(lambda arguments: _imported(flow, arguments))


def serve_file(file: Path) -> None:
    """Serve the command line of the flow in *file*, which Python runs and cannot run to its end; ends the process."""
    _serve(lambda arguments: _loaded(file, None, arguments))


def _serve(load: Callable[[list[str]], tuple[type[FlowSpec], list[str]]]) -> NoReturn:
    console = Console(as_json="--json" in sys.argv)
    loaded: list[tuple[type[FlowSpec], list[str]]] = []
    code = guarded(console, lambda: loaded.append(load(sys.argv[1:])))
    if not loaded:
        sys.exit(int(code))
    found, arguments = loaded[0]
    flow_group(found)(args=arguments, prog_name=f"python {shlex.quote(sys.argv[0])}")
    sys.exit()


def flow_group(flow: type[FlowSpec]) -> click.Group:
    """The command line of *flow*."""
    return _FlowGroup(
        flow,
        help=inspect.cleandoc(flow.__doc__ or f"The flow {flow.__name__}."),
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


class _FlowGroup(NearestGroup):
    def __init__(self, flow: type[FlowSpec], **settings: Any) -> None:
        super().__init__(**settings)
        self._flow = flow

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith(
            "-"
        ):  # options of a command may stand before it, as users of the field write them
            commands = [self.get_command(ctx, name) for name in _COMMANDS]
            options = own_options(option for command in commands if command for option in command.params)
            args = [word for word in hoisted(args, _COMMANDS, options, "") if word]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        import importlib

        module, maker, _ = _COMMANDS[cmd_name]
        made: click.Command = getattr(importlib.import_module(f"flowinfra.cli.commands.{module}"), maker)(self._flow)
        return made

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])
        configs = described_configs(self._flow)
        if configs:
            with formatter.section("Configs, before or behind the command"):
                formatter.write_dl(configs)
        parameters = parameters_of(self._flow)
        if parameters:
            with formatter.section("Parameters of a run"):
                formatter.write_dl([described(p) for p in parameters.values()])


def _imported(flow: type[FlowSpec], arguments: list[str]) -> tuple[type[FlowSpec], list[str]]:
    """*flow* as its tasks will import it, with the configs that *arguments* give, and the other arguments."""
    if flow.__module__ != "__main__":
        return flow, take_configs(arguments)[1]
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is None:
        raise AuthoringError(
            error(
                "FI106",
                f"the flow {flow.__name__} is not written in a file",
                detail="its code is packed and its transitions are read from there",
                hint="write it into a .py file",
            )
        )
    return _loaded(Path(file), flow.__name__, arguments)


def _loaded(file: Path, name: str | None, arguments: list[str]) -> tuple[type[FlowSpec], list[str]]:
    configs, rest = take_configs(arguments)
    if next((word for word in rest if word in _COMMANDS), "") in _GOES_ON:  # other options may stand before it
        refuse_configs(configs)
        return load_resumable(file, name), rest
    return load_flow(file, name, configs=configs), rest
