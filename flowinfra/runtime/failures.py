"""How a step failed: what ``catch`` puts into an artifact, what error.json says, and traces without our own frames."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from flowinfra.diagnostics import FlowinfraError, RunError, Source
from flowinfra.wire import Attempt

__all__ = ["TaskFailure", "error_document", "in_source", "plain_message", "user_trace"]

_OURS: Final = str(Path(__file__).resolve().parents[1]) + "/"
_IMPORT_SYSTEM: Final = "<frozen importlib"


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """What the artifact of ``catch`` holds when all attempts of a step have failed; it is ``None`` if one succeeded.

    Attributes:
        type: the name of the exception's class.
        message: what it said.
        traceback: its trace as text, without frames of flowinfra.
        step: the step that failed.
        task: the id of its task.
    """

    type: str
    message: str
    traceback: str
    step: str
    task: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> TaskFailure:
        """Out of an error.json."""
        fields = (Attempt.TYPE, Attempt.MESSAGE, Attempt.TRACEBACK, Attempt.STEP, Attempt.TASK)
        return cls(*(str(document.get(field, "")) for field in fields))


def user_trace(exc: BaseException) -> str:
    """The trace of *exc* and of what caused it, with the frames of the flow's author and the libraries in use only.

    If nothing of it is the author's, it is shown whole: then the error is ours.
    """
    shown = traceback.TracebackException.from_exception(exc, compact=True)
    linked = list(_linked(shown))
    stacks = [[f for f in one.stack if not _is_ours(f.filename)] for one in linked]
    if any(stacks):
        for one, stack in zip(linked, stacks, strict=True):
            one.stack = traceback.StackSummary.from_list(stack)
    elif isinstance(exc, FlowinfraError):
        return plain_message(exc)  # the diagnostic says it all
    return "".join(shown.format()).rstrip()


def plain_message(exc: BaseException) -> str:
    """What *exc* says; exceptions that cannot say it do not hide how the step failed."""
    try:
        return str(exc)
    except Exception as why:  # noqa: BLE001 - a user's own __str__
        return f"<its message cannot be made: {type(why).__name__}>"


def in_source(why: RunError, function: Callable[..., Any], asked_at: Source | None) -> RunError:
    """*why* with a place in the flow's source, where a finding of it has none.

    Args:
        why: what is wrong with a step.
        function: the step's.
        asked_at: where it called ``self.next``, if it came so far.
    """
    frames = [f for f in traceback.extract_tb(why.__traceback__) if not _is_ours(f.filename)]
    code = inspect.unwrap(function).__code__
    place = asked_at or Source(code.co_filename, code.co_firstlineno)
    if frames:
        place = Source(frames[-1].filename, frames[-1].lineno or 0)
    return type(why)(d if d.source else replace(d, source=place) for d in why.diagnostics)


def error_document(
    exc: BaseException, step: str, task: str, now_ms: int, redact: Callable[[str], str] | None = None
) -> dict[str, Any]:
    """The error.json of an attempt that *exc* ended; *redact* takes the secrets out of its texts."""
    told = redact or _unchanged
    code = exc.diagnostics[0].code if isinstance(exc, FlowinfraError) and exc.diagnostics else None
    return {
        Attempt.TIME: now_ms,
        Attempt.TYPE: type(exc).__name__,
        Attempt.MESSAGE: _storable(told(plain_message(exc))),
        Attempt.TRACEBACK: _storable(told(user_trace(exc))),
        Attempt.STEP: step,
        Attempt.TASK: task,
        **({Attempt.CODE: code} if code else {}),
    }


def _unchanged(text: str) -> str:
    return text


def _storable(text: str) -> str:
    """*text* without lone surrogates, which UTF-8 has no form for (they come from names of files, for example)."""
    return text.encode("utf-8", "backslashreplace").decode()


def _linked(shown: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """*shown*, its causes and contexts, and the members of groups."""
    seen: set[int] = set()
    todo = [shown]
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        todo += [other for other in (one.__cause__, one.__context__) if other is not None]
        todo += getattr(one, "exceptions", None) or []


def _is_ours(filename: str) -> bool:
    return filename.startswith((_OURS, _IMPORT_SYSTEM))
