"""The loop of a local run: one thread, one selector, everything that can happen comes out of it.

What it watches are the process that starts tasks, the two pipes of each task, the switch that stops the run, and the
clock. What it decides nothing about is which task comes next: that is :mod:`flowinfra.runtime.scheduler`.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import resource
import secrets
import selectors
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from flowinfra.diagnostics import FlowinfraError
from flowinfra.model.states import RunState
from flowinfra.orchestrators.start import StartedRun
from flowinfra.runtime.events import (
    Event,
    Note,
    RunEnded,
    RunStarted,
    TaskEnded,
    TaskLine,
    TaskRetry,
    TaskReused,
    TaskStarted,
)
from flowinfra.runtime.holding import Hold
from flowinfra.runtime.hooks import run_hooks
from flowinfra.runtime.localspec import LocalRun, StopSwitch
from flowinfra.runtime.logs import CHUNK_BYTES, PIPE_CHUNKS, Lines, LogWriter, Uploader
from flowinfra.runtime.prepared import Exit, Prepared
from flowinfra.runtime.rundata import AttemptFolder, RunData, now_ms
from flowinfra.runtime.scheduler import RAN_HERE, Outcome, Scheduler, TaskAttempt, Verdict, policies_of
from flowinfra.runtime.workers import Exited, Loaded, Refused, Workers
from flowinfra.wire import ENV_ATTEMPT, ENV_CODE, ENV_LOGS, ENV_STORE, Attempt, End

if TYPE_CHECKING:
    from flowinfra.runtime.reuse import Taker

__all__ = ["GRACE_SECONDS", "Loop"]

#: How long a task has from SIGTERM to SIGKILL.
GRACE_SECONDS: Final = 2.0

_HELD: Final = 64  # attempts that wait for a process while those behind them may be taken over


@dataclass(slots=True)
class _Pipe:
    """One stream of a task."""

    fd: int
    stream: str
    writer: LogWriter
    lines: Lines = field(default_factory=Lines)


@dataclass(slots=True, eq=False)
class _Active:
    """An attempt whose process has not ended."""

    key: int
    attempt: TaskAttempt
    folder: AttemptFolder
    started: float
    pipes: list[_Pipe]
    timed_out: bool = False


class Loop:
    """One run while it runs.

    Args:
        run: what to run.
        prepared: its release.
        data: its documents.
        workers: what starts processes.
        tell: takes the events.
        switch: stops the run.
        taker: takes over tasks of the run that this one resumes.
    """

    def __init__(
        self,
        run: LocalRun,
        prepared: Prepared,
        data: RunData,
        workers: Workers,
        tell: Callable[[Event], None],
        switch: StopSwitch,
        taker: Taker | None = None,
    ) -> None:
        self._run = run
        self._prepared = prepared
        self._data = data
        self._workers = workers
        self._tell = tell
        self._switch = switch
        self._taker = taker
        self._held: deque[TaskAttempt] = deque()
        self._hold: Hold | None = None  # of a run that can be suspended
        self._scheduler = _scheduler(run, prepared)
        self._variables = _variables(prepared.release["graph"])
        self._selector = selectors.DefaultSelector()
        self._active: dict[int, _Active] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._notes: list[str] = []  # from the thread that writes logs
        self._uploader = Uploader(data.store, self._notes.append)
        self._started = time.monotonic()
        self._state = RunState.RUNNING
        self._error: dict[str, Any] | None = None
        self._ready = False  # the flow is imported
        self._most = _affordable(run.max_workers)
        self._stops = 0

    def run(self, parameters: Mapping[str, Any]) -> RunEnded:
        """Run to the end; the event with which it ended.

        Raises:
            PackagingError: the store cannot be used.
        """
        with self._signals():
            try:
                self._begin(parameters)
                while not self._scheduler.ended:
                    self._start_tasks()
                    for key, _ in self._selector.select(0 if self._workers.waiting else self._patience()):
                        key.data()
                    if self._workers.waiting:  # it was read while something was sent, and makes nothing readable
                        self._hear()
                    self._ring()
            except FlowinfraError as why:
                self._broken(why, why.diagnostics[0].code)
            except BaseException as why:  # e.g. whoever takes the events cannot write them any more
                self._broken(why)
                self._leave()
                self._mark_end()
                raise
            self._leave()
            self._mark_end()
            if self._run.only is None:  # one task that is tried again ends no run
                run_hooks(self._run, self._prepared.release, self._data, self._state, self._tell, self._switch)
        for text in self._notes:
            self._tell(Note(text))
        ended = RunEnded(self._state.value, round(time.monotonic() - self._started, 3), self._error)
        self._tell(ended)
        return ended

    # -- beginning and end ----------------------------------------------------------------------------------------

    def _begin(self, parameters: Mapping[str, Any]) -> None:
        run = self._run
        started = StartedRun(
            flow=run.flow,
            run=run.run,
            release=run.release,
            started_ms=now_ms(),
            target=run.target,
            deployment=run.deployment,
            address=run.address,
            tags=tuple(run.tags),
            origin=run.origin,
            rerun=tuple(sorted(run.rerun)),
            user=run.user,
        )
        self._data.ensure_started(started, parameters, listed=run.only is None)
        self._selector.register(self._workers, selectors.EVENT_READ, self._hear)
        self._selector.register(self._switch, selectors.EVENT_READ, self._asked_to_stop)
        if run.control is not None:
            self._hold = Hold(run.control)
            self._selector.register(self._hold, selectors.EVENT_READ, self._hold.hear)
        if self._taker is not None:
            self._selector.register(self._taker, selectors.EVENT_READ, self._hear_taken)
        self._workers.load(run.release, self._prepared.release, run.code, self._data.store.url)
        if run.timeout_seconds is not None:
            self._after(run.timeout_seconds, self._run_out_of_time)

    def _leave(self) -> None:
        self._workers.close()
        if self._taker is not None:
            self._taker.close()
        if self._hold is not None:
            self._hold.close()
        self._selector.close()
        for active in self._active.values():
            for pipe in active.pipes:
                if pipe.fd >= 0:
                    os.close(pipe.fd)
                pipe.writer.flush()
        self._uploader.close()

    def _broken(self, why: BaseException, code: str = "") -> None:
        """The run cannot go on, for a reason that is no task's."""
        if self._state is RunState.RUNNING:
            self._state = RunState.FAILED
            self._error = {Attempt.TYPE: type(why).__name__, Attempt.MESSAGE: str(why)}
            if code:
                self._error[Attempt.CODE] = code

    def _mark_end(self) -> None:
        if self._state is RunState.RUNNING:
            self._state = RunState.SUCCEEDED
        if not self._data.end(self._state.value, self._error):
            marker = self._data.read_end() or {}  # as a rule the last task has written it, and it says what happened
            self._state = RunState(marker.get(End.STATE, self._state.value))
            self._error = marker.get(End.ERROR)

    # -- starting tasks -------------------------------------------------------------------------------------------

    def _start_tasks(self) -> None:
        suspended = self._hold is not None and self._hold.held
        free = self._most if self._ready and not suspended else 0
        while True:
            while self._held and len(self._active) < free:
                self._start(self._held.popleft())
            if len(self._active) >= free and (self._taker is None or len(self._held) >= _HELD):
                return
            if self._taker is not None and self._taker.full:
                return
            attempt = self._scheduler.next_task(time.monotonic())
            if attempt is None:
                return
            if self._taker is None or attempt.reach == RAN_HERE or attempt.number:
                self._held.append(attempt)
            else:
                self._taker.ask(attempt)

    def _hear_taken(self) -> None:
        assert self._taker is not None
        for attempt, taken in self._taker.answers():
            if taken is not None:
                self._tell(TaskReused(attempt.step, attempt.task))
                self._scheduler.finished(attempt, Outcome.REUSED, time.monotonic(), taken.control, taken.reach)
            elif self._state is RunState.RUNNING:
                self._held.append(attempt)
            else:
                self._scheduler.finished(attempt, Outcome.STOPPED, time.monotonic())
        for text in self._taker.notes():
            self._tell(Note(text))

    def _start(self, attempt: TaskAttempt) -> None:
        run, key = self._run, next(self._count)
        unique = secrets.token_hex(4)
        folder = self._data.attempt(attempt.step, attempt.task, attempt.name, unique)
        pipes, ends = [], []
        for stream in ("out", "err"):
            read_end, write_end = os.pipe()
            os.set_blocking(read_end, False)
            pipe = _Pipe(read_end, stream, LogWriter(folder.prefix, stream, self._uploader.put))
            pipes.append(pipe)
            ends.append(write_end)
        active = _Active(key, attempt, folder, time.monotonic(), pipes)
        self._active[key] = active
        for pipe in pipes:
            self._selector.register(pipe.fd, selectors.EVENT_READ, _reader(self, active, pipe))
        env = {
            **run.env,
            **self._variables.get(attempt.step, {}),
            ENV_STORE: self._data.store.url,
            ENV_CODE: str(run.code),
            ENV_ATTEMPT: unique,
            ENV_LOGS: "inherit",
        }
        argv = [run.release, run.run, attempt.step, attempt.task, attempt.name]
        self._tell(TaskStarted(attempt.step, attempt.task, attempt.name))
        self._workers.start(key, argv, env, ends[0], ends[1])
        if attempt.timeout is not None:
            self._after(attempt.timeout, lambda: self._task_out_of_time(active))

    # -- what happens ---------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        for event in self._workers.events():
            match event:
                case Loaded(method, note):
                    note = note or self._workers.note
                    if note:
                        self._tell(Note(note))
                    if self._most < self._run.max_workers:
                        self._tell(Note(f"{self._most} tasks run at once: more need more open files (`ulimit -n`)"))
                    self._ready = True
                    self._tell(RunStarted(self._run.flow, self._run.run, self._run.release, method))
                case Exited(key, status, maxrss_kib):
                    self._ended(self._active.pop(key), status, maxrss_kib)
                case Refused(key, why):
                    self._refused(self._active.pop(key), why)
                case _:
                    pass

    def _ended(self, active: _Active, status: int, maxrss_kib: int) -> None:
        for pipe in active.pipes:
            self._drain(active, pipe)
        attempt = active.attempt
        decides = self._prepared.lineage.decides(attempt.step).kind != "none"
        # The exit code is the process's; that the task has happened is told by what it has left in the store.
        left = self._data.task_key(attempt.step, attempt.task, "control.json" if decides else "artifacts.json")
        done = status == Exit.OK and self._data.store.exists(left)
        outcome = self._outcome(active, status, done)
        control: Any = None
        failure: dict[str, Any] = {}
        if outcome is Outcome.SUCCEEDED:
            if decides:
                control = self._data.control(attempt.step, attempt.task)
        else:
            failure = self._failure(active, status)
        self._settle(active, outcome, control, failure, maxrss_kib)

    def _refused(self, active: _Active, why: str) -> None:
        for pipe in active.pipes:
            self._drain(active, pipe)
        failure = {Attempt.TYPE: "OSError", Attempt.MESSAGE: f"no process can be started for it: {why}"}
        self._settle(active, Outcome.FAILED, None, failure, 0)

    def _settle(
        self, active: _Active, outcome: Outcome, control: Any, failure: Mapping[str, Any], maxrss_kib: int
    ) -> None:
        attempt, now = active.attempt, time.monotonic()
        message = _one_line(failure) if failure else ""
        seconds = round(now - active.started, 4)
        self._tell(TaskEnded(attempt.step, attempt.task, attempt.name, outcome.value, seconds, maxrss_kib, message))
        verdict = self._scheduler.finished(attempt, outcome, now, control)
        due = self._scheduler.wake_at()
        if verdict in (Verdict.RETRY, Verdict.FALLBACK):
            following = "fallback" if verdict is Verdict.FALLBACK else str(attempt.number + 1)
            delay = self._scheduler.pause_of(attempt) if verdict is Verdict.RETRY else 0.0
            self._tell(TaskRetry(attempt.step, attempt.task, following, delay))
        elif verdict is Verdict.FAILED and self._state is RunState.RUNNING:
            shown = (Attempt.TYPE, Attempt.MESSAGE, Attempt.CODE)
            self._error = {
                Attempt.STEP: attempt.step,
                Attempt.TASK: attempt.task,
                **{name: failure[name] for name in shown if name in failure},
            }
            self._cancel(RunState.FAILED)
        if due is not None:
            self._at(due, _nothing)

    def _outcome(self, active: _Active, status: int, done: bool) -> Outcome:
        if done:
            return Outcome.SUCCEEDED
        if active.timed_out:
            return Outcome.TIMED_OUT
        if self._state is not RunState.RUNNING:
            return Outcome.STOPPED
        return Outcome.FATAL if status in (Exit.FATAL, Exit.ENVIRONMENT) else Outcome.FAILED

    def _failure(self, active: _Active, status: int) -> dict[str, Any]:
        """The error.json of a failed attempt; written here where the task could not, or does not know why."""
        told = active.folder.read_error() or {}
        if told and not active.timed_out:
            return told
        attempt = active.attempt
        if active.timed_out:
            kind, message = "TaskTimeout", f"it took longer than its timeout of {attempt.timeout:g} s"
        elif status < 0:
            kind, message = "TaskKilled", f"its process was killed by {_signal_name(-status)}"
            if status == -signal.SIGKILL:
                message += "; the kernel does that when memory runs out"
        elif status == Exit.OK:
            kind, message = "TaskExit", "its process ended with exit code 0 before the step had; os._exit(0) does that"
        else:
            kind, message = "TaskExit", f"its process ended with exit code {status}; its log says why"
        document = {
            Attempt.TIME: now_ms(),
            Attempt.TYPE: kind,
            Attempt.MESSAGE: message,
            Attempt.TRACEBACK: told.get(Attempt.TRACEBACK, ""),
            Attempt.STEP: attempt.step,
            Attempt.TASK: attempt.task,
        }
        active.folder.error(document)
        active.folder.end("failed")
        return document

    # -- output ---------------------------------------------------------------------------------------------------

    def read(self, active: _Active, pipe: _Pipe) -> bool:
        """Take what a task has printed; False if there is nothing at present, or never again."""
        if pipe.fd < 0:
            return False  # closed by an event of the same round
        try:
            data = os.read(pipe.fd, CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not data:
            with contextlib.suppress(KeyError):
                self._selector.unregister(pipe.fd)  # else it stays readable until the task has ended
            return False
        now = time.monotonic()
        if pipe.writer.due() is None:
            self._at(now + 1.0, lambda: self._flush(pipe))
        pipe.writer.write(data, now)
        for line in pipe.lines.feed(data):
            self._line(active, pipe, line)
        return True

    def _drain(self, active: _Active, pipe: _Pipe) -> None:
        """The task has ended: take the rest. What it left running has its pipe closed, and is not waited for."""
        for _ in range(PIPE_CHUNKS):
            if not self.read(active, pipe):
                break
        for line in pipe.lines.end():
            self._line(active, pipe, line)
        pipe.writer.flush()
        with contextlib.suppress(KeyError):
            self._selector.unregister(pipe.fd)
        os.close(pipe.fd)
        pipe.fd = -1

    def _line(self, active: _Active, pipe: _Pipe, text: str) -> None:
        attempt = active.attempt
        self._tell(TaskLine(pipe.stream, text, attempt.step, attempt.task, attempt.name))

    def _flush(self, pipe: _Pipe) -> None:
        due = pipe.writer.due()
        if due is not None and due <= time.monotonic():
            pipe.writer.flush()
        elif due is not None:
            self._at(due, lambda: self._flush(pipe))

    # -- stopping -------------------------------------------------------------------------------------------------

    def _asked_to_stop(self) -> None:
        self._stops += self._switch.uses()
        if self._state is RunState.RUNNING:
            self._cancel(RunState.STOPPED)
        elif self._stops > 1:
            self._kill()

    def _run_out_of_time(self) -> None:
        if self._state is RunState.RUNNING:
            message = f"the run took longer than its timeout of {self._run.timeout_seconds:g} s"
            self._error = {Attempt.TYPE: "RunTimeout", Attempt.MESSAGE: message}
            self._cancel(RunState.TIMED_OUT)

    def _task_out_of_time(self, active: _Active) -> None:
        if active.key in self._active:
            active.timed_out = True
            self._workers.signal(active.key, signal.SIGTERM)
            self._after(GRACE_SECONDS, lambda: self._workers.signal(active.key, signal.SIGKILL))

    def _cancel(self, state: RunState) -> None:
        """Give out no more tasks, and end those that run."""
        self._state = state
        self._scheduler.cancel()
        while self._held:
            self._scheduler.finished(self._held.popleft(), Outcome.STOPPED, time.monotonic())
        for key in self._active:
            self._workers.signal(key, signal.SIGTERM)
        self._after(GRACE_SECONDS, self._kill)

    def _kill(self) -> None:
        for key in self._active:
            self._workers.signal(key, signal.SIGKILL)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """In the main thread, SIGINT, SIGTERM and SIGHUP use the switch, unless they are ignored (``nohup``)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        heard = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
        before = {n: signal.signal(n, lambda *_: self._switch.stop()) for n in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # -- the clock ------------------------------------------------------------------------------------------------

    def _at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._count), what))

    def _after(self, seconds: float, what: Callable[[], None]) -> None:
        self._at(time.monotonic() + seconds, what)

    def _patience(self) -> float | None:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _ring(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()


def _reader(loop: Loop, active: _Active, pipe: _Pipe) -> Callable[[], object]:
    return lambda: loop.read(active, pipe)


def _scheduler(run: LocalRun, prepared: Prepared) -> Scheduler:
    policies = policies_of(prepared.release["graph"])
    if run.only is None:
        return Scheduler(prepared.release["program"], policies)
    step, task = run.only
    return Scheduler({"sequences": [[{"kind": "task", "step": step}]]}, policies, task)


def _affordable(wanted: int) -> int:
    """How many of the *wanted* tasks can run at once: each has two pipes here, and some files are open anyway."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = wanted if limit == resource.RLIM_INFINITY else (limit - 64) // 2
    return max(1, min(wanted, possible))


def _nothing() -> None:
    """A timer that only wakes the loop."""


def _variables(graph: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The variables of each step's environment."""
    environments = {e["name"]: e.get("env_vars", {}) for e in graph.get("environments", ())}
    return {
        node["name"]: environments[name]
        for node in graph["steps"]
        if environments.get(name := node.get("environment", "default"))
    }


def _one_line(failure: Mapping[str, Any]) -> str:
    kind, message = failure.get(Attempt.TYPE, "?"), str(failure.get(Attempt.MESSAGE, ""))
    return f"{kind}: {message.splitlines()[0]}" if message else str(kind)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
