"""What the layers above do with the Local orchestrator: trigger, wait, stop, list."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from flowinfra.diagnostics import ControlError, Diagnostic, NotFoundError, error, nearest
from flowinfra.model.states import RunState
from flowinfra.orchestrators.base import Check
from flowinfra.orchestrators.local.control import run_control, tell_control
from flowinfra.orchestrators.local.ending import carried_out, close_run
from flowinfra.orchestrators.local.launch import (
    WorkerSettings,
    log_tail,
    prepare,
    run_lock,
    start_worker,
    worker_log,
)
from flowinfra.orchestrators.local.processes import FileLock, ProcessId, wait_for_end
from flowinfra.orchestrators.local.records import Deployments, Launch, NewRun, RunQueue, RunRecord
from flowinfra.orchestrators.local.sqlite import Database, SqliteDeployments, SqliteRunQueue
from flowinfra.orchestrators.start import StartedRun, write_index, write_start
from flowinfra.packaging import release as releases
from flowinfra.packaging.home import Home
from flowinfra.packaging.store import Store
from flowinfra.packaging.users import user_name
from flowinfra.wire import execution_name, run_id

__all__ = ["TARGET", "LocalOrchestrator"]

#: The word for this target in run.json and in settings.
TARGET: Final = "local"

_POLL_S: Final = (0.05, 0.25)
_LOOK_AFTER_S: Final = 1.0
_STARTS: Final = 3  # of workers, while one waits for one run


@dataclass(frozen=True)
class LocalOrchestrator:
    """The Local orchestrator of one project.

    Attributes:
        home: the project's folder.
        store: where its runs are.
        deployments: what is deployed.
        queue: its runs.
        settings: how workers work that are started here.
    """

    home: Home
    store: Store
    deployments: Deployments
    queue: RunQueue
    settings: WorkerSettings

    @classmethod
    def open(
        cls, home: Home, *, store: Store | None = None, settings: WorkerSettings | None = None
    ) -> LocalOrchestrator:
        """The orchestrator of *home*, whose folder is made if it is not there; one database connection per object.

        Raises:
            PackagingError: FI402 or FI406, the store or the home cannot be opened.
        """
        prepare(home)
        database = Database(home.database)
        return cls(
            home,
            store or Store.open(home.store_url),
            SqliteDeployments(database),
            SqliteRunQueue(database),
            settings or WorkerSettings(),
        )

    @classmethod
    def existing(cls, home: Home, store: Store) -> LocalOrchestrator | None:
        """The orchestrator of *home* for whoever only reads; None if nothing was ever deployed or queued there."""
        return cls.at(home, store) if home.database.exists() else None

    @classmethod
    def at(cls, home: Home, store: Store) -> LocalOrchestrator:
        """The orchestrator of *home*; the first use of its database makes it, in a folder that has to be there."""
        database = Database(home.database)
        return cls(home, store, SqliteDeployments(database), SqliteRunQueue(database), WorkerSettings())

    # -- starting -------------------------------------------------------------------------------------------------

    def trigger(
        self,
        name: str,
        parameters: Mapping[str, Any],
        *,
        check: Check,
        domain: str | None = None,
        tags: Sequence[str] = (),
    ) -> str:
        """Start a run of a deployment and return its id; a worker is started if none is alive.

        Args:
            name: ``<flow>/<deployment>``, or the deployment's address.
            parameters: values as JSON; they go before those of the deployment.
            check: checks them against the release that is deployed; whatever it raises ends the call before anything is
                written.
            domain: the stack, where several have a deployment of this name.
            tags: further tags of the run.

        Raises:
            NotFoundError: FI810 or FI819, there is no such deployment, or several.
            PackagingError: the release is not in the store, or the store cannot be written.
            ControlError: FI801 to FI805, the database cannot be used; FI827, no worker starts (the run stays queued).
        """
        deployed = self.deployments.get(name, domain=domain)
        deployment = deployed.deployment
        graph = releases.load(self.store, deployment.release)["graph"]
        values = check(graph.get("parameters", ()), {**deployment.parameters, **parameters}, graph["name"])
        now = time.time_ns() // 1_000_000
        started = StartedRun(
            flow=deployment.flow,
            run=run_id(deployment.scope, execution_name(now)),
            release=deployment.release,
            started_ms=now,
            target=TARGET,
            deployment=deployment.full_name,
            address=deployment.address,
            tags=tuple(dict.fromkeys([*deployment.tags, *tags, deployed.namespace])),
            user=user_name(),
        )
        write_start(self.store, started, values)
        self.queue.enqueue(
            NewRun(
                run=started.run,
                flow=started.flow,
                release=started.release,
                store=self.store.url,
                deployment=deployment.address,
                launch=Launch(
                    bundle=deployment.bundle,
                    interpreter=deployment.interpreter,
                    max_workers=deployment.max_workers,
                    timeout_seconds=deployment.timeout_seconds,
                    user_namespace=deployment.user_namespace,
                ),
                tags=started.tags,
                user=started.user,
            )
        )
        # Behind the queue: who dies between the two leaves a run that its first task enters into the index itself,
        # and not an entry of a run that never starts.
        write_index(self.store, started)
        self.ensure_worker()
        return started.run

    def register(self, run: NewRun) -> bool:
        """Enter a run that this process carries out itself, as running; False if it is there.

        :meth:`finish` ends it. If the process dies before, the run counts as failed.
        """
        return self.queue.register(replace(run, launch=None), str(ProcessId.current()))

    def finish(self, run: str, state: RunState, failure: Mapping[str, Any] | None = None) -> bool:
        """Record how a registered run has ended; False if that is recorded already."""
        return self.queue.finish(run, state, failure)

    def ensure_worker(self) -> bool:
        """Start a worker unless one is alive; whether one was started.

        Raises:
            ControlError: FI827, it does not start.
        """
        return start_worker(self.home, self.settings)

    # -- watching -------------------------------------------------------------------------------------------------

    def find(self, run: str) -> RunRecord:
        """The run as it is known now.

        Raises:
            NotFoundError: FI811, it is not in the queue.
        """
        record = self.queue.find(run)
        if record is None:
            known = [r.run for r in self.queue.list(limit=200)]
            raise NotFoundError(
                error(
                    "FI811",
                    f"there is no run {run!r}{nearest(run, known)}",
                    detail=f"The newest run here is {known[0]}." if known else "Nothing has run here yet.",
                    hint="`flowinfra runs` lists them; a run of another project is known in that project's folder only",
                )
            )
        return self.observed(record)

    def runs(
        self,
        *,
        flow: str | None = None,
        deployment: str | None = None,
        states: Collection[RunState] = (),
        before: int | None = None,
        limit: int = 50,
    ) -> list[RunRecord]:
        """At most *limit* runs, newest first; *deployment* is an address, *before* the number of the page's last run."""
        found = self.queue.list(flow=flow, deployment=deployment, states=states, before=before, limit=limit)
        return [self.observed(record) for record in found]

    def observed(self, record: RunRecord) -> RunRecord:
        """*record* with what can be seen now and nobody has recorded yet.

        That the processes of the run have died; or, of another machine, that nothing was heard of it for a while.
        """
        if record.state is not RunState.RUNNING:
            return record
        lives = carried_out(record)
        if lives is not False:
            return record if lives else replace(record, state=RunState.UNKNOWN)
        if record.new.launch is None:
            return replace(record, state=RunState.FAILED, ended_ms=record.heartbeat_ms)
        path = run_lock(self.home, record.run)
        try:
            lock = FileLock.acquire(path) if path.exists() else None
        except OSError:
            return record
        if lock is None:
            # Its process still runs, or it never started and the next worker lets it wait again.
            return record if path.exists() else replace(record, state=RunState.PENDING)
        started = bool(lock.read())
        lock.release()
        return replace(record, state=RunState.FAILED if started else RunState.PENDING)

    def wait(self, run: str, timeout: float | None = None) -> RunRecord:
        """Wait until the run has ended; on a timeout (seconds), the record as it is then.

        A worker that died meanwhile is replaced, so that the run goes on.

        Raises:
            NotFoundError: FI811, it is not in the queue.
            ControlError: FI827, workers do not start, or die before they do anything.
        """
        begun = looked = time.monotonic()
        pause, longest = _POLL_S
        starts = 0
        self.find(run)  # says what there is if it is not there
        while True:
            record = self.queue.find(run)
            if record is None or record.ended:
                return record or self.find(run)
            now = time.monotonic()
            if timeout is not None and now - begun >= timeout:
                return self.observed(record)
            if now - looked >= _LOOK_AFTER_S:
                looked = now
                if self._needs_worker(record) and self.ensure_worker():
                    starts += 1
                    if starts > _STARTS:
                        raise ControlError(self._workers_die(run))
            left = _LOOK_AFTER_S if timeout is None else min(_LOOK_AFTER_S, timeout - (now - begun))
            if self._end_is_told(record, left):
                pause = _POLL_S[0] / 10  # the worker is being told too
            time.sleep(min(pause, max(left, 0.001)))
            pause = min(pause * 1.2, longest)

    @staticmethod
    def _end_is_told(record: RunRecord, seconds: float) -> bool:
        # Waits itself where the system tells the end of a process; of a direct run it is the starter's.
        if record.state is not RunState.RUNNING or record.claimed_by is None:
            return False
        claimant = ProcessId.parse(record.claimed_by)
        pid = claimant.pid if record.new.launch is None else record.pid
        return pid is not None and claimant.is_here() and wait_for_end(pid, seconds)

    def _needs_worker(self, record: RunRecord) -> bool:
        held_back = record.suspended and record.state is RunState.PENDING
        return not record.ended and not held_back and not carried_out(record)

    def _workers_die(self, run: str) -> Diagnostic:
        tail = log_tail(worker_log(self.home))
        return error(
            "FI827",
            f"workers for {self.home.path} start and end before they carry out {run}",
            detail=f"The run stays in the queue.{chr(10) + tail if tail else ''}",
            hint=f"look at {worker_log(self.home)}; the next `flowinfra trigger` or `--wait` tries again",
        )

    # -- ending ---------------------------------------------------------------------------------------------------

    def stop(self, run: str) -> RunRecord:
        """Ask for a run's end; a run that waits has ended when this returns, for one that runs use :meth:`wait`.

        A run that has ended stays as it is.

        Raises:
            NotFoundError: FI811, it is not in the queue.
        """
        record = self.queue.request_stop(run)
        if record is None:
            return self.find(run)
        if record.state is RunState.STOPPED and record.claimed_by is None:
            close_run(record, RunState.STOPPED, None)
        elif record.state is RunState.RUNNING and record.new.launch is None:
            self._signal(record)
        elif self._needs_worker(record):
            self.ensure_worker()
        return record

    def suspend(self, run: str, suspended: bool = True) -> bool:
        """Hold back the further tasks of a run, or let it go on; False where it is so already or the run has ended.

        Tasks that have begun go on; a run that waits is not started. A direct run is its own process's, which nobody can
        tell: always False.

        Raises:
            NotFoundError: FI811, it is not in the queue.
            ControlError: FI827, no worker starts, which alone can tell the run's process.
        """
        record = self.find(run)
        if record.new.launch is None or not self.queue.suspend(run, suspended):
            return False
        # At once, if its process listens on this machine; else the worker tells it as soon as it does.
        tell_control(run_control(self.home, run), held=suspended)
        record = self.queue.find(run) or record
        if self._needs_worker(record):
            self.ensure_worker()
        return True

    @staticmethod
    def _signal(record: RunRecord) -> None:
        # A direct run is its own process's: it ends its tasks and writes its marker when it is asked to end.
        assert record.claimed_by is not None
        claimant = ProcessId.parse(record.claimed_by)
        if claimant.alive() and claimant.pid != os.getpid():
            os.kill(claimant.pid, signal.SIGTERM)
