"""Creations that an earlier operation did not end: found by their inputs, and taken over instead of made twice.

The record of such a creation holds its checked inputs, with the name that the provider had drawn for it. A provider
that can look for an object by them (:meth:`~flowinfra.engine.interpreter.Package.find`) makes the difference to the
real CLI, which creates a second object and leaves the first one where it is.

A name may be the user's own, and stand for something else: the provider says nothing of what this stack has not made
(:class:`~flowinfra.engine.packages.FindRequest`), and what another resource of the stack stands for is not taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from flowinfra.diagnostics import EngineError
from flowinfra.engine.deployment import Deployment
from flowinfra.engine.interpreter import Found, Package, Sought
from flowinfra.engine.ledger import Entry, Fate
from flowinfra.engine.state.resources import Pending, ResourceState, timestamp
from flowinfra.engine.urns import is_provider, provider_reference, split_reference
from flowinfra.engine.values import as_secret_as, equal, is_secret, plain, secret

__all__ = ["ADOPTED", "adopt_owed", "find_left_over", "settle_pending"]

#: Why a plan shows a resource that is in no state.
ADOPTED = "adopted: an interrupted operation had created it"


def adopt_owed(
    deployment: Deployment,
    wanted: ResourceState,
    entry: Entry | None,
    old: ResourceState | None,
    package: Package | None,
    replaces: Callable[[ResourceState], bool],
) -> tuple[Entry | None, ResourceState | None, bool]:
    """Take over what an interrupted creation of *wanted* has made.

    Args:
        deployment: the operation.
        wanted: what the program registers.
        entry: what the last state knows under its name.
        old: its state.
        package: answers for it; None for components.
        replaces: whether what the program wants would replace the given state.

    Returns:
        What counts as its last state now, and whether it was taken over.
    """
    ledger, taken = deployment.ledger, False
    if package is None:
        return entry, old, taken
    if entry is not None and old is not None and not old.external and ledger.unsure(old):
        entry, old = _looked_at(deployment, entry, old, package)
    while (owed := ledger.owed(wanted.urn)) is not None:
        sought = _find(deployment, package, owed)
        if not sought.told:
            break
        if sought.found is None:
            ledger.settle(wanted.urn, "absent")
        elif old is not None and sought.found.id == old.id:
            ledger.settle(wanted.urn, "adopted")  # it had come into the state after all
        elif old is not None and not (old.external or old.pending_replacement or replaces(old)):
            ledger.adopt(_made_of(owed, sought.found, wanted.provider), left_over=True)
        else:
            if entry is not None and old is not None and not (old.external or old.pending_replacement):
                ledger.condemn(entry)
                entry.claimed = False  # it goes for itself: what takes its place is there already
            elif entry is not None:
                ledger.drop(entry)
            old, taken = _made_of(owed, sought.found, wanted.provider), True
            entry = ledger.adopt(old)
    return entry, old, taken


def _find(deployment: Deployment, package: Package, owed: Pending) -> Sought:
    """What the creation *owed* has made, as far as its provider knows."""
    sought = package.find(owed.resource.urn, owed.resource.inputs)
    if sought.found is not None and deployment.ledger.is_taken(owed.resource, sought.found.id):
        return Sought(told=True)  # as when its name was registered under another one meanwhile
    return sought


def _looked_at(
    deployment: Deployment, entry: Entry, old: ResourceState, package: Package
) -> tuple[Entry | None, ResourceState | None]:
    """*entry* and its state as they are after a change or a deletion of which nobody knows whether it happened."""
    try:
        found = package.read(old.urn, old.id, old.inputs, old.outputs)
    except EngineError:  # it goes on as if nothing had happened, and what the finding FI630 says holds
        return entry, old
    deployment.ledger.was_read(old)
    if found is None:
        deployment.ledger.vanish(entry)
        return None, None
    if found.outputs and not (equal(plain(found.outputs), plain(old.outputs)) and found.id == old.id):
        inputs = as_secret_as(found.inputs, old.inputs) if found.inputs else old.inputs
        outputs = as_secret_as(found.outputs, old.outputs)
        deployment.ledger.take_over(entry, found.id, inputs, outputs, timestamp())
        old = deployment.ledger.open(entry)
    return entry, old


def find_left_over(deployment: Deployment) -> None:
    """Look for what interrupted creations have made and the program does not want any more: it is to be deleted."""
    ledger = deployment.ledger
    seen = ledger.seen
    for urn in ledger.owing():
        if urn in seen:  # its provider cannot say
            continue
        while (owed := ledger.owed(urn)) is not None:
            package, provider = _package_of(deployment, owed.resource)
            if package is None:
                break
            sought = _find(deployment, package, owed)
            if not sought.told:
                break
            if sought.found is None:
                ledger.settle(urn, "absent")
            elif ledger.find(urn, sought.found.id) is not None:
                ledger.settle(urn, "adopted")
            else:
                ledger.adopt(_made_of(owed, sought.found, provider), left_over=True)


def settle_pending(deployment: Deployment) -> list[tuple[str, Fate | None]]:
    """Look for what all interrupted creations have made, without a program that says what is wanted.

    What is found under a URN that the state does not have is taken over, anything else is to be deleted by the next
    operation. Returns the URNs with what became of them; None where the provider cannot say.
    """
    ledger = deployment.ledger
    told: list[tuple[str, Fate | None]] = []
    for urn in ledger.owing():
        while (owed := ledger.owed(urn)) is not None:
            package, provider = _package_of(deployment, owed.resource)
            sought = Sought(told=False) if package is None else _find(deployment, package, owed)
            if not sought.told:
                told.append((urn, None))
                break
            if sought.found is None:
                ledger.settle(urn, "absent")
                told.append((urn, "absent"))
            elif ledger.find(urn, sought.found.id) is not None:
                ledger.settle(urn, "adopted")
                told.append((urn, "adopted"))
            else:
                there = ledger.last(urn) is not None or any(u == urn and f == "adopted" for u, f in told)
                ledger.adopt(_made_of(owed, sought.found, provider), left_over=there)
                told.append((urn, "left over" if there else "adopted"))
    ledger.finish()
    return told


def _package_of(deployment: Deployment, state: ResourceState) -> tuple[Package | None, str]:
    """Who answers for *state*, and the reference to that provider; None where it is in the state no more."""
    if is_provider(state.type):
        return deployment.package_for(state.type, "", state.urn), ""
    urn, id_ = split_reference(state.provider)
    known = deployment.ledger.find(urn, id_) or deployment.ledger.last(urn)
    if known is None:
        return None, ""
    reference = provider_reference(known.urn, known.id)
    try:
        return deployment.package_for(state.type, reference, state.urn), reference
    except EngineError:  # the provider cannot be had; the record stays, and says so
        return None, ""


def _made_of(owed: Pending, found: Found, provider: str) -> ResourceState:
    """The state of what the creation *owed* has made."""
    now, state = timestamp(), owed.resource
    hidden = {k for k, v in state.inputs.items() if is_secret(v)} | set(state.additional_secret_outputs)
    return replace(
        state,
        id=found.id,
        outputs={k: secret(v) if k in hidden else v for k, v in found.outputs.items()},
        provider=provider,
        created=now,
        modified=now,
    )
