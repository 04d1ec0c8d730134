from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from flowinfra.model.states import FINAL, RunState
from flowinfra.orchestrators.local.interpreter import Interpreter
from flowinfra.orchestrators.local.records import Launch, NewRun
from flowinfra.orchestrators.local.sqlite import Database, SqliteRunQueue

LAUNCH = Launch(
    bundle="b" * 64,
    interpreter=Interpreter("/usr/bin/python3", "cpython-3.12.1", "p" * 64),
    max_workers=3,
    timeout_seconds=9,
    user_namespace="user:ada",
)

CLAIM = """
import json, sys
from pathlib import Path
from flowinfra.orchestrators.local.sqlite import Database, SqliteRunQueue
queue = SqliteRunQueue(Database(Path(sys.argv[1])))
sys.stdin.read()
mine = []
while (record := queue.claim(sys.argv[2])) is not None:
    mine.append(record.run)
print(json.dumps(mine))
"""


def new(run: str, **changes: Any) -> NewRun:
    values: dict[str, Any] = {"flow": "F", "release": "r" * 64, "store": "file:///s", "launch": LAUNCH}
    return NewRun(run=run, **{**values, **changes})


@pytest.fixture
def queue(tmp_path: Path) -> SqliteRunQueue:
    """An empty queue."""
    return SqliteRunQueue(Database(tmp_path / "local.db"))


def test_a_run_is_kept_as_it_was_entered(queue: SqliteRunQueue) -> None:
    """Everything about a run comes back."""
    run = new("a", deployment="local:p/s/F/d", tags=("x", "ü"), origin="before", user="eva")
    assert queue.enqueue(run)
    record = queue.find("a")
    assert record is not None
    assert record.new == run
    assert record.state is RunState.PENDING
    assert not record.ended


def test_a_launch_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """What was queued before runs had timeouts is claimed as it was meant: without one."""
    database = Database(tmp_path / "local.db")
    queue = SqliteRunQueue(database)
    assert queue.enqueue(new("a"))
    before = {k: v for k, v in asdict(LAUNCH).items() if k not in ("timeout_seconds", "user_namespace")}
    with database.transaction() as connection:
        connection.execute("UPDATE runs SET launch = ?", [json.dumps(before)])
    record = queue.claim("me")
    assert record is not None
    assert record.new.launch == replace(LAUNCH, timeout_seconds=None, user_namespace="")


def test_a_suspended_run_waits_and_is_suspended_once(queue: SqliteRunQueue) -> None:
    """It is not claimed, does not count as waiting, and may be stopped; who asks for what is so already hears False."""
    queue.enqueue(new("a"))
    queue.enqueue(new("b"))
    assert queue.suspend("a", True)
    assert not queue.suspend("a", True)
    assert queue.waiting() == 1
    claimed = queue.claim("me")
    assert claimed is not None
    assert claimed.run == "b"
    assert queue.claim("me") is None
    assert queue.suspend("b", True)
    assert queue.suspend("a", False)
    assert not queue.suspend("a", False)
    again = queue.claim("me")
    assert again is not None
    assert (again.run, again.suspended) == ("a", False)
    assert queue.finish("b", RunState.SUCCEEDED)
    assert not queue.suspend("b", False)
    assert not queue.suspend("nothing", True)


def test_a_run_is_entered_once(queue: SqliteRunQueue) -> None:
    """Entering the same id again changes nothing and says so."""
    assert queue.enqueue(new("a"))
    assert not queue.enqueue(new("a", flow="G"))
    assert not queue.register(new("a"), "w")
    record = queue.find("a")
    assert record is not None
    assert record.new.flow == "F"


def test_runs_are_claimed_in_the_order_in_which_they_came(queue: SqliteRunQueue) -> None:
    """The oldest is next."""
    for name in "abc":
        queue.enqueue(new(name))
    claimed = [queue.claim("w") for _ in range(4)]
    assert [record.run if record else None for record in claimed] == ["a", "b", "c", None]


def test_processes_that_claim_at_once_share_the_runs(tmp_path: Path) -> None:
    """Of four processes that empty one queue, no two get the same run and none is left."""
    path = tmp_path / "local.db"
    queue = SqliteRunQueue(Database(path))
    runs = [f"run-{n:03}" for n in range(200)]
    for run in runs:
        queue.enqueue(new(run))
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(path), f"w{n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for n in range(4)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
    got: list[str] = []
    for child in children:
        assert child.stdout is not None
        mine = json.load(child.stdout)
        assert mine == sorted(mine)
        got += mine
        child.stdout.close()
        assert child.wait() == 0
    assert sorted(got) == runs
    assert {record.run: record.claimed_by for record in queue.running()}.keys() == set(runs)


def test_a_direct_run_is_running_from_the_start_and_never_claimed(queue: SqliteRunQueue) -> None:
    """What its starter carries out himself is no work for a worker, and cannot be given back."""
    assert queue.register(new("a", launch=None), "me")
    assert queue.claim("w") is None
    assert not queue.give_back("a", "me")
    record = queue.find("a")
    assert record is not None
    assert (record.state, record.claimed_by) == (RunState.RUNNING, "me")


def test_the_first_end_is_the_end(queue: SqliteRunQueue) -> None:
    """A final state stays, with its reason."""
    queue.enqueue(new("a"))
    queue.claim("w")
    assert queue.finish("a", RunState.FAILED, {"message": "no"})
    assert not queue.finish("a", RunState.SUCCEEDED)
    record = queue.find("a")
    assert record is not None
    assert (record.state, record.error) == (RunState.FAILED, {"message": "no"})
    assert not queue.finish("unknown", RunState.FAILED)


def test_only_a_final_state_ends_a_run(queue: SqliteRunQueue) -> None:
    """A run cannot end as running."""
    queue.enqueue(new("a"))
    with pytest.raises(ValueError, match="running"):
        queue.finish("a", RunState.RUNNING)


def test_a_heartbeat_reaches_only_ones_own_runs(tmp_path: Path) -> None:
    """A worker says for all its runs, and for no other's, that it lives."""
    times = iter(range(1, 100))
    queue = SqliteRunQueue(Database(tmp_path / "local.db"), lambda: next(times))
    for name in "abc":
        queue.enqueue(new(name))
    queue.claim("mine")
    queue.claim("mine")
    queue.claim("yours")
    before = {r.run: r.heartbeat_ms for r in queue.running()}
    assert queue.heartbeat("mine") == 2
    after = {r.run: r.heartbeat_ms for r in queue.running()}
    assert {run for run in after if after[run] != before[run]} == {"a", "b"}


def test_pages_go_on_where_the_last_one_ended(queue: SqliteRunQueue) -> None:
    """Pages join to the whole list, newest first, also while runs are added."""
    for n in range(10):
        queue.enqueue(new(f"run-{n}"))
    first = queue.list(limit=4)
    queue.enqueue(new("later"))
    second = queue.list(limit=4, before=first[-1].number)
    third = queue.list(limit=4, before=second[-1].number)
    assert [r.run for r in [*first, *second, *third]] == [f"run-{n}" for n in reversed(range(10))]


def test_a_list_can_be_of_a_flow_a_deployment_or_states(queue: SqliteRunQueue) -> None:
    """Filters narrow together."""
    queue.enqueue(new("a", flow="F", deployment="local:1"))
    queue.enqueue(new("b", flow="G", deployment="local:2"))
    queue.enqueue(new("c", flow="F", deployment="local:2"))
    queue.claim("w")
    assert [r.run for r in queue.list(flow="F")] == ["c", "a"]
    assert [r.run for r in queue.list(deployment="local:2")] == ["c", "b"]
    assert [r.run for r in queue.list(states=[RunState.RUNNING])] == ["a"]
    assert [r.run for r in queue.list(flow="F", states=[RunState.PENDING, RunState.FAILED])] == ["c"]


def test_a_change_by_another_can_be_noticed(tmp_path: Path) -> None:
    """The number differs after another connection has written, and only then."""
    mine = SqliteRunQueue(Database(tmp_path / "local.db"))
    before = mine.changes()
    mine.waiting()
    assert mine.changes() == before
    SqliteRunQueue(Database(tmp_path / "local.db")).enqueue(new("a"))
    assert mine.changes() != before


@dataclass
class Modelled:
    """What the queue should say of one run."""

    state: RunState
    direct: bool
    claimed_by: str | None = None
    stop_requested: bool = False
    error: dict[str, Any] | None = field(default=None)


class QueueMachine(RuleBasedStateMachine):
    """The queue against a plain model of its states: any calls in any order, by two workers."""

    runs = Bundle("runs")
    workers = st.sampled_from(["one", "two"])
    finals = st.sampled_from(sorted(FINAL, key=lambda s: s.value))

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database(Path(self.folder.name) / "local.db")
        self.queue = SqliteRunQueue(self.database)
        self.model: dict[str, Modelled] = {}

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()
            self.folder.cleanup()

    @rule(target=runs)
    def enqueue(self) -> str:
        run = f"run-{len(self.model)}"
        assert self.queue.enqueue(new(run))
        self.model[run] = Modelled(RunState.PENDING, direct=False)
        return run

    @rule(target=runs, worker=workers)
    def register(self, worker: str) -> str:
        run = f"run-{len(self.model)}"
        assert self.queue.register(new(run, launch=None), worker)
        self.model[run] = Modelled(RunState.RUNNING, direct=True, claimed_by=worker)
        return run

    @rule(run=runs)
    def enqueue_again(self, run: str) -> None:
        assert not self.queue.enqueue(new(run))

    @rule(worker=workers)
    def claim(self, worker: str) -> None:
        waiting = [run for run, m in self.model.items() if m.state is RunState.PENDING]
        record = self.queue.claim(worker)
        assert (record.run if record else None) == (waiting[0] if waiting else None)
        if waiting:
            self.model[waiting[0]].state = RunState.RUNNING
            self.model[waiting[0]].claimed_by = worker

    @rule(run=runs, worker=workers)
    def launched(self, run: str, worker: str) -> None:
        m = self.model[run]
        expected = m.state is RunState.RUNNING and m.claimed_by == worker
        assert self.queue.launched(run, worker, pid=17, notes=["warned"]) is expected

    @rule(run=runs, worker=workers)
    def give_back(self, run: str, worker: str) -> None:
        m = self.model[run]
        expected = m.state is RunState.RUNNING and m.claimed_by == worker and not m.direct
        assert self.queue.give_back(run, worker) is expected
        if expected:
            self.model[run] = replace(m, state=RunState.PENDING, claimed_by=None)

    @rule(run=runs, before=workers, worker=workers)
    def take_over(self, run: str, before: str, worker: str) -> None:
        m = self.model[run]
        expected = m.state is RunState.RUNNING and m.claimed_by == before
        assert self.queue.take_over(run, before, worker) is expected
        if expected:
            m.claimed_by = worker

    @rule(run=runs, state=finals, failed=st.booleans())
    def finish(self, run: str, state: RunState, failed: bool) -> None:
        m = self.model[run]
        error = {"message": state.value} if failed else None
        expected = m.state not in FINAL
        assert self.queue.finish(run, state, error) is expected
        if expected:
            m.state, m.error = state, error

    @rule(run=runs)
    def request_stop(self, run: str) -> None:
        m = self.model[run]
        if m.state is RunState.PENDING:
            m.state = RunState.STOPPED
            m.stop_requested = True
        elif m.state is RunState.RUNNING:
            m.stop_requested = True
        record = self.queue.request_stop(run)
        assert record is not None
        assert record.state is m.state

    @rule(worker=workers)
    def heartbeat(self, worker: str) -> None:
        mine = [m for m in self.model.values() if m.state is RunState.RUNNING and m.claimed_by == worker]
        assert self.queue.heartbeat(worker) == len(mine)

    @rule()
    def reopen(self) -> None:
        self.database.close()

    @invariant()
    def the_queue_says_what_the_model_says(self) -> None:
        if not hasattr(self, "queue"):
            return
        said = {
            r.run: Modelled(r.state, r.new.launch is None, r.claimed_by, r.stop_requested, r.error and dict(r.error))
            for r in self.queue.list(limit=10_000)
        }
        assert said == self.model
        assert list(said) == list(reversed(self.model))
        assert self.queue.waiting() == sum(m.state is RunState.PENDING for m in self.model.values())
        assert [r.run for r in self.queue.running()] == [
            n for n, m in self.model.items() if m.state is RunState.RUNNING
        ]


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=40, stateful_step_count=40)
