"""The one list of run states, and how each façade and each target words them. No pydantic: clients start fast."""

from __future__ import annotations

import enum

__all__ = ["FINAL", "FROM_TARGET", "RunState", "TaskState", "facade_word"]


class RunState(enum.Enum):
    """Where a run stands. ``UNKNOWN`` means that neither its terminal marker nor its orchestrator says."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


class TaskState(enum.Enum):
    """Where a task stands, by its commit and the attempts that are recorded."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


#: The states after which nothing more happens.
FINAL = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.TIMED_OUT, RunState.STOPPED})

_FACADES: dict[str, dict[RunState, str]] = {
    # what Runner's users test for
    "runner": {
        RunState.PENDING: "running",
        RunState.RUNNING: "running",
        RunState.SUCCEEDED: "successful",
        RunState.FAILED: "failed",
        RunState.TIMED_OUT: "timeout",
        RunState.STOPPED: "failed",
        RunState.UNKNOWN: "failed",
    },
    # the words of the Step Functions API (ExecutionStatus)
    "step_functions": {
        RunState.PENDING: "RUNNING",
        RunState.RUNNING: "RUNNING",
        RunState.SUCCEEDED: "SUCCEEDED",
        RunState.FAILED: "FAILED",
        RunState.TIMED_OUT: "TIMED_OUT",
        RunState.STOPPED: "ABORTED",
        RunState.UNKNOWN: "FAILED",
    },
    # the phases of an Argo workflow
    "argo_workflows": {
        RunState.PENDING: "Pending",
        RunState.RUNNING: "Running",
        RunState.SUCCEEDED: "Succeeded",
        RunState.FAILED: "Failed",
        RunState.TIMED_OUT: "Failed",
        RunState.STOPPED: "Failed",
        RunState.UNKNOWN: "Error",
    },
}

#: What each target's own words mean.
FROM_TARGET: dict[str, dict[str, RunState]] = {
    "local": {state.value: state for state in RunState},
    "step_functions": {
        "RUNNING": RunState.RUNNING,
        "PENDING_REDRIVE": RunState.RUNNING,
        "SUCCEEDED": RunState.SUCCEEDED,
        "FAILED": RunState.FAILED,
        "TIMED_OUT": RunState.TIMED_OUT,
        "ABORTED": RunState.STOPPED,
    },
    "argo_workflows": {
        "": RunState.PENDING,
        "Pending": RunState.PENDING,
        "Running": RunState.RUNNING,
        "Succeeded": RunState.SUCCEEDED,
        "Failed": RunState.FAILED,
        "Error": RunState.FAILED,
    },
}


def facade_word(facade: str, state: RunState) -> str:
    """How *facade* (``runner``, ``step_functions``, ``argo_workflows``) words *state*; ``local`` uses our own words."""
    return _FACADES[facade][state] if facade in _FACADES else state.value
