"""A flow that is deployed, and what can be asked of it without its source code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from flowinfra.control.deployer.caller import Caller
from flowinfra.control.deployer.ownstack import recorded_token
from flowinfra.control.deployer.targets import adapter_at
from flowinfra.control.deployer.triggered import TriggeredRun, authorized
from flowinfra.control.deployer.values import checked, trigger_values
from flowinfra.diagnostics import ControlError, Diagnostic, NotFoundError, error, nearest
from flowinfra.model.states import FROM_TARGET, RunState
from flowinfra.orchestrators.base import Adapter, DeploymentInfo, RunInfo

__all__ = ["DeployedFlow", "InvalidStates"]


class InvalidStates(ControlError, ValueError):
    """FI896 and FI897: words that are no states of a run, or are there twice; also Python's ``ValueError``."""


class DeployedFlow:
    """A flow that is deployed: start its runs, list them, delete it. Made by ``create()`` or :meth:`from_deployment`."""

    def __init__(
        self,
        adapter: Adapter,
        caller: Caller,
        info: DeploymentInfo,
        *,
        document: Mapping[str, Any] | None = None,
    ) -> None:
        """Made by a ``Deployer``; *document* is what ``create(only_json=True)`` said instead of deploying."""
        self._adapter = adapter
        self._caller = caller
        self._info = info
        self._document = document

    # -- finding --------------------------------------------------------------------------------------------------

    @classmethod
    def from_deployment(cls, identifier: str, metadata: str | None = None, impl: str = "local") -> Self:
        """What is deployed already, found without its source code; who deployed it and how does not matter.

        Args:
            identifier: ``DeployedFlow.name`` (``<flow>/<deployment>``) or its address; one half of the name where only
                one deployment has it.
            metadata: ``DeployedFlow.metadata``, where it is another project than that of the current folder.
            impl: the target.

        Raises:
            NotFoundError: FI810 or FI819, there is no such deployment, or several.
            ConfigurationError: FI890, there is no such target; FI894, *metadata* is of another form.
        """
        adapter = adapter_at(impl, metadata)
        there = adapter.deployments()
        fitting = [d for d in there if identifier in (d.full_name, d.address)] or [
            d for d in there if identifier in (d.flow, d.name)
        ]
        if len(fitting) > 1:
            fitting = _preferred(fitting) or fitting
        if len(fitting) != 1:
            raise NotFoundError(_not_one(identifier, fitting, there))
        return cls(adapter, Caller.of(adapter.home), fitting[0])

    @classmethod
    def list_deployed_flows(cls, flow_name: str | None = None, impl: str = "local") -> Iterator[Self]:
        """Everything that is deployed, or all deployments of one flow, by name; none where nothing ever was.

        Raises:
            ConfigurationError: FI890, there is no such target.
        """
        adapter = adapter_at(impl)
        caller = Caller.of(adapter.home)
        return iter([cls(adapter, caller, found) for found in adapter.deployments(flow_name)])

    @classmethod
    def get_triggered_run(
        cls, identifier: str, run_id: str, metadata: str | None = None, impl: str = "local"
    ) -> TriggeredRun:
        """A run of what is deployed, found without its source code.

        Args:
            identifier: see :meth:`from_deployment`.
            run_id: its id, or ``Flow/run``.
            metadata: see :meth:`from_deployment`.
            impl: the target.

        Raises:
            NotFoundError: as :meth:`from_deployment`; FI811, the deployment has no such run.
        """
        found = cls.from_deployment(identifier, metadata, impl)
        info = found._adapter.run(run_id.rpartition("/")[2])
        if info.deployment != found._info.address:
            raise NotFoundError(
                error(
                    "FI811",
                    f"{found.name} has no run {run_id!r}",
                    detail=f"that is a run of {info.deployment}" if info.deployment else "that is a direct run",
                    hint="list_runs() of the deployment has its runs",
                )
            )
        return found._triggered(info)

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """``<flow>/<deployment>``, by which :meth:`from_deployment` finds it."""
        return self._info.full_name

    @property
    def flow_name(self) -> str:
        """The flow's name."""
        return self._info.flow

    @property
    def metadata(self) -> str:
        """Where it is deployed: ``local@<folder>``; finds it from other projects too."""
        return self._adapter.metadata

    @property
    def address(self) -> str:
        """Where it is, in the target's own form."""
        return self._info.address

    @property
    def production_token(self) -> str | None:
        """The token by which others may change it; None where this user does not know it."""
        found = self._adapter.find(self._info.address)
        return (
            None if found is None else self._caller.token(found) or recorded_token(self._adapter, self._caller, found)
        )

    @property
    def production_namespace(self) -> str | None:
        """The public tag of its runs, ``production:...``; no credential. None where nothing is deployed."""
        found = self._adapter.find(self._info.address)
        return None if found is None else found.namespace

    @property
    def document(self) -> Mapping[str, Any] | None:
        """What would be deployed, complete, after ``create(only_json=True)``; None otherwise."""
        return self._document

    # -- runs -----------------------------------------------------------------------------------------------------

    def trigger(self, **parameters: Any) -> TriggeredRun:
        """Start a run.

        Values are checked against what is deployed, whatever the flow file says by now; what is not given has the value
        of the deployment, or the deployed default.

        Raises:
            NotFoundError: FI810, it is not deployed any more.
            ParameterError: FI710 to FI713, what is missing, unknown or of another type; all of it at once.
        """
        found = self._present()
        specs = self._adapter.parameters(found)
        given = trigger_values(specs, parameters)
        run = self._adapter.trigger(found, given.values, checked(given))
        return self._triggered(self._adapter.run(run))

    def list_runs(self, states: Sequence[str] | None = None) -> list[TriggeredRun]:
        """Its runs, newest first.

        Args:
            states: only those that stand so; words of :attr:`TriggeredRun.status`, in either case.

        Raises:
            InvalidStates: FI896 or FI897 (a ``ValueError``), a word is no state, or there twice; all of them at once.
        """
        wanted = _states(states, self._adapter.target)
        return [self._triggered(info) for info in self._adapter.runs(self._info, wanted)]

    # -- ending ---------------------------------------------------------------------------------------------------

    def delete(self, authorize: str | None = None) -> bool:
        """Delete the deployment and its production token; its runs go on. False if it is not there.

        Args:
            authorize: the production token, where somebody else's stack owns it.

        Raises:
            ControlError: FI820 or FI821, it is somebody else's, and no token was shown, or a wrong one.
            FlowinfraError: the stack of its own cannot be destroyed: it is protected, or locked.
        """
        from flowinfra.control.deployer.facade import destroy

        token = authorized(authorize)
        found = self._adapter.find(self._info.address)
        if found is None:
            return False
        target = self._adapter.target
        shown = self._caller.require(target, found, token)
        if shown is not None:
            gone = self._adapter.delete(found, owner=self._caller.owner(target, found), authorize=shown)
        else:
            destroy(self._adapter, self._caller, found)
            gone = True
        self._caller.tokens.forget(found.address, self._caller.place)
        return gone

    # -- inside ---------------------------------------------------------------------------------------------------

    def _present(self) -> DeploymentInfo:
        found = self._adapter.find(self._info.address)
        if found is None:
            there = self._adapter.deployments()
            raise NotFoundError(_not_one(self.name, [], there))
        return found

    def _triggered(self, info: RunInfo) -> TriggeredRun:
        return TriggeredRun(self._adapter, self._caller, info)

    def __repr__(self) -> str:
        return f"DeployedFlow({self.name!r})"


def _preferred(fitting: Sequence[DeploymentInfo]) -> list[DeploymentInfo]:
    """Those of the selected stack, where several stacks have one."""
    from flowinfra.control.stacks import domain_of, project_at
    from flowinfra.diagnostics import FlowinfraError
    from flowinfra.packaging.home import Home

    home = Home.find()
    try:
        selected = domain_of(home, project_at(home))
    except FlowinfraError:
        return []
    return [d for d in fitting if d.domain == selected]


def _not_one(identifier: str, fitting: Sequence[DeploymentInfo], there: Sequence[DeploymentInfo]) -> Diagnostic:
    if fitting:
        return error(
            "FI819",
            f"{identifier!r} may be {len(fitting)} deployments",
            detail=f"they are {', '.join(d.address for d in fitting)}",
            hint=f"give the address, e.g. {fitting[0].address}",
        )
    names = list(dict.fromkeys(d.full_name for d in there))
    return error(
        "FI810",
        f"there is no deployment {identifier!r}{nearest(identifier, [*names, *(word for d in there for word in (d.flow, d.name))])}",
        detail=f"deployed here: {', '.join(names)}" if names else "nothing is deployed here yet",
        hint="deploy it with Deployer(...).create(), or with `flowinfra up`; a deployment is named <flow>/<deployment>",
    )


def _states(given: Sequence[str] | None, target: str) -> frozenset[RunState]:
    if given is None:
        return frozenset()
    words = {word.casefold(): state for word, state in FROM_TARGET[target].items() if word}
    valid = ", ".join(word for word in FROM_TARGET[target] if word)
    listed = [given] if isinstance(given, str) else list(given)
    found: list[Diagnostic] = []
    for word in dict.fromkeys(listed):
        if not isinstance(word, str) or word.casefold() not in words:
            close = nearest(word.casefold(), words) if isinstance(word, str) else ""
            found.append(error("FI896", f"{word!r} is no state of a run{close}", hint=f"the states are {valid}"))
    folded = [word.casefold() for word in listed if isinstance(word, str)]
    found += [
        error("FI897", f"the state {word!r} is given {folded.count(word)} times", hint="give each state once")
        for word in dict.fromkeys(w for w in folded if folded.count(w) > 1)
    ]
    if found:
        raise InvalidStates(found)
    return frozenset(words[word] for word in folded)
