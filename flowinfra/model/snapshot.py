"""What is deployed, as far as others may see it: what ``flowinfra snapshot`` writes and offline previews compare with.

A snapshot holds what an allow-list names. Of everything else it holds that it is there, by its path, and, if it was made
with a key, a keyed digest (HMAC-SHA256) that tells whoever has the key whether a value is still the same. Secrets are
withheld without a digest. There is no time in it: two snapshots of one state are the same bytes.
"""

from __future__ import annotations

import hmac
from typing import Any, Final

from flowinfra.canonical import canonical_json
from flowinfra.model.base import SCHEMA_VERSION, Value

__all__ = ["DEPLOYMENT", "KIND", "PendingOperation", "RecordedResource", "StackSnapshot", "key_check", "keyed_digest"]

#: The type of deployments (:data:`flowinfra.components.flow_deployment.TYPE`, which loads pulumi).
DEPLOYMENT: Final = "flowinfra:index:FlowDeployment"

#: What a document says to be one.
KIND: Final = "flowinfra-snapshot"


class RecordedResource(Value):
    """One resource; the names are those of Pulumi's checkpoints."""

    urn: str
    type: str
    custom: bool = False
    parent: str = ""
    provider: str = ""
    """The URN of its provider; ids are in no snapshot."""
    dependencies: tuple[str, ...] = ()
    property_dependencies: dict[str, tuple[str, ...]] = {}
    protect: bool = False
    external: bool = False
    delete: bool = False
    pending_replacement: bool = False
    retain_on_delete: bool = False
    deleted_with: str = ""
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    additional_secret_outputs: tuple[str, ...] = ()
    hide_diff: tuple[str, ...] = ()
    custom_timeouts: dict[str, Any] = {}
    resource_hooks: dict[str, tuple[str, ...]] = {}
    inputs: dict[str, Any] = {}
    """The values that the allow-list names."""
    withheld: dict[str, str] = {}
    """Paths of the inputs that are not shown, with their keyed digests; empty where there is none."""
    outputs: tuple[str, ...] = ()
    """Names of the outputs."""
    echoed: tuple[str, ...] = ()
    """Those of them that equal the input of their name."""


class PendingOperation(Value):
    """An operation that was begun and of which nobody knows how it ended."""

    type: str
    urn: str
    resource_type: str


class StackSnapshot(Value):
    """What is deployed with one stack."""

    schema_version: int = SCHEMA_VERSION
    kind: str = KIND
    project: str
    stack: str
    flowinfra: str
    """The version that wrote it."""
    state: str = ""
    """Digest of the state that it was made from; empty if nothing was deployed."""
    key_check: str = ""
    """Tells whether a key is the one of its digests; empty if it was made without one."""
    resources: tuple[RecordedResource, ...] = ()
    pending: tuple[PendingOperation, ...] = ()


def keyed_digest(key: bytes, urn: str, path: str, value: Any) -> str:
    """The digest of the input *path* of *urn*: equal values of two places have different ones."""
    return hmac.digest(key, canonical_json([urn, path, _whole(value)]), "sha256").hex()


def key_check(key: bytes, project: str, stack: str) -> str:
    """What tells *key* from others in a snapshot of this stack."""
    return hmac.digest(key, canonical_json([KIND, project, stack]), "sha256").hex()


def _whole(value: Any) -> Any:
    """*value* with 5 for 5.0: an engine carries every number as a float."""
    if isinstance(value, dict):
        return {k: _whole(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(v) for v in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
