"""What flowinfra tells its users when something is wrong, as data.

A :class:`Diagnostic` says what is wrong, where (file and line), why it matters and what to do. Checks return them in
lists, so that everything found comes at once; an exception carries them where nothing can go on. Views render them;
nothing in here prints.

The exceptions, one branch per range of codes::

    FlowinfraError
    ├── AuthoringError        FI1xx  the flow file cannot be read as a flow
    ├── GraphError            FI2xx  the graph of steps is not one that can run
    ├── TargetError           FI3xx  the target cannot do it exactly, or a quota is exceeded
    ├── PackagingError        FI4xx  bundle, image or release cannot be made or verified
    ├── AccessError           FI5xx  access or policy forbids it
    ├── EngineError           FI6xx  plan, state, lock, secrets, provider
    ├── RunError              FI7xx  a run or one of its tasks
    │   └── ParameterError    FI71x  the parameters given to a run
    ├── ControlError          FI8xx  runs and deployments that cannot be found, reached or operated
    │   └── NotFoundError     FI81x  what was named does not exist
    └── ConfigurationError    FI9xx  project, stack, settings, command line
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

__all__ = [
    "AccessError",
    "AuthoringError",
    "ConfigurationError",
    "ControlError",
    "Diagnostic",
    "EngineError",
    "FlowinfraError",
    "GraphError",
    "NotFoundError",
    "PackagingError",
    "ParameterError",
    "RunError",
    "Severity",
    "Source",
    "TargetError",
    "error",
    "has_errors",
    "nearest",
    "raise_errors",
    "sort_diagnostics",
    "warning",
]


class Severity(enum.Enum):
    """How bad it is: an error stops, a warning is shown, a note only explains."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


@dataclass(frozen=True, slots=True)
class Source:
    """A place in a file; ``line`` counts from 1, and 0 means the whole file."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding.

    Attributes:
        code: ``FI`` and three digits; ``docs/diagnostics`` has a page for each.
        severity: whether it stops what was asked for.
        summary: what is wrong, in one line without a full stop.
        detail: why it is wrong or what follows from it; may be empty.
        hint: what to do about it; may be empty.
        source: where, if there is a place.
    """

    code: str
    severity: Severity
    summary: str
    detail: str = ""
    hint: str = ""
    source: Source | None = None

    def __str__(self) -> str:
        place = f"{self.source}: " if self.source else ""
        texts = [text for text in (self.detail, self.hint and f"hint: {self.hint}") if text]
        tail = "".join(f"\n  {line}" if line else "\n" for text in texts for line in text.split("\n"))
        return f"{place}{self.severity.value} {self.code}: {self.summary}{tail}"


def error(code: str, summary: str, *, detail: str = "", hint: str = "", source: Source | None = None) -> Diagnostic:
    """A diagnostic that stops."""
    return Diagnostic(code, Severity.ERROR, summary, detail, hint, source)


def warning(code: str, summary: str, *, detail: str = "", hint: str = "", source: Source | None = None) -> Diagnostic:
    """A diagnostic that is shown and does not stop."""
    return Diagnostic(code, Severity.WARNING, summary, detail, hint, source)


def sort_diagnostics(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Errors first, then by file, line and code; equal ones once."""

    def key(d: Diagnostic) -> tuple[int, str, int, str, str]:
        place = d.source or Source("")
        return _RANK[d.severity], place.file, place.line, d.code, d.summary

    return sorted(dict.fromkeys(diagnostics), key=key)


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether any of them stops."""
    return any(d.severity is Severity.ERROR for d in diagnostics)


def nearest(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the known word closest to *word*, else nothing."""
    found = get_close_matches(word, [other for other in known if other != word], n=1, cutoff=0.6)
    return f" (did you mean '{found[0]}'?)" if found else ""


class FlowinfraError(Exception):
    """The base of every error that flowinfra raises on purpose; carries one or more diagnostics."""

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]) -> None:
        found = [diagnostics] if isinstance(diagnostics, Diagnostic) else diagnostics
        self.diagnostics: tuple[Diagnostic, ...] = tuple(sort_diagnostics(found))
        super().__init__("\n".join(str(d) for d in self.diagnostics))

    def __reduce__(self) -> tuple[type[FlowinfraError], tuple[Sequence[Diagnostic]]]:
        return type(self), (self.diagnostics,)


class AuthoringError(FlowinfraError):
    """FI1xx: the flow file cannot be read as a flow."""


class GraphError(FlowinfraError):
    """FI2xx: the graph of steps is not one that can run."""


class TargetError(FlowinfraError):
    """FI3xx: the target cannot do it exactly, or a quota is exceeded."""


class PackagingError(FlowinfraError):
    """FI4xx: a bundle, an image or a release cannot be made or verified."""


class AccessError(FlowinfraError):
    """FI5xx: access or policy forbids it."""


class EngineError(FlowinfraError):
    """FI6xx: plan, state, lock, secrets or a provider."""


class RunError(FlowinfraError):
    """FI7xx: a run or one of its tasks failed or cannot be started."""


class ParameterError(RunError):
    """FI71x: the parameters given to a run are missing, unknown or of the wrong type."""


class ControlError(FlowinfraError):
    """FI8xx: a run or deployment cannot be reached or operated."""


class NotFoundError(ControlError):
    """FI81x: what was named does not exist."""


class ConfigurationError(FlowinfraError):
    """FI9xx: project, stack, settings or command line."""


def raise_errors(diagnostics: Iterable[Diagnostic], kind: type[FlowinfraError]) -> list[Diagnostic]:
    """Raise *kind* with all of *diagnostics* if any of them stops; else return them sorted."""
    found = sort_diagnostics(diagnostics)
    if has_errors(found):
        raise kind(found)
    return found
