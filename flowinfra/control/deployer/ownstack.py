"""The stack of its own that a deployment of a ``Deployer`` has: deploying, describing and destroying it.

This is what the program of :mod:`flowinfra.cli.programs.deploy` does, in a process that may import the flow and Pulumi.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.spec import DeploymentSpec
from flowinfra.control.deployer.caller import Caller
from flowinfra.control.deployer.options import Create
from flowinfra.control.deployer.targets import TargetKind
from flowinfra.control.stacks import backend_url, domain_of, open_own_stack, project_at
from flowinfra.diagnostics import ControlError, Diagnostic, FlowinfraError, error
from flowinfra.engine.base import Event, LogEvent, StackRef
from flowinfra.engine.config import Project
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.engine.state.backend import Backend
from flowinfra.model.plan import Operation
from flowinfra.orchestrators.base import Adapter, DeploymentInfo
from flowinfra.packaging.home import Home

if TYPE_CHECKING:
    from flowinfra.components.flow_deployment import Resolved

__all__ = ["Done", "deploy", "describe", "destroy_own", "gone", "recorded_token"]

_TOKEN: Final = "flowinfra:index:Token"
_OUTPUT: Final = "production_token"


@dataclass(frozen=True, slots=True)
class Done:
    """What was deployed.

    Attributes:
        found: as the target keeps it.
        changed: whether anything was.
    """

    found: DeploymentInfo
    changed: bool


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What shall be deployed, and where."""

    home: Home
    project: Project
    domain: str
    kind: TargetKind
    spec: DeploymentSpec
    resolved: Resolved


def describe(flow: type[FlowSpec], name: str, tags: tuple[str, ...], given: Create, kind: TargetKind) -> dict[str, Any]:
    """Everything that :func:`deploy` would deploy, as one document; reads sources and settings, and writes nothing.

    Raises:
        FlowinfraError: what :func:`deploy` would refuse for the flow, its parameters or the target.
    """
    from flowinfra.components.single import document

    wanted = _wanted(flow, name, tags, given, kind)
    return document(wanted.resolved, project=wanted.project.name, domain=wanted.domain)


def deploy(
    flow: type[FlowSpec],
    name: str,
    tags: tuple[str, ...],
    given: Create,
    kind: TargetKind,
    say: Callable[[str], None],
) -> Done:
    """Apply the deployment's own stack; everything else that is deployed stays as it is.

    Args:
        flow: its class.
        name: the deployment's name.
        tags: further tags of its runs.
        given: what was said about it.
        kind: the target.
        say: told warnings and what the program says.

    Raises:
        ControlError: FI820 or FI821, the name is somebody else's, and no token was shown, or a wrong one.
        ConfigurationError: FI893, the token cannot be kept; the deployment is made.
        FlowinfraError: the flow or the settings are wrong, or the engine fails; what was done until then is recorded.
    """
    from flowinfra.components.single import single
    from flowinfra.control.operations import Request, apply

    wanted = _wanted(flow, name, tags, given, kind)
    home, project, domain = wanted.home, wanted.project, wanted.domain
    adapter, caller = kind.adapter(home), Caller.of(home)
    deployment = wanted.resolved.deployment
    stack = caller.stack(kind.name, domain, deployment.full_name)
    before = adapter.named(project.name, domain, deployment.flow, deployment.name)
    shown = None if before is None else caller.require(kind.name, before, given.authorize)
    token = given.given_token or (None if given.generate_new_token else shown)

    file = Backend.open(backend_url(home, project)).stack(project.name, stack)
    generation = _generation(file.read().resources if file.exists else ()) + given.generate_new_token
    told: list[str] = []
    program = single(
        wanted.spec,
        kind.target(),
        domain=domain,
        generation=generation,
        given_token=token,
        authorize=shown,
        tell=told.append,
    )
    opened = open_own_stack(home, project, domain, stack, program)
    if file.exists and (before is None or shown is not None):
        # Somebody has deleted it or taken it over since: what this stack last knew of it holds no more.
        apply(opened, Request(Operation.REFRESH))
    plan = apply(opened, Request(Operation.UP), lambda event: _say(event, say))
    found = adapter.named(project.name, domain, deployment.flow, deployment.name)
    if found is None:
        raise ControlError(gone(deployment.full_name))
    if told:
        caller.remember(found, told[-1])
    return Done(found, plan.has_changes)


def gone(name: str) -> Diagnostic:
    """FI898: what was just deployed is not there."""
    return error(
        "FI898",
        f"{name} is gone right after it was deployed",
        detail="somebody has deleted it meanwhile",
        hint="deploy it again",
    )


def destroy_own(home: Home, kind: TargetKind, domain: str, full_name: str) -> None:
    """Delete a deployment with its stack of its own, and the stack's files.

    Raises:
        FlowinfraError: it is protected, or locked, or the engine fails.
    """
    from flowinfra.control.operations import Request, apply

    project = project_at(home)
    stack = Caller.of(home).stack(kind.name, domain, full_name)
    file = Backend.open(backend_url(home, project)).stack(project.name, stack)
    apply(open_own_stack(home, project, domain, stack, _nothing), Request(Operation.DESTROY))
    with file.lock():
        if not file.read().resources:
            file.remove()


def recorded_token(adapter: Adapter, caller: Caller, found: DeploymentInfo) -> str | None:
    """The production token of *found* out of the state of the caller's own stack; None if it is not his, or unreadable."""
    if found.owner != caller.owner(adapter.target, found):
        return None
    home = adapter.home
    try:
        project = project_at(home)
        stack = caller.stack(adapter.target, found.domain, found.full_name)
        ref = StackRef(project.name, stack, project.folder, _nothing, backend_url(home, project), found.domain)
        token = EmbeddedEngine().outputs(ref, show_secrets=True).get(_OUTPUT)
    except FlowinfraError:
        return None
    return token if isinstance(token, str) and found.token.fits(token) else None


def _wanted(flow: type[FlowSpec], name: str, tags: tuple[str, ...], given: Create, kind: TargetKind) -> _Wanted:
    from flowinfra.components.flow_deployment import resolve
    from flowinfra.components.settings import Settings

    home = Home.find()
    project = project_at(home)
    domain = domain_of(home, project)
    settings = Settings.from_config(domain, project.config(domain).all_values)
    spec = DeploymentSpec(
        flow,
        name,
        parameters=given.parameters,
        tags=dict.fromkeys((*tags, *given.tags)),
        paused=given.paused,
        max_workers=given.max_workers,
        timeout_seconds=given.workflow_timeout,
        user_namespace=given.user_namespace,
    )
    return _Wanted(home, project, domain, kind, spec, resolve(spec, settings, kind.target()))


def _generation(resources: Any) -> int:
    """The generation of the production token that a state has."""
    found = [r.inputs.get("generation") for r in resources if r.type == _TOKEN and not r.delete]
    return int(found[0]) if found and isinstance(found[0], (int, float)) else 0


def _say(event: Event, say: Callable[[str], None]) -> None:
    if isinstance(event, LogEvent):
        say(event.message)


def _nothing() -> None:
    """The program of a stack that is only destroyed or read."""
