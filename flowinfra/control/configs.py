"""Loading a flow with the configs that one of its runs had: what resuming a run needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flowinfra.authoring.configs import ConfigSources, bindings_of
from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.loader import load_flow
from flowinfra.diagnostics import AuthoringError

__all__ = ["load_like", "recorded_configs"]


def recorded_configs(release: Mapping[str, Any]) -> dict[str, Any]:
    """The configs of a release, given its plain JSON, by the name that callers use."""
    return {b["name"]: b["value"] for b in release.get("bindings", ()) if b["kind"] == "config"}


def load_like(
    file: Path,
    name: str | None,
    recorded: Callable[[str], Mapping[str, Any] | None],
    *,
    root: Path | None = None,
) -> type[FlowSpec]:
    """The flow called *name* in *file*, with the configs that a run of it had; those that are new are read.

    Args:
        file: the flow file.
        name: of the class; None for the only one.
        recorded: given the flow's name, the configs of the run by name; None if there is no such run.
        root: as in :func:`flowinfra.authoring.loader.load_flow`.

    Raises:
        AuthoringError: as :func:`flowinfra.authoring.loader.load_flow`.
    """
    # Which run is meant depends on the flow's name, and that is known when the flow is loaded: as a rule it has the same
    # configs today. If it cannot be loaded as it is, because a file is gone that the run has read, the classes of
    # the file are tried.
    try:
        flow = load_flow(file, name, root=root)
    except AuthoringError as why:
        if not all(d.code in _UNREAD for d in why.diagnostics):
            raise
        values = next((v for n in _classes(file, name) if (v := recorded(n)) is not None), None)
        if values is None:
            raise
        return load_flow(file, name, root=root, configs=ConfigSources.of_values(values))
    bindings, _ = bindings_of(flow)
    values = recorded(flow.__name__) if bindings else None
    if values is None or all(values.get(b.name, b.value) == b.value for b in bindings):
        return flow
    return load_flow(file, name, root=root, configs=ConfigSources.of_values(values))


#: Findings that other values can mend.
_UNREAD = frozenset({"FI161", "FI162", "FI163", "FI164", "FI166", "FI167"})


def _classes(file: Path, name: str | None) -> list[str]:
    if name is not None:
        return [name]
    import ast

    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
