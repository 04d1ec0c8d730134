"""The run queue on SQLite."""

from __future__ import annotations

import builtins
import json
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from flowinfra.canonical import canonical_json
from flowinfra.model.states import FINAL, RunState
from flowinfra.orchestrators.local.interpreter import Interpreter
from flowinfra.orchestrators.local.records import Launch, NewRun, RunRecord
from flowinfra.orchestrators.local.sqlite.connection import Database

__all__ = ["SqliteRunQueue"]

_PENDING = RunState.PENDING.value
_RUNNING = RunState.RUNNING.value


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class SqliteRunQueue:
    """Implements :class:`~flowinfra.orchestrators.local.records.RunQueue`."""

    def __init__(self, database: Database, clock: Callable[[], int] = _now_ms) -> None:
        """*clock* tells milliseconds since the epoch."""
        self._database = database
        self._clock = clock

    def enqueue(self, run: NewRun) -> bool:
        """See :meth:`~flowinfra.orchestrators.local.records.RunQueue.enqueue`."""
        return self._insert(run, {"state": _PENDING, "created_ms": self._clock()})

    def register(self, run: NewRun, by: str) -> bool:
        """See :meth:`~flowinfra.orchestrators.local.records.RunQueue.register`."""
        now = self._clock()
        claim = {"claimed_by": by, "started_ms": now, "heartbeat_ms": now}
        return self._insert(run, {"state": _RUNNING, "created_ms": now, **claim})

    def claim(self, by: str) -> RunRecord | None:
        """See :meth:`~flowinfra.orchestrators.local.records.RunQueue.claim`."""
        oldest = "SELECT number FROM runs WHERE state = ? AND suspended = 0 ORDER BY number LIMIT 1"
        if not self._database.rows(oldest, [_PENDING]):  # reading makes nobody wait
            return None
        with self._database.transaction() as connection:
            row = connection.execute(oldest, [_PENDING]).fetchone()
            if row is None:
                return None
            now = self._clock()
            connection.execute(
                "UPDATE runs SET state = ?, claimed_by = ?, started_ms = ?, heartbeat_ms = ? WHERE number = ?",
                [_RUNNING, by, now, now, row["number"]],
            )
            return _record(connection.execute("SELECT * FROM runs WHERE number = ?", [row["number"]]).fetchone())

    def launched(self, run: str, by: str, *, pid: int | None, notes: Sequence[str] = ()) -> bool:
        """See :meth:`~flowinfra.orchestrators.local.records.RunQueue.launched`."""
        return self._change(
            "UPDATE runs SET pid = ?, notes = ? WHERE run = ? AND state = ? AND claimed_by = ?",
            [pid, json.dumps(list(notes)), run, _RUNNING, by],
        )

    def take_over(self, run: str, before: str, by: str) -> bool:
        """See :meth:`~flowinfra.orchestrators.local.records.RunQueue.take_over`."""
        return self._change(
            "UPDATE runs SET claimed_by = ?, heartbeat_ms = ? WHERE run = ? AND state = ? AND claimed_by = ?",
            [by, self._clock(), run, _RUNNING, before],
        )

    def give_back(self, run: str, by: str) -> bool:
        """See :meth:`~flowinfra.orchestrators.local.records.RunQueue.give_back`."""
        return self._change(
            "UPDATE runs SET state = ?, claimed_by = NULL, started_ms = NULL, heartbeat_ms = NULL, pid = NULL"
            " WHERE run = ? AND state = ? AND claimed_by = ? AND launch IS NOT NULL",
            [_PENDING, run, _RUNNING, by],
        )

    def heartbeat(self, by: str) -> int:
        """See :meth:`~flowinfra.orchestrators.local.records.RunQueue.heartbeat`."""
        with self._database.transaction() as connection:
            return connection.execute(
                "UPDATE runs SET heartbeat_ms = ? WHERE state = ? AND claimed_by = ?", [self._clock(), _RUNNING, by]
            ).rowcount

    def finish(self, run: str, state: RunState, error: Mapping[str, Any] | None = None) -> bool:
        """See :meth:`~flowinfra.orchestrators.local.records.RunQueue.finish`.

        Raises:
            ValueError: *state* is not final.
        """
        if state not in FINAL:
            raise ValueError(f"a run does not end as {state.value}")
        return self._change(
            "UPDATE runs SET state = ?, error = ?, ended_ms = ? WHERE run = ? AND state IN (?, ?)",
            [
                state.value,
                None if error is None else canonical_json(dict(error)).decode(),
                self._clock(),
                run,
                _PENDING,
                _RUNNING,
            ],
        )

    def request_stop(self, run: str) -> RunRecord | None:
        """See :meth:`~flowinfra.orchestrators.local.records.RunQueue.request_stop`."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE runs SET stop_requested = 1, state = ?, ended_ms = ? WHERE run = ? AND state = ?",
                [RunState.STOPPED.value, self._clock(), run, _PENDING],
            )
            connection.execute("UPDATE runs SET stop_requested = 1 WHERE run = ? AND state = ?", [run, _RUNNING])
            row = connection.execute("SELECT * FROM runs WHERE run = ?", [run]).fetchone()
            return None if row is None else _record(row)

    def suspend(self, run: str, suspended: bool) -> bool:
        """See :meth:`~flowinfra.orchestrators.local.records.RunQueue.suspend`."""
        return self._change(
            "UPDATE runs SET suspended = ? WHERE run = ? AND suspended = ? AND state IN (?, ?)",
            [int(suspended), run, int(not suspended), _PENDING, _RUNNING],
        )

    def find(self, run: str) -> RunRecord | None:
        """See :meth:`~flowinfra.orchestrators.local.records.RunQueue.find`."""
        rows = self._database.rows("SELECT * FROM runs WHERE run = ?", [run])
        return _record(rows[0]) if rows else None

    def list(
        self,
        *,
        flow: str | None = None,
        deployment: str | None = None,
        states: Collection[RunState] = (),
        before: int | None = None,
        limit: int = 50,
    ) -> builtins.list[RunRecord]:
        """See :meth:`~flowinfra.orchestrators.local.records.RunQueue.list`."""
        where: builtins.list[str] = []
        values: builtins.list[object] = []
        for column, wanted in (("flow", flow), ("deployment", deployment)):
            if wanted is not None:
                where.append(f"{column} = ?")
                values.append(wanted)
        if states:
            where.append(f"state IN ({', '.join('?' * len(states))})")
            values += [state.value for state in states]
        if before is not None:
            where.append("number < ?")
            values.append(before)
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        rows = self._database.rows(
            f"SELECT * FROM runs{condition} ORDER BY number DESC LIMIT ?",  # noqa: S608 - made of the words above
            [*values, limit],
        )
        return [_record(row) for row in rows]

    def running(self) -> builtins.list[RunRecord]:
        """See :meth:`~flowinfra.orchestrators.local.records.RunQueue.running`."""
        rows = self._database.rows("SELECT * FROM runs WHERE state = ? ORDER BY number", [_RUNNING])
        return [_record(row) for row in rows]

    def waiting(self) -> int:
        """See :meth:`~flowinfra.orchestrators.local.records.RunQueue.waiting`."""
        return int(self._database.rows("SELECT count(*) FROM runs WHERE state = ? AND suspended = 0", [_PENDING])[0][0])

    def changes(self) -> int:
        """See :meth:`~flowinfra.orchestrators.local.records.RunQueue.changes`."""
        return self._database.changes()

    def _insert(self, run: NewRun, rest: dict[str, object]) -> bool:
        launch = None if run.launch is None else canonical_json(asdict(run.launch)).decode()
        values: dict[str, object] = {
            "run": run.run,
            "flow": run.flow,
            "release": run.release,
            "store": run.store,
            "deployment": run.deployment,
            "launch": launch,
            "tags": json.dumps(list(run.tags)),
            "origin": run.origin,
            "user": run.user,
            **rest,
        }
        return self._change(
            f"INSERT OR IGNORE INTO runs ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",  # noqa: S608 - names of columns
            list(values.values()),
        )

    def _change(self, statement: str, values: Sequence[object]) -> bool:
        with self._database.transaction() as connection:
            return connection.execute(statement, values).rowcount == 1


def _record(row: sqlite3.Row) -> RunRecord:
    launch = None if row["launch"] is None else json.loads(row["launch"])
    return RunRecord(
        number=row["number"],
        new=NewRun(
            run=row["run"],
            flow=row["flow"],
            release=row["release"],
            store=row["store"],
            deployment=row["deployment"],
            launch=None
            if launch is None
            else Launch(
                bundle=launch["bundle"],
                interpreter=Interpreter(**launch["interpreter"]),
                max_workers=launch["max_workers"],
                # not there in what an earlier version has queued
                timeout_seconds=launch.get("timeout_seconds"),
                user_namespace=launch.get("user_namespace", ""),
            ),
            tags=tuple(json.loads(row["tags"])),
            origin=row["origin"],
            user=row["user"],
        ),
        state=RunState(row["state"]),
        claimed_by=row["claimed_by"],
        pid=row["pid"],
        stop_requested=bool(row["stop_requested"]),
        suspended=bool(row["suspended"]),
        error=None if row["error"] is None else json.loads(row["error"]),
        notes=tuple(json.loads(row["notes"])),
        created_ms=row["created_ms"],
        started_ms=row["started_ms"],
        heartbeat_ms=row["heartbeat_ms"],
        ended_ms=row["ended_ms"],
    )
