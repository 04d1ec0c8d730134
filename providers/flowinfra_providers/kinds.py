"""What a resource type is to the provider: a few functions on plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = ["DECLARED", "Created", "Kind", "Problem"]

#: The output in which the program's own values of what operators may change are kept beside the present ones. The SDK
#: shows providers the old outputs and not the old inputs; engines do not show names that begin so.
DECLARED = "__declared"

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """An input that is not usable, and why."""

    input: str
    reason: str


@dataclass(frozen=True, slots=True)
class Created:
    """A resource that was made: its id (empty: the resource's name) and its outputs, inputs included."""

    id: str
    outputs: dict[str, Any]


class Kind:
    """One resource type. Subclasses say what its inputs are, and what making, changing and reading it means.

    Values may be :data:`~.values.UNKNOWN` while a change is previewed, and only then.
    """

    inputs: ClassVar[Mapping[str, type | tuple[type, ...]]]
    """The inputs and their types; those in :attr:`optional` may be missing."""
    optional: ClassVar[frozenset[str]] = frozenset()
    replaces: ClassVar[frozenset[str]] = frozenset()
    """Inputs whose change makes another resource."""
    computed: ClassVar[frozenset[str]] = frozenset()
    """Outputs that are no inputs."""
    secrets: ClassVar[frozenset[str]] = frozenset()
    """Inputs and outputs that are secret."""
    operator_owned: ClassVar[frozenset[str]] = frozenset()
    """Inputs that operators may change past the program: what they set stays until the program changes its own value.

    Their outputs are what is there, and :data:`DECLARED` keeps what the program said last."""

    def check(self, values: Values) -> list[Problem]:
        """Everything that is wrong with the inputs."""
        from flowinfra_providers.values import UNKNOWN

        found = [Problem(name, "is no input of this resource") for name in values if name not in self.inputs]
        for name, kinds in self.inputs.items():
            value = values.get(name)
            if value is None and name not in self.optional:
                found.append(Problem(name, "is missing"))
            elif value is not None and value is not UNKNOWN and not isinstance(value, kinds):
                found.append(Problem(name, f"is of the type {type(value).__name__}"))
        return found

    def changed(self, before: Values, after: Values) -> list[str]:
        """The inputs that differ between the outputs *before* and the inputs *after*."""
        said = {**before, **self.declared(before)}
        return [name for name in self.inputs if said.get(name) != after.get(name)]

    def declared(self, outputs: Values) -> dict[str, Any]:
        """The program's own values of what operators may change, out of a resource's outputs."""
        own = {name: outputs[name] for name in self.operator_owned if name in outputs}
        return own | {k: v for k, v in (outputs.get(DECLARED) or {}).items() if k in self.operator_owned}

    def declaring(self, values: Values) -> dict[str, Any]:
        """The output that keeps the program's own values, out of its inputs."""
        own = {name: values[name] for name in sorted(self.operator_owned) if name in values}
        return {DECLARED: own} if own else {}

    def settled(self, before: Values, values: Values) -> dict[str, Any]:
        """For the preview of a change: *values*, with what an operator has set and the program leaves as it was."""
        said = self.declared(before)
        return {k: before[k] if k in said and said[k] == v else v for k, v in values.items()}

    def create(self, values: Values) -> Created:
        """Make the resource."""
        raise TypeError(f"{type(self).__name__} cannot be created")  # pragma: no cover

    def update(self, id: str, before: Values, values: Values) -> dict[str, Any]:
        """Change the resource; its outputs."""
        raise TypeError(f"{type(self).__name__} cannot be changed")  # pragma: no cover

    def kept(self, before: Values, values: Values) -> dict[str, Any]:
        """For the preview of a change: the computed outputs that certainly stay as they are."""
        return {}

    def read(self, id: str, values: Values) -> dict[str, Any] | None:
        """Its outputs as they are now, or None if it is gone."""
        return dict(values)

    findable: ClassVar[bool] = False
    """Whether :meth:`find` can tell."""

    def find(self, values: Values) -> Created | None:
        """What creating it with these inputs has made, if it has: the name of what is made follows from the inputs."""
        raise TypeError(f"{type(self).__name__} cannot be found")  # pragma: no cover

    def delete(self, id: str, values: Values) -> None:
        """Remove the resource."""
