"""Stack outputs of deployments."""

from __future__ import annotations

import pulumi

from flowinfra.components.flow_deployment import FlowDeployment

__all__ = ["export"]


def export(*deployments: FlowDeployment) -> None:
    """Make each deployment's outputs outputs of the stack, under its full name.

    ``pulumi stack output`` and ``flowinfra outputs`` then show release, address, namespace, and the production token
    as a secret.
    """
    for deployment in deployments:
        pulumi.export(
            deployment.full_name,
            {
                "release": deployment.release,
                "address": deployment.address,
                "namespace": deployment.namespace,
                "production_token": deployment.production_token,
            },
        )
