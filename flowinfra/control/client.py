"""Reading runs: :class:`Flows`, :class:`Flow`, :class:`Run`, :class:`Step`, :class:`Task` and :class:`Artifact`.

::

    run = Flow("Census").latest_run
    print(run.state, run.data.total)
    for task in run["count"]:
        print(task.index, task.data.size, task.stdout)

Each object is a name and a place; what it tells is read when it is asked for. What can still change is asked for again
each time, what cannot (a commit, a terminal marker) is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from flowinfra.control import missing
from flowinfra.control.listing import check_flow, check_run, check_step, last_steps, release_of, step_names
from flowinfra.control.namespaces import NotInNamespace, get_namespace, not_in
from flowinfra.control.node import InRun, Node
from flowinfra.control.place import Address, Place, Standing, local_time
from flowinfra.control.tagging import change_tags
from flowinfra.control.tasks import Step, Task, failure_of
from flowinfra.control.values import Artifact, Artifacts, Data, DataArtifact, Shelf
from flowinfra.model.states import FINAL, RunState
from flowinfra.wire import RunDocument, step_prefix

if TYPE_CHECKING:
    from flowinfra.control.code import Code
    from flowinfra.packaging.store import Store
    from flowinfra.runtime.failures import TaskFailure

__all__ = ["Artifact", "Artifacts", "Data", "DataArtifact", "Flow", "Flows", "Run", "Step", "Task"]


class Flows:
    """The flows that have run: iterate it, or ``Flows()["Census"]``.

    One listing; with a namespace, the newest runs of each flow are looked at until one is in it.
    """

    def __init__(self, *, store: Store | str | None = None) -> None:
        """The flows in *store*, by default that of the project in whose folder one stands."""
        self._place = Place.open(store)

    @property
    def flows(self) -> list[Flow]:
        """All of them, by name."""
        return list(self)

    def __iter__(self) -> Iterator[Flow]:
        for name in self._place.flows():
            flow = Flow(Address(self._place, (name,)))
            if flow.is_in_namespace():
                yield flow

    def __getitem__(self, name: str) -> Flow:
        return Flow(name, store=self._place.store)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(flow.id == name for flow in self)

    def __repr__(self) -> str:
        return f"Flows(store={self._place.store.url!r})"


class Flow(Node):
    """A flow that has run: iterate it for its runs, newest first.

    A listing of the index, read as far as one iterates; no run itself is read. With a namespace, which is that of the
    context in which this object was made, each run's tags are read too.
    """

    form: ClassVar[str] = "Flow"

    def __init__(self, pathspec: str | Address, *, store: Store | str | None = None) -> None:
        """See :class:`~.node.Node`."""
        self._namespace = get_namespace()
        super().__init__(pathspec, store=store)

    @classmethod
    def check(cls, address: Address) -> None:
        """Raise NotFoundError (FI812) if no run of the flow is there."""
        check_flow(address)

    def _check_namespace(self, name: str | None) -> None:
        if name is not None and next(self._seen(name), None) is None:
            raise not_in(name, self.pathspec, None)

    def _seen(self, namespace: str | None) -> Iterator[Run]:
        for entry in self._address.place.index(self.id):
            run = Run(self._address.child(entry.run), started_ms=entry.started_ms)
            if namespace is None or namespace in run.tags:
                yield run

    @property
    def parent(self) -> None:
        """Nothing: a flow is at the top."""
        return

    def __iter__(self) -> Iterator[Run]:
        return self._seen(self._namespace)

    def runs(self, *tags: str) -> Iterator[Run]:
        """The runs that have all of *tags*, newest first; the tags are read of each that one looks at."""
        for run in self:
            if not tags or run.tags.issuperset(tags):
                yield run

    def __getitem__(self, run: str) -> Run:
        address = self._address.child(run)
        check_run(address)
        found = Run(address)
        found._check_namespace(self._namespace)
        return found

    def __contains__(self, run: object) -> bool:
        if not isinstance(run, str):
            return False
        try:
            return bool(self[run].id)
        except (missing.NoSuchKey, NotInNamespace):
            return False

    @property
    def latest_run(self) -> Run | None:
        """The run that was started last."""
        return next(iter(self), None)

    @property
    def latest_successful_run(self) -> Run | None:
        """The run that was started last among those that succeeded; reads the markers of the runs after it."""
        return next((run for run in self if run.successful), None)


class Run(InRun):
    """One run of a flow: iterate it for its steps, newest first."""

    form: ClassVar[str] = "Flow/run"

    _ended: Standing | None = None

    def __init__(
        self, pathspec: str | Address, *, store: Store | str | None = None, started_ms: int | None = None
    ) -> None:
        """See :class:`~.node.Node`; *started_ms* is when it was started, where a listing has told it already."""
        super().__init__(pathspec, store=store)
        self._started_ms = started_ms

    @classmethod
    def check(cls, address: Address) -> None:
        """Raise NotFoundError (FI811, FI812) if there is no such run."""
        check_run(address)

    # -- what is known about it -----------------------------------------------------------------------------------

    @property
    def standing(self) -> Standing:
        """How it stands, read once for all that is told of it: state, end and failure."""
        if self._ended is not None:
            return self._ended
        flow, run = self._address.parts
        found = self._address.place.standing(flow, run)
        if found.state in FINAL:
            self._ended = found
        return found

    @property
    def state(self) -> RunState:
        """Where it stands: its terminal marker says it, else the queue of the project, else it is ``UNKNOWN``."""
        return self.standing.state

    @property
    def state_text(self) -> str:
        """The state in words; of an unknown one, since when."""
        return self.words(self.standing)

    def words(self, found: Standing) -> str:
        """How it stood when *found* was read, in words."""
        if found.state is not RunState.UNKNOWN:
            return str(found.state.value)
        seen = self.created_at if found.seen_ms is None else local_time(found.seen_ms)
        return f"unknown since {seen:%Y-%m-%d %H:%M:%S}"

    @property
    def finished(self) -> bool:
        """Whether it has run to its end; a run that failed or was stopped has not (its :attr:`state` says so)."""
        return self.state is RunState.SUCCEEDED

    @property
    def successful(self) -> bool:
        """Whether it has run to its end, and its last step did not fail and was caught."""
        end = self.end_task if self.finished else None
        return end is not None and end.successful

    @property
    def failure(self) -> TaskFailure | None:
        """Why it failed: the failure of the task that ended it; None if it did not fail."""
        return failure_of(self.standing.error)

    @property
    def created_at(self) -> datetime:
        """When it was started."""
        return local_time(self._run_document[RunDocument.STARTED] if self._started_ms is None else self._started_ms)

    @property
    def finished_at(self) -> datetime | None:
        """When it ended, however it did; None before."""
        found = self.standing
        return None if found.ended_ms is None else local_time(found.ended_ms)

    @property
    def parent(self) -> Flow:
        """Its flow."""
        return Flow(self._address.up())

    @property
    def release(self) -> str:
        """The digest of the release that it is pinned to: its graph, its code and what it was made from."""
        return str(self._run_document[RunDocument.RELEASE])

    @property
    def code(self) -> Code:
        """The code that it runs."""
        from flowinfra.control.code import Code

        return Code(self._address, self.release)

    @property
    def trigger(self) -> None:
        """The event that started it: None, as people and programs start the runs of every target that there is."""
        return

    @property
    def deployment(self) -> str | None:
        """The full name of the deployment that it is a run of; None for a run without one."""
        return self._run_document.get(RunDocument.DEPLOYMENT)

    @property
    def user_name(self) -> str | None:
        """Who started it, as far as that is recorded."""
        return self._run_document.get(RunDocument.USER)

    @property
    def stack(self) -> str | None:
        """The stack that its deployment belongs to; None for a run without one."""
        path = str(self._run_document.get(RunDocument.ADDRESS) or "").partition(":")[2].split("/")
        return path[1] if len(path) > 1 else None

    # -- its tags -------------------------------------------------------------------------------------------------

    def add_tag(self, tag: str | Iterable[str]) -> None:
        """Give it a tag; raises as :meth:`replace_tags`."""
        self.replace_tags((), tag)

    def add_tags(self, tags: str | Iterable[str]) -> None:
        """Give it several tags at once; raises as :meth:`replace_tags`."""
        self.replace_tags((), tags)

    def remove_tag(self, tag: str | Iterable[str]) -> None:
        """Take a tag away; nothing happens if it has none such. Raises as :meth:`replace_tags`."""
        self.replace_tags(tag, ())

    def remove_tags(self, tags: str | Iterable[str]) -> None:
        """Take several tags away at once; raises as :meth:`replace_tags`."""
        self.replace_tags(tags, ())

    def replace_tag(self, tag_to_remove: str | Iterable[str], tag_to_add: str | Iterable[str]) -> None:
        """Take one tag away and give another, as one change; raises as :meth:`replace_tags`."""
        self.replace_tags(tag_to_remove, tag_to_add)

    def replace_tags(self, tags_to_remove: str | Iterable[str], tags_to_add: str | Iterable[str]) -> None:
        """Take some tags away and give others, as one change: whoever reads sees all of it or nothing.

        Whoever changes tags at the same time, in whatever process, loses nothing. What is both removed and added is there.

        Raises:
            ControlError: FI875, no run can have such a tag, or so many; FI876, a system tag cannot be removed; FI879,
                others have changed the tags all the time.
        """
        change_tags(self._address, self._run_document, remove=tags_to_remove, add=tags_to_add)

    # -- what is inside -------------------------------------------------------------------------------------------

    def steps(self, *tags: str) -> Iterator[Step]:
        """The steps that have begun, newest first: against the order of the flow; none if it has not all of *tags*."""
        if tags and not self.tags.issuperset(tags):
            return
        for name in reversed(step_names(self._address, self._release)):
            yield Step(self._address.child(name))

    def __iter__(self) -> Iterator[Step]:
        return self.steps()

    def __getitem__(self, step: str) -> Step:
        address = self._address.child(step)
        check_step(address)
        return Step(address)

    def __contains__(self, step: object) -> bool:
        return isinstance(step, str) and Step.at(self._address.child(step))

    @property
    def end_task(self) -> Task | None:
        """The task of the last step, once it has begun."""
        begun = set(self._address.place.store.folders(step_prefix(*self._address.parts)))
        steps = [Step(self._address.child(name)) for name in last_steps(self._release) if name in begun]
        tasks = [step.task for step in steps]
        return next((task for task in tasks if task.finished), tasks[0] if tasks else None)

    @property
    def data(self) -> Data:
        """The artifacts of the last step: ``run.data.x``; nothing as long as there is no result."""
        return Data(self._result)

    @property
    def artifacts(self) -> Artifacts:
        """The artifacts of the last step as objects: ``run.artifacts.x.size``."""
        return Artifacts(self._result)

    @property
    def _result(self) -> Shelf:
        end = self.end_task
        if end is not None and end.finished:
            return end.shelf
        return Shelf(self._address, None, lambda _: missing.no_data(self.pathspec, self.state_text))

    @cached_property
    def _release(self) -> dict[str, Any]:
        return release_of(self._address, self._run_document)
