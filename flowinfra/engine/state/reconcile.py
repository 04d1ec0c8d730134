"""A checkpoint and a journal that belong to two histories: nothing of either may be lost. Pure."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from flowinfra.diagnostics import Diagnostic, Source, warning
from flowinfra.engine.state.checkpoint import Snapshot
from flowinfra.engine.state.journal import Journal, Replayed
from flowinfra.engine.state.mending import mended
from flowinfra.engine.state.resources import Pending, ResourceState
from flowinfra.engine.urns import is_provider, provider_reference, split_reference, urn_name
from flowinfra.engine.values import Properties, has_ciphertext

__all__ = ["reconciled"]


def reconciled(snapshot: Snapshot, journal: Journal, where: str) -> Snapshot:
    """*snapshot*, which somebody has written without *journal*, with everything that only the journal knows.

    That is the case where an operation was killed, its lock removed by ``pulumi cancel``, and another engine went on.
    What was created since the journal's last fold, and the checkpoint does not have, is left over: it is to be deleted;
    unless another resource of the checkpoint stands for the same object, which somebody has renamed or imported.
    Creations that did not end stay pending.
    """
    played = Replayed()
    for record in journal.records:
        played.apply(record)
    known = {(r.urn, r.id) for r in snapshot.resources}
    taken = {(r.type, r.id) for r in snapshot.resources if not r.delete}
    lost = [
        replace(state, delete=True)
        for state in played.made.values()
        if state.custom
        and (state.urn, state.id) not in known
        and (state.type, state.id) not in taken
        and not is_provider(state.type)
        and not state.external
        and not state.retain_on_delete
    ]
    told = {(p.type, p.resource.urn, repr(p.resource.inputs)) for p in snapshot.pending}
    begun = [
        p
        for p in played.pending.values()
        if p.type == "creating"
        and not is_provider(p.resource.type)
        and (p.type, p.resource.urn, repr(p.resource.inputs)) not in told
    ]
    salts = {snapshot.salt, played.salt} - {None}
    if len(salts) > 1:  # what was sealed with another key cannot be opened any more
        lost = [_without_secrets(state) for state in lost]
        begun = [replace(p, resource=_without_secrets(p.resource)) for p in begun]
    providers = _providers([*lost, *(p.resource for p in begun)], snapshot, played)
    resources, _ = mended([*snapshot.resources, *providers, *lost])
    digest = sha256(f"{snapshot.digest} {journal.base} {len(journal.records)}".encode()).hexdigest()
    return replace(
        snapshot,
        resources=tuple(resources),
        pending=(*snapshot.pending, *begun),
        salt=snapshot.salt or played.salt,
        digest=digest,
        journaled=True,
        findings=(*(_left_over(state, where) for state in lost), *_unsure(begun, where)),
    )


def _providers(states: list[ResourceState], snapshot: Snapshot, played: Replayed) -> list[ResourceState]:
    """The providers that *states* need and that the snapshot does not have in any form."""
    there = {r.urn for r in snapshot.resources}
    made = {provider_reference(s.urn, s.id): s for s in played.made.values() if is_provider(s.type)}
    wanted = dict.fromkeys(s.provider for s in states if split_reference(s.provider)[0] not in there)
    return [made[reference] for reference in wanted if reference in made]


def _without_secrets(state: ResourceState) -> ResourceState:
    def open_ones(properties: Properties) -> Properties:
        return {k: v for k, v in properties.items() if not has_ciphertext(v)}

    return replace(state, inputs=open_ones(state.inputs), outputs=open_ones(state.outputs))


def _left_over(state: ResourceState, where: str) -> Diagnostic:
    return warning(
        "FI618",
        f"'{urn_name(state.urn)}' was created by an operation that was killed, and the state went on without it",
        detail=f"{state.urn} with id {state.id}: it is left over, and the next `up` or `destroy` deletes it",
        hint="look at the plan; to keep it, set `retainOnDelete` or take it out of the state with `pulumi state delete`",
        source=Source(where),
    )


def _unsure(begun: list[Pending], where: str) -> list[Diagnostic]:
    names = ", ".join(f"'{urn_name(p.resource.urn)}'" for p in begun)
    return [
        warning(
            "FI618",
            f"an operation that was killed was creating {names}, and the state went on without it",
            detail="whether that was created is not known; the record is taken over into the state",
            hint="run `flowinfra preview`: it looks for it, where the provider can",
            source=Source(where),
        )
        for _ in begun[:1]
    ]
