"""What is said when something is not there: what is there, what is nearest, and how to list it.

Each error is also the built-in one that its syntax calls for: a ``KeyError`` for ``run["step"]``, an ``AttributeError``
for ``run.data.x``, so that ``hasattr``, ``getattr`` with a default and ``except KeyError`` work.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from flowinfra.diagnostics import Diagnostic, NotFoundError, error, nearest

__all__ = [
    "NoSuchAttribute",
    "NoSuchKey",
    "bad_pathspec",
    "no_artifact",
    "no_attempt",
    "no_data",
    "no_flow",
    "no_run",
    "no_step",
    "no_task",
]

_SHOWN = 8
_FORMS = ("Flow", "Run", "Step", "Task", "Artifact")


class NoSuchKey(NotFoundError, KeyError):
    """FI81x: what was named does not exist."""

    def __str__(self) -> str:
        return "\n".join(str(d) for d in self.diagnostics)


class NoSuchAttribute(NotFoundError, AttributeError):
    """FI81x: what was named does not exist."""


def bad_pathspec(text: str, form: str) -> Diagnostic:
    """*text* has not the *form* that is needed here."""
    parts, needed = text.split("/"), form.count("/") + 1
    hint = f"give it as {form}; the pathspec of each object is its .pathspec"
    if not all(parts) or {".", ".."} & set(parts):
        detail = "One of its parts is empty, or is a dot that names no object."
    elif len(parts) == needed:
        detail = "A pathspec names a run, a step, a task or an artifact from the flow downwards."
    else:
        few = "few" if len(parts) < needed else "many"
        detail = f"It has too {few} parts: {len(parts)}, where {needed} {'is' if needed == 1 else 'are'} needed."
        if len(parts) <= len(_FORMS):
            hint = f"{hint}; this one has the form of a {_FORMS[len(parts) - 1]}: {_FORMS[len(parts) - 1]}({text!r})"
    return error("FI816", f"{text!r} is no pathspec of the form {form}", detail=detail, hint=hint)


def no_flow(name: str, store: str, known: Iterable[str]) -> Diagnostic:
    """The flow has no run in this store."""
    flows = list(known)
    return error(
        "FI812",
        f"no run of the flow {name!r} is in {store}{nearest(name, flows)}",
        detail=_shown("Flows that have run", flows) or "No flow has run there yet.",
        hint="run it (`python FILE run`), or look in another store with store=... or FLOWINFRA_STORE; "
        "`flowinfra runs` lists what has run",
    )


def no_run(flow: str, run: str, newest: Iterable[str]) -> Diagnostic:
    """The flow has no such run; *newest* are its runs, newest first."""
    runs = list(islice(newest, 200))
    return error(
        "FI811",
        f"the flow {flow} has no run {run!r}{nearest(run, runs)}",
        detail=_shown("Its newest runs", runs) or "None of its runs is in this store.",
        hint=f"`flowinfra runs {flow}` lists them",
    )


def no_step(pathspec: str, step: str, known: Iterable[str]) -> Diagnostic:
    """No task of that step has begun in the run *pathspec*."""
    steps = list(known)
    return error(
        "FI813",
        f"the run {pathspec} has no step {step!r}{nearest(step, steps)}",
        detail=_shown("Steps that have begun", steps) or "None of its steps has begun.",
        hint=f"`list(Run({pathspec!r}))` lists them; a step is there once its first task has begun",
    )


def no_task(pathspec: str, task: str, known: Iterable[str]) -> Diagnostic:
    """The step *pathspec* has no such task."""
    tasks = list(known)
    return error(
        "FI814",
        f"the step {pathspec} has no task {task!r}{nearest(task, tasks)}",
        detail=_shown("Its tasks", tasks) or "None of its tasks has begun.",
        hint=f"`list(Step({pathspec!r}))` lists them",
    )


def no_attempt(what: str, attempt: int, made: Iterable[str]) -> Diagnostic:
    """*what* (the pathspec of a task, or of a run for all its tasks) has no such attempt; *made* are the names of those that have begun."""
    numbers = sorted({int(name) for name in (name.partition("-")[0] for name in made) if name.isdigit()})
    return error(
        "FI843",
        f"{what} has no attempt {attempt}",
        detail=f"the attempts are {', '.join(map(str, numbers))}" if numbers else "no attempt has begun",
        hint="attempts are counted from 0; without a number all are shown, or the one that counts",
    )


def no_artifact(pathspec: str, name: str, known: Iterable[str], *, committed: bool) -> Diagnostic:
    """The task *pathspec* has left no such artifact."""
    names = list(known)
    return error(
        "FI815",
        f"the task {pathspec} has no artifact {name!r}{nearest(name, names)}",
        detail=_shown("Its artifacts", names)
        or ("It has none." if committed else "It has not ended well, and artifacts are kept only then."),
        hint=f"`Task({pathspec!r}).artifacts` lists them"
        if committed
        else f"`Task({pathspec!r}).exception` and `.stderr` tell more",
    )


def no_data(pathspec: str, state: str) -> Diagnostic:
    """The run's result was asked for, and there is none (yet)."""
    return error(
        "FI818",
        f"the run {pathspec} has no result: its state is {state}",
        detail="The result of a run is what its last step leaves.",
        hint=f"`flowinfra dump {pathspec}/STEP` shows what a step has left; in Python it is "
        f"Run({pathspec!r})['STEP'].task.data",
    )


def _shown(title: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{title}: {', '.join(names[:_SHOWN])}{more}."
