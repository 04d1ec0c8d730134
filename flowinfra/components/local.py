"""The resources of a deployment on Local."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pulumi

from flowinfra.components.resources import Bundle, LocalDeployment, Release, Token
from flowinfra.model.deployment import Deployment
from flowinfra.orchestrators.local.interpreter import current_interpreter
from flowinfra.packaging.build import Built
from flowinfra.packaging.memo import memoized

__all__ = ["LocalResources", "deploy_local", "local_runtime"]


@dataclass(frozen=True, slots=True)
class LocalResources:
    """What a deployment on Local consists of, as outputs."""

    release: pulumi.Output[str]
    address: pulumi.Output[str]
    namespace: pulumi.Output[str]
    production_token: pulumi.Output[str]


def local_runtime() -> dict[str, str]:
    """What is recorded of where a Local deployment runs; a change of it is a change of environment in a plan."""
    interpreter = memoized(current_interpreter, current_interpreter)
    return {"python": interpreter.version, "packages": interpreter.packages[:12]}


def deploy_local(
    component: pulumi.ComponentResource,
    name: str,
    built: Built,
    deployment: Deployment,
    *,
    generation: int,
    given_token: pulumi.Input[str] | None,
    authorize: pulumi.Input[str] | None,
    protect: bool = False,
    domain: str | None = None,
) -> LocalResources:
    """Register bundle, release, token and deployment as children of *component*; *protect* holds for the token.

    *domain* is the stack within which the name is unique, by default the one whose program this is. Bundles and releases stay in the store, and a deployment can be made again; a token that is lost is lost.
    """
    child = pulumi.ResourceOptions(parent=component)
    bundle = Bundle(f"{name}-bundle", digest=built.bundle.digest, opts=child)
    release = Release(f"{name}-release", digest=built.release, bundle=bundle.digest, opts=child)
    token = Token(
        f"{name}-token",
        deployment=deployment.full_name,
        generation=generation,
        given=given_token,
        opts=pulumi.ResourceOptions(parent=component, protect=True) if protect else child,
    )
    inputs: dict[str, Any] = {
        "project": pulumi.get_project(),
        "stack": pulumi.get_stack(),
        "domain": domain or pulumi.get_stack(),
        "flow": deployment.flow,
        "name": deployment.name,
        "release": release.digest,
        "bundle": bundle.digest,
        "parameters": deployment.parameters,
        "tags": list(deployment.tags),
        "paused": deployment.paused,
        "maxWorkers": deployment.max_workers,
        "timeoutSeconds": deployment.timeout_seconds,
        "userNamespace": deployment.user_namespace or None,
        "interpreter": asdict(memoized(current_interpreter, current_interpreter)),
        "token": token.token,
        "authorize": authorize,
    }
    deployed = LocalDeployment(f"{name}-deployment", inputs=inputs, opts=child)
    return LocalResources(release.digest, deployed.address, deployed.namespace, token.token)
