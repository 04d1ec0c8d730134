"""What all objects of the client have in common: a pathspec, a place, and equality by both."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from flowinfra.control import missing
from flowinfra.control.place import Address, Place

if TYPE_CHECKING:
    from flowinfra.packaging.store import Store

__all__ = ["Node"]


class Node:
    """Something with a pathspec."""

    #: How its pathspec is written.
    form: ClassVar[str]

    _address: Address

    def __init__(self, pathspec: str | Address, *, store: Store | str | None = None) -> None:
        """The object that *pathspec* names.

        Args:
            pathspec: from the flow downwards, parts separated by ``/``. An :class:`~.place.Address` is taken as it is:
                it comes from a listing, so nothing is read.
            store: where to read; by default the store of the project in whose folder one stands.

        Raises:
            NotFoundError: FI811 to FI816, there is no such object; the message says what there is.
        """
        if isinstance(pathspec, Address):
            self._address = pathspec
            return
        parts = tuple(pathspec.split("/"))
        if len(parts) != self.form.count("/") + 1 or not all(parts) or {".", ".."} & set(parts):
            raise missing.NoSuchKey(missing.bad_pathspec(pathspec, self.form))
        self._address = Address(Place.open(store), parts)
        self.check(self._address)

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

    @property
    def id(self) -> str:
        """The last part of the pathspec."""
        return self._address.name

    @property
    def pathspec(self) -> str:
        """The name of this object from the flow downwards."""
        return self._address.pathspec

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.pathspec!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node) or type(other) is not type(self):
            return NotImplemented
        mine, its = self._address, other._address
        return mine.parts == its.parts and mine.place.store.url == its.place.store.url

    def __hash__(self) -> int:
        return hash((type(self), self._address.parts))
