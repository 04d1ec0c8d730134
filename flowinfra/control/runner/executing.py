"""A run in a process of its own, seen by whoever has started it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from flowinfra.control.child import Child, Echo
from flowinfra.control.spool import LineReader
from flowinfra.diagnostics import ConfigurationError, error, nearest
from flowinfra.model.states import RunState, facade_word

if TYPE_CHECKING:
    from flowinfra.control.client import Run, Task
    from flowinfra.control.place import Address

__all__ = ["ExecutingRun", "ExecutingTask", "Stream"]

Stream: TypeAlias = Literal["stdout", "stderr"]

_STREAMS: Final = ("stdout", "stderr")


class Executing:
    """What is known about a process that carries out a run. A context manager.

    Leaving the ``with`` block removes what it has printed (:meth:`cleanup`); leaving it by an exception stops the run.
    Otherwise a run that has not ended goes on, at the longest until this process ends.
    """

    def __init__(self, child: Child, prepared: Mapping[str, Any]) -> None:
        """What *child* carries out; *prepared* is what it has told about it."""
        self._child = child
        self._prepared = prepared
        self._out_of_time = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not self._child.ended:
            self._child.stop()
        self.cleanup()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.pathspec}: {self.status}>"

    # -- how it stands --------------------------------------------------------------------------------------------

    @property
    def pathspec(self) -> str:
        """``Flow/run``."""
        return f"{self._prepared['flow']}/{self._prepared['run']}"

    @property
    def status(self) -> str:
        """``running``, ``successful``, ``failed`` (also if it was stopped) or ``timeout``."""
        child = self._child
        if not child.ended:
            return facade_word("runner", RunState.RUNNING)
        told = child.told("ended")
        state = RunState.FAILED if told is None else RunState(told["state"])
        if self._out_of_time and state is not RunState.SUCCEEDED:
            state = RunState.TIMED_OUT
        return facade_word("runner", state)

    @property
    def pid(self) -> int:
        """The number of its process, which leads a session of its own."""
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """The exit code of its process, as that of ``flowinfra run``; None while it runs."""
        return self._child.returncode

    @property
    def stdout(self) -> str:
        """What it has printed so far: what its tasks print, and how it goes on.

        Raises:
            ControlError: FI859, it was removed by :meth:`cleanup`.
        """
        return self._child.stdout.text()

    @property
    def stderr(self) -> str:
        """What it has printed to standard error so far.

        Raises:
            ControlError: FI859, it was removed by :meth:`cleanup`.
        """
        return self._child.stderr.text()

    # -- waiting --------------------------------------------------------------------------------------------------

    async def wait(self, timeout: float | None = None, stream: Stream | None = None) -> Self:  # noqa: ASYNC109
        """Wait until it has ended.

        Cancelling the task that awaits this stops the run; its processes have ended when the cancellation goes on.

        Args:
            timeout: after so many seconds the run is stopped, and :attr:`status` is ``timeout``. Nothing is raised.
            stream: print what it prints there meanwhile.

        Raises:
            ConfigurationError: FI861, there is no such stream.
        """
        import asyncio

        if stream is not None:
            _check_stream(stream)
        try:
            there = await self._end(timeout, stream)
        except asyncio.CancelledError:
            await self._child.halted()
            raise
        if not there:
            self._out_of_time = True
            await self._child.halted()
        return self

    async def _end(self, seconds: float | None, stream: Stream | None) -> bool:
        child = self._child
        if stream is None:
            return await child.until(lambda: child.ended, seconds)
        import asyncio

        loop = asyncio.get_running_loop()
        last = None if seconds is None else loop.time() + seconds
        echo = Echo(child.spool(stream), sys.stdout)
        while True:
            ended = child.ended
            echo.print(ended=ended)
            if ended:
                return True
            left = None if last is None else max(0.0, last - loop.time())
            if not await child.until(lambda: child.ended or echo.behind, left):
                return False

    def stream_log(self, stream: Stream, position: int | None = None) -> AsyncIterator[tuple[int, str]]:
        """What it prints to ``stdout`` or ``stderr``, line by line as it comes, until it has ended.

        Each line comes with the position behind it. Handed to a later call, also after the end, that one goes on right
        there. A line ends with its newline, or with the run.

        Args:
            stream: ``stdout`` or ``stderr``.
            position: where to begin (default: at the beginning).

        Raises:
            ConfigurationError: FI861, there is no such stream, or it is no such position.
        """
        _check_stream(stream)
        if position is not None and (isinstance(position, bool) or not isinstance(position, int) or position < 0):
            raise ConfigurationError(
                error(
                    "FI861", f"{position!r} is no position in the log", hint="give one that came with a line, or None"
                )
            )
        return self._lines(stream, position or 0)

    async def _lines(self, stream: Stream, position: int) -> AsyncIterator[tuple[int, str]]:
        import asyncio

        child, spool = self._child, self._child.spool(stream)
        reader = LineReader(spool, position)
        while True:
            ended = child.ended  # before reading: what comes behind it is read in the next round
            for line in reader.lines(ended=ended):
                yield line
            if reader.behind:
                await asyncio.sleep(0)  # others want to run too while much is there
            elif ended:
                return
            else:
                await child.until(lambda: child.ended or reader.behind)

    def cleanup(self) -> None:
        """Remove the files with what it has printed. They are removed at the latest when this process ends."""
        self._child.close()

    def _address(self, *below: str) -> Address:
        from flowinfra.control.place import Address, Place
        from flowinfra.packaging.home import Home
        from flowinfra.packaging.store import Store

        told = self._prepared
        home = Home(Path(told["home"]), Path(told["project"]), told["store"])
        return Address(Place(home, Store.open(told["store"])), (told["flow"], told["run"], *below))


class ExecutingRun(Executing):
    """A run that :class:`~flowinfra.Runner` has started."""

    @property
    def run(self) -> Run:
        """The run itself, to read its results: whether or not it has ended."""
        from flowinfra.control.client import Run

        return Run(self._address())


class ExecutingTask(Executing):
    """A task that :meth:`flowinfra.Runner.spin` runs again."""

    @property
    def task(self) -> Task:
        """The task itself, to read its results."""
        from flowinfra.control.client import Task

        return Task(self._address(*self._prepared["task"]))


def _check_stream(stream: str) -> None:
    if stream not in _STREAMS:
        raise ConfigurationError(
            error(
                "FI861",
                f"there is no stream {stream!r}{nearest(str(stream), _STREAMS)}",
                hint="the streams are stdout and stderr",
            )
        )
