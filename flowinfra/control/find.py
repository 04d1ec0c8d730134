"""From what a person types to the object of the client that it means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from heapq import merge
from itertools import islice

from flowinfra.control import missing
from flowinfra.control.client import Run, Step, Task
from flowinfra.control.place import Address, Place
from flowinfra.control.values import Artifact
from flowinfra.diagnostics import NotFoundError, error, nearest
from flowinfra.wire import IndexEntry, run_key

__all__ = ["Found", "find_node", "find_run", "newest_runs", "whole_pathspec"]

#: What a pathspec can name.
Found = Run | Step | Task | Artifact

_LOOKED_AT = 200
_RUN_ID = re.compile(r"[0-9a-f]{8}-.")
_KINDS: dict[int, type[Run | Step | Task | Artifact]] = {2: Run, 3: Step, 4: Task, 5: Artifact}


def whole_pathspec(text: str, *, flow: str | None = None, place: Place | None = None) -> str:
    """*text* with its flow in front, where it begins with the id of a run: ``run/step``.

    *flow* is where such a run is looked for; without one, it is looked for in all flows if it has the form of an id.
    """
    plain = text.strip("/")
    first, slash, _ = plain.partition("/")
    if not slash or first in ("", ".", "..", flow) or (flow is None and not _RUN_ID.match(first)):
        return plain
    where = place or Place.open()
    for known in [flow] if flow else where.flows():
        if where.store.exists(run_key(known, first, "run.json")):
            return f"{known}/{plain}"
    return plain


def find_node(text: str, *, flow: str | None = None, place: Place | None = None) -> Found:
    """What *text* names: a run by its id alone, or anything by its pathspec; a flow's name means its latest run.

    Args:
        text: ``run``, ``Flow``, ``Flow/run``, ``Flow/run/step``, ``Flow/run/step/task`` or one artifact of it. Where the
            flow is known, it may be left out.
        flow: the flow whose runs are meant, where it is known.
        place: where to look (default: the project of the current folder).

    Raises:
        NotFoundError: FI810 to FI816, there is no such object.
    """
    where = place or Place.open()
    parts = whole_pathspec(text, flow=flow, place=where).split("/")
    if len(parts) == 1:
        return _single(parts[0], flow, where)
    if len(parts) not in _KINDS or not all(parts) or {".", ".."}.intersection(parts):
        raise missing.NoSuchKey(missing.bad_pathspec(text, "Flow/run/step/task/artifact"))
    address = Address(where, tuple(parts))
    kind = _KINDS[len(parts)]
    kind.check(address)
    return kind(address)


def find_run(text: str | None, *, flow: str | None = None, place: Place | None = None) -> Run:
    """The run that *text* names, also by the pathspec of something in it; without a text, the newest one.

    Raises:
        NotFoundError: FI811, FI812 or FI816, there is no such run, or none at all.
    """
    where = place or Place.open()
    if text is not None:
        found = find_node("/".join(whole_pathspec(text, flow=flow, place=where).split("/")[:2]), flow=flow, place=where)
        assert isinstance(found, Run)  # at most two parts
        return found
    newest = next(newest_runs(where, [flow] if flow else None), None)
    if newest is None:
        if flow:
            raise missing.NoSuchKey(missing.no_flow(flow, where.store.url, where.flows()))
        raise _nothing_has_run(where)
    return newest


def newest_runs(place: Place, flows: list[str] | None = None) -> Iterator[Run]:
    """The runs of *flows* (default: of all), newest first: listings, read as far as one looks; no run itself is read."""

    def entries(flow: str) -> Iterator[tuple[int, str, IndexEntry]]:
        for entry in place.index(flow):
            yield -entry.started_ms, flow, entry

    for _, flow, entry in merge(*(entries(flow) for flow in (place.flows() if flows is None else flows))):
        yield Run(Address(place, (flow, entry.run)), started_ms=entry.started_ms)


def _single(name: str, flow: str | None, place: Place) -> Run:
    flows = place.flows()
    for known in [flow] if flow else flows:
        if place.store.exists(run_key(known, name, "run.json")):
            return Run(Address(place, (known, name)))
    if name in flows and flow in (None, name):
        return find_run(None, flow=name, place=place)
    newest = [run.id for run in islice(newest_runs(place, [flow] if flow else None), _LOOKED_AT)]
    if not newest and not flow:
        raise _nothing_has_run(place)
    raise NotFoundError(
        error(
            "FI811",
            f"there is no run {name!r}{nearest(name, [*newest, *([flow] if flow else flows)])}",
            detail=f"the newest run is {newest[0]}" if newest else f"no run of {flow} is in {place.store.url}",
            hint="`flowinfra runs` lists them; a run is known in the folder of its project, or with FLOWINFRA_STORE",
        )
    )


def _nothing_has_run(place: Place) -> NotFoundError:
    return NotFoundError(
        error(
            "FI842",
            "nothing has run here yet",
            detail=f"the store of this folder is {place.store.url}",
            hint="flowinfra run FILE, or go to the folder of the project",
        )
    )
