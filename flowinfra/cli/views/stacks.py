"""Stacks and their configuration, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flowinfra.cli.console import Console
from flowinfra.cli.views.table import table

if TYPE_CHECKING:
    from flowinfra.control.stackfiles import Setting, StackInfo

__all__ = ["setting_text", "settings_json", "settings_text", "stacks_json", "stacks_text"]


def stacks_text(stacks: Iterable[StackInfo], console: Console) -> str:
    """One line per stack."""
    rows = [
        (
            f"{s.name}{'*' if s.selected else ''}",
            f"unreadable ({s.problem})" if s.problem else "n/a" if s.resources is None else str(s.resources),
            f"{s.updated:%Y-%m-%d %H:%M:%S}" if s.updated else "n/a",
        )
        for s in stacks
    ]
    return table(("NAME", "RESOURCES", "LAST UPDATE"), rows, console)


def stacks_json(stacks: Iterable[StackInfo]) -> list[dict[str, Any]]:
    """As `pulumi stack ls --json` has it; components and providers are not counted."""
    return [
        {
            "name": s.name,
            "current": s.selected,
            "lastUpdate": s.updated.isoformat(timespec="seconds") if s.updated else None,
            "resourceCount": s.resources,
            **({"problem": s.problem} if s.problem else {}),
        }
        for s in stacks
    ]


def settings_text(settings: Iterable[Setting], console: Console) -> str:
    """One line per value."""
    return table(("KEY", "VALUE"), [(s.key, setting_text(s)) for s in settings], console)


def setting_text(setting: Setting) -> str:
    """A value; secret ones that were not opened are masked."""
    if setting.secret and setting.value is None:
        return "<secret>"
    return setting.value if isinstance(setting.value, str) else json.dumps(setting.value, ensure_ascii=False)


def settings_json(settings: Iterable[Setting]) -> dict[str, dict[str, Any]]:
    """As `pulumi config --json` has it: by key, a secret that is not shown has no value."""
    return {
        s.key: {**({} if s.secret and s.value is None else {"value": s.value}), "secret": s.secret} for s in settings
    }
