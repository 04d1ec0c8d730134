"""Pulumi's property values ↔ plain Python values. Secrets are unwrapped; the engine keeps track of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulumi.provider.experimental.property_value import Computed, PropertyValue

__all__ = ["UNKNOWN", "from_properties", "from_property", "to_properties", "to_property"]


class _Unknown:
    """A value that is known only once it is applied."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()


def from_property(value: PropertyValue) -> Any:
    """The plain value; whole numbers as int, because the wire has only floats."""
    inner = value.value
    if isinstance(inner, Computed):
        return UNKNOWN
    if isinstance(inner, float) and inner.is_integer() and abs(inner) < 2**53:
        return int(inner)
    if isinstance(inner, (list, tuple)):
        return [from_property(x) for x in inner]
    if isinstance(inner, Mapping):
        return {k: from_property(x) for k, x in inner.items()}
    return inner


def from_properties(values: Mapping[str, PropertyValue] | None) -> dict[str, Any]:
    """The plain values of a map."""
    return {k: from_property(v) for k, v in (values or {}).items()}


def to_property(value: Any, *, secret: bool = False) -> PropertyValue:
    """A plain value for the wire."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return PropertyValue(value, is_secret=secret)
    if isinstance(value, (int, float)):
        return PropertyValue(float(value), is_secret=secret)
    if isinstance(value, (list, tuple)):
        return PropertyValue([to_property(x) for x in value], is_secret=secret)
    if isinstance(value, Mapping):
        return PropertyValue({k: to_property(x) for k, x in value.items()}, is_secret=secret)
    raise TypeError(f"{type(value).__name__} is no property value")


def to_properties(values: Mapping[str, Any], secrets: frozenset[str] = frozenset()) -> dict[str, PropertyValue]:
    """Plain values for the wire, those named in *secrets* marked; unknown ones are left out.

    The SDK cannot put an unknown value on the wire; a property that is missing after a preview's create means the same.
    """
    return {k: to_property(v, secret=k in secrets) for k, v in values.items() if v is not UNKNOWN}
