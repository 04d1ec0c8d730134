"""The tables, as the steps that lead to them.

``PRAGMA user_version`` counts the steps that a file has seen. A step that was released is never edited; a change is a
new step at the end.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MIGRATIONS", "VERSION"]

_FIRST: Final = (
    """
    CREATE TABLE deployments (
        address TEXT PRIMARY KEY,
        full_name TEXT NOT NULL,
        project TEXT NOT NULL,
        stack TEXT NOT NULL,
        domain TEXT NOT NULL,
        flow TEXT NOT NULL,
        name TEXT NOT NULL,
        release TEXT NOT NULL,
        bundle TEXT NOT NULL,
        interpreter TEXT NOT NULL,
        parameters TEXT NOT NULL,
        tags TEXT NOT NULL,
        paused INTEGER NOT NULL,
        max_workers INTEGER,
        token_salt TEXT NOT NULL,
        token_hash TEXT NOT NULL,
        generation INTEGER NOT NULL,
        taken_from TEXT,
        created_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL
    )
    """,
    "CREATE INDEX deployments_full_name ON deployments (full_name)",
    """
    CREATE TABLE runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        run TEXT NOT NULL UNIQUE,
        flow TEXT NOT NULL,
        release TEXT NOT NULL,
        store TEXT NOT NULL,
        deployment TEXT,
        launch TEXT,
        tags TEXT NOT NULL,
        origin TEXT,
        user TEXT,
        state TEXT NOT NULL,
        claimed_by TEXT,
        pid INTEGER,
        stop_requested INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        notes TEXT NOT NULL DEFAULT '[]',
        created_ms INTEGER NOT NULL,
        started_ms INTEGER,
        heartbeat_ms INTEGER,
        ended_ms INTEGER
    )
    """,
    "CREATE INDEX runs_state ON runs (state, number)",
    "CREATE INDEX runs_flow ON runs (flow, number)",
    "CREATE INDEX runs_deployment ON runs (deployment, number)",
)

#: Who paused or resumed a deployment past the program, and what the program says meanwhile.
_OPERATED: Final = (
    "ALTER TABLE deployments ADD COLUMN paused_declared INTEGER",
    "ALTER TABLE deployments ADD COLUMN paused_by TEXT",
    "ALTER TABLE deployments ADD COLUMN paused_ms INTEGER",
    "ALTER TABLE deployments ADD COLUMN paused_reason TEXT",
)

#: What a deployment says about its runs as wholes, and runs that are suspended.
_WHOLE_RUNS: Final = (
    "ALTER TABLE deployments ADD COLUMN timeout_seconds INTEGER",
    "ALTER TABLE deployments ADD COLUMN user_namespace TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE runs ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0",
)

#: The step at index n leads from version n to n + 1.
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_FIRST, _OPERATED, _WHOLE_RUNS)

#: The version that this flowinfra reads and writes.
VERSION: Final = len(MIGRATIONS)
