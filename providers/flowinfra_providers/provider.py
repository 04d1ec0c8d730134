"""The package ``flowinfra``: bundle, release, token and local deployment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Protocol

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    ConfigureResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    GetSchemaRequest,
    GetSchemaResponse,
    PropertyDiff,
    PropertyDiffKind,
    Provider,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)

from flowinfra._version import __version__
from flowinfra_providers.kinds import Kind
from flowinfra_providers.local_deployment import LocalDeploymentKind
from flowinfra_providers.published import BundleKind, ReleaseKind
from flowinfra_providers.token import TokenKind
from flowinfra_providers.values import from_properties, to_properties

__all__ = ["KINDS", "FlowinfraProvider"]

#: The resource types of the package.
KINDS: Mapping[str, Kind] = {
    "flowinfra:index:Bundle": BundleKind(),
    "flowinfra:index:Release": ReleaseKind(),
    "flowinfra:index:Token": TokenKind(),
    "flowinfra:index:LocalDeployment": LocalDeploymentKind(),
}


class FindRequest(Protocol):
    """What the embedded engine asks for: the URN and the inputs of a creation that was interrupted."""

    @property
    def urn(self) -> str:
        """The resource's name."""
        ...

    @property
    def inputs(self) -> Mapping[str, PropertyValue]:
        """Its inputs."""
        ...


class FlowinfraProvider(Provider):
    """Hands each request to the kind of its resource, in a thread of its own."""

    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        """Say which forms of values the provider understands."""
        return ConfigureResponse(accept_secrets=True, supports_preview=True, accept_resources=False)

    async def get_schema(self, request: GetSchemaRequest) -> GetSchemaResponse:
        """The package's schema: its name, version and resource types with their inputs and outputs."""
        return GetSchemaResponse(schema=json.dumps(_schema()))

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Everything that is wrong with the inputs."""
        inputs = {k: v for k, v in request.new_inputs.items() if v.value is not None}
        problems = _kind(request.urn).check(from_properties(inputs))
        return CheckResponse(inputs, [CheckFailure(p.input, p.reason) for p in problems])

    async def diff(self, request: DiffRequest) -> DiffResponse:
        """Which inputs changed, and whether that makes another resource."""
        kind = _kind(request.urn)
        before, after = from_properties(request.old_state), from_properties(request.new_inputs)
        changed = [name for name in kind.changed(before, after) if name not in request.ignore_changes]
        replaces = [name for name in changed if name in kind.replaces]
        return DiffResponse(
            changes=bool(changed),
            diffs=changed,
            replaces=replaces,
            stables=["id"],
            # two deployments of one address cannot be there at once
            delete_before_replace=bool(replaces),
            detailed_diff={
                name: PropertyDiff(
                    PropertyDiffKind.UPDATE_REPLACE if name in replaces else PropertyDiffKind.UPDATE, input_diff=True
                )
                for name in changed
            },
        )

    async def create(self, request: CreateRequest) -> CreateResponse:
        """Make a resource; in a preview only its inputs are known."""
        kind, values = _kind(request.urn), from_properties(request.properties)
        if request.preview:
            return CreateResponse("", to_properties({**values, **kind.declaring(values)}, kind.secrets))
        made = await asyncio.to_thread(kind.create, values)
        outputs = {**made.outputs, **kind.declaring(values)}
        return CreateResponse(made.id or request.urn.split("::")[-1], to_properties(outputs, kind.secrets))

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        """Change a resource; in a preview what is computed anew is left out."""
        kind = _kind(request.urn)
        before, values = from_properties(request.olds), from_properties(request.news)
        if request.preview:
            settled = {**kind.kept(before, values), **kind.settled(before, values), **kind.declaring(values)}
            return UpdateResponse(to_properties(settled, kind.secrets))
        outputs = await asyncio.to_thread(kind.update, request.resource_id, before, values)
        return UpdateResponse(to_properties({**outputs, **kind.declaring(values)}, kind.secrets))

    async def read(self, request: ReadRequest) -> ReadResponse:
        """A resource as it is now; an empty id if it is gone."""
        kind, values = _kind(request.urn), from_properties(request.properties)
        now = await asyncio.to_thread(kind.read, request.resource_id, values)
        if now is None:
            return ReadResponse("", {}, {})
        given, said = from_properties(request.inputs), kind.declared(values)
        if any(now.get(name) != value for name, value in said.items()):
            now = {**now, **kind.declaring(said)}
        # An operator's value is an output: the inputs stay the program's, so that it is not taken for its change.
        known = [k for k in kind.inputs if k in now and (k in given or (k not in values and now[k] is not None))]
        inputs = {k: given[k] if k in given and k in kind.operator_owned else now[k] for k in known}
        return ReadResponse(request.resource_id, to_properties(now, kind.secrets), to_properties(inputs, kind.secrets))

    async def find(self, request: FindRequest) -> ReadResponse | None:
        """What creating a resource with these inputs has made, for an engine whose creation was interrupted.

        An empty id where it has made nothing; None where nobody can tell.
        """
        kind, values = _kind(request.urn), from_properties(request.inputs)
        if not kind.findable:
            return None
        made = await asyncio.to_thread(kind.find, values)
        if made is None:
            return ReadResponse("", {}, {})
        outputs = {**made.outputs, **kind.declaring(values)}
        found = made.id or request.urn.split("::")[-1]
        return ReadResponse(found, to_properties(outputs, kind.secrets), to_properties(values, kind.secrets))

    async def delete(self, request: DeleteRequest) -> None:
        """Remove a resource."""
        kind = _kind(request.urn)
        await asyncio.to_thread(kind.delete, request.resource_id, from_properties(request.properties))


def _kind(urn: str) -> Kind:
    # The SDK takes the type from the URN, where a component's child carries the types of its parents before "$".
    return KINDS[urn.split("::")[2].rpartition("$")[2]]


def _schema() -> dict[str, Any]:
    words = {str: "string", bool: "boolean", int: "integer", list: "array", dict: "object"}

    def prop(kinds: Any, secret: bool) -> dict[str, Any]:
        word = words[kinds if isinstance(kinds, type) else kinds[0]]
        out: dict[str, Any] = {"type": word}
        if word == "array":
            out["items"] = {"type": "string"}
        elif word == "object":
            out["additionalProperties"] = {"$ref": "pulumi.json#/Any"}
        return {**out, "secret": True} if secret else out

    resources = {}
    for token, kind in KINDS.items():
        inputs = {n: prop(t, n in kind.secrets) for n, t in kind.inputs.items()}
        outputs = {**inputs, **{n: prop(str, n in kind.secrets) for n in sorted(kind.computed)}}
        resources[token] = {
            "description": " ".join((kind.__doc__ or "").split()),
            "inputProperties": inputs,
            "requiredInputs": [n for n in kind.inputs if n not in kind.optional],
            "properties": outputs,
            "required": [n for n in outputs if n not in kind.optional],
        }
    return {"name": "flowinfra", "version": __version__, "resources": resources}
