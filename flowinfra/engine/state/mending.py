"""What can be wrong with the resources of a state, and what is left of them when it is put right. Pure.

The rules are those that the real CLI checks before it writes a state (``Snapshot.VerifyIntegrity``), and what
``pulumi state repair`` does about them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flowinfra.diagnostics import EngineError, Source, error
from flowinfra.engine.state.order import in_order
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.urns import is_provider, provider_reference, split_reference, urn_name

__all__ = ["Flaw", "mended", "refuse_flawed"]


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is wrong, and what becomes of it."""

    urn: str
    what: str
    remedy: str
    """Empty where nothing can be done about it here."""


def mended(resources: Sequence[ResourceState]) -> tuple[list[ResourceState], list[Flaw]]:
    """*resources* as they should be, and what was wrong with them."""
    flaws: list[Flaw] = []
    once = _once(resources, flaws)
    urns = {r.urn for r in once}
    providers = {r.urn: r.id for r in once if is_provider(r.type) and not r.delete}
    references = {provider_reference(r.urn, r.id) for r in once if is_provider(r.type)}
    whole = [_linked(r, urns, providers, references, flaws) for r in once]
    ordered = in_order(whole)
    if [id(r) for r in ordered] != [id(r) for r in whole] and not _is_ordered(whole):
        flaws.append(Flaw("", "resources come before what they depend on", "they are put in order"))
        return ordered, flaws
    return whole, flaws


def refuse_flawed(resources: Sequence[ResourceState], where: str) -> None:
    """Refuse to work with a state that does not fit together, as the real CLI does.

    With one that holds a resource twice, the second entry would count as something that the program does not want any
    more, and the object that both stand for would be deleted. What cannot be mended is left to whoever needs it.

    Raises:
        EngineError: FI625.
    """
    flaws = [flaw for flaw in mended(resources)[1] if flaw.remedy]
    if flaws:
        raise EngineError(
            error(
                "FI625",
                flaw.what,
                detail=flaw.urn,
                hint=f"run `flowinfra state repair`: {flaw.remedy}",
                source=Source(where),
            )
            for flaw in flaws
        )


def _is_ordered(resources: Sequence[ResourceState]) -> bool:
    there = {r.urn for r in resources}
    seen: set[str] = set()
    for state in resources:
        if any(urn in there and urn not in seen for urn in state.edges()):
            return False
        seen.add(state.urn)
    return True


def _once(resources: Sequence[ResourceState], flaws: list[Flaw]) -> list[ResourceState]:
    """Each resource once, and of each URN one that is kept."""
    exact: set[tuple[str, str, bool]] = set()
    kept: set[str] = set()
    out: list[ResourceState] = []
    for state in resources:
        key = (state.urn, state.id, state.delete)
        if key in exact:
            flaws.append(Flaw(state.urn, f"'{urn_name(state.urn)}' is there twice", "the second entry is dropped"))
            continue
        exact.add(key)
        if not state.delete and state.urn in kept:
            flaws.append(
                Flaw(
                    state.urn,
                    f"'{urn_name(state.urn)}' stands for two objects, one of them with id {state.id}",
                    "the second one counts as left over from a replacement: the next `up` deletes it",
                )
            )
            state = replace(state, delete=True)
        elif not state.delete:
            kept.add(state.urn)
        out.append(state)
    return out


def _linked(
    state: ResourceState, urns: set[str], providers: dict[str, str], references: set[str], flaws: list[Flaw]
) -> ResourceState:
    """*state* without what it names and is not there."""
    name = urn_name(state.urn)
    lost = {*state.dependencies, *(u for us in state.property_dependencies.values() for u in us)} - urns
    if lost:
        flaws.append(
            Flaw(state.urn, f"'{name}' depends on {', '.join(sorted(lost))}, which is not there", "it is left out")
        )
        state = replace(
            state,
            dependencies=tuple(u for u in state.dependencies if u in urns),
            property_dependencies={k: [u for u in us if u in urns] for k, us in state.property_dependencies.items()},
        )
    if state.deleted_with and state.deleted_with not in urns:
        flaws.append(Flaw(state.urn, f"'{name}' goes together with {state.deleted_with}, which is not there",
                          "it is deleted by itself"))  # fmt: skip
        state = replace(state, deleted_with="")
    if state.parent and state.parent not in urns:
        flaws.append(Flaw(state.urn, f"the parent of '{name}', {state.parent}, is not there", "it has no parent then"))
        state = replace(state, parent="")
    if state.provider and state.provider not in references:
        urn, _ = split_reference(state.provider)
        if urn in providers:
            flaws.append(Flaw(state.urn, f"the provider of '{name}' has another id", "the present one takes its place"))
            state = replace(state, provider=provider_reference(urn, providers[urn]))
        else:
            flaws.append(Flaw(state.urn, f"the provider of '{name}', {urn}, is not there", ""))
    return state
