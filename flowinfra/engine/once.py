"""Doing something once for several threads that need it at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

__all__ = ["Once"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Once(Generic[K, V]):
    """Values by key, each made by whoever asks first; the others wait for it, and for its error, if it has one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[K, Future[V]] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of *key*, made by *make* at the first call."""
        with self._lock:
            known = self._made.get(key)
            mine: Future[V] | None = None
            if known is None:
                known = mine = self._made[key] = Future()
        if mine is not None:
            try:
                mine.set_result(make())
            except BaseException as problem:  # noqa: BLE001 - the future raises it again for all who wait
                mine.set_exception(problem)
        return known.result()
