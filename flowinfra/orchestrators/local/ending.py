"""How a run is ended that did not end itself: the terminal marker, and the reasons that stand in it."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from typing import Any, Final

from flowinfra.canonical import canonical_json
from flowinfra.diagnostics import ControlError, Diagnostic, error
from flowinfra.model.states import FINAL, RunState
from flowinfra.orchestrators.local.launch import log_tail, run_log
from flowinfra.orchestrators.local.processes import ProcessId
from flowinfra.orchestrators.local.records import RunRecord
from flowinfra.packaging.home import Home
from flowinfra.packaging.store import Store
from flowinfra.wire import Attempt, End, run_key

__all__ = ["carried_out", "close_run", "fault", "no_result", "not_started", "vanished"]

_SILENCE_S: Final = 60.0  # a process of another machine that has said nothing for so long


def carried_out(record: RunRecord) -> bool | None:
    """Whether whoever has claimed the run still lives; None if that cannot be known from here any more.

    A process of this machine can be asked after. One of another machine counts as alive as long as it says so.
    """
    if record.claimed_by is None:
        return False
    alive = ProcessId.parse(record.claimed_by).alive()
    if alive is None and time.time() * 1000 - (record.heartbeat_ms or 0) < _SILENCE_S * 1000:
        return True
    return alive


def close_run(
    record: RunRecord, state: RunState, why: Mapping[str, Any] | None
) -> tuple[RunState, Mapping[str, Any] | None]:
    """Write the terminal marker of a run, unless it is there; what it says, in either case.

    Raises:
        PackagingError: the store cannot be used.
    """
    store = Store.open(record.new.store)
    key = run_key(record.new.flow, record.run, "end.json")
    document: dict[str, Any] = {End.STATE: state.value, End.TIME: time.time_ns() // 1_000_000}
    if why is not None:
        document[End.ERROR] = dict(why)
    if store.create(key, canonical_json(document)):
        return state, why
    told = store.get_json(key)
    said = RunState(told[End.STATE])
    return (said, told.get(End.ERROR)) if said in FINAL else (state, why)


def fault(diagnostic: Diagnostic) -> dict[str, Any]:
    """A diagnostic as the error of a run."""
    return {
        Attempt.TYPE: ControlError.__name__,
        Attempt.MESSAGE: str(diagnostic),
        Attempt.CODE: diagnostic.code,
    }


def vanished(home: Home, record: RunRecord) -> Diagnostic:
    """Nobody has seen how the process ended."""
    log = run_log(home, record.run)
    tail = log_tail(log)
    return error(
        "FI826",
        f"the process of the run {record.run} died without a result",
        detail="Nobody has seen how: the worker that started it has died as well, or it was its own."
        + (f" It said last:\n{tail}" if tail else ""),
        hint="a kill or a restart of the machine does that, and so does memory running out; start the run again",
    )


def no_result(home: Home, record: RunRecord, code: int) -> Diagnostic:
    """The process ended with *code* (minus the signal) and wrote no terminal marker."""
    log = run_log(home, record.run)
    if code < 0:
        try:
            how = f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            how = f"was killed by signal {-code}"
    else:
        how = f"ended with exit code {code}"
    tail = log_tail(log)
    return error(
        "FI828",
        f"the process of the run {record.run} {how} and left no result",
        detail=f"It said last:\n{tail}" if tail else "It said nothing.",
        hint=f"its whole output is in {log}"
        + ("; the kernel kills like this when memory runs out" if code == -signal.SIGKILL else ""),
    )


def not_started(record: RunRecord, exc: OSError) -> Diagnostic:
    """The operating system refused the process."""
    assert record.new.launch is not None
    return error(
        "FI829",
        f"the process of the run {record.run} cannot be started: {exc}",
        detail=f"Its interpreter is {record.new.launch.interpreter.path}.",
        hint="free memory, processes or disk space, as the message says, and start the run again",
    )
