"""What the Local orchestrator keeps, as values, and the two protocols that keep it.

Nothing in here knows SQL or files. :mod:`.sqlite` implements the protocols for one machine; a server and another
database can stand behind the same ones.

The states of a run in the queue::

    PENDING ──claim──▶ RUNNING ──finish──▶ SUCCEEDED │ FAILED │ TIMED_OUT │ STOPPED
       │  ▲               │
       │  └───give_back───┘  (only if its process never started)
       └──request_stop──▶ STOPPED

A final state never changes: of two that finish a run, the first is right.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from flowinfra.model.states import FINAL, RunState
from flowinfra.orchestrators.local.interpreter import Interpreter
from flowinfra.orchestrators.tokens import TokenHash
from flowinfra.wire import scope_digits

__all__ = [
    "Deployed",
    "Deployment",
    "Deployments",
    "Launch",
    "NewRun",
    "Operated",
    "RunQueue",
    "RunRecord",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment of a flow, as whoever deploys wants it to be.

    Attributes:
        project: the Pulumi project of the stack that owns it.
        stack: the stack that owns it, in whose state it is.
        domain: within which its full name is unique: the stack that the user selected. It differs from *stack* where an
            imperative entry point deploys through a stack of its own.
        flow: the flow's name.
        name: the deployment's name.
        release: the digest of the release that new runs get.
        bundle: the digest of that release's code.
        interpreter: the Python that runs it.
        parameters: values for the flow's parameters, as JSON.
        tags: what each of its runs is tagged with.
        paused: whether schedules and triggers start runs; a person always may.
        max_workers: how many tasks of one run may run at once; None means the default.
        timeout_seconds: how long a run may take; None means as long as it takes.
        user_namespace: the client's namespace inside of its runs; empty means the client's default.
    """

    project: str
    stack: str
    domain: str
    flow: str
    name: str
    release: str
    bundle: str
    interpreter: Interpreter
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    paused: bool = False
    max_workers: int | None = None
    timeout_seconds: int | None = None
    user_namespace: str = ""

    @property
    def full_name(self) -> str:
        """``<flow>/<deployment>``."""
        return f"{self.flow}/{self.name}"

    @property
    def address(self) -> str:
        """``local:<project>/<domain>/<flow>/<deployment>``: the same wherever the deployment moves to."""
        return f"local:{self.project}/{self.domain}/{self.flow}/{self.name}"

    @property
    def owner(self) -> str:
        """``<project>/<stack>``."""
        return f"{self.project}/{self.stack}"

    @property
    def scope(self) -> str:
        """The eight hex digits that its runs' ids begin with."""
        return scope_digits(self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operated:
    """What an operator has done to a deployment past the program: paused or resumed it.

    Attributes:
        declared: whether the program says that it is paused; what holds again once the program changes its mind.
        by: the operator's user name.
        at_ms: when, milliseconds since the epoch.
        reason: why, in the operator's words; may be empty.
    """

    declared: bool
    by: str
    at_ms: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A deployment as it is kept.

    Attributes:
        deployment: what was asked for, with what an operator has changed since.
        token: what is kept of its production token.
        generation: how often the token was replaced.
        taken_from: the owner before this one, where someone took it over by showing the token.
        created_ms: when it was deployed first, milliseconds since the epoch.
        updated_ms: when it was changed last.
        operated: who paused or resumed it last, while that holds against the program; None if nobody did.
    """

    deployment: Deployment
    token: TokenHash
    generation: int
    taken_from: str | None
    created_ms: int
    updated_ms: int
    operated: Operated | None = None

    @property
    def full_name(self) -> str:
        """``<flow>/<deployment>``."""
        return self.deployment.full_name

    @property
    def address(self) -> str:
        """See :attr:`Deployment.address`."""
        return self.deployment.address

    @property
    def owner(self) -> str:
        """``<project>/<stack>``."""
        return self.deployment.owner

    @property
    def namespace(self) -> str:
        """``production:<deployment>-<generation>-<short hash>``: a public tag of its runs, no credential."""
        return f"production:{self.deployment.name}-{self.generation}-{self.token.short}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What starting a run needs; copied from the deployment, so that a later deploy does not touch runs that wait.

    Attributes:
        bundle: the digest of the code.
        interpreter: the Python that the deployment was made with.
        max_workers: how many of its tasks may run at once; None means the default.
        timeout_seconds: how long it may take, from the start of its process; None means as long as it takes.
        user_namespace: the client's namespace inside of it; empty means the client's default.
    """

    bundle: str
    interpreter: Interpreter
    max_workers: int | None = None
    timeout_seconds: int | None = None
    user_namespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run as it enters the queue.

    Attributes:
        run: its id.
        flow: the flow's name.
        release: the digest that it is pinned to.
        store: the URL of the store that holds it.
        deployment: the address of its deployment; None for a direct run.
        launch: how to start it; None for a direct run, which is its starter's own.
        tags: what it is tagged with.
        origin: the run that it resumes.
        user: who started it.
    """

    run: str
    flow: str
    release: str
    store: str
    deployment: str | None = None
    launch: Launch | None = None
    tags: tuple[str, ...] = ()
    origin: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as it stands in the queue.

    Attributes:
        number: its place in the queue; also where a page of a list goes on.
        new: what it was entered with.
        state: where it stands.
        claimed_by: who carries it out, as :class:`~.processes.ProcessId` writes it.
        pid: its process, which leads a process group; None before it started and for a direct run.
        stop_requested: whether someone asked for its end.
        suspended: whether no further task of it shall start; one that waits is not started either.
        error: why it failed, in the words of ``end.json``.
        notes: warnings about how it was started.
        created_ms: when it was entered, milliseconds since the epoch.
        started_ms: when it was claimed.
        heartbeat_ms: when whoever carries it out last said so.
        ended_ms: when its final state was recorded.
    """

    number: int
    new: NewRun
    state: RunState
    claimed_by: str | None
    pid: int | None
    stop_requested: bool
    suspended: bool
    error: Mapping[str, Any] | None
    notes: tuple[str, ...]
    created_ms: int
    started_ms: int | None
    heartbeat_ms: int | None
    ended_ms: int | None

    @property
    def run(self) -> str:
        """The run's id."""
        return self.new.run

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.state in FINAL


class Deployments(Protocol):
    """What is deployed. All calls may be repeated: the second one changes nothing."""

    def put(self, deployment: Deployment, *, token: str, authorize: str | None = None) -> Deployed:
        """Deploy, or change what is deployed under this address.

        ``paused`` is the operator's once he has touched it: it stays as he left it until the program itself changes what
        it says about it.

        Args:
            deployment: what shall be.
            token: the production token from now on; another one than before starts a new generation.
            authorize: the token of a deployment that another stack owns; showing it moves the ownership.

        Raises:
            ControlError: FI820, another stack owns it and no token was shown; FI821, the token is not the right one.
        """
        ...

    def find(self, address: str) -> Deployed | None:
        """The deployment at this address, or None."""
        ...

    def get(self, name: str, *, domain: str | None = None) -> Deployed:
        """The deployment of this full name or address; *domain* chooses among several of one name.

        Raises:
            NotFoundError: FI810, there is none; FI819, there are several.
        """
        ...

    def list(self, *, flow: str | None = None, owner: str | None = None) -> Sequence[Deployed]:
        """All deployments, or those of a flow or an owner, by full name."""
        ...

    def pause(
        self, address: str, paused: bool, *, owner: str, by: str, reason: str = "", authorize: str | None = None
    ) -> Deployed:
        """Pause or resume it past the program; without an effect where it is so already.

        Args:
            address: which one.
            paused: what shall be.
            owner: the stack, as ``<project>/<stack>``, on whose behalf this is done.
            by: the operator's user name.
            reason: why, in his words.
            authorize: the production token, where another stack owns it; the ownership stays.

        Raises:
            NotFoundError: FI810, it is not there.
            ControlError: FI820 or FI821, as for :meth:`put`.
        """
        ...

    def delete(self, address: str, *, owner: str, authorize: str | None = None) -> bool:
        """Remove it; False if it is not there. Its runs go on, and its production token is forgotten.

        Raises:
            ControlError: FI820 or FI821, as for :meth:`put`.
        """
        ...


class RunQueue(Protocol):
    """The runs of a project: those that wait, those that run, and how the others ended."""

    def enqueue(self, run: NewRun) -> bool:
        """Enter a run that a worker shall carry out; False if it is there already."""
        ...

    def register(self, run: NewRun, by: str) -> bool:
        """Enter a run that *by* carries out himself, as running; False if it is there already."""
        ...

    def claim(self, by: str) -> RunRecord | None:
        """The run that waits longest, from now on claimed by *by*; None if none waits. No run is given to two.

        A run that is suspended waits on.
        """
        ...

    def launched(self, run: str, by: str, *, pid: int | None, notes: Sequence[str] = ()) -> bool:
        """Record the process of a run that *by* has claimed."""
        ...

    def take_over(self, run: str, before: str, by: str) -> bool:
        """Hand a claim from *before*, which has died, to *by*; False if it is not *before*'s any more."""
        ...

    def give_back(self, run: str, by: str) -> bool:
        """Let a run wait again that *by* had claimed and never started; False if it is not claimed by *by*."""
        ...

    def heartbeat(self, by: str) -> int:
        """Say that *by* lives; the number of runs that it carries out."""
        ...

    def finish(self, run: str, state: RunState, error: Mapping[str, Any] | None = None) -> bool:
        """Record how a run ended; False if that is recorded already, or if there is no such run."""
        ...

    def request_stop(self, run: str) -> RunRecord | None:
        """Ask for a run's end: one that waits is stopped at once, one that runs is marked; None if there is none."""
        ...

    def suspend(self, run: str, suspended: bool) -> bool:
        """Suspend a run or let it go on; False if it is so already, has ended, or is not there."""
        ...

    def find(self, run: str) -> RunRecord | None:
        """The run of this id, or None."""
        ...

    def list(
        self,
        *,
        flow: str | None = None,
        deployment: str | None = None,
        states: Collection[RunState] = (),
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[RunRecord]:
        """At most *limit* runs, newest first; *before* is the number that the page before ended with."""
        ...

    def running(self) -> Sequence[RunRecord]:
        """All runs that someone carries out, oldest first."""
        ...

    def waiting(self) -> int:
        """How many runs wait and are not suspended."""
        ...

    def changes(self) -> int:
        """A number that is another one whenever someone else has changed something; cheap to ask."""
        ...
