"""The tasks before and after a task, by the wire protocol: no other task is read to find them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from flowinfra.control.listing import release_of, run_document
from flowinfra.diagnostics import RunError
from flowinfra.wire import step_prefix, task_key

if TYPE_CHECKING:
    from flowinfra.control.place import Address
    from flowinfra.runtime.lineage import Lineage, TaskRef
    from flowinfra.runtime.rundata import CommitValue

__all__ = ["children", "parents"]


def parents(task: Address, commit: CommitValue | None) -> Iterator[TaskRef]:
    """The tasks that *task* started from: its *commit* says it; without one they follow from the graph."""
    if commit is not None:
        yield from commit.parents
        return
    from flowinfra.runtime.rundata import RunData

    lineage = _lineage(task)
    if lineage is not None:
        flow, run, step, name = task.task
        data = RunData(task.place.store, flow, run)
        yield from lineage.parents(step, name, data.control, data.last)


def children(task: Address, commit: CommitValue | None) -> Iterator[TaskRef]:
    """The tasks that have begun from *task*; none has before it has committed."""
    lineage = None if commit is None else _lineage(task)
    if commit is None or lineage is None:
        return
    _, _, step, name = task.task
    for following, found in groupby(lineage.children(step, name, commit.control), key=lambda ref: ref.step):
        yield from _begun(task.run, following, found)


def _begun(run: Address, step: str, refs: Iterable[TaskRef]) -> Iterator[TaskRef]:
    """Those of *refs*, all of one step, that have begun: one is looked at, for more their step is listed once."""
    some = iter(refs)
    first, second = next(some, None), next(some, None)
    store = run.place.store
    flow, name = run.parts
    if first is not None and second is None:
        if next(store.list(task_key(flow, name, step, first.task)), None) is not None:
            yield first
        return
    begun = set(store.folders(step_prefix(flow, name, step)))
    yield from (ref for ref in (first, second) if ref is not None and ref.task in begun)
    yield from (ref for ref in some if ref.task in begun)


def _lineage(task: Address) -> Lineage | None:
    """The index over the program of a task's run; None if the program has no such task."""
    from flowinfra.runtime.lineage import Lineage

    _, _, step, name = task.task
    found = Lineage(release_of(task.run, run_document(task.run))["program"])
    with contextlib.suppress(RunError):
        found.check(step, name)
        return found
    return None
