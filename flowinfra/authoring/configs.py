"""``Config``: values that a flow is shaped by, read once, when its class is loaded.

A parameter is given when a run starts. A config is there before that: it may say what a decorator is given, what a
parameter's default is, and what a deployment looks like. So it is part of what is released: whoever loads a flow says
where its configs come from (:class:`ConfigSources`), the release records what was read, and its tasks get that and never
read a file again.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flowinfra.authoring.frozen import frozen, misfit, plain
from flowinfra.authoring.later import Held, Later, Names, settled
from flowinfra.authoring.parameters import Parameter
from flowinfra.authoring.settings import caller, mark_of, placed
from flowinfra.diagnostics import AuthoringError, Diagnostic, Source, error, nearest

__all__ = [
    "Binding",
    "Config",
    "ConfigSources",
    "Reading",
    "bindings_of",
    "configs_of",
    "differs",
    "names_of",
    "reading",
    "settle",
]


@dataclass(frozen=True, slots=True)
class Binding:
    """A config as a release records it: its name, the attribute that holds it, its value, and where it is written."""

    name: str
    attribute: str
    value: Any
    source: Source


#: Turns the text of a config into its value.
Parser = Callable[[str], Any]


class _Missing:
    """Tells a default of ``None`` from none."""


_MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True)
class ConfigSources:
    """Where the configs of a flow come from while it is loaded.

    Attributes:
        files: by name: the file that is read instead of the default.
        values: by name: a text as a file would hold it, or the value itself.
        recorded: by name: what a release has recorded; it holds as it is.
        complete: what is not recorded is not read either.
    """

    files: Mapping[str, Path] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    recorded: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = False

    @classmethod
    def given(
        cls,
        files: Iterable[tuple[str, str | os.PathLike[str]]] | Mapping[str, str | os.PathLike[str]] = (),
        values: Iterable[tuple[str, Any]] | Mapping[str, Any] = (),
    ) -> ConfigSources:
        """What callers say: pairs of a name and a file, and of a name and a value.

        Raises:
            AuthoringError: FI169, one config is given twice.
        """
        read, said = _pairs(files), _pairs(values)
        names = [*(_plain(name) for name, _ in read), *(_plain(name) for name, _ in said)]
        twice = dict.fromkeys(name for name in names if names.count(name) > 1)
        if twice:
            raise AuthoringError(
                error(
                    "FI169",
                    f"the config {name!r} is given {names.count(name)} times",
                    detail="which of them holds would depend on the order in which they are read",
                    hint=f"give one --config {name} FILE, or one --config-value {name} JSON",
                )
                for name in twice
            )
        return cls({_plain(n): Path(f) for n, f in read}, {_plain(n): v for n, v in said})

    @classmethod
    def of_release(cls, release: Mapping[str, Any]) -> ConfigSources:
        """What a release has recorded, given its plain JSON: whoever runs it gets these values and reads no file."""
        there = release.get("bindings", ())
        return cls(recorded={_plain(b["name"]): b["value"] for b in there if b["kind"] == "config"}, complete=True)

    @classmethod
    def of_values(cls, recorded: Mapping[str, Any]) -> ConfigSources:
        """Values by name that hold as they are; other configs are read as they would be without them."""
        return cls(recorded={_plain(name): value for name, value in recorded.items()})

    def names(self) -> list[str]:
        """The configs that are given."""
        return [*self.files, *self.values]


@dataclass(slots=True)
class Reading:
    """The loading of one flow file: where configs come from, those that were made, and what is wrong with them."""

    sources: ConfigSources
    made: list[Config] = field(default_factory=list)
    found: list[Diagnostic] = field(default_factory=list)


_READING: Final[ContextVar[Reading | None]] = ContextVar("flowinfra_configs", default=None)


@contextlib.contextmanager
def reading(sources: ConfigSources) -> Iterator[Reading]:
    """While a flow file is imported: its configs come from *sources*.

    Raises:
        AuthoringError: at the end, with everything that is wrong with them. What a flow file makes of a config that is
            not there is no finding of its own.
    """
    session = Reading(sources)
    token = _READING.set(session)
    try:
        yield session
        if not sources.complete:
            session.found += [*_misplaced(session.made), *_unknown(session)]
    except Exception:
        if not session.found:
            raise
    finally:
        _READING.reset(token)
    if session.found:
        raise AuthoringError(session.found)


class Config(Held):
    """A value of a flow that is read when its class is loaded; an attribute of the class, read-only in its steps.

    In the body of the class and in steps, what it holds is read by attribute or item (``config.training.epochs``), also
    in the arguments of decorators and as the default of a parameter.

    Args:
        name: how callers name it: ``--config NAME FILE``, ``--config-value NAME JSON``.
        default: a file, relative to the one that the flow is written in.
        default_value: instead of a file: the value, or its text.
        help: one line for the command line and the docs.
        required: a file or a value must be given, unless there is a default.
        parser: makes the value of a text; a function, or ``"module.function"``. Without it the text is JSON.

    Raises:
        AuthoringError: an argument is not usable (FI160). While a flow is loaded, this and what is wrong with the value
            (FI161 to FI166) comes with all else that is wrong with configs.
    """

    __slots__ = ("_state",)

    def __init__(
        self,
        name: str,
        default: str | os.PathLike[str] | None = None,
        default_value: Any = _MISSING,
        help: str = "",
        required: bool | None = None,
        parser: str | Parser | None = None,
    ) -> None:
        source = caller()
        session = _READING.get()
        state = _State(name, default, default_value, help, bool(required), parser, source)
        self._state = state
        found = list(_misused(state))
        if not found:
            found = state.read(session.sources if session else _of_program())
        state.problems = found
        if session is not None:
            session.made.append(self)
            session.found += found
        elif any(d.code == "FI160" for d in found):
            raise AuthoringError(found)

    def __set_name__(self, owner: type, name: str) -> None:
        self._state.attribute = name

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else self._value()

    def __set__(self, instance: Any, value: Any) -> None:
        raise AttributeError(f"the config {self._state.name} cannot be set inside a run; use another attribute")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_state":
            raise AttributeError(name)
        return getattr(self._now_or_later(), name)

    def __getitem__(self, key: Any) -> Any:
        return self._now_or_later()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._value())

    def __len__(self) -> int:
        return len(self._value())

    def __contains__(self, key: object) -> bool:
        return key in self._value()

    def __repr__(self) -> str:
        return f"Config({self._state.name!r})"

    def _value(self) -> Any:
        """What was read.

        Raises:
            AuthoringError: why there is nothing.
        """
        state = self._state
        if not state.known:
            raise AuthoringError(state.problems or [_unread(state)])
        return state.value

    def _now_or_later(self) -> Any:
        return (
            self._state.value
            if self._state.known
            else Later(self._state.name, lambda _: self._value(), self._state.source)
        )


@dataclass(slots=True)
class _State:
    """What is known of a config; apart from it, because its attributes are those of its value."""

    name: str
    default: str | os.PathLike[str] | None
    default_value: Any
    help: str
    required: bool
    parser: str | Parser | None
    source: Source
    attribute: str = ""
    known: bool = False
    value: Any = None
    problems: list[Diagnostic] = field(default_factory=list)

    def read(self, sources: ConfigSources) -> list[Diagnostic]:
        """Read the value out of the first place that has one; what is wrong with it."""
        name = _plain(self.name)
        if name in sources.recorded:
            self._keep(sources.recorded[name])
            return []
        if sources.complete:
            if not isinstance(self.default_value, (_Missing, str)):
                self._take(self.default_value, "")  # of another flow in the file: that is all that is there of it
            return []
        if name in sources.values:
            value = sources.values[name]
            return self._parse(value, "its value") if isinstance(value, str) else self._take(value, "its value")
        if name in sources.files:
            return self._read_file(sources.files[name].expanduser(), given=True)
        if self.default is not None:
            return self._read_file(Path(self.source.file).parent / self.default, given=False)
        if isinstance(self.default_value, str):
            return self._parse(self.default_value, "its default_value")
        if not isinstance(self.default_value, _Missing):
            return self._take(self.default_value, "its default_value")
        if self.required:
            hint = (
                f"give --config {self.name} FILE or --config-value {self.name} JSON; from Python config=, config_value="
            )
            return [self._wrong("FI166", "it is required, and neither a file nor a value is given", hint=hint)]
        self._keep(None)
        return []

    def _read_file(self, file: Path, *, given: bool) -> list[Diagnostic]:
        try:
            return self._parse(file.read_text(encoding="utf-8"), str(file) if given else str(self.default))
        except (OSError, UnicodeDecodeError) as why:
            what = (
                f"its text is no UTF-8: {why.reason}"
                if isinstance(why, UnicodeDecodeError)
                else why.strerror or str(why)
            )
            relative = "the folder that the command is given in" if given else "the file that the flow is written in"
            hint = f"make the file, or correct its path; it is relative to {relative}"
            return [self._wrong("FI161", f"{file} cannot be read", what, hint)]

    def _parse(self, text: str, place: str) -> list[Diagnostic]:
        if self.parser is None:
            try:
                return self._take(json.loads(text), place)
            except ValueError as why:
                hint = "mend the JSON; for another format give a parser, e.g. parser=tomllib.loads"
                return [self._wrong("FI162", f"{place} is no JSON: {why}", _line_of(text, why), hint)]
        try:
            return self._take(_found(self.parser)(text), place)
        except Exception as why:  # noqa: BLE001 - the author's parser may raise anything
            named = self.parser if isinstance(self.parser, str) else getattr(self.parser, "__qualname__", "the parser")
            hint = "a parser is given the text, and gives dicts, lists, texts and numbers"
            said = f"{type(why).__name__}: {why}" if str(why) else type(why).__name__
            return [self._wrong("FI164", f"its parser {named} cannot read {place}", said, hint)]

    def _take(self, value: Any, place: str) -> list[Diagnostic]:
        wrong = misfit(value)
        if wrong:
            hint = (
                "a config is made of dicts, lists, texts, numbers, true, false and null; a parser may convert the rest"
            )
            return [self._wrong("FI163", f"{place} is no JSON value", wrong, hint)]
        self._keep(value)
        return []

    def _keep(self, value: Any) -> None:
        self.value, self.known = frozen(value), True

    def _wrong(self, code: str, what: str, detail: str = "", hint: str = "") -> Diagnostic:
        return error(code, f"the config {self.name!r}: {what}", detail=detail, hint=hint, source=placed(self.source))


def configs_of(flow: type) -> dict[str, Config]:
    """The configs of *flow* by attribute, those of its bases first."""
    there: dict[str, Any] = {}
    for owner in reversed(flow.__mro__):
        for attribute, value in vars(owner).items():
            there.pop(attribute, None)
            there[attribute] = value
    return {attribute: value for attribute, value in there.items() if isinstance(value, Config)}


def differs(flow: type, sources: ConfigSources) -> bool:
    """Whether *flow* was loaded with other configs than *sources* have recorded."""
    return any(
        not state.known or plain(state.value) != sources.recorded[_plain(state.name)]
        for state in (config._state for config in configs_of(flow).values())
        if _plain(state.name) in sources.recorded
    ) or (not sources.complete and any(not config._state.known for config in configs_of(flow).values()))


def names_of(flow: type) -> Names:
    """The values of the configs of *flow*, by attribute and by name, as expressions name them."""
    out: dict[str, Any] = {}
    for attribute, config in configs_of(flow).items():
        value = config._now_or_later()
        out |= {attribute: value, config._state.name: value}
    return out


def bindings_of(flow: type) -> tuple[list[Binding], list[Diagnostic]]:
    """What the configs of *flow* hold, to be recorded in its release, and what is wrong with them."""
    out: list[Binding] = []
    found: list[Diagnostic] = []
    names: dict[str, str] = {}
    for attribute, config in configs_of(flow).items():
        state = config._state
        other = names.setdefault(_plain(state.name), attribute)
        if other != attribute:
            found.append(
                error(
                    "FI160",
                    f"two configs are called {state.name!r}: {other} and {attribute}",
                    hint="give one of them another name",
                    source=placed(state.source),
                )
            )
        elif not state.known:
            found += state.problems or [_unread(state)]
        else:
            out.append(Binding(state.name, attribute, plain(state.value), placed(state.source)))
    return out, found


def settle(flow: type) -> list[Diagnostic]:
    """Resolve what decorators and parameters of *flow* were given as expressions; what cannot be resolved stays.

    It is called when a class is complete, and again when its graph is read: then what is left is a finding.
    """
    names = names_of(flow)
    found: list[Diagnostic] = []
    for owner in flow.__mro__:
        for value in vars(owner).values():
            if isinstance(value, Parameter):
                found += value.settle(names)
            elif mark_of(value) is not None:
                found += settled(value, names)
    return found


def _misused(state: _State) -> Iterator[Diagnostic]:
    name = state.name
    problems: list[tuple[str, str]] = []
    if not isinstance(name, str) or not _plain(name).isidentifier() or name.startswith("_"):
        problems.append((f"{name!r} is no name of a config", "a name is made of letters, digits, _ and -"))
    if state.default is not None and not isinstance(state.default_value, _Missing):
        problems.append(("it has a default and a default_value", "default is a file, default_value a value; keep one"))
    if state.default is not None and not isinstance(state.default, (str, os.PathLike)):
        problems.append((f"default={state.default!r} is no path of a file", "give a value as default_value="))
    if state.parser is not None and not callable(state.parser) and not isinstance(state.parser, str):
        problems.append((f"parser={state.parser!r} is no function", "give one, or its place as 'module.function'"))
    if not isinstance(state.help, str):
        problems.append((f"help={state.help!r} is no text", "write one line for the command line"))
    for what, hint in problems:
        yield error("FI160", f"Config: {what}", hint=hint, source=placed(state.source))


def _misplaced(made: Iterable[Config]) -> Iterator[Diagnostic]:
    for config in made:
        if not config._state.attribute:
            yield error(
                "FI160",
                f"Config: {config._state.name!r} is no attribute of a flow's class",
                detail="a release records the configs of its flow, and its tasks find them there",
                hint="make it in the body of the class, above what uses it",
                source=placed(config._state.source),
            )


def _unknown(session: Reading) -> Iterator[Diagnostic]:
    known = {_plain(config._state.name): config._state.name for config in session.made}
    for name in session.sources.names():
        if name not in known:
            yield error(
                "FI165",
                f"there is no config {name!r}{nearest(name, known.values())}",
                detail=f"the configs are {', '.join(known.values())}" if known else "the flow has none",
                hint="give values to parameters as --NAME VALUE; a config is an attribute Config(...) of the flow",
            )


def _unread(state: _State) -> Diagnostic:
    return error(
        "FI166",
        f"the config {state.name!r}: the release that is run has not recorded it",
        detail="a release records the configs of its own flow",
        hint="use a config only in the flow that it is an attribute of",
        source=placed(state.source),
    )


def _of_program() -> ConfigSources:
    """The options of ``python flow.py --config NAME FILE``, which runs the file once before it reads them."""
    main = sys.modules.get("__main__")
    if getattr(main, "__file__", None) != caller().file:
        return ConfigSources()
    given: dict[str, dict[str, Any]] = {"--config": {}, "--config-value": {}}
    for at, argument in enumerate(sys.argv[1:-2], 1):
        if argument in given:
            given[argument][_plain(sys.argv[at + 1])] = sys.argv[at + 2]
    return ConfigSources({n: Path(f) for n, f in given["--config"].items()}, given["--config-value"])


def _found(parser: str | Parser) -> Parser:
    """The function that a parser's place names."""
    if not isinstance(parser, str):
        return parser
    module, _, name = parser.rpartition(".")
    found: Any = getattr(importlib.import_module(module or "builtins"), name)
    if not callable(found):
        raise TypeError(f"{parser} is no function")
    made: Parser = found
    return made


def _line_of(text: str, why: ValueError) -> str:
    """The line of *text* that is no JSON."""
    at = why.lineno if isinstance(why, json.JSONDecodeError) else 0
    lines = text.splitlines()
    return f"line {at} is: {lines[at - 1].strip()[:80]}" if 0 < at <= len(lines) else ""


def _pairs(given: Any) -> list[tuple[str, Any]]:
    return list(given.items() if isinstance(given, Mapping) else given)


def _plain(name: str) -> str:
    return name.replace("-", "_") if isinstance(name, str) else str(name)
