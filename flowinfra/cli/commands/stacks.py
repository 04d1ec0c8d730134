"""``stack`` and ``config``: Pulumi's own files, without the Pulumi CLI."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.groups import DefaultGroup
from flowinfra.cli.options import command, stack_options

if TYPE_CHECKING:
    from flowinfra.control.stackfiles import StackFiles

__all__ = ["config", "stack"]


@click.group(cls=DefaultGroup)
def stack() -> None:
    """List, select, make and remove stacks. A stack is one environment of the project, such as dev or prod."""


@stack.command("ls")
@command
def stack_ls(console: Console, cwd: Path) -> Exit:
    """List the stacks of the project; the selected one has a star."""
    from flowinfra.cli.views.stacks import stacks_json, stacks_text

    found = _files(cwd).stacks()
    if console.as_json:
        console.document(stacks_json(found))
    elif found:
        console.data(stacks_text(found, console))
    else:
        console.note("no stack yet; next: flowinfra stack init dev")
    return Exit.OK


@stack.command("select")
@click.argument("name")
@command
def stack_select(console: Console, cwd: Path, name: str) -> Exit:
    """Make NAME the stack that commands mean without --stack."""
    _files(cwd).select(name)
    _said(console, f"the selected stack is {name}", {"selected": name})
    return Exit.OK


@stack.command("init")
@click.argument("name")
@command
def stack_init(console: Console, cwd: Path, name: str) -> Exit:
    """Make the stack NAME and select it."""
    files = _files(cwd)
    made = [_relative(path, files.project.folder) for path in files.init(name)]
    text = "\n".join([*(f"made {path}" for path in made), f"the selected stack is {name}; next: flowinfra up"])
    _said(console, text, {"selected": name, "made": made})
    return Exit.OK


@stack.command("rm")
@click.argument("name")
@click.option("--force", is_flag=True, help="Also if it has resources: they stay, and nobody knows of them any more.")
@click.option("--preserve-config", is_flag=True, help="Leave Pulumi.<stack>.yaml there.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@command
def stack_rm(console: Console, cwd: Path, name: str, force: bool, preserve_config: bool, yes: bool) -> Exit:
    """Remove the stack NAME with its state, history and configuration."""
    files = _files(cwd)
    files.name(name)
    if not yes and not console.confirm(f"Remove the stack {files.project.name}/{name}?"):
        if console.as_json:
            console.document({"removed": None})
        console.note("nothing was changed; --yes answers without asking")
        return Exit.CANCELLED
    forgotten = files.remove(name, force=force, keep_config=preserve_config)
    left = f"; {forgotten} resources stay where they are" if forgotten else ""
    _said(console, f"removed the stack {name}{left}", {"removed": name, "forgotten": forgotten})
    return Exit.OK


@click.group(cls=DefaultGroup)
def config() -> None:
    """Read and change a stack's configuration. Without a command, show all of it."""


@config.command("ls")
@stack_options
@click.option("--show-secrets", is_flag=True, help="Show secret values.")
@command
def config_ls(console: Console, cwd: Path, stack: str | None, show_secrets: bool) -> Exit:
    """Show all values that hold for the stack."""
    from flowinfra.cli.views.stacks import settings_json, settings_text

    files = _files(cwd)
    name = files.name(stack)
    found = files.settings(name, show_secrets=show_secrets)
    if console.as_json:
        console.document(settings_json(found))
    elif found:
        console.data(settings_text(found, console))
    else:
        console.note(f"nothing is set for the stack {name}; next: flowinfra config set KEY VALUE")
    return Exit.OK


@config.command("get")
@click.argument("key")
@stack_options
@click.option("--show-secrets", is_flag=True, help="Show it even if it is secret.")
@command
def config_get(console: Console, cwd: Path, key: str, stack: str | None, show_secrets: bool) -> Exit:
    """Show the value of KEY."""
    from flowinfra.cli.views.stacks import setting_text, settings_json
    from flowinfra.diagnostics import ConfigurationError, error

    files = _files(cwd)
    found = files.setting(files.name(stack), key, show_secrets=show_secrets)
    if found.secret and not show_secrets:
        raise ConfigurationError(
            error("FI942", f"the value of {found.key} is secret", hint=f"flowinfra config get {key} --show-secrets")
        )
    if console.as_json:
        console.document(settings_json([found])[found.key])
    else:
        console.data(setting_text(found))
    return Exit.OK


@config.command("set")
@click.argument("key")
@click.argument("value", required=False)
@stack_options
@click.option("--secret", is_flag=True, help="Keep it encrypted.")
@command
def config_set(console: Console, cwd: Path, key: str, value: str | None, stack: str | None, secret: bool) -> Exit:
    """Set KEY to VALUE; - reads it from standard input, so that a secret is in no history of commands.

    A key without a namespace gets the project's, as in Pulumi.
    """
    files = _files(cwd)
    name = files.name(stack)
    files.set(name, key, _value(console, key, value, secret), secret=secret)
    qualified = files.project.config(name).key(key)
    _said(console, f"set {qualified} of the stack {name}", {"stack": name, "set": qualified, "secret": secret})
    return Exit.OK


@config.command("rm")
@click.argument("key")
@stack_options
@command
def config_rm(console: Console, cwd: Path, key: str, stack: str | None) -> Exit:
    """Remove KEY."""
    files = _files(cwd)
    name = files.name(stack)
    files.unset(name, key)
    qualified = files.project.config(name).key(key)
    _said(console, f"removed {qualified} of the stack {name}", {"stack": name, "removed": qualified})
    return Exit.OK


def _files(cwd: Path) -> StackFiles:
    from flowinfra.control.stackfiles import StackFiles

    return StackFiles.find(cwd)


def _value(console: Console, key: str, value: str | None, secret: bool) -> str:
    from flowinfra.diagnostics import ConfigurationError, error

    if value == "-":
        text = sys.stdin.read()
        return text.removesuffix("\n").removesuffix("\r")
    if value is not None:
        return value
    if console.interactive and not console.as_json and sys.stdin.isatty():
        answer: str = click.prompt(key, hide_input=secret, err=True)
        return answer
    raise ConfigurationError(
        error("FI948", f"there is no value for {key}", hint=f"flowinfra config set {key} VALUE, or - to read it")
    )


def _said(console: Console, text: str, document: dict[str, object]) -> None:
    if console.as_json:
        console.document(document)
    else:
        console.note(text)


def _relative(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
