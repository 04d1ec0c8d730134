"""What code runs in. One value for both bodies of a flow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flowinfra.model.base import Value

__all__ = ["AccessRule", "Environment", "Resources", "SecretRef"]


class Resources(Value):
    """What one task may use. ``None`` means that the target's default holds."""

    cpu: Annotated[float, Field(gt=0)] | None = None
    """Virtual CPUs."""
    memory_mib: Annotated[int, Field(gt=0)] | None = None
    """Memory in MiB (2**20 bytes)."""
    gpu: Annotated[int, Field(ge=0)] | None = None
    """Whole accelerators."""
    disk_mib: Annotated[int, Field(gt=0)] | None = None
    """Scratch space in MiB."""


class SecretRef(Value):
    """A secret by reference; its value never enters a graph, a release or a plan."""

    source: str
    """Which kind of place holds it: ``environment``, ``file``, ..."""
    name: str
    """Its name there."""
    env_var: str = ""
    """The environment variable that the task finds it in; empty means the name itself."""


class AccessRule(Value):
    """A declared access, from which targets derive permissions."""

    mode: Literal["read", "write"]
    service: str
    """``s3``, ``dynamodb``, ``sqs``, ..."""
    resource: str
    """The name of the thing within the service, a prefix for object stores."""


class Environment(Value):
    """A named set of settings that steps and tasks share."""

    name: str
    image: str = ""
    """A container image reference; empty means the target's default image."""
    resources: Resources = Resources()
    env_vars: dict[str, str] = {}
    secrets: tuple[SecretRef, ...] = ()
    depends_on: tuple[str, ...] = ()
    """Names of environments whose tasks this one's tasks call."""
    access: tuple[AccessRule, ...] = ()
