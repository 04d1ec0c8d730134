"""Comparing two versions of a flow, wherever they are: a file, a release, a deployment, or JSON.

::

    what was typed ──(find_version)──> Version ──(compared)──> FlowDiff

A version is a graph, and a deployment where there is one. What only one of two versions has (a release has no tags) is
not compared.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from flowinfra.authoring.loader import load_flow, split_address
from flowinfra.compiler.diff import Side, diff
from flowinfra.control.configs import recorded_configs
from flowinfra.control.plans import placed_diff, side_of, with_causes
from flowinfra.control.stacks import backend_url, require_stack, selected_stack
from flowinfra.diagnostics import ConfigurationError, Diagnostic, NotFoundError, error, nearest
from flowinfra.engine.config import Project
from flowinfra.engine.state.backend import Backend
from flowinfra.model.base import SCHEMA_VERSION
from flowinfra.model.deployment import DEPLOYMENT_TYPE, Deployment
from flowinfra.model.diff import FlowDiff
from flowinfra.model.graph import FlowGraph
from flowinfra.packaging.build import build
from flowinfra.packaging.bundle import Bundle
from flowinfra.packaging.home import Home
from flowinfra.packaging.release import load as load_release
from flowinfra.packaging.store import Store

__all__ = ["Version", "compared", "deployed_of", "find_version"]

_PREFIX: Final = re.compile(r"[0-9a-f]{4,64}")  # at least four digits, as for git


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a flow.

    Attributes:
        label: what it is, for people.
        graph: the flow.
        deployment: what belongs to the deployment; None for what is not deployed.
        release: the digest of its release; empty if it has none.
        runtime: what the target records of where it runs.
        root: the folder that the places in the graph start from; empty if it has none.
        bundle: its code, where it was compiled just now.
        configs: the values of its configs by name; None where they are not known.
    """

    label: str
    graph: FlowGraph
    deployment: Deployment | None = None
    release: str = ""
    runtime: Mapping[str, str] = field(default_factory=dict)
    root: str = ""
    bundle: Bundle | None = None
    configs: Mapping[str, Any] | None = None


def find_version(what: str, *, cwd: Path, stack: str | None = None) -> Version:
    """The version that *what* names.

    Args:
        what: ``file.py[:Flow]``; a JSON file with a release, a graph or a deployment's inputs; a release's digest or
            the beginning of one; or a deployment of the stack.
        cwd: the folder that relative paths start from, and whose project is meant.
        stack: the stack whose deployments are meant; by default the selected one.

    Raises:
        NotFoundError: FI661, FI662, FI665: nothing is called so, or several are.
        ConfigurationError: FI663, FI664: the file does not hold a flow, or one of a newer flowinfra.
        FlowinfraError: the flow file, the project or the state cannot be read.
    """
    file, name = split_address(what)
    if file.suffix == ".py":
        return _from_source(what, cwd / file, name)
    if file.suffix == ".json" or (cwd / file).is_file():
        return _from_json(what, cwd / file)
    if _PREFIX.fullmatch(what):
        return _from_release(what, Home.find(cwd))
    return _from_stack(what, cwd, stack)


def deployed_of(version: Version, *, cwd: Path, stack: str | None = None) -> Version:
    """What is deployed in the stack of the flow that *version* is of.

    Raises:
        NotFoundError: FI665, nothing is, or several deployments of it are.
    """
    return _from_stack(version.graph.name, cwd, stack)


def compared(before: Version, after: Version, *, home: Home, folder: Path) -> FlowDiff:
    """What changes from *before* to *after*; places are told relative to *folder*."""
    both = before.deployment is not None and after.deployment is not None
    one, other = _side(before, deployed=both), _side(after, deployed=both)
    known = {v.release: v.bundle for v in (before, after) if v.bundle is not None}
    other = with_causes(home, one, other, folder, after.root, known)
    return placed_diff(diff(one, other), folder, after.root)


def _side(version: Version, *, deployed: bool) -> Side:
    own = version.deployment if deployed else None
    return Side(
        version.graph,
        own or Deployment(flow=version.graph.name, name="-"),
        version.release,
        version.runtime if deployed else {},
        configs=version.configs,
    )


# -- files ----------------------------------------------------------------------------------------------------------


def _from_source(what: str, file: Path, name: str | None) -> Version:
    with _forgotten():
        built = build(load_flow(file, name))
    return Version(
        what, built.graph, release=built.release, root=str(built.root), bundle=built.bundle, configs=built.configs
    )


@contextmanager
def _forgotten() -> Iterator[None]:
    """Own modules that are imported inside are imported anew afterwards: the other version has some of the same name."""
    modules, path = set(sys.modules), list(sys.path)
    try:
        yield
    finally:
        added = [p for p in sys.path if p not in path]
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file and any(Path(file).is_relative_to(folder) for folder in added):
                del sys.modules[name]
        sys.path[:] = path


def _from_json(what: str, file: Path) -> Version:
    try:
        document = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise ConfigurationError(_no_flow(what, "there is no such file")) from None
    except OSError as why:
        raise ConfigurationError(_no_flow(what, str(why.strerror or why))) from why
    except ValueError as why:
        raise ConfigurationError(_no_flow(what, f"it is no JSON: {why}")) from why
    return _read(what, document)


def _read(what: str, document: Any) -> Version:
    """The version in a JSON document: a release, a deployment's inputs, or a graph."""
    if not isinstance(document, dict):
        raise ConfigurationError(_no_flow(what, "it is no JSON object"))
    body = document.get("graph") or document.get("flow") or document
    newest = max((_schema_version(d) for d in (document, body)), default=SCHEMA_VERSION)
    if newest > SCHEMA_VERSION:
        raise ConfigurationError(
            error(
                "FI664",
                f"{what} was written by a newer flowinfra",
                detail=f"it has the schema version {newest}; this one reads up to {SCHEMA_VERSION}",
                hint="compare it with the flowinfra that wrote it, or a newer one",
            )
        )
    try:
        if "deployment" in document and isinstance(body, dict) and isinstance(body.get("steps"), dict):
            side = side_of(document)
            return Version(what, side.graph, side.deployment, side.release, side.runtime, configs=side.configs)
        configs = recorded_configs(document) if "graph" in document else None
        return Version(what, _graph(body), release=str(document.get("release", "")), configs=configs)
    except (ValueError, KeyError, TypeError) as why:
        raise ConfigurationError(_no_flow(what, _first_line(why))) from why


def _schema_version(document: Any) -> int:
    version = document.get("schema_version") if isinstance(document, dict) else None
    return int(version) if isinstance(version, int | float) and not isinstance(version, bool) else 0


def _graph(document: Any) -> FlowGraph:
    if not isinstance(document, dict) or "steps" not in document:
        raise ValueError("it has no steps")
    plain = {k: v for k, v in document.items() if k != "diagnostics"}  # what `flowinfra graph --json` adds
    return FlowGraph.from_keyed(plain) if isinstance(plain["steps"], dict) else FlowGraph.from_json(plain)


def _no_flow(what: str, why: str) -> Diagnostic:
    return error(
        "FI663",
        f"{what} holds no flow",
        detail=why,
        hint="give a flow file, a release or graph as JSON (`flowinfra graph FILE --json`), a release's digest, or "
        "<flow>/<deployment>",
    )


def _first_line(problem: Exception) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return ": ".join(lines[:2]) if "validation error" in str(problem) else (lines[0] if lines else repr(problem))


# -- releases -------------------------------------------------------------------------------------------------------


def _from_release(prefix: str, home: Home) -> Version:
    store = Store.open(home.store_url)
    kept = {p.stem for p in (home.cache / "compiled").glob("*.json")}
    there = sorted(kept | {name.removesuffix(".json") for name in store.names("releases")})
    found = [digest for digest in there if digest.startswith(prefix)]
    if len(found) > 1:
        raise NotFoundError(
            error(
                "FI662",
                f"several releases begin with {prefix}",
                detail=", ".join(digest[: len(prefix) + 8] for digest in found),
                hint="give more digits",
            )
        )
    if not found:
        raise NotFoundError(
            error(
                "FI661",
                f"there is no release {prefix}{nearest(prefix, [d[: len(prefix)] for d in there])}",
                detail=f"{len(there)} are known here, in the project's store and cache"
                if there
                else "none is known here",
                hint="`flowinfra outputs` shows the releases that are deployed; a deployment can be named too",
            )
        )
    digest = found[0]
    path = home.cache / "compiled" / f"{digest}.json"
    document = json.loads(path.read_bytes()) if digest in kept else load_release(store, digest)
    read = _read(f"release {digest[:12]}", document)
    return Version(read.label, read.graph, release=digest, configs=read.configs)


# -- what is deployed -----------------------------------------------------------------------------------------------


def _from_stack(what: str, cwd: Path, stack: str | None) -> Version:
    project, home = Project.find(cwd), Home.find(cwd)
    name = stack or selected_stack(home, project)
    require_stack(home, project, name)
    resources = Backend.open(backend_url(home, project)).stack(project.name, name).read().resources
    there: dict[str, Version] = {}
    for resource in resources:
        if resource.type == DEPLOYMENT_TYPE and not resource.delete:
            found = _read(f"{resource.urn} in the state", dict(resource.inputs))
            full_name = found.deployment.full_name if found.deployment else resource.urn
            label = f"{full_name} in {name}"
            there[full_name] = replace(found, label=label)
    if what in there:
        return there[what]
    fitting = [full for full in there if what in full.split("/", 1)]
    if len(fitting) == 1:
        return there[fitting[0]]
    known = ", ".join(sorted(there))
    raise NotFoundError(
        error(
            "FI665",
            f"{what!r} may be {len(fitting)} deployments of the stack {name}"
            if fitting
            else f"the stack {name} has no deployment {what!r}{nearest(what, _words(there))}",
            detail=f"deployed with it: {known}" if there else "nothing is deployed with it yet",
            hint="name it as <flow>/<deployment>, or choose another stack with --stack",
        )
    )


def _words(there: Mapping[str, Version]) -> list[str]:
    return list(dict.fromkeys([*there, *(part for full in there for part in full.split("/", 1))]))
