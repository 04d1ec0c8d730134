"""Where a command writes: data to stdout, everything else to stderr, coloured only where someone looks."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TextIO

from flowinfra.diagnostics import ControlError, error

__all__ = ["OUTPUT_LOST", "Console", "Style", "emit", "tolerant"]

#: The code of the one finding that stdout cannot tell.
OUTPUT_LOST: Final = "FI831"

ColorChoice = Literal["auto", "always", "never"]

_CODES: Final[Mapping[str, str]] = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
Style = str


def tolerant() -> None:
    """Let stdout and stderr write what their encoding has no character for as an escape, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def emit(stream: TextIO, text: str) -> None:
    """Write *text*; once nobody reads the stream any more, what is written to it is dropped and the work goes on.

    So it does when the disk behind it is full, which is said.
    """
    try:
        stream.write(text)
        stream.flush()
    except OSError as exc:
        _drop(stream)
        if stream is not sys.stderr and not isinstance(exc, BrokenPipeError):
            emit(sys.stderr, f"the rest is not shown, the work goes on: {exc.strerror}\n")


def _drop(stream: TextIO) -> None:
    """What is, and will be, in the buffer of *stream* goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@dataclass(frozen=True, slots=True)
class Console:
    """One command's way to its user.

    Attributes:
        as_json: stdout gets exactly one JSON document.
        color: when to colour (``auto``: on a terminal, unless ``NO_COLOR`` is set or ``FORCE_COLOR`` says otherwise).
        interactive: whether questions may be asked.
        out: where data goes, by default stdout. With ``--json`` others that print into stdout are sent elsewhere.
    """

    as_json: bool = False
    color: ColorChoice = "auto"
    interactive: bool = True
    out: TextIO | None = None

    def data(self, text: str) -> None:
        """Print what was asked for.

        Raises:
            BrokenPipeError: nobody reads it.
            ControlError: FI831, it cannot be written.
        """
        stream = self.out or sys.stdout
        try:
            stream.write(text if text.endswith("\n") or not text else text + "\n")
            stream.flush()
        except BrokenPipeError:
            raise
        except OSError as exc:
            _drop(stream)
            raise ControlError(
                error(
                    "FI831",
                    f"the output cannot be written: {exc.strerror}",
                    detail="what the command did is done; only what it had to say is lost",
                    hint="free space where its output goes, or send it elsewhere",
                )
            ) from exc

    def document(self, value: Any) -> None:
        """Print the one JSON document of a command with ``--json``."""
        self.data(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False))

    def note(self, text: str = "") -> None:
        """Say something about progress."""
        emit(sys.stderr, text + "\n")

    def live(self) -> bool:
        """Whether someone watches, so that lines may be redrawn."""
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and "CI" not in os.environ

    def colored(self, stream: TextIO) -> bool:
        """Whether *stream* gets colours (https://no-color.org)."""
        if self.color != "auto":
            return self.color == "always"
        if os.environ.get("NO_COLOR"):
            return False
        return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")

    def style(self, text: str, *styles: Style, stream: TextIO | None = None) -> str:
        """*text* in *styles*, if the stream (stdout by default) gets colours."""
        if not styles or not self.colored(stream or self.out or sys.stdout):
            return text
        return f"\x1b[{';'.join(_CODES[s] for s in styles)}m{text}\x1b[0m"

    def confirm(self, question: str) -> bool:
        """Ask; False where nobody can be asked or the answer is not yes."""
        if not self.interactive or self.as_json or not sys.stdin.isatty():
            return False
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")
