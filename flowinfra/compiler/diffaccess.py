"""How the declared access of steps changes: what they gain is the severe part, what they lose is shown.

A target derives permissions from the reads and writes that environments declare. So this compares, for each step, the
rules of the environment that it is in with those of the one that it was in; a step that is new counts as having had
what its environment had.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from flowinfra.model.diff import Layer, LayerChange
from flowinfra.model.environment import AccessRule
from flowinfra.model.graph import FlowGraph

__all__ = ["access_changes", "covers"]


def covers(rule: AccessRule, other: AccessRule) -> bool:
    """Whether *rule* allows everything that *other* does. Reading and writing are apart: neither implies the other."""
    if (rule.mode, rule.service) != (other.mode, other.service):
        return False
    if rule.resource.endswith(("/", "*")):
        return other.resource.startswith(rule.resource.rstrip("*"))
    return rule.resource == other.resource


def access_changes(before: FlowGraph, after: FlowGraph) -> Iterator[LayerChange]:
    """One change for each rule that an environment's steps gain or lose, and the steps that do."""
    gained: dict[tuple[str, AccessRule], set[str]] = {}
    lost: dict[tuple[str, AccessRule], set[str]] = {}
    for user, was, now in _users(before, after):
        old, new = before.environment(was).access, after.environment(now).access
        for rule in new:
            if not _covered(rule, old):
                gained.setdefault((now, rule), set()).update(user)
        for rule in old:
            if not _covered(rule, new):
                lost.setdefault((was, rule), set()).update(user)
    yield from (_change(key, users, "broadened") for key, users in gained.items())
    yield from (_change(key, users, "narrowed") for key, users in lost.items())
    yield from _reworded(before, after, gained.keys() | lost.keys())


def _users(before: FlowGraph, after: FlowGraph) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Each step and each environment with the names of the environments before and after."""
    old, new = before.by_name, after.by_name
    for name in sorted({*old, *new}):
        now = new[name].environment if name in new else old[name].environment
        was = old[name].environment if name in old else now
        yield (f"step {name}",), was, now
    listed = {e.name for e in (*before.environments, *after.environments)}
    used = {s.environment for s in (*before.steps, *after.steps)}
    yield from (((), name, name) for name in sorted(listed - used))


def _covered(rule: AccessRule, by: Collection[AccessRule]) -> bool:
    return any(covers(one, rule) for one in by)


def _change(key: tuple[str, AccessRule], users: set[str], effect: str) -> LayerChange:
    environment, rule = key
    broadened = effect == "broadened"
    text = f"{rule.service} {rule.resource}"
    return LayerChange(
        layer=Layer.ACCESS if broadened else Layer.ENVIRONMENT,
        subject=f"environment {environment}",
        field=rule.mode,
        before=None if broadened else text,
        after=text if broadened else None,
        effect="broadened" if broadened else "narrowed",
        because=tuple(sorted(users)),
    )


def _reworded(before: FlowGraph, after: FlowGraph, told: Collection[tuple[str, AccessRule]]) -> Iterator[LayerChange]:
    """Environments whose rules are written differently and allow the same."""
    names = {e.name for e in before.environments} & {e.name for e in after.environments}
    for name in sorted(names - {environment for environment, _ in told}):
        was, now = before.environment(name).access, after.environment(name).access
        if was != now:
            yield LayerChange(
                layer=Layer.METADATA,
                subject=f"environment {name}",
                field="access",
                before=[rule.to_json() for rule in was],
                after=[rule.to_json() for rule in now],
                because=("it allows the same",),
            )
