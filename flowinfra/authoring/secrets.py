"""``@secrets`` and ``Secret``: secrets by reference. A flow names where a secret is; its value is fetched by the task."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flowinfra.authoring.later import configurable
from flowinfra.authoring.settings import Function, caller, patch
from flowinfra.diagnostics import AuthoringError, Diagnostic, Source, error

__all__ = ["Secret", "merged_secrets", "read_secrets", "secrets", "variable_of"]

_SOURCE: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXAMPLE: Final = (
    'e.g. "DB_PASSWORD" (an environment variable), "file:/run/secrets/token", '
    'or Secret("/run/secrets/token", source="file", env_var="TOKEN")'
)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret by reference. The task that needs it finds its value in an environment variable.

    Args:
        name: its name at the source: of ``environment`` a variable, of ``file`` an absolute path or one below ``~``.
        source: ``environment``, ``file``, or one that a package adds by the entry point ``flowinfra.secrets``.
        env_var: the variable that the task finds the value in. Without it, of ``environment`` the same one, else the
            last part of the name in capitals (``/run/secrets/db-token``: ``DB_TOKEN``).
    """

    name: str
    source: str = "environment"
    env_var: str | None = None


@configurable("secrets")
def secrets(sources: Iterable[Secret | str | Mapping[str, str]]) -> Callable[[Function], Function]:
    """Give a step secrets as environment variables, beside those of its environment.

    They are fetched when a task of the step starts, and taken out of what it prints, of its error, and of the texts that
    stand for its artifacts. No release, plan or store has more of them than their names.

    Args:
        sources: each a :class:`Secret`; text such as ``DB_PASSWORD`` or ``file:/run/secrets/token``; or a mapping with
            ``type`` and ``id``, and ``env_var`` if need be.

    Raises:
        AuthoringError: FI180, one of them is no reference to a secret; all that are wrong at once.
    """
    source = caller()
    value, found = read_secrets(sources, "@secrets", source)
    if not found and not value:
        found = [error("FI180", "@secrets: it names no secret", hint=_EXAMPLE, source=source)]
    if found:
        raise AuthoringError(found)
    return lambda function: patch(function, "secrets", value, "@secrets", source)


def read_secrets(given: Any, what: str, source: Source) -> tuple[tuple[Secret, ...], list[Diagnostic]]:
    """The secrets that *given* names, and what is wrong with it.

    Args:
        given: what an author wrote.
        what: what he wrote it for, for the messages.
        source: where.
    """
    if isinstance(given, (str, bytes, Mapping, Secret)) or not isinstance(given, Iterable):
        problem = error("FI180", f"{what}: {given!r} is no list of secrets", hint=_EXAMPLE, source=source)
        return (), [problem]
    out: list[Secret] = []
    found: list[Diagnostic] = []
    for item in given:
        secret = _secret_of(item)
        why = "it is no Secret, no text and no mapping with type and id" if secret is None else _problem(secret)
        if secret is None or why:
            found.append(error("FI180", f"{what}: {item!r}: {why}", hint=_EXAMPLE, source=source))
        elif secret.source == "file" and not secret.env_var:
            out.append(Secret(secret.name, secret.source, variable_of(secret)))
        else:
            out.append(secret)
    return tuple(out), found


def merged_secrets(shared: Iterable[Secret], own: Iterable[Secret]) -> tuple[Secret, ...]:
    """The secrets of an environment and those of a step in it; of two for one variable, the step's."""
    return tuple({variable_of(secret): secret for secret in (*shared, *own)}.values())


def variable_of(secret: Secret) -> str:
    """The environment variable that holds *secret*, where its value is one text."""
    if secret.env_var or secret.source == "environment":
        return secret.env_var or secret.name
    last = secret.name.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1]
    plain = re.sub(r"[^A-Z0-9_]+", "_", last.upper()).strip("_")
    return plain if _VARIABLE.fullmatch(plain) else f"SECRET_{plain}"


def _secret_of(item: Any) -> Secret | None:
    if isinstance(item, Secret):
        return item
    if isinstance(item, str):
        source, colon, name = item.partition(":")
        return Secret(name, source) if colon else Secret(item)
    if isinstance(item, Mapping) and {"type", "id"} <= item.keys() <= {"type", "id", "env_var"}:
        return Secret(item["id"], item["type"], item.get("env_var"))
    return None


def _problem(secret: Secret) -> str:
    """Why it is no reference; empty if it is one."""
    if not isinstance(secret.source, str) or not _SOURCE.fullmatch(secret.source):
        return f"{secret.source!r} is no name of a source"
    if not isinstance(secret.name, str) or not secret.name.isprintable() or not secret.name.strip():
        return f"{secret.name!r} is no name of a secret"
    if secret.source == "environment" and not _VARIABLE.fullmatch(secret.name):
        return f"{secret.name!r} is no name of an environment variable"
    if secret.source == "file" and not secret.name.startswith(("/", "~/")):
        return f"{secret.name!r} is no absolute path; a task has no certain working directory"
    if secret.env_var is not None and (not isinstance(secret.env_var, str) or not _VARIABLE.fullmatch(secret.env_var)):
        return f"{secret.env_var!r} is no name of an environment variable"
    if variable_of(secret).startswith("FLOWINFRA_"):
        return "variables that begin with FLOWINFRA_ are what flowinfra tells a task"
    return ""
