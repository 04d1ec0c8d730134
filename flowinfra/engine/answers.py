"""What providers answer, looked at before it is believed.

A provider that runs in process is code like any other: it can raise, end the thread, never return, or return anything.
Whatever is wrong is said with the provider's package, the method and the resource. Where the call may have changed
something, what is raised is :class:`~flowinfra.engine.interpreter.Unanswered`, so that a record of it stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from pulumi.provider.experimental import provider as sdk
from pulumi.provider.experimental.property_value import PropertyValue

from flowinfra.diagnostics import Diagnostic, EngineError, FlowinfraError, error
from flowinfra.engine.base import unsupported
from flowinfra.engine.calls import Abandoned, Calls
from flowinfra.engine.interpreter import Created, Difference, Unanswered, Unhealthy
from flowinfra.engine.marshal import from_property_values
from flowinfra.engine.urns import urn_name
from flowinfra.engine.values import Properties, contains, has_unknown
from flowinfra.model.partial import PartialFailure

__all__ = ["Asked"]

T = TypeVar("T")

#: Methods of providers as messages name them.
_VERBS: Final = {
    "check": "checking",
    "check_config": "checking",
    "configure": "configuring the provider",
    "create": "creating",
    "delete": "deleting",
    "diff": "comparing",
    "invoke": "calling",
    "read": "reading",
    "find": "looking for",
    "update": "updating",
}
#: Those after which, without an answer, something may be another thing than the state says.
_CHANGING: Final = frozenset({"create", "delete", "update"})

_REPLACING: Final = (
    sdk.PropertyDiffKind.ADD_REPLACE,
    sdk.PropertyDiffKind.DELETE_REPLACE,
    sdk.PropertyDiffKind.UPDATE_REPLACE,
)


@dataclass(frozen=True)
class Asked:
    """One call of one method of a provider."""

    package: str
    """The Pulumi package that the provider serves."""
    method: str
    urn: str
    """The resource, or the function that is called."""
    dry_run: bool = False
    """It is called for a preview, so it changes nothing."""

    @property
    def _subject(self) -> str:
        return f"{_VERBS[self.method]} '{urn_name(self.urn) if '::' in self.urn else self.urn}'"

    @property
    def _who(self) -> str:
        return f"{self.method} of the provider for '{self.package}', for {self.urn}"

    @property
    def _changing(self) -> bool:
        return self.method in _CHANGING and not self.dry_run

    def call(self, calls: Calls, make: Callable[[], Coroutine[Any, Any, T]], kind: type[T], seconds: float = 0) -> T:
        """The provider's answer.

        Args:
            calls: where it is called.
            make: the call.
            kind: what the answer must be.
            seconds: how long it may take; 0 for as long as it likes.

        Raises:
            PartialFailure: the provider says so.
            EngineError: FI604, it failed; FI654, it did not end; FI655, it answered something else; FI656, it ended.
        """
        try:
            answer = calls.run(make, seconds)
        except (FlowinfraError, PartialFailure):
            raise  # a provider of ours has said it better already
        except Abandoned as problem:
            raise self._late(problem.seconds) from problem
        except Exception as problem:
            text = str(problem).strip() or type(problem).__name__
            raise EngineError(
                error(
                    "FI604",
                    f"{self._subject} failed: {text.splitlines()[0]}",
                    detail="\n".join([self.urn, *text.splitlines()[1:]]),
                    hint="nothing of it is recorded as done; correct the cause, then run the operation again",
                )
            ) from problem
        except BaseException as problem:
            raise self._not_known(
                error(
                    "FI656",
                    f"{self._subject}: the provider ended itself with {type(problem).__name__}",
                    detail=f"{self._who} raised {problem!r}",
                    hint="a provider says that something fails by an ordinary exception; this is a mistake in it",
                )
            ) from problem
        if not isinstance(answer, kind):
            raise self.nonsense(f"it returned a {type(answer).__name__} instead of a {kind.__name__}")
        return answer

    def _late(self, seconds: float) -> EngineError:
        why = f"within {seconds:g} s, as customTimeouts says" if seconds else "before it was interrupted"
        return self._not_known(
            error(
                "FI654",
                f"{self._subject} did not end {why}",
                detail=f"{self._who} has not returned; nobody waits for it any more",
                hint="find out why it hangs, or give it more time with `custom_timeouts`",
            )
        )

    def nonsense(self, what: str) -> EngineError:
        """The error for an answer that cannot be."""
        return self._not_known(
            error(
                "FI655",
                f"{self._subject}: the provider's answer makes no sense: {what}",
                detail=self._who,
                hint="this is a mistake in the provider",
            )
        )

    def _not_known(self, found: Diagnostic) -> EngineError:
        if not self._changing:
            return EngineError(found)
        detail = f"{found.detail}. Whether it has happened is not known: it is recorded as pending"
        return Unanswered(replace(found, detail=detail))

    def properties(self, values: object) -> Properties:
        """What the provider returned as properties.

        Raises:
            EngineError: FI655, they are none; FI602, they hold an asset or an archive.
        """
        if values is None:
            return {}
        if not isinstance(values, Mapping):
            raise self.nonsense(f"properties are a {type(values).__name__} instead of a mapping")
        for key, value in values.items():
            if not isinstance(key, str):
                raise self.nonsense(f"a property's name is the {type(key).__name__} {key!r} instead of text")
            if not isinstance(value, PropertyValue):
                raise self.nonsense(f"the property '{key}' is a {type(value).__name__} instead of a PropertyValue")
        try:
            found = from_property_values(values)
        except TypeError as problem:
            refusal = unsupported("assets and archives that a provider returns", where=f"{self._who}: {problem}")
            raise Unanswered(refusal.diagnostics) if self._changing else refusal from problem
        for key, value in found.items():
            if contains(value, _not_finite):
                raise self.nonsense(f"the property '{key}' holds a number that JSON cannot say")
            if not self.dry_run and self.method not in ("invoke", "read") and has_unknown(value):
                raise self.nonsense(f"the property '{key}' is not known, although this is no preview")
        return found

    def identity(self, id_: object) -> str:
        """The id that the provider returned; empty for none.

        Raises:
            EngineError: FI655, it is no text.
        """
        if id_ is None:
            return ""
        if not isinstance(id_, str):
            raise self.nonsense(f"the id is the {type(id_).__name__} {id_!r} instead of text")
        return id_

    def failures(self, found: object) -> tuple[tuple[str, str], ...]:
        """What the provider does not accept, as (property, reason).

        Raises:
            EngineError: FI655, it is no list of failures.
        """
        if found is None:
            return ()
        if not isinstance(found, (list, tuple)) or not all(isinstance(f, sdk.CheckFailure) for f in found):
            raise self.nonsense("its failures are no list of CheckFailure")
        return tuple((str(f.property or ""), str(f.reason)) for f in found)

    def difference(self, answer: sdk.DiffResponse, own: Callable[[], Difference]) -> Difference:
        """What the provider says of a difference; where it says nothing, the *own* comparison of inputs holds.

        Raises:
            EngineError: FI655, it makes no sense.
        """
        if answer.changes not in (None, True, False):
            raise self.nonsense(f"`changes` is {answer.changes!r}")
        detailed = answer.detailed_diff
        if not isinstance(detailed, Mapping) or not all(isinstance(d, sdk.PropertyDiff) for d in detailed.values()):
            raise self.nonsense("`detailed_diff` is no mapping of PropertyDiff")
        given = self._texts("replaces", answer.replaces)
        diffs = self._texts("diffs", answer.diffs)
        replaces = tuple(dict.fromkeys([*given, *(k for k, d in detailed.items() if d.kind in _REPLACING)]))
        keys = tuple(dict.fromkeys([*diffs, *detailed]))
        before_replace = bool(answer.delete_before_replace)
        if answer.changes is None:
            mine = own()
            # As in Pulumi, the inputs then decide whether there is a difference, and the provider whether it replaces.
            return Difference(mine.changed, mine.keys, tuple(given) if mine.changed else (), before_replace)
        return Difference(bool(answer.changes), keys, replaces if answer.changes else (), before_replace)

    def _texts(self, name: str, values: Iterable[object]) -> list[str]:
        if not isinstance(values, (list, tuple)) or not all(isinstance(v, str) for v in values):
            raise self.nonsense(f"`{name}` is no list of texts")
        return [str(v) for v in values]

    def unhealthy(self, problem: PartialFailure, id_: str) -> Unhealthy:
        """The engine's form of *problem*; *id_* is the resource's id if the provider names none.

        Raises:
            EngineError: FI655, what the provider says of the resource makes no sense.
        """
        made = Created(self.identity(problem.resource_id) or id_, self.properties(problem.properties))
        if not made.id:
            raise self.nonsense("it failed after making the resource, and names no id")
        reasons = tuple(str(r) for r in problem.reasons)
        return Unhealthy(
            error(
                "FI657",
                f"{self._subject} made it, and it is not as it should be: {reasons[0]}",
                detail="\n".join([self.urn, *reasons[1:]]),
                hint="it is in the state with this error; the next operation updates it",
            ),
            made,
            reasons,
        )


def _not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
