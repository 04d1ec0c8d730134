"""What all objects of the client have in common: a pathspec, a place, and equality by both."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from flowinfra.control import missing
from flowinfra.control.listing import run_document
from flowinfra.control.namespaces import NotInNamespace, get_namespace, not_in
from flowinfra.control.place import Address, Place
from flowinfra.control.tagging import system_tags, user_tags
from flowinfra.wire import RunDocument

if TYPE_CHECKING:
    from flowinfra.packaging.store import Store

__all__ = ["InRun", "Node"]

_COMPLETIONS = 200


class Node:
    """Something with a pathspec."""

    #: How its pathspec is written.
    form: ClassVar[str]

    #: What of an object goes along when it is pickled, beside its name and the URL of its store.
    _STATE: ClassVar[frozenset[str]] = frozenset({"_chosen", "_namespace", "_started_ms"})

    _address: Address

    def __init__(self, pathspec: str | Address, *, store: Store | str | None = None) -> None:
        """The object that *pathspec* names.

        Args:
            pathspec: from the flow downwards, parts separated by ``/``. An :class:`~.place.Address` is taken as it is:
                it comes from a listing, so nothing is read.
            store: where to read; by default the store of the project in whose folder one stands.

        Raises:
            NotFoundError: FI811 to FI816, there is no such object; the message says what there is.
            NotInNamespace: FI877, it is there, and not in the namespace of this context.
        """
        if isinstance(pathspec, Address):
            self._address = pathspec
            return
        parts = tuple(pathspec.split("/"))
        if len(parts) != self.form.count("/") + 1 or not all(parts) or {".", ".."} & set(parts):
            raise missing.NoSuchKey(missing.bad_pathspec(pathspec, self.form))
        self._address = Address(Place.open(store), parts)
        self.check(self._address)
        self._check_namespace(get_namespace())

    @classmethod
    def check(cls, address: Address) -> None:
        """Raise NotFoundError if there is nothing at *address*."""
        raise AssertionError(address)

    @classmethod
    def at(cls, address: Address) -> bool:
        """Whether there is something at *address*."""
        try:
            cls.check(address)
        except missing.NoSuchKey:
            return False
        return True

    def is_in_namespace(self) -> bool:
        """Whether it is seen in the namespace of this context (:func:`~.namespaces.namespace`)."""
        try:
            self._check_namespace(get_namespace())
        except NotInNamespace:
            return False
        return True

    def _check_namespace(self, name: str | None) -> None:
        """Raise NotInNamespace (FI877) if it is not among what is seen with *name*; None sees everything."""
        raise AssertionError(name)

    @property
    def id(self) -> str:
        """The last part of the pathspec."""
        return self._address.name

    @property
    def pathspec(self) -> str:
        """The name of this object from the flow downwards."""
        return self._address.pathspec

    @property
    def path_components(self) -> list[str]:
        """The parts of the pathspec."""
        return list(self._address.parts)

    def __getstate__(self) -> dict[str, Any]:
        # The name and the store's URL: what is kept in memory, and connections, belong to this process.
        kept = {name: value for name, value in self.__dict__.items() if name in self._STATE}
        return {**kept, "store": self._address.place.store.url, "parts": self._address.parts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({name: value for name, value in state.items() if name in self._STATE})
        self._address = Address(Place.open(state["store"]), state["parts"])

    def _ipython_key_completions_(self) -> list[str]:
        """What ``node["`` can be completed to in a notebook."""
        return [child.id for child in islice(iter(self), _COMPLETIONS)] if isinstance(self, Iterable) else []

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.pathspec!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node) or type(other) is not type(self):
            return NotImplemented
        mine, its = self._address, other._address
        return mine.parts == its.parts and mine.place.store.url == its.place.store.url

    def __hash__(self) -> int:
        return hash((type(self), self._address.parts))


class InRun(Node):
    """A run or something inside of one: it has the run's tags, and comes from where the run comes from."""

    @cached_property
    def _run_document(self) -> dict[str, Any]:
        return run_document(self._address.run)

    @property
    def user_tags(self) -> frozenset[str]:
        """The tags that people gave the run; read each time, as they may be changed."""
        return user_tags(self._address.run, self._run_document)

    @property
    def system_tags(self) -> frozenset[str]:
        """The tags that say where the run comes from: release, deployment and its namespace, target, user, day (UTC)."""
        return system_tags(self._run_document)

    @property
    def tags(self) -> frozenset[str]:
        """All tags of the run."""
        return self.user_tags | self.system_tags

    @property
    def origin_pathspec(self) -> str | None:
        """What it goes on from: the run that its run resumes; None if that resumes none."""
        origin = self._run_document.get(RunDocument.ORIGIN)
        return self._address.run.up().child(origin).pathspec if origin else None

    def _check_namespace(self, name: str | None) -> None:
        if name is not None and name not in self.system_tags and name not in (tags := self.tags):
            raise not_in(name, self.pathspec, tags)
