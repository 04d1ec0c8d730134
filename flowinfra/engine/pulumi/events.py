"""What the events of the real engine mean, in our words. Pure, but for the one who is told.

The Pulumi CLI tells what it does as JSON (``sdk/go/common/apitype/events.go``). Values in it have the form that
checkpoints have: secrets are signed dictionaries without their content, what is not known yet is the known mark. So
the same functions that make the embedded engine's plans make those of the real one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from flowinfra.diagnostics import Diagnostic, error, warning
from flowinfra.engine.base import LogEvent, OnEvent, Options, ResourceEvent, StackRef
from flowinfra.engine.interpreter import Difference
from flowinfra.engine.places import place_of
from flowinfra.engine.planning import PlanBuilder, detailed, finding, options_changed
from flowinfra.engine.pulumi.messages import failure, is_noise, pending, plain_text
from flowinfra.engine.state.checkpoint import Snapshot
from flowinfra.engine.state.resources import Pending, ResourceState
from flowinfra.engine.targeting import Targeting
from flowinfra.engine.unfinished import told
from flowinfra.engine.urns import STACK_TYPE, is_default_provider, is_provider, urn_name
from flowinfra.engine.values import Properties, changed_paths, equal, may_equal
from flowinfra.model.plan import Action, Operation, Plan

__all__ = ["EngineEvent", "Registered", "Translation", "changed_outputs"]

EngineEvent: TypeAlias = Mapping[str, Any]

#: Pulumi's words of operations.
_ACTIONS: Final = {
    "same": Action.SAME,
    "create": Action.CREATE,
    "import": Action.CREATE,
    "update": Action.UPDATE,
    "replace": Action.REPLACE,
    "create-replacement": Action.REPLACE,
    "import-replacement": Action.REPLACE,
    "read-replacement": Action.REPLACE,
    "delete": Action.DELETE,
    "discard": Action.DELETE,
    "delete-replaced": Action.DELETE,
    "discard-replaced": Action.DELETE,
    "read": Action.READ,
    "refresh": Action.SAME,
}
#: Steps that only complete another one of the same resource.
_SECOND: Final = frozenset({"replace", "delete-replaced", "discard-replaced", "remove-pending-replace"})
#: Steps that nobody is told of while they happen.
_QUIET: Final = frozenset({"same", "replace", "read", "remove-pending-replace", "discard-replaced"})
#: Why nobody knows what became of a creation.
_NOT_LOOKED_FOR: Final = "the Pulumi CLI does not look for it"
#: What of a registration is compared with the state when nothing else changes.
_OPTIONS: Final = (
    "parent",
    "protect",
    "dependencies",
    "property_dependencies",
    "retain_on_delete",
    "deleted_with",
    "additional_secret_outputs",
    "ignore_changes",
    "replace_on_changes",
    "hide_diff",
    "custom_timeouts",
    "resource_hooks",
)


@dataclass(frozen=True, slots=True)
class Registered:
    """One registration of the program, as it went to the engine."""

    options: ResourceState
    """What the program wants, without inputs and outputs."""
    source: str = ""
    """``file:line``."""


@dataclass(frozen=True, slots=True)
class _Step:
    op: str
    urn: str
    type: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None
    keys: tuple[str, ...]
    """Paths that force a replacement."""
    differing: tuple[str, ...]

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> _Step:
        detail: Mapping[str, Any] = metadata.get("detailedDiff") or {}
        forcing = [path for path, d in detail.items() if str(d.get("diffKind", "")).endswith("-replace")]
        return cls(
            op=metadata["op"],
            urn=metadata["urn"],
            type=metadata["type"],
            old=metadata.get("old"),
            new=metadata.get("new"),
            keys=tuple(forcing or metadata.get("keys") or ()),
            differing=tuple(detail or metadata.get("diffs") or ()),
        )

    def state(self) -> ResourceState:
        """The resource, as far as plans show it."""
        there = self.new or self.old or {}
        return ResourceState(
            urn=self.urn, type=self.type, custom=bool(there.get("custom")), parent=there.get("parent") or ""
        )


@dataclass(eq=False)
class Translation:
    """The events of one operation, one after the other."""

    stack: StackRef
    operation: Operation
    last: Snapshot | None = None
    """The state before, where it can be read here."""
    on_event: OnEvent | None = None
    targets: tuple[str, ...] = ()
    failures: list[Diagnostic] = field(default_factory=list)
    """Why the operation failed."""
    ended: bool = False
    """The engine has said that the operation is over."""
    said: set[tuple[str, str]] = field(default_factory=set)
    """What the program itself has logged, by URN and text: an error among it fails nothing."""
    _steps: dict[str, list[_Step]] = field(default_factory=dict)
    _outputs: dict[str, _Step] = field(default_factory=dict)
    _messages: list[tuple[Diagnostic, str]] = field(default_factory=list)
    _errors: dict[str, str] = field(default_factory=dict)

    # -- taking

    def begin(self) -> None:
        """Say what an earlier operation has left undone; the CLI says it only once it changes something."""
        self._unended(self.last.pending if self.last else ())

    def _unended(self, pending: Iterable[Pending]) -> None:
        for found, urn in told(((record, None) for record in pending), why=_NOT_LOOKED_FOR):
            self._warn(found, urn)

    def _warn(self, found: Diagnostic, address: str) -> None:
        if (found, address) not in self._messages:
            self._messages.append((found, address))
            self._log(LogEvent("warning", found.summary, address))

    def take(self, event: EngineEvent) -> None:
        """Take the next event, and tell of it."""
        if "resourcePreEvent" in event:
            self._before(_Step.of(event["resourcePreEvent"]["metadata"]))
        elif "resOutputsEvent" in event:
            self._after(_Step.of(event["resOutputsEvent"]["metadata"]))
        elif "resOpFailedEvent" in event:
            step = _Step.of(event["resOpFailedEvent"]["metadata"])
            self._tell(step, "failed", self._errors.get(step.urn, "it failed"))
        elif "diagnosticEvent" in event:
            self._diagnostic(event["diagnosticEvent"])
        elif "policyEvent" in event:
            self._policy(event["policyEvent"])
        elif "stdoutEvent" in event:
            self._log(LogEvent("info", plain_text(event["stdoutEvent"].get("message", ""))))
        elif "summaryEvent" in event:
            self.ended = True

    def _before(self, step: _Step) -> None:
        self._steps.setdefault(step.urn, []).append(step)
        self._tell(step, "start")

    def _after(self, step: _Step) -> None:
        self._outputs[step.urn] = step
        self._tell(step, "done")

    def _tell(self, step: _Step, phase: Any, message: str = "") -> None:
        if self.on_event is None or is_default_provider(step.urn):
            return
        if self.operation is Operation.REFRESH:
            if is_provider(step.type) or not (step.old or {}).get("custom"):
                return
            word = Action.REFRESH.value
        elif step.op in _QUIET and phase != "failed":
            return
        else:
            word = _ACTIONS.get(step.op, Action.UPDATE).value
        self.on_event(ResourceEvent(step.urn, word, phase, message))

    def _log(self, event: LogEvent) -> None:
        if self.on_event is not None and event.message:
            self.on_event(event)

    def _diagnostic(self, event: Mapping[str, Any]) -> None:
        severity, urn = event.get("severity", ""), event.get("urn") or ""
        message = plain_text(event.get("message", ""))
        if severity == "debug" or not message or (severity == "warning" and is_noise(message)):
            return
        if severity == "error" and (urn, message) not in self.said:
            if not is_noise(message):
                steps = self._steps.get(urn)
                found = failure(message, urn, steps[-1].op if steps else "")
                self._errors.setdefault(urn, found.summary)
                self.failures.append(found)
            return
        if severity == "warning":
            interrupted = [Pending(doing, ResourceState(address, "")) for doing, address in pending(message)]
            if interrupted:
                if self.last is None or not self.last.pending:  # else it was said at the beginning
                    self._unended(interrupted)
            else:
                self._warn(warning("FI641", message), urn)
        elif severity == "error":
            self._messages.append((error("FI641", message), urn))
            self._log(LogEvent("error", message, urn))
        else:
            self._log(LogEvent("info", message, urn))

    def _policy(self, event: Mapping[str, Any]) -> None:
        urn = event.get("resourceUrn") or ""
        pack = f"{event.get('policyPackName', '')} {event.get('policyPackVersion', '')}".strip()
        summary = f"the policy {event.get('policyName', '')} of {pack} is violated"
        detail = plain_text(event.get("message", ""))
        if urn:
            summary += f" by '{urn_name(urn)}'"
        if event.get("enforcementLevel") == "mandatory":
            self.failures.append(
                error(
                    "FI648", summary, detail=f"{urn}: {detail}" if urn else detail, hint="do what the policy asks for"
                )
            )
        else:
            self._warn(warning("FI648", summary, detail=detail, hint="do what the policy asks for"), urn)

    def forgive(self) -> None:
        """The operation has succeeded in spite of what was told as an error."""
        self._messages += [(error("FI641", d.summary, detail=d.detail), "") for d in self.failures]
        self.failures.clear()

    # -- the plan

    @property
    def registered(self) -> int:
        """How many resources the program has registered, without the stack and what the engine made itself."""
        real = (s for steps in self._steps.values() for s in steps if s.op not in ("delete", "discard"))
        return len({s.urn for s in real if s.type != STACK_TYPE and not is_default_provider(s.urn)})

    @property
    def deleted(self) -> int:
        """How many would go because the program does not register them."""
        gone = (s for steps in self._steps.values() for s in steps if s.op == "delete")
        return len({s.urn for s in gone if s.type != STACK_TYPE and not is_default_provider(s.urn)})

    def plan(self, registered: Mapping[str, Registered], outputs: Mapping[str, tuple[str, ...]], engine: str) -> Plan:
        """What was planned or done.

        Args:
            registered: the program's registrations by URN.
            outputs: names of outputs that change, by URN, where events cannot say it.
            engine: the engine's word.
        """
        builder = PlanBuilder(self.stack, engine, self.operation, self.targets)
        last = self.last.resources if self.last else ()
        places = {r.urn: place_of(r.source_position, self.stack.project_dir) for r in last}
        if self.operation is Operation.REFRESH:
            for step in self._outputs.values():
                _add_refreshed(builder, step, places.get(step.urn, ""))
        else:
            renamed = self._renamed()
            for urn, steps in self._steps.items():
                if urn in renamed and all(s.op in _SECOND for s in steps):
                    continue  # the end of what its alias replaces
                known = registered.get(urn)
                _add(builder, steps, known.source if known else "", places.get(urn, ""))
            self._explain(builder, registered, outputs, renamed)
        for found, address in self._messages:
            builder.add_finding(finding(found, address))
        for found in Targeting(Options(targets=self.targets)).fitting_nothing(
            [*(r.urn for r in last), *registered, *self._steps, *self._outputs]
        ):
            builder.add_finding(finding(found))
        plan = builder.build(material=False)
        material = plan.has_changes or any(c.reason for c in plan.changes)
        return plan.model_copy(update={"applyable": material})

    def _renamed(self) -> dict[str, str]:
        """New URNs by the last ones, of what has an alias."""
        every = (s for steps in self._steps.values() for s in steps)
        return {s.old["urn"]: s.urn for s in every if s.old and s.old["urn"] != s.urn}

    def _explain(
        self,
        builder: PlanBuilder,
        registered: Mapping[str, Registered],
        outputs: Mapping[str, tuple[str, ...]],
        renamed: Mapping[str, str],
    ) -> None:
        """Say what changes of resources that stay the same."""
        states = {renamed.get(r.urn, r.urn): _renamed(r, renamed) for r in (self.last.resources if self.last else ())}
        for urn, steps in self._steps.items():
            step = steps[0]
            if step.op != "same" or not step.old or not step.new:
                continue
            names = ["urn"] if step.old["urn"] != urn else []
            names += [n for n in ("parent", "protect") if _differs(step, n, renamed)]
            if _provider_of(step.old, renamed) != _provider_of(step.new, renamed):
                names.append("provider")
            if urn in states and urn in registered:
                names += states[urn].material_difference(_with_options(states[urn], registered[urn].options))
            builder.explain(urn, options_changed(names))
            end = self._outputs.get(urn)
            moved = outputs.get(urn, ())
            if end is not None and end.old and end.new and not end.new.get("custom"):
                there = changed_outputs(end.old.get("outputs") or {}, end.new.get("outputs") or {})
                moved = tuple(dict.fromkeys((*there, *moved)))
            if moved:
                builder.explain(urn, f"outputs changed: {', '.join(moved)}")


def changed_outputs(before: Properties, after: Properties) -> tuple[str, ...]:
    """Names of outputs that are not the same; what is not known in a preview is no difference by itself."""
    old, new = _without_marks(before), _without_marks(after)
    names = dict.fromkeys([*old, *new])
    return tuple(n for n in names if n not in old or n not in new or not may_equal(old[n], new[n]))


def _without_marks(value: Any) -> Any:
    """*value* without what the SDK adds to exported resources in previews only."""
    if isinstance(value, dict):
        return {k: _without_marks(v) for k, v in value.items() if k != "@isPulumiResource"}
    return [_without_marks(v) for v in value] if isinstance(value, list) else value


def _add(builder: PlanBuilder, steps: Iterable[_Step], source: str, last_source: str) -> None:
    """Record what happens to one resource, to which several steps may belong."""
    steps = list(steps)
    first = next((s for s in steps if s.op not in _SECOND), None)
    if first is None:
        if any(s.op in ("replace", "remove-pending-replace") for s in steps):
            first = replace(steps[0], op="replace")
        else:
            left = steps[0]
            builder.add(
                Action.DELETE,
                left.state(),
                before=_inputs(left.old),
                after=None,
                reason="left over from a replacement",
                leftover=True,
            )
            return
    action = _ACTIONS.get(first.op)
    before, after = _inputs(first.old), _inputs(first.new)
    if action is None:
        reason = f"the Pulumi CLI calls it `{first.op}`, which this version of flowinfra does not know"
        builder.add(Action.UPDATE, first.state(), before=before, after=after, reason=reason, source=source)
        return
    if action is Action.DELETE:
        builder.add(action, first.state(), before=before, after=None, source=last_source)
        return
    changed: tuple[str, ...] = ()
    replaced_by: tuple[str, ...] = ()
    reason = ""
    if action in (Action.UPDATE, Action.REPLACE) and before is not None and after is not None:
        custom = bool((first.new or {}).get("custom"))
        if first.differing or action is Action.UPDATE or not custom:
            changed = detailed(Difference(True, first.differing if custom else ()), before, after)
        else:
            reason = "what it depends on is replaced"
        if action is Action.REPLACE and first.differing:
            replaced_by = first.keys
    if first.op.startswith("import"):
        reason = f"it exists and is imported: {(first.new or {}).get('id') or 'by its id'}"
    if action is Action.CREATE:
        before = None
    builder.add(
        action,
        first.state(),
        before=before,
        after=after,
        changed=changed,
        replaced_by=replaced_by,
        reason=reason,
        source=source,
    )


def _add_refreshed(builder: PlanBuilder, step: _Step, source: str) -> None:
    if is_provider(step.type) or not step.old or not step.old.get("custom"):
        return
    before = _inputs(step.old) or {}
    if step.op == "delete":
        gone = "it does not exist any more"
        builder.add(Action.DELETE, step.state(), before=before, after=None, reason=gone)
        return
    new = step.new or {}
    was, now = step.old.get("outputs") or {}, new.get("outputs") or {}
    after = _inputs(new) or before
    same = equal(was, now) and equal(before, after)
    # What differs in the outputs only, such as what an operator has changed, is shown among the inputs.
    moved = {k for k in {**was, **now} if not equal(was.get(k), now.get(k)) and not k.startswith("__")}
    before = {**before, **{k: v for k, v in was.items() if k in moved}}
    after = {**after, **{k: v for k, v in now.items() if k in moved}}
    builder.add(
        Action.SAME if same else Action.REFRESH,
        step.state(),
        before=before,
        after=after,
        changed=tuple(changed_paths(before, after)),
        source=source,
    )


def _inputs(state: Mapping[str, Any] | None) -> Properties | None:
    return None if state is None else dict(state.get("inputs") or {})


def _provider_of(state: Mapping[str, Any], renamed: Mapping[str, str]) -> str:
    """The provider by its URN; its id is another one in each preview that makes it."""
    urn = str(state.get("provider") or "").rpartition("::")[0]
    return renamed.get(urn, urn)


def _differs(step: _Step, name: str, renamed: Mapping[str, str]) -> bool:
    old, new = (step.old or {}).get(name), (step.new or {}).get(name)
    return (renamed.get(str(old), old) or None) != (new or None)


def _renamed(state: ResourceState, renamed: Mapping[str, str]) -> ResourceState:
    if not renamed:
        return state

    def new(urn: str) -> str:
        return renamed.get(urn, urn)

    return replace(
        state,
        urn=new(state.urn),
        parent=new(state.parent),
        deleted_with=new(state.deleted_with),
        dependencies=tuple(map(new, state.dependencies)),
        property_dependencies={k: list(map(new, v)) for k, v in state.property_dependencies.items()},
    )


def _with_options(state: ResourceState, options: ResourceState) -> ResourceState:
    return replace(state, **{name: getattr(options, name) for name in _OPTIONS})
