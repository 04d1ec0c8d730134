"""The base of all values: frozen, strict about unknown fields, one canonical JSON, one digest.

Fields named in ``outside_digest`` are carried and shown but are no part of a value's identity (source positions, help
texts): a moved line or a reworded docstring never makes a new version of anything.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from flowinfra.canonical import canonical_json, sha256_hex

__all__ = ["SCHEMA_VERSION", "Value", "json_schema", "migrate"]

#: The version of the JSON documents that flowinfra writes. A change that old readers cannot read raises it and adds a
#: function to :data:`_MIGRATIONS`.
SCHEMA_VERSION = 1

#: From a schema version to the function that turns a document of it into one of the next version.
_MIGRATIONS: dict[int, Any] = {}


class Value(BaseModel):
    """A frozen value that is compared, stored and hashed by content."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, ser_json_inf_nan="constants")

    #: Names of fields that are no part of the digest.
    outside_digest: ClassVar[frozenset[str]] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """The whole value as plain JSON types, fields that equal their default left out (``kind`` is always there)."""
        return {**_compact(self, everything=True)}

    def content(self) -> dict[str, Any]:
        """The value without what is outside its digest, as plain JSON types, defaults left out."""
        return {**_compact(self, everything=False)}

    def digest(self) -> str:
        """SHA-256 over the canonical JSON of :meth:`content`."""
        return sha256_hex(canonical_json(self.content()))

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """The value that :meth:`to_json` wrote, of this or an older schema version.

        Raises:
            ValueError: the document is of a newer version or does not fit the schema (pydantic's own error).
        """
        return cls.model_validate(migrate(document) if "schema_version" in cls.model_fields else document)


def _compact(value: Any, *, everything: bool) -> Any:
    # model_dump cannot leave fields out per class and level, so the walk is ours; defaults are left out because a new
    # field with a default must not change the digest of what does not use it.
    if isinstance(value, Value):
        out: dict[str, Any] = {}
        for name, field in type(value).model_fields.items():
            item = getattr(value, name)
            if not everything and name in value.outside_digest:
                continue
            if (
                name not in ("kind", "schema_version")
                and not field.is_required()
                and item == field.get_default(call_default_factory=True)
            ):
                continue
            out[field.alias or name] = _compact(item, everything=everything)
        return out
    if isinstance(value, dict):
        return {k: _compact(v, everything=everything) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_compact(v, everything=everything) for v in value]
    return getattr(value, "value", value)  # an enum's word


def migrate(document: dict[str, Any]) -> dict[str, Any]:
    """*document* in the present schema version.

    Raises:
        ValueError: it was written by a newer flowinfra, or by one too old to have said its version.
    """
    version = document.get("schema_version", 1)
    if isinstance(version, float) and version.is_integer():
        version = int(version)  # engines carry every number as a float
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise ValueError(
            f"schema version {version!r} is newer than {SCHEMA_VERSION}, the newest that this flowinfra reads"
        )
    if version < SCHEMA_VERSION and version not in _MIGRATIONS:
        raise ValueError(f"schema version {version!r} is older than any that this flowinfra reads")
    while version < SCHEMA_VERSION:
        document = _MIGRATIONS[version](document)
        version += 1
    return {**document, "schema_version": SCHEMA_VERSION}


def json_schema(cls: type[Value]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of *cls*, normalised for a golden file: no titles that only repeat field names."""

    def strip(node: Any, *, properties: bool = False) -> Any:
        if isinstance(node, dict):
            return {
                k: strip(v, properties=k in ("properties", "$defs"))
                for k, v in sorted(node.items())
                if properties or k != "title"
            }
        return [strip(x) for x in node] if isinstance(node, list) else node

    schema: dict[str, Any] = strip(cls.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
