"""What ``create()`` is told, checked before anything starts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self, TypedDict

from flowinfra.control.invocation import wrong_type
from flowinfra.control.tagging import LONGEST, MOST
from flowinfra.diagnostics import ConfigurationError, Diagnostic, error, nearest

__all__ = ["Create", "CreateOptions", "shown_token"]

#: How readers write the namespace of a production flow; whoever copies it from there means what is behind it.
_PREFIX: Final = "production:"


class CreateOptions(TypedDict, total=False):
    """What ``create()`` takes.

    * ``authorize``: the production token, where somebody else deployed it last. It is kept for the user.
    * ``generate_new_token``: replace the production token by a new random one.
    * ``given_token``: replace it by this one.
    * ``tags``: put on every run.
    * ``user_namespace``: the namespace in which the client looks inside of runs.
    * ``only_json``: say what would be deployed, as one document, and do nothing else.
    * ``max_workers``: how many tasks of one run may run at once.
    * ``workflow_timeout``: how long one run may take, in seconds.
    * ``deployer_attribute_file``: a file that gets name, flow and metadata of what was deployed, as JSON.
    * ``parameters``: values for the flow's parameters that runs have unless they are given others.
    * ``paused``: nothing starts a run by itself.
    """

    authorize: str | None
    generate_new_token: bool
    given_token: str | None
    tags: list[str] | tuple[str, ...] | None
    user_namespace: str | None
    only_json: bool
    max_workers: int | None
    workflow_timeout: int | None
    deployer_attribute_file: str | os.PathLike[str] | None
    parameters: Mapping[str, Any] | None
    paused: bool


@dataclass(frozen=True, slots=True)
class Create:
    """The same, checked; what was not given is as if it was not there. See :class:`CreateOptions`."""

    authorize: str | None = field(default=None, repr=False)
    generate_new_token: bool = False
    given_token: str | None = field(default=None, repr=False)
    tags: tuple[str, ...] = ()
    user_namespace: str = ""
    only_json: bool = False
    max_workers: int | None = None
    workflow_timeout: int | None = None
    deployer_attribute_file: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    paused: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any], target: str) -> Self:
        """Check what was given to ``create()`` for *target*.

        Raises:
            ConfigurationError: FI852, there is no such option; FI853, a value does not fit; FI892, two of them exclude
                one another. All of them at once.
        """
        found: list[Diagnostic] = []
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name not in _OPTIONS:
                found.append(
                    error(
                        "FI852",
                        f"create() for {target} has no option {name!r}{nearest(name, _OPTIONS)}",
                        detail=f"its options are {', '.join(_OPTIONS)}",
                        hint="leave it out; options that stand before the command are given to Deployer(...)",
                    )
                )
            elif value is not None:
                wanted, reader = _OPTIONS[name]
                try:
                    values[name] = reader(value)
                except (TypeError, ValueError):
                    found.append(wrong_type(name, wanted, value))
        if values.get("generate_new_token") and values.get("given_token"):
            found.append(
                error(
                    "FI892",
                    "a new token is to be generated, and one is given",
                    detail="generate_new_token=True and given_token=... exclude one another",
                    hint="leave one of them out",
                )
            )
        if found:
            raise ConfigurationError(found)
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """For the specification of a program; :meth:`from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What :meth:`to_json` wrote."""
        return cls(**{**document, "tags": tuple(document["tags"])})


def shown_token(value: Any) -> str:
    """A production token as somebody shows it; a ``production:`` in front is left out.

    Raises:
        TypeError: it is no text.
        ValueError: there is nothing in it.
    """
    if not isinstance(value, str):
        raise TypeError
    token = value.strip().removeprefix(_PREFIX)
    if not token:
        raise ValueError
    return token


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _path(value: Any) -> str:
    return str(os.path.abspath(os.fspath(value)))


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    if value < 1:
        raise ValueError
    return value


def _tags(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(tag, str) for tag in value):
        raise TypeError
    if len(value) > MOST or not all(1 <= len(tag) <= LONGEST for tag in value):
        raise ValueError
    return tuple(value)


def _json_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise TypeError

    def plain(item: Any) -> Any:
        if hasattr(item, "isoformat"):
            return item.isoformat()
        raise TypeError

    loaded: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False, default=plain))
    return loaded


_OPTIONS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "authorize": ("a production token", shown_token),
    "generate_new_token": ("True or False", _bool),
    "given_token": ("a production token", shown_token),
    "tags": (f"a list of at most {MOST} texts of 1 to {LONGEST} characters", _tags),
    "user_namespace": ("a text", _text),
    "only_json": ("True or False", _bool),
    "max_workers": ("a whole number above 0", _count),
    "workflow_timeout": ("a whole number of seconds above 0", _count),
    "deployer_attribute_file": ("a path", _path),
    "parameters": ("a mapping of names to JSON values", _json_object),
    "paused": ("True or False", _bool),
}
