"""Which task comes next: the state machine over a flow's blocks, without a clock, a process or a store.

It is driven by demand: :meth:`Scheduler.next_task` gives one task that can run now. An open foreach makes its next item
only when it is asked for one, and what has begun goes first, innermost foreach first. So the memory in use follows
from how many tasks run at once and how deep they stand, not from how many items there are.

A task's attempts are counted here too: a failed one is repeated after its pause, then replaced by the fallback if the
step has ``catch``, and else fails the run; from then on no new task is given out.

Of a run that resumes another one, what the other has committed is not run again. Which of it still holds is decided
where it is read; what is known here is the one thing that it takes a walk to know: from how far back all that a task
builds on was taken over (:attr:`TaskAttempt.reach`).
"""

from __future__ import annotations

import enum
import heapq
import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flowinfra.runtime.lineage import Block
from flowinfra.wire import FALLBACK, child_id, iteration_id

__all__ = ["RAN_HERE", "UNLIMITED", "Outcome", "Policy", "Scheduler", "TaskAttempt", "Verdict", "policies_of"]

#: Of :attr:`TaskAttempt.reach`: nothing limits it; something that the task builds on was run in this run.
UNLIMITED: Final = 1 << 30
RAN_HERE: Final = -1


@dataclass(frozen=True, slots=True)
class Policy:
    """How a step is run; times in seconds."""

    retries: int = 0
    delay: float = 0.0
    backoff: float = 1.0
    timeout: float | None = None
    catch: bool = False

    def pause(self, attempt: int) -> float:
        """The pause behind the failed attempt number *attempt*."""
        return self.delay * self.backoff**attempt


def policies_of(graph: Mapping[str, Any]) -> dict[str, Policy]:
    """The policies of the steps of *graph*, which is the plain JSON of a release; steps without one are left out."""
    out = {}
    for step in graph["steps"]:
        policy = step.get("policy")
        if policy:
            retry = policy.get("retry", {})
            out[step["name"]] = Policy(
                retry.get("times", 0),
                retry.get("delay_seconds", 0.0),
                retry.get("backoff", 1.0),
                policy.get("timeout_seconds"),
                "catch" in policy,
            )
    return out


class Outcome(enum.Enum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    FATAL = "fatal"
    """It failed, and every further attempt would fail in the same way."""
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"
    """It was ended because the run is."""
    REUSED = "reused"
    """It was not started: the run that this one resumes had committed it."""


class Verdict(enum.Enum):
    """What follows from an attempt's end."""

    DONE = "done"
    RETRY = "retry"
    FALLBACK = "fallback"
    FAILED = "failed"
    """The run has failed."""


@dataclass(frozen=True, slots=True)
class TaskAttempt:
    """One attempt of one task, to be started now."""

    step: str
    task: str
    number: int
    """From 0; the fallback has the number behind the last real attempt."""
    fallback: bool = False
    timeout: float | None = None
    reach: int = UNLIMITED
    """From how far back it can be taken over: 0 is the run that this one resumes, 1 the one that that one has resumed.

    The nearest of the runs in which the tasks were run that it builds on; :data:`RAN_HERE` if one of them is this run.
    """

    @property
    def name(self) -> str:
        """The attempt as the task's command names it."""
        return FALLBACK if self.fallback else str(self.number)


@dataclass(slots=True, eq=False)
class _Fan:
    """A foreach that is open."""

    frame: _Frame
    body: int
    size: int
    limit: int | None
    opened: int = 0
    active: int = 0


@dataclass(slots=True, eq=False)
class _Frame:
    """A sequence that is being run under one task id."""

    sequence: int
    path: str
    owner: _Frame | None
    position: int = -1
    iteration: int | None = None
    """Of a loop's body: which iteration."""
    pending: int = 0
    """While a parallel block is run: its branches that have not ended."""
    fan: _Fan | None = None
    reach: int = UNLIMITED
    """That of the tasks before the place at which it stands."""
    reach_inside: int = UNLIMITED
    """The same of what has ended inside the parallel block or foreach at which it stands; its siblings do not see it."""


@dataclass(slots=True, eq=False)
class _Waiting:
    attempt: TaskAttempt
    frame: _Frame


@dataclass(slots=True)
class _Work:
    ready: deque[_Waiting] = field(default_factory=deque)
    fans: list[_Fan] = field(default_factory=list)
    paused: list[tuple[float, int, _Waiting]] = field(default_factory=list)
    running: dict[tuple[str, str], _Waiting] = field(default_factory=dict)


class Scheduler:
    """Gives out the tasks of one run.

    Args:
        program: the blocks, as plain JSON out of a release.
        policies: by step, for those that have one.
        path: the id under which the first sequence is run.
    """

    def __init__(self, program: Mapping[str, Any], policies: Mapping[str, Policy], path: str = "0") -> None:
        self._sequences: Sequence[Sequence[Block]] = program["sequences"]
        self._policies = policies
        self._work = _Work()
        self._count = itertools.count()
        self.succeeded = False
        """The last task has ended."""
        self.failed = False
        """A task has failed for good, or the run was cancelled."""
        self._go_on(_Frame(0, path, None), None)

    @property
    def running(self) -> int:
        """How many attempts were given out and have not ended."""
        return len(self._work.running)

    @property
    def ended(self) -> bool:
        """Nothing will be given out any more, and nothing that was is still running."""
        return (self.succeeded or self.failed) and not self._work.running

    def frames(self) -> int:
        """How many pieces of work are held in memory; for whoever proves that they stay few."""
        work = self._work
        return len(work.ready) + len(work.fans) + len(work.paused) + len(work.running)

    def next_task(self, now: float) -> TaskAttempt | None:
        """An attempt that can be started at the time *now*; None if there is none at present."""
        work = self._work
        while work.paused and work.paused[0][0] <= now:
            work.ready.append(heapq.heappop(work.paused)[2])
        if not work.ready:
            self._open_item()
        if not work.ready:
            return None
        waiting = work.ready.popleft()
        work.running[waiting.attempt.step, waiting.attempt.task] = waiting
        return waiting.attempt

    def wake_at(self) -> float | None:
        """When the next pause before a repetition is over."""
        return self._work.paused[0][0] if self._work.paused else None

    def finished(
        self, attempt: TaskAttempt, outcome: Outcome, now: float, control: Any = None, reach: int = RAN_HERE
    ) -> Verdict:
        """Take note of how *attempt* ended; *control* is what it decided, if its step decides.

        Of a task that was taken over, *reach* says how far back it was run.

        A repetition is due after the pause of the step's policy, which :meth:`wake_at` then tells.
        """
        work = self._work
        waiting = work.running.pop((attempt.step, attempt.task))
        if outcome in (Outcome.SUCCEEDED, Outcome.REUSED):
            waiting.frame.reach = min(waiting.frame.reach, reach)
            if not self.failed:
                self._go_on(waiting.frame, control)
            return Verdict.DONE
        policy = self._policies.get(attempt.step, Policy())
        if self.failed or outcome is Outcome.STOPPED or attempt.fallback:
            verdict = Verdict.FAILED
        elif attempt.number < policy.retries and outcome is not Outcome.FATAL:
            verdict = Verdict.RETRY
        else:
            verdict = Verdict.FALLBACK if policy.catch else Verdict.FAILED
        if verdict is Verdict.FAILED:
            self.cancel()
            return verdict
        due = now + policy.pause(attempt.number) if verdict is Verdict.RETRY else now
        again = TaskAttempt(
            attempt.step,
            attempt.task,
            attempt.number + 1,
            verdict is Verdict.FALLBACK,
            policy.timeout if verdict is Verdict.RETRY else None,
        )
        heapq.heappush(work.paused, (due, next(self._count), _Waiting(again, waiting.frame)))
        return verdict

    def pause_of(self, attempt: TaskAttempt) -> float:
        """The pause behind *attempt*, if it is repeated."""
        return self._policies.get(attempt.step, Policy()).pause(attempt.number)

    def cancel(self) -> None:
        """Give out nothing more."""
        self.failed = True
        self._work.ready.clear()
        self._work.fans.clear()
        self._work.paused.clear()

    # -- the walk over the blocks ---------------------------------------------------------------------------------

    def _open_item(self) -> None:
        """Begin the next item of the innermost foreach that may have one more at once."""
        fans = self._work.fans
        for at in range(len(fans) - 1, -1, -1):
            fan = fans[at]
            if fan.limit is not None and fan.active >= fan.limit:
                continue
            path = child_id(fan.frame.path, fan.opened)
            fan.opened += 1
            fan.active += 1
            if fan.opened == fan.size:
                del fans[at]
            self._go_on(_Frame(fan.body, path, fan.frame, reach=fan.frame.reach), None)
            return

    def _go_on(self, frame: _Frame, control: Any) -> None:
        """The block at which *frame* stands has ended (or none has begun): begin what comes next."""
        at: _Frame | None = frame
        while at is not None:
            at.position += 1
            blocks = self._sequences[at.sequence]
            at = (
                self._enter(at, blocks[at.position], control) if at.position < len(blocks) else self._leave(at, control)
            )

    def _enter(self, frame: _Frame, block: Block, control: Any) -> _Frame | None:
        """Begin *block*; the frame in which to go on at once, None where a task has to end first."""
        work = self._work
        match block["kind"]:
            case "task":
                step = block["step"]
                timeout = self._policies.get(step, Policy()).timeout
                attempt = TaskAttempt(step, frame.path, 0, timeout=timeout, reach=frame.reach)
                work.ready.append(_Waiting(attempt, frame))
                return None
            case "parallel":
                frame.pending = len(block["branches"])
                for branch in block["branches"]:
                    self._go_on(_Frame(branch, frame.path, frame, reach=frame.reach), None)
                return None
            case "map":
                if not control:
                    return frame
                frame.fan = _Fan(frame, block["body"], len(control), block.get("max_concurrency"))
                work.fans.append(frame.fan)
                return None
            case "choice":
                return self._case(frame, block["cases"][control])
            case "loop":
                return _Frame(block["body"], iteration_id(frame.path, 0), frame, iteration=0, reach=frame.reach)
            case kind:
                raise ValueError(f"the scheduler cannot run a block of the kind {kind!r}")

    def _leave(self, frame: _Frame, control: Any) -> _Frame | None:
        """The sequence of *frame* has ended; the frame in which to go on, None where others have to end first."""
        owner = frame.owner
        if owner is None:
            self.succeeded = True
            return None
        block = self._sequences[owner.sequence][owner.position]
        if block["kind"] in ("parallel", "map"):
            owner.reach_inside = min(owner.reach_inside, frame.reach)
        else:
            owner.reach = min(owner.reach, frame.reach)
        if block["kind"] == "parallel":
            owner.pending -= 1
            return None if owner.pending else self._joined(owner)
        if owner.fan is not None:
            owner.fan.active -= 1
            if owner.fan.active or owner.fan.opened < owner.fan.size:
                return None
            owner.fan = None
            return self._joined(owner)
        if frame.iteration is not None:
            if control in block["again"]:
                n = frame.iteration + 1
                return _Frame(frame.sequence, iteration_id(owner.path, n), owner, iteration=n, reach=frame.reach)
            return self._case(owner, block["exits"][control])
        return owner

    def _case(self, frame: _Frame, taken: int) -> _Frame:
        return _Frame(taken, frame.path, frame, reach=frame.reach) if self._sequences[taken] else frame

    @staticmethod
    def _joined(frame: _Frame) -> _Frame:
        """All branches or items have ended: what was run inside is before what follows."""
        frame.reach = min(frame.reach, frame.reach_inside)
        frame.reach_inside = UNLIMITED
        return frame
