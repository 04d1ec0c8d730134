"""The worker: ``python -m flowinfra.orchestrators.local.worker --home HOME``.

It claims what waits, runs each run in a process of its own, and ends when nothing has waited for a while. It has one
thread and no state that matters: what it must not forget is in the queue and in the locks of its runs, so the next
worker goes on where one was killed. A run whose process still lives is adopted, one whose process has ended is finished,
one that never started waits again.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from flowinfra.diagnostics import FlowinfraError, Severity
from flowinfra.model.states import RunState
from flowinfra.orchestrators.local.control import run_control, tell_control
from flowinfra.orchestrators.local.ending import carried_out, close_run, fault, no_result, not_started, vanished
from flowinfra.orchestrators.local.launch import (
    WorkerSettings,
    check_interpreter,
    prepare,
    run_lock,
    run_log,
    start_run,
    worker_lock,
)
from flowinfra.orchestrators.local.processes import FileLock, ProcessId, end_group
from flowinfra.orchestrators.local.records import RunQueue, RunRecord
from flowinfra.orchestrators.local.sqlite import Database, SqliteRunQueue
from flowinfra.packaging.home import Home

__all__ = ["Worker", "main"]

_HEARTBEAT_S: Final = 2.0
_BUSY_POLL_S: Final = 0.05
_QUIET_POLL_S: Final = 0.25
_QUIET_AFTER_S: Final = 5.0
_FAILURES: Final = 30  # a database that fails this often in a row, a second apart, ends an idle worker

_LOG = logging.getLogger("flowinfra.worker")


@dataclass(slots=True)
class _Active:
    record: RunRecord
    lock: FileLock | None  # None: the process was started by a worker before this one, and holds the lock
    process: subprocess.Popen[bytes] | None
    stopping_since: float | None = None
    killed: bool = False
    held: bool | None = None  # what its process was told last; None: by a worker before this one, if at all


class Worker:
    """Carries out the runs of one home; made and run by :func:`main`.

    Attributes:
        settings: how it works.
    """

    def __init__(self, home: Home, queue: RunQueue, lock: FileLock, settings: WorkerSettings) -> None:
        """*lock* is the home's worker lock, held."""
        self.settings = settings
        self._home = home
        self._queue = queue
        self._lock = lock
        self._me = str(ProcessId.current())
        self._active: dict[str, _Active] = {}
        self._leaving = False
        self._busy_at = time.monotonic()
        self._beat_at = 0.0

    def run(self) -> int:
        """Work until there is nothing left to do; an exit code."""
        failures = 0
        with _Bell() as bell:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.leave())
            while True:
                try:
                    if self.turn():
                        return 0
                    failures = 0
                except FlowinfraError as exc:
                    failures += 1
                    if failures == 1:
                        _LOG.error("%s", exc)
                    if failures > _FAILURES and not self._active:
                        return 1
                    time.sleep(1)
                quiet = time.monotonic() - self._busy_at > _QUIET_AFTER_S
                bell.wait(_QUIET_POLL_S if quiet else _BUSY_POLL_S)

    def leave(self) -> None:
        """End as soon as possible; runs that are under way go on and are the next worker's."""
        self._leaving = True

    def turn(self) -> bool:
        """Do what can be done now; whether the worker has ended (its lock is free then)."""
        if not self._active and not self._lock.names_its_file():
            return True  # the home was removed, and with it what there was to do
        if time.monotonic() - self._beat_at > _HEARTBEAT_S:
            self._beat_at = time.monotonic()
            self._recover()
            self._queue.heartbeat(self._me)
        self._collect()
        self._operate()
        if self._leaving:
            self._lock.release()
            return True
        self._fill()
        if self._active:
            self._busy_at = time.monotonic()
            return False
        return time.monotonic() - self._busy_at >= self.settings.idle_seconds and self._retire()

    def _retire(self) -> bool:
        # Free the lock first and look once more then: whoever enqueues after that look finds the lock free and starts
        # the next worker; what was enqueued before is seen here.
        self._lock.release()
        if not self._queue.waiting():
            return True
        lock = FileLock.acquire(worker_lock(self._home))
        if lock is None:
            return True
        self._lock = lock
        self._busy_at = time.monotonic()
        return False

    # -- starting -------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        while len(self._active) < self.settings.max_runs:
            record = self._queue.claim(self._me)
            if record is None:
                return
            self._busy_at = time.monotonic()
            self._start(record)

    def _start(self, record: RunRecord) -> None:
        assert record.new.launch is not None
        found = check_interpreter(record.new.launch.interpreter)
        failed = next((d for d in found if d.severity is Severity.ERROR), None)
        if failed is not None:
            self._close(record, RunState.FAILED, fault(failed))
            return
        lock = FileLock.acquire(run_lock(self._home, record.run))
        if lock is None:  # a process of this run is there although nobody had claimed it: never a second one
            self._active[record.run] = _Active(record, None, None)
            return
        lock.write("")
        try:
            process = start_run(self._home, record, lock, self.settings)
        except OSError as exc:
            self._forget(lock)
            self._close(record, RunState.FAILED, fault(not_started(record, exc)))
            return
        self._active[record.run] = _Active(record, lock, process, held=False)
        self._queue.launched(record.run, self._me, pid=process.pid, notes=[str(d) for d in found])
        _LOG.info("started %s as process %d", record.run, process.pid)

    def _recover(self) -> None:
        for record in self._queue.running():
            # A claim of its own that it does not carry out: an error came between the two.
            if record.run in self._active or record.claimed_by is None:
                continue
            if record.claimed_by != self._me and carried_out(record):
                continue
            if record.new.launch is None:
                self._close(record, RunState.FAILED, fault(vanished(self._home, record)))
                continue
            lock = FileLock.acquire(run_lock(self._home, record.run))
            if lock is not None and not lock.read():
                self._forget(lock)
                if record.stop_requested:
                    self._close(record, RunState.STOPPED, None)
                    continue
                self._queue.give_back(record.run, record.claimed_by)
                _LOG.info("%s was claimed by %s, which has died: it waits again", record.run, record.claimed_by)
            elif self._queue.take_over(record.run, record.claimed_by, self._me):
                # With the lock in hand the process has ended, and the next look at it finishes the run.
                self._active[record.run] = _Active(record, lock, None)
                _LOG.info("took over %s from %s, which has died", record.run, record.claimed_by)

    # -- ending ---------------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        for active in list(self._active.values()):
            code: int | None = None
            if active.process is not None:
                code = active.process.poll()
                if code is None:
                    continue
            elif active.lock is None:
                lock = FileLock.acquire(run_lock(self._home, active.record.run))
                if lock is None:
                    continue
                if not lock.read():  # it was held by someone who only looked: nothing was started
                    del self._active[active.record.run]
                    self._forget(lock)
                    self._queue.give_back(active.record.run, self._me)
                    continue
                active.lock = lock
            self._finish(active, code)

    def _finish(self, active: _Active, code: int | None) -> None:
        record = active.record
        if active.stopping_since is not None:
            state, why = RunState.STOPPED, None
        elif code is None:
            state, why = RunState.FAILED, fault(vanished(self._home, record))
        else:
            state, why = RunState.FAILED, fault(no_result(self._home, record, code))
        self._close(record, state, why, exit_code=code)
        del self._active[record.run]
        log = run_log(self._home, record.run)
        run_control(self._home, record.run).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            if not log.stat().st_size:
                log.unlink()
        if active.lock is not None:
            self._forget(active.lock)
        self._busy_at = time.monotonic()

    def _close(
        self, record: RunRecord, state: RunState, why: Mapping[str, Any] | None, *, exit_code: int | None = None
    ) -> None:
        try:
            state, why = close_run(record, state, why)
        except FlowinfraError as exc:
            # The store cannot be reached: the exit code says it too, if less.
            _LOG.error("how %s ended cannot be read: %s", record.run, exc)
            if exit_code == 0:
                state, why = RunState.SUCCEEDED, None
        self._queue.finish(record.run, state, why)
        _LOG.info("%s %s", record.run, state.value)

    def _operate(self) -> None:
        """Carry out what was asked for of runs that are under way."""
        if not self._active:
            return
        for record in self._queue.running():
            active = self._active.get(record.run)
            if active is None:
                continue
            if record.suspended != active.held and tell_control(
                run_control(self._home, record.run), held=record.suspended
            ):
                active.held = record.suspended
            if not record.stop_requested or active.killed:
                continue
            pid = self._pid_of(active)
            if pid is None:
                continue
            now = time.monotonic()
            if active.stopping_since is None:
                active.stopping_since = now
                end_group(pid, signal.SIGTERM)
            elif now - active.stopping_since > self.settings.grace_seconds:
                active.killed = True
                end_group(pid, signal.SIGKILL)

    def _pid_of(self, active: _Active) -> int | None:
        if active.process is not None:
            return active.process.pid
        try:
            return int(run_lock(self._home, active.record.run).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    @staticmethod
    def _forget(lock: FileLock) -> None:
        with contextlib.suppress(OSError):
            lock.path.unlink()
        lock.release()


class _Bell:
    """Wakes the worker when a child has ended or a signal has come."""

    def __enter__(self) -> Self:
        self._hears, self._rings = socket.socketpair()
        self._hears.settimeout(0)
        self._rings.settimeout(0)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a signal without a handler rings nothing
        self._before = signal.set_wakeup_fd(self._rings.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._before)
        self._hears.close()
        self._rings.close()

    def wait(self, seconds: float) -> None:
        select.select([self._hears], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            self._hears.recv(4096)


def main(argv: list[str] | None = None) -> int:
    """Run a worker for a home until nothing is left to do."""
    parser = argparse.ArgumentParser(prog="flowinfra-worker", description=main.__doc__)
    defaults = WorkerSettings()
    parser.add_argument("--home", required=True, type=Path, help="the .flowinfra folder of a project")
    parser.add_argument("--max-runs", type=int, default=defaults.max_runs, help="runs at once (default: %(default)s)")
    parser.add_argument(
        "--idle-seconds", type=float, default=defaults.idle_seconds, help="end after this long without a run"
    )
    parser.add_argument(
        "--grace-seconds", type=float, default=defaults.grace_seconds, help="from asking a run to stop to killing it"
    )
    parser.add_argument("--program", default=defaults.program, help=argparse.SUPPRESS)
    parser.add_argument("--lock", type=int, help=argparse.SUPPRESS)  # the lock, open and held: start detached
    given = parser.parse_args(argv)
    settings = WorkerSettings(given.max_runs, given.idle_seconds, given.grace_seconds, given.program)
    home = prepare(Home.find(environ={**os.environ, "FLOWINFRA_HOME": str(given.home)}))
    if given.lock is None:
        lock = FileLock.acquire(worker_lock(home))
        if lock is None:
            sys.stderr.write(f"a worker is alive for {home.path}\n")
            return 0
    else:
        if os.fork() > 0:
            os._exit(0)
        os.set_inheritable(given.lock, False)
        lock = FileLock(worker_lock(home), given.lock)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    lock.write(str(os.getpid()))
    database = Database(home.database)
    try:
        return Worker(home, SqliteRunQueue(database), lock, settings).run()
    finally:
        database.close()


if __name__ == "__main__":
    sys.exit(main())
