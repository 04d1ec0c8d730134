"""Transforms: functions of the program that change registrations before anything else sees them.

They see inputs as Pulumi shows them: what is secret, unknown or depends on resources as outputs. What they return
replaces all options; whatever of these this engine does not know is refused afterwards, as if the program had asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc
from pulumi.runtime.proto import alias_pb2, resource_pb2

from flowinfra.engine.callbacks import CallbackAddress, details, failed, invoke
from flowinfra.engine.marshal import from_struct, to_struct
from flowinfra.engine.values import SECRET, SIGNATURE, UNKNOWN, Properties

__all__ = ["transformed"]

#: How an output is written among property values (``sdk/go/common/resource``).
_OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"

#: Fields that mean the same in a registration (left) and in the options of a transform.
_LISTS: Final = {
    "ignoreChanges": "ignore_changes",
    "replaceOnChanges": "replace_on_changes",
    "additionalSecretOutputs": "additional_secret_outputs",
    "hideDiffs": "hide_diff",
    "replace_with": "replace_with",
    "dependencies": "depends_on",
}
_TEXTS: Final = {
    "version": "version",
    "provider": "provider",
    "pluginDownloadURL": "plugin_download_url",
    "deletedWith": "deleted_with",
    "importId": "import",
}
_PRESENT: Final = {"protect": "protect", "retainOnDelete": "retain_on_delete"}
_MESSAGES: Final = {
    "customTimeouts": "custom_timeouts",
    "hooks": "hooks",
    "replacement_trigger": "replacement_trigger",
}
_MAPS: Final = {"providers": "providers", "pluginChecksums": "plugin_checksums"}


def transformed(
    request: resource_pb2.RegisterResourceRequest, inherited: Sequence[CallbackAddress]
) -> resource_pb2.RegisterResourceRequest:
    """The registration *request* after its own transforms and the *inherited* ones, in this order.

    Raises:
        EngineError: FI608, one of them raised.
    """
    own = list(request.transforms)
    if not own and not inherited:
        return request
    inputs: Properties = _as_outputs(from_struct(request.object))
    if own:
        for key, dependencies in request.propertyDependencies.items():
            if dependencies.urns and key in inputs:
                inputs[key] = _depending(inputs[key], dependencies.urns)
    options = _options(request)
    for callback in (*own, *inherited):
        try:
            result = invoke(
                callback,
                resource_pb2.TransformRequest(
                    type=request.type,
                    name=request.name,
                    custom=request.custom,
                    parent=request.parent,
                    properties=to_struct(inputs),
                    options=options,
                ),
                resource_pb2.TransformResponse(),
            )
        except grpc.RpcError as problem:
            raise failed(f"a transform of '{request.name}'", details(problem)) from problem
        if result.HasField("properties"):
            inputs = from_struct(result.properties)
        if result.HasField("options"):
            options = result.options
    return _applied(request, inputs, options, own=bool(own))


def _options(request: resource_pb2.RegisterResourceRequest) -> resource_pb2.TransformResourceOptions:
    options = resource_pb2.TransformResourceOptions()
    for mine, theirs in {**_LISTS, **_MAPS}.items():
        _copy(request, mine, options, theirs)
    for mine, theirs in _TEXTS.items():
        setattr(options, theirs, getattr(request, mine))
    for mine, theirs in _PRESENT.items():
        if request.HasField(mine):  # type: ignore[arg-type]
            setattr(options, theirs, getattr(request, mine))
    for mine, theirs in _MESSAGES.items():
        if request.HasField(mine):  # type: ignore[arg-type]
            getattr(options, theirs).CopyFrom(getattr(request, mine))
    if request.deleteBeforeReplaceDefined:
        options.delete_before_replace = request.deleteBeforeReplace
    options.aliases.extend(alias_pb2.Alias(urn=urn) for urn in request.aliasURNs)
    options.aliases.extend(request.aliases)
    return options


def _applied(
    request: resource_pb2.RegisterResourceRequest,
    inputs: Properties,
    options: resource_pb2.TransformResourceOptions,
    *,
    own: bool,
) -> resource_pb2.RegisterResourceRequest:
    out = resource_pb2.RegisterResourceRequest()
    out.CopyFrom(request)
    out.object.CopyFrom(to_struct(_plain(inputs)))
    for mine, theirs in {**_LISTS, **_MAPS}.items():
        _copy(options, theirs, out, mine)
    for mine, theirs in _TEXTS.items():
        setattr(out, mine, getattr(options, theirs))
    for mine, theirs in {**_PRESENT, **_MESSAGES}.items():
        out.ClearField(mine)  # type: ignore[arg-type]
        if options.HasField(theirs):  # type: ignore[arg-type]
            value = getattr(options, theirs)
            if mine in _PRESENT:
                setattr(out, mine, value)
            else:
                getattr(out, mine).CopyFrom(value)
    out.deleteBeforeReplaceDefined = options.HasField("delete_before_replace")
    out.deleteBeforeReplace = options.delete_before_replace
    out.ClearField("aliasURNs")
    out.ClearField("aliases")
    out.aliases.extend(options.aliases)
    # As in Pulumi: transforms of the resource itself decide anew what each input depends on, others only add to it.
    found = {key: _dependencies(value) for key, value in inputs.items()}
    dependencies = set(options.depends_on) if own else set(request.dependencies)
    for key, urns in found.items():
        known = () if own else request.propertyDependencies[key].urns if key in request.propertyDependencies else ()
        found[key] = {*known, *urns}
    out.ClearField("propertyDependencies")
    for key, urns in found.items():
        out.propertyDependencies[key].urns.extend(sorted(urns))
        if own:
            dependencies |= urns
    out.ClearField("dependencies")
    out.dependencies.extend(sorted(dependencies))
    return out


def _copy(source: Any, name: str, target: Any, to: str) -> None:
    target.ClearField(to)
    field = getattr(target, to)
    add: Callable[[Any], None] = field.update if name in _MAPS or to in _MAPS else field.extend
    if name in ("pluginChecksums", "plugin_checksums"):
        for key, value in getattr(source, name).items():
            field[key] = value
    else:
        add(getattr(source, name))


# -- outputs among values ---------------------------------------------------------------------------------------------


def _is_output(value: Any) -> bool:
    return isinstance(value, dict) and value.get(SIGNATURE) == _OUTPUT


def _as_outputs(value: Any) -> Any:
    """*value* with what is secret or unknown as outputs."""
    if value == UNKNOWN:
        return {SIGNATURE: _OUTPUT}
    if isinstance(value, list):
        return [_as_outputs(v) for v in value]
    if not isinstance(value, dict) or _is_output(value):
        return value
    if value.get(SIGNATURE) == SECRET:
        inner = _as_outputs(value["value"])
        return {**inner, "secret": True} if _is_output(inner) else {SIGNATURE: _OUTPUT, "value": inner, "secret": True}
    return {k: _as_outputs(v) for k, v in value.items()}


def _depending(value: Any, urns: Sequence[str]) -> Any:
    output = value if _is_output(value) else {SIGNATURE: _OUTPUT, "value": value}
    return {**output, "dependencies": sorted({*output.get("dependencies", ()), *urns})}


def _plain(value: Any) -> Any:
    """*value* without outputs: what is secret or unknown as the engine writes it."""
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if not isinstance(value, dict):
        return value
    if not _is_output(value):
        return {k: _plain(v) for k, v in value.items()}
    inner = _plain(value["value"]) if "value" in value else UNKNOWN
    return {SIGNATURE: SECRET, "value": inner} if value.get("secret") else inner


def _dependencies(value: Any) -> set[str]:
    if isinstance(value, list):
        return {urn for v in value for urn in _dependencies(v)}
    if not isinstance(value, dict):
        return set()
    found = {urn for k, v in value.items() if k != "dependencies" or not _is_output(value) for urn in _dependencies(v)}
    return found | set(value.get("dependencies", ())) if _is_output(value) else found
