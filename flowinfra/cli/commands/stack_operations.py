"""``preview``, ``up``, ``destroy``, ``refresh``, ``cancel`` and ``outputs``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.options import command, stack_options

if TYPE_CHECKING:
    from flowinfra.control.operations import Request
    from flowinfra.control.stacks import OpenStack
    from flowinfra.engine.base import Event, LogEvent
    from flowinfra.model.plan import Plan

__all__ = ["cancel", "destroy", "outputs", "preview", "refresh", "up"]

_F = TypeVar("_F", bound=Callable[..., Any])

_expect = click.option("--expect-no-changes", is_flag=True, help="Exit with 7 if anything would change.")
_yes = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
_markdown = click.option("--markdown", is_flag=True, help="Print Markdown, for a comment on a pull request.")
_file = click.Path(path_type=Path, dir_okay=False)


def _targets(function: _F) -> _F:
    """Adds ``--target`` and ``--target-dependents``."""
    function = click.option("--target-dependents", is_flag=True, help="Also what depends on the targets.")(function)
    return click.option(
        "--target",
        "targets",
        multiple=True,
        metavar="URN",
        help="Only this resource (* and ** are wildcards); may be given more than once.",
    )(function)


def _engine(function: _F) -> _F:
    """Adds ``--engine``."""
    return click.option(
        "--engine",
        type=click.Choice(["embedded", "pulumi"]),
        help="The engine, for this time; by default what the stack's settings say.",
    )(function)


@click.command()
@stack_options
@_expect
@_markdown
@_targets
@_engine
@click.option("--offline", is_flag=True, help="Ask no provider and open no secret: compare with what is known.")
@click.option("--base", type=_file, help="With --offline: compare with this snapshot instead of the stack's state.")
@click.option("--save-plan", type=_file, help="Keep the plan in this file for `up --plan`.")
@command
def preview(
    console: Console,
    cwd: Path,
    stack: str | None,
    expect_no_changes: bool,
    markdown: bool,
    targets: tuple[str, ...],
    target_dependents: bool,
    engine: str | None,
    offline: bool,
    base: Path | None,
    save_plan: Path | None,
) -> Exit:
    """Show what `up` would change: in the flows first, then in the resources.

    Nothing is changed, and neither network nor credentials are needed for Local. With --offline they are needed for
    nothing, nor is the passphrase: what cannot be known without is listed.
    """
    from flowinfra.control import operations

    if engine and (offline or base):
        raise click.UsageError("--offline and --base ask no engine: leave --engine out")
    opened = _open(console, cwd, stack, "Previewing", engine="recorder" if offline or base else engine, base=base)
    request = operations.Request(targets=targets, target_dependents=target_dependents)
    with _telling(console) as told:
        plan = operations.preview(opened, request, told, save=save_plan)
    told.rest(plan)
    _show(console, plan, markdown=markdown)
    if save_plan is not None and not console.as_json:
        console.note(f"\nnext: flowinfra up --plan {save_plan} --stack {opened.stack}")
    return _exit(plan, expect_no_changes)


@click.command()
@stack_options
@_expect
@_yes
@_targets
@_engine
@click.option("--plan", "saved", type=_file, help="Apply this plan of `preview --save-plan`, or nothing.")
@click.option("--force", is_flag=True, help="Go on where the stack's mode refuses to; the plan says so.")
@command
def up(
    console: Console,
    cwd: Path,
    stack: str | None,
    expect_no_changes: bool,
    yes: bool,
    targets: tuple[str, ...],
    target_dependents: bool,
    engine: str | None,
    saved: Path | None,
    force: bool,
) -> Exit:
    """Make what is deployed what the program says.

    Shows the preview first and asks. Without a change nothing at all is written.
    """
    from flowinfra.control import operations

    if expect_no_changes and saved is not None:
        raise click.UsageError("--expect-no-changes only looks, and --plan applies: give one of them.")
    opened = _open(console, cwd, stack, "Updating", engine=engine)
    request = operations.Request(targets=targets, target_dependents=target_dependents, force=force)
    if expect_no_changes:
        with _telling(console) as told:
            plan = operations.preview(opened, request, told)
        told.rest(plan)
        _show(console, plan)
        return _exit(plan, expect_no_changes)
    applied = _apply(console, opened, request, "Update", yes=yes or saved is not None, saved=saved)
    if applied is None:
        return Exit.CANCELLED
    _next_steps(console, opened, applied)
    return Exit.OK


@click.command()
@stack_options
@_yes
@_targets
@_engine
@click.option("--force", is_flag=True, help="Go on where the stack's mode refuses to; the plan says so.")
@command
def destroy(
    console: Console,
    cwd: Path,
    stack: str | None,
    yes: bool,
    targets: tuple[str, ...],
    target_dependents: bool,
    engine: str | None,
    force: bool,
) -> Exit:
    """Delete everything that the stack has deployed. Runs and what they made stay in the store."""
    from flowinfra.control.operations import Request
    from flowinfra.model.plan import Operation

    opened = _open(console, cwd, stack, "Destroying", engine=engine)
    request = Request(Operation.DESTROY, targets, target_dependents, force)
    return Exit.OK if _apply(console, opened, request, "Delete all of", yes=yes) is not None else Exit.CANCELLED


@click.command()
@stack_options
@_expect
@_yes
@_targets
@_engine
@click.option("--clear-pending-creates", is_flag=True, help="Forget creations that were interrupted.")
@command
def refresh(
    console: Console,
    cwd: Path,
    stack: str | None,
    expect_no_changes: bool,
    yes: bool,
    targets: tuple[str, ...],
    target_dependents: bool,
    engine: str | None,
    clear_pending_creates: bool,
) -> Exit:
    """Take over into the state what is really there. No resource is changed."""
    from flowinfra.control import operations
    from flowinfra.model.plan import Operation

    opened = _open(console, cwd, stack, "Refreshing", engine=engine)
    request = operations.Request(
        Operation.REFRESH, targets, target_dependents, clear_pending_creates=clear_pending_creates
    )
    if expect_no_changes:
        with _telling(console) as told:
            plan = operations.preview(opened, request, told)
        told.rest(plan)
        _show(console, plan)
        return _exit(plan, expect_no_changes)
    applied = _apply(console, opened, request, "Refresh", yes=yes or clear_pending_creates)
    return Exit.OK if applied is not None else Exit.CANCELLED


@click.command()
@stack_options
@_yes
@command
def cancel(console: Console, cwd: Path, stack: str | None, yes: bool) -> Exit:
    """Remove the locks of an operation that has died. Whatever it had begun is told by the next one."""
    from flowinfra.control.stacks import open_stack

    opened = open_stack(cwd, stack)
    holders = _holders(opened)
    if holders and not console.as_json:
        console.note("\n".join(f"locked by {holder}" for holder in holders))
    if not yes and holders != [] and not console.confirm(f"Remove the locks of {opened.ref.project}/{opened.stack}?"):
        if console.as_json:
            console.document({"removed": []})
        console.note("nothing was changed; --yes answers without asking")
        return Exit.CANCELLED
    removed = opened.engine.cancel(opened.ref)
    if console.as_json:
        console.document({"removed": list(removed)})
    else:
        console.data("\n".join(f"removed the lock of {holder}" for holder in removed) or "there is no lock")
    return Exit.OK


@click.command()
@click.argument("name", required=False)
@stack_options
@click.option("--show-secrets", is_flag=True, help="Show production tokens and other secrets.")
@command
def outputs(console: Console, cwd: Path, name: str | None, stack: str | None, show_secrets: bool) -> Exit:
    """Show the stack's outputs, or the one called NAME."""
    from flowinfra.cli.views.outputs import outputs_text
    from flowinfra.control.stacks import open_stack
    from flowinfra.diagnostics import NotFoundError, error, nearest

    opened = open_stack(cwd, stack)
    values = dict(opened.engine.outputs(opened.ref, show_secrets))
    if name is not None and name not in values:
        raise NotFoundError(
            error(
                "FI841",
                f"the stack {opened.stack} has no output `{name}`{nearest(name, values)}",
                detail=f"its outputs are {', '.join(values)}" if values else "nothing has been deployed with it yet",
                hint=f"flowinfra outputs --stack {opened.stack}",
            )
        )
    if console.as_json:
        console.document(values if name is None else values[name])
    else:
        console.data(outputs_text(values if name is None else {name: values[name]}, console))
    return Exit.OK


def _open(
    console: Console,
    cwd: Path,
    stack: str | None,
    doing: str,
    *,
    engine: str | None = None,
    base: Path | None = None,
) -> OpenStack:
    from flowinfra.control.stacks import open_stack

    opened = open_stack(cwd, stack, engine=engine, base=base)
    if not console.as_json:
        how = "offline" if opened.engine.name == "recorder" else f"with the {opened.engine.name} engine"
        console.note(f"{doing} {opened.ref.project}/{opened.stack} {how}\n")
    return opened


def _holders(opened: OpenStack) -> list[str] | None:
    """Who holds the stack's locks; None where only the backend itself knows."""
    from flowinfra.engine.state.backend import Backend

    ref = opened.ref
    if not ref.backend_url.startswith(("file://", "s3://")):
        return None
    locks = Backend.open(ref.backend_url).stack(ref.project, ref.stack).locks
    return [f"{lock}, {lock.status}" for lock in locks]


def _apply(
    console: Console, opened: OpenStack, request: Request, verb: str, *, yes: bool, saved: Path | None = None
) -> Plan | None:
    """Preview, ask, apply and show what was applied; None if the answer was no."""
    from flowinfra.control import operations
    from flowinfra.engine.base import Declined

    def ask(plan: Plan) -> None:
        told.rest(plan)
        if not console.as_json:
            _show(console, plan)
        if not console.confirm(f"{verb} {opened.ref.project}/{opened.stack}?"):
            declined.append(plan)
            raise Declined

    declined: list[Plan] = []
    try:
        with _telling(console, progress=True) as told:
            plan = operations.apply(opened, request, told, ask=None if yes else ask, saved=saved)
    except Declined:
        if console.as_json:
            console.document(declined[-1].to_json())
        console.note("nothing was changed; --yes answers without asking")
        return None
    told.rest(plan)
    _show(console, plan, applied=plan.has_changes)
    return plan


def _show(console: Console, plan: Plan, *, applied: bool = False, markdown: bool = False) -> None:
    from flowinfra.cli.views.findings import findings_text
    from flowinfra.cli.views.plan_markdown import plan_markdown
    from flowinfra.cli.views.plan_text import plan_text

    if console.as_json:
        console.document(plan.to_json())
        return
    if markdown:
        console.data(plan_markdown(plan))
        return
    text = findings_text(plan.findings, console)
    if text:
        console.note(text + "\n")
    console.data(plan_text(plan, console, applied=applied))


def _exit(plan: Plan, expect_no_changes: bool) -> Exit:
    if plan.errored:
        return Exit.RESOURCE
    return Exit.CHANGES if expect_no_changes and plan.has_changes else Exit.OK


@dataclass(slots=True)
class _Told:
    """What is told while an operation runs, on stderr; with ``--json`` nothing.

    What only informs is told at once, and a line for each resource that changes. Warnings and errors wait: most of them
    are findings of the plan, which tells more about them, and nobody shall read them twice.
    """

    console: Console
    progress: bool
    waiting: list[LogEvent] = field(default_factory=list)
    lines: int = 0

    def __call__(self, event: Event) -> None:
        from flowinfra.engine.base import LogEvent

        if self.console.as_json:
            return
        if isinstance(event, LogEvent):
            if event.severity == "info":
                self.console.note(f"info: {event.message}")
            else:
                self.waiting.append(event)
        elif self.progress and event.phase == "done" and event.action not in ("same", "read", "refresh"):
            name = event.address.rsplit("::", 1)[-1]
            kind = event.address.split("::")[2].rsplit(":", 1)[-1]
            self.console.note(self.console.style(f"  {event.action:<8} {kind} {name}", "dim", stream=sys.stderr))
            self.lines += 1

    def rest(self, plan: Plan | None) -> None:
        """Tell what *plan* does not; None if there is none, since the operation has failed."""
        found = {f.summary for f in plan.findings} if plan is not None else set()
        for event in self.waiting:
            if event.message not in found:
                self.console.note(f"{event.severity}: {event.message}")
        self.waiting.clear()
        if self.lines and plan is not None:
            self.console.note()


@contextlib.contextmanager
def _telling(console: Console, *, progress: bool = False) -> Iterator[_Told]:
    """Around an operation; what the program prints is no part of the plan."""
    told = _Told(console, progress)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield told
    except BaseException:
        told.rest(None)
        raise


def _next_steps(console: Console, opened: OpenStack, plan: Plan) -> None:
    if console.as_json or not plan.has_changes:
        return
    from flowinfra.components.flow_deployment import TYPE

    deployed = [c.after["deployment"] for c in plan.changes if c.type == TYPE and c.after]
    if deployed:
        name = f"{deployed[0]['flow']}/{deployed[0]['name']}"
        console.note(f"\nnext: flowinfra trigger {name} --stack {opened.stack} --wait")
