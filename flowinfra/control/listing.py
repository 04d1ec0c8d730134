"""What there is in a run: the names of its steps and tasks in their order, and whether something is there at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from flowinfra.control import missing
from flowinfra.control.place import Address
from flowinfra.wire import RunDocument, parse_task_id, run_key, step_prefix, task_key

__all__ = [
    "attempt_order",
    "attempts_of",
    "check_flow",
    "check_run",
    "check_step",
    "check_task",
    "item_index",
    "last_steps",
    "next_steps",
    "release_of",
    "run_document",
    "step_names",
    "task_ids",
]

_DRIVEN_DIGITS: Final = 32
_FALLBACK_ORDER: Final = 1 << 30


def check_flow(flow: Address) -> None:
    """Raise :class:`~.missing.NoSuchKey` (FI812) if the flow has no run."""
    if next(flow.place.index(flow.name), None) is None:
        raise missing.NoSuchKey(missing.no_flow(flow.name, flow.place.store.url, flow.place.flows()))


def check_run(run: Address) -> None:
    """Raise :class:`~.missing.NoSuchKey` (FI811, FI812) if there is no such run."""
    name, run_id = run.parts
    if run.place.store.exists(run_key(name, run_id, "run.json")):
        return
    check_flow(run.up())
    newest = (entry.run for entry in run.place.index(name))
    raise missing.NoSuchKey(missing.no_run(name, run_id, newest))


def check_step(step: Address) -> None:
    """Raise :class:`~.missing.NoSuchKey` (FI811 to FI813) if no task of the step has begun."""
    flow, run, name = step.parts
    if next(step.place.store.list(step_prefix(flow, run, name)), None) is None:
        check_run(step.up())
        raise missing.NoSuchKey(missing.no_step(step.up().pathspec, name, step_names(step.up())))


def check_task(task: Address) -> None:
    """Raise :class:`~.missing.NoSuchKey` (FI811 to FI814) if the task has not begun."""
    if next(task.place.store.list(task_key(*task.task)), None) is None:
        check_step(task.up())
        raise missing.NoSuchKey(missing.no_task(task.up().pathspec, task.name, task_ids(task.up())))


def run_document(run: Address) -> dict[str, Any]:
    """The run.json of a run."""
    flow, name = run.parts
    document: dict[str, Any] = run.place.store.get_json(run_key(flow, name, "run.json"))
    return document


def release_of(run: Address, document: Mapping[str, Any]) -> dict[str, Any]:
    """The release that a run is pinned to, as plain JSON; *document* is its run.json."""
    return run.place.release(document[RunDocument.RELEASE])


def step_names(run: Address, plan: Mapping[str, Any] | None = None) -> list[str]:
    """The steps of a run that have begun, in the order of the flow; *plan* is its release, where it is known."""
    begun = run.place.store.folders(step_prefix(*run.parts))
    if not begun:
        return []
    known = plan or release_of(run, run_document(run))
    order = {name: at for at, name in enumerate(_in_order(known["program"]["sequences"]))}
    return sorted(begun, key=lambda name: (order.get(name, len(order)), name))


def last_steps(plan: Mapping[str, Any]) -> list[str]:
    """The steps of a release that nothing comes after."""
    return [s["name"] for s in plan["graph"]["steps"] if s.get("next", {}).get("kind", "end") == "end"]


def next_steps(plan: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """By step of a release: those that may come after it."""
    found: dict[str, tuple[str, ...]] = {}
    for step in plan["graph"]["steps"]:
        after = step.get("next", {})
        to = after.get("to", ())
        found[step["name"]] = (to,) if isinstance(to, str) else (*to, *dict.fromkeys(after.get("cases", {}).values()))
    return found


def task_ids(step: Address) -> list[str]:
    """The tasks of a step that have begun, ``0.2`` before ``0.10``."""
    return sorted(step.place.store.folders(step_prefix(*step.parts)), key=_natural)


def item_index(task: str) -> int | None:
    """Which item of the innermost foreach a task is; None outside of any."""
    items = [text for separator, text in parse_task_id(task) if separator == "." and len(text) < _DRIVEN_DIGITS]
    return int(items[-1]) if items else None


def attempts_of(task: Address) -> list[str]:
    """The folders of a task's attempts, in the order in which they were made; the fallback last."""
    return sorted(task.place.store.folders(task_key(*task.task, "attempts")), key=attempt_order)


def attempt_order(folder: str) -> tuple[int, str]:
    """What attempts are sorted by."""
    number = folder.partition("-")[0]
    return (int(number), folder) if number.isdigit() else (_FALLBACK_ORDER, folder)


def _natural(task: str) -> list[tuple[str, int, str]]:
    try:
        parts = parse_task_id(task)
    except ValueError:
        return [("~", 0, task)]
    # The digits of a driven child are hexadecimal: they order as text.
    return [(s, int(text), "") if len(text) < _DRIVEN_DIGITS else (s, 0, text) for s, text in parts]


def _in_order(sequences: Sequence[Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    # The steps as the flow comes to them: a walk over its blocks, without recursion over user input.
    todo = [iter(sequences[0])] if sequences else []
    while todo:
        block = next(todo[-1], None)
        if block is None:
            todo.pop()
            continue
        if "step" in block:
            yield block["step"]
        inside = [*block.get("branches", ()), *block.get("cases", {}).values(), *block.get("exits", {}).values()]
        todo += [iter(sequences[n]) for n in reversed(inside)]
        if "body" in block:
            todo.append(iter(sequences[block["body"]]))
