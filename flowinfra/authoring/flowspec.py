"""``FlowSpec``: a flow as a class of steps, with its state on ``self``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from flowinfra.authoring.configs import settle
from flowinfra.authoring.invoker import invoke

__all__ = ["FlowSpec", "TaskState"]

_STATE = "_flowinfra"


class TaskState(Protocol):
    """What the runtime gives to the flow object of one task."""

    @property
    def input(self) -> Any:
        """The item of the foreach that this task is for; None outside one."""

    @property
    def index(self) -> int | None:
        """Which item that is, from 0."""

    def load(self, name: str) -> Any:
        """The artifact or parameter *name*, as the tasks before left it; AttributeError if there is none."""

    def next(self, to: tuple[str, ...] | Mapping[str, str], foreach: str | None, condition: str | None) -> None:
        """Note the transition that the step asks for."""

    def merge(self, flow: FlowSpec, inputs: Any, include: Sequence[str], exclude: Sequence[str]) -> None:
        """Take over the artifacts on which all *inputs* agree."""


class FlowSpec:
    """The base of every flow.

    A subclass has steps (methods with ``@step``), of which ``start`` comes first and ``end`` last, and parameters. What
    a step sets on ``self`` is an artifact: the steps behind it, and clients, can read it.

    ``MyFlow()`` at the end of a flow file, under ``if __name__ == "__main__":``, gives the file a command line.
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        settle(cls)

    def __init__(self) -> None:
        invoke(type(self))

    def __getattr__(self, name: str) -> Any:
        state = self.__dict__.get(_STATE)
        if state is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = state.load(name)
        self.__dict__[name] = value
        return value

    @property
    def input(self) -> Any:
        """Inside a foreach: the item that this task is for."""
        return self._state.input

    @property
    def index(self) -> int | None:
        """Inside a foreach: which item that is, from 0."""
        return self._state.index

    @property
    def _state(self) -> TaskState:
        state: TaskState | None = self.__dict__.get(_STATE)
        if state is None:
            raise RuntimeError("this is only there while a step runs")
        return state

    def next(
        self,
        *to: Callable[..., Any] | Mapping[str, Callable[..., Any]],
        foreach: str | None = None,
        condition: str | None = None,
        max_concurrency: int | None = None,
    ) -> None:
        """Say what comes after this step; every step but ``end`` does so exactly once.

        ``self.next(self.a)`` goes on; ``self.next(self.a, self.b)`` splits; ``self.next(self.a, foreach="xs")`` runs
        ``a`` once per item of ``self.xs``; ``self.next({"yes": self.a, "no": self.b}, condition="answer")`` goes to the
        step that ``self.answer`` names, which may be an earlier one: a loop.

        The arguments are read from the source before anything runs, so they are written out, not computed.

        Args:
            to: steps, as ``self.<name>``; or one dict of cases.
            foreach: the name of the attribute that holds the items.
            condition: the name of the attribute that holds the case, as text.
            max_concurrency: how many items may be worked on at once.
        """
        if len(to) == 1 and isinstance(to[0], Mapping):
            self._state.next({str(case): step.__name__ for case, step in to[0].items()}, foreach, condition)
        else:
            self._state.next(tuple(getattr(step, "__name__", str(step)) for step in to), foreach, condition)

    def merge_artifacts(self, inputs: Any, exclude: Iterable[str] = (), include: Iterable[str] = ()) -> None:
        """In a join: take over the artifacts on which all inputs agree; what this step has set itself stays.

        Args:
            inputs: the join's ``inputs``.
            exclude: artifacts to leave out.
            include: the only artifacts to take over.

        Raises:
            flowinfra.diagnostics.RunError: inputs disagree; the error names every such artifact.
        """
        self._state.merge(self, inputs, tuple(include), tuple(exclude))
