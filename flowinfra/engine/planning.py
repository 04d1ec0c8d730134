"""How decisions become the changes of a plan."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from flowinfra.diagnostics import Diagnostic
from flowinfra.engine.base import StackRef
from flowinfra.engine.interpreter import Difference
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.urns import STACK_TYPE, is_default_provider, package_of, urn_name
from flowinfra.engine.values import (
    UNKNOWN,
    Properties,
    changed_paths,
    covers,
    equal,
    has_unknown,
    is_secret,
    paths_where,
    redact,
    value_at,
)
from flowinfra.model.plan import Action, Change, Finding, Operation, Plan

__all__ = ["PlanBuilder", "detailed", "finding", "options_changed"]

#: Names of state attributes whose change is worth a word, as authors know them.
_OPTIONS: Mapping[str, str] = {
    "outputs": "outputs",
    "parent": "parent",
    "protect": "protect",
    "provider": "provider",
    "urn": "name",
    "retain_on_delete": "retainOnDelete",
    "deleted_with": "deletedWith",
    "dependencies": "dependencies",
    "property_dependencies": "dependencies",
    "resource_hooks": "hooks",
    "custom_timeouts": "customTimeouts",
    "ignore_changes": "ignoreChanges",
    "replace_on_changes": "replaceOnChanges",
    "additional_secret_outputs": "additionalSecretOutputs",
    "hide_diff": "hideDiffs",
}


def finding(diagnostic: Diagnostic, address: str = "") -> Finding:
    """A diagnostic in the form of a plan."""
    return Finding(
        code=diagnostic.code,
        severity=diagnostic.severity.value,
        summary=diagnostic.summary,
        detail=diagnostic.detail,
        hint=diagnostic.hint,
        source=str(diagnostic.source or ""),
        address=address,
    )


def detailed(difference: Difference, before: Properties, after: Properties) -> tuple[str, ...]:
    """The paths of a difference, as deep as inputs show them.

    The provider decides what differs; where it names a whole property, what differs inside is found by comparing.
    """
    inside = list(changed_paths(before, after))
    if not difference.keys:
        return tuple(inside)
    out: dict[str, None] = {}
    for key in difference.keys:
        deeper = [p for p in inside if covers(key, p)]
        out.update(dict.fromkeys(deeper or [key]))
    return tuple(out)


def options_changed(names: Iterable[str]) -> str:
    """What changes of a resource whose inputs stay, in words."""
    words = list(dict.fromkeys(_OPTIONS[n] for n in names if n in _OPTIONS))
    return f"{', '.join(words)} changed" if words else ""


class PlanBuilder:
    """Collects what is decided; safe for several threads, and the plan does not show which of them was faster."""

    def __init__(self, stack: StackRef, engine: str, operation: Operation, targets: tuple[str, ...] = ()) -> None:
        self._stack = stack
        self._engine = engine
        self._operation = operation
        self._targets = targets
        self._lock = threading.Lock()
        self._changes: dict[tuple[str, bool], Change] = {}
        self._findings: list[Finding] = []
        self._unknown: dict[tuple[str, str], None] = {}
        self._reconfigured: set[str] = set()

    def add(
        self,
        action: Action,
        state: ResourceState,
        *,
        before: Properties | None,
        after: Properties | None,
        changed: tuple[str, ...] = (),
        replaced_by: tuple[str, ...] = (),
        reason: str = "",
        source: str = "",
        leftover: bool = False,
    ) -> None:
        """Record what happens to a resource.

        Args:
            action: what happens.
            state: what it is, or was.
            before: inputs in the last state, secrets open.
            after: inputs now.
            changed: paths of the inputs that differ.
            replaced_by: those that force a replacement.
            reason: why, where the paths do not say it.
            source: ``file:line`` of the registration.
            leftover: it goes because something of an earlier operation was left, beside the resource of that name.
        """
        if is_default_provider(state.urn):  # made by the engine; the real CLI does not show them either
            if action is Action.UPDATE:
                with self._lock:
                    self._reconfigured.add(package_of(state.type))
            return
        change = Change(
            address=state.urn,
            type=state.type,
            name=urn_name(state.urn),
            action=action,
            custom=state.custom,
            parent=state.parent,
            changed=changed,
            replaced_by=replaced_by,
            reason=reason,
            before=None if before is None else _shown(before),
            after=None if after is None else _shown(after),
            filled=_filled(after),
            source=source,
        )
        with self._lock:
            self._changes[state.urn, leftover] = change
            for path in paths_where(after, _is_unknown) if after is not None else ():
                if not equal(value_at(after, path), value_at(before, path)):
                    self._unknown[state.urn, path] = None

    def explain(self, urn: str, reason: str) -> None:
        """Say why something is done although the inputs of *urn* stay the same."""
        with self._lock:
            change = self._changes.get((urn, False))
            if change is not None and reason and change.action is Action.SAME and not change.reason:
                self._changes[urn, False] = change.model_copy(update={"reason": reason})

    def add_finding(self, found: Finding) -> None:
        """Record something worth saying."""
        with self._lock:
            if found not in self._findings:
                self._findings.append(found)

    def counts(self) -> dict[str, int]:
        """How many resources, by Pulumi's words of operations, as its history keeps them."""
        with self._lock:
            out: dict[str, int] = {}
            for change in self._changes.values():
                out[change.action.value] = out.get(change.action.value, 0) + 1
            return out

    def build(self, *, material: bool) -> Plan:
        """The plan.

        Args:
            material: the state has to change, even if no resource has to.
        """
        with self._lock:
            packages = ", ".join(sorted(self._reconfigured))
        for change in [c for c in self._changes.values() if c.type == STACK_TYPE and packages]:
            self.explain(change.address, f"the configuration of the provider {packages} changed")
        with self._lock:
            changes = _ordered(self._changes.values())
            place = {change.address: index for index, change in enumerate(changes)}
            drift = tuple(c for c in changes if c.action in (Action.REFRESH, Action.DELETE))
            return Plan(
                project=self._stack.project,
                stack=self._stack.stack,
                engine=self._engine,
                operation=self._operation,
                changes=changes,
                drift=drift if self._operation is Operation.REFRESH else (),
                findings=tuple(self._findings),
                unknown=tuple(f"{u}: {path}" for u, path in sorted(self._unknown, key=lambda k: place[k[0]])),
                targets=self._targets,
                complete=not self._targets,
                applyable=material,
            )


def _is_unknown(value: Any) -> bool:
    return value == UNKNOWN or (is_secret(value) and has_unknown(value))


def _ordered(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Parents before their children, otherwise as the program is written: by file and line, then by name."""

    def written(change: Change) -> tuple[Any, ...]:
        file, _, line = change.source.rpartition(":")
        return file, int(line) if line.isdigit() else 0, change.name, change.type, change.address

    children: dict[str, list[Change]] = {}
    known = {c.address for c in changes}
    for change in sorted(changes, key=written):
        children.setdefault(change.parent if change.parent in known else "", []).append(change)
    out: list[Change] = []
    waiting = children.get("", [])[::-1]
    while waiting:
        change = waiting.pop()
        out.append(change)
        waiting.extend(reversed(children.pop(change.address, [])))
    return tuple(out)


def _filled(after: Properties | None) -> tuple[str, ...]:
    """What the provider notes as its own defaults (bridged providers do, in ``__defaults``)."""
    noted = (after or {}).get("__defaults")
    return tuple(sorted(str(n) for n in noted)) if isinstance(noted, list) else ()


def _shown(properties: Properties) -> dict[str, Any]:
    return {k: redact(v) for k, v in sorted(properties.items()) if k not in ("__defaults", "__internal")}
