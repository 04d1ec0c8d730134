"""What goes, and in which order: whatever depends on a resource goes before it."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from flowinfra.diagnostics import EngineError, FlowinfraError, error
from flowinfra.engine.adopting import find_left_over
from flowinfra.engine.deployment import Deployment
from flowinfra.engine.ledger import Entry
from flowinfra.engine.places import place_of
from flowinfra.engine.state.resources import Pending, ResourceState
from flowinfra.engine.targeting import UNTARGETED
from flowinfra.engine.urns import is_provider, split_reference, urn_name
from flowinfra.engine.values import UNKNOWN, covers
from flowinfra.model.plan import Action

__all__ = ["delete_entry", "delete_rest", "dependents_to_replace", "in_parallel"]

T = TypeVar("T")


def delete_entry(
    deployment: Deployment,
    entry: Entry,
    record: Callable[[Entry, Pending | None], None],
    going: frozenset[str] = frozenset(),
) -> None:
    """Delete what *entry* stands for.

    Args:
        deployment: the operation.
        entry: what goes.
        record: records that it is gone; hooks that run afterwards cannot undo it.
        going: URNs of everything that goes together with it.

    Raises:
        EngineError: the provider or a hook failed.
    """
    deployment.check_running()
    old = deployment.ledger.open(entry)
    if old.pending_replacement:  # it was deleted by the operation that did not come to create its replacement
        record(entry, None)
        return
    deployment.hooks.run("BeforeDelete", old, old)
    kept = old.external or old.retain_on_delete or old.deleted_with in going
    if old.custom and not kept:
        package = deployment.package_for(old.type, old.provider, old.urn)
        if is_provider(old.type):
            package.delete(old, 0)  # nothing is behind it, so nothing can be pending
        else:
            with deployment.ledger.operation("deleting", old) as operation:
                package.delete(old, deployment.timeout(old, "delete"))
                record(entry, operation)
            deployment.run_after("AfterDelete", old, old)
            return
    record(entry, None)
    deployment.run_after("AfterDelete", old, old)


def dependents_to_replace(deployment: Deployment, root: ResourceState) -> list[Entry]:
    """What must be replaced because *root* is deleted before its replacement exists, in the order of the state.

    That is what depends on it by a property that cannot be changed in place, which its provider tells when this
    property is unknown; and everything whose provider is among it.

    Raises:
        EngineError: FI606, one of them is protected.
    """
    gone = {root.urn}
    found: list[Entry] = []
    # In the order of the state, in which whatever depends on a resource comes behind it.
    reached: dict[int, Entry] = {e.index: e for e in deployment.ledger.waiting_on(root.urn)}
    queue = sorted(reached)
    while queue:
        entry = reached[heapq.heappop(queue)]
        state = entry.state
        if state.delete or state.pending_replacement or not state.custom or state.external or state.urn == root.urn:
            continue
        if split_reference(state.provider)[0] not in gone:
            keys = [k for k, urns in state.property_dependencies.items() if gone.intersection(urns)]
            if not keys or is_provider(state.type):
                continue
            old = deployment.ledger.open(entry)
            probe = {**old.inputs, **{k: UNKNOWN for k in keys if k in old.inputs}}
            package = deployment.package_for(old.type, old.provider, old.urn)
            difference = package.diff(old, probe, old.ignore_changes)
            forced = difference.replaces or [
                k for k in difference.keys if any(covers(pattern, k) for pattern in old.replace_on_changes)
            ]
            if not forced:
                continue
        if state.protect:
            raise EngineError(
                error(
                    "FI606",
                    f"'{urn_name(state.urn)}' is protected and would have to be replaced together with "
                    f"'{urn_name(root.urn)}'",
                    detail=state.urn,
                    hint="remove `protect` from it and run `flowinfra up` first",
                )
            )
        gone.add(state.urn)
        found.append(entry)
        for dependent in deployment.ledger.waiting_on(state.urn):
            if dependent.index not in reached:
                reached[dependent.index] = dependent
                heapq.heappush(queue, dependent.index)
    return found


def delete_rest(deployment: Deployment, before: Sequence[ResourceState]) -> None:
    """Delete what the program has not registered, and what was replaced; all of it, for a destroy.

    With targets, only these and what depends on them. *before* is the whole last state.

    Raises:
        EngineError: FI606, something of it is protected; FI653, something of it is not targeted (nothing is deleted
            then); or a provider or a hook failed.
    """
    ledger = deployment.ledger
    if not deployment.targeting.constrained:
        find_left_over(deployment)
    rest = ledger.waiting()
    if deployment.targeting.constrained:
        deletable = deployment.targeting.deletable(before)
        for entry in [e for e in rest if e.was not in deletable and not e.state.delete]:
            inputs = ledger.open(entry).inputs
            deployment.plan.add(
                Action.SAME,
                entry.state,
                before=inputs,
                after=inputs,
                reason=UNTARGETED,
                source=place_of(entry.state.source_position, deployment.stack.project_dir),
            )
        rest = [e for e in rest if e.was in deletable]
        deployment.targeting.require_named(e.was for e in rest)
    protected = [e.state for e in rest if e.state.protect and not e.state.delete]
    if protected:
        raise EngineError(
            error(
                "FI606",
                f"'{urn_name(state.urn)}' is protected and would have to be deleted",
                detail=state.urn,
                hint="register it again, or remove `protect` from it and run `flowinfra up` first",
            )
            for state in protected
        )
    going = frozenset(e.state.urn for e in rest)
    replaced = {state.urn for state in ledger.registered()}

    def delete(entry: Entry) -> None:
        state = entry.state
        if not state.delete:
            deployment.plan.add(
                Action.DELETE,
                state,
                before=ledger.open(entry).inputs,
                after=None,
                source=place_of(state.source_position, deployment.stack.project_dir),
            )
        elif state.urn not in replaced or not entry.claimed:
            deployment.plan.add(
                Action.DELETE,
                state,
                before=ledger.open(entry).inputs,
                after=None,
                reason=entry.why or "left over from a replacement",
                leftover=True,
            )
        deployment.began(state.urn, Action.DELETE)
        try:
            delete_entry(deployment, entry, ledger.drop, going)
        except BaseException as problem:
            deployment.ended(state.urn, Action.DELETE, problem)
            raise
        deployment.ended(state.urn, Action.DELETE)

    for wave in waves(rest):
        in_parallel(deployment, delete, wave)


def waves(entries: Sequence[Entry]) -> list[list[Entry]]:
    """*entries* in groups that can go at once, one group after the other: dependents first.

    In a state everything comes behind what it depends on, also where two entries share a URN because one of them was
    replaced. One pass from the end gives every entry the wave behind that of its last dependent.
    """
    level: dict[int, int] = {}
    needed: dict[str, int] = {}  # URN -> wave behind everything that depends on it, seen from the end of the state
    for entry in sorted(entries, key=lambda e: e.index, reverse=True):
        mine = level[entry.index] = needed.get(entry.state.urn, 0)
        for urn in entry.state.edges():
            needed[urn] = max(needed.get(urn, 0), mine + 1)
    out: list[list[Entry]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for entry in sorted(entries, key=lambda e: e.index, reverse=True):
        out[level[entry.index]].append(entry)
    return out


def in_parallel(deployment: Deployment, function: Callable[[T], None], items: Sequence[T]) -> None:
    """Call *function* for all *items* in threads; all of them end before the first error is raised.

    Raises:
        EngineError: with the diagnostics of all that failed.
    """
    if not items:
        return
    pool = ThreadPoolExecutor(min(deployment.parallel, len(items)), thread_name_prefix="flowinfra-delete")
    try:
        futures = [pool.submit(function, item) for item in items]
        over = threading.Event()

        def watch() -> None:
            wait(futures)
            over.set()

        threading.Thread(target=watch, name="flowinfra-watch", daemon=True).start()
        deployment.wait(over)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    problems = [p for f in futures if (p := f.exception()) is not None]
    ours = [p for p in problems if isinstance(p, FlowinfraError)]
    for problem in problems:
        if not isinstance(problem, FlowinfraError):
            raise problem
    if ours:
        raise EngineError(d for p in ours for d in p.diagnostics)
