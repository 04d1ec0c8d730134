"""One resource as a checkpoint keeps it (``ResourceV3`` of Pulumi's ``apitype``)."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from flowinfra.engine.urns import split_reference
from flowinfra.engine.values import Properties, equal

__all__ = ["Pending", "ResourceState", "timestamp"]

#: Attribute here -> key in the checkpoint, in the order in which Pulumi writes them.
_KEYS: Final = {
    "urn": "urn",
    "custom": "custom",
    "delete": "delete",
    "id": "id",
    "type": "type",
    "inputs": "inputs",
    "outputs": "outputs",
    "parent": "parent",
    "protect": "protect",
    "external": "external",
    "dependencies": "dependencies",
    "init_errors": "initErrors",
    "provider": "provider",
    "property_dependencies": "propertyDependencies",
    "pending_replacement": "pendingReplacement",
    "additional_secret_outputs": "additionalSecretOutputs",
    "custom_timeouts": "customTimeouts",
    "retain_on_delete": "retainOnDelete",
    "deleted_with": "deletedWith",
    "created": "created",
    "modified": "modified",
    "source_position": "sourcePosition",
    "ignore_changes": "ignoreChanges",
    "hide_diff": "hideDiff",
    "replace_on_changes": "replaceOnChanges",
    "resource_hooks": "resourceHooks",
}
_ATTRIBUTES: Final = {key: name for name, key in _KEYS.items()}

#: What two states may differ in without a reason to write the checkpoint (as in Pulumi's ``mustWrite``).
_IMMATERIAL: Final = frozenset({"created", "modified", "source_position", "init_errors", "rest"})


def timestamp() -> str:
    """Now, as Pulumi writes times."""
    return datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class ResourceState:
    """What the state knows of a resource; the names are Pulumi's own."""

    urn: str
    type: str
    custom: bool = False
    id: str = ""
    inputs: Properties = field(default_factory=dict)
    outputs: Properties = field(default_factory=dict)
    parent: str = ""
    provider: str = ""
    dependencies: tuple[str, ...] = ()
    property_dependencies: dict[str, list[str]] = field(default_factory=dict)
    protect: bool = False
    external: bool = False
    delete: bool = False
    """Replaced already; deleting what it stood for is still to be done."""
    pending_replacement: bool = False
    """Deleted already; creating what replaces it is still to be done."""
    retain_on_delete: bool = False
    deleted_with: str = ""
    init_errors: tuple[str, ...] = ()
    additional_secret_outputs: tuple[str, ...] = ()
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    hide_diff: tuple[str, ...] = ()
    custom_timeouts: dict[str, Any] = field(default_factory=dict)
    resource_hooks: dict[str, list[str]] = field(default_factory=dict)
    created: str = ""
    modified: str = ""
    source_position: str = ""
    rest: dict[str, Any] = field(default_factory=dict)
    """Keys of the checkpoint that mean nothing to this engine; kept as they are."""

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """The state out of a checkpoint; secrets stay sealed."""
        known: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        for key, value in document.items():
            name = _ATTRIBUTES.get(key)
            if name is None:
                rest[key] = value
            elif value is not None:
                known[name] = tuple(value) if isinstance(value, list) else value
        known.setdefault("type", "")
        return cls(**known, rest=rest)

    def to_json(self) -> dict[str, Any]:
        """The form in a checkpoint: what is empty is left out, ``custom`` is always there."""
        out: dict[str, Any] = {}
        for name, key in _KEYS.items():
            value = getattr(self, name)
            if value or name == "custom":
                out[key] = list(value) if isinstance(value, tuple) else value
        for section in ("inputs", "outputs"):
            if section in out:
                out[section] = dict(sorted(out[section].items()))
        return {**out, **self.rest}

    def edges(self) -> set[str]:
        """URNs of everything that must outlive this resource."""
        found = {self.parent, self.deleted_with, split_reference(self.provider)[0], *self.dependencies}
        for urns in self.property_dependencies.values():
            found.update(urns)
        found.discard("")
        return found

    def material_difference(self, other: ResourceState) -> tuple[str, ...]:
        """The attributes in which the two differ so that the checkpoint must be written."""

        def comparable(name: str, value: Any) -> Any:
            if name == "dependencies":
                return sorted(value)
            if name == "property_dependencies":
                return {k: sorted(v) for k, v in value.items()}
            return list(value) if isinstance(value, tuple) else value

        return tuple(
            f.name
            for f in fields(self)
            if f.name not in _IMMATERIAL
            and not equal(comparable(f.name, getattr(self, f.name)), comparable(f.name, getattr(other, f.name)))
        )


@dataclass(frozen=True, slots=True)
class Pending:
    """An operation that was begun and of which nobody knows how it ended."""

    type: str
    """``creating``, ``updating``, ``deleting``, ``reading`` or ``importing``."""
    resource: ResourceState
