"""A flow as text and as JSON: what it is made of, and that it is fine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowinfra.cli.console import Console
from flowinfra.cli.views.diagnostics import as_json
from flowinfra.compiler.draw import in_order
from flowinfra.diagnostics import Diagnostic
from flowinfra.model.environment import Environment
from flowinfra.model.graph import FlowGraph, Foreach, ParameterSpec, Split, StepNode, Switch, targets_of
from flowinfra.packaging.build import Built
from flowinfra.packaging.bundle import LeftOut

__all__ = ["checked_json", "checked_text", "files_text", "flow_text"]

_WIDEST = 100  # characters of the value of a config


def flow_text(graph: FlowGraph, console: Console, configs: Mapping[str, Any] | None = None) -> str:
    """A flow: what it is for, its configs, its parameters, its steps in the order of a run, its environments, its hooks."""
    place = console.style(f"  {graph.source.file}:{graph.source.line}", "dim") if graph.source else ""
    lines = [console.style(graph.name, "bold") + place]
    lines += [f"  {line}" if line else "" for line in graph.doc.splitlines()]
    if configs:
        lines += ["", console.style("Configs", "bold")]
        lines += _columns([(name, _shortened(value)) for name, value in configs.items()])
    if graph.parameters:
        lines += ["", console.style("Parameters", "bold")]
        lines += _columns([_parameter(p) for p in graph.parameters])
    lines += ["", console.style("Steps", "bold")]
    lines += _columns([(s.name, _way(s), _first_line(s.doc)) for s in in_order(graph)])
    if graph.environments:
        lines += ["", console.style("Environments", "bold")]
        lines += _columns([(e.name, _environment(e)) for e in graph.environments])
    if graph.hooks:
        lines += ["", console.style("Exit hooks", "bold")]
        lines += _columns([(f"on {hook.on}", hook.entrypoint) for hook in graph.hooks])
    return "\n".join(lines) + "\n"


def _shortened(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def checked_text(built: Built, console: Console) -> str:
    """One line that says that a flow is fine, and what was looked at."""
    graph = built.graph
    size = sum(f.size for f in built.bundle.files)
    counts = [
        _counted(len(graph.steps), "step"),
        *(_counted(n, word) for n, word in _shapes(graph) if n),
        _counted(len(graph.parameters), "parameter"),
        f"{_counted(len(built.bundle.files), 'file')} ({_bytes(size)})",
    ]
    head = console.style(f"{graph.name} is fine", "green", "bold")
    return f"{head}: {', '.join(counts)}; release {built.release[:12]}\n"


def files_text(built: Built, others: Iterable[LeftOut], console: Console) -> str:
    """What is packed with a flow, and what lies beside it and is not."""
    lines = [console.style(f"Packed from {built.root}", "bold")]
    lines += _columns([(f.path, _bytes(f.size)) for f in built.bundle.files])
    rows = [(o.path, o.reason) for o in others]
    if rows:
        lines += ["", console.style("Left out", "bold"), *_columns(rows)]
    return "\n".join(lines) + "\n\n"


def checked_json(built: Built, found: Iterable[Diagnostic], others: Iterable[LeftOut] = ()) -> dict[str, Any]:
    """The same for machines."""
    return {
        "flow": built.graph.name,
        "release": built.release,
        "bundle": built.bundle.digest,
        "steps": len(built.graph.steps),
        "parameters": len(built.graph.parameters),
        "files": [{"path": f.path, "bytes": f.size} for f in built.bundle.files],
        "left_out": [{"path": o.path, "reason": o.reason} for o in others],
        "diagnostics": as_json(found),
    }


def _shapes(graph: FlowGraph) -> list[tuple[int, str]]:
    def count(kind: type) -> int:
        return sum(isinstance(s.next, kind) for s in graph.steps)

    return [(count(Split), "split"), (count(Foreach), "foreach"), (count(Switch), "switch")]


def _parameter(parameter: ParameterSpec) -> tuple[str, str, str]:
    if parameter.required:
        value = "required"
    elif parameter.computed_default:
        value = "= <computed>"
    else:
        value = f"= {json.dumps(parameter.default, ensure_ascii=False)}"
    return parameter.name, f"{parameter.type} {value}", parameter.help


def _way(step: StepNode) -> str:
    match step.next:
        case Foreach(to=to, over=over):
            return f"→ {to} for each of {over}"
        case Switch(cases=cases, on=on):
            return "→ " + ", ".join(f"{to} if {on} is {case}" for case, to in sorted(cases.items()))
        case _:
            to = ", ".join(targets_of(step.next))
            return f"→ {to}" if to else "end of the run"


def _environment(environment: Environment) -> str:
    parts = [f"image {environment.image}"] if environment.image else []
    parts += [f"{key} {value}" for key, value in environment.resources.content().items()]
    return ", ".join(parts) or "as it is where it runs"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return ["  " + "  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _counted(number: int, word: str) -> str:
    plural = f"{word}es" if word.endswith("ch") else word if word == "foreach" else f"{word}s"
    return f"{number} {word if number == 1 else plural}"


def _bytes(size: int) -> str:
    return f"{size} B" if size < 1024 else f"{size / 1024:.1f} KiB" if size < 1 << 20 else f"{size / (1 << 20):.1f} MiB"
