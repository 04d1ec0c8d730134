"""What a plan means for flows: the flow diffs of its deployments.

An engine knows resources and their inputs only. A deployment has its flow among its inputs, keyed by step, before and
after; so what changes in the flow is computed here from the plan alone, for every engine alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowinfra.compiler.diff import Side, diff
from flowinfra.components.flow_deployment import TYPE
from flowinfra.model.deployment import Deployment
from flowinfra.model.diff import FlowDiff
from flowinfra.model.graph import FlowGraph
from flowinfra.model.plan import Action, Change, Finding, Plan

__all__ = ["side_of", "with_flow_diffs"]


def with_flow_diffs(plan: Plan) -> Plan:
    """*plan* with the flow diff of each of its deployments."""
    findings = list(plan.findings)
    changes = tuple(_enriched(change, findings) for change in plan.changes)
    return plan.model_copy(update={"changes": changes, "findings": tuple(findings)})


def side_of(inputs: Mapping[str, Any]) -> Side:
    """One version of a deployment out of its component's inputs.

    Raises:
        ValueError: the inputs are of a newer flowinfra, or were changed by hand.
    """
    return Side(
        graph=FlowGraph.from_keyed(inputs["flow"]),
        deployment=Deployment.from_json(inputs["deployment"]),
        release=str(inputs.get("release", "")),
        runtime=inputs.get("runtime") or {},
    )


def _enriched(change: Change, findings: list[Finding]) -> Change:
    if change.type != TYPE or change.action is Action.SAME:
        return change
    try:
        before = side_of(change.before) if change.before else None
        after = side_of(change.after) if change.after else None
    except (ValueError, KeyError) as why:
        findings.append(
            Finding(
                code="FI660",
                severity="warning",
                summary=f"what changes in the flow of {change.name} cannot be told",
                detail=str(why),
                hint="the resources below are right all the same",
                address=change.address,
            )
        )
        return change
    if after is None:
        return change.model_copy(update={"flow": FlowDiff(before=before.release if before else "")})
    return change.model_copy(update={"flow": diff(before, after)})
