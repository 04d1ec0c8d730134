"""What every engine offers, and what it says while it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from flowinfra.diagnostics import EngineError, Source, error
from flowinfra.model.plan import Operation, Plan

__all__ = [
    "Approve",
    "Declined",
    "Engine",
    "Event",
    "LogEvent",
    "OnEvent",
    "Options",
    "Program",
    "ResourceEvent",
    "StackRef",
    "unsupported",
]

#: A stack program: a folder with ``__main__.py``, a Python file, or a function that registers resources.
Program: TypeAlias = Path | Callable[[], object]


@dataclass(frozen=True, slots=True)
class StackRef:
    """One stack: a program, the name of its environment, and where its state is kept."""

    project: str
    stack: str
    project_dir: Path
    """The folder with ``Pulumi.yaml`` and ``Pulumi.<stack>.yaml``."""
    program: Program
    backend_url: str
    """URL of what holds ``.pulumi/``: ``file://`` or ``s3://``; the engine `pulumi` takes all that the CLI takes."""
    settings_of: str = ""
    """The stack whose configuration holds for this one; empty means its own. Embedded only."""

    @property
    def full_name(self) -> str:
        """The name by which other stacks refer to this one."""
        return f"organization/{self.project}/{self.stack}"


@dataclass(frozen=True, slots=True)
class ResourceEvent:
    """Something begins, ends or fails for one resource."""

    address: str
    action: str
    """A word of :class:`flowinfra.model.plan.Action`."""
    phase: Literal["start", "done", "failed"]
    message: str = ""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A line that the program, a provider or the engine says."""

    severity: Literal["info", "warning", "error"]
    message: str
    address: str = ""


Event: TypeAlias = ResourceEvent | LogEvent
OnEvent: TypeAlias = Callable[[Event], None]

#: Asked with the plan that is about to be applied; raises to refuse it (:class:`Declined`, or an error that says why).
Approve: TypeAlias = Callable[[Plan], None]


class Declined(Exception):
    """Whoever was asked for approval said no: nothing was changed."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may ask of an operation; the default is everything, as the program says."""

    targets: tuple[str, ...] = ()
    """Only these resources: URNs, in which ``*`` stands for a part between colons and ``**`` for anything, as for the
    real CLI. Empty means all."""
    target_dependents: bool = False
    """Also what depends on the targets."""
    context: Mapping[ContextVar[Any], Any] = field(default_factory=dict)
    """Context variables that the program finds set; programs run in a context of their own."""
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For a refresh: of these resources, by URN, only these properties; of all others everything. Embedded only."""
    revert: bool = False
    """For a refresh: what differs is put back as it is recorded, instead of being taken over. Embedded only."""


class Engine(Protocol):
    """What the command line and the API ask of an engine; all operations raise :class:`EngineError`."""

    @property
    def name(self) -> str:
        """The word by which stack configurations choose it."""
        ...

    def preview(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        operation: Operation = Operation.UP,
        options: Options = Options(),
    ) -> Plan:
        """What *operation* would do; changes nothing."""
        ...

    def up(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        options: Options = Options(),
        approve: Approve | None = None,
    ) -> Plan:
        """Make what exists what the program says; previews first, and without a change writes nothing.

        *approve* is asked with the preview of exactly what will be applied; if somebody changes the state between the
        two, the preview is made anew and asked about again.
        """
        ...

    def destroy(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        options: Options = Options(),
        approve: Approve | None = None,
    ) -> Plan:
        """Delete every resource of the stack."""
        ...

    def refresh(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        clear_pending_creates: bool = False,
        options: Options = Options(),
        approve: Approve | None = None,
    ) -> Plan:
        """Take over into the state what the providers say exists; changes no resource."""
        ...

    def cancel(self, stack: StackRef) -> Sequence[str]:
        """Remove the stack's locks, whoever holds them; who that was."""
        ...

    def outputs(self, stack: StackRef, show_secrets: bool = False) -> Mapping[str, Any]:
        """The outputs that the last operation recorded; secret ones masked unless asked for."""
        ...


def unsupported(what: str, *, where: str = "", source: Source | None = None) -> EngineError:
    """The refusal of something that only the real Pulumi engine does.

    Args:
        what: the feature, as the start of a sentence, such as ``"importing resources"``.
        where: URN or file that asks for it.
        source: place of the registration.
    """
    return EngineError(
        error(
            "FI602",
            f"{what}: not supported by the embedded engine",
            detail=f"asked for by {where}" if where else "",
            hint="use the Pulumi CLI as engine: `--engine pulumi` for once, "
            "`flowinfra config set flowinfra:engine pulumi` for good",
            source=source,
        )
    )
