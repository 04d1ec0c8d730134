"""Drift: what was changed past the program, taken over into the state or put back.

A refresh that is only previewed shows it: per resource and property what is recorded, what is there and who may change
it, and what does not exist any more. What an operator may change is shown and is nothing wrong. To adopt is a refresh
of what is named; to revert puts the recorded value back, through the provider for what is the code's and by the
operator's own command for what is his.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from flowinfra.components.observe import OBSERVED, Observed
from flowinfra.control.ownership import LOCAL, address_of, operators_words, owner_of, present
from flowinfra.control.stacks import OpenStack
from flowinfra.diagnostics import ConfigurationError, Diagnostic, EngineError, NotFoundError, error, nearest
from flowinfra.engine.base import OnEvent, Options
from flowinfra.engine.values import changed_paths, value_at
from flowinfra.model.plan import Action, Change, FieldDrift, Operation, Plan
from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator
from flowinfra.packaging.home import Home
from flowinfra.packaging.users import user_name

__all__ = ["Choice", "adopt", "choose", "drift", "is_wrong", "revert", "with_drift"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A drifted resource that something shall be done about.

    Attributes:
        change: what has drifted in it.
        fields: names of its properties that are meant; empty for all of it.
    """

    change: Change
    fields: tuple[str, ...] = ()

    @property
    def chosen(self) -> tuple[FieldDrift, ...]:
        """The drift that is meant."""
        return tuple(f for f in self.change.drifted if not self.fields or _top(f.path) in self.fields)


def drift(opened: OpenStack, on_event: OnEvent | None = None) -> Plan:
    """What was changed past the program, as a plan of a refresh; nothing is changed.

    Raises:
        FlowinfraError: the state cannot be read, or a provider fails.
    """
    return with_drift(opened.engine.preview(opened.ref, on_event, operation=Operation.REFRESH), opened.home)


def with_drift(plan: Plan, home: Home | None = None) -> Plan:
    """*plan*, a refresh's, with what has drifted per property; with *home* also who has done it, where that is kept."""
    changes = tuple(_drifted(change, home) for change in plan.changes)
    drifted = tuple(c for c in changes if c.drifted or c.action in (Action.DELETE, Action.REFRESH))
    return plan.model_copy(update={"changes": changes, "drift": drifted})


def is_wrong(plan: Plan) -> bool:
    """Whether anything has drifted that is not an operator's to change."""
    return any(not c.drifted or any(f.owner == "code" for f in c.drifted) for c in plan.drift)


def choose(plan: Plan, names: Iterable[str]) -> list[Choice]:
    """The drifted resources that *names* mean, each ``ADDRESS`` or ``ADDRESS:PROPERTY``.

    An address is a URN, the full name of a deployment (then everything that it consists of is meant), or the name of a
    resource where only one has it.

    Raises:
        NotFoundError: FI680, no resource is called so; FI682, it has not drifted, or not there; all come at once.
        ConfigurationError: FI681, several are called so.
    """
    found: dict[str, Choice] = {}
    wrong: list[Diagnostic] = []
    several: list[Diagnostic] = []
    for name in names:
        meant, field = _meant(plan, name)
        if not meant:
            wrong.append(_unknown(plan, name))
            continue
        if len(meant) > 1:
            several.append(_ambiguous(name, meant))
            continue
        drifted = [c for c in _all_of(plan, name, meant) if c in plan.drift]
        if field:
            drifted = [c for c in drifted if any(_top(f.path) == field for f in c.drifted)]
        if not drifted:
            wrong.append(_not_drifted(plan, name, field, meant))
        for change in drifted:
            before = found.get(change.address)
            fields = (*before.fields, field) if before and before.fields and field else (field,) if field else ()
            found[change.address] = Choice(change, () if before and not before.fields else fields)
    if several:
        raise ConfigurationError([*several, *wrong])
    if wrong:
        raise NotFoundError(wrong)
    return list(found.values())


def adopt(opened: OpenStack, choices: Sequence[Choice], on_event: OnEvent | None = None) -> Plan:
    """Take what is there over into the state.

    Raises:
        EngineError: FI683, single properties on an engine that refreshes whole resources only; or a provider failed.
    """
    _refuse_fields(opened, [c for c in choices if c.fields])
    plan = opened.engine.refresh(opened.ref, on_event, options=_options(choices))
    return with_drift(plan, opened.home)


def revert(opened: OpenStack, choices: Sequence[Choice], on_event: OnEvent | None = None) -> list[Plan]:
    """Put back what is recorded; the plans that were applied.

    The embedded engine gives the provider the recorded inputs. The Pulumi CLI knows nothing of the kind: there the
    resources are refreshed and then updated to what the program says, as long as that is what is recorded.

    Raises:
        EngineError: FI683, as for :func:`adopt`; FI685, the program has changed since; or a provider failed.
    """
    code = [c for c in choices if not c.chosen or any(f.owner == "code" for f in c.chosen)]
    _refuse_fields(opened, [c for c in code if c.fields])
    embedded = opened.engine.name == "embedded"
    # Nothing new is deployed, so the stack's mode is not asked.
    options = replace(_options(code), context={OBSERVED: Observed()})
    if code and not embedded:
        _refuse_changed(opened.engine.preview(opened.ref, options=options), code)
    for choice in choices:
        _resume(opened.home, choice)
    if not code:
        return []
    if embedded:
        return [opened.engine.refresh(opened.ref, on_event, options=replace(options, revert=True))]
    refreshed = opened.engine.refresh(opened.ref, on_event, options=options)
    return [refreshed, opened.engine.up(opened.ref, on_event, options=options)]


# -- finding drift --------------------------------------------------------------------------------------------------


def _drifted(change: Change, home: Home | None) -> Change:
    if change.action in (Action.DELETE, Action.CREATE) or change.before is None or change.after is None:
        return change
    paths = dict.fromkeys([*changed_paths(change.before, change.after), *change.changed])
    fields = tuple(
        FieldDrift(
            path=path,
            recorded=value_at(change.before, path),
            actual=value_at(change.after, path),
            owner=owner_of(change.type, path),
        )
        for path in paths
        if not _top(path).startswith("__")
    )
    reason = change.reason
    if home is not None and change.type == LOCAL and any(f.owner == "operator" for f in fields):
        deployed = present(home, change.before)
        reason = operators_words(deployed) if deployed is not None else reason
    return change.model_copy(update={"drifted": fields, "reason": reason})


def _top(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


# -- choosing -------------------------------------------------------------------------------------------------------


def _meant(plan: Plan, name: str) -> tuple[list[Change], str]:
    """The resources that *name* means, and the property; the whole text is looked for first, as URNs have colons."""
    exact = _called(plan, name)
    if exact:
        return exact, ""
    address, _, field = name.rpartition(":")
    return (_called(plan, address) if address else []), field


def _called(plan: Plan, name: str) -> list[Change]:
    by_urn = [c for c in plan.changes if c.address == name]
    return by_urn or [c for c in plan.changes if name in (_full_name(c), c.name)]


def _full_name(change: Change) -> str:
    shown = change.before or change.after or {}
    if change.type == LOCAL:
        return f"{shown.get('flow')}/{shown.get('name')}"
    return ""


def _all_of(plan: Plan, name: str, meant: Sequence[Change]) -> list[Change]:
    """The resources; of a deployment that is meant by its full name everything that it consists of."""
    own = {c.address for c in meant}
    parents = {c.parent for c in meant if c.parent and name.startswith(_full_name(c) or " ")}
    return [c for c in plan.changes if c.address in own or c.parent in parents]


def _unknown(plan: Plan, name: str) -> Diagnostic:
    known = [w for c in plan.changes if c.custom for w in (_full_name(c), c.name) if w]
    drifted = ", ".join(c.name for c in plan.drift)
    return error(
        "FI680",
        f"the stack has no resource {name!r}{nearest(name, known)}",
        detail=f"changed past the program: {drifted}" if drifted else "nothing was changed past the program",
        hint="give a URN, FLOW/DEPLOYMENT or a resource's name, and :PROPERTY behind it for one property; "
        "`flowinfra drift` lists them",
    )


def _ambiguous(name: str, meant: Sequence[Change]) -> Diagnostic:
    return error(
        "FI681",
        f"{name!r} may be {len(meant)} resources",
        detail="\n".join(c.address for c in meant),
        hint="give the URN of the one that is meant",
    )


def _not_drifted(plan: Plan, name: str, field: str, meant: Sequence[Change]) -> Diagnostic:
    there = [f.path for c in _all_of(plan, name, meant) for f in c.drifted]
    what = f"`{field}` of {name.removesuffix(f':{field}')}" if field else name
    return error(
        "FI682",
        f"{what} is as the state has it{nearest(field, there) if field else ''}",
        detail=f"what has changed there is {', '.join(there)}"
        if there
        else "nothing of it was changed past the program",
        hint="flowinfra drift",
    )


# -- doing ----------------------------------------------------------------------------------------------------------


def _options(choices: Sequence[Choice]) -> Options:
    return Options(
        targets=tuple(c.change.address for c in choices),
        fields={c.change.address: c.fields for c in choices if c.fields},
    )


def _refuse_fields(opened: OpenStack, single: Sequence[Choice]) -> None:
    if not single or opened.engine.name == "embedded":
        return
    raise EngineError(
        error(
            "FI683",
            f"the engine {opened.engine.name} adopts and reverts whole resources only",
            detail=f"asked for: {', '.join(f'{c.change.name}:{f}' for c in single for f in c.fields)}",
            hint=f"name the resource alone: {', '.join(c.change.name for c in single)}",
        )
    )


def _refuse_changed(plan: Plan, choices: Sequence[Choice]) -> None:
    asked = {c.change.address for c in choices}
    changed = [c for c in plan.changes if c.address in asked and c.action is not Action.SAME]
    if changed:
        raise EngineError(
            error(
                "FI685",
                f"the program says something else than what is recorded of {', '.join(c.name for c in changed)}",
                detail="This engine puts back what the program says, and that would be a new deployment.",
                hint="deploy it with `flowinfra up`, or put it back with --engine embedded",
            )
        )


def _resume(home: Home, choice: Choice) -> None:
    """Put back what is the operator's, as he would do it himself."""
    wanted = next((f for f in choice.chosen if f.owner == "operator" and f.path == "paused"), None)
    if wanted is None or choice.change.type != LOCAL:
        return
    orchestrator = LocalOrchestrator.open(home)
    address = address_of(choice.change.before or {})
    deployed = orchestrator.deployments.find(address)
    if deployed is not None:
        orchestrator.deployments.pause(
            address,
            bool(wanted.recorded),
            owner=deployed.deployment.owner,
            by=user_name(),
            reason="put back by `flowinfra drift --revert`",
        )
