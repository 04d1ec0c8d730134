"""``preview``, ``up``, ``destroy``, ``refresh``, ``cancel`` and ``outputs``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.options import command, stack_options

if TYPE_CHECKING:
    from flowinfra.control.stacks import OpenStack
    from flowinfra.engine.base import Event
    from flowinfra.model.plan import Plan

__all__ = ["cancel", "destroy", "outputs", "preview", "refresh", "up"]

_expect = click.option("--expect-no-changes", is_flag=True, help="Exit with 7 if anything would change.")
_yes = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


@click.command()
@stack_options
@_expect
@command
def preview(console: Console, cwd: Path, stack: str | None, expect_no_changes: bool) -> Exit:
    """Show what `up` would change: in the flows first, then in the resources.

    Nothing is changed, and neither network nor credentials are needed.
    """
    opened = _open(console, cwd, stack, "Previewing")
    plan = _enriched(opened.engine.preview(opened.ref, _logs(console)))
    _show(console, plan)
    return _exit(plan, expect_no_changes)


@click.command()
@stack_options
@_expect
@_yes
@command
def up(console: Console, cwd: Path, stack: str | None, expect_no_changes: bool, yes: bool) -> Exit:
    """Make what is deployed what the program says.

    Shows the preview first and asks. Without a change nothing at all is written.
    """
    opened = _open(console, cwd, stack, "Updating")
    if yes and not expect_no_changes:
        plan = _enriched(opened.engine.up(opened.ref, _progress(console)))
        _show(console, plan, applied=True)
        _next_steps(console, opened, plan)
        return Exit.OK
    plan = _enriched(opened.engine.preview(opened.ref, _logs(console)))
    if not plan.has_changes or expect_no_changes:
        _show(console, plan)
        return _exit(plan, expect_no_changes)
    if not _agreed(console, plan, f"Update {opened.ref.project}/{opened.stack}?"):
        return Exit.CANCELLED
    plan = _enriched(opened.engine.up(opened.ref, _progress(console)))
    _show(console, plan, applied=True)
    _next_steps(console, opened, plan)
    return Exit.OK


@click.command()
@stack_options
@_yes
@command
def destroy(console: Console, cwd: Path, stack: str | None, yes: bool) -> Exit:
    """Delete everything that the stack has deployed. Runs and what they made stay in the store."""
    from flowinfra.model.plan import Operation

    opened = _open(console, cwd, stack, "Destroying")
    plan = _enriched(opened.engine.preview(opened.ref, _logs(console), operation=Operation.DESTROY))
    if not plan.has_changes:
        _show(console, plan)
        return Exit.OK
    if not yes and not _agreed(console, plan, f"Delete all of {opened.ref.project}/{opened.stack}?"):
        return Exit.CANCELLED
    plan = _enriched(opened.engine.destroy(opened.ref, _progress(console)))
    _show(console, plan, applied=True)
    return Exit.OK


@click.command()
@stack_options
@_expect
@_yes
@click.option("--clear-pending-creates", is_flag=True, help="Forget creations that were interrupted.")
@command
def refresh(
    console: Console, cwd: Path, stack: str | None, expect_no_changes: bool, yes: bool, clear_pending_creates: bool
) -> Exit:
    """Take over into the state what is really there. No resource is changed."""
    from flowinfra.model.plan import Operation

    opened = _open(console, cwd, stack, "Refreshing")
    if clear_pending_creates:
        plan = opened.engine.refresh(opened.ref, _progress(console), clear_pending_creates=True)
        _show(console, plan, applied=True)
        return Exit.OK
    plan = opened.engine.preview(opened.ref, _logs(console), operation=Operation.REFRESH)
    if not plan.has_changes or expect_no_changes:
        _show(console, plan)
        return _exit(plan, expect_no_changes)
    if not yes and not _agreed(console, plan, f"Refresh {opened.ref.project}/{opened.stack}?"):
        return Exit.CANCELLED
    plan = opened.engine.refresh(opened.ref, _progress(console))
    _show(console, plan, applied=True)
    return Exit.OK


@click.command()
@stack_options
@_yes
@command
def cancel(console: Console, cwd: Path, stack: str | None, yes: bool) -> Exit:
    """Remove the locks of an operation that has died. Whatever it had begun is told by the next one."""
    from flowinfra.control.stacks import open_stack

    opened = open_stack(cwd, stack)
    if not yes and not console.confirm(f"Remove the locks of {opened.ref.project}/{opened.stack}?"):
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


def _open(console: Console, cwd: Path, stack: str | None, doing: str) -> OpenStack:
    from flowinfra.control.stacks import open_stack

    opened = open_stack(cwd, stack)
    if not console.as_json:
        console.note(f"{doing} {opened.ref.project}/{opened.stack} with the {opened.engine.name} engine\n")
    return opened


def _enriched(plan: Plan) -> Plan:
    from flowinfra.control.plans import with_flow_diffs

    return with_flow_diffs(plan)


def _show(console: Console, plan: Plan, *, applied: bool = False) -> None:
    from flowinfra.cli.views.findings import findings_text
    from flowinfra.cli.views.plan_text import plan_text

    if console.as_json:
        console.document(plan.to_json())
        return
    text = findings_text(plan.findings, console)
    if text:
        console.note(text + "\n")
    console.data(plan_text(plan, console, applied=applied))


def _exit(plan: Plan, expect_no_changes: bool) -> Exit:
    if plan.errored:
        return Exit.RESOURCE
    return Exit.CHANGES if expect_no_changes and plan.has_changes else Exit.OK


def _agreed(console: Console, plan: Plan, question: str) -> bool:
    if not console.as_json:
        _show(console, plan)
    if console.confirm(question):
        return True
    console.note("nothing was changed; --yes answers without asking")
    return False


def _logs(console: Console) -> Callable[[Event], None]:
    """What program and providers say, on stderr; with ``--json`` nothing."""
    from flowinfra.engine.base import LogEvent

    def say(event: Event) -> None:
        if isinstance(event, LogEvent) and not console.as_json:
            console.note(f"{event.severity}: {event.message}")

    return say


def _progress(console: Console) -> Callable[[Event], None]:
    """The same, and a line for each resource that changes."""
    from flowinfra.engine.base import LogEvent

    logs = _logs(console)

    def say(event: Event) -> None:
        logs(event)
        if isinstance(event, LogEvent) or console.as_json:
            return
        if event.phase == "done" and event.action not in ("same", "read"):
            name = event.address.rsplit("::", 1)[-1]
            kind = event.address.split("::")[2].rsplit(":", 1)[-1]
            console.note(console.style(f"  {event.action:<8} {kind} {name}", "dim"))

    return say


def _next_steps(console: Console, opened: OpenStack, plan: Plan) -> None:
    if console.as_json or not plan.has_changes:
        return
    from flowinfra.components.flow_deployment import TYPE

    deployed = [c.after["deployment"] for c in plan.changes if c.type == TYPE and c.after]
    if deployed:
        name = f"{deployed[0]['flow']}/{deployed[0]['name']}"
        console.note(f"\nnext: flowinfra trigger {name} --stack {opened.stack} --wait")
