"""Python values for the parameters of what is deployed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowinfra.control.runner.keywords import typed_value
from flowinfra.diagnostics import Diagnostic, FlowinfraError, ParameterError, Severity, error
from flowinfra.orchestrators.base import Check
from flowinfra.runtime.parameters import check_parameters, signature

__all__ = ["TriggerValues", "checked", "trigger_values"]

_SHOWN = 80


@dataclass(frozen=True, slots=True)
class TriggerValues:
    """What was given to ``trigger()``.

    Attributes:
        values: as JSON by name; an unknown name as it was given.
        wrong: names of parameters whose value does not fit.
        findings: why they do not.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    wrong: frozenset[str] = frozenset()
    findings: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class _Deployed:
    """A deployed parameter, as :func:`typed_value` reads declared ones."""

    name: str
    kind: str
    encoding: str
    is_text: bool = True

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> _Deployed:
        return cls(spec["name"], spec["type"], spec.get("json_schema", {}).get("contentEncoding", "utf-8"))


def trigger_values(specs: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> TriggerValues:
    """Python values as JSON, by the types of the deployed parameters; nothing is ever made into text.

    Args:
        specs: the parameters, as the deployed release has them.
        given: values by name, in which ``_`` may stand for ``-``.
    """
    known = {p["name"].replace("-", "_"): p for p in specs}
    values: dict[str, Any] = {}
    found: list[Diagnostic] = []
    wrong: set[str] = set()
    for name, value in given.items():
        spec = known.get(name.replace("-", "_"))
        if spec is None:
            values[name] = value
            continue
        try:
            values[spec["name"]] = typed_value(_Deployed.of(spec), value)
        except FlowinfraError as why:
            wrong.add(spec["name"])
            found += why.diagnostics
        except (TypeError, ValueError) as why:
            wrong.add(spec["name"])
            text = repr(value)
            found.append(
                error(
                    "FI712",
                    f"the parameter {spec['name']} is of the type {spec['type']}; "
                    f"{text if len(text) <= _SHOWN else text[:_SHOWN] + '…'} is none",
                    detail=str(why),
                    hint="give a value of that type; in Python nothing is read from a text",
                )
            )
    return TriggerValues(values, frozenset(wrong), tuple(found))


def checked(given: TriggerValues) -> Check:
    """The check of a whole input that tells what was wrong with *given* too, all at once."""

    def check(specs: Sequence[Mapping[str, Any]], values: Mapping[str, Any], flow: str) -> Mapping[str, Any]:
        asked = [{**p, "required": False} if p["name"] in given.wrong else p for p in specs]
        sound = {name: value for name, value in values.items() if name not in given.wrong}
        found = list(given.findings)
        complete: dict[str, Any] = {}
        try:
            complete = check_parameters(asked, sound, flow)
        except ParameterError as why:
            found += [d for d in why.diagnostics if d.severity is Severity.ERROR]
        if found:
            note = Diagnostic("FI716", Severity.NOTE, f"the parameters are {signature(specs, flow)}")
            raise ParameterError([*found, note])
        return complete

    return check
