"""Runs, tasks and artifacts, as text and as JSON."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flowinfra.cli.console import Console
from flowinfra.cli.views.duration import duration, moment
from flowinfra.cli.views.table import table
from flowinfra.control.logs import LogLine
from flowinfra.control.report import ArtifactLine, RunLine, RunReport, StepLine, TaskReport
from flowinfra.model.states import RunState
from flowinfra.runtime.failures import TaskFailure

__all__ = [
    "artifact_json",
    "artifact_text",
    "line_json",
    "lines_text",
    "log_json",
    "log_text",
    "run_json",
    "run_text",
    "task_json",
    "task_text",
    "tasks_text",
    "waited_text",
]

_COLORS: Final[Mapping[RunState, str]] = {
    RunState.SUCCEEDED: "green",
    RunState.FAILED: "red",
    RunState.TIMED_OUT: "red",
    RunState.STOPPED: "yellow",
    RunState.RUNNING: "cyan",
}
_TASK_COLORS: Final[Mapping[str, str]] = {"done": "green", "caught": "yellow", "failed": "red", "running": "cyan"}
_VALUE_WIDTH: Final = 100


# -- runs -----------------------------------------------------------------------------------------------------------


def lines_text(lines: Sequence[RunLine], console: Console) -> str:
    """One line per run; with a column for the stack where a run belongs to one."""
    staged = any(line.stack for line in lines)
    rows = [
        (
            line.pathspec,
            line.deployment.partition("/")[2] or "-",
            *((line.stack or "-",) if staged else ()),
            line.state_text,
            moment(line.started),
            "-" if line.seconds is None else duration(line.seconds),
            ", ".join(line.tags),
        )
        for line in lines
    ]
    head = ("RUN", "DEPLOYMENT", *(("STACK",) if staged else ()), "STATE", "STARTED", "DURATION", "TAGS")
    by_text = {line.state_text: _COLORS.get(line.state, "dim") for line in lines}

    def paint(column: int, cell: str) -> str:
        return console.style(cell, by_text.get(cell.strip(), "dim")) if head[column] == "STATE" else cell

    return table(head, rows, console, paint)


def line_json(line: RunLine) -> dict[str, Any]:
    """A run of a list as JSON."""
    return {
        "flow": line.flow,
        "run": line.run,
        "pathspec": line.pathspec,
        "deployment": line.deployment or None,
        "stack": line.stack or None,
        "state": line.state.value,
        "started": line.started.isoformat(timespec="milliseconds"),
        "seconds": line.seconds,
        "tags": list(line.tags),
    }


def run_text(run: RunReport, console: Console) -> str:
    """All that is known of a run."""
    line = run.line
    state = console.style(line.state_text, _COLORS.get(line.state, "dim"), "bold")
    word = "running for" if line.state is RunState.RUNNING else "took"
    took = f", {word} {duration(line.seconds)}" if line.seconds is not None else ""
    lines = [f"{console.style(line.pathspec, 'bold')}  {state}", f"  started     {moment(line.started)}{took}"]
    if line.deployment:
        lines.append(f"  deployment  {line.deployment}")
    lines.append(f"  release     {run.release[:12]}")
    if run.origin:
        lines.append(f"  resumes     {run.origin}")
    if line.tags:
        lines.append(f"  tags        {', '.join(line.tags)}")
    if run.parameters:
        lines += _headed("Parameters", [(k, _value(v)) for k, v in run.parameters.items()], console)
    if run.steps:
        lines += _headed("Steps", [_step(step) for step in run.steps], console)
    if run.results:
        lines += _headed("Results", _artifact_rows(run.results), console)
    if run.failure is not None:
        lines += _failure(run.failure, console)
    return "\n".join(lines) + "\n"


def run_json(run: RunReport) -> dict[str, Any]:
    """A run as JSON."""
    return {
        **line_json(run.line),
        "release": run.release,
        "origin": run.origin,
        "parameters": dict(run.parameters),
        "steps": [{"name": s.name, "tasks": s.tasks, "done": s.done, "seconds": s.seconds} for s in run.steps],
        "results": [artifact_json(artifact) for artifact in run.results],
        "error": _failure_json(run.failure),
    }


def waited_text(run: RunReport, console: Console) -> tuple[str, str]:
    """How a run ended that someone has waited for, and its result."""
    line = run.line
    state = console.style(line.state_text, _COLORS.get(line.state, "dim"), "bold", stream=sys.stderr)
    took = f" after {duration(line.seconds)}" if line.seconds is not None else ""
    said = [f"{line.pathspec} {state}{took}"]
    if run.failure is not None:
        failure = run.failure
        said.append(f"  {f'{failure.step} {failure.task}: ' if failure.step else ''}{failure}")
        said.append(f"next: flowinfra logs {line.pathspec}" + (f" --step {failure.step}" if failure.step else ""))
    else:
        said.append(f"next: flowinfra show {line.pathspec}")
    return "\n".join(said), "\n".join(
        _result(a) for a in sorted(run.results, key=lambda a: "\n" in (_whole_text(a) or ""))
    )


# -- tasks ----------------------------------------------------------------------------------------------------------


def tasks_text(tasks: Sequence[TaskReport], console: Console) -> str:
    """The tasks of a step, a line each."""
    rows = [
        (
            task.pathspec.rpartition("/")[2],
            task.state,
            str(task.attempt),
            moment(task.started),
            "-" if task.seconds is None else duration(task.seconds),
            _first_line(str(task.failure)) if task.failure else "",
        )
        for task in tasks
    ]

    def paint(column: int, cell: str) -> str:
        return console.style(cell, _TASK_COLORS.get(cell.strip(), "dim")) if column == 1 else cell

    return table(("TASK", "STATE", "ATTEMPT", "STARTED", "DURATION", "FAILURE"), rows, console, paint)


def task_text(task: TaskReport, console: Console) -> str:
    """All that is known of a task."""
    state = console.style(task.state, _TASK_COLORS.get(task.state, "dim"), "bold")
    took = f", took {duration(task.seconds)}" if task.seconds is not None else ""
    lines = [
        f"{console.style(task.pathspec, 'bold')}  {state}",
        f"  started  {moment(task.started)}{took}",
        f"  attempt  {task.attempt}",
    ]
    if task.origin:
        lines.append(f"  from     {task.origin}")
    if task.parents:
        more = f" and {len(task.parents) - 5} more" if len(task.parents) > 5 else ""
        short = ["/".join(parent.split("/")[2:]) for parent in task.parents[:5]]
        lines.append(f"  after    {', '.join(short)}{more}")
    if task.artifacts:
        lines += _headed("Artifacts", _artifact_rows(task.artifacts), console)
    if task.failure is not None:
        lines += _failure(task.failure, console)
    return "\n".join(lines) + "\n"


def task_json(task: TaskReport) -> dict[str, Any]:
    """A task as JSON."""
    return {
        "pathspec": task.pathspec,
        "state": task.state,
        "attempt": task.attempt,
        "started": task.started.isoformat(timespec="milliseconds") if task.started else None,
        "seconds": task.seconds,
        "parents": list(task.parents),
        "artifacts": [artifact_json(artifact) for artifact in task.artifacts],
        "origin": task.origin,
        "error": _failure_json(task.failure),
    }


def artifact_text(artifact: ArtifactLine) -> str:
    """The text of an artifact."""
    return artifact.text + "\n"


def artifact_json(artifact: ArtifactLine) -> dict[str, Any]:
    """An artifact as JSON: its text, not its value, which only Python can read."""
    return {"name": artifact.name, "type": artifact.type, "bytes": artifact.size, "text": artifact.text}


# -- logs -----------------------------------------------------------------------------------------------------------


def log_text(line: LogLine, console: Console) -> str:
    """A line with its task in front."""
    repeated = "" if line.attempt in ("0", "fallback") else f" attempt {line.attempt}"
    task = f" {line.task}" if line.task else ""
    return f"{console.style(f'[{line.step}{task}{repeated}]', 'cyan')} {line.text}"


def log_json(line: LogLine) -> dict[str, Any]:
    """A line as JSON."""
    return {
        "step": line.step,
        "task": line.task,
        "attempt": line.attempt,
        "stream": line.stream,
        "text": line.text,
    }


# -- parts ----------------------------------------------------------------------------------------------------------


def _headed(head: str, rows: Sequence[Sequence[str]], console: Console) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ["  " + "  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return ["", console.style(head, "bold"), *lines]


def _step(step: StepLine) -> tuple[str, str, str]:
    tasks = f"{step.tasks:,} task{'s' if step.tasks != 1 else ''}"
    if step.done is not None and step.done < step.tasks:
        tasks += f", {step.done} done"
    return step.name, tasks, "" if step.seconds is None else duration(step.seconds)


def _result(artifact: ArtifactLine) -> str:
    """A result as its reader wants it: a text of several lines as it is, everything else on one line."""
    text = _whole_text(artifact)
    if text is None or "\n" not in text:
        return f"{artifact.name} = {_short(artifact.text)}"
    return "\n".join([f"{artifact.name}:", *(f"    {line}" for line in text.splitlines())])


def _whole_text(artifact: ArtifactLine) -> str | None:
    """The text that an artifact is, if it is one and its short form holds all of it."""
    if artifact.type != "str":
        return None
    try:
        found = ast.literal_eval(artifact.text)
    except (SyntaxError, ValueError):  # it was cut
        return None
    return found if isinstance(found, str) else None


def _artifact_rows(artifacts: Sequence[ArtifactLine]) -> list[tuple[str, str, str]]:
    return [(a.name, a.type, _short(a.text)) for a in artifacts]


def _failure(failure: TaskFailure, console: Console) -> list[str]:
    place = f" ({failure.step} {failure.task})" if failure.step else ""
    text = failure.traceback or str(failure)
    return ["", console.style(f"Failure{place}", "red", "bold"), *(f"  {line}" for line in text.splitlines())]


def _failure_json(failure: TaskFailure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {
        "type": failure.type,
        "message": failure.message,
        "traceback": failure.traceback,
        "step": failure.step or None,
        "task": failure.task or None,
    }


def _value(value: Any) -> str:
    return _short(json.dumps(value, ensure_ascii=False))


def _short(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= _VALUE_WIDTH else f"{one_line[: _VALUE_WIDTH - 1]}…"


def _first_line(text: str) -> str:
    return _short(text.partition("\n")[0])
