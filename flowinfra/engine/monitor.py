"""The monitor and the engine that the SDK talks to, as objects instead of gRPC stubs.

``pulumi.runtime.Settings`` takes any object with the methods of ``ResourceMonitorStub``; it calls them in threads of
the loop's executor with protobuf messages. Every method of the protocol is here; what is not supported is refused by
name, so that no program gets less than it asked for.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, TypeVar

from google.protobuf import empty_pb2
from google.protobuf.message import Message
from pulumi.runtime.proto import engine_pb2, resource_pb2

from flowinfra.diagnostics import FlowinfraError, error, warning
from flowinfra.engine.base import LogEvent, unsupported
from flowinfra.engine.callbacks import CallbackAddress
from flowinfra.engine.deployment import Deployment
from flowinfra.engine.marshal import flatten, from_struct, to_struct
from flowinfra.engine.once import Once
from flowinfra.engine.places import file_of, place_of_registration
from flowinfra.engine.planning import finding
from flowinfra.engine.reading import read_resource
from flowinfra.engine.registration import (
    Lineage,
    alias_urns,
    is_asset,
    options_of,
    refuse_unsupported,
    with_plugin,
)
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.steps import Goal, register
from flowinfra.engine.transforms import transformed
from flowinfra.engine.urns import (
    PROVIDER_PREFIX,
    STACK_TYPE,
    default_provider_name,
    is_provider,
    make_urn,
    package_of,
    provider_reference,
)
from flowinfra.engine.values import UNKNOWN, Properties, contains, secret

__all__ = ["EngineLog", "Monitor", "options_of"]

T = TypeVar("T")

#: What the SDK may use. Without ALIAS_SPECS it computes the URNs of aliases itself, without OUTPUT_VALUES it sends plain
#: values. The last three are here to be refused by name instead of with "please update the Pulumi CLI".
_FEATURES: Final = (
    resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_PARAMETERIZATION,
    resource_pb2.RESOURCE_MONITOR_FEATURE_INVOKE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
)
_LEGACY_FEATURES: Final = frozenset({"secrets", "resourceReferences", "deletedWith", "transforms", "resourceHooks"})


class EngineLog:
    """Takes what the program logs (``EngineStub``)."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def Log(self, request: engine_pb2.LogRequest) -> empty_pb2.Empty:
        """Pass a line on; warnings and errors also become findings. As with the real CLI, an error fails nothing."""
        severity: Literal["info", "warning", "error"]
        if request.severity == engine_pb2.DEBUG:
            return empty_pb2.Empty()
        if request.severity == engine_pb2.INFO:
            severity = "info"
        elif request.severity == engine_pb2.WARNING:
            severity = "warning"
            said = warning("FI641", request.message)
            self._deployment.plan.add_finding(finding(said, request.urn))
        else:
            severity = "error"
            self._deployment.plan.add_finding(finding(error("FI641", request.message), request.urn))
        self._deployment.emit(LogEvent(severity, request.message, request.urn))
        return empty_pb2.Empty()

    def RequirePulumiVersion(
        self, request: engine_pb2.RequirePulumiVersionRequest
    ) -> engine_pb2.RequirePulumiVersionResponse:
        """Accepted: no CLI takes part, so its version says nothing."""
        return engine_pb2.RequirePulumiVersionResponse()


class Monitor:
    """Answers the calls of one program (``ResourceMonitorStub``)."""

    def __init__(self, deployment: Deployment, at_end: Callable[[int], None]) -> None:
        """For *deployment*; *at_end* is called once the program is over, with the number of what it registered.

        It runs while the program's callback server still lives, so that hooks of deletions can be called.
        """
        self._deployment = deployment
        self._at_end = at_end
        self._lock = threading.Lock()
        self._transforms: list[CallbackAddress] = []
        self._defaults: Once[tuple[str, str, str], str] = Once()
        self._lineage = Lineage()
        self._registered = 0

    def _guarded(self, function: Callable[[], T]) -> T:
        try:
            return function()
        except FlowinfraError as problem:
            self._deployment.fail(problem)
            raise

    def _refused(self, what: str) -> NoReturn:
        problem = unsupported(what)
        self._deployment.fail(problem)
        raise problem

    # -- about the engine

    def GetDeploymentInfo(self, request: empty_pb2.Empty) -> resource_pb2.DeploymentInfo:
        """What this monitor can do."""
        return resource_pb2.DeploymentInfo(supportedFeatures=_FEATURES)

    def SupportsFeature(self, request: resource_pb2.SupportsFeatureRequest) -> resource_pb2.SupportsFeatureResponse:
        """The same, as older SDKs ask."""
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in _LEGACY_FEATURES)

    def SignalAndWaitForShutdown(self, request: empty_pb2.Empty) -> empty_pb2.Empty:
        """The program is over."""
        self._guarded(lambda: self._at_end(self._registered))
        return empty_pb2.Empty()

    # -- functions of the program

    def RegisterStackTransform(self, callback: Any) -> empty_pb2.Empty:
        """A transform for everything registered from now on."""
        with self._lock:
            self._transforms.append(callback)
        return empty_pb2.Empty()

    def RegisterResourceHook(self, request: resource_pb2.RegisterResourceHookRequest) -> empty_pb2.Empty:
        """A function to be called around an operation."""
        self._deployment.hooks.register(request)
        return empty_pb2.Empty()

    # -- refused

    def RegisterPackage(self, request: resource_pb2.RegisterPackageRequest) -> resource_pb2.RegisterPackageResponse:
        """Refused."""
        return self._refused(f"the parameterized package {request.name}")

    def RegisterStackInvokeTransform(self, callback: Any) -> empty_pb2.Empty:
        """Refused."""
        return self._refused("transforms of function calls")

    def RegisterErrorHook(self, request: resource_pb2.RegisterErrorHookRequest) -> empty_pb2.Empty:
        """Refused."""
        return self._refused("error hooks")

    def Call(self, request: resource_pb2.ResourceCallRequest) -> Message:
        """Refused."""
        return self._refused(f"the method {request.tok} of a provider")

    def ExistsResource(self, request: resource_pb2.ExistsResourceRequest) -> resource_pb2.ExistsResourceResponse:
        """Refused."""
        return self._refused(f"asking whether a {request.type} exists")

    # -- resources

    def Invoke(self, request: resource_pb2.ResourceInvokeRequest) -> resource_pb2.ResourceInvokeResponse:
        """Call a function of a provider. Its error belongs to the program, which may catch it and go on."""
        self._deployment.check_running()
        self._refuse_plugin(request, f"the function {request.tok}")
        reference = request.provider or self._default_provider(
            package_of(request.tok), request, f"the function {request.tok}"
        )
        if not self._deployment.unsettled.isdisjoint(request.dependsOn):
            return resource_pb2.ResourceInvokeResponse(unknown=True)
        package = self._deployment.package_for("", reference, f"the function {request.tok}")
        result = package.invoke(request.tok, from_struct(request.args))
        response = resource_pb2.ResourceInvokeResponse(
            failures=[{"property": name, "reason": reason} for name, reason in result.failures],
            unknown=result.unknown,
        )
        getattr(response, "return").CopyFrom(to_struct(result.values))
        return response

    def ReadResource(self, request: resource_pb2.ReadResourceRequest) -> resource_pb2.ReadResourceResponse:
        """Look up a resource that the program does not own."""
        return self._guarded(lambda: self._read(request))

    def _read(self, request: resource_pb2.ReadResourceRequest) -> resource_pb2.ReadResourceResponse:
        stack = self._deployment.stack
        urn = make_urn(stack.stack, stack.project, request.parent, request.type, request.name)
        inputs = {k: v for k, v in from_struct(request.properties).items() if v is not None}
        self._refuse_plugin(request, urn)
        if contains(inputs, is_asset):
            raise unsupported("assets and archives", where=urn)
        with self._lock:
            self._registered += 1
        wanted = ResourceState(
            urn=urn,
            type=request.type,
            custom=True,
            external=True,
            id=request.id,
            inputs=inputs,
            parent=request.parent,
            dependencies=tuple(request.dependencies),
            provider=request.provider or self._default_provider(package_of(request.type), request, urn),
            additional_secret_outputs=tuple(request.additionalSecretOutputs),
            source_position=self._position(request),
        )
        state = read_resource(
            self._deployment, wanted, place_of_registration(request, self._deployment.stack.project_dir)
        )
        return resource_pb2.ReadResourceResponse(
            urn=state.urn,
            id="" if state.id == UNKNOWN else state.id,
            properties=to_struct(self._shown(state.outputs, request)),
        )

    def _refuse_plugin(self, request: Any, where: str) -> None:
        if request.packageRef:
            raise unsupported("parameterized packages", where=where)
        if request.pluginChecksums:
            raise unsupported("checksums of plugins", where=where)

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:
        """Bring about what the program wants."""
        return self._guarded(lambda: self._register(request))

    def _register(self, request: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:
        self._lineage.inherit(request)
        with self._lock:
            stacks = list(self._transforms)
        request = transformed(request, [*self._lineage.transforms(request.parent), *stacks])
        goal = self._goal(request)
        if request.type != STACK_TYPE:
            with self._lock:
                self._registered += 1
        state = register(self._deployment, goal)
        self._lineage.add(state.urn, request, goal.state.provider)
        return resource_pb2.RegisterResourceResponse(
            urn=state.urn,
            id="" if state.id == UNKNOWN else state.id,
            object=to_struct(self._shown(state.outputs, request)),
            unknown=self._deployment.targeting.is_skipped(state.urn),
        )

    def _shown(self, values: Properties, request: Any) -> Properties:
        """*values* as the caller can take them: it may be told not to read references to resources."""
        return values if request.acceptResources else flatten(values, secrets=True, resources=False)

    def _goal(self, request: resource_pb2.RegisterResourceRequest) -> Goal:
        stack = self._deployment.stack
        urn = make_urn(stack.stack, stack.project, request.parent, request.type, request.name)
        inputs = from_struct(request.object)
        refuse_unsupported(request, urn, inputs, dry_run=self._deployment.interpreter.dry_run)
        reference = ""
        if is_provider(request.type):
            inputs = with_plugin(inputs, request.version, request.pluginDownloadURL)
        elif request.custom:
            reference = request.provider or self._default_provider(package_of(request.type), request, urn)
        state = replace(
            options_of(request), urn=urn, inputs=inputs, provider=reference, source_position=self._position(request)
        )
        return Goal(
            state,
            aliases=alias_urns(request, stack, self._deployment.former),
            delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
            source=place_of_registration(request, self._deployment.stack.project_dir),
        )

    def RegisterResourceOutputs(self, request: resource_pb2.RegisterResourceOutputsRequest) -> empty_pb2.Empty:
        """Record the outputs of a component or of the stack."""
        return self._guarded(lambda: self._outputs(request))

    def _outputs(self, request: resource_pb2.RegisterResourceOutputsRequest) -> empty_pb2.Empty:
        outputs = _without_marks(from_struct(request.outputs))
        if self._deployment.targeting.is_skipped(request.urn):
            return empty_pb2.Empty()
        if contains(outputs, is_asset):
            raise unsupported("assets and archives", where=request.urn)
        deployment = self._deployment
        outputs = deployment.interpreter.align(
            request.urn, deployment.ledger.registered_as(request.urn).outputs, outputs
        )
        changed = deployment.ledger.set_outputs(request.urn, outputs)
        if changed:
            deployment.plan.explain(request.urn, f"outputs changed: {', '.join(changed)}")
        deployment.run_after_outputs(deployment.ledger.registered_as(request.urn))
        return empty_pb2.Empty()

    # -- default providers

    def _default_provider(self, package: str, request: Any, wanted_by: str) -> str:
        """The reference of the provider that serves *package* where the program names none; made at the first need."""
        version, url = request.version, request.pluginDownloadURL
        return self._defaults.get((package, version, url), lambda: self._make_default(package, version, url, wanted_by))

    def _make_default(self, package: str, version: str, url: str, wanted_by: str) -> str:
        deployment = self._deployment
        type_ = f"{PROVIDER_PREFIX}{package}"
        deployment.package_for(type_, "", wanted_by)  # if it is missing, the error names who needs it
        urn = make_urn(deployment.stack.stack, deployment.stack.project, "", type_, default_provider_name(version, url))
        inputs: Properties = {}
        for key, value in deployment.config.items():
            namespace, _, name = key.partition(":")
            if namespace == package:
                inputs[name] = secret(value) if key in deployment.secret_keys else value
        inputs = with_plugin(inputs, version, url)
        if package != "pulumi":
            inputs.setdefault("__internal", {})
        state = register(deployment, Goal(ResourceState(urn=urn, type=type_, custom=True, inputs=inputs)))
        return provider_reference(state.urn, state.id)

    # -- places in the source

    def _position(self, request: Any) -> str:
        """Where the registration is written, as the state keeps it."""
        position = request.sourcePosition
        path = file_of(position.uri)
        if path is None:
            return ""
        return f"project:///{_relative(path, self._deployment.stack.project_dir)}#{position.line}"


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _without_marks(value: Any) -> Any:
    """*value* without what the SDK adds to exported resources in previews only."""
    if isinstance(value, dict):
        return {k: _without_marks(v) for k, v in value.items() if k != "@isPulumiResource"}
    return [_without_marks(v) for v in value] if isinstance(value, list) else value
