"""The secrets of a step: fetched in its task before the step runs, from where its release says they are.

A source is a function from a secret's name to its value, or to several values by variable. ``environment`` and ``file``
are here; a package adds others by the entry point group ``flowinfra.secrets``, whose names are what flows say.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from flowinfra.authoring.secrets import Secret, variable_of
from flowinfra.diagnostics import Diagnostic, RunError, error, nearest

__all__ = ["GROUP", "LONGEST", "SecretError", "SecretSource", "read_references", "resolve_secrets"]

#: The group of entry points that name further sources.
GROUP: Final = "flowinfra.secrets"

#: Bytes of one secret; an environment variable holds twice as much on Linux.
LONGEST: Final = 64 * 1024

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SecretSource(Protocol):
    """Where secrets are; what an entry point of the group ``flowinfra.secrets`` names."""

    def __call__(self, name: str, /) -> str | Mapping[str, str]:
        """The value of the secret *name*, or several values by environment variable.

        Raises:
            LookupError: there is none of that name; the task fails for good.
            Exception: it cannot be had now; the attempt fails, and is repeated if the step has retries.
        """
        ...


class SecretError(RunError):
    """Secrets of a step cannot be had: FI740 to FI743. Only where all of it is FI741 a later attempt may have them."""


def read_references(secrets: Iterable[Mapping[str, str]]) -> tuple[Secret, ...]:
    """The secrets of an environment, as a release has them."""
    return tuple(Secret(s["name"], s["source"], s.get("env_var") or None) for s in secrets)


def resolve_secrets(secrets: Iterable[Secret], step: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The values of *secrets* by environment variable.

    Args:
        secrets: what the step needs.
        step: its name, for the messages.
        environ: the environment of the task.

    Raises:
        SecretError: everything that is wrong at once: FI740, there is no such secret; FI741, it cannot be had now;
            FI742, there is no such source; FI743, a value cannot be an environment variable.
    """
    values: dict[str, str] = {}
    found: list[Diagnostic] = []
    known: dict[str, SecretSource] = {"environment": _environment(environ), "file": _file}
    for secret in secrets:
        try:
            if secret.source not in known:
                known[secret.source] = _installed(secret.source)
            value = known[secret.source](secret.name)
        except SecretError as why:
            found += why.diagnostics
        except Exception as why:  # noqa: BLE001 - a source of someone else raises whatever its client raises
            found.append(_not_had(secret, step, why))
        else:
            fetched, problem = _variables(secret, value)
            values |= fetched
            if problem:
                found.append(_unusable(secret, step, problem))
    if found:
        raise SecretError(found)
    return values


def _environment(environ: Mapping[str, str]) -> SecretSource:
    def read(name: str, /) -> str:
        value = environ.get(name, "")
        if not value:
            raise LookupError("the variable is empty" if name in environ else "the variable is not set")
        return value

    return read


def _file(name: str, /) -> str:
    try:
        # As mounted secrets are: one line feed at the end is the editor's.
        data = Path(name).expanduser().read_bytes()
        text = data.decode()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as why:
        raise LookupError(why.strerror or str(why)) from why
    except UnicodeDecodeError as why:
        raise LookupError("it is no UTF-8; give the value in base64") from why
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise LookupError("the file is empty")
    return text


def _installed(source: str) -> SecretSource:
    """The source of a package.

    Raises:
        SecretError: FI742, no package has it, or it cannot be loaded.
    """
    from importlib.metadata import entry_points  # takes longer to import than a task to start

    there = {e.name: e for e in entry_points(group=GROUP)}
    entry = there.get(source)
    names = ["environment", "file", *there]
    why = ""
    if entry is not None:
        try:
            loaded: Callable[..., Any] = entry.load()
        except Exception as failed:  # noqa: BLE001 - importing a package may raise anything
            why = f"{entry.value} cannot be imported: {type(failed).__name__}: {failed}"
        else:
            if callable(loaded):
                return loaded
            why = f"{entry.value} is no function"
    raise SecretError(
        error(
            "FI742",
            f"there is no source of secrets {source!r}{'' if why else nearest(source, names)}",
            detail=why or f"installed here are {', '.join(names)}",
            hint=f"install the package whose entry point {GROUP} has that name where the step runs",
        )
    )


def _variables(secret: Secret, value: object) -> tuple[dict[str, str], str]:
    """The values by variable, and why they cannot be used; empty if they can."""
    several = isinstance(value, Mapping)
    if several and secret.env_var:
        return {}, f"it has several values, which do not fit into {secret.env_var}; leave env_var out"
    given: dict[Any, Any] = dict(value) if isinstance(value, Mapping) else {variable_of(secret): value}
    for name, text in given.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name) or name.startswith("FLOWINFRA_"):
            return {}, f"{name!r} is no name of an environment variable"
        if not isinstance(text, str):
            return {}, f"its value is a {type(text).__name__} and no text"
        if not text:
            return {}, "its value is empty"
        if "\0" in text:
            return {}, "its value has a zero in it; give it in base64"
        if len(os.fsencode(text)) > LONGEST:
            return {}, f"its value is longer than {LONGEST // 1024} KiB; let the step read it by itself"
    return given, ""


def _not_had(secret: Secret, step: str, why: Exception) -> Diagnostic:
    where = f"{secret.source}:{secret.name}"
    said = str(why.args[0]) if isinstance(why, LookupError) and why.args else ""
    if isinstance(why, LookupError):
        return error(
            "FI740",
            f"the step {step} needs the secret {where}, which is not there",
            detail=said,
            hint=_HINTS.get(secret.source, "make it at that source, or correct its name in the flow"),
        )
    return error(
        "FI741",
        f"the step {step} needs the secret {where}, which cannot be had now: {type(why).__name__}: {why}",
        hint="see whether the source can be reached from where the step runs, and whether it may read the secret",
    )


def _unusable(secret: Secret, step: str, why: str) -> Diagnostic:
    return error(
        "FI743",
        f"the secret {secret.source}:{secret.name} of the step {step} cannot be an environment variable: {why}",
        detail="a secret is handed to a step as text, in a variable of its environment",
        hint="change the value at its source, or fetch it inside the step",
    )


_HINTS: Final = {
    "environment": "set the variable where the task runs: on this machine for `flowinfra run`, for the worker of a "
    "deployment before it starts",
    "file": "mount or write the file where the task runs, readable for its user",
}
