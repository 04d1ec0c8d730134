"""What a plan means for flows and for data: flow diffs with their places, what would be lost, what a mode changed.

An engine knows resources and their inputs only. A deployment has its flow among its inputs, keyed by step, before and
after; so what changes in the flow is computed here from the plan alone, for every engine alike. What the program has
told while it ran (:class:`~flowinfra.components.observe.Observed`) adds places, and the defaults of the stack's mode.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flowinfra.compiler.diff import Side, diff
from flowinfra.control.causes import changed_code
from flowinfra.model.dataloss import data_of
from flowinfra.model.deployment import DEPLOYMENT_TYPE, Deployment
from flowinfra.model.diff import FlowDiff, LayerChange
from flowinfra.model.graph import FlowGraph, Location
from flowinfra.model.plan import Action, AppliedDefault, Change, Finding, Plan
from flowinfra.packaging.bundle import Bundle
from flowinfra.packaging.home import Home

if TYPE_CHECKING:
    from flowinfra.components.observe import Observed, Registered  # loads pulumi, which a comparison does not need

__all__ = ["enriched", "placed_diff", "side_of", "with_causes"]


def enriched(
    plan: Plan, observed: Observed | None = None, *, folder: Path | None = None, home: Home | None = None
) -> Plan:
    """*plan* with the flow diffs of its deployments, what holds data, and the defaults of the stack's mode.

    Deletions and replacements of what holds data come first. Nothing else is reordered, and doing it twice is doing it
    once.

    Args:
        plan: as an engine has made it.
        observed: what its program registered; without it changes have no places.
        folder: the project's folder; places are told relative to it.
        home: the project's cache; with it a change of code says which helper it is.
    """
    registered = observed.registered if observed else {}
    findings = dict.fromkeys(plan.findings)
    changes = [_enriched(change, registered.get(change.name), folder, home, findings) for change in plan.changes]
    addresses = {c.name: c.address for c in changes if c.type == DEPLOYMENT_TYPE}
    defaults = dict.fromkeys((*plan.defaults, *(observed.defaults if observed else ())))
    for name, one in sorted(registered.items()):
        for default in one.defaults:
            defaults.setdefault(_addressed(default, addresses.get(name, "")))
    return plan.model_copy(
        update={
            "changes": tuple(sorted(changes, key=lambda c: not c.loses_data)),
            "drift": tuple(c.model_copy(update={"holds_data": c.holds_data or data_of(c.type)}) for c in plan.drift),
            "findings": tuple(findings),
            "defaults": tuple(defaults),
        }
    )


def side_of(inputs: Mapping[str, Any], registered: Registered | None = None) -> Side:
    """One version of a deployment out of its component's inputs; with places if it is what was *registered*.

    Raises:
        ValueError: the inputs are of a newer flowinfra, or were changed by hand.
        KeyError: they are no deployment's.
    """
    flow = inputs["flow"]
    same = registered is not None and registered.graph.digest() == flow.get("digest")
    written = registered.source if registered else None
    return Side(
        graph=registered.graph if registered and same else FlowGraph.from_keyed(flow),
        deployment=Deployment.from_json(inputs["deployment"]),
        release=str(inputs.get("release", "")),
        runtime=inputs.get("runtime") or {},
        source=Location(file=written.file, line=written.line) if written else None,
        configs={name: json.loads(text) for name, text in (inputs.get("configs") or {}).items()},
    )


def with_causes(
    home: Home | None,
    before: Side,
    after: Side,
    folder: Path | None = None,
    root: str = "",
    known: Mapping[str, Bundle] = MappingProxyType({}),
) -> Side:
    """*after* with what changed of its steps' code since *before*, as far as the code of both is here.

    Args:
        home: the project, in whose cache the code is looked for; None: nowhere.
        before: the version before.
        after: the version after.
        folder: places are told relative to it.
        root: the folder that the flow's modules are imported from.
        known: code that is at hand, by the digest of its release.
    """
    if home is None:
        return after

    def said(name: str, path: str, line: int) -> str:
        return f"{name} ({_seen(path, folder, root)}:{line})" if path and line else name

    found = changed_code(home, before, after, known)
    helpers = {step: tuple(said(c.name, c.path, c.line) for c in causes) for step, causes in found.items()}
    return replace(after, helpers=helpers)


def placed_diff(diff: FlowDiff, folder: Path | None, root: str) -> FlowDiff:
    """*diff* with places relative to *folder* instead of *root*."""
    return diff.model_copy(update={"changes": tuple(_moved(c, folder, root) for c in diff.changes)})


def _addressed(default: AppliedDefault, address: str) -> AppliedDefault:
    return default.model_copy(update={"address": default.address or address})


def _enriched(
    change: Change,
    registered: Registered | None,
    folder: Path | None,
    home: Home | None,
    findings: dict[Finding, None],
) -> Change:
    change = change.model_copy(update={"holds_data": change.holds_data or data_of(change.type)})
    if change.type != DEPLOYMENT_TYPE or change.action is Action.SAME:
        return change
    try:
        before = side_of(change.before) if change.before else None
        after = side_of(change.after, registered) if before and change.after else None
    except (ValueError, KeyError) as why:
        finding = Finding(
            code="FI660",
            severity="warning",
            summary=f"what changes in the flow of {change.name} cannot be told",
            detail=str(why),
            hint="the resources below are right all the same",
            address=change.address,
        )
        findings.setdefault(finding)
        return change
    if before is None or after is None:
        now = str((change.after or {}).get("release", ""))
        return change.model_copy(update={"flow": FlowDiff(before=before.release if before else "", after=now)})
    root = registered.root if registered else ""
    after = with_causes(home, before, after, folder, root)
    return change.model_copy(update={"flow": placed_diff(diff(before, after), folder, root)})


def _moved(change: LayerChange, folder: Path | None, root: str) -> LayerChange:
    """A change whose place is told relative to the project."""
    at = change.source
    if at is None:
        return change
    return change.model_copy(update={"source": Location(file=_seen(at.file, folder, root), line=at.line)})


def _seen(file: str, folder: Path | None, root: str) -> str:
    path = PurePath(root, file) if root else PurePath(file)
    if folder is not None and path.is_absolute() and path.is_relative_to(folder):
        return path.relative_to(folder).as_posix()
    if root and path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return path.name if path.is_absolute() else path.as_posix()
