"""What a flow object reads and notes while one step runs: artifacts of its parents, inputs of a join, the transition."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.settings import caller
from flowinfra.diagnostics import RunError, Source, error, nearest
from flowinfra.runtime.artifacts import Artifacts, Ref, is_immutable, read_artifact
from flowinfra.runtime.lineage import Item, Lineage, TaskRef
from flowinfra.runtime.rundata import RunData

__all__ = ["InputView", "Inputs", "Noted", "TaskState", "changed_values", "item_value", "unambiguous"]


@dataclass(frozen=True, slots=True)
class Noted:
    """The arguments of ``self.next`` at run time, as names of steps."""

    to: tuple[str, ...] | Mapping[str, str]
    foreach: str | None = None
    condition: str | None = None


@dataclass(slots=True)
class _Loaded:
    """An artifact that was read from the parents."""

    value: Any
    ref: Ref


class InputView:
    """One of the inputs of a join: the artifacts of one branch or item, each loaded when it is asked for."""

    def __init__(self, data: RunData, lineage: Lineage, ref: TaskRef) -> None:
        self._data = data
        self._lineage = lineage
        self._ref = ref
        self._artifacts: Artifacts | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        artifacts = self._loaded()
        if name in artifacts:
            return artifacts[name]
        if name in ("index", "input"):
            item = self._lineage.item(*self._ref)
            if name == "index" or item is None:
                return None if item is None else item.index
            return item_value(self._data, item)
        raise AttributeError(
            f"the input from {self._ref.step}/{self._ref.task} has no {name!r}{nearest(name, artifacts)}: "
            f"it has {', '.join(sorted(artifacts)) or 'nothing'}"
        )

    def __dir__(self) -> list[str]:
        return sorted(self._loaded())

    def __repr__(self) -> str:
        return f"<input from {self._ref.step}/{self._ref.task}>"

    def _loaded(self) -> Artifacts:
        if self._artifacts is None:
            refs = self._data.commit(*self._ref).artifacts
            self._artifacts = Artifacts(self._data.store, self._data.flow, refs)
        return self._artifacts


class Inputs(Sequence[InputView]):
    """The inputs of a join, in the order of the branches or items.

    ``inputs[0]``, ``len(inputs)`` and iteration work for every join; ``inputs.<step>`` is the branch that ended with
    that step. A view is made when it is asked for and not kept, so that ten thousand inputs need the memory of one.
    """

    def __init__(self, data: RunData, lineage: Lineage, parents: Sequence[TaskRef], opener: TaskRef) -> None:
        self._data = data
        self._lineage = lineage
        self._parents = parents
        self._opener = opener

    def __len__(self) -> int:
        return len(self._parents)

    @overload
    def __getitem__(self, index: int) -> InputView: ...

    @overload
    def __getitem__(self, index: slice) -> list[InputView]: ...

    def __getitem__(self, index: int | slice) -> InputView | list[InputView]:
        if isinstance(index, slice):
            return [self._view(ref) for ref in self._parents[index]]
        return self._view(self._parents[index])

    def __iter__(self) -> Iterator[InputView]:
        return (self._view(ref) for ref in self._parents)

    def __getattr__(self, name: str) -> InputView:
        if name.startswith("_"):
            raise AttributeError(name)
        steps = [ref.step for ref in self._parents] if len(self._parents) <= 1000 else []
        if steps.count(name) == 1:
            return self._view(self._parents[steps.index(name)])
        if name in steps:
            raise AttributeError(
                f"{len(steps)} inputs come from the step {name!r}: use inputs[0] to inputs[{len(steps) - 1}]"
            )
        raise AttributeError(
            f"no input comes from a step {name!r}{nearest(name, steps)}: "
            f"they come from {', '.join(dict.fromkeys(steps)) or 'the items of a foreach'}"
        )

    def __repr__(self) -> str:
        return f"<{len(self)} inputs>"

    def _view(self, ref: TaskRef) -> InputView:
        return InputView(self._data, self._lineage, ref)


@dataclass(slots=True)
class TaskState:
    """The state behind the flow object of one task; implements ``authoring.flowspec.TaskState``.

    Attributes:
        data: the run.
        lineage: of the run's program.
        step: the step.
        task: the task's id.
        parents: the tasks before this one.
        base: what the step starts from: the artifacts of its one parent; of a join, the parameters.
        merged: what ``merge_artifacts`` has taken over.
        noted: the transition that the step has asked for.
        noted_at: where in the flow's source it did so.
    """

    data: RunData
    lineage: Lineage
    step: str
    task: str
    parents: Sequence[TaskRef]
    base: Mapping[str, Ref]
    merged: dict[str, Ref] = field(default_factory=dict)
    noted: Noted | None = None
    noted_at: Source | None = None
    loaded: dict[str, _Loaded] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    """Values that need no loading: in the first task, the parameters."""

    @property
    def index(self) -> int | None:
        """Which item of the innermost foreach this task is for; None outside one."""
        item = self.lineage.item(self.step, self.task)
        return None if item is None else item.index

    @property
    def input(self) -> Any:
        """That item; None outside a foreach."""
        item = self.lineage.item(self.step, self.task)
        return None if item is None else item_value(self.data, item)

    @property
    def inputs(self) -> Inputs:
        """What a join is called with."""
        return Inputs(self.data, self.lineage, self.parents, self.lineage.opener(self.step, self.task))

    def load(self, name: str) -> Any:
        """The artifact or parameter *name*, as the tasks before left it.

        Raises:
            AttributeError: there is none.
            RunError: it cannot be decoded.
        """
        if name in self.given:
            return self.given[name]
        if name in self.loaded:
            return self.loaded[name].value
        ref = None if name.startswith("_") else self.merged.get(name, self.base.get(name))
        if ref is None:
            raise AttributeError(self._missing(name))
        value = read_artifact(self.data.store, self.data.flow, ref, f"the artifact {name}")
        self.loaded[name] = _Loaded(value, ref)
        return value

    def next(
        self,
        to: tuple[str, ...] | Mapping[str, str],
        foreach: str | None = None,
        condition: str | None = None,
    ) -> None:
        """Note the transition that the step asks for.

        Raises:
            RunError: FI702, it has asked for one before.
        """
        if self.noted is not None:
            raise RunError(
                error(
                    "FI702",
                    f"the step {self.step} calls self.next twice",
                    detail="a step has one transition, which was read from its source when the flow was compiled",
                    hint='to choose at run time write self.next({"yes": self.a, "no": self.b}, condition="answer")',
                )
            )
        self.noted = Noted(to, foreach, condition)
        self.noted_at = caller()

    def merge(self, flow: FlowSpec, inputs: Any, include: Sequence[str], exclude: Sequence[str]) -> None:
        """Take over the artifacts on which all *inputs* agree, by their hashes: nothing is loaded.

        What the step has set itself stays. Of a foreach over nothing, what was there before it is taken over.

        Raises:
            RunError: FI708, inputs disagree on artifacts (all of them are named); FI709, it is used in the wrong way.
        """
        if include and exclude:
            raise RunError(_misused("it takes include or exclude, not both", "give the shorter one of the two lists"))
        views: Iterable[Any] = inputs if isinstance(inputs, (Inputs, list, tuple)) else [inputs]
        if not isinstance(inputs, Inputs) and not all(isinstance(view, InputView) for view in views):
            raise RunError(
                _misused(
                    "it needs the inputs of a join", "call self.merge_artifacts(inputs) with what the join is given"
                )
            )
        own = {name for name in flow.__dict__ if name not in self.loaded}
        merge = _Merge(frozenset(include), frozenset(exclude) | own)
        for view in views:
            merge.add(self.data.commit(*view._ref).artifacts)
        if isinstance(inputs, Inputs) and not inputs:
            merge.add(self.data.commit(*inputs._opener).artifacts)
        missing = [name for name in include if name not in merge.first and name not in own]
        if merge.conflicts:
            names = ", ".join(f"self.{name}" for name in sorted(merge.conflicts))
            raise RunError(
                error(
                    "FI708",
                    f"the inputs of {self.step} disagree on {names}",
                    detail="merge_artifacts takes over what is the same in all inputs that have it",
                    hint="set each of them in the join before you call merge_artifacts, or name them in exclude=[...]",
                )
            )
        if missing:
            raise RunError(
                _misused(f"no input has {', '.join(missing)}", "name only artifacts that an input has in include=[...]")
            )
        self.merged.update(merge.first)

    def _missing(self, name: str) -> str:
        known = sorted({*self.base, *self.merged, *self.given})
        text = f"self.{name} is not set: no step before {self.step} has left an artifact {name!r}{nearest(name, known)}"
        if self.lineage.joins(self.step):
            text += (
                f"; {self.step} joins, so artifacts come by inputs: read inputs[i].{name}, "
                "or call self.merge_artifacts(inputs) first"
            )
        return text


@dataclass(slots=True)
class _Merge:
    """Artifacts of several commits, by hash."""

    include: frozenset[str]
    exclude: frozenset[str]
    first: dict[str, Ref] = field(default_factory=dict)
    conflicts: set[str] = field(default_factory=set)

    def add(self, artifacts: Mapping[str, Ref]) -> None:
        for name, ref in artifacts.items():
            if name in self.exclude or (self.include and name not in self.include):
                continue
            if self.first.setdefault(name, ref).blob != ref.blob:
                self.conflicts.add(name)


def unambiguous(data: RunData, parents: Iterable[TaskRef]) -> dict[str, Ref]:
    """The artifacts on which all *parents* agree; the others are left out."""
    merge = _Merge(frozenset(), frozenset())
    for parent in parents:
        merge.add(data.commit(*parent).artifacts)
    return {name: ref for name, ref in merge.first.items() if name not in merge.conflicts}


def item_value(data: RunData, item: Item) -> Any:
    """The item of a foreach, out of the list that its decider has left."""
    commit = data.kept_commit(*item.decider)
    name = f"item {item.index} of {item.attribute}"
    if commit.items:
        chunk = commit.items[item.index // commit.items_each]
        position = item.index % commit.items_each
    else:
        chunk, position = commit.artifacts[item.attribute], item.index
    return read_artifact(data.store, data.flow, chunk, name)[position]


def changed_values(
    flow: FlowSpec, state: TaskState, parameters: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Ref]]:
    """After a step: the values that have to be encoded, and the artifacts that are taken over as they are.

    A loaded value that is still the same immutable object keeps its hash; one that was deleted is dropped. The
    *parameters* are taken over in any case.
    """
    attributes = {
        name: value for name, value in flow.__dict__.items() if not name.startswith("_") and name not in parameters
    }
    kept = {**state.base, **state.merged}
    values: dict[str, Any] = {}
    for name, value in attributes.items():
        loaded = state.loaded.get(name)
        if loaded is not None and loaded.value is value and is_immutable(value):
            kept[name] = loaded.ref
        else:
            values[name] = value
            kept.pop(name, None)
    for name in state.loaded:
        if name not in attributes and name not in parameters:
            kept.pop(name, None)
    return values, kept


def _misused(why: str, hint: str) -> Any:
    return error("FI709", f"self.merge_artifacts: {why}", hint=hint)
