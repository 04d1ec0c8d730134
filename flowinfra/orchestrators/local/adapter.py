"""The Local orchestrator as a ``Deployer`` sees it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from flowinfra.model.states import RunState
from flowinfra.orchestrators.base import Check, DeploymentInfo, RunInfo
from flowinfra.orchestrators.local.orchestrator import TARGET, LocalOrchestrator
from flowinfra.orchestrators.local.records import Deployed, RunRecord
from flowinfra.packaging import release as releases
from flowinfra.packaging.home import Home
from flowinfra.packaging.store import Store

__all__ = ["LocalAdapter"]

_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class LocalAdapter:
    """Implements :class:`~flowinfra.orchestrators.base.Adapter`.

    Attributes:
        local: the orchestrator.
    """

    target: ClassVar[str] = TARGET

    local: LocalOrchestrator

    @classmethod
    def at(cls, home: Home) -> LocalAdapter:
        """The adapter of the project in *home*; nothing is written before something is deployed there.

        Raises:
            PackagingError: FI402, the store cannot be opened.
        """
        return cls(LocalOrchestrator.at(home, Store.open(home.store_url)))

    @property
    def _is_new(self) -> bool:
        # The first look into a database makes it.
        return not self.local.home.database.exists()

    @property
    def home(self) -> Home:
        """The project's folder."""
        return self.local.home

    @property
    def store(self) -> Store:
        """Where the runs are."""
        return self.local.store

    @property
    def metadata(self) -> str:
        """``local@<the project's folder>``."""
        return f"{TARGET}@{self.home.path}"

    # -- deployments ----------------------------------------------------------------------------------------------

    def named(self, project: str, domain: str, flow: str, name: str) -> DeploymentInfo | None:
        """See :meth:`~flowinfra.orchestrators.base.Adapter.named`."""
        return self.find(f"{TARGET}:{project}/{domain}/{flow}/{name}")

    def find(self, address: str) -> DeploymentInfo | None:
        """See :meth:`~flowinfra.orchestrators.base.Adapter.find`."""
        found = None if self._is_new else self.local.deployments.find(address)
        return None if found is None else _info(found)

    def deployments(self, flow: str | None = None) -> list[DeploymentInfo]:
        """See :meth:`~flowinfra.orchestrators.base.Adapter.deployments`."""
        return [] if self._is_new else [_info(found) for found in self.local.deployments.list(flow=flow)]

    def parameters(self, found: DeploymentInfo) -> Sequence[Mapping[str, Any]]:
        """See :meth:`~flowinfra.orchestrators.base.Adapter.parameters`."""
        return list(releases.load(self.store, found.release)["graph"].get("parameters", ()))

    def delete(self, found: DeploymentInfo, *, owner: str, authorize: str | None = None) -> bool:
        """See :meth:`~flowinfra.orchestrators.base.Adapter.delete`."""
        return self.local.deployments.delete(found.address, owner=owner, authorize=authorize)

    # -- runs -----------------------------------------------------------------------------------------------------

    def trigger(self, found: DeploymentInfo, values: Mapping[str, Any], check: Check) -> str:
        """See :meth:`~flowinfra.orchestrators.base.Adapter.trigger`."""
        return self.local.trigger(found.address, values, check=check)

    def run(self, run: str) -> RunInfo:
        """See :meth:`~flowinfra.orchestrators.base.Adapter.run`."""
        return _run(self.local.find(run))

    def runs(self, found: DeploymentInfo, states: Collection[RunState] = ()) -> Iterator[RunInfo]:
        """See :meth:`~flowinfra.orchestrators.base.Adapter.runs`."""
        before: int | None = None
        while True:
            page = self.local.runs(deployment=found.address, before=before, limit=_PAGE)
            # What a run's process has left behind may say more than the queue: so the states are looked at here.
            yield from (_run(record) for record in page if not states or record.state in states)
            if len(page) < _PAGE:
                return
            before = page[-1].number

    def wait(self, run: str, timeout: float | None, every: float) -> RunInfo:
        """See :meth:`~flowinfra.orchestrators.base.Adapter.wait`; the end of its process is told, whatever *every* says."""
        return _run(self.local.wait(run, timeout))

    def terminate(self, run: str) -> bool:
        """See :meth:`~flowinfra.orchestrators.base.Adapter.terminate`."""
        before = self.run(run)
        if before.ended or before.stopping:
            return False
        self.local.stop(run)
        return True

    def suspend(self, run: str, suspended: bool) -> bool:
        """See :meth:`~flowinfra.orchestrators.base.Adapter.suspend`."""
        return self.local.suspend(run, suspended)


def _info(found: Deployed) -> DeploymentInfo:
    deployment = found.deployment
    return DeploymentInfo(
        flow=deployment.flow,
        name=deployment.name,
        address=deployment.address,
        domain=deployment.domain,
        owner=deployment.owner,
        release=deployment.release,
        namespace=found.namespace,
        generation=found.generation,
        token=found.token,
        parameters=deployment.parameters,
    )


def _run(record: RunRecord) -> RunInfo:
    return RunInfo(
        run=record.run,
        flow=record.new.flow,
        deployment=record.new.deployment,
        state=record.state,
        stopping=record.stop_requested,
        suspended=record.suspended,
    )
