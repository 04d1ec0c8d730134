"""What a ``Deployer`` asks of every target, and the values that it answers with.

A target implements :class:`Adapter` beside its orchestrator. What a deployment consists of is not its business: that is
the component's, applied through a stack. It knows what *is* deployed, and its runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias

from flowinfra.model.states import FINAL, RunState
from flowinfra.orchestrators.tokens import TokenHash
from flowinfra.packaging.home import Home
from flowinfra.packaging.store import Store

__all__ = ["Adapter", "Check", "DeploymentInfo", "RunInfo"]

#: ``runtime.parameters.check_parameters``: the parameters of a release (plain JSON), the given values and the flow's name
#: to the whole input of the run. An argument, because the runtime is a layer above.
Check: TypeAlias = Callable[[Sequence[Mapping[str, Any]], Mapping[str, Any], str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentInfo:
    """A deployment as a target keeps it.

    Attributes:
        flow: the flow's name.
        name: the deployment's name.
        address: where it is, in the target's own form; the same as long as it is there.
        domain: the stack within which its full name is unique.
        owner: the stack in whose state it is, as ``<project>/<stack>``.
        release: the digest of what its next run gets.
        namespace: the public tag of its runs.
        generation: how often its production token was replaced.
        token: what is kept of the token.
        parameters: the values that it gives, as JSON.
    """

    flow: str
    name: str
    address: str
    domain: str
    owner: str
    release: str
    namespace: str
    generation: int
    token: TokenHash
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """``<flow>/<deployment>``."""
        return f"{self.flow}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """A run as its target knows it now.

    Attributes:
        run: its id.
        flow: the flow's name.
        deployment: the address of its deployment; None for a run without one.
        state: where it stands.
        stopping: whether someone has asked for its end already.
        suspended: whether it is suspended.
    """

    run: str
    flow: str
    deployment: str | None
    state: RunState
    stopping: bool = False
    suspended: bool = False

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.state in FINAL


class Adapter(Protocol):
    """One target's orchestrator, as seen from one project."""

    target: ClassVar[str]
    """The word for the target: ``local``."""

    @property
    def home(self) -> Home:
        """The project's folder."""
        ...

    @property
    def store(self) -> Store:
        """Where the runs are that are started here."""
        ...

    @property
    def metadata(self) -> str:
        """``<target>@<place>``: what finds the same orchestrator again from elsewhere."""
        ...

    def named(self, project: str, domain: str, flow: str, name: str) -> DeploymentInfo | None:
        """What is deployed under this name; None if nothing is."""
        ...

    def find(self, address: str) -> DeploymentInfo | None:
        """What is deployed at *address*; None if nothing is."""
        ...

    def deployments(self, flow: str | None = None) -> Sequence[DeploymentInfo]:
        """All deployments, or those of a flow, by full name."""
        ...

    def parameters(self, found: DeploymentInfo) -> Sequence[Mapping[str, Any]]:
        """What the deployed release takes.

        Raises:
            PackagingError: the release cannot be read.
        """
        ...

    def trigger(self, found: DeploymentInfo, values: Mapping[str, Any], check: Check) -> str:
        """Start a run with *values*, which go before those of the deployment; its id.

        Raises:
            FlowinfraError: what *check* raises, before anything is written; or the run cannot be started.
        """
        ...

    def delete(self, found: DeploymentInfo, *, owner: str, authorize: str | None = None) -> bool:
        """Remove a deployment past its stack; False if it is gone. Its runs go on.

        Raises:
            ControlError: FI820 or FI821, *owner* is not its owner and has not shown its token.
        """
        ...

    def run(self, run: str) -> RunInfo:
        """The run of this id.

        Raises:
            NotFoundError: FI811, there is none.
        """
        ...

    def runs(self, found: DeploymentInfo, states: Collection[RunState] = ()) -> Iterator[RunInfo]:
        """The runs of a deployment, newest first, as far as one iterates; with *states* only those."""
        ...

    def wait(self, run: str, timeout: float | None, every: float) -> RunInfo:
        """Wait for the end of a run; how it stands then, or after *timeout* seconds.

        A target that tells nothing by itself is asked *every* so many seconds.
        """
        ...

    def terminate(self, run: str) -> bool:
        """Ask for a run's end; False if it has ended or was asked already."""
        ...

    def suspend(self, run: str, suspended: bool) -> bool:
        """Start no further task of a run, or let it go on; False if it is so already or the run has ended."""
        ...
