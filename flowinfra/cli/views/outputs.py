"""Stack outputs as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flowinfra.cli.console import Console

__all__ = ["outputs_text"]


def outputs_text(values: Mapping[str, Any], console: Console) -> str:
    """One block per output; objects with one line per field."""
    if not values:
        return console.style("no outputs: nothing has been deployed with this stack yet", "dim") + "\n"
    lines: list[str] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines.append(console.style(name, "bold"))
            width = max((len(k) for k in value), default=0)
            lines += [f"    {key:<{width}}  {_text(item)}" for key, item in value.items()]
        else:
            lines.append(f"{console.style(name, 'bold')}  {_text(value)}")
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
