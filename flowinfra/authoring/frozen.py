"""JSON values that cannot be changed: what a config is inside a flow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn

from flowinfra.diagnostics import nearest

__all__ = ["ConfigList", "ConfigValue", "frozen", "misfit", "plain"]


def _read_only(*_: Any, **__: Any) -> NoReturn:
    raise TypeError("a config cannot be changed inside a flow; copy it first, e.g. dict(self.config)")


class ConfigValue(dict[str, Any]):
    """An object of a config: a dict whose keys are attributes too, and that cannot be changed.

    A key that is called like a method of dict is read as ``config["items"]``.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"the config has no {name!r} here{nearest(name, self)}: it has {_listed(self)}"
            ) from None

    def __missing__(self, key: object) -> NoReturn:
        raise KeyError(f"the config has no {key!r} here{nearest(str(key), self)}: it has {_listed(self)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return frozen, (plain(self),)

    def to_dict(self) -> dict[str, Any]:
        """A plain copy that can be changed, all levels of it."""
        copied: dict[str, Any] = plain(self)
        return copied

    __setitem__ = __delitem__ = __setattr__ = __delattr__ = __ior__ = _read_only
    clear = pop = popitem = setdefault = update = _read_only


class ConfigList(list[Any]):
    """A list of a config; it cannot be changed."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return frozen, (plain(self),)

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _read_only
    append = clear = extend = insert = pop = remove = reverse = sort = _read_only


def frozen(value: Any) -> Any:
    """A JSON value that cannot be changed, on any level."""
    if isinstance(value, Mapping):
        return ConfigValue({key: frozen(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return ConfigList(frozen(item) for item in value)
    return value


def plain(value: Any) -> Any:
    """The same of plain dicts and lists."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def misfit(value: Any, place: str = "") -> str:
    """Why *value* is no JSON value, and where in it; empty if it is one."""
    here = place or "the value"
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                return f"the key {key!r} of {here} is {type(key).__name__}, and keys are text"
            if found := misfit(item, f"{place}.{key}" if place else key):
                return found
        return ""
    if isinstance(value, (list, tuple)):
        return next((found for i, item in enumerate(value) if (found := misfit(item, f"{place}[{i}]"))), "")
    if isinstance(value, float) and not math.isfinite(value):
        return f"{here} is {value}, for which JSON has no form"
    if value is None or isinstance(value, (bool, int, float, str)):
        return ""
    return f"{here} is {type(value).__name__}, for which JSON has no form"


def _listed(value: Mapping[str, Any]) -> str:
    return ", ".join(str(key) for key in value) or "nothing"
