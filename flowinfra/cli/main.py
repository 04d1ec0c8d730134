"""``flowinfra``: the table of commands, each imported when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Final

__all__ = ["COMMANDS", "main"]

#: Heading → command → module of ``flowinfra.cli.commands`` that has a click command of the same name, and one line of help.
SECTIONS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "Write and run flows": {
        "init": ("init", "Start a project in this folder."),
        "check": ("flows", "Check a flow without running it."),
        "graph": ("flows", "Draw a flow's graph."),
        "run": ("flows", "Run a flow on this machine, from its checkout."),
        "resume": ("resume", "Go on with a run that has failed; or with a deployment that was paused."),
        "spin": ("spin", "Run one task again, with the inputs that a run has recorded."),
        "show": ("flows", "Show a flow, or a run with its steps, tasks and artifacts."),
    },
    "Deploy": {
        "preview": ("stack_operations", "Show what `up` would change."),
        "up": ("stack_operations", "Make what is deployed what the program says."),
        "diff": ("diff", "Show what changes between two versions of a flow."),
        "outputs": ("stack_operations", "Show the stack's outputs."),
        "drift": ("drift", "Show what was changed past the program; adopt or revert it."),
        "refresh": ("stack_operations", "Take over into the state what is really there."),
        "destroy": ("stack_operations", "Delete everything that the stack has deployed."),
        "snapshot": ("snapshot", "Write what is deployed into a file, for offline previews."),
    },
    "Operate": {
        "trigger": ("operate", "Start a run of a deployment."),
        "runs": ("operate", "List runs, newest first."),
        "logs": ("operate", "Show what the tasks of a run printed."),
        "dump": ("dump", "Show the artifacts of a run, step or task as text or JSON."),
        "tag": ("tag", "Show and change the tags of a run."),
        "pause": ("pause", "Let nothing start runs of a deployment by itself."),
    },
    "Stacks and their state": {
        "stack": ("stacks", "List, select, make and remove stacks."),
        "config": ("stacks", "Read and change a stack's configuration."),
        "cancel": ("stack_operations", "Remove the lock of an operation that has died."),
        "state": ("state", "Export, import and repair the state of a stack."),
    },
    "Your shell": {
        "completion": ("completion", "Print the script that completes what you type."),
    },
}
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    name: command for section in SECTIONS.values() for name, command in section.items()
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

        def said_of(self, ctx: click.Context, name: str) -> str:
            return COMMANDS[name][1]

        def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            for heading, commands in SECTIONS.items():
                with formatter.section(heading):
                    formatter.write_dl([(name, line) for name, (_, line) in commands.items()], col_max=12)

    group = Commands(
        name="flowinfra",
        help="Infrastructure as code for data and ML flows.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        params=[click.Option(["--version", "-V"], is_flag=True, help="Show the version and exit.")],
    )
    shell = os.environ.get("_FLOWINFRA_COMPLETE")
    if shell:
        from flowinfra.cli.completion import serve

        serve(group, shell, sys.argv[1:])
        return
    group(prog_name="flowinfra")


if __name__ == "__main__":
    main()
