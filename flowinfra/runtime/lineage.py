"""Where a step stands in its flow, and all that follows from it: parents, decisions, the end of the run.

Nothing is handed from task to task: a task finds its parents from its own id, the blocks in its release, and the
control files that deciding tasks have left. The functions here are pure but for two readers that they are given.

The program is the plain JSON of :class:`flowinfra.model.program.Program`: a table of sequences of blocks, of which the
first is the flow. An index over it is made once, in time linear in the number of blocks; a look-up then costs time
linear in the depth at which the step stands, and nothing recurses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, overload

from flowinfra.diagnostics import RunError, error
from flowinfra.wire import child_id, iteration_id, parse_task_id

__all__ = ["Block", "Decision", "Item", "Lineage", "ReadControl", "ReadLast", "TaskRef", "steps_in_order"]

Block: TypeAlias = Mapping[str, Any]

#: Read the control value that (step, task) has left.
ReadControl: TypeAlias = Callable[[str, str], Any]

#: Read which iteration was the last one of the loop that *step* decides and that was entered with the id *task*.
ReadLast: TypeAlias = Callable[[str, str], int]


class TaskRef(NamedTuple):
    """A task: its step and its id."""

    step: str
    task: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What a step decides for the orchestrator; steps of the kind ``none`` write no control file."""

    kind: Literal["none", "foreach", "switch", "loop"] = "none"
    attribute: str = ""
    """The artifact that holds the items or the case."""
    cases: tuple[str, ...] = ()
    """All cases of a switch or loop, sorted."""
    again: frozenset[str] = frozenset()
    """Those of a loop that repeat it."""


@dataclass(frozen=True, slots=True)
class Item:
    """The item of a foreach that a task is for."""

    decider: TaskRef
    attribute: str
    index: int


@dataclass(frozen=True, slots=True)
class _Owner:
    """The block that a sequence belongs to, and as what."""

    sequence: int
    position: int
    role: Literal["branch", "item", "case", "body", "exit"]


class Lineage:
    """The index over one program.

    Args:
        program: ``{"sequences": [[block, ...], ...]}`` as a release holds it.
    """

    def __init__(self, program: Mapping[str, Any]) -> None:
        self.sequences: Sequence[Sequence[Block]] = program["sequences"]
        self._places: dict[str, tuple[int, int]] = {}
        self._owners: dict[int, _Owner] = {}
        for number, blocks in enumerate(self.sequences):
            for position, block in enumerate(blocks):
                if block["kind"] in ("task", "driver"):
                    self._places[block["step"]] = (number, position)
                for inner, role in _inner(block):
                    self._owners[inner] = _Owner(number, position, role)
        self._parts = self._count_parts()

    def _count_parts(self) -> dict[int, int]:
        """By sequence: how many parts the id of a task in it has behind the leading 0."""
        parts = {0: 0}
        todo = [0]
        while todo:
            number = todo.pop()
            for block in self.sequences[number]:
                for inner, role in _inner(block):
                    if inner not in parts:  # cases may share a sequence
                        parts[inner] = parts[number] + (role in ("item", "body"))
                        todo.append(inner)
        return parts

    # -- where steps stand ----------------------------------------------------------------------------------------

    def check(self, step: str, task: str) -> None:
        """Refuse a task that the program cannot have.

        Raises:
            RunError: FI722, there is no such step, or the id has not the parts of one that stands where the step does.
        """
        if step not in self._places:
            raise RunError(
                error(
                    "FI722",
                    f"the release has no step {step!r}",
                    hint="the orchestrator's definition and the release do not belong together: deploy again",
                )
            )
        wanted = self._separators(step)
        try:
            found = "".join(separator for separator, _ in parse_task_id(task))
        except ValueError:
            found = "?"
        if wanted != found:
            example = "0" + "".join(f"{separator}0" for separator in wanted)
            raise RunError(
                error(
                    "FI722",
                    f"{task!r} is no id of a task of the step {step}",
                    detail=f"the step's place in the flow makes ids such as {example!r}",
                    hint="the orchestrator's definition and the release do not belong together: deploy again",
                )
            )

    def _separators(self, step: str) -> str:
        out = []
        owner = self._owners.get(self._places[step][0])
        while owner is not None:
            if owner.role in ("item", "body"):
                out.append("." if owner.role == "item" else "-")
            owner = self._owners.get(owner.sequence)
        return "".join(reversed(out))

    def first(self) -> TaskRef:
        """The task with which every run of the program begins."""
        return self._opening(0, "0")

    def joins(self, step: str) -> Literal["split", "foreach"] | None:
        """What *step* joins, if it is a join."""
        number, position = self._places[step]
        before = self.sequences[number][position - 1]["kind"] if position else ""
        return "split" if before == "parallel" else "foreach" if before == "map" else None

    def opener(self, step: str, task: str) -> TaskRef:
        """The task that split what the join *task* of *step* joins."""
        number, position = self._places[step]
        return TaskRef(self.sequences[number][position - 2]["step"], task)

    def item(self, step: str, task: str) -> Item | None:
        """The item of the innermost foreach around *step* that *task* is for."""
        number, _ = self._places[step]
        parts = parse_task_id(task)
        while (owner := self._owners.get(number)) is not None:
            if owner.role == "item":
                outer = self._cut(parts, owner.sequence)
                block = self.sequences[owner.sequence][owner.position]
                decider = self._decider(owner.sequence, owner.position)
                return Item(TaskRef(decider, outer), block["over"], int(parts[self._parts[number] - 1][1]))
            number = owner.sequence
        return None

    # -- decisions ------------------------------------------------------------------------------------------------

    def decides(self, step: str) -> Decision:
        """What *step* decides."""
        number, position = self._places[step]
        blocks = self.sequences[number]
        if position + 1 < len(blocks):
            block = blocks[position + 1]
            if block["kind"] == "map":
                return Decision("foreach", block["over"])
            if block["kind"] == "choice":
                return Decision("switch", block["on"], tuple(sorted(block["cases"])))
            return Decision()
        owner = self._owners.get(number)
        if owner is not None and owner.role == "body":
            block = self.sequences[owner.sequence][owner.position]
            again = frozenset(block["again"])
            return Decision("loop", block["on"], tuple(sorted({*again, *block["exits"]})), again)
        return Decision()

    def loop(self, task: str) -> tuple[str, int]:
        """Of a task that decides a loop: the id with which the loop was entered, and the iteration."""
        outer, _, n = task.rpartition("-")
        return outer, int(n)

    def ends_run(self, step: str, case: str | None = None) -> bool:
        """Whether the run has ended when *step* has; *case* is what it has decided, if it decides."""
        number, position = self._places[step]
        blocks = self.sequences[number]
        if position + 1 < len(blocks):
            block = blocks[position + 1]
            if block["kind"] != "choice" or case is None or self.sequences[block["cases"][case]]:
                return False
            position += 1
        while position == len(self.sequences[number]) - 1:
            owner = self._owners.get(number)
            if owner is None:
                return True
            if owner.role == "body":
                exits = self.sequences[owner.sequence][owner.position]["exits"]
                if case is None or case not in exits or self.sequences[exits[case]]:
                    return False
            number, position = owner.sequence, owner.position
        return False

    # -- parents --------------------------------------------------------------------------------------------------

    def parents(self, step: str, task: str, control: ReadControl, last: ReadLast) -> Sequence[TaskRef]:
        """The tasks whose artifacts *task* of *step* starts from.

        None for the first task, one behind a task, and for a join one per branch or item, in order; those of a foreach
        are looked up as they are asked for.
        """
        number, position = self._places[step]
        parts = parse_task_id(task)
        while not position:
            owner = self._owners.get(number)
            if owner is None:
                return ()
            inside, number, position = number, owner.sequence, owner.position
            if owner.role == "body":
                n = int(parts[self._parts[inside] - 1][1])
                if n:  # the iteration before
                    before = iteration_id(self._cut(parts, number), n - 1)
                    return (TaskRef(self._closing(number, position), before),)
            elif owner.role == "exit":
                decider, path = self._closing(number, position), self._cut(parts, number)
                return (TaskRef(decider, iteration_id(path, last(decider, path))),)
        return self._ends(number, position - 1, self._cut(parts, number), control, last)

    # -- children -------------------------------------------------------------------------------------------------

    def children(self, step: str, task: str, control: Any) -> Sequence[TaskRef]:
        """The tasks that *task* of *step* hands on to, in order: the inverse of :meth:`parents`.

        None behind the last task of the run; a join is a child of each task that it joins.

        Args:
            step: the step.
            task: its id.
            control: what the task has decided, of any use only if it decides.
        """
        number, position = self._places[step]
        path, case = task, control
        while True:
            if position + 1 < len(self.sequences[number]):
                found = self._begin(number, position + 1, path, case)
                if found is not None:
                    return found
                position += 1  # a case without a step: what comes behind the choice
                continue
            owner = self._owners.get(number)
            if owner is None:
                return ()
            if owner.role == "body":
                block = self.sequences[owner.sequence][owner.position]
                outer, n = self.loop(path)
                if case in block["again"]:
                    return (self._opening(number, iteration_id(outer, n + 1)),)
                taken = block["exits"][case]
                if self.sequences[taken]:
                    return (self._opening(taken, outer),)
            number, position = owner.sequence, owner.position
            path = self._cut(parse_task_id(path), number)

    def _begin(self, number: int, position: int, path: str, control: Any) -> Sequence[TaskRef] | None:
        """The first tasks of a block; None if there is none in it. *control* is what the task before it has decided."""
        block = self.sequences[number][position]
        match block["kind"]:
            case "task" | "driver":
                return (TaskRef(block["step"], path),)
            case "parallel":
                return tuple(self._opening(branch, path) for branch in block["branches"])
            case "map":
                body: int = block["body"]
                items = len(control)
                return _Ends(items, lambda i: self._opening(body, child_id(path, i))) if items else None
            case "choice":
                taken = block["cases"][control]
                return (self._opening(taken, path),) if self.sequences[taken] else None
            case _:
                return (self._opening(block["body"], iteration_id(path, 0)),)

    def _opening(self, number: int, path: str) -> TaskRef:
        """The first task of a sequence, which begins with a step or with a loop."""
        while (block := self.sequences[number][0])["kind"] == "loop":
            number, path = block["body"], iteration_id(path, 0)
        return TaskRef(block["step"], path)

    def _ends(self, number: int, position: int, path: str, control: ReadControl, last: ReadLast) -> Sequence[TaskRef]:
        """The tasks that a block hands on."""
        block = self.sequences[number][position]
        match block["kind"]:
            case "task" | "driver":
                return (TaskRef(block["step"], path),)
            case "parallel":
                return tuple(self._end((b, path), control, last) for b in block["branches"])
            case "map":
                items = control(self._decider(number, position), path)
                body: int = block["body"]
                return _Ends(len(items), lambda i: self._end((body, child_id(path, i)), control, last))
            case _:
                return (self._end(self._taken(number, position, path, control, last), control, last),)

    def _end(self, at: tuple[int, str] | TaskRef, control: ReadControl, last: ReadLast) -> TaskRef:
        """The last task of a sequence as it ran under an id."""
        while not isinstance(at, TaskRef):
            number, path = at
            position = len(self.sequences[number]) - 1
            block = self.sequences[number][position]
            if block["kind"] in ("task", "driver"):
                return TaskRef(block["step"], path)
            at = self._taken(number, position, path, control, last)
        return at

    def _taken(
        self, number: int, position: int, path: str, control: ReadControl, last: ReadLast
    ) -> tuple[int, str] | TaskRef:
        """The case of a choice or the exit of a loop that ran; where it is empty, the task that decided."""
        block = self.sequences[number][position]
        if block["kind"] == "choice":
            decider = TaskRef(self._decider(number, position), path)
            taken = block["cases"][control(*decider)]
        else:
            step = self._closing(number, position)
            decider = TaskRef(step, iteration_id(path, last(step, path)))
            taken = block["exits"][control(*decider)]
        return (taken, path) if self.sequences[taken] else decider

    def _decider(self, number: int, position: int) -> str:
        step: str = self.sequences[number][position - 1]["step"]
        return step

    def _closing(self, number: int, position: int) -> str:
        """The step that decides a loop."""
        step: str = self.sequences[self.sequences[number][position]["body"]][-1]["step"]
        return step

    def _cut(self, parts: Sequence[tuple[str, str]], number: int) -> str:
        """The part of a task's id that belongs to the sequence *number* around it."""
        return "0" + "".join(separator + text for separator, text in parts[: self._parts[number]])


class _Ends(Sequence[TaskRef]):
    """The last tasks of the items of a foreach, each looked up when it is asked for and not kept."""

    __slots__ = ("_end", "_size")

    def __init__(self, size: int, end: Callable[[int], TaskRef]) -> None:
        self._size = size
        self._end = end

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> TaskRef: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[TaskRef]: ...

    def __getitem__(self, index: int | slice) -> TaskRef | Sequence[TaskRef]:
        if isinstance(index, slice):
            return [self._end(i) for i in range(self._size)[index]]
        return self._end(range(self._size)[index])


def _inner(block: Block) -> Iterator[tuple[int, Literal["branch", "item", "case", "body", "exit"]]]:
    """The sequences that belong to a block, and as what."""
    match block["kind"]:
        case "parallel":
            for branch in block["branches"]:
                yield branch, "branch"
        case "map":
            yield block["body"], "item"
        case "choice":
            for case in block["cases"].values():
                yield case, "case"
        case "loop":
            yield block["body"], "body"
            for case in block["exits"].values():
                yield case, "exit"
        case _:
            return


def steps_in_order(program: Mapping[str, Any]) -> list[str]:
    """The steps of a program as a reader comes to them: what a block holds stands behind the task that decides it."""
    sequences = program["sequences"]
    found: list[str] = []
    stack: list[Any] = [iter(sequences[0])]
    while stack:
        block = next(stack[-1], None)
        if block is None:
            stack.pop()
        elif "step" in block:
            found.append(block["step"])
        else:
            stack += [iter(sequences[number]) for number in reversed(dict.fromkeys(n for n, _ in _inner(block)))]
    return found
