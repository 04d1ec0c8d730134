"""The order of a state: everything behind what it depends on. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from flowinfra.engine.state.resources import ResourceState

__all__ = ["in_order"]


def in_order(resources: Sequence[ResourceState]) -> list[ResourceState]:
    """*resources*, each behind everything that it names; otherwise the order stays. Linear in the number of edges.

    Of several with one URN those that are to be deleted come behind the others, where a state has them. What names a
    resource that is not there, or itself by a circle, stays where it is.
    """
    by_urn: dict[str, list[int]] = {}
    for index, state in enumerate(resources):
        by_urn.setdefault(state.urn, []).append(index)
    out: list[ResourceState] = []
    begun: set[int] = set()
    done: set[int] = set()
    for start in range(len(resources)):
        stack = [(start, False)]
        while stack:
            index, ready = stack.pop()
            if ready:
                if index not in done:
                    done.add(index)
                    out.append(resources[index])
                continue
            if index in begun:
                continue
            begun.add(index)
            stack.append((index, True))
            for urn in sorted(resources[index].edges(), reverse=True):
                stack.extend((i, False) for i in _meant(by_urn.get(urn, ()), index, resources) if i not in begun)
    return out


def _meant(found: Sequence[int], index: int, resources: Sequence[ResourceState]) -> Sequence[int]:
    """Which of several resources with one URN the one at *index* depends on: one that is kept, if there is one.

    A resource that is to be deleted may depend on another that is, which shares its URN with its replacement.
    """
    if len(found) < 2:
        return found
    kept = [i for i in found if not resources[i].delete]
    return found if resources[index].delete else kept or found
