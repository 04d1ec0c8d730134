from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flowinfra.diagnostics import ControlError
from flowinfra.orchestrators.local.records import NewRun
from flowinfra.orchestrators.local.sqlite import Database, SqliteRunQueue
from flowinfra.orchestrators.local.sqlite.schema import VERSION

ENQUEUE = """
import sys
from pathlib import Path
from flowinfra.orchestrators.local.records import NewRun
from flowinfra.orchestrators.local.sqlite import Database, SqliteRunQueue
queue = SqliteRunQueue(Database(Path(sys.argv[1])))
sys.stdin.read()
for n in range(20):
    assert queue.enqueue(NewRun(run=f"{sys.argv[2]}-{n}", flow="F", release="r", store="s"))
"""

FORK = """
import os, sys
from pathlib import Path
from flowinfra.orchestrators.local.records import NewRun
from flowinfra.orchestrators.local.sqlite import Database, SqliteRunQueue
queue = SqliteRunQueue(Database(Path(sys.argv[1])))
assert queue.enqueue(NewRun(run="before", flow="F", release="r", store="s"))
pid = os.fork()
if pid == 0:
    assert queue.enqueue(NewRun(run="child", flow="F", release="r", store="s"))
else:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert queue.enqueue(NewRun(run="after", flow="F", release="r", store="s"))
    assert queue.waiting() == 3
"""

FILL = """
import resource, sys
from pathlib import Path
from flowinfra.diagnostics import ControlError
from flowinfra.orchestrators.local.records import NewRun
from flowinfra.orchestrators.local.sqlite import Database, SqliteRunQueue
queue = SqliteRunQueue(Database(Path(sys.argv[1])))
assert queue.enqueue(NewRun(run="before", flow="F", release="r", store="s"))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    for n in range(10_000):
        queue.enqueue(NewRun(run=f"run-{n}", flow="F" * 500, release="r", store="s"))
except ControlError as exc:
    print(exc.diagnostics[0].code, n, sep=" ")
"""


def code_of(path: Path, busy_ms: int = 50) -> str:
    with pytest.raises(ControlError) as caught:
        SqliteRunQueue(Database(path, busy_ms=busy_ms)).waiting()
    assert str(path) in str(caught.value)
    return caught.value.diagnostics[0].code


def test_a_new_file_gets_the_present_schema_in_wal_mode(tmp_path: Path) -> None:
    """The first use makes file and tables."""
    path = tmp_path / "local.db"
    database = Database(path)
    assert SqliteRunQueue(database).waiting() == 0
    assert database.rows("PRAGMA user_version")[0][0] == VERSION
    assert database.rows("PRAGMA journal_mode")[0][0] == "wal"
    database.close()


def test_reading_a_file_again_does_not_change_it(tmp_path: Path) -> None:
    """Whoever only looks leaves the bytes as they were, and no other files beside them."""
    path = tmp_path / "local.db"
    first = Database(path)
    SqliteRunQueue(first).enqueue(NewRun(run="a", flow="F", release="r", store="s"))
    first.close()
    before = path.read_bytes()
    second = Database(path)
    assert SqliteRunQueue(second).waiting() == 1
    second.close()
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["local.db"]


def test_a_file_of_a_newer_flowinfra_is_refused_by_version_and_left_alone(tmp_path: Path) -> None:
    """A newer schema is named with both versions, and not a byte is written."""
    path = tmp_path / "local.db"
    made = sqlite3.connect(path)
    made.execute("CREATE TABLE runs (something_new TEXT)")
    made.execute(f"PRAGMA user_version={VERSION + 41}")
    made.close()
    before = path.read_bytes()
    with pytest.raises(ControlError, match=f"schema version {VERSION + 41}.*knows {VERSION}") as caught:
        SqliteRunQueue(Database(path)).waiting()
    assert caught.value.diagnostics[0].code == "FI802"
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Other content under this name is named as such and kept."""
    path = tmp_path / "local.db"
    path.write_bytes(b"these are notes, not a database\n" * 100)
    assert code_of(path) == "FI803"
    assert path.read_bytes().startswith(b"these are notes")


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    """A SQLite file with foreign tables gets none of ours."""
    path = tmp_path / "local.db"
    made = sqlite3.connect(path)
    made.execute("CREATE TABLE photos (name TEXT)")
    made.close()
    assert code_of(path) == "FI803"


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """A file whose pages were overwritten is reported as damaged."""
    path = tmp_path / "local.db"
    database = Database(path)
    queue = SqliteRunQueue(database)
    for n in range(200):
        queue.enqueue(NewRun(run=f"run-{n}", flow="F", release="r" * 300, store="s"))
    database.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    assert code_of(path) == "FI803"


def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A folder in the file's place, or no folder around it, is an error of access."""
    (tmp_path / "local.db").mkdir()
    assert code_of(tmp_path / "local.db") == "FI801"
    assert code_of(tmp_path / "none" / "local.db") == "FI801"


def test_a_writer_that_does_not_get_its_turn_says_who_to_look_for(tmp_path: Path) -> None:
    """While another process holds the file, a writer gives up after its time and has written nothing."""
    path = tmp_path / "local.db"
    database = Database(path, busy_ms=50)
    queue = SqliteRunQueue(database)
    assert queue.waiting() == 0
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ControlError) as caught:
        queue.enqueue(NewRun(run="a", flow="F", release="r", store="s"))
    assert caught.value.diagnostics[0].code == "FI804"
    other.rollback()
    other.close()
    assert queue.waiting() == 0
    assert queue.enqueue(NewRun(run="a", flow="F", release="r", store="s"))


def test_a_full_disk_is_named_and_loses_nothing_that_was_written(tmp_path: Path) -> None:
    """A write that does not fit fails with the remedy; everything before it is there."""
    path = tmp_path / "local.db"
    done = subprocess.run([sys.executable, "-c", FILL, str(path)], capture_output=True, text=True, check=True)
    code, number = done.stdout.split()
    assert code == "FI805"
    assert SqliteRunQueue(Database(path)).waiting() == int(number) + 1


def test_many_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    """Of several first users all succeed and no row is lost."""
    path = tmp_path / "local.db"
    command = [sys.executable, "-c", ENQUEUE, str(path)]
    children = [subprocess.Popen([*command, str(n)], stdin=subprocess.PIPE) for n in range(4)]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
    assert [child.wait() for child in children] == [0] * 4
    assert SqliteRunQueue(Database(path)).waiting() == 80


def test_threads_may_share_one_object(tmp_path: Path) -> None:
    """Threads take turns on the connection."""
    queue = SqliteRunQueue(Database(tmp_path / "local.db"))

    def enter(name: str) -> None:
        for n in range(25):
            queue.enqueue(NewRun(run=f"{name}-{n}", flow="F", release="r", store="s"))

    threads = [threading.Thread(target=enter, args=[str(n)]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue.waiting() == 100


def test_a_child_that_is_forked_uses_a_connection_of_its_own(tmp_path: Path) -> None:
    """An object that is used before and after a fork works on both sides."""
    path = tmp_path / "local.db"
    done = subprocess.run([sys.executable, "-c", FORK, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert SqliteRunQueue(Database(path)).waiting() == 3


def test_a_body_that_raises_writes_nothing(tmp_path: Path) -> None:
    """A transaction is undone as a whole, and the object can be used afterwards."""
    database = Database(tmp_path / "local.db")
    queue = SqliteRunQueue(database)
    queue.enqueue(NewRun(run="a", flow="F", release="r", store="s"))

    def delete_and_fail() -> None:
        with database.transaction() as connection:
            connection.execute("DELETE FROM runs")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        delete_and_fail()
    assert queue.waiting() == 1
    assert queue.enqueue(NewRun(run="b", flow="F", release="r", store="s"))
