"""Reading what exists: resources that a program only looks up, and the refresh of a whole stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowinfra.diagnostics import EngineError, error, warning
from flowinfra.engine.deletion import in_parallel
from flowinfra.engine.deployment import Deployment
from flowinfra.engine.ledger import Entry
from flowinfra.engine.places import place_of
from flowinfra.engine.reverting import narrowed, put_back
from flowinfra.engine.state.resources import ResourceState, timestamp
from flowinfra.engine.urns import is_provider, urn_name
from flowinfra.engine.values import UNKNOWN, as_secret_as, changed_paths, equal, secret
from flowinfra.model.plan import Action

__all__ = ["read_resource", "refresh_all"]


def read_resource(deployment: Deployment, wanted: ResourceState, source: str) -> ResourceState:
    """Look up a resource that exists without this stack; the state keeps it as external and never deletes it.

    Raises:
        EngineError: FI631, it does not exist.
    """
    deployment.check_running()
    entry = deployment.ledger.claim(wanted.urn, ())
    old = deployment.ledger.open(entry) if entry is not None else None
    package = deployment.package_for(wanted.type, wanted.provider, wanted.urn)
    state = wanted
    if wanted.id != UNKNOWN:
        found = package.read(wanted.urn, wanted.id, wanted.inputs, wanted.inputs, deployment.timeout(wanted, "read"))
        if found is None:
            raise EngineError(
                error(
                    "FI631",
                    f"'{urn_name(wanted.urn)}' does not exist",
                    detail=f"{wanted.urn} reads the {wanted.type} with id {wanted.id!r}",
                    hint="correct the id, or create the resource first",
                )
            )
        hidden = set(wanted.additional_secret_outputs)
        outputs = {k: secret(v) if k in hidden else v for k, v in found.outputs.items()}
        state = replace(wanted, outputs=outputs)
    if old is not None and old.external:
        state = replace(state, created=old.created, modified=old.modified, rest=old.rest)
        state = replace(state, source_position=old.source_position or state.source_position)
    # A resource that the stack owned so far is given up: it is deleted, unless it is the one that is read.
    given_up = old is not None and not old.external and old.id != wanted.id
    deployment.plan.add(
        Action.REPLACE if given_up else Action.READ,
        state,
        before=None if old is None else old.inputs,
        after=state.inputs,
        replaced_by=("id",) if given_up else (),
        source=source,
    )
    if given_up and entry is not None:
        deployment.ledger.condemn(entry)
        entry = None
    deployment.ledger.commit(state, entry)
    return state


def refresh_all(deployment: Deployment, before: Sequence[ResourceState]) -> None:
    """Take what the providers say over into the state; nothing else is changed.

    With targets, of these only. *before* is the whole last state.

    Raises:
        EngineError: a provider failed.
    """
    entries = [e for e in deployment.ledger.waiting() if not e.state.delete and not e.state.pending_replacement]
    real = [e for e in entries if e.state.custom and not is_provider(e.state.type)]
    if deployment.targeting.constrained:
        chosen = deployment.targeting.refreshable(before)
        real = [e for e in real if e.was in chosen]
    in_parallel(deployment, lambda entry: _refresh(deployment, entry), real)


def _refresh(deployment: Deployment, entry: Entry) -> None:
    deployment.check_running()
    old = deployment.ledger.open(entry)
    deployment.began(old.urn, Action.REFRESH)
    try:
        package = deployment.package_for(old.type, old.provider, old.urn)
        found = package.read(old.urn, old.id, old.inputs, old.outputs, deployment.timeout(old, "read"))
        deployment.ledger.was_read(old)
        if deployment.options.revert:
            put_back(deployment, entry, old, package, found)
    except BaseException as problem:
        deployment.ended(old.urn, Action.REFRESH, problem)
        raise
    if deployment.options.revert:
        deployment.ended(old.urn, Action.REFRESH)
        return
    if found is not None and old.urn in deployment.options.fields:
        found = narrowed(found, old, deployment.options.fields[old.urn])
    if found is None:
        deployment.plan.add(Action.DELETE, old, before=old.inputs, after=None, reason="it does not exist any more")
        deployment.ledger.vanish(entry)
    else:
        outputs = as_secret_as(found.outputs, old.outputs)
        inputs = as_secret_as(found.inputs, old.inputs) if found.inputs else old.inputs
        same = equal(outputs, old.outputs) and equal(inputs, old.inputs) and found.id == old.id
        # What differs in the outputs only, such as what an operator has changed, is shown among the inputs.
        moved = {k for k in {**old.outputs, **outputs} if not equal(old.outputs.get(k), outputs.get(k))}
        before = {**old.inputs, **{k: v for k, v in old.outputs.items() if k in moved and not k.startswith("__")}}
        after = {**inputs, **{k: v for k, v in outputs.items() if k in moved and not k.startswith("__")}}
        deployment.plan.add(
            Action.SAME if same else Action.REFRESH,
            old,
            before=before,
            after=after,
            changed=tuple(changed_paths(before, after)),
            source=place_of(old.source_position, deployment.stack.project_dir),
        )
        if found.errors:
            deployment.say(
                warning(
                    "FI657",
                    f"'{urn_name(old.urn)}' is not as it should be: {found.errors[0]}",
                    detail="\n".join([old.urn, *found.errors[1:]]),
                    hint="it is in the state with this error; the next `flowinfra up` updates it",
                ),
                old.urn,
            )
        if not same or found.errors != old.init_errors:
            modified = old.modified if same else timestamp()
            deployment.ledger.take_over(entry, found.id, inputs, outputs, modified, found.errors)
    deployment.ended(old.urn, Action.REFRESH)
