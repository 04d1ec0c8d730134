"""One deployment of a flow."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from flowinfra.model.base import SCHEMA_VERSION, Value

__all__ = ["DEPLOYMENT_TYPE", "Deployment"]

#: The type of the component that a deployment is in a stack, by which plans and states are searched for them.
DEPLOYMENT_TYPE: Final = "flowinfra:index:FlowDeployment"


class Deployment(Value):
    """What belongs to a deployment and not to the release that it runs.

    Authors write :class:`flowinfra.DeploymentSpec`; this is the validated value that plans, components and stores use.
    """

    schema_version: int = SCHEMA_VERSION
    flow: str
    name: Annotated[str, Field(min_length=1, pattern=r"^[^/]+$")]
    parameters: dict[str, Any] = {}
    """Values for the flow's parameters, as JSON."""
    tags: tuple[str, ...] = ()
    paused: bool = False
    max_workers: Annotated[int, Field(gt=0)] | None = None
    """How many tasks of one run may run at once; ``None`` means the target's default."""
    timeout_seconds: Annotated[int, Field(gt=0)] | None = None
    """How long a run may take as a whole; ``None`` means as long as it takes."""
    user_namespace: str = ""
    """The namespace in which the client looks inside of its runs; empty means the client's default."""
    description: str = ""

    @property
    def full_name(self) -> str:
        """``<flow>/<deployment>``."""
        return f"{self.flow}/{self.name}"
