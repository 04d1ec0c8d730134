"""Shell completion: what may follow in a command line that is not finished.

The shell's script calls ``flowinfra`` with ``_FLOWINFRA_COMPLETE=<shell>`` and the line as arguments. It gets a line
that says how to treat what follows (a :class:`Treatment`), then one candidate per line. The commands themselves are the
table: their options, the types of those, and the words in capitals of their usage lines (``FILE``, ``RUN``, ``STACK``)
say what may stand where.
"""

from __future__ import annotations

import enum
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from flowinfra.cli import choices
from flowinfra.cli.arguments import own_options
from flowinfra.cli.choices import Choice, Outline, OutlinedParameter
from flowinfra.cli.groups import DefaultGroup, NearestGroup

__all__ = ["Answer", "Treatment", "answer", "complete", "serve"]

_CAPITALS: Final = re.compile(r"[A-Z]+")
#: What the words of some commands mean, where their usage line only says NAME.
_MEANT: Final[Mapping[str, str]] = {
    "stack select NAME": "STACK",
    "stack rm NAME": "STACK",
    "diff A": "FILE",
    "diff B": "FILE",
}


class Treatment(enum.StrEnum):
    """What a shell does with the candidates."""

    WORDS = "words"
    OPEN = "open"
    """They go on: no space comes behind."""
    NAMES = "names"
    """They are names of files and folders."""
    FILES = "files"
    """There are none: the shell offers files by itself."""
    FOLDERS = "folders"
    """As files, but only folders."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The candidates and what to do with them."""

    found: tuple[Choice, ...] = ()
    treatment: Treatment = Treatment.WORDS


def answer(group: NearestGroup, shell: str, arguments: Sequence[str]) -> str:
    """What the script of *shell* reads; *arguments* are what it gave.

    bash gives its line up to the cursor, and the part of the last word that it will replace: it splits words at colons
    and equals signs. The others give their words, the last one being the one that is not finished.
    """
    if shell == "bash":
        from click.shell_completion import split_arg_string

        words = split_arg_string(f"{arguments[0]}\0")[1:]
        words[-1] = words[-1].removesuffix("\0")
    else:
        words = list(arguments) or [""]
    found = complete(group, words[:-1], words[-1])
    lines = [str(found.treatment)]
    if shell == "bash":
        kept = words[-1].removesuffix(arguments[1]) if words[-1].endswith(arguments[1]) else ""
        lines += [choice.value.removeprefix(kept) for choice in found.found]
    else:
        lines += [_line(choice, escaped=shell == "zsh") for choice in found.found]
    return "\n".join(lines)


def _line(choice: Choice, *, escaped: bool) -> str:
    said = " ".join(choice.help.split())
    if not escaped:
        return f"{choice.value}\t{said}" if said else choice.value
    value = choice.value.replace("\\", "\\\\").replace(":", "\\:")
    return f"{value}:{said}" if said else value


def complete(group: NearestGroup, words: Sequence[str], begun: str, start: Path | None = None) -> Answer:
    """What the word *begun* behind *words* may become.

    Args:
        group: whose command line it is.
        words: the words before, without the program's name.
        begun: the word that is not finished; may be empty.
        start: the folder in which one types (default: the current one).
    """
    folder = start or Path.cwd()
    command: click.Command = group
    left, path = list(words), ""
    offered: list[Choice] = []
    with click.Context(group, info_name="flowinfra", resilient_parsing=True) as context:
        while isinstance(command, NearestGroup):
            names = command.list_commands(context)
            at = _place(left, names, _options(command))
            if at is None and (isinstance(command, DefaultGroup) or not left):
                offered += [Choice(name, command.said_of(context, name)) for name in names]
            name = left.pop(at) if at is not None else names[0] if isinstance(command, DefaultGroup) else None
            following = None if name is None else command.get_command(context, name)
            if name is None or following is None:
                offered += [Choice("--help"), *(Choice("--version") for _ in "v" if command is group)]
                return _fitting(Answer(tuple(offered)), begun)
            command, path = following, f"{path} {name}".strip()
        if not command.params:  # which command it is depends on what it is about
            command = command.make_context(command.name, list(left), context, resilient_parsing=True).command
        line = _Line(command, path, left, _folder(left, folder))
        found = line.answer(context, begun)
    return _fitting(Answer((*offered, *found.found), found.treatment), begun)


def _place(words: Sequence[str], names: Iterable[str], options: Mapping[str, int]) -> int | None:
    """Where the first word stands that is no option and no value of one, if it is one of *names*."""
    known, skip = set(names), 0
    for at, word in enumerate(words):
        if skip:
            skip -= 1
        elif word.startswith("-"):
            skip = options.get(word, 0)
        else:
            return at if word in known else None
    return None


def _options(group: click.Group) -> dict[str, int]:
    options = own_options(group.params)
    for command in group.commands.values():
        options.update(own_options(command.params))
    return options


def _folder(words: Sequence[str], start: Path) -> Path:
    """The folder that ``--cwd`` names."""
    for at, word in enumerate(words):
        if word in {"--cwd", "-C"} and at + 1 < len(words):
            return start / words[at + 1]
        if word.startswith("--cwd="):
            return start / word.removeprefix("--cwd=")
    return start


def _fitting(found: Answer, begun: str) -> Answer:
    fitting = tuple(c for c in found.found if c.value.startswith(begun) and (begun or not c.value.startswith("-")))
    treatment = found.treatment
    if treatment is Treatment.WORDS and any(c.value.endswith(("/", "=")) for c in fitting):
        treatment = Treatment.OPEN
    return Answer(fitting, treatment)


class _Line:
    """The words behind a command."""

    def __init__(self, command: click.Command, path: str, words: Sequence[str], folder: Path) -> None:
        self.command = command
        self.path = path
        self.folder = folder
        self.options = {
            name: p for p in command.params if isinstance(p, click.Option) for name in (*p.opts, *p.secondary_opts)
        }
        takes = own_options(command.params)
        self.outline, self.all_parameters = self._about(words, takes)
        # One that is called like an option is given with --param.
        self.parameters = {f"--{p.name}": p for p in self.all_parameters if f"--{p.name}" not in takes}
        self.given: set[str] = set()
        self.plain: list[str] = []
        self.waiting: tuple[str, int] | None = None  # the option of which the next word is a value, and the which
        left = 0
        for word in words:
            name, equals, _ = word.partition("=")
            if self.waiting is not None:
                left -= 1
                self.waiting = (self.waiting[0], self.waiting[1] + 1) if left else None
            elif word.startswith("-") and len(word) > 1:
                self.given.add(name)
                known = self.parameters.get(name)
                left = 0 if equals else takes.get(name, int(known is not None and known.kind != "bool"))
                self.waiting = (name, 0) if left else None
            else:
                self.plain.append(word)

    def _about(self, words: Sequence[str], takes: Mapping[str, int]) -> tuple[Outline, Sequence[OutlinedParameter]]:
        """The flow that the command is about, and the parameters that it takes."""
        usage = self.command.collect_usage_pieces(click.Context(self.command, resilient_parsing=True))
        takes_parameters = "[PARAMETERS]" in usage
        if any("FILE" in piece for piece in usage):
            file = next((w for w in words if w.partition(":")[0].endswith(".py")), None)
            flow = choices.outline(self.folder, file) if file else Outline()
            return flow, flow.parameters if takes_parameters else ()
        at = next(
            (n for n, w in enumerate(words) if not w.startswith("-") and not (n and takes.get(words[n - 1]))), None
        )
        if not takes_parameters or at is None:
            return Outline(), ()
        return Outline(), choices.deployed_parameters(words[at], self.folder)

    def answer(self, context: click.Context, begun: str) -> Answer:
        """What may stand behind them."""
        if self.waiting is not None:
            return self._values(*self.waiting, begun)
        name, equals, value = begun.partition("=")
        if equals and name.startswith("--"):
            found = self._values(name, 0, value)
            return Answer(tuple(Choice(f"{name}={c.value}", c.help) for c in found.found), found.treatment)
        if begun.startswith("-"):
            return Answer(tuple(self._names()))
        return self._words(context, begun)

    def _names(self) -> Iterable[Choice]:
        """The options that may still be given."""
        for parameter in self.parameters.values():
            names = [f"--{parameter.name}", *([f"--no-{parameter.name}"] if parameter.kind == "bool" else [])]
            if self.given.isdisjoint(names):
                yield from (Choice(name, parameter.help) for name in names)
        for option in dict.fromkeys(self.options.values()):
            names = [n for n in (*option.opts, *option.secondary_opts) if n.startswith("--")]
            if not option.hidden and (option.multiple or self.given.isdisjoint((*option.opts, *option.secondary_opts))):
                yield from (Choice(name, option.help or "") for name in names)
        yield Choice("--help", "Show the help.")

    def _values(self, name: str, at: int, begun: str) -> Answer:
        """The value number *at* of an option."""
        parameter, option = self.parameters.get(name), self.options.get(name)
        if parameter is not None:
            return Answer(treatment=Treatment.FILES) if parameter.kind == "file" else Answer()
        if name in {"--cwd", "-C"}:
            return Answer(treatment=Treatment.FOLDERS)
        if name in {"--stack", "-s"}:
            return Answer(tuple(choices.stacks(self.folder)))
        if name == "--with":
            return Answer(tuple(choices.decorators()))
        if name in {"--param", "-p"}:
            return Answer(tuple(Choice(f"{p.name}=", p.help) for p in self.all_parameters))
        if name in {"--config", "--config-value"}:
            if at == 0:
                return Answer(tuple(Choice(config) for config in self.outline.configs))
            return Answer(treatment=Treatment.FILES) if name == "--config" else Answer()
        if option is not None and option.metavar == "RUN":
            return Answer(tuple(choices.runs(self.folder, begun)))
        return _typed(option.type) if option is not None else Answer()

    def _words(self, context: click.Context, begun: str) -> Answer:
        """What the next word may be."""
        pieces = [p for p in self.command.collect_usage_pieces(context) if p not in {"[OPTIONS]", "[PARAMETERS]"}]
        at = len(self.plain)
        if at >= len(pieces) and not (pieces and "..." in pieces[-1]):
            return Answer()
        piece = pieces[min(at, len(pieces) - 1)]
        arguments = [p for p in self.command.params if isinstance(p, click.Argument)]
        typed = _typed(arguments[at].type) if at < len(arguments) else Answer()
        if typed != Answer():
            return typed
        kinds = _CAPITALS.findall(_MEANT.get(f"{self.path} {piece.strip('[]')}", piece))
        sources: dict[str, Callable[[], list[Choice]]] = {
            "FILE": lambda: choices.flow_files(self.folder, begun),
            "FLOW": lambda: choices.flows(self.folder),
            "RUN": lambda: choices.runs(self.folder, begun),
            "DEPLOYMENT": lambda: choices.deployments(self.folder),
            "STEP": lambda: [Choice(step) for step in self.outline.steps],
            "STACK": lambda: choices.stacks(self.folder),
        }
        found = {c.value: c for kind in dict.fromkeys(kinds) if kind in sources for c in sources[kind]()}
        return Answer(tuple(found.values()), Treatment.NAMES if kinds == ["FILE", "NAME"] else Treatment.WORDS)


def _typed(kind: click.ParamType[Any]) -> Answer:
    """What the type of an option or argument says."""
    if isinstance(kind, click.Choice):
        return Answer(tuple(Choice(str(value)) for value in kind.choices))
    if isinstance(kind, (click.Path, click.File)):
        return Answer(
            treatment=Treatment.FOLDERS if isinstance(kind, click.Path) and not kind.file_okay else Treatment.FILES
        )
    return Answer()


def serve(group: NearestGroup, shell: str, arguments: Sequence[str]) -> None:
    """Print the answer; nothing where there is none, whatever went wrong: someone is typing."""
    try:
        text = answer(group, shell, arguments)
    except Exception:  # noqa: BLE001 a trace in the middle of a line helps nobody
        return
    sys.stdout.write(text + "\n")
