"""Spinning a step: one task once more, with the inputs that a run has recorded.

The task gets a run of its own, in which it finds what the tasks before it have left: the few documents that it can ask
for, which are found by deriving its parents on the recorded run and noting what was read. So the same task program runs
as in any run, nothing of the recorded run is touched, and what the task leaves is read like everything else. Such a run is
entered into no list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.canonical import canonical_json
from flowinfra.control import missing
from flowinfra.control.client import Run
from flowinfra.control.direct import DirectRun, RunOptions, in_project, new_run_id
from flowinfra.control.listing import step_names, task_ids
from flowinfra.control.place import Address, Place
from flowinfra.control.resuming import input_of, known_step, origin_run
from flowinfra.diagnostics import ControlError, FlowinfraError, error, nearest
from flowinfra.packaging.build import compile_flow
from flowinfra.packaging.home import Home
from flowinfra.packaging.store import Store
from flowinfra.runtime.artifacts import encode_all
from flowinfra.runtime.lineage import Lineage, TaskRef
from flowinfra.runtime.prepared import Prepared
from flowinfra.runtime.reuse import fixed_values
from flowinfra.runtime.rundata import RunData
from flowinfra.wire import Attempt, End, blob_key, task_key

__all__ = ["prepare_spin"]

#: Findings that say that a document is not there, or is none.
_MISSING: Final = frozenset({"FI401", "FI404", "FI729"})


def prepare_spin(
    flow: type[FlowSpec],
    step: str,
    options: RunOptions,
    *,
    origin: str | None = None,
    task: str | None = None,
    start: Path | None = None,
) -> DirectRun:
    """Compile *flow* and get one task of it ready to be run as its code is now, from what a run has recorded.

    Args:
        flow: its class.
        step: the step whose task it is.
        options: what is said about the run that is made for it.
        origin: the id or pathspec of the run, or the pathspec of the task (default: the run that was started last).
        task: the task's id (default: the one that ended the run, if it is one of the step, else the step's first one).
        start: the folder whose project it belongs to (default: the current one).

    Raises:
        FlowinfraError: the flow is wrong, or there is nothing to run it from: FI811 or FI812, there is no such run;
            FI865, it is one of another flow; FI868, there is no such step; FI871, no such task; FI872, what the task
            starts from is not there.
    """
    home = Home.find(start)
    built = compile_flow(flow, home)
    options = in_project(flow, options)
    place = Place(home, Store.open(home.store_url))
    plan = json.loads(built.release_bytes)
    wrong = known_step(plan, step, built.flow)
    if wrong:
        raise ControlError(wrong)
    parts = (origin or "").strip("/").split("/")
    if task is None and len(parts) > 3 and parts[2] == step:
        task = parts[3]
    run = origin_run(place, built.flow, origin)
    prepared = Prepared.of(built.release, plan)
    ref = TaskRef(step, _task_of(run, place, step, task, prepared.lineage))
    values, warnings = input_of(place, run, built, plan)
    made = new_run_id(home, built.flow)
    inputs = _Inputs(RunData(place.store, built.flow, run.id), prepared, ref, fixed_values(prepared, values))
    return DirectRun(
        home,
        built,
        made,
        values,
        options,
        origin=run.id,
        only=ref,
        seed=inputs.documents(made),
        warnings=tuple(warnings),
    )


def _task_of(run: Run, place: Place, step: str, task: str | None, lineage: Lineage) -> str:
    """The id of the task that is meant."""
    flow, name = run.pathspec.split("/")
    address = Address(place, (flow, name))
    begun = task_ids(address.child(step))
    if task is not None:
        try:
            lineage.check(step, task)
        except FlowinfraError as why:
            raise ControlError(
                error(
                    "FI871",
                    f"{task!r} is no id of a task of the step {step}{nearest(task, begun)}",
                    detail=why.diagnostics[0].detail,
                    hint=f"`flowinfra show {run.pathspec}/{step}` lists them",
                )
            ) from None
        return task
    if not begun:
        steps = step_names(address)
        raise missing.NoSuchKey(missing.no_step(run.pathspec, step, steps))
    failed: Mapping[str, Any] = (RunData(place.store, flow, name).read_end() or {}).get(End.ERROR) or {}
    ended = failed.get(Attempt.TASK)
    return str(ended) if failed.get(Attempt.STEP) == step and ended in begun else begun[0]


@dataclass(slots=True)
class _Inputs:
    """What a task can ask for of the tasks before it, out of a recorded run."""

    origin: RunData
    prepared: Prepared
    ref: TaskRef
    fixed: Mapping[str, Any]
    """Parameters and configs by attribute; what is new since then is added to what the tasks before it have left."""
    found: dict[tuple[str, str, str], bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def documents(self, run: str) -> dict[str, bytes]:
        """The documents as they have to lie in the run with the id *run*, by key, and the values that they name anew.

        Raises:
            ControlError: FI872, one of them is not there or cannot be read.
        """
        try:
            self._derive()
        except (FlowinfraError, LookupError, ValueError, TypeError, AttributeError) as why:
            if isinstance(why, FlowinfraError) and why.diagnostics[0].code not in _MISSING:
                raise
            first = why.diagnostics[0].summary if isinstance(why, FlowinfraError) else str(why)
            raise ControlError(
                error(
                    "FI872",
                    f"what {self.ref.step}/{self.ref.task} starts from is not to be had from the run {self.origin.run}",
                    detail=first,
                    hint="take a task whose parents have ended well there, or run the flow as it is now first",
                )
            ) from None
        flow = self.origin.flow
        documents = {task_key(flow, run, step, task, name): data for (step, task, name), data in self.found.items()}
        return {**self.blobs, **documents}

    def _derive(self) -> None:
        lineage, (step, task) = self.prepared.lineage, self.ref
        parents = lineage.parents(step, task, self._control, self._last)
        deciders = {item.decider for item in (lineage.item(*ref) for ref in (self.ref, *parents)) if item is not None}
        needed = dict.fromkeys([*parents, *deciders])
        if lineage.joins(step):
            needed |= dict.fromkeys([lineage.opener(step, task)])
            if self.prepared.fixed:
                needed |= dict.fromkeys([lineage.first()])
        for ref in needed:
            self._commit(ref)
        item = lineage.item(step, task)
        count = 0 if item is None else len(self.origin.commit(*item.decider).control)
        if item is not None and item.index >= count:
            raise LookupError(f"the foreach of {item.decider.step} had {count} items there")

    def _commit(self, ref: TaskRef) -> None:
        commit = self.origin.commit(*ref)
        ran = commit.origin or f"{self.origin.flow}/{self.origin.run}/{ref.step}/{ref.task}"
        new = {name: value for name, value in self.fixed.items() if name not in commit.artifacts}
        artifacts = {**commit.artifacts, **encode_all(new, ref.step, self._put)}
        document = replace(commit, artifacts=artifacts, origin=ran).to_json()
        self.found[ref.step, ref.task, "artifacts.json"] = json.dumps(
            document, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()

    def _put(self, blob: str, data: bytes) -> None:
        self.blobs[blob_key(self.origin.flow, blob)] = data

    def _control(self, step: str, task: str) -> Any:
        value = self.origin.control(step, task)
        self.found[step, task, "control.json"] = canonical_json(value)
        return value

    def _last(self, step: str, task: str) -> int:
        value = self.origin.last(step, task)
        self.found[step, task, "last.json"] = canonical_json(value)
        return value
