"""Exit codes: those of the ``pulumi`` command, so that scripts that know one know the other."""

from __future__ import annotations

import enum

from flowinfra.diagnostics import ConfigurationError, EngineError, FlowinfraError

__all__ = ["Exit", "exit_of", "state_exit"]


class Exit(enum.IntEnum):
    """What the command line ends with (``pkg/cmd/pulumi/cmd/exit_codes.go`` of Pulumi 3.259)."""

    OK = 0
    ERROR = 1
    CONFIGURATION = 2
    AUTHENTICATION = 3
    RESOURCE = 4
    POLICY = 5
    STACK_NOT_FOUND = 6
    CHANGES = 7
    """``--expect-no-changes`` was given and there are changes."""
    CANCELLED = 8
    TIMEOUT = 9
    BUG = 255


_SPECIAL = {
    "FI621": Exit.AUTHENTICATION,
    "FI622": Exit.AUTHENTICATION,
    "FI634": Exit.CANCELLED,
    "FI930": Exit.STACK_NOT_FOUND,
}


def exit_of(problem: FlowinfraError) -> Exit:
    """The exit code for an error."""
    for diagnostic in problem.diagnostics:
        if diagnostic.code in _SPECIAL:
            return _SPECIAL[diagnostic.code]
    if isinstance(problem, ConfigurationError):
        return Exit.CONFIGURATION
    return Exit.RESOURCE if isinstance(problem, EngineError) else Exit.ERROR


def state_exit(state: str) -> Exit:
    """The exit code for how a run has ended."""
    return {"succeeded": Exit.OK, "stopped": Exit.CANCELLED, "timed_out": Exit.TIMEOUT}.get(state, Exit.ERROR)
