"""A stack with one deployment: what a ``Deployer`` applies, and the same without any effect as one document."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import pulumi

from flowinfra._version import __version__
from flowinfra.authoring.spec import DeploymentSpec
from flowinfra.components.flow_deployment import FlowDeployment, Resolved
from flowinfra.orchestrators.local.interpreter import current_interpreter
from flowinfra.targets.base import Target

__all__ = ["RESOURCE", "document", "single"]

#: The name of the one deployment among the resources of its stack.
RESOURCE: Final = "flow"


def single(
    spec: DeploymentSpec,
    target: Target,
    *,
    domain: str,
    generation: int,
    given_token: str | None,
    authorize: str | None,
    tell: Callable[[str], None],
) -> Callable[[], None]:
    """A stack program with *spec* alone; release, address, namespace and token are the stack's outputs.

    Args:
        spec: what is deployed.
        target: what it runs on.
        domain: the stack within which the deployment's name is unique.
        generation: of its production token, see :class:`FlowDeployment`.
        given_token: the production token, instead of a random one or the one that it has.
        authorize: the production token of a deployment that another stack owns; it moves here.
        tell: gets the production token as soon as it is known; perhaps twice, in another thread.
    """

    def program() -> None:
        made = FlowDeployment(
            RESOURCE,
            spec,
            target=target,
            token_generation=generation,
            given_token=None if given_token is None else pulumi.Output.secret(given_token),
            authorize=None if authorize is None else pulumi.Output.secret(authorize),
            domain=domain,
        )
        pulumi.export("release", made.release)
        pulumi.export("address", made.address)
        pulumi.export("namespace", made.namespace)
        pulumi.export("production_token", made.production_token)
        made.production_token.apply(tell)

    return program


def document(resolved: Resolved, *, project: str, domain: str) -> dict[str, Any]:
    """Everything that would be deployed, complete, as one JSON document; nothing but sources is read for it."""
    built, deployment = resolved.built, resolved.deployment
    return {
        "kind": "flowinfra-deployment",
        "flowinfra": __version__,
        "target": resolved.target.name,
        "address": f"{resolved.target.name}:{project}/{domain}/{deployment.full_name}",
        "deployment": deployment.to_json(),
        "release": {"digest": built.release, "document": json.loads(built.release_bytes)},
        "bundle": {
            "digest": built.bundle.digest,
            "files": {file.path: file.sha256 for file in built.bundle.files},
        },
        "interpreter": asdict(current_interpreter()),
    }
