"""Calls to the coroutines of providers, so that whoever calls can give up waiting.

A provider may block its thread, and no thread can be killed. So each call runs in a thread of its own that dies with
the process; the caller waits for it, for as long as the call may take and until the user insists on an end. Threads and
their loops are used again: starting one costs more than most calls.

Nothing here imports pulumi.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, Final, TypeVar

__all__ = ["Abandoned", "Calls"]

T = TypeVar("T")

#: Seconds that a coroutine gets to clean up after its time was over, before it is left alone.
_GRACE: Final = 1.0

_Job = tuple[Coroutine[Any, Any, Any], float, contextvars.Context, "Future[Any]"]


class Abandoned(Exception):
    """Nobody waits for the call any more; whether it will end is not known."""

    def __init__(self, seconds: float) -> None:
        """After *seconds*, or 0 if the user gave up."""
        super().__init__(seconds)
        self.seconds = seconds


class Calls:
    """The threads that call providers, for one operation; safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[SimpleQueue[_Job | None]] = []
        self._waiting: set[Future[Any]] = set()
        self._over = False

    def run(self, call: Callable[[], Coroutine[Any, Any, T]], seconds: float = 0) -> T:
        """What the coroutine that *call* makes returns.

        Args:
            call: makes the coroutine.
            seconds: how long it may take; 0 for as long as it likes.

        Raises:
            Abandoned: it did not end in time, or :meth:`close` was called.
            BaseException: whatever the coroutine raises.
        """
        done: Future[T] = Future()
        with self._lock:
            if self._over:
                raise Abandoned(0)
            self._waiting.add(done)
            queue = self._idle.pop() if self._idle else None
        if queue is None:
            queue = SimpleQueue()
            threading.Thread(target=self._work, args=(queue,), name="flowinfra-call", daemon=True).start()
        queue.put((_started(call), seconds, contextvars.copy_context(), done))
        wait([done], seconds + _GRACE if seconds else None)
        with self._lock:
            self._waiting.discard(done)
            _settle(done, None, Abandoned(seconds))  # unless it has ended
        return done.result()

    def close(self) -> None:
        """Wake up everyone who still waits, and let the threads end; no call begins any more."""
        with self._lock:
            self._over = True
            idle, self._idle = self._idle, []
            for done in self._waiting:
                _settle(done, None, Abandoned(0))
        for queue in idle:
            queue.put(None)

    def _work(self, queue: SimpleQueue[_Job | None]) -> None:
        with asyncio.Runner() as runner:
            # asyncio.all_tasks() looks at every task of the process: those of the program are thousands
            tasks: set[asyncio.Task[Any]] = set()
            runner.get_loop().set_task_factory(_noting(tasks))
            while (job := queue.get()) is not None:
                coroutine, seconds, context, done = job
                result: Any = None
                problem: BaseException | None = None
                try:
                    result = runner.run(_ended(coroutine, seconds, tasks), context=context)
                except BaseException as raised:  # noqa: BLE001 - whoever waits raises it
                    problem = raised
                with self._lock:
                    expected = not self._over and not done.done()
                    if expected:
                        self._idle.append(queue)
                    _settle(done, result, problem)
                if not expected:
                    return
                del job, coroutine, context, done, result, problem


def _settle(done: Future[Any], result: Any, problem: BaseException | None) -> None:
    if done.done():
        return
    if problem is None:
        done.set_result(result)
    else:
        done.set_exception(problem)


async def _started(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return await call()  # a method that is no coroutine fails here, in its own thread


def _noting(tasks: set[asyncio.Task[Any]]) -> Callable[..., asyncio.Task[Any]]:
    """A task factory that keeps what has not ended in *tasks*."""

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    return make


async def _ended(coroutine: Coroutine[Any, Any, T], seconds: float, tasks: set[asyncio.Task[Any]]) -> T:
    """What *coroutine* returns; whatever it has started and left behind is cancelled, as by :func:`asyncio.run`.

    *tasks* are those of the loop that have not ended.
    """
    try:
        if not seconds:
            return await coroutine
        task = asyncio.ensure_future(coroutine)
        ended, _ = await asyncio.wait([task], timeout=seconds)
        if not ended:
            task.cancel()
            await asyncio.wait([task])
            if task.cancelled() or task.exception() is not None:
                raise Abandoned(seconds)
        return task.result()
    finally:
        left = {t for t in tasks if not t.done()} - {asyncio.current_task()}
        for task_ in left:
            task_.cancel()
        await asyncio.gather(*left, return_exceptions=True)
