"""Deployments as Pulumi component resources: what stack programs are written with.

::

    import flowinfra.components as fic
    from flows.churn import nightly

    churn = fic.FlowDeployment("churn-nightly", nightly)
    fic.export(churn)

A component compiles its flow while it is made (pure, offline), has the flow as its input, keyed by step, so that every
preview shows what changes in it, and registers the resources of its target as children. Nothing here calls a provider.
"""

from __future__ import annotations

from flowinfra.components.export import export
from flowinfra.components.flow_deployment import FlowDeployment
from flowinfra.components.settings import Settings

__all__ = ["FlowDeployment", "Settings", "export"]
