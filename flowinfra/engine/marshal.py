"""Between the engine's property values and the two forms of the SDK: protobuf structures and ``PropertyValue``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import struct_pb2
from pulumi.provider.experimental.property_value import Computed, PropertyValue, ResourceReference

from flowinfra.engine.values import RESOURCE, SECRET, SIGNATURE, UNKNOWN, Properties, is_secret, secret

__all__ = ["flatten", "from_property_values", "from_struct", "from_value", "to_property_values", "to_struct"]

#: Up to here Go writes a float without an exponent, and so do we.
_EXACT: Final = 1e21


def _number(value: float) -> int | float:
    # Protobuf knows floats only. The state must say 5, not 5.0, as the real engine writes it.
    return int(value) if math.isfinite(value) and value.is_integer() and abs(value) < _EXACT else value


def from_value(value: struct_pb2.Value) -> Any:
    """A protobuf value as plain JSON types."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        return _number(value.number_value)
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return from_struct(value.struct_value)
    if kind == "list_value":
        return [from_value(v) for v in value.list_value.values]
    return None


def from_struct(struct: struct_pb2.Struct) -> Properties:
    """A protobuf structure as properties."""
    return {k: from_value(v) for k, v in struct.fields.items()}


def _to_value(value: Any) -> struct_pb2.Value:
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, (int, float)):
        return struct_pb2.Value(number_value=float(value))
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    if isinstance(value, list):
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_to_value(v) for v in value]))
    return struct_pb2.Value(struct_value=to_struct(value))


def to_struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """Properties as a protobuf structure; secrets must be open."""
    return struct_pb2.Struct(fields={k: _to_value(v) for k, v in properties.items()})


def _to_property_value(value: Any) -> PropertyValue:
    if isinstance(value, dict):
        if is_secret(value):
            return _to_property_value(value["value"]).with_secret(True)
        if value.get(SIGNATURE) == RESOURCE:
            id_ = value.get("id")
            return PropertyValue(
                ResourceReference(
                    urn=value["urn"],
                    resource_id=None if id_ is None else PropertyValue(id_),
                    package_version=value.get("packageVersion"),
                )
            )
        return PropertyValue({k: _to_property_value(v) for k, v in value.items()})
    if isinstance(value, list):
        return PropertyValue([_to_property_value(v) for v in value])
    if isinstance(value, int) and not isinstance(value, bool):
        return PropertyValue(float(value))
    return PropertyValue(value)


def to_property_values(properties: Mapping[str, Any]) -> dict[str, PropertyValue]:
    """Properties as a provider takes them; what is unknown stays the text :data:`UNKNOWN`, as for a plugin."""
    return {k: _to_property_value(v) for k, v in properties.items()}


def _from_property_value(value: PropertyValue) -> Any:
    if value.is_secret:
        return secret(_from_property_value(value.with_secret(False)))
    inner = value.value
    if isinstance(inner, Computed):
        return UNKNOWN
    if inner is None or isinstance(inner, (bool, str)):
        return inner
    if isinstance(inner, (int, float)):
        return _number(float(inner))
    if isinstance(inner, ResourceReference):
        reference: dict[str, Any] = {SIGNATURE: RESOURCE, "urn": inner.urn}
        if inner.resource_id is not None:
            reference["id"] = _from_property_value(inner.resource_id)
        if inner.package_version is not None:
            reference["packageVersion"] = inner.package_version
        return reference
    if isinstance(inner, Mapping):
        return {k: _from_property_value(v) for k, v in inner.items()}
    if isinstance(inner, (list, tuple)):
        return [_from_property_value(v) for v in inner]
    raise TypeError(f"a provider returned a {type(inner).__name__}, which the embedded engine cannot keep")


def from_property_values(values: Mapping[str, PropertyValue] | None) -> Properties:
    """What a provider returned as properties.

    Raises:
        TypeError: it returned an asset or an archive.
    """
    return {k: _from_property_value(v) for k, v in (values or {}).items()}


def flatten(value: Any, *, secrets: bool, resources: bool) -> Any:
    """*value* for a provider that takes no open secrets or no references to resources: plain values and ids."""
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET and not secrets:
            return flatten(value["value"], secrets=secrets, resources=resources)
        if value.get(SIGNATURE) == RESOURCE and not resources:
            return (value["id"] or UNKNOWN) if "id" in value else value["urn"]
        return {k: flatten(v, secrets=secrets, resources=resources) for k, v in value.items()}
    return [flatten(v, secrets=secrets, resources=resources) for v in value] if isinstance(value, list) else value
