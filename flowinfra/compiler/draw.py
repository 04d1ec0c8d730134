"""A graph as text, Mermaid or DOT."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flowinfra.compiler.structure import structure
from flowinfra.model.graph import End, FlowGraph, Foreach, Split, StepNode, Switch, targets_of
from flowinfra.model.program import Block, Choice, Driver, Loop, Map, Parallel, Program, Task

__all__ = ["FORMATS", "draw", "edges_of", "in_order", "mermaid_label", "mermaid_shape", "outline"]

FORMATS = ("text", "mermaid", "dot")

#: What Mermaid would read as more than text, as its own kind of entities.
_MERMAID: Final = {'"': "#quot;", "#": "#35;", "<": "#lt;", ">": "#gt;", "`": "#96;", "&": "#amp;"}


def draw(graph: FlowGraph, form: str = "text") -> str:
    """*graph* in one of :data:`FORMATS`; also one that breaks rules, so that its author can look at it.

    Raises:
        KeyError: there is no such format.
    """
    return {"text": _text, "mermaid": _mermaid, "dot": _dot}[form](graph)


def in_order(graph: FlowGraph) -> list[StepNode]:
    """The steps as a run comes to them, then those that it never does."""
    order: list[str] = []
    todo, seen = [graph.start], {graph.start}
    waiting = _indegrees(graph)
    while todo:
        name = todo.pop()
        order.append(name)
        step = graph.by_name.get(name)
        for to in reversed(targets_of(step.next) if step else ()):
            waiting[to] = waiting.get(to, 1) - 1
            if to not in seen and waiting[to] <= 0:
                seen.add(to)
                todo.append(to)
        if not todo:  # a loop's head waits for its own body: take the first that was reached and is still waiting
            rest = [t for n in order if (s := graph.by_name.get(n)) for t in targets_of(s.next) if t not in seen]
            todo += rest[:1]
            seen.update(rest[:1])
    known = [graph.by_name[n] for n in order if n in graph.by_name]
    return known + [s for s in graph.steps if s.name not in seen]


def _indegrees(graph: FlowGraph) -> dict[str, int]:
    out: dict[str, int] = {}
    for step in graph.steps:
        for to in targets_of(step.next):
            out[to] = out.get(to, 0) + 1
    return out


# -- text -----------------------------------------------------------------------------------------------------------


def _text(graph: FlowGraph) -> str:
    return "\n".join(line for _, line in outline(graph)) + "\n"


def outline(graph: FlowGraph, *, notes: bool = True) -> Iterator[tuple[str, str]]:
    """The lines of the drawing as text, each with the step that it is about; empty for one that is about none.

    *notes*: with how each step is run.
    """
    program = structure(graph).program
    if program is None or graph.kind == "dynamic":
        yield from ((step.name, _edge_line(step)) for step in in_order(graph))
    else:
        yield from _sequence(graph, program, notes)


def _edge_line(step: StepNode) -> str:
    to = ", ".join(targets_of(step.next)) or ", ".join(step.calls)
    return f"{step.name} → {to}" if to else step.name


def _sequence(graph: FlowGraph, program: Program, notes: bool) -> Iterator[tuple[str, str]]:
    """Lines of the whole program; a stack of (blocks, position, indentation) instead of recursion."""
    stack: list[tuple[Iterator[Block | tuple[str, int]], str]] = [(iter(program.sequences[0]), "")]
    while stack:
        items, indent = stack[-1]
        item = next(items, None)
        if item is None:
            stack.pop()
            continue
        if isinstance(item, tuple):  # a headed sequence inside a block; its first step stands beside the head
            head, number = item
            inside = iter(program.sequences[number])
            first = next(inside, None)
            if isinstance(first, Task | Driver):
                yield first.step, f"{indent}{head} {_task_line(graph, first, notes)}"
            else:
                yield "", f"{indent}{head}" + ("" if first else " straight on")
                inside = iter(program.sequences[number])
            stack.append((inside, indent + "   "))
        elif isinstance(item, Task | Driver):
            yield item.step, indent + _task_line(graph, item, notes)
        else:
            stack.append((_parts(item), indent))


def _task_line(graph: FlowGraph, block: Task | Driver, noted: bool) -> str:
    notes = _notes(graph.step(block.step)) if noted else ()
    return block.step + (f"   [{', '.join(notes)}]" if notes else "")


def _parts(block: Block) -> Iterator[tuple[str, int]]:
    match block:
        case Parallel(branches=branches):
            for i, number in enumerate(branches):
                yield ("└─" if i == len(branches) - 1 else "├─"), number
        case Map(body=body, over=over, max_concurrency=most):
            yield f"└─ for each of {over}" + (f", {most} at once:" if most else ":"), body
        case Choice(on=on, cases=cases):
            groups = _grouped(cases)
            for i, (names, number) in enumerate(groups):
                yield f"{'└─' if i == len(groups) - 1 else '├─'} if {on} is {names}:", number
        case Loop(on=on, body=body, again=again, exits=exits):
            yield f"├─ repeat while {on} is {' or '.join(again)}:", body
            groups = _grouped(exits)
            for i, (names, number) in enumerate(groups):
                yield f"{'└─' if i == len(groups) - 1 else '├─'} once {on} is {names}:", number
        case _:
            return


def _grouped(cases: dict[str, int]) -> list[tuple[str, int]]:
    by_number: dict[int, list[str]] = {}
    for case, number in sorted(cases.items()):
        by_number.setdefault(number, []).append(case)
    return [(" or ".join(names), number) for number, names in by_number.items()]


def _notes(step: StepNode) -> list[str]:
    notes = ["join"] if step.join else []
    if step.environment != "default":
        notes.append(step.environment)
    if step.policy.retry:
        notes.append(f"retry {step.policy.retry.times}×")
    if step.policy.timeout_seconds:
        notes.append(f"timeout {step.policy.timeout_seconds} s")
    if step.policy.catch:
        notes.append("catch")
    return notes


# -- pictures -------------------------------------------------------------------------------------------------------


def edges_of(step: StepNode) -> Iterator[tuple[str, str]]:
    """Where a step leads to, each with the label of the way there."""
    match step.next:
        case Switch(cases=cases):
            by_target: dict[str, list[str]] = {}
            for case, to in cases.items():
                by_target.setdefault(to, []).append(case)
            yield from ((to, " or ".join(names)) for to, names in by_target.items())
        case Foreach(to=to, over=over):
            yield to, f"each of {over}"
        case _:
            yield from ((to, "") for to in (*targets_of(step.next), *step.calls))


def _edges(graph: FlowGraph) -> Iterator[tuple[str, str, str]]:
    for step in in_order(graph):
        yield from ((step.name, to, label) for to, label in edges_of(step))


def _mermaid(graph: FlowGraph) -> str:
    lines = ["flowchart TD"]
    for step in in_order(graph):
        left, right = mermaid_shape(step)
        lines.append(f'    {step.name}_{left}"{step.name}"{right}')
    for source, to, label in _edges(graph):
        lines.append(f"    {source}_ -->{f'|{mermaid_label(label)}|' if label else ''} {to}_")
    return "\n".join(lines) + "\n"


def mermaid_shape(step: StepNode) -> tuple[str, str]:
    """The brackets around a step's name."""
    if isinstance(step.next, Switch):
        return "{", "}"
    if isinstance(step.next, End):
        return "([", "])"
    return ("[[", "]]") if isinstance(step.next, Split | Foreach) or step.join else ("[", "]")


def mermaid_label(label: str) -> str:
    """A label in quotes, in which nothing but text is left."""
    return '"' + "".join(_MERMAID.get(c, c if c.isprintable() else " ") for c in label) + '"'


def _dot(graph: FlowGraph) -> str:
    lines = [f'digraph "{_escaped(graph.name)}" {{', "    rankdir=TB;", "    node [shape=box, style=rounded];"]
    for step in in_order(graph):
        shape = "diamond" if isinstance(step.next, Switch) else "oval" if isinstance(step.next, End) else "box"
        lines.append(f'    "{step.name}" [shape={shape}];')
    for source, to, label in _edges(graph):
        lines.append(f'    "{source}" -> "{to}"' + (f' [label="{_escaped(label)}"];' if label else ";"))
    return "\n".join([*lines, "}"]) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
