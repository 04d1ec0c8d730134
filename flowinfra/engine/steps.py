"""What happens to a resource that the program registers: nothing, a creation, an update or a replacement.

The decisions are those of Pulumi's step generator (``pkg/resource/deploy/step_generator.go``), for the supported part.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, Final

from flowinfra.diagnostics import EngineError, Source, error
from flowinfra.engine.adopting import ADOPTED, adopt_owed
from flowinfra.engine.deletion import delete_entry, dependents_to_replace
from flowinfra.engine.deployment import Deployment
from flowinfra.engine.interpreter import Checked, Difference, Interpreter, Package, Unhealthy
from flowinfra.engine.ledger import Entry
from flowinfra.engine.planning import detailed, options_changed
from flowinfra.engine.state.resources import ResourceState, timestamp
from flowinfra.engine.targeting import UNTARGETED
from flowinfra.engine.urns import urn_name
from flowinfra.engine.values import UNKNOWN, Properties, changed_paths, covers, is_secret, keep_old, secret
from flowinfra.model.plan import Action

__all__ = ["Goal", "register"]


@dataclass(frozen=True, slots=True)
class Goal:
    """What the program wants a resource to be."""

    state: ResourceState
    """The wanted state: inputs as the program gave them, no id, no outputs."""
    aliases: tuple[str, ...] = ()
    delete_before_replace: bool | None = None
    source: str = ""
    """``file:line`` of the registration, relative to the project."""


#: The path by which ``replaceOnChanges`` can name that a resource was not as it should be.
_INIT_ERROR: Final = "#initerror"


@dataclass(frozen=True, slots=True)
class _Decision:
    action: Action
    changed: tuple[str, ...] = ()
    replaced_by: tuple[str, ...] = ()
    delete_before_replace: bool = False
    torn_down: bool = False
    """What it replaces is deleted already."""
    reason: str = ""


def register(deployment: Deployment, goal: Goal) -> ResourceState:
    """Bring the resource of *goal* about; its state then, which is recorded.

    Raises:
        EngineError: whatever is wrong with it, or fails.
    """
    deployment.check_running()
    wanted = goal.state
    targeted = deployment.targeting.includes(wanted)
    torn = not targeted and not deployment.torn.isdisjoint((wanted.urn, *goal.aliases))
    entry = deployment.ledger.claim(wanted.urn, goal.aliases, targeted=targeted or torn)
    if entry is not None and entry.was != wanted.urn:
        deployment.former[wanted.urn] = entry.was
    if not targeted and not torn:
        return _untargeted(deployment, goal, entry)
    deployment.targeting.require(wanted, _source(goal.source))
    old = deployment.ledger.open(entry) if entry is not None else None
    if not targeted and old is not None:  # it had to go with something that is targeted: it comes back as it was
        goal = replace(goal, state=replace(wanted, inputs=old.inputs))
    package = deployment.package_for(wanted.type, wanted.provider, wanted.urn) if wanted.custom else None
    entry, old, adopted = adopt_owed(
        deployment,
        wanted,
        entry,
        old,
        package,
        lambda known: _decide(deployment.interpreter, goal, known, package)[1].action is Action.REPLACE,
    )
    wanted, decision = _decide(deployment.interpreter, goal, old, package)
    if adopted:
        decision = replace(decision, reason=decision.reason or ADOPTED)
    before = old.inputs if old is not None and not old.external else None
    deployment.plan.add(
        decision.action,
        wanted,
        before=before,
        after=wanted.inputs,
        changed=decision.changed,
        replaced_by=decision.replaced_by,
        reason=decision.reason,
        source=goal.source,
    )
    if decision.action is Action.SAME and old is not None and entry is not None:
        return _same(deployment, wanted, entry, old)
    deployment.began(wanted.urn, decision.action)
    try:
        if package is None:
            state = _virtual(deployment, wanted, entry, old, replacing=decision.action is Action.REPLACE)
        elif decision.action is Action.UPDATE and old is not None and entry is not None:
            state = _update(deployment, wanted, entry, old, package)
        elif decision.action is Action.REPLACE and old is not None and entry is not None:
            state = _replace(deployment, wanted, entry, old, package, decision)
        else:
            state = _create(deployment, wanted, package, taking_over=entry)
    except BaseException as problem:
        deployment.ended(wanted.urn, decision.action, problem)
        raise
    deployment.ended(wanted.urn, decision.action)
    if state.id == UNKNOWN:
        deployment.unsettle(state)
    return state


# -- deciding ---------------------------------------------------------------------------------------------------------


def _decide(
    interpreter: Interpreter, goal: Goal, old: ResourceState | None, package: Package | None
) -> tuple[ResourceState, _Decision]:
    """The wanted state with checked inputs, and what is to be done for it."""
    wanted = goal.state
    owned = old if old is not None and not old.external and not old.pending_replacement else None
    inputs = keep_old(wanted.inputs, owned.inputs, wanted.ignore_changes) if owned is not None else wanted.inputs
    seed = os.urandom(32)
    if package is not None:
        inputs = _checked(package, goal, owned.inputs if owned is not None else {}, inputs, seed)
    if owned is not None:
        inputs = interpreter.align(wanted.urn, owned.inputs, inputs)
    wanted = replace(wanted, inputs=inputs)
    if old is None:
        return wanted, _Decision(Action.CREATE)
    if old.external:
        return wanted, _Decision(Action.REPLACE, reason="so far it was only looked up")
    if old.pending_replacement:
        return wanted, _Decision(Action.REPLACE, torn_down=True, reason="what it depends on is replaced")
    difference = _compare(wanted, old, package)
    if not difference.changed and not old.init_errors:
        return wanted, _Decision(Action.SAME)
    changed = detailed(difference, old.inputs, inputs) if difference.changed else ()
    reason = difference.reason or (f"it was not as it should be: {old.init_errors[0]}" if old.init_errors else "")
    candidates = (changed if package is None else difference.keys or changed) if difference.changed else ()
    replaced_by = difference.replaces + tuple(
        p
        for p in (*candidates, *((_INIT_ERROR,) if old.init_errors else ()))
        if p not in difference.replaces and any(covers(pattern, p) for pattern in wanted.replace_on_changes)
    )
    if not replaced_by or (package is None and wanted.custom == old.custom):
        return wanted, _Decision(Action.UPDATE, changed, reason=reason)
    if wanted.protect and old.protect:
        raise _protected(wanted, replaced_by, goal.source)
    # What the provider had filled in for the old one does not hold for a new one.
    fresh = inputs if package is None else _checked(package, goal, {}, goal.state.inputs, seed)
    by_author = goal.delete_before_replace
    return replace(wanted, inputs=fresh), _Decision(
        Action.REPLACE,
        changed,
        tuple(replaced_by),
        difference.delete_before_replace if by_author is None else by_author,
        reason=reason,
    )


def _checked(package: Package, goal: Goal, old: Properties, new: Properties, seed: bytes) -> Properties:
    checked: Checked = package.check(goal.state.urn, old, new, seed)
    if checked.failures:
        raise EngineError(
            error(
                "FI605",
                f"'{urn_name(goal.state.urn)}' has an input that its provider does not accept: "
                + (f"{name}: {reason}" if name else reason),
                detail=goal.state.urn,
                hint="correct the input where the resource is registered",
                source=_source(goal.source),
            )
            for name, reason in checked.failures
        )
    return checked.inputs


def _compare(wanted: ResourceState, old: ResourceState, package: Package | None) -> Difference:
    # A provider that is another one than before goes on with what the old one made (no provider here answers
    # DiffConfig, see ConfigurationPackage.diff); only where one of the two is a component nothing can go on.
    if wanted.custom != old.custom:
        return Difference(True, ("provider",), ("provider",), reason="a component took the place of a resource")
    if package is None:
        keys = tuple(changed_paths(old.inputs, wanted.inputs))
        return Difference(bool(keys), keys)
    return package.diff(old, wanted.inputs, wanted.ignore_changes)


def _source(place: str) -> Source | None:
    file, _, line = place.rpartition(":")
    return Source(file, int(line)) if file and line.isdigit() else None


def _protected(wanted: ResourceState, replaced_by: tuple[str, ...], source: str) -> EngineError:
    return EngineError(
        error(
            "FI606",
            f"'{urn_name(wanted.urn)}' is protected and would have to be replaced",
            detail=f"{wanted.urn}: because of {', '.join(replaced_by)}",
            hint="take back the change, or remove `protect` from the resource and run `flowinfra up` first",
            source=_source(source),
        )
    )


# -- doing ------------------------------------------------------------------------------------------------------------


def _untargeted(deployment: Deployment, goal: Goal, entry: Entry | None) -> ResourceState:
    """It is as it was; what does not exist is not created."""
    if entry is None:
        deployment.targeting.skip(goal.state.urn)
        deployment.unsettle(goal.state)
        return replace(goal.state, outputs={})
    old, beside = deployment.ledger.leave(entry)
    for state in beside:
        deployment.plan.add(Action.SAME, state, before=state.inputs, after=state.inputs, reason=UNTARGETED)
    deployment.plan.add(Action.SAME, old, before=old.inputs, after=old.inputs, reason=UNTARGETED, source=goal.source)
    return old


def _same(deployment: Deployment, wanted: ResourceState, entry: Entry, old: ResourceState) -> ResourceState:
    state = replace(
        wanted,
        id=old.id,
        outputs=old.outputs,
        created=old.created,
        modified=old.modified,
        rest=old.rest,
        # A line that moved is no reason to write the state.
        source_position=old.source_position or wanted.source_position,
    )
    renamed = () if entry.was == state.urn else ("urn",)
    deployment.plan.explain(state.urn, options_changed((*renamed, *old.material_difference(state))))
    deployment.ledger.commit(state, entry)
    return state


def _virtual(
    deployment: Deployment, wanted: ResourceState, entry: Entry | None, old: ResourceState | None, *, replacing: bool
) -> ResourceState:
    """A component: it is in the state only."""
    now = timestamp()
    if replacing and entry is not None:
        deployment.ledger.condemn(entry)
        entry = old = None
    deployment.hooks.run("BeforeCreate" if old is None else "BeforeUpdate", wanted, old)
    state = replace(
        wanted,
        outputs=old.outputs if old is not None else {},
        created=(old.created if old is not None else "") or now,
        modified=now,
    )
    deployment.ledger.commit(state, entry)
    deployment.after_outputs(state, "AfterCreate" if old is None else "AfterUpdate", old)
    return state


def _create(
    deployment: Deployment, wanted: ResourceState, package: Package, *, taking_over: Entry | None = None
) -> ResourceState:
    """Create it; *taking_over* is what the state knew under its name and nothing stands behind any more."""
    ledger = deployment.ledger
    deployment.hooks.run("BeforeCreate", wanted)
    with ledger.operation("creating", wanted) as operation:
        state, unhealthy = _created(deployment, wanted, package)
        ledger.commit(state, taking_over, operation)
    if unhealthy is not None:
        raise unhealthy
    deployment.run_after("AfterCreate", state, outputs=state.outputs)
    return state


def _created(deployment: Deployment, wanted: ResourceState, package: Package) -> tuple[ResourceState, Unhealthy | None]:
    """*wanted* as it was made, and why that is not all right."""
    errors: tuple[str, ...] = ()
    unhealthy = None
    try:
        made = package.create(wanted.urn, wanted.inputs, deployment.timeout(wanted, "create"))
    except Unhealthy as problem:
        made, errors, unhealthy = problem.made, problem.reasons, problem
    now = timestamp()
    state = replace(wanted, id=made.id, created=now, modified=now, init_errors=errors)
    return _with_outputs(state, made.outputs), unhealthy


def _update(
    deployment: Deployment, wanted: ResourceState, entry: Entry, old: ResourceState, package: Package
) -> ResourceState:
    ledger = deployment.ledger
    wanted = replace(wanted, id=old.id, created=old.created, modified=old.modified)
    deployment.hooks.run("BeforeUpdate", wanted, old)
    with ledger.operation("updating", replace(wanted, outputs=old.outputs)) as operation:
        unhealthy = None
        try:
            outputs = package.update(old, wanted.inputs, wanted.ignore_changes, deployment.timeout(wanted, "update"))
        except Unhealthy as problem:
            outputs, unhealthy = problem.made.outputs, problem
            wanted = replace(wanted, init_errors=problem.reasons)
        state = _with_outputs(replace(wanted, modified=timestamp()), outputs)
        ledger.commit(state, entry, operation)
    if unhealthy is not None:
        raise unhealthy
    deployment.run_after("AfterUpdate", state, old, state.outputs)
    return state


def _replace(
    deployment: Deployment,
    wanted: ResourceState,
    entry: Entry,
    old: ResourceState,
    package: Package,
    decision: _Decision,
) -> ResourceState:
    ledger = deployment.ledger
    if decision.torn_down:
        return _create(deployment, wanted, package, taking_over=entry)
    if decision.delete_before_replace:
        dependents = dependents_to_replace(deployment, old)
        going = frozenset(d.state.urn for d in dependents)
        for dependent in reversed(dependents):
            with ledger.tearing_down(dependent) as there:
                if there:
                    delete_entry(deployment, dependent, ledger.tear_down, going)
                    deployment.torn.add(dependent.was)
        delete_entry(deployment, entry, ledger.tear_down)
        return _create(deployment, wanted, package, taking_over=entry)
    deployment.hooks.run("BeforeCreate", wanted)
    with ledger.operation("creating", wanted) as operation:
        state, unhealthy = _created(deployment, wanted, package)
        ledger.condemn(entry)
        ledger.commit(state, ends=operation)
    if unhealthy is not None:
        raise unhealthy
    deployment.run_after("AfterCreate", state, outputs=state.outputs)
    return state


def _with_outputs(state: ResourceState, outputs: dict[str, Any]) -> ResourceState:
    """*state* with *outputs*, those secret that the author or the same-named input says are."""
    hidden = {k for k, v in state.inputs.items() if is_secret(v)} | set(state.additional_secret_outputs)
    return replace(state, outputs={k: secret(v) if k in hidden else v for k, v in outputs.items()})
