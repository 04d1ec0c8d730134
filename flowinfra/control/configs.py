"""Loading a flow with the configs that one of its runs had: what resuming a run, or repeating a task of it, needs."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flowinfra.authoring.configs import ConfigSources, configs_of, differs
from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.loader import load_flow, load_variant
from flowinfra.diagnostics import AuthoringError, FlowinfraError, error

__all__ = ["as_in_run", "load_resumable", "recorded_configs", "refuse_configs"]

#: Findings that the values of a run can mend.
_UNREAD: Final = frozenset({"FI161", "FI162", "FI163", "FI164", "FI166", "FI167"})


def recorded_configs(release: Mapping[str, Any]) -> dict[str, Any]:
    """The configs of a release, given its plain JSON, by the name that callers use."""
    return {b["name"]: b["value"] for b in release.get("bindings", ()) if b["kind"] == "config"}


def refuse_configs(sources: ConfigSources) -> None:
    """A run that goes on from another one has that one's configs.

    Raises:
        AuthoringError: FI174, *sources* give others.
    """
    names = sources.names()
    if names:
        raise AuthoringError(
            error(
                "FI174",
                f"a config is given to a run that goes on from another one: {', '.join(names)}",
                detail="it has the configs of that run: what is taken over was made with them",
                hint="leave it out, or run the flow anew",
            )
        )


def load_resumable(file: Path, name: str | None = None, *, root: Path | None = None) -> type[FlowSpec]:
    """Like :func:`flowinfra.authoring.loader.load_flow`, also where configs cannot be read any more.

    Which run is meant is found out with the flow's name. So the flow is loaded first, and gets the configs of the run
    by :func:`as_in_run` then. Until then what cannot be read is as in the newest run of a flow in the file.
    """
    try:
        return load_flow(file, name, root=root)
    except AuthoringError as why:
        if not all(d.code in _UNREAD for d in why.diagnostics):
            raise
        values = _newest(file, name)
        if values is None:
            raise
        return load_flow(file, name, root=root, configs=ConfigSources.of_values(values))


def _newest(file: Path, name: str | None) -> dict[str, Any] | None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    return next((v for n in ([name] if name else classes) if (v := _configs_of_run(n, None, None)) is not None), None)


def as_in_run(flow: type[FlowSpec], origin: str | None, *, start: Path | None = None) -> type[FlowSpec]:
    """*flow* with the configs of one of its runs; configs that are new since then are read.

    Where there is no such run the flow is given back: whoever resumes it says what is wrong.

    Args:
        flow: its class, as :func:`load_resumable` has loaded it.
        origin: the id or pathspec of the run (default: the run that was started last).
        start: the folder whose project it belongs to (default: the current one).

    Raises:
        AuthoringError: the flow cannot be loaded with them.
    """
    values = _configs_of_run(flow.__name__, origin, start) if configs_of(flow) else None
    if values is None:
        return flow
    sources = ConfigSources.of_values(values)
    return load_variant(flow, sources) if differs(flow, sources) else flow


def _configs_of_run(flow: str, origin: str | None, start: Path | None) -> dict[str, Any] | None:
    """What a run of *flow* has recorded; None if there is none, or its release is not there."""
    from flowinfra.control.place import Place
    from flowinfra.control.resuming import origin_run
    from flowinfra.packaging.home import Home
    from flowinfra.packaging.store import Store
    from flowinfra.runtime.rundata import RunData
    from flowinfra.wire import RunDocument

    home = Home.find(start)
    place = Place(home, Store.open(home.store_url))
    try:
        run = origin_run(place, flow, origin)
        recorded = RunData(place.store, flow, run.id).read_run() or {}
        return recorded_configs(place.release(str(recorded.get(RunDocument.RELEASE, ""))))
    except FlowinfraError:
        return None
