"""The resources of the package ``flowinfra``, as the program registers them; the provider is in ``flowinfra_providers``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from flowinfra._version import __version__

__all__ = ["Bundle", "LocalDeployment", "Release", "Token"]


def _with_version(opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions.merge(pulumi.ResourceOptions(version=__version__), opts)


class Bundle(pulumi.CustomResource):
    """The code of a flow in the store."""

    digest: pulumi.Output[str]

    def __init__(self, name: str, *, digest: str, opts: pulumi.ResourceOptions | None = None) -> None:
        props = {"digest": digest, "key": None}
        super().__init__("flowinfra:index:Bundle", name, props, _with_version(opts))


class Release(pulumi.CustomResource):
    """A release in the store."""

    digest: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        digest: str,
        bundle: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {"digest": digest, "bundle": bundle, "key": None}
        super().__init__("flowinfra:index:Release", name, props, _with_version(opts))


class Token(pulumi.CustomResource):
    """A production token."""

    token: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        deployment: str,
        generation: int,
        given: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {"deployment": deployment, "generation": generation, "given": given, "token": None}
        secret = pulumi.ResourceOptions(additional_secret_outputs=["token"])
        super().__init__(
            "flowinfra:index:Token", name, props, pulumi.ResourceOptions.merge(secret, _with_version(opts))
        )


class LocalDeployment(pulumi.CustomResource):
    """A deployment on the Local orchestrator."""

    address: pulumi.Output[str]
    namespace: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        inputs: Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {**inputs, "address": None, "namespace": None}
        super().__init__("flowinfra:index:LocalDeployment", name, props, _with_version(opts))
