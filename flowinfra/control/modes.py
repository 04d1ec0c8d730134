"""What a stack's mode says about a plan before it is applied."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace

from flowinfra.components.checkout import checkout_findings, read_checkout
from flowinfra.components.flow_deployment import TYPE
from flowinfra.components.guard import plan_finding
from flowinfra.components.modes import Mode
from flowinfra.control.ownership import operators_findings, renamed_resources, shared_names
from flowinfra.control.stacks import OpenStack
from flowinfra.diagnostics import Diagnostic, EngineError, FlowinfraError, Severity, error, warning
from flowinfra.model.plan import Action, Operation, Plan
from flowinfra.packaging.cache import cached_bundle, cached_release
from flowinfra.packaging.home import Home
from flowinfra.packaging.users import user_name

__all__ = ["mode_findings", "with_remedy"]


def mode_findings(opened: OpenStack, plan: Plan, *, force: bool, saved_plan: bool) -> list[Diagnostic]:
    """Why the stack's mode refuses to apply *plan*, and what else there is to say about it.

    Args:
        opened: the stack.
        plan: what would be applied.
        force: go on all the same: what would be refused is a warning then, which says so.
        saved_plan: it was saved and looked at before.
    """
    if plan.operation is not Operation.UP:
        return []
    user = user_name()
    mode = Mode.of(opened.settings, user)
    # what changes nothing needs no leave
    found = list(plan_finding(mode, saved_plan=saved_plan)) if plan.has_changes else []
    if plan.has_changes and (mode.require_clean or mode.branch != ""):
        found += checkout_findings(read_checkout(opened.project.folder), mode, _packed(opened.home, plan))
    found += _others(opened, mode, plan)
    if force:
        found = [_forced(d, user) for d in found]
    found += [*operators_findings(opened.home, plan), *shared_names(plan), *renamed_resources(plan)]
    if mode.name == "production" and not plan.complete:
        found.append(
            warning(
                "FI675",
                "only a part of this production stack is looked at",
                detail="What the program changes elsewhere stays as it is, so what is deployed is no commit's as a whole.",
                hint="run `flowinfra up` without --target afterwards",
            )
        )
    return found


def with_remedy(opened: OpenStack, problem: EngineError) -> EngineError:
    """*problem* with what to do where the mode has protected what the engine refuses to delete: no program says so."""
    if not Mode.of(opened.settings, user_name()).protect:
        return problem
    hint = (
        f"the stack's mode protects it: flowinfra config set flowinfra:protect false --stack {opened.stack}, then "
        "`flowinfra up`, then this again"
    )
    found = [replace(d, hint=hint) if d.code == "FI606" else d for d in problem.diagnostics]
    return problem if found == list(problem.diagnostics) else EngineError(found)


def _forced(diagnostic: Diagnostic, user: str) -> Diagnostic:
    return replace(
        diagnostic, severity=Severity.WARNING, summary=f"forced by {user} (--force): {diagnostic.summary}", hint=""
    )


def _others(opened: OpenStack, mode: Mode, plan: Plan) -> list[Diagnostic]:
    """Deployments in the stack's state that are another developer's."""
    if not mode.user:
        return []
    owners: dict[str, list[str]] = {}
    for change in plan.changes:
        before = change.before or {}
        owner = before.get("developer") or ""
        if change.type == TYPE and change.action is not Action.CREATE and owner not in ("", mode.user):
            deployment = before.get("deployment") or {}
            name = f"{deployment.get('flow', '?')}/{deployment.get('name', change.name)}"
            owners.setdefault(str(owner), []).append(name)
    return [
        error(
            "FI674",
            f"the stack {opened.stack} holds the deployments of {owner}: {', '.join(names)}",
            detail=f"It is a development stack, and you are {mode.user}: this `up` would take them away and deploy yours.",
            hint=f"make a stack of your own: flowinfra stack init {opened.stack}-{mode.prefix}, then flowinfra config set "
            "flowinfra:mode development; to work on one stack together, set flowinfra:name_prefix",
        )
        for owner, names in sorted(owners.items())
    ]


def _packed(home: Home, plan: Plan) -> frozenset[str]:
    """The paths in the bundles that *plan* deploys, as far as the project's cache has them."""
    releases = {str((c.after or {}).get("release", "")) for c in plan.changes if c.type == TYPE}
    return frozenset(path for digest in sorted(releases) if digest for path in _members(home, digest))


def _members(home: Home, release: str) -> Iterator[str]:
    try:
        bundle = json.loads(cached_release(home, release))["bundle"]
        data = cached_bundle(home, bundle)
    except FlowinfraError:  # the cache was cleaned; the program's Python files count all the same
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        yield from tar.getnames()
