"""Groups of commands: the nearest one is named where there is none, and options may stand on either side of it."""

from __future__ import annotations

import click

from flowinfra.cli.arguments import hoisted, own_options
from flowinfra.diagnostics import nearest

__all__ = ["DefaultGroup", "NearestGroup"]


class NearestGroup(click.Group):
    """A group that names the nearest command where there is no such one, and says what there is without any."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without an argument, show the help."""
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names."""
        names = self.list_commands(ctx)
        if args and args[0] not in names and not args[0].startswith("-"):
            ctx.fail(f"there is no command '{args[0]}'{nearest(args[0], names)}")
        return super().resolve_command(ctx, args)

    def said_of(self, ctx: click.Context, name: str) -> str:
        """What the help says of the command *name*, in one line."""
        found = self.get_command(ctx, name)
        return found.get_short_help_str(100) if found else ""


class DefaultGroup(NearestGroup):
    """A group whose first command is meant where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Bring the command to the front, or put the first one there."""
        names = self.list_commands(ctx)
        options: dict[str, int] = {}
        for command in self.commands.values():
            options.update(own_options(command.params))
        return super().parse_args(ctx, hoisted(args, names, options, names[0]))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they were written."""
        return list(self.commands)
