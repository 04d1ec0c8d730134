"""What a resource type is to the provider: a few functions on plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = ["Created", "Kind", "Problem"]

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
        return [name for name in self.inputs if before.get(name) != after.get(name)]

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

    def delete(self, id: str, values: Values) -> None:
        """Remove the resource."""
