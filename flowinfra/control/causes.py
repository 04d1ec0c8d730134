"""What changed in the code of a deployment's steps, from the bundles that this project has in its cache.

The state knows digests only. Where the bundle of what is deployed is still here, the two versions of the code are
compared, so that a plan can say "``metrics.complexity_of``" instead of two digests. Where it is not, nothing is said.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from flowinfra.compiler.diff import Side
from flowinfra.diagnostics import FlowinfraError
from flowinfra.model.graph import FlowGraph
from flowinfra.packaging.bundle import Bundle
from flowinfra.packaging.cache import cached_bundle, cached_release
from flowinfra.packaging.home import Home
from flowinfra.packaging.unpack import unpack
from flowinfra.sources.causes import Cause, Version, causes
from flowinfra.sources.walk import walk

__all__ = ["changed_code"]


def changed_code(
    home: Home, before: Side, after: Side, known: Mapping[str, Bundle] = MappingProxyType({})
) -> Mapping[str, tuple[Cause, ...]]:
    """By step what changed of its code; empty where the code of one of the two versions is not here.

    Args:
        home: the project, in whose cache the code is looked for.
        before: the version before.
        after: the version after.
        known: code that is at hand, by the digest of its release.
    """
    old, new = before.graph.by_name, after.graph.by_name
    steps = [n for n in sorted(old.keys() & new.keys()) if old[n].code_digest != new[n].code_digest]
    if not steps or not before.release or not after.release:
        return {}
    with tempfile.TemporaryDirectory(prefix="flowinfra-") as folder:
        try:
            one = _version(home, before, known.get(before.release), Path(folder, "before"))
            other = _version(home, after, known.get(after.release), Path(folder, "after"))
        except (FlowinfraError, KeyError, ValueError, OSError):  # gone from the cache, or not what it was
            return {}
        return causes(one, other, steps)


def _version(home: Home, side: Side, known: Bundle | None, folder: Path) -> Version:
    if known is not None:
        digest, data = known.digest, known.data
    else:
        digest = str(json.loads(cached_release(home, side.release))["bundle"])
        data = cached_bundle(home, digest)
    root = unpack(data, digest, folder)
    classes = _classes(side.graph)
    parts = classes[0][0].split(".")
    file = root.joinpath(*parts).with_suffix(".py")
    return Version(
        walk(file if file.is_file() else root.joinpath(*parts, "__init__.py"), root),
        classes,
        [s.name for s in side.graph.steps],
    )


def _classes(graph: FlowGraph) -> list[tuple[str, str]]:
    """The flow's class and those of its bases that have steps, the flow's own first."""
    found: dict[tuple[str, str], None] = {}
    for step in (graph.step(graph.start), *graph.steps):
        module, _, qualified = step.entrypoint.partition(":")
        found.setdefault((module, qualified.rpartition(".")[0] or qualified))
    return list(found)
