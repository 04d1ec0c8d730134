"""The documents that whoever starts a run writes before it starts: the same on every target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flowinfra.canonical import canonical_json, sha256_hex
from flowinfra.packaging.files import stored_values
from flowinfra.packaging.store import Store
from flowinfra.wire import WIRE_VERSION, RunDocument, blob_key, index_key, run_key

__all__ = ["INPUT_LIMIT", "StartedRun", "write_index", "write_start"]

#: Bytes of an input.json; a larger input lies in a blob that it names (section 0 of the protocol).
INPUT_LIMIT: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedRun:
    """What run.json says.

    Attributes:
        flow: the flow's name.
        run: the run's id.
        release: the digest that the run is pinned to.
        started_ms: when it was started, milliseconds since the epoch.
        target: ``local``, ``step_functions`` or ``argo_workflows``.
        deployment: ``<flow>/<deployment>``; empty for a run without one.
        address: where the target knows it.
        tags: what it is tagged with.
        origin: the run that it resumes.
        rerun: steps of which it takes nothing over from there.
        user: who started it.
    """

    flow: str
    run: str
    release: str
    started_ms: int
    target: str
    deployment: str = ""
    address: str = ""
    tags: tuple[str, ...] = ()
    origin: str = ""
    rerun: tuple[str, ...] = ()
    user: str = ""

    def document(self) -> dict[str, Any]:
        """As it is stored; what is empty is left out, but for the tags."""
        optional = {
            RunDocument.DEPLOYMENT: self.deployment,
            RunDocument.ADDRESS: self.address,
            RunDocument.ORIGIN: self.origin,
            RunDocument.RERUN: list(self.rerun),
            RunDocument.USER: self.user,
        }
        return {
            RunDocument.WIRE: WIRE_VERSION,
            RunDocument.RELEASE: self.release,
            RunDocument.FLOW: self.flow,
            RunDocument.TARGET: self.target,
            RunDocument.STARTED: self.started_ms,
            RunDocument.TAGS: list(self.tags),
            **{name: value for name, value in optional.items() if value},
        }


def write_start(store: Store, run: StartedRun, values: Mapping[str, Any]) -> None:
    """Write input.json and run.json, each unless it is there.

    Args:
        store: where the run shall live.
        run: what run.json says.
        values: the whole input: parameters by name, as JSON, or as files whose content is stored here.

    Raises:
        PackagingError: FI403, the store cannot be written; FI436, a file cannot be read.
    """
    data = canonical_json(stored_values(store, run.flow, values))
    if len(data) > INPUT_LIMIT:
        key = blob_key(run.flow, sha256_hex(data))
        store.put_content(key, data)
        data = canonical_json({"$ref": key})
    store.create(run_key(run.flow, run.run, "input.json"), data)
    store.create(run_key(run.flow, run.run, "run.json"), canonical_json(run.document()))


def write_index(store: Store, run: StartedRun) -> None:
    """Enter the run into the list of its flow's runs; the first task does it too, under the same key.

    Raises:
        PackagingError: FI403, the store cannot be written.
    """
    store.create(index_key(run.flow, run.started_ms, run.run), b"")
