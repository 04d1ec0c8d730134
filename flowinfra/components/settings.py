"""Settings: what a stack's configuration says about flowinfra, typed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

import pulumi

from flowinfra.diagnostics import ConfigurationError, Diagnostic, error, nearest, raise_errors
from flowinfra.targets.base import Target
from flowinfra.targets.local import Local

__all__ = ["NAMESPACE", "Settings"]

#: The prefix of our keys in ``Pulumi.<stack>.yaml``.
NAMESPACE = "flowinfra"

_TARGETS = ("local",)
_ENGINES = ("embedded", "pulumi")
_MODES = ("development", "production")
#: No ``-``, which is what stands behind the prefix: so no two prefixes make the same name out of two names.
_PREFIX = re.compile(r"[A-Za-z0-9_.]{0,40}")
_YES_NO = ("paused", "require_clean", "protect", "require_plan", "project_production")


def _setting(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a stack: the keys ``flowinfra:*`` of its configuration.

    Attributes:
        stack: the stack's name.
        target: what deployments run on that name no target of their own.
        engine: which engine ``flowinfra up`` uses; empty means the default of the target.
        mode: ``development``, ``production`` or empty: what the settings below are where the stack does not say, see
            :mod:`flowinfra.components.modes`. All of them are None where it does not.
        name_prefix: what all names of deployments begin with, before a ``-``; empty means nothing.
        paused: every deployment of the stack is paused.
        tags: put on every run of every deployment, beside its own.
        require_clean: only a checkout without changes is deployed.
        branch: only this branch is deployed; empty means any.
        protect: what holds data or tokens can be neither deleted nor replaced.
        require_plan: only saved plans are applied.
        max_workers: how many tasks of one run may run at once, where a deployment does not say so itself.
        project_branch: the branch in which flows with ``@project`` are deployed; ``test.<branch>``, or in production
            ``prod.<branch>``.
        project_production: whether they are deployed as the production of their project; by default as the mode says.
    """

    stack: str
    target: str = _setting("local", "what deployments run on: local")
    engine: str = _setting("", "which engine applies: embedded, pulumi")
    mode: str = _setting("", "whose stack it is: development, production")
    name_prefix: str | None = _setting(None, "what the names of all deployments begin with")
    paused: bool | None = _setting(None, "whether all deployments of the stack are paused")
    tags: tuple[str, ...] | None = _setting(None, "tags of every run")
    require_clean: bool | None = _setting(None, "whether only a clean checkout is deployed")
    branch: str | None = _setting(None, "the one branch that is deployed")
    protect: bool | None = _setting(None, "whether what holds data or tokens is protected")
    require_plan: bool = _setting(False, "whether only saved plans are applied")
    max_workers: int | None = _setting(None, "tasks of one run at once")
    project_branch: str | None = _setting(None, "the branch of flows with @project")
    project_production: bool | None = _setting(None, "whether flows with @project are their project's production")

    @classmethod
    def load(cls) -> Self:
        """The settings of the stack whose program runs.

        Raises:
            ConfigurationError: a key is unknown or a value is of the wrong type; all that are wrong come at once.
        """
        return cls.from_config(pulumi.get_stack(), _config())

    @classmethod
    def from_config(cls, stack: str, config: Mapping[str, Any]) -> Self:
        """The settings in *config*, which maps full keys (``flowinfra:target``) to values or their text.

        Raises:
            ConfigurationError: as :meth:`load`.
        """
        known = {f.name: f for f in fields(cls) if f.name != "stack"}
        found: list[Diagnostic] = []
        values: dict[str, Any] = {}
        for key, raw in config.items():
            namespace, _, name = key.partition(":")
            if namespace != NAMESPACE:
                continue
            if name not in known:
                found.append(
                    error(
                        "FI920",
                        f"there is no setting `{key}`{nearest(key, [f'{NAMESPACE}:{n}' for n in known])}",
                        detail=f"the settings are {', '.join(f'{NAMESPACE}:{n}' for n in known)}",
                        hint=f"use one of them; what Pulumi.{stack}.yaml holds is removed with `flowinfra config rm {key} --stack {stack}`",
                    )
                )
                continue
            value, wrong = _typed(name, raw)
            if wrong:
                found.append(
                    error(
                        "FI921",
                        f"the setting `{key}` is {raw!r}, which is not {wrong}",
                        hint=f"flowinfra config set {key} VALUE --stack {stack}",
                    )
                )
            values[name] = value
        raise_errors(found, ConfigurationError)
        return cls(stack=stack, **values)

    def default_target(self) -> Target:
        """The target of deployments that name none."""
        return Local()

    def default_engine(self) -> str:
        """The engine: as it is set, else ``embedded`` for Local and ``pulumi`` for everything else."""
        return self.engine or ("embedded" if self.target == "local" else "pulumi")


def _typed(name: str, raw: Any) -> tuple[Any, str]:
    """The value of a setting, or what it should have been."""
    text = raw if isinstance(raw, str) else json.dumps(raw)
    match name:
        case _ if name in _YES_NO:
            return text == "true", "" if text in ("true", "false") else "true or false"
        case "mode":
            return text, "" if text in _MODES else f"one of {', '.join(_MODES)}"
        case "name_prefix":
            wanted = "at most 40 letters, digits, `_` or `.` (a `-` follows by itself)"
            return text, "" if _PREFIX.fullmatch(text) else wanted
        case "tags":
            return _tags(raw)
        case "branch":
            return text, "" if not re.search(r"\s", text) else "the name of a branch"
        case "max_workers":
            return (int(text), "") if text.isdigit() and int(text) > 0 else (None, "a whole number above 0")
        case "target":
            return text, "" if text in _TARGETS else f"one of {', '.join(_TARGETS)}"
        case "engine":
            return text, "" if text in _ENGINES else f"one of {', '.join(_ENGINES)}"
        case _:
            return text, ""


def _tags(raw: Any) -> tuple[tuple[str, ...], str]:
    """Tags: a list, its JSON, or text with commas."""
    found = raw
    if isinstance(raw, str):
        try:
            found = (
                json.loads(raw) if raw.lstrip().startswith("[") else [t.strip() for t in raw.split(",") if t.strip()]
            )
        except ValueError:
            found = None
    if not isinstance(found, (list, tuple)) or not all(isinstance(t, str) and 1 <= len(t) <= 500 for t in found):
        return (), 'a list of tags of 1 to 500 characters, such as ["team:ml"] or team:ml,tier:1'
    return tuple(dict.fromkeys(found)), ""


def _config() -> dict[str, Any]:
    """All of the stack's configuration. The SDK offers single keys only, so unknown ones need its two sources."""
    from pulumi.runtime.config import CONFIG

    config: dict[str, Any] = dict(json.loads(os.environ.get("PULUMI_CONFIG") or "{}"))
    return config | CONFIG.get()
