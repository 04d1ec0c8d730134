"""Options that commands share, and how a command ends."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from flowinfra.cli.console import OUTPUT_LOST, Console, tolerant
from flowinfra.cli.exits import Exit, exit_of
from flowinfra.diagnostics import FlowinfraError

__all__ = ["command", "stack_options"]

Function = TypeVar("Function", bound=Callable[..., Any])


def command(function: Callable[..., Exit | None]) -> Callable[..., None]:
    """A command: gives it ``console``, and ``cwd`` if it asks; turns what it returns or raises into an exit code.

    Adds ``--cwd``, ``--json``, ``--color`` and ``--no-input``.
    """
    asks = "cwd" in inspect.signature(function).parameters

    @click.option("--cwd", "-C", type=click.Path(path_type=Path), help="Work in this folder.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document; never ask.")
    @click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="When to colour.")
    @click.option("--no-input", is_flag=True, help="Never ask; a question counts as no.")
    @functools.wraps(function)
    def run(*, cwd: Path | None, as_json: bool, color: Any, no_input: bool, **arguments: Any) -> None:
        tolerant()

        # What flow files, stack programs and their children print is none of the document.
        with _apart() if as_json or arguments.get("markdown") else contextlib.nullcontext(sys.stdout) as out:
            console = Console(as_json=as_json, color=color, interactive=not no_input, out=out)

            def body() -> Exit | None:
                folder = _folder(cwd)
                return function(console=console, **({"cwd": folder} if asks else {}), **arguments)

            ended = guarded(console, body)
        sys.exit(int(ended))

    return run


@contextlib.contextmanager
def _apart() -> Iterator[TextIO]:
    """What stdout was; inside, all that is written there by this process or a child goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    out = os.fdopen(kept, "w", encoding=sys.stdout.encoding, errors="backslashreplace")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield out
    finally:
        with contextlib.suppress(OSError):  # whoever writes has said already that nobody reads
            out.flush()
        os.dup2(kept, 1)


def guarded(console: Console, body: Callable[[], Exit | None]) -> Exit:
    """Run *body*; say what it raises, and return the exit code."""
    from flowinfra.cli.views import diagnostics as view

    try:
        return body() or Exit.OK
    except FlowinfraError as problem:
        if console.as_json and problem.diagnostics[0].code != OUTPUT_LOST:
            console.document({"diagnostics": view.as_json(problem.diagnostics)})
        else:
            console.note(view.as_text(problem.diagnostics, console))
        return exit_of(problem)
    except KeyboardInterrupt:
        console.note("interrupted")  # the command was; whether a run was stopped, whoever stopped it has said
        return Exit.CANCELLED
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), (console.out or sys.stdout).fileno()
        )  # the reader went away; say nothing at exit
        return Exit.OK
    except (click.ClickException, click.exceptions.Exit):
        raise
    except Exception:  # noqa: BLE001 - the last line of defence: nothing may end in a bare traceback
        console.note(traceback.format_exc().rstrip())
        console.note("\nThis is a bug in flowinfra. Please report the lines above and the command that you ran.")
        return Exit.BUG


def stack_options(function: Function) -> Function:
    """Adds ``--stack``."""
    return click.option("--stack", "-s", help="The stack; by default the selected one.")(function)


def _folder(cwd: Path | None) -> Path:
    from flowinfra.diagnostics import ConfigurationError, error

    folder = cwd or Path.cwd()
    if not folder.is_dir():
        raise ConfigurationError(error("FI931", f"there is no folder {folder}", hint="check --cwd"))
    if cwd is not None:
        os.chdir(folder)
    return folder.resolve()
