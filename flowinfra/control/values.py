"""What tasks left: :class:`Artifact`, and the containers ``task.artifacts`` and ``task.data``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from flowinfra.control import missing
from flowinfra.control.listing import check_task
from flowinfra.control.node import InRun
from flowinfra.control.place import Address
from flowinfra.diagnostics import Diagnostic

if TYPE_CHECKING:
    from datetime import datetime

    from flowinfra.control.tasks import Task
    from flowinfra.packaging.store import Store
    from flowinfra.runtime.artifacts import Ref
    from flowinfra.runtime.rundata import CommitValue

__all__ = ["Artifact", "Artifacts", "Data", "DataArtifact", "Shelf", "commit_of"]


def commit_of(task: Address) -> CommitValue | None:
    """The commit of a task; None if it has not ended well."""
    from flowinfra.runtime.rundata import RunData

    flow, run, step, task_id = task.task
    return RunData(task.place.store, flow, run).find_commit(step, task_id)


class Artifact(InRun):
    """A value that a task left."""

    form: ClassVar[str] = "Flow/run/step/task/artifact"

    def __init__(self, pathspec: str | Address, *, store: Store | str | None = None, ref: Ref | None = None) -> None:
        """See :class:`~.node.Node`; *ref* is what its task's commit says of it, where that was read already."""
        super().__init__(pathspec, store=store)
        if ref is not None:
            self.__dict__["_ref"] = ref

    @classmethod
    def check(cls, address: Address) -> None:
        """Raise NotFoundError (FI811 to FI815) if there is no such artifact."""
        check_task(address.up())
        Shelf.of_task(address.up(), commit_of(address.up())).find(address.name, missing.NoSuchKey)

    @cached_property
    def _ref(self) -> Ref:
        task = self._address.up()
        return Shelf.of_task(task, commit_of(task)).find(self.id, missing.NoSuchKey)

    @property
    def data(self) -> Any:
        """The value: fetched, its hash verified, then decoded, each time anew.

        Raises:
            RunError: FI706, it is damaged; FI707, it cannot be decoded here.
        """
        from flowinfra.runtime.artifacts import read_artifact

        place, flow = self._address.place, self._address.parts[0]
        return read_artifact(place.store, flow, self._ref, f"the artifact {self.pathspec}")

    @property
    def parent(self) -> Task:
        """The task that left it."""
        from flowinfra.control.tasks import Task

        return Task(self._address.up())

    @property
    def finished_at(self) -> datetime | None:
        """When its task ended."""
        return self.parent.finished_at

    @property
    def created_at(self) -> datetime | None:
        """When it was written: with the end of its task."""
        return self.finished_at

    @property
    def codec(self) -> str:
        """The form in which it is stored: ``json`` can be read by anyone, ``pickle`` runs code when it is read."""
        return self._ref.codec

    @property
    def sha(self) -> str:
        """The SHA-256 of its bytes."""
        return self._ref.blob

    @property
    def size(self) -> int:
        """Its bytes as they are stored."""
        return self._ref.size

    @property
    def type(self) -> str:
        """The name of its type."""
        return self._ref.type

    @property
    def text(self) -> str:
        """The short text form that its task saved; reading it decodes nothing."""
        return self._ref.text


#: The same class under the name that it has in the field.
DataArtifact = Artifact


@dataclass(frozen=True, slots=True)
class Shelf:
    """The artifacts of one task, and what to say of one that is not there.

    Attributes:
        task: the task, or the run whose result they would be.
        refs: what its commit says; None if it has none.
        absent: the diagnostic for a name that is not there.
    """

    task: Address
    refs: Mapping[str, Ref] | None
    absent: Callable[[str], Diagnostic]

    @classmethod
    def of_task(cls, task: Address, commit: CommitValue | None) -> Shelf:
        """What a task left."""
        refs = None if commit is None else commit.artifacts

        def absent(name: str) -> Diagnostic:
            return missing.no_artifact(task.pathspec, name, sorted(refs or ()), committed=refs is not None)

        return cls(task, refs, absent)

    @property
    def names(self) -> list[str]:
        """What there is, sorted."""
        return sorted(self.refs or ())

    def find(self, name: str, kind: type[missing.NoSuchKey | missing.NoSuchAttribute]) -> Ref:
        """What the commit says of *name*; *kind* is raised if there is no such artifact."""
        if self.refs is None or name not in self.refs:
            raise kind(self.absent(name))
        return self.refs[name]


class Artifacts:
    """The artifacts of one task: by attribute, by key, and in the order of their names."""

    __slots__ = ("_shelf",)

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def __getattr__(self, name: str) -> Artifact:
        if name.startswith("__"):  # asked by copy, pickle and notebooks
            raise AttributeError(name)
        ref = self._shelf.find(name, missing.NoSuchAttribute)
        return Artifact(self._shelf.task.child(name), ref=ref)

    def __getitem__(self, name: str) -> Artifact:
        return Artifact(self._shelf.task.child(name), ref=self._shelf.find(name, missing.NoSuchKey))

    def __contains__(self, name: object) -> bool:
        return name in (self._shelf.refs or ())

    def __iter__(self) -> Iterator[Artifact]:
        return (self[name] for name in self._shelf.names)

    def __len__(self) -> int:
        return len(self._shelf.refs or ())

    def __dir__(self) -> list[str]:
        return self._shelf.names

    def __repr__(self) -> str:
        return f"<artifacts of {self._shelf.task.pathspec}: {', '.join(self._shelf.names) or 'none'}>"


class Data:
    """The values of a task's artifacts, by attribute; each is read when it is first asked for, and kept."""

    __slots__ = ("_shelf", "_values")

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._values: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._values:
            ref = self._shelf.find(name, missing.NoSuchAttribute)
            self._values[name] = Artifact(self._shelf.task.child(name), ref=ref).data
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in (self._shelf.refs or ())

    def __len__(self) -> int:
        return len(self._shelf.refs or ())

    def __dir__(self) -> list[str]:
        return self._shelf.names

    def __repr__(self) -> str:
        return f"<data of {self._shelf.task.pathspec}: {', '.join(self._shelf.names) or 'none'}>"
