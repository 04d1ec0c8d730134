"""A flow's parameters among our own options: ``run FILE --alpha 3 --max-workers 2``.

Which options a command has depends on the flow, and what is wrong with them shall be said all at once, in the words of
what the flow declares. So click parses what is ours, and the rest is read here once the flow is known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from flowinfra.diagnostics import Diagnostic, ParameterError, Severity, error, warning

if TYPE_CHECKING:
    import click

    from flowinfra.authoring.flowspec import FlowSpec
    from flowinfra.authoring.parameters import Parameter

__all__ = [
    "Given",
    "Separated",
    "described",
    "hoisted",
    "own_options",
    "parameter_texts",
    "parameter_values",
    "parameters_of",
    "separate",
    "shadowed",
]

_TRUE_OR_FALSE: Final = frozenset({"true", "false", "yes", "no", "1", "0"})


@dataclass(frozen=True, slots=True)
class Given:
    """What was given for parameters.

    Attributes:
        texts: by name; one that the flow does not know is kept as it was written.
        findings: what is wrong with how it was written.
        without_value: parameters that were named and got no value.
    """

    texts: Mapping[str, str]
    findings: tuple[Diagnostic, ...] = ()
    without_value: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Separated:
    """Arguments, separated.

    Attributes:
        subject: what the command is about: a flow file, a deployment; None if it is not named.
        ours: the options that are ours, with their values.
        rest: what only the flow can tell.
    """

    subject: str | None
    ours: list[str]
    rest: tuple[str, ...]


def own_options(parameters: Iterable[click.Parameter]) -> dict[str, int]:
    """Our options as they are written, each with how many values follow."""
    import click

    found = {"--help": 0, "-h": 0}
    for parameter in parameters:
        if isinstance(parameter, click.Option):
            takes = 0 if parameter.is_flag or parameter.count else parameter.nargs
            found.update(dict.fromkeys((*parameter.opts, *parameter.secondary_opts), takes))
    return found


def separate(
    arguments: Sequence[str], options: Mapping[str, int], *, is_subject: Callable[[str], bool] | None = bool
) -> Separated:
    """Separate *arguments*.

    The subject is the first word that cannot be the value of an option; if there is none, the first that *is_subject*.
    Where that is None there is no subject to name.
    """
    ours: list[str] = []
    rest: list[str] = []
    certain: list[int] = []  # places in the rest
    perhaps: list[int] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        written, equals, _ = argument.partition("=")
        if argument == "--":
            certain += range(len(rest), len(rest) + len(left))
            rest += left
            break
        if (written if equals and argument.startswith("--") else argument[:2] if _is_short(argument) else argument) in (
            options
        ):
            follow = options.get(argument, 0)  # "--stack=dev" and "-sdev" have their value with them
            ours += [argument, *left[:follow]]
            del left[:follow]
            continue
        if not argument.startswith("-"):
            behind = rest[-1] if rest else ""
            (perhaps if behind.startswith("--") and "=" not in behind else certain).append(len(rest))
        rest.append(argument)
    place = None
    if is_subject is not None:
        place = certain[0] if certain else next((at for at in perhaps if is_subject(rest[at])), None)
    subject = None if place is None else rest.pop(place)
    return Separated(subject, ours, tuple(rest))


def shadowed(ours: Sequence[str], names: Iterable[str]) -> list[Diagnostic]:
    """Warnings about options of ours that were given and are called like a parameter of the flow."""
    given = {argument.partition("=")[0] for argument in ours if argument.startswith("--")}
    return [
        warning(
            "FI946",
            f"--{name} is an option of this command, and a parameter of the flow too",
            detail="the option was set, not the parameter",
            hint=f"give the parameter as --param {name}=VALUE",
        )
        for name in names
        if f"--{name}" in given
    ]


def parameter_texts(rest: Sequence[str], kinds: Mapping[str, str], assigned: Iterable[str] = ()) -> Given:
    """What was given for parameters.

    Args:
        rest: what is left of the command line.
        kinds: the flow's parameters by name, with their types.
        assigned: the ``name=value`` of ``--param``.
    """
    texts: dict[str, str] = {}
    empty: list[str] = []
    found: list[Diagnostic] = []
    plain = {_plain(name): name for name in kinds}
    left = list(rest)
    while left:
        argument = left.pop(0)
        if not argument.startswith("--"):
            found.append(
                error("FI947", f"{argument!r} belongs to no option", hint="parameters are given as --name VALUE")
            )
            continue
        name, equals, value = argument[2:].partition("=")
        known = plain.get(_plain(name))
        negated = plain.get(_plain(name[3:])) if known is None and name.startswith("no-") else None
        if equals:
            texts[known or name] = value
        elif negated is not None and kinds[negated] == "bool":
            texts[negated] = "false"
        elif known is not None and kinds[known] == "bool":
            texts[known] = left.pop(0) if left and left[0].strip().lower() in _TRUE_OR_FALSE else "true"
        elif left and not left[0].startswith("--"):
            texts[known or name] = left.pop(0)
        elif known is not None:
            empty.append(known)
            found.append(error("FI945", f"--{name} has no value", hint=f"write --{name} VALUE, or --{name}=VALUE"))
        else:
            texts[name] = ""
    for text in assigned:
        name, equals, value = text.partition("=")
        if not equals or not name:
            found.append(error("FI944", f"--param {text}: it is no name=value", hint="e.g. --param alpha=0.5"))
        else:
            texts[plain.get(_plain(name), name)] = value
    return Given(texts, tuple(found), frozenset(empty))


def parameter_values(
    declared: Sequence[Mapping[str, Any]],
    given: Given,
    flow: str,
    *,
    options: Iterable[str] = (),
    recorded: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The values of what was given as JSON by name, with the defaults of what was not: a run's input.

    Args:
        declared: the parameters, as a release has them.
        given: what was given.
        flow: the flow's name, for the messages.
        options: our own, as they are written: who misspells one of them means no parameter.
        recorded: values as JSON that hold where none is given.

    Raises:
        ParameterError: everything that is wrong, at once, with the signature.
    """
    from flowinfra.runtime.parameters import check_parameters, parse_text, signature

    known = {_plain(p["name"]): p for p in declared}
    ours = list(options)
    values: dict[str, Any] = dict(recorded or {})
    found: list[Diagnostic] = list(given.findings)
    unread: set[str] = set(given.without_value)
    for name, text in given.texts.items():
        parameter = known.get(_plain(name))
        if parameter is None:
            meant = get_close_matches(f"--{name}", [*ours, *(f"--{p['name']}" for p in declared)], n=1, cutoff=0.7)
            if meant and meant[0] in ours:
                found.append(error("FI943", f"there is no option --{name} (did you mean '{meant[0]}'?)"))
            else:
                values[name] = text
            continue
        try:
            values[parameter["name"]] = parse_text(parameter, text)
        except ParameterError as why:
            unread.add(parameter["name"])
            found += why.diagnostics
    complete: dict[str, Any] = {}
    asked = [{**p, "required": False} if p["name"] in unread else p for p in declared]  # it is given, if not well
    try:
        complete = check_parameters(asked, values, flow)
    except ParameterError as why:
        found += [d for d in why.diagnostics if d.severity is Severity.ERROR]
    if found:
        note = Diagnostic("FI716", Severity.NOTE, f"the parameters are {signature(declared, flow)}")
        raise ParameterError([*found, note])
    return complete


def parameters_of(flow: type[FlowSpec]) -> dict[str, Parameter[Any]]:
    """The parameters of *flow* by the name that callers use, in the order in which they are written."""
    from flowinfra.authoring.parameters import Parameter

    there: dict[str, Any] = {}
    for owner in reversed(flow.__mro__):
        for attribute, value in vars(owner).items():
            there.pop(attribute, None)
            there[attribute] = value
    return {p.name: p for p in there.values() if isinstance(p, Parameter)}


def described(parameter: Parameter[Any], options: Iterable[str] = ()) -> tuple[str, str]:
    """A parameter for a help text: how it is given among our *options*, and what it is."""
    option = f"--{parameter.name}"
    if option in options:
        usage = f"--param {parameter.name}={_metavar(parameter.kind)}"
    elif parameter.kind == "bool":
        usage = f"{option} / --no-{parameter.name}"
    else:
        usage = f"{option} {_metavar(parameter.kind)}"
    if parameter.required:
        note = "required"
    elif parameter.callable_default is not None:
        note = "default: computed"
    elif parameter.default is None:
        note = ""
    else:
        note = f"default: {_shown(parameter.default)}"
    return usage, "  ".join(part for part in (parameter.help, note and f"[{note}]") if part)


def hoisted(arguments: Sequence[str], commands: Iterable[str], options: Mapping[str, int], default: str) -> list[str]:
    """The arguments of a group with the subcommand in front, so that options may stand on either side of it.

    Without a subcommand, *default* is it.
    """
    known = set(commands)
    skip = 0
    for at, argument in enumerate(arguments):
        if skip:
            skip -= 1
        elif argument.startswith("-"):
            skip = options.get(argument, 0)
        elif argument in known:
            return [argument, *arguments[:at], *arguments[at + 1 :]]
        else:
            return list(arguments[at:])  # no command of ours: the group says so, and what is near
    if {"--help", "-h"}.intersection(arguments):
        return list(arguments)
    return [default, *arguments]


def _is_short(argument: str) -> bool:
    return argument.startswith("-") and not argument.startswith("--") and len(argument) > 1


def _metavar(kind: str) -> str:
    return {"list": "JSON", "dict": "JSON", "json": "JSON", "file": "PATH", "str": "TEXT"}.get(kind, kind.upper())


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict, bool)) else str(value)


def _plain(name: str) -> str:
    return name.replace("-", "_")
