"""What the ledger of an operation asks of whoever keeps the state (:mod:`flowinfra.engine.saving`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from flowinfra.engine.state.journal import Record
from flowinfra.engine.state.resources import Pending, ResourceState

__all__ = ["Journal", "Picture", "forget"]


@dataclass(frozen=True, slots=True)
class Picture:
    """The whole state at one moment."""

    resources: list[ResourceState]
    """What was registered, then what was not looked at yet."""
    news: int
    """How many of them were registered."""
    olds: list[int]
    """Indices of the others."""
    pending: dict[int, Pending]
    noted: int
    """How many records it comprises."""


class Journal(Protocol):
    """Keeps what happens to a state."""

    def begin(self, picture: Callable[[], Picture]) -> None:
        """Called once, before anything is noted; *picture* shows the state at any later moment."""
        ...

    def note(self, record: Record) -> None:
        """Take *record*; never waits."""
        ...

    def keep(self) -> None:
        """Come back as soon as everything that was noted is safe.

        Raises:
            EngineError: it cannot be written.
        """
        ...


class _Nothing:
    def begin(self, picture: Callable[[], Picture]) -> None:
        pass

    def note(self, record: Record) -> None:
        pass

    def keep(self) -> None:
        pass


#: The journal of a preview.
forget: Final[Journal] = _Nothing()
