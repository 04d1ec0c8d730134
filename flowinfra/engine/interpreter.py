"""What an engine asks of providers, apart from who answers: see :mod:`flowinfra.engine.packages`.

Nothing here imports pulumi.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flowinfra.diagnostics import Diagnostic, EngineError
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.values import Properties, equal, keep_old

__all__ = [
    "Checked",
    "Created",
    "Difference",
    "Found",
    "Interpreter",
    "Invoked",
    "Package",
    "Sought",
    "Unanswered",
    "Unhealthy",
    "compare_inputs",
]


class Unanswered(EngineError):
    """A provider did not say how a call ended, so nobody knows whether what it was asked for has happened."""


class Unhealthy(EngineError):
    """A provider made or changed a resource, which is not as it should be (Pulumi's ``initErrors``)."""

    def __init__(self, diagnostics: Diagnostic, made: Created, reasons: tuple[str, ...]) -> None:
        super().__init__(diagnostics)
        self.made = made
        self.reasons = reasons


@dataclass(frozen=True, slots=True)
class Checked:
    """Inputs with the provider's defaults, and what is wrong with them as (property, reason)."""

    inputs: Properties
    failures: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """What a provider says about old state and new inputs."""

    changed: bool
    keys: tuple[str, ...] = ()
    """Paths of what differs, as far as the provider tells."""
    replaces: tuple[str, ...] = ()
    """Paths that force a replacement."""
    delete_before_replace: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Created:
    """A new resource; in a preview its id is :data:`UNKNOWN`."""

    id: str
    outputs: Properties


@dataclass(frozen=True, slots=True)
class Found:
    """A resource that was read."""

    id: str
    inputs: Properties
    outputs: Properties
    errors: tuple[str, ...] = ()
    """Why it is not as it should be; empty if all is well."""


@dataclass(frozen=True, slots=True)
class Invoked:
    """The result of a function of a provider."""

    values: Properties
    failures: tuple[tuple[str, str], ...] = ()
    unknown: bool = False
    """Nobody can call it now: the program gets an unknown result."""


@dataclass(frozen=True, slots=True)
class Sought:
    """What a provider knows of an object that it was asked to find by its inputs."""

    told: bool
    """It can look for objects of this type; otherwise nothing is known."""
    found: Found | None = None


class Package(Protocol):
    """The operations on the resources of one configured provider; secrets are open."""

    def check(self, urn: str, old: Properties, new: Properties, seed: bytes) -> Checked:
        """Validate *new* and add defaults, given the inputs of the last state (empty for a new resource)."""
        ...

    def diff(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...]) -> Difference:
        """Whether *old* has to change to have *inputs*, and how."""
        ...

    def create(self, urn: str, inputs: Properties, timeout: float) -> Created:
        """Make the resource.

        Raises:
            Unhealthy: it exists, and is not as it should be.
        """
        ...

    def update(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...], timeout: float) -> Properties:
        """Change the resource; its outputs then.

        Raises:
            Unhealthy: it was changed, and is not as it should be.
        """
        ...

    def delete(self, old: ResourceState, timeout: float) -> None:
        """Make the resource go away; one that is gone already is no error."""
        ...

    def read(self, urn: str, id_: str, inputs: Properties, outputs: Properties, timeout: float = 0) -> Found | None:
        """What the resource is now; ``None`` if it does not exist."""
        ...

    def find(self, urn: str, inputs: Properties) -> Sought:
        """The object that creating the resource with *inputs* has made, if it has made one."""
        ...

    def invoke(self, token: str, arguments: Properties) -> Invoked:
        """Call a function of the provider."""
        ...


class Interpreter(Protocol):
    """Opens the packages of one operation."""

    @property
    def dry_run(self) -> bool:
        """What the program is told by ``pulumi.runtime.is_dry_run()``."""
        ...

    def open(self, name: str, inputs: Properties, wanted_by: str) -> Package:
        """The package *name* with the configuration *inputs*, for the resource *wanted_by*."""
        ...

    def configuration(self, name: str, wanted_by: str) -> Package:
        """The package whose resources are the configured providers of the package *name*."""
        ...

    def align(self, urn: str, old: Properties, new: Properties) -> Properties:
        """*new*, with what cannot be compared with *old* taken from there."""
        ...

    def close(self) -> None:
        """The operation is over, or the user insists on an end: wait no more for calls that have not ended."""
        ...


def compare_inputs(old: Properties, new: Properties, ignore: tuple[str, ...]) -> Difference:
    """The difference that an engine sees by itself, where the provider says nothing."""
    new = keep_old(new, old, ignore)
    keys = tuple(k for k in {**old, **new} if k not in old or k not in new or not equal(old[k], new[k]))
    return Difference(bool(keys), keys)
