"""What a step has decided when it returns: its transition, checked against the release, and the control value."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.diagnostics import Diagnostic, RunError, error, nearest
from flowinfra.runtime.artifacts import short_text
from flowinfra.runtime.lineage import Decision
from flowinfra.runtime.taskstate import Noted, TaskState

__all__ = ["Decided", "decide"]


@dataclass(frozen=True, slots=True)
class Decided:
    """What a step has decided.

    Attributes:
        control: for the orchestrator: the indices of a foreach, or the case of a switch or loop.
        items: the items of a foreach, in order.
        listed: the artifact itself is such a list, so that an item can be taken out of it by its index.
    """

    control: Any = None
    items: Sequence[Any] = ()
    listed: bool = True


@runtime_checkable
class _Sized(Protocol):
    def __len__(self) -> int: ...

    def __iter__(self) -> Any: ...


def decide(flow: FlowSpec, state: TaskState, node: Mapping[str, Any], decision: Decision) -> Decided:
    """Check the transition that the step has asked for, and read off what it decides.

    Raises:
        RunError: FI701, it has asked for none; FI702, for another one than the release has; FI703, a foreach over what
            has no items; FI704, a case that the switch does not have.
    """
    _check_transition(state, node)
    if decision.kind == "none":
        return Decided()
    value = _deciding_value(flow, state.step, decision)
    if decision.kind == "foreach":
        return _items(value, state.step, decision.attribute)
    return Decided(_case(value, state.step, decision))


def _check_transition(state: TaskState, node: Mapping[str, Any]) -> None:
    expected, noted = _expected(node), state.noted
    if noted == expected:
        return
    if noted is None:
        raise RunError(
            error(
                "FI701",
                f"the step {state.step} returned without a call of self.next",
                detail=f"its transition is {_shown(expected)}",
                hint="let every way through the step reach self.next; a bare `return` before it is the usual cause",
            )
        )
    raise RunError(
        error(
            "FI702",
            f"the step {state.step} asks for {_shown(noted)}; its release has {_shown(expected)}",
            detail="the transitions of a run are those that were read from the source when it was compiled",
            hint="write the arguments of self.next out in the step, and deploy again if the code has changed",
        )
    )


def _expected(node: Mapping[str, Any]) -> Noted | None:
    following = node.get("next", {"kind": "end"})
    match following["kind"]:
        case "goto":
            return Noted((following["to"],))
        case "split":
            return Noted(tuple(following["to"]))
        case "foreach":
            return Noted((following["to"],), foreach=following["over"])
        case "switch":
            return Noted(dict(following["cases"]), condition=following["on"])
        case _:
            return None


def _shown(noted: Noted | None) -> str:
    if noted is None:
        return "none, it is an end"
    if isinstance(noted.to, Mapping):
        cases = ", ".join(f'"{case}": self.{to}' for case, to in noted.to.items())
        return f'self.next({{{cases}}}, condition="{noted.condition}")'
    steps = ", ".join(f"self.{to}" for to in noted.to)
    return f'self.next({steps}, foreach="{noted.foreach}")' if noted.foreach else f"self.next({steps})"


def _deciding_value(flow: FlowSpec, step: str, decision: Decision) -> Any:
    try:
        return getattr(flow, decision.attribute)
    except AttributeError:
        what = _not_iterable if decision.kind == "foreach" else _no_case
        raise RunError(what(step, decision, "it is not set")) from None


def _items(value: Any, step: str, attribute: str) -> Decided:
    decision = Decision("foreach", attribute)
    if isinstance(value, (str, bytes, bytearray, memoryview)) or not isinstance(value, _Sized):
        raise RunError(
            _not_iterable(step, decision, f"it is of the type {type(value).__qualname__}: {short_text(value)[:80]}")
        )
    listed = type(value) in (list, tuple, range)
    items: Any = value if listed else list(value)  # the order of a set is another one in each process
    return Decided(list(range(len(items))), items, listed)


def _case(value: Any, step: str, decision: Decision) -> str:
    case = value.value if isinstance(value, enum.Enum) else value
    if not isinstance(case, (str, int)) or str(case) not in decision.cases:
        close = nearest(str(case), decision.cases)
        raise RunError(_no_case(step, decision, f"it is {short_text(value)[:80]}{close}"))
    return str(case)


def _not_iterable(step: str, decision: Decision, why: str) -> Diagnostic:
    return error(
        "FI703",
        f"the step {step} starts a foreach over self.{decision.attribute}, which has no items: {why}",
        detail="a foreach runs once per item of a list, a tuple, a set or anything else with a length",
        hint=f"set self.{decision.attribute} to a list before self.next; a generator becomes one by list(...)",
    )


def _no_case(step: str, decision: Decision, why: str) -> Diagnostic:
    return error(
        "FI704",
        f"the step {step} decides by self.{decision.attribute}, which names none of its cases: {why}",
        detail=f"the cases are {', '.join(repr(case) for case in decision.cases)}",
        hint=f"set self.{decision.attribute} to one of them before self.next",
    )
