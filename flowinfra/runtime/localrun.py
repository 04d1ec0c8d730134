"""Running a flow on this machine.

:func:`run_local` is called by whoever has the flow in a checkout. ``python -m flowinfra.runtime.localrun`` is the same
in a process of its own, for the Local orchestrator: it reads the input.json and run.json that a client wrote, works
from the unpacked bundle only, and never imports the flow itself; the process that starts its tasks does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flowinfra.diagnostics import FlowinfraError, RunError, error
from flowinfra.model.states import RunState
from flowinfra.packaging.home import ENV_HOME, Home
from flowinfra.packaging.store import Store
from flowinfra.packaging.unpack import ensure_unpacked
from flowinfra.runtime.events import Event, RunEnded
from flowinfra.runtime.localloop import Loop
from flowinfra.runtime.localspec import MAX_WORKERS, LocalRun, StopSwitch
from flowinfra.runtime.prepared import prepare
from flowinfra.runtime.rundata import RunData
from flowinfra.runtime.workers import StartMethod, Workers, prepare_workers
from flowinfra.wire import End, RunDocument, run_key

__all__ = ["MAX_WORKERS", "LocalRun", "StopSwitch", "main", "prepare_workers", "run_local"]

_EXIT_CODES = {RunState.SUCCEEDED.value: 0, RunState.STOPPED.value: 130}


def run_local(
    run: LocalRun,
    parameters: Mapping[str, Any],
    workers: Workers,
    on_event: Callable[[Event], None],
    stop: StopSwitch | None = None,
) -> RunEnded:
    """Run a flow to its end.

    Writes input.json and run.json (unless they are there), runs the tasks, and writes end.json if the last task has not.
    In the main thread SIGINT, SIGTERM and SIGHUP stop the run, and a second one kills what has not ended yet. When this
    returns, no process of the run is left.

    Args:
        run: what to run.
        parameters: the run's complete input, see :func:`flowinfra.runtime.parameters.check_parameters`.
        workers: made by :func:`prepare_workers`; closed when this returns.
        on_event: called with each event, in order, in this thread.
        stop: stops the run from another thread.

    Raises:
        PackagingError: the store cannot be used, or the release is not there or not what its digest says.
    """
    switch = stop or StopSwitch()
    try:
        with workers:
            store = Store.open(run.store_url)
            prepared = prepare(store, run.release)
            data = RunData(store, prepared.flow, run.run)
            taker = None
            if run.origin and run.only is None:
                from flowinfra.runtime.reuse import Reuse, Taker

                taker = Taker(Reuse.of(data, prepared, parameters, run.origin, run.rerun))
            return Loop(run, prepared, data, workers, on_event, switch, taker).run(parameters)
    finally:
        if stop is None:
            switch.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one run that is recorded in a store: 0 it succeeded, 1 it failed, 130 it was stopped."""
    parser = argparse.ArgumentParser(prog="flowinfra-localrun", description=main.__doc__)
    parser.add_argument("--home", required=True, type=Path, help="the .flowinfra folder of the project")
    parser.add_argument("--flow", required=True, help="the flow's name")
    parser.add_argument("--run", required=True, help="the run's id")
    parser.add_argument("--max-workers", type=int, default=MAX_WORKERS, help="tasks at once (default: %(default)s)")
    parser.add_argument("--start-method", choices=["fork", "spawn"], help="default: of the platform")
    parser.add_argument("--timeout-seconds", type=float, help="for the whole run")
    parser.add_argument("--control", type=Path, help="named pipe by which the run is suspended")
    parser.add_argument("--events", action="store_true", help="print what happens as lines of JSON")
    given = parser.parse_args(argv)
    method: StartMethod | None = given.start_method
    # First of all: the process that starts tasks is a copy of this one, which has not used a store yet.
    with prepare_workers(method) as workers:
        try:
            ended = _run_recorded(given, workers)
        except FlowinfraError as why:
            sys.stderr.write(f"{why}\n")
            return 1
    if ended.error:
        sys.stderr.write(f"{ended.error.get('type')}: {ended.error.get('message')}\n")
    return _EXIT_CODES.get(ended.state, 1)


def _run_recorded(given: argparse.Namespace, workers: Workers) -> RunEnded:
    home = Home.find(environ={**os.environ, ENV_HOME: str(given.home)})
    store = Store.open(home.store_url)
    data = RunData(store, given.flow, given.run)
    recorded, parameters = data.read_run(), data.read_input()
    if recorded is None or parameters is None:
        raise RunError(
            error(
                "FI721",
                f"the run {given.run} of {given.flow} was not recorded, so it cannot be carried out",
                detail=f"there is no {run_key(given.flow, given.run, 'run.json' if recorded is None else 'input.json')} "
                f"in {store.url}",
                hint="start runs with `flowinfra trigger`, and let the worker use the same store",
            )
        )
    marker = data.read_end()
    if marker is not None:  # a run ends once; what it says stays, so nothing of it is carried out again
        return RunEnded(marker[End.STATE], 0.0, marker.get(End.ERROR))
    prepared = prepare(store, recorded[RunDocument.RELEASE])
    run = LocalRun(
        store_url=store.url,
        flow=given.flow,
        release=prepared.digest,
        run=given.run,
        code=ensure_unpacked(store, prepared.release["bundle"], home.cache),
        max_workers=given.max_workers,
        timeout_seconds=given.timeout_seconds,
        control=given.control,
    )
    return run_local(run, parameters, workers, _print if given.events else _ignore)


def _print(event: Event) -> None:
    sys.stdout.write(json.dumps(event.to_json(), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _ignore(event: Event) -> None:
    del event


if __name__ == "__main__":
    sys.exit(main())
