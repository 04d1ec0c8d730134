"""``FlowDeployment``: one deployment of a flow as a Pulumi component."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pulumi

from flowinfra.authoring.settings import placed
from flowinfra.authoring.spec import DeploymentSpec
from flowinfra.canonical import canonical_json
from flowinfra.components.guard import guard
from flowinfra.components.local import LocalResources, deploy_local, local_runtime
from flowinfra.components.modes import Mode
from flowinfra.components.observe import Registered, observe
from flowinfra.components.projects import in_project
from flowinfra.components.settings import Settings
from flowinfra.diagnostics import Diagnostic, FlowinfraError, Severity, Source, TargetError, raise_errors
from flowinfra.model.deployment import DEPLOYMENT_TYPE, Deployment
from flowinfra.model.plan import AppliedDefault
from flowinfra.packaging.build import Built, build
from flowinfra.packaging.cache import cache_bundle, cache_release
from flowinfra.packaging.home import Home
from flowinfra.packaging.memo import memoized
from flowinfra.packaging.users import user_name
from flowinfra.runtime.parameters import check_parameters
from flowinfra.targets.base import Target, check_target

__all__ = ["TYPE", "FlowDeployment", "Resolved", "resolve"]

#: The component's type, by which plans find deployments.
TYPE = DEPLOYMENT_TYPE


class FlowDeployment(pulumi.ComponentResource):
    """One deployment of a flow.

    Args:
        name: the resource's name, unique in the stack.
        spec: what is deployed.
        target: what it runs on; by default what the stack's ``flowinfra:target`` says.
        token_generation: raise it to replace the production token.
        given_token: the production token, instead of a random one.
        authorize: the production token of a deployment of this name that another stack owns; it moves here.
        domain: the stack within which its name is unique, where the program's own stack exists for it alone (as that of
            a ``Deployer``); by default the stack.
        opts: Pulumi's options.

    Raises:
        FlowinfraError: the flow, its parameters or the target do not fit; all findings come at once.
    """

    release: pulumi.Output[str]
    """The digest of what is deployed."""
    address: pulumi.Output[str]
    """Where it is deployed, in the target's own form."""
    namespace: pulumi.Output[str]
    """The public tag of its runs."""
    production_token: pulumi.Output[str]
    """Whoever changes the deployment from outside this stack shows it; a secret."""

    def __init__(
        self,
        name: str,
        spec: DeploymentSpec,
        *,
        target: Target | None = None,
        token_generation: int = 0,
        given_token: pulumi.Input[str] | None = None,
        authorize: pulumi.Input[str] | None = None,
        domain: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        resolved = resolve(spec, memoized(Settings, Settings.load), target)
        chosen, built, mode = resolved.target, resolved.built, resolved.mode
        deployment, defaults = resolved.deployment, resolved.defaults
        for warned in resolved.warnings:
            pulumi.log.warn(str(warned))
        guard(mode, defaults, [file.path for file in built.bundle.files])

        self.full_name = deployment.full_name
        place = placed(spec.source)
        observe(Registered(name, built.graph, deployment, place, defaults=defaults, root=str(built.root)))
        home = Home.find()
        cache_bundle(home, built.bundle.digest, built.bundle.data)
        cache_release(home, built.release, built.release_bytes)

        inputs: dict[str, Any] = {
            "flow": built.graph.keyed(),
            "deployment": deployment.content(),
            "release": built.release,
            "target": chosen.name,
            "runtime": local_runtime(),
        }
        if built.configs:  # as text, because Pulumi drops the nulls inside an object
            inputs["configs"] = {name: canonical_json(value).decode() for name, value in built.configs.items()}
        if mode.user:
            inputs["developer"] = mode.user
        super().__init__(TYPE, name, inputs, opts)
        made: LocalResources = deploy_local(
            self,
            name,
            built,
            deployment,
            generation=token_generation,
            given_token=given_token,
            authorize=authorize,
            protect=mode.protect,
            domain=domain,
        )
        self.release = made.release
        self.address = made.address
        self.namespace = made.namespace
        self.production_token = pulumi.Output.secret(made.production_token)
        self.register_outputs(
            {
                "release": self.release,
                "address": self.address,
                "namespace": self.namespace,
                "production_token": self.production_token,
            }
        )


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a spec comes to in a stack: what a deployment is made from, before anything is registered.

    Attributes:
        built: the flow, compiled.
        deployment: what is deployed: the spec with the stack's settings, its parameters as JSON.
        target: what it runs on.
        mode: what holds for the stack.
        defaults: what the mode has changed.
        warnings: about the flow and what the target does not use of it.
    """

    built: Built
    deployment: Deployment
    target: Target
    mode: Mode
    defaults: tuple[AppliedDefault, ...]
    warnings: tuple[Diagnostic, ...]


def resolve(spec: DeploymentSpec, settings: Settings, target: Target | None = None) -> Resolved:
    """Compile what *spec* deploys in a stack with these settings; writes nothing.

    Raises:
        FlowinfraError: the flow, its parameters or the target do not fit; all findings come at once.
    """
    chosen = target or settings.default_target()
    flow = spec.load()
    built = memoized((build, flow), lambda: build(flow))
    mode = Mode.of(settings, user_name())
    written = spec.value(built.graph.name)
    deployment = in_project(_with_settings(mode.of_deployment(written), settings), flow, settings, user_name())
    parameters, warnings = _check(built, deployment, chosen, placed(spec.source))
    deployment = deployment.model_copy(update={"parameters": parameters})
    return Resolved(built, deployment, chosen, mode, mode.defaults(written, deployment), warnings)


def _with_settings(deployment: Deployment, settings: Settings) -> Deployment:
    return deployment.model_copy(
        update={"max_workers": deployment.max_workers or settings.max_workers},
    )


def _check(
    built: Built, deployment: Deployment, target: Target, place: Source
) -> tuple[dict[str, Any], tuple[Diagnostic, ...]]:
    """The deployment's parameters, given at *place*, as JSON, checked; and warnings."""
    found: list[Diagnostic] = [*built.diagnostics, *check_target(target, built.graph, deployment)]
    parameters: dict[str, Any] = {}
    try:
        parameters = _given(built, deployment)
    except FlowinfraError as wrong:
        found += [d if d.source or d.severity is Severity.NOTE else replace(d, source=place) for d in wrong.diagnostics]
    said = raise_errors(found, TargetError)
    return parameters, tuple(d for d in said if d.severity is Severity.WARNING)


def _given(built: Built, deployment: Deployment) -> dict[str, Any]:
    """The values that the deployment gives, as JSON; what it leaves out is given when a run starts."""
    specs = [{**p.to_json(), "required": False} for p in built.graph.parameters]
    complete = check_parameters(specs, deployment.parameters, deployment.flow)
    return {name: complete[name] for name in deployment.parameters}
