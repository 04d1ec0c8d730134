"""Bundles and releases: objects by content in a project's store.

They are made by content and shared by all deployments and runs that name them. So a change writes another object and
leaves the old one for the runs that are pinned to it, and deleting the resource deletes no object: what no run uses any
more is removed by ``flowinfra gc`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from flowinfra.canonical import sha256_hex
from flowinfra.packaging.cache import cached_bundle, cached_release
from flowinfra.packaging.home import Home
from flowinfra.packaging.store import Store
from flowinfra.packaging.unpack import is_whole
from flowinfra.wire import bundle_key, release_key
from flowinfra_providers.kinds import Created, Kind

__all__ = ["BundleKind", "ReleaseKind"]


class _Published(Kind):
    """An object in the store, named by its digest."""

    def key(self, digest: str) -> str:
        """Where the object lies."""
        raise TypeError(f"{type(self).__name__} has no key")  # pragma: no cover

    def content(self, digest: str) -> bytes:
        """The object, from the project's cache."""
        raise TypeError(f"{type(self).__name__} has no content")  # pragma: no cover

    def whole(self, data: bytes, digest: str) -> bool:
        """Whether *data* is the object that *digest* names."""
        raise TypeError(f"{type(self).__name__} has no digest")  # pragma: no cover

    def publish(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Write the object if it is not there, or damaged; the outputs."""
        store, digest = Store.open(Home.find().store_url), values["digest"]
        key = self.key(digest)
        stored = store.find(key)
        if stored is None:
            store.put_content(key, self.content(digest))
        elif not self.whole(stored, digest):
            store.put(key, self.content(digest))
        return {**values, "key": key}

    def create(self, values: Mapping[str, Any]) -> Created:
        return Created("", self.publish(values))  # no digest as id: it changes and the resource stays

    def update(self, id: str, before: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        return self.publish(values)

    findable = True

    def find(self, values: Mapping[str, Any]) -> Created | None:
        key = self.key(values["digest"])
        stored = Store.open(Home.find().store_url).find(key)
        return Created("", {**values, "key": key}) if stored and self.whole(stored, values["digest"]) else None

    def read(self, id: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
        stored = Store.open(Home.find().store_url).find(self.key(values["digest"]))
        return dict(values) if stored is not None and self.whole(stored, values["digest"]) else None


class BundleKind(_Published):
    """The code of a flow, in the store under its digest."""

    inputs: ClassVar = {"digest": str}
    computed = frozenset({"key"})

    def key(self, digest: str) -> str:
        return bundle_key(digest)

    def content(self, digest: str) -> bytes:
        return cached_bundle(Home.find(), digest)

    def whole(self, data: bytes, digest: str) -> bool:
        return is_whole(data, digest)


class ReleaseKind(_Published):
    """A release of a flow, in the store under its digest."""

    inputs: ClassVar = {"digest": str, "bundle": str}
    computed = frozenset({"key"})

    def key(self, digest: str) -> str:
        return release_key(digest)

    def content(self, digest: str) -> bytes:
        return cached_release(Home.find(), digest)

    def whole(self, data: bytes, digest: str) -> bool:
        return sha256_hex(data) == digest
