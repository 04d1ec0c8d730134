"""``flowinfra``: the table of commands, each imported when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Final

__all__ = ["COMMANDS", "main"]

#: Command → module of ``flowinfra.cli.commands`` that has a click command of the same name, and one line of help.
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "init": ("init", "Start a project in this folder."),
    "preview": ("stack_operations", "Show what `up` would change."),
    "up": ("stack_operations", "Make what is deployed what the program says."),
    "diff": ("diff", "Show what changes between two versions of a flow."),
    "destroy": ("stack_operations", "Delete everything that the stack has deployed."),
    "refresh": ("stack_operations", "Take over into the state what is really there."),
    "drift": ("drift", "Show what was changed past the program; adopt or revert it."),
    "cancel": ("stack_operations", "Remove the lock of an operation that has died."),
    "snapshot": ("snapshot", "Write what is deployed into a file, for offline previews."),
    "outputs": ("stack_operations", "Show the stack's outputs."),
    "trigger": ("operate", "Start a run of a deployment."),
    "pause": ("pause", "Let nothing start runs of a deployment by itself."),
    "resume": ("pause", "Let a paused deployment start again."),
    "runs": ("operate", "List runs, newest first."),
    "logs": ("operate", "Show what the tasks of a run printed."),
    "run": ("flows", "Run a flow on this machine, from its checkout."),
    "check": ("flows", "Check a flow without running it."),
    "graph": ("flows", "Draw a flow's graph."),
    "show": ("flows", "Show a flow, or a run with its steps, tasks and artifacts."),
    "stack": ("stacks", "List, select, make and remove stacks."),
    "state": ("state", "Export, import and repair the state of a stack."),
    "config": ("stacks", "Read and change a stack's configuration."),
}


def main() -> None:
    """The console script."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from flowinfra._version import __version__

        sys.stdout.write(f"flowinfra {__version__}\n")
        return
    import click

    from flowinfra.cli.groups import NearestGroup

    class Commands(NearestGroup):
        def list_commands(self, ctx: click.Context) -> list[str]:
            return list(COMMANDS)

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            if cmd_name not in COMMANDS:
                return None
            module = importlib.import_module(f"flowinfra.cli.commands.{COMMANDS[cmd_name][0]}")
            found: click.Command = getattr(module, cmd_name)
            return found

        def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            with formatter.section("Commands"):
                formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    group = Commands(
        name="flowinfra",
        help="Infrastructure as code for data and ML flows.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        params=[click.Option(["--version", "-V"], is_flag=True, help="Show the version and exit.")],
    )
    group(prog_name="flowinfra")


if __name__ == "__main__":
    main()
