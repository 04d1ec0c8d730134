"""What a registration of the SDK asks for, once it and its parents are looked at together."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pulumi.runtime.proto import alias_pb2, resource_pb2

from flowinfra.diagnostics import EngineError, error
from flowinfra.engine.base import StackRef, unsupported
from flowinfra.engine.callbacks import CallbackAddress
from flowinfra.engine.durations import seconds_of
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.urns import STACK_TYPE, make_urn, package_of, split_reference, urn_name, urn_type
from flowinfra.engine.values import ARCHIVE, ASSET, SIGNATURE, Properties, contains, has_unknown

__all__ = [
    "Lineage",
    "alias_urns",
    "is_asset",
    "options_of",
    "refuse_unsupported",
    "with_plugin",
]

#: Hook lists of a registration -> their keys in the state.
_HOOKS: Final = {
    "before_create": "BeforeCreate",
    "after_create": "AfterCreate",
    "before_update": "BeforeUpdate",
    "after_update": "AfterUpdate",
    "before_delete": "BeforeDelete",
    "after_delete": "AfterDelete",
}


@dataclass(frozen=True)
class _Parent:
    """What a registered resource hands on to its children."""

    parent: str
    protect: bool | None
    retain: bool | None
    deleted_with: str
    provider: str
    providers: Mapping[str, str]
    transforms: tuple[CallbackAddress, ...]


class Lineage:
    """What children take from their parents; safe for several threads.

    As in Pulumi's resource monitor (``inheritFromParent``, ``resolveProvider``): protection, ``retainOnDelete``,
    ``deletedWith``, the provider of the same package, and transforms.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Parent] = {}

    def inherit(self, request: resource_pb2.RegisterResourceRequest) -> None:
        """Fill in what *request* leaves to its parent."""
        with self._lock:
            parent = self._known.get(request.parent)
        if parent is None:
            return
        if not request.deletedWith:
            request.deletedWith = parent.deleted_with
        if not request.HasField("protect") and parent.protect is not None:
            request.protect = parent.protect
        if not request.HasField("retainOnDelete") and parent.retain is not None:
            request.retainOnDelete = parent.retain
        if request.custom and not request.provider:
            package = package_of(request.type)
            served = parent.provider and package_of(urn_type(split_reference(parent.provider)[0])) == package
            request.provider = parent.provider if served else parent.providers.get(package, "")

    def transforms(self, parent: str) -> list[CallbackAddress]:
        """Those of *parent*, then of its parents."""
        found: list[CallbackAddress] = []
        with self._lock:
            while (known := self._known.get(parent)) is not None:
                found.extend(known.transforms)
                parent = known.parent
        return found

    def add(self, urn: str, request: resource_pb2.RegisterResourceRequest, provider: str) -> None:
        """Remember what the resource *urn* was registered with."""
        with self._lock:
            above = self._known.get(request.parent)
            inherited = above.providers if above is not None and not request.custom else {}
            self._known[urn] = _Parent(
                parent=request.parent,
                protect=request.protect if request.HasField("protect") else None,
                retain=request.retainOnDelete if request.HasField("retainOnDelete") else None,
                deleted_with=request.deletedWith,
                provider=provider,
                providers={} if request.custom else {**inherited, **request.providers},
                transforms=tuple(request.transforms),
            )


def options_of(request: resource_pb2.RegisterResourceRequest) -> ResourceState:
    """What a registration says of a resource, but for its URN, its provider, its inputs and its place.

    Raises:
        EngineError: FI658, a custom timeout is no duration.
    """
    return ResourceState(
        urn="",
        type=request.type,
        custom=request.custom,
        parent=request.parent,
        protect=request.protect,
        dependencies=tuple(sorted(request.dependencies)),
        property_dependencies={k: sorted(v.urns) for k, v in sorted(request.propertyDependencies.items())},
        retain_on_delete=request.retainOnDelete,
        deleted_with=request.deletedWith,
        additional_secret_outputs=tuple(request.additionalSecretOutputs),
        ignore_changes=tuple(request.ignoreChanges),
        replace_on_changes=tuple(request.replaceOnChanges),
        hide_diff=tuple(request.hideDiffs),
        custom_timeouts=_timeouts(request),
        resource_hooks={key: list(names) for name, key in _HOOKS.items() if (names := getattr(request.hooks, name))},
    )


def _timeouts(request: resource_pb2.RegisterResourceRequest) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for kind in ("create", "update", "delete", "read"):
        text = getattr(request.customTimeouts, kind)
        try:
            seconds = seconds_of(text) if text else 0.0
        except ValueError:
            raise EngineError(
                error(
                    "FI658",
                    f"'{request.name}' has a custom timeout that is no duration: {kind}={text!r}",
                    detail=f"{request.type} '{request.name}'",
                    hint='write it as in Go: "30s", "5m", "1h30m"',
                )
            ) from None
        if seconds:
            out[kind] = int(seconds) if seconds.is_integer() else seconds
    return out


def refuse_unsupported(
    request: resource_pb2.RegisterResourceRequest, urn: str, inputs: Properties, *, dry_run: bool
) -> None:
    """Refuse by name whatever of *request* this engine does not do.

    Raises:
        EngineError: FI602, it asks for such a thing; FI640, an input is not known although this is no preview.
    """
    wanted = {
        "remote components": request.remote,
        "importing resources": bool(request.importId),
        "replaceWith": bool(request.replace_with),
        "replacementTrigger": request.HasField("replacement_trigger")
        and request.replacement_trigger.WhichOneof("kind") not in (None, "null_value"),
        "state migrations": bool(request.state_migrations),
        "parameterized packages": bool(request.packageRef),
        "checksums of plugins": bool(request.pluginChecksums),
        "snippets": bool(request.snippetId),
        "mapping environment variables into providers": bool(request.envVarMappings),
        "error hooks": bool(request.hooks.on_error),
        "assets and archives": contains(inputs, is_asset),
    }
    for what, asked in wanted.items():
        if asked:
            raise unsupported(what, where=urn)
    if not dry_run and has_unknown(inputs):
        raise EngineError(
            error(
                "FI640",
                f"'{urn_name(urn)}' has an input that is still unknown",
                detail=f"{urn}: the output that it comes from was not returned by its provider",
                hint="this is a mistake in that provider",
            )
        )


def is_asset(value: Any) -> bool:
    """Whether *value* is an asset or an archive."""
    return isinstance(value, dict) and value.get(SIGNATURE) in (ASSET, ARCHIVE)


def alias_urns(
    request: resource_pb2.RegisterResourceRequest, stack: StackRef, former: Mapping[str, str]
) -> tuple[str, ...]:
    """The URNs by which the resource may be known in the last state.

    The SDK has computed most of them; transforms write specifications. A parent that the state knows under a former
    name (*former*: new URN -> old one) gives one more for each.
    """
    found: dict[str, None] = {}
    specs = [alias_pb2.Alias(urn=urn) for urn in request.aliasURNs] + list(request.aliases)
    own = [a.urn or _collapsed(a.spec, request, stack, former) for a in specs]
    found.update(dict.fromkeys(own))
    if (parent := former.get(request.parent)) is not None:
        below = urn_name(request.parent)
        for type_, name in [(request.type, request.name), *((urn_type(u), urn_name(u)) for u in own)]:
            renamed = urn_name(parent) + name.removeprefix(below) if name.startswith(below) else name
            found[make_urn(stack.stack, stack.project, parent, type_, renamed)] = None
    return tuple(found)


def _collapsed(
    spec: alias_pb2.Alias.Spec,
    request: resource_pb2.RegisterResourceRequest,
    stack: StackRef,
    former: Mapping[str, str],
) -> str:
    parent = former.get(spec.parentUrn, spec.parentUrn) if spec.parentUrn else request.parent
    if spec.noParent or (parent and urn_type(parent) == STACK_TYPE):
        parent = ""
    return make_urn(
        spec.stack or stack.stack,
        spec.project or stack.project,
        parent,
        spec.type or request.type,
        spec.name or request.name,
    )


def with_plugin(inputs: Properties, version: str, url: str) -> Properties:
    """The *inputs* of a provider with what the engine notes among them of its plugin."""
    if not version and not url:
        return inputs
    noted: Properties = {"version": version} if version else {}
    return {**inputs, **noted, "__internal": {"pluginDownloadURL": url} if url else {}}
