"""A refresh of single properties, and one the other way round: what is recorded is put back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from flowinfra.engine.deployment import Deployment
from flowinfra.engine.interpreter import Found, Package, Unhealthy
from flowinfra.engine.ledger import Entry
from flowinfra.engine.places import place_of
from flowinfra.engine.state.resources import ResourceState, timestamp
from flowinfra.engine.values import Properties, as_secret_as, changed_paths, equal
from flowinfra.model.plan import Action

__all__ = ["narrowed", "put_back"]


def narrowed(found: Found, old: ResourceState, fields: Collection[str]) -> Found:
    """*found*, with all but *fields* as the state has it; what providers keep for themselves goes with them."""
    return replace(
        found, inputs=_with(old.inputs, found.inputs, fields), outputs=_with(old.outputs, found.outputs, fields)
    )


def put_back(deployment: Deployment, entry: Entry, old: ResourceState, package: Package, found: Found | None) -> None:
    """Make the resource what the state says, as far as the operation's ``fields`` ask for it; record what it is then.

    Args:
        deployment: the operation.
        entry: the resource in the state.
        old: what is recorded of it.
        package: its provider.
        found: what it is; None if it does not exist any more, and is made again.

    Raises:
        EngineError: the provider failed.
    """
    ledger, source = deployment.ledger, place_of(old.source_position, deployment.stack.project_dir)
    if found is None:
        reason = "it does not exist any more, and is made again"
        deployment.plan.add(Action.CREATE, old, before=None, after=old.inputs, reason=reason, source=source)
        errors: tuple[str, ...] = ()
        unhealthy = None
        with ledger.operation("creating", replace(old, id="", outputs={})):
            try:
                made = package.create(old.urn, old.inputs, deployment.timeout(old, "create"))
            except Unhealthy as problem:
                made, errors, unhealthy = problem.made, problem.reasons, problem
            ledger.take_over(entry, made.id, old.inputs, as_secret_as(made.outputs, old.outputs), timestamp(), errors)
        if unhealthy is not None:
            raise unhealthy
        return
    asked = deployment.options.fields.get(old.urn)
    fields = tuple({**old.inputs, **found.inputs}) if asked is None else asked
    inputs = as_secret_as(found.inputs, old.inputs) if found.inputs else old.inputs
    live = replace(old, inputs=inputs, outputs=as_secret_as(found.outputs, old.outputs))
    wanted = _with(inputs, old.inputs, fields)
    # A provider may say what differs in the outputs only.
    outputs = {**old.outputs, **live.outputs} if asked is None else dict.fromkeys(fields)
    moved = any(not equal(old.outputs.get(k), live.outputs.get(k)) for k in outputs)
    if equal(wanted, inputs) and not moved:
        deployment.plan.add(Action.SAME, old, before=old.inputs, after=old.inputs, source=source)
        return
    changed = tuple(changed_paths(inputs, wanted))
    deployment.plan.add(Action.UPDATE, old, before=inputs, after=wanted, changed=changed, source=source)
    with ledger.operation("updating", live):
        outputs = package.update(live, wanted, old.ignore_changes, deployment.timeout(old, "update"))
        outputs = as_secret_as(outputs, old.outputs)
        outputs = outputs if asked is None else _with(old.outputs, outputs, fields)
        ledger.take_over(entry, old.id, old.inputs, outputs, timestamp())


def _with(base: Properties, other: Properties, fields: Collection[str]) -> Properties:
    """*base* with *fields* as *other* has them or does not have them."""
    own = {k for k in {**base, **other} if k in fields or k.startswith("__")}
    kept = {k: v for k, v in base.items() if k not in own}
    return kept | {k: v for k, v in other.items() if k in own}
