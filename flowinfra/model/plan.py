"""What an engine would do, and why. Every view renders this value and nothing else."""

from __future__ import annotations

import enum
from typing import Any, Literal

from flowinfra.model.base import SCHEMA_VERSION, Value
from flowinfra.model.diff import FlowDiff

__all__ = [
    "UNKNOWN",
    "Action",
    "AppliedDefault",
    "Basis",
    "Change",
    "FieldDrift",
    "Finding",
    "Operation",
    "Plan",
    "counts",
]

#: How plans show a value that is known only once it is applied, and one that is secret.
UNKNOWN = "<computed>"


def counts(custom: bool, type_token: str) -> bool:
    """Whether a resource counts where resources are counted: it exists outside of the state."""
    return custom and not type_token.startswith("pulumi:providers:")


class Action(enum.Enum):
    """What happens to a resource; :attr:`glyph` is how views draw it."""

    SAME = "same"
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    READ = "read"
    REFRESH = "refresh"

    @property
    def glyph(self) -> str:
        """One or two characters; the same in every view."""
        return {"same": " ", "create": "+", "update": "~", "replace": "±", "delete": "-", "read": ">", "refresh": "~"}[
            self.value
        ]


class Operation(enum.Enum):
    """What was asked for."""

    UP = "up"
    DESTROY = "destroy"
    REFRESH = "refresh"


class Finding(Value):
    """A diagnostic inside a plan, as JSON."""

    code: str
    severity: Literal["error", "warning", "note"]
    summary: str
    detail: str = ""
    hint: str = ""
    source: str = ""
    address: str = ""


class FieldDrift(Value):
    """One property that is not what the state says it is."""

    path: str
    recorded: Any = None
    """In the state; secrets shown as ``<secret>``."""
    actual: Any = None
    owner: Literal["code", "operator"] = "code"
    """Who may change it: what the operator owns (such as ``paused``) is not put back by the next ``up``."""


class AppliedDefault(Value):
    """What a stack's mode has changed in a deployment, where neither the program nor the stack says otherwise."""

    mode: Literal["development", "production"]
    setting: str
    """The key that sets this default singly, such as ``flowinfra:paused``."""
    effect: str
    """What is different by it, in words."""
    address: str = ""
    """The deployment that it concerns; empty for the whole stack."""


class Basis(Value):
    """What a plan was made from; a saved plan is applied only while all of it is still so."""

    state: str = ""
    """Digest of the state that it was compared with."""
    settings: dict[str, str] = {}
    """Digest of each value of the stack's configuration, by key; of a secret one, of its ciphertext."""
    code: dict[str, str] = {}
    """Digest of each of the program's own source files, by path relative to the project."""


class Change(Value):
    """One resource: what happens to it and why."""

    address: str
    """Its URN."""
    type: str
    name: str
    action: Action
    custom: bool = True
    """False for components and for the stack itself, which exist only in the state."""
    parent: str = ""
    changed: tuple[str, ...] = ()
    """Paths of the inputs that differ."""
    replaced_by: tuple[str, ...] = ()
    """Paths of the inputs that force a replacement."""
    reason: str = ""
    """Why, where the paths do not say it."""
    before: dict[str, Any] | None = None
    """Inputs before, secrets shown as ``<secret>``."""
    after: dict[str, Any] | None = None
    """Inputs after, unknown values shown as ``<computed>``."""
    filled: tuple[str, ...] = ()
    """Names of the inputs that its provider has filled in, such as a random name; another preview may fill in others."""
    flow: FlowDiff | None = None
    """What changes in the flow, where the resource is a deployment."""
    source: str = ""
    """``file:line`` of the registration."""
    protect: bool = False
    """It is protected against deletion."""
    holds_data: str = ""
    """What is lost if it is deleted or replaced, in words; empty if nothing is."""
    drifted: tuple[FieldDrift, ...] = ()
    """What of it was changed past the program."""

    @property
    def loses_data(self) -> bool:
        """Whether what it holds would be lost."""
        return bool(self.holds_data) and self.action in (Action.DELETE, Action.REPLACE)


class Plan(Value):
    """The result of a preview, or the record of what was applied."""

    schema_version: int = SCHEMA_VERSION
    project: str
    stack: str
    engine: str
    operation: Operation = Operation.UP
    changes: tuple[Change, ...] = ()
    drift: tuple[Change, ...] = ()
    findings: tuple[Finding, ...] = ()
    unknown: tuple[str, ...] = ()
    """What the engine cannot know before it applies, as ``address: path``."""
    defaults: tuple[AppliedDefault, ...] = ()
    """What the stack's mode made different."""
    targets: tuple[str, ...] = ()
    """The only resources that were looked at, as they were asked for; empty means all."""
    basis: Basis | None = None
    complete: bool = True
    """Everything was looked at: nothing was left out by targets or by an error."""
    applyable: bool = True
    """Applying it would do something, and nothing forbids it."""
    errored: bool = False

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON types. Inputs are sorted by name: engines hand them over in no order at all."""
        document = super().to_json()
        for change in (*document.get("changes", ()), *document.get("drift", ())):
            change.update({side: _by_name(change[side]) for side in ("before", "after") if side in change})
        return document

    def counts(self) -> dict[Action, int]:
        """How many resources each action is for; components, providers and the stack do not count."""
        out: dict[Action, int] = {}
        for change in self.changes:
            if counts(change.custom, change.type):
                out[change.action] = out.get(change.action, 0) + 1
        return out

    @property
    def has_changes(self) -> bool:
        """Whether anything but reading would happen."""
        return any(c.action not in (Action.SAME, Action.READ) for c in self.changes)


def _by_name(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _by_name(item) for name, item in sorted(value.items())}
    return [_by_name(item) for item in value] if isinstance(value, list) else value
