"""Which resources an operation may touch, where its caller has named some (``--target``).

The rules are those of Pulumi's step generator: providers and the stack itself always take part; what is not targeted
keeps its last state; what is not targeted and does not exist is not created, and nothing that is targeted may depend on
it; a deletion that would take dependents with it needs these named, or ``--target-dependents``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from typing import Final

from flowinfra.diagnostics import Diagnostic, EngineError, Source, error, nearest, warning
from flowinfra.engine.base import Options
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.urns import STACK_TYPE, is_provider, split_reference, urn_name

__all__ = ["UNTARGETED", "Targeting", "matcher"]

#: The reason in plans for what stays as it is because it was not named.
UNTARGETED: Final = "not among the targets"


def matcher(pattern: str) -> re.Pattern[str]:
    """What matches the URNs of *pattern*: ``*`` stands for anything without a colon, ``**`` for anything."""
    parts = ("[^:]*".join(map(re.escape, part.split("*"))) for part in pattern.split("**"))
    return re.compile(".*".join(parts), re.DOTALL)


class Targeting:
    """The targets of one operation, and what follows from them; safe for several threads."""

    def __init__(self, options: Options) -> None:
        self._lock = threading.Lock()
        self.names = tuple(dict.fromkeys(options.targets))
        self._literals = frozenset(t for t in self.names if "*" not in t)
        self._patterns = tuple(matcher(t) for t in self.names if "*" in t)
        self._dependents = options.target_dependents
        self._reached: set[str] = set()
        self._skipped: dict[str, None] = {}

    @property
    def constrained(self) -> bool:
        """Whether anything is named at all."""
        return bool(self.names)

    @property
    def skipped(self) -> tuple[str, ...]:
        """URNs of what the program wants and what was not created, because it was not named."""
        with self._lock:
            return tuple(self._skipped)

    def named(self, urn: str) -> bool:
        """Whether a target names *urn*; without targets, everything is named."""
        return not self.names or urn in self._literals or any(p.fullmatch(urn) for p in self._patterns)

    def includes(self, state: ResourceState) -> bool:
        """Whether a resource that the program registers takes part; what it depends on must have been asked about."""
        if not self.names:
            return True
        with self._lock:
            chosen = self.named(state.urn) or (
                self._dependents and any(u in self._reached or self.named(u) for u in state.edges())
            )
            if chosen:
                self._reached.add(state.urn)
        return chosen or is_provider(state.type) or state.type == STACK_TYPE

    def skip(self, urn: str) -> None:
        """The resource *urn* is not created, because it was not named."""
        with self._lock:
            self._skipped[urn] = None

    def is_skipped(self, urn: str) -> bool:
        """Whether *urn* was not created because it was not named."""
        with self._lock:
            return urn in self._skipped

    def require(self, state: ResourceState, source: Source | None) -> None:
        """What takes part may not need anything that was not created.

        Raises:
            EngineError: FI652.
        """
        with self._lock:
            missing = sorted(state.edges() & self._skipped.keys())
        if missing:
            raise EngineError(
                error(
                    "FI652",
                    f"'{urn_name(state.urn)}' depends on '{urn_name(urn)}', which does not exist and is not targeted",
                    detail=f"{state.urn} depends on {urn}",
                    hint=f"name it too: --target '{urn}'",
                    source=source,
                )
                for urn in missing
            )

    def check(self, known: Iterable[str]) -> None:
        """Every target without a ``*`` must be one of the URNs *known*.

        Raises:
            EngineError: FI651.
        """
        urns = set(known)
        unknown = [t for t in self.names if t in self._literals and t not in urns]
        if unknown:
            raise EngineError(
                error(
                    "FI651",
                    f"the target {name} is no resource of the stack{nearest(name, sorted(urns))}",
                    detail="neither the state nor the program has it",
                    hint="name a URN as `flowinfra preview --json` lists them, in quotes: a shell replaces $; or a "
                    "pattern, such as '**::name'",
                )
                for name in unknown
            )

    def fitting_nothing(self, known: Iterable[str]) -> list[Diagnostic]:
        """What is said of patterns that fit none of the URNs *known*: the real CLI lets them pass without a word."""
        urns = set(known)
        patterns = [t for t in self.names if t not in self._literals]
        return [
            warning(
                "FI627",
                f"the target {pattern} fits no resource of the stack",
                detail="neither the state nor the program has one whose URN is like that",
                hint="a * stands for anything without a colon, ** for anything: '**::name' is everything of that name",
            )
            for pattern, regex in zip(patterns, self._patterns, strict=True)
            if not any(map(regex.fullmatch, urns))
        ]

    def deletable(self, resources: Sequence[ResourceState]) -> frozenset[str]:
        """URNs of *resources*, a whole state, that may have to go: the targets and whatever depends on them."""
        going: set[str] = set()
        for state in resources:  # whatever depends on a resource comes behind it
            if self.named(state.urn) or not going.isdisjoint(state.edges()):
                going.add(state.urn)
        return frozenset(going)

    def require_named(self, urns: Iterable[str]) -> None:
        """What is to be deleted must be named, unless dependents go too.

        Raises:
            EngineError: FI653.
        """
        if self._dependents:
            return
        unnamed = [u for u in dict.fromkeys(urns) if not self.named(u)]
        if unnamed:
            raise EngineError(
                error(
                    "FI653",
                    f"'{urn_name(urn)}' would be deleted and is not targeted",
                    detail=f"{urn} depends on what is",
                    hint=f"name it too, --target '{urn}', or everything that depends on the targets: "
                    "--target-dependents",
                )
                for urn in unnamed
            )

    def refreshable(self, resources: Sequence[ResourceState]) -> frozenset[str]:
        """URNs of *resources*, a whole state, that a refresh reads: the targets and, if asked for, their dependents."""
        reached: set[str] = set()
        for state in resources:
            provider = split_reference(state.provider)[0]
            depends = self._dependents and any(u in reached or self.named(u) for u in state.edges() - {provider})
            if self.named(state.urn) or depends:
                reached.add(state.urn)
        return frozenset(reached)
