"""A run that was started of a deployment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from flowinfra.control.deployer.caller import Caller
from flowinfra.control.deployer.options import shown_token
from flowinfra.control.invocation import wrong_type
from flowinfra.control.listing import step_names
from flowinfra.control.place import Address, Place
from flowinfra.diagnostics import ConfigurationError, ControlError, Diagnostic, error
from flowinfra.model.states import FINAL, RunState, facade_word
from flowinfra.orchestrators.base import Adapter, RunInfo

if TYPE_CHECKING:
    from flowinfra.control.client import Run

__all__ = ["TimedOut", "TriggeredRun", "authorized"]

_LOOK_S: Final = (0.02, 0.25)


class TimedOut(ControlError, TimeoutError):
    """FI895: what was waited for has not come in time; also Python's ``TimeoutError``."""


def authorized(value: object) -> str | None:
    """A token that was given as ``authorize=``.

    Raises:
        ConfigurationError: FI853, it is none.
    """
    try:
        return None if value is None else shown_token(value)
    except (TypeError, ValueError):
        raise ConfigurationError(wrong_type("authorize", "a production token", value)) from None


class TriggeredRun:
    """A run of a deployment, from the moment on that it was asked for.

    It may wait before it starts; :attr:`run` is what the client reads of it, as soon as there is something.
    """

    def __init__(self, adapter: Adapter, caller: Caller, info: RunInfo) -> None:
        """Made by :class:`~flowinfra.DeployedFlow`."""
        self._adapter = adapter
        self._caller = caller
        self._info = info

    @property
    def name(self) -> str:
        """The run's id."""
        return self._info.run

    @property
    def flow_name(self) -> str:
        """The flow's name."""
        return self._info.flow

    @property
    def pathspec(self) -> str:
        """``Flow/run``."""
        return f"{self._info.flow}/{self._info.run}"

    @property
    def run(self) -> Run | None:
        """The run as the client reads it; None until its first task has begun, or it has ended without one."""
        from flowinfra.control.client import Run

        address = Address(Place(self._adapter.home, self._adapter.store), (self._info.flow, self._info.run))
        begun = bool(step_names(address)) or self._look().ended
        return Run(address) if begun else None

    @property
    def status(self) -> str:
        """Where it stands, in the words of its target; on Local: pending, running, succeeded, failed, timed_out, stopped.

        ``unknown`` where neither its target nor its store can say.
        """
        return facade_word(self._adapter.target, self._look().state)

    @property
    def is_running(self) -> bool:
        """Whether it waits or runs."""
        return self._look().state in (RunState.PENDING, RunState.RUNNING)

    @property
    def is_suspended(self) -> bool:
        """Whether no further task of it is started."""
        found = self._look()
        return found.suspended and not found.ended

    # -- waiting --------------------------------------------------------------------------------------------------

    def wait_for_run(self, check_interval: float = 5, timeout: float | None = None) -> Run:
        """Wait until its first task has begun; what the client reads of it then.

        Args:
            check_interval: look at least every so many seconds.
            timeout: at most so many seconds.

        Raises:
            TimedOut: FI895 (a ``TimeoutError``), it has not begun in time.
        """
        found: list[Run] = []

        def begun() -> bool:
            run = self.run
            found.extend([] if run is None else [run])
            return run is not None

        self._until(begun, check_interval, timeout, "begun")
        return found[0]

    def wait_for_completion(self, check_interval: float = 5, timeout: float | None = None) -> str:
        """Wait for its end; how it ended, as :attr:`status` says it. Where the target tells it, nothing is asked for.

        Args:
            check_interval: where it does not, ask every so many seconds.
            timeout: at most so many seconds.

        Raises:
            TimedOut: FI895 (a ``TimeoutError``), it has not ended in time.
        """
        found = self._adapter.wait(self._info.run, timeout, _interval(check_interval))
        if not found.ended:
            raise TimedOut(self._late("ended", timeout or 0.0))
        return facade_word(self._adapter.target, found.state)

    def _until(self, ready: Callable[[], bool], every: float, timeout: float | None, what: str) -> None:
        # What a run's tasks write into a store is told to nobody: it is looked for, first often, then less.
        last = None if timeout is None else time.monotonic() + timeout
        pause, longest = _LOOK_S[0], min(_LOOK_S[1], _interval(every))
        while not ready():
            if last is not None and time.monotonic() >= last:
                raise TimedOut(self._late(what, timeout or 0.0))
            time.sleep(pause)
            pause = min(pause * 1.3, longest)

    def _late(self, what: str, seconds: float) -> Diagnostic:
        found = self._look()
        more = " and is suspended" if found.suspended else ""
        return error(
            "FI895",
            f"the run {self.pathspec} has not {what} within {seconds:g} s",
            detail=f"it is {found.state.value}{more}",
            hint="wait longer (timeout=), or look at what it does: flowinfra show " + self.pathspec,
        )

    # -- operating ------------------------------------------------------------------------------------------------

    def terminate(self, authorize: str | None = None) -> bool:
        """Ask for its end; False if it has ended, or was asked already.

        Args:
            authorize: the production token, where somebody else's stack owns the deployment.

        Raises:
            ControlError: FI820 or FI821, it is somebody else's, and no token was shown, or a wrong one.
        """
        self._require(authorize)
        return self._adapter.terminate(self._info.run)

    def suspend(self, authorize: str | None = None) -> bool:
        """Start no further task of it; those that have begun go on. False if it is suspended already, or has ended.

        Raises:
            ControlError: as :meth:`terminate`.
        """
        self._require(authorize)
        return self._adapter.suspend(self._info.run, suspended=True)

    def unsuspend(self, authorize: str | None = None) -> bool:
        """Let it go on; False if it is not suspended, or has ended.

        Raises:
            ControlError: as :meth:`terminate`.
        """
        self._require(authorize)
        return self._adapter.suspend(self._info.run, suspended=False)

    def _require(self, authorize: str | None) -> None:
        self._caller.require_for_run(self._adapter, self._info.deployment, authorized(authorize))

    def _look(self) -> RunInfo:
        if self._info.state not in FINAL:
            self._info = self._adapter.run(self._info.run)
        return self._info

    def __repr__(self) -> str:
        return f"TriggeredRun({self.pathspec!r})"


def _interval(seconds: float) -> float:
    return max(0.01, float(seconds))
