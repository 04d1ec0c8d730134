"""A deployment on the Local orchestrator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, ClassVar

from flowinfra.orchestrators.local.interpreter import Interpreter
from flowinfra.orchestrators.local.records import Deployment, Deployments
from flowinfra.orchestrators.local.sqlite import Database, SqliteDeployments
from flowinfra.packaging.home import Home
from flowinfra_providers.kinds import Created, Kind

__all__ = ["LocalDeploymentKind"]


class LocalDeploymentKind(Kind):
    """A deployment of a flow on the Local orchestrator of a project."""

    inputs: ClassVar = {
        "project": str,
        "stack": str,
        "domain": str,
        "flow": str,
        "name": str,
        "release": str,
        "bundle": str,
        "parameters": dict,
        "tags": list,
        "paused": bool,
        "maxWorkers": int,
        "timeoutSeconds": int,
        "userNamespace": str,
        "interpreter": dict,
        "token": str,
        "authorize": str,
    }
    optional = frozenset({"maxWorkers", "timeoutSeconds", "userNamespace", "authorize"})
    replaces = frozenset({"project", "domain", "flow", "name"})
    computed = frozenset({"address", "namespace"})
    secrets = frozenset({"token", "authorize"})
    operator_owned = frozenset({"paused"})
    findable = True

    def create(self, values: Mapping[str, Any]) -> Created:
        outputs = self.deploy(values)
        return Created(outputs["address"], outputs)

    def update(self, id: str, before: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        return self.deploy(values)

    def kept(self, before: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        names = ("address", "namespace") if before.get("token") == values.get("token") else ("address",)
        return {name: before[name] for name in names if name in before}

    def deploy(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Record the deployment; the outputs."""
        with _deployments() as deployments:
            kept = deployments.put(_deployment(values), token=values["token"], authorize=values.get("authorize"))
        now = kept.deployment
        return {**values, "paused": now.paused, "address": now.address, "namespace": kept.namespace}

    def read(self, id: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
        with _deployments() as deployments:
            kept = deployments.find(id)
        if kept is None:
            return None
        now = kept.deployment
        found = {
            "stack": now.stack,
            "release": now.release,
            "bundle": now.bundle,
            "parameters": dict(now.parameters),
            "tags": list(now.tags),
            "paused": now.paused,
            "maxWorkers": now.max_workers,
            "timeoutSeconds": now.timeout_seconds,
            "userNamespace": now.user_namespace or None,
            "interpreter": asdict(now.interpreter),
            "address": now.address,
            "namespace": kept.namespace,
        }
        # what is not said and was not said is no difference
        return {**values, **{name: value for name, value in found.items() if value is not None or name in values}}

    def find(self, values: Mapping[str, Any]) -> Created | None:
        wanted = _deployment(values)
        with _deployments() as deployments:
            kept = deployments.find(wanted.address)
        # The address may be somebody else's: only this creation knew the token that it was made with.
        if kept is None or kept.deployment.owner != wanted.owner or not kept.token.fits(values["token"]):
            return None
        found = self.read(wanted.address, values)
        return None if found is None else Created(wanted.address, found)

    def delete(self, id: str, values: Mapping[str, Any]) -> None:
        # The token is not shown: what another stack has taken over since is no longer this stack's to remove. Nor is what
        # another resource of this stack has deployed there since, with its own token: a deployment whose resource was
        # renamed is made anew before it is deleted.
        with _deployments() as deployments:
            kept = deployments.find(id)
            if kept is None or kept.deployment.owner != f"{values['project']}/{values['stack']}":
                return
            if not values.get("token") or kept.token.fits(values["token"]):
                deployments.delete(id, owner=kept.deployment.owner)


def _deployment(values: Mapping[str, Any]) -> Deployment:
    interpreter = values["interpreter"]
    return Deployment(
        project=values["project"],
        stack=values["stack"],
        domain=values["domain"],
        flow=values["flow"],
        name=values["name"],
        release=values["release"],
        bundle=values["bundle"],
        interpreter=Interpreter(interpreter["path"], interpreter["version"], interpreter["packages"]),
        parameters=values["parameters"],
        tags=tuple(values["tags"]),
        paused=values["paused"],
        max_workers=values.get("maxWorkers"),
        timeout_seconds=values.get("timeoutSeconds"),
        user_namespace=values.get("userNamespace") or "",
    )


@contextlib.contextmanager
def _deployments() -> Iterator[Deployments]:
    """What is deployed in the project that the engine works in; the connection is closed behind each call."""
    home = Home.find().ensure()
    database = Database(home.database)
    try:
        yield SqliteDeployments(database)
    finally:
        database.close()
