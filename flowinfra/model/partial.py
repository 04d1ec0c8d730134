"""What a provider raises when something exists that is not as it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["PartialFailure"]


class PartialFailure(Exception):
    """A resource was created, changed or read, and is not healthy: Pulumi's ``ErrorResourceInitFailed``.

    The engine records it with its errors and fails the operation; the next one tries to update it, even if nothing of
    it has changed. Any provider that runs in process may raise this from ``create``, ``update`` and ``read``; the
    Python SDK for providers has no way of its own to say it.
    """

    def __init__(self, resource_id: str, properties: Mapping[str, Any], reasons: Sequence[str]) -> None:
        """For the resource *resource_id*.

        Args:
            resource_id: its id.
            properties: its outputs as they are, as the provider returns them otherwise.
            reasons: what is not as it should be, a sentence each.
        """
        super().__init__("; ".join(reasons) or "it is not healthy")
        self.resource_id = resource_id
        self.properties = dict(properties)
        self.reasons = tuple(reasons) or ("it is not healthy",)
