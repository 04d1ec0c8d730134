"""Who may change what of a deployed resource: the program, or an operator by a command."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final, Literal

from flowinfra.components.flow_deployment import TYPE
from flowinfra.diagnostics import Diagnostic, FlowinfraError, Severity, error, warning
from flowinfra.model.plan import Action, Change, Plan
from flowinfra.orchestrators.local.records import Deployed
from flowinfra.orchestrators.local.sqlite import Database, SqliteDeployments
from flowinfra.packaging.home import Home
from flowinfra_providers.provider import KINDS

__all__ = [
    "LOCAL",
    "address_of",
    "operators_findings",
    "operators_words",
    "owner_of",
    "present",
    "renamed_resources",
    "shared_names",
]

#: The type of a deployment on Local.
LOCAL: Final = "flowinfra:index:LocalDeployment"


def owner_of(type_: str, path: str) -> Literal["code", "operator"]:
    """Who may change the property at *path* of resources of *type_*; of foreign types all is the program's."""
    kind = KINDS.get(type_)
    name = path.partition(".")[0].partition("[")[0]
    return "operator" if kind is not None and name in kind.operator_owned else "code"


def address_of(inputs: Mapping[str, Any]) -> str:
    """The address of a Local deployment out of its resource's inputs."""
    return f"local:{inputs.get('project')}/{inputs.get('domain')}/{inputs.get('flow')}/{inputs.get('name')}"


def present(home: Home, inputs: Mapping[str, Any]) -> Deployed | None:
    """The Local deployment of a resource as it is now; None if it is not there, or nobody can tell."""
    if not home.database.exists():
        return None
    database = Database(home.database)
    try:
        return SqliteDeployments(database).find(address_of(inputs))
    except FlowinfraError:  # whoever needs the database says what is wrong with it
        return None
    finally:
        database.close()


def operators_words(deployed: Deployed) -> str:
    """Who has paused or resumed it past the program, when and why; empty if nobody did."""
    operated = deployed.operated
    if operated is None:
        return ""
    when = datetime.datetime.fromtimestamp(operated.at_ms / 1000, datetime.UTC).astimezone()
    reason = f" ({operated.reason})" if operated.reason else ""
    return f"{'paused' if deployed.deployment.paused else 'resumed'} by {operated.by} on {when:%Y-%m-%d %H:%M}{reason}"


def operators_findings(home: Home, plan: Plan) -> list[Diagnostic]:
    """Where *plan* undoes what an operator has done: the program's own value changes, or the deployment goes."""
    found = []
    for change in plan.changes:
        if change.type != LOCAL or change.before is None or change.action in (Action.SAME, Action.CREATE):
            continue
        deployed = present(home, change.before)
        if deployed is None or deployed.operated is None:
            continue
        found += _undone(change, deployed)
    return found


def shared_names(plan: Plan) -> list[Diagnostic]:
    """Full names that more than one resource of the program has: the later one would take the earlier one's place."""
    names: dict[str, list[Change]] = {}
    for change in plan.changes:
        if change.action is not Action.DELETE and _named(change):
            names.setdefault(_named(change), []).append(change)
    return [
        error(
            "FI678",
            f"{len(changes)} deployments of the stack are called {name}: {', '.join(c.name for c in changes)}",
            detail="Each would deploy over the other, with every `up` again.",
            hint="give one of them another name in its DeploymentSpec",
        )
        for name, changes in sorted(names.items())
        if len(changes) > 1
    ]


def renamed_resources(plan: Plan) -> list[Diagnostic]:
    """Deployments that go and come back as another resource of the program, with another production token."""
    gone, come = (
        {_named(c): c for c in plan.changes if c.action is a and _named(c)} for a in (Action.DELETE, Action.CREATE)
    )
    return [
        warning(
            "FI679",
            f"{name} goes as the resource `{gone[name].name}` and comes back as `{come[name].name}`",
            detail="It gets another production token, and what an operator has set is forgotten.",
            hint="to keep it, say that it is the same one: "
            f'opts=pulumi.ResourceOptions(aliases=[pulumi.Alias(name="{gone[name].name}")])',
        )
        for name in sorted({*gone} & {*come})
    ]


def _named(change: Change) -> str:
    """The full name of a deployment; empty for everything else."""
    said = (change.after or change.before or {}).get("deployment") or {}
    return f"{said['flow']}/{said.get('name')}" if change.type == TYPE and "flow" in said else ""


def _undone(change: Change, deployed: Deployed) -> list[Diagnostic]:
    name, words = deployed.deployment.full_name, operators_words(deployed)
    if change.action in (Action.DELETE, Action.REPLACE):
        return [
            warning(
                "FI677",
                f"{name} was {words}; that is not carried over",
                detail="The deployment is replaced, and the new one is as the program says."
                if change.action is Action.REPLACE
                else "The deployment is deleted.",
                hint="pause the new one, if that still holds"
                if change.action is Action.REPLACE
                else "nothing, if it shall go",
            )
        ]
    if "paused" not in change.changed:
        return []
    # He has set what the program did not say, and `paused` is yes or no: so both say the same once the program changes.
    return [
        Diagnostic(
            "FI676",
            Severity.NOTE,
            f"{name} was {words}, and the program says so too now",
            detail="From this `up` on `paused` is the program's again: what it says next holds.",
        )
    ]
