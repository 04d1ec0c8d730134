"""Resuming a run: another run of the same flow, which takes over what the first one has done.

What is taken over is decided task by task while it runs (:mod:`flowinfra.runtime.reuse`). Here is which run is meant,
whether it can be resumed at all, and what the new one is given: the origin's input, never one of its own.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.control import missing
from flowinfra.control.client import Run
from flowinfra.control.direct import DirectRun, RunOptions, in_project, new_run_id
from flowinfra.control.find import find_run
from flowinfra.control.place import Address, Place
from flowinfra.diagnostics import (
    ControlError,
    Diagnostic,
    FlowinfraError,
    NotFoundError,
    ParameterError,
    Severity,
    error,
    nearest,
    warning,
)
from flowinfra.model.states import RunState
from flowinfra.packaging.build import Compiled, compile_flow
from flowinfra.packaging.home import Home
from flowinfra.packaging.store import KeyMissing, Store
from flowinfra.runtime.artifacts import read_unloaded
from flowinfra.runtime.lineage import Lineage
from flowinfra.runtime.parameters import check_parameters, from_python, made_by_first_task
from flowinfra.runtime.reuse import release_of, steps_changed
from flowinfra.runtime.rundata import RunData
from flowinfra.wire import run_key

__all__ = ["input_of", "known_step", "origin_run", "prepare_resume"]


def prepare_resume(
    flow: type[FlowSpec],
    options: RunOptions,
    *,
    origin_run_id: str | None = None,
    step_to_rerun: str | None = None,
    rerun_changed: bool = False,
    start: Path | None = None,
) -> DirectRun:
    """Compile *flow* and get a run of it ready that goes on where another one has ended.

    Args:
        flow: its class; what is not taken over runs its code as it is now.
        options: what is said about the new run; nothing of it comes from the origin.
        origin_run_id: the id or pathspec of the origin (default: the run of the flow that was started last).
        step_to_rerun: run the tasks of this step again, and all that comes behind them.
        rerun_changed: the same for every step whose code is another one than in the origin.
        start: the folder whose project the run belongs to (default: the current one).

    Raises:
        FlowinfraError: the flow is wrong, or the origin cannot be resumed: FI811 or FI812, there is none; FI865, it is
            one of another flow; FI866, it has not ended; FI868, there is no such step; FI869, nobody knows what it ran;
            FI411, it was written by a version of flowinfra whose documents this one does not read.
    """
    home = Home.find(start)
    built = compile_flow(flow, home)
    options = in_project(flow, options)
    place = Place(home, Store.open(home.store_url))
    plan = json.loads(built.release_bytes)
    found: list[Diagnostic] = []
    if step_to_rerun is not None:
        found += known_step(plan, step_to_rerun, built.flow)
    origin: Run | None = None
    try:
        origin = origin_run(place, built.flow, origin_run_id)
    except FlowinfraError as why:
        found += why.diagnostics
    if origin is None or found:
        raise (NotFoundError if origin is None else ControlError)(found)
    warnings = _ended(place, origin)
    before = release_of(place.store, origin.release)
    rerun = {step_to_rerun} if step_to_rerun else set()
    if rerun_changed:
        rerun |= _changed(place, origin, before, plan)
    values, more = input_of(place, origin, built, plan)
    return DirectRun(
        home,
        built,
        new_run_id(home, built.flow),
        values,
        options,
        origin=origin.id,
        rerun=frozenset(rerun),
        warnings=(*warnings, *more),
    )


def origin_run(place: Place, flow: str, text: str | None) -> Run:
    """The run of *flow* that *text* names, by its id or by the pathspec of anything in it; without a text, the newest.

    Raises:
        NotFoundError: FI811, FI812 or FI816, there is none.
        ControlError: FI865, it is a run of another flow.
    """
    if text is None:
        return find_run(None, flow=flow, place=place)
    parts = text.strip("/").split("/")
    if not all(parts) or {".", ".."}.intersection(parts):
        raise missing.NoSuchKey(missing.bad_pathspec(text, "Flow/run"))
    owner, run = (parts[0], parts[1]) if len(parts) > 1 else (flow, parts[0])
    if owner == flow and place.store.exists(run_key(flow, run, "run.json")):
        return Run(Address(place, (flow, run)))
    others = [name for name in place.flows() if name != flow]
    owner = next((name for name in others if place.store.exists(run_key(name, run, "run.json"))), owner)
    if owner != flow:
        raise ControlError(
            error(
                "FI865",
                f"the run {run} is one of the flow {owner}, not of {flow}",
                detail="a run is resumed by the flow whose tasks it has",
                hint=f"give the file of {owner}, or a run of {flow}; `flowinfra runs {flow}` lists them",
            )
        )
    newest = [entry.run for entry in place.index(flow)]
    if not newest:
        raise missing.NoSuchKey(missing.no_flow(flow, place.store.url, place.flows()))
    raise missing.NoSuchKey(missing.no_run(flow, run, newest))


def known_step(plan: Mapping[str, Any], step: str, flow: str) -> list[Diagnostic]:
    """What is wrong with *step* as the name of a step of the release *plan*: nothing, if it is one."""
    names = [node["name"] for node in plan["graph"]["steps"]]
    if step in names:
        return []
    return [
        error(
            "FI868",
            f"the flow {flow} has no step {step!r}{nearest(step, names)}",
            detail=f"its steps are {', '.join(names)}",
        )
    ]


def input_of(
    place: Place, origin: Run, built: Compiled, plan: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Diagnostic]]:
    """The input of *origin* as the flow takes it now, and warnings about what it does not take any more.

    Defaults that the origin's first task has computed or read from a file are part of it, so that both runs have the same parameters.

    Raises:
        ParameterError: FI710 or FI712, the flow needs what the origin was not given; FI715, its input cannot be read.
    """
    data = RunData(place.store, built.flow, origin.id)
    given = data.read_input() or {}
    names = {p["name"] for p in built.parameters}
    gone = [name for name in given if name not in names and not name.startswith("$")]
    warnings = [
        warning(
            "FI870",
            f"the run {origin.id} was given {name}, which {built.flow} has no parameter for any more",
            detail="the value is not taken over",
        )
        for name in gone
    ]
    values = {name: value for name, value in given.items() if name in names}
    values |= _computed(data, built.parameters, values, Lineage(plan["program"]))
    try:
        return check_parameters(built.parameters, values, built.flow), warnings
    except ParameterError as why:
        remedy = f"the parameters are those of {origin.id}: give this one a default that fits, or start a new run"
        raise ParameterError(
            replace(found, hint=remedy) if found.severity is Severity.ERROR else found for found in why.diagnostics
        ) from None


def _computed(
    data: RunData, parameters: Sequence[Mapping[str, Any]], values: Mapping[str, Any], lineage: Lineage
) -> dict[str, Any]:
    asked = [p for p in parameters if made_by_first_task(p) and p["name"] not in values]
    commit = data.find_commit(*lineage.first()) if asked else None
    found: dict[str, Any] = {}
    for parameter in asked if commit is not None else ():
        assert commit is not None
        ref = commit.artifacts.get(parameter["attribute"])
        if ref is not None:
            with contextlib.suppress(KeyMissing):
                value = read_unloaded(data.store, data.flow, ref, f"the parameter {parameter['name']}")
                found[parameter["name"]] = from_python(parameter, value)
    return found


def _ended(place: Place, origin: Run) -> list[Diagnostic]:
    flow, run = origin.pathspec.split("/")
    state = place.standing(flow, run).state
    if state in (RunState.RUNNING, RunState.PENDING):
        raise ControlError(
            error(
                "FI866",
                f"the run {origin.id} cannot be resumed: it is {state.value}",
                detail="two runs would do the same work at the same time",
                hint="wait for its end, or stop it first",
            )
        )
    if state is RunState.UNKNOWN:
        return [
            warning(
                "FI867",
                f"nobody knows whether the run {origin.id} still runs",
                detail="it has left no terminal marker, and no process of this machine carries it out; what it has "
                "committed until now is taken over",
            )
        ]
    return []


def _changed(place: Place, origin: Run, before: Mapping[str, Any] | None, plan: Mapping[str, Any]) -> frozenset[str]:
    if before is None:
        raise ControlError(
            error(
                "FI869",
                f"it is not known what code the run {origin.id} ran",
                detail=f"its release {origin.release[:12]} is not in {place.store.url} any more, or is damaged",
                hint="name the step from which on to run again, instead of those whose code has changed",
            )
        )
    return steps_changed(before["graph"]["steps"], plan["graph"]["steps"])
