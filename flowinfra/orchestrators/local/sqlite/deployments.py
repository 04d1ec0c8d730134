"""Deployments on SQLite."""

from __future__ import annotations

import builtins
import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import asdict, replace

from flowinfra.canonical import canonical_json
from flowinfra.diagnostics import NotFoundError, error, nearest
from flowinfra.orchestrators.local.interpreter import Interpreter
from flowinfra.orchestrators.local.records import Deployed, Deployment, Operated
from flowinfra.orchestrators.local.sqlite.connection import Database
from flowinfra.orchestrators.ownership import check_owner
from flowinfra.orchestrators.tokens import TokenHash, hash_token

__all__ = ["SqliteDeployments"]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class SqliteDeployments:
    """Implements :class:`~flowinfra.orchestrators.local.records.Deployments`."""

    def __init__(self, database: Database, clock: Callable[[], int] = _now_ms) -> None:
        """*clock* tells milliseconds since the epoch."""
        self._database = database
        self._clock = clock

    def put(self, deployment: Deployment, *, token: str, authorize: str | None = None) -> Deployed:
        """See :meth:`~flowinfra.orchestrators.local.records.Deployments.put`."""
        with self._database.transaction() as connection:
            before = _read(connection, deployment.address)
            now = self._clock()
            if before is None:
                after = Deployed(
                    deployment=deployment,
                    token=hash_token(token),
                    generation=0,
                    taken_from=None,
                    created_ms=now,
                    updated_ms=now,
                )
            else:
                moved = check_owner(before, deployment.owner, authorize)
                kept = before.token.fits(token)
                # What the operator did holds until the program itself says something else than it did.
                operated = before.operated
                if operated is not None and operated.declared != deployment.paused:
                    operated = None
                paused = deployment.paused if operated is None else before.deployment.paused
                after = Deployed(
                    deployment=replace(deployment, paused=paused),
                    token=before.token if kept else hash_token(token),
                    generation=before.generation + (not kept),
                    taken_from=before.deployment.owner if moved else before.taken_from,
                    created_ms=before.created_ms,
                    updated_ms=before.updated_ms,
                    operated=operated,
                )
                if _values(after) == _values(before):
                    return before
                after = replace(after, updated_ms=now)
            _write(connection, after)
            return after

    def pause(
        self, address: str, paused: bool, *, owner: str, by: str, reason: str = "", authorize: str | None = None
    ) -> Deployed:
        """See :meth:`~flowinfra.orchestrators.local.records.Deployments.pause`."""
        with self._database.transaction() as connection:
            before = _read(connection, address)
            if before is None:
                raise NotFoundError(
                    error(
                        "FI810",
                        f"there is no deployment {address!r}",
                        detail="It was deleted meanwhile.",
                        hint="deploy it with `flowinfra up`",
                    )
                )
            check_owner(before, owner, authorize)
            if before.deployment.paused == paused:
                return before
            now = self._clock()
            declared = before.deployment.paused if before.operated is None else before.operated.declared
            after = replace(
                before,
                deployment=replace(before.deployment, paused=paused),
                # Back to what the program says is nobody's change any more.
                operated=None if paused == declared else Operated(declared=declared, by=by, at_ms=now, reason=reason),
                updated_ms=now,
            )
            _write(connection, after)
            return after

    def find(self, address: str) -> Deployed | None:
        """See :meth:`~flowinfra.orchestrators.local.records.Deployments.find`."""
        rows = self._database.rows("SELECT * FROM deployments WHERE address = ?", [address])
        return _deployed(rows[0]) if rows else None

    def get(self, name: str, *, domain: str | None = None) -> Deployed:
        """See :meth:`~flowinfra.orchestrators.local.records.Deployments.get`."""
        found = [
            _deployed(row)
            for row in self._database.rows(
                "SELECT * FROM deployments WHERE (full_name = ?1 OR address = ?1) AND (?2 IS NULL OR domain = ?2)"
                " ORDER BY address",
                [name, domain],
            )
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise NotFoundError(
                error(
                    "FI819",
                    f"{name!r} is deployed {len(found)} times",
                    detail="Each stack has one: " + ", ".join(d.deployment.address for d in found) + ".",
                    hint="choose the stack with --stack, or give the whole address",
                )
            )
        known = [d.deployment.full_name for d in self.list() if domain in (None, d.deployment.domain)]
        where = f" in stack {domain!r}" if domain is not None else ""
        raise NotFoundError(
            error(
                "FI810",
                f"there is no deployment {name!r}{where}{nearest(name, known)}",
                detail=_enumerated("Deployed here", known) or "Nothing is deployed here yet.",
                hint="deploy it with `flowinfra up`; a deployment is named <flow>/<deployment>",
            )
        )

    def list(self, *, flow: str | None = None, owner: str | None = None) -> builtins.list[Deployed]:
        """See :meth:`~flowinfra.orchestrators.local.records.Deployments.list`."""
        rows = self._database.rows(
            "SELECT * FROM deployments WHERE (?1 IS NULL OR flow = ?1) AND (?2 IS NULL OR project || '/' || stack = ?2)"
            " ORDER BY full_name, address",
            [flow, owner],
        )
        return [_deployed(row) for row in rows]

    def delete(self, address: str, *, owner: str, authorize: str | None = None) -> bool:
        """See :meth:`~flowinfra.orchestrators.local.records.Deployments.delete`."""
        with self._database.transaction() as connection:
            before = _read(connection, address)
            if before is None:
                return False
            check_owner(before, owner, authorize)
            connection.execute("DELETE FROM deployments WHERE address = ?", [address])
            return True


def _read(connection: sqlite3.Connection, address: str) -> Deployed | None:
    row = connection.execute("SELECT * FROM deployments WHERE address = ?", [address]).fetchone()
    return None if row is None else _deployed(row)


def _write(connection: sqlite3.Connection, deployed: Deployed) -> None:
    values = _values(deployed)
    connection.execute(
        f"INSERT OR REPLACE INTO deployments ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",  # noqa: S608 - names of columns
        list(values.values()),
    )


def _enumerated(title: str, names: builtins.list[str], most: int = 10) -> str:
    if not names:
        return ""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{title}: {', '.join(names[:most])}{more}."


def _values(deployed: Deployed) -> dict[str, object]:
    d, o = deployed.deployment, deployed.operated
    return {
        "address": d.address,
        "full_name": d.full_name,
        "project": d.project,
        "stack": d.stack,
        "domain": d.domain,
        "flow": d.flow,
        "name": d.name,
        "release": d.release,
        "bundle": d.bundle,
        "interpreter": canonical_json(asdict(d.interpreter)).decode(),
        "parameters": canonical_json(dict(d.parameters)).decode(),
        "tags": canonical_json(list(d.tags)).decode(),
        "paused": int(d.paused),
        "max_workers": d.max_workers,
        "timeout_seconds": d.timeout_seconds,
        "user_namespace": d.user_namespace,
        "token_salt": deployed.token.salt,
        "token_hash": deployed.token.digest,
        "generation": deployed.generation,
        "taken_from": deployed.taken_from,
        "created_ms": deployed.created_ms,
        "updated_ms": deployed.updated_ms,
        "paused_declared": None if o is None else int(o.declared),
        "paused_by": None if o is None else o.by,
        "paused_ms": None if o is None else o.at_ms,
        "paused_reason": None if o is None else o.reason,
    }


def _deployed(row: sqlite3.Row) -> Deployed:
    return Deployed(
        deployment=Deployment(
            project=row["project"],
            stack=row["stack"],
            domain=row["domain"],
            flow=row["flow"],
            name=row["name"],
            release=row["release"],
            bundle=row["bundle"],
            interpreter=Interpreter(**json.loads(row["interpreter"])),
            parameters=json.loads(row["parameters"]),
            tags=tuple(json.loads(row["tags"])),
            paused=bool(row["paused"]),
            max_workers=row["max_workers"],
            timeout_seconds=row["timeout_seconds"],
            user_namespace=row["user_namespace"],
        ),
        token=TokenHash(row["token_salt"], row["token_hash"]),
        generation=row["generation"],
        taken_from=row["taken_from"],
        created_ms=row["created_ms"],
        updated_ms=row["updated_ms"],
        operated=_operated(row),
    )


def _operated(row: sqlite3.Row) -> Operated | None:
    if row["paused_declared"] is None:
        return None
    return Operated(
        declared=bool(row["paused_declared"]),
        by=row["paused_by"],
        at_ms=row["paused_ms"],
        reason=row["paused_reason"] or "",
    )
