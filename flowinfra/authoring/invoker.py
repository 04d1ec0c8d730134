"""The one call that goes up: ``MyFlow()`` at the end of a flow file starts the flow's own command line.

Whoever runs flows installs what should happen (the runtime while it loads a flow, the command line while it serves
one). Where nothing is installed, Python itself runs the flow file, and the command line is found by its name.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowinfra.authoring.flowspec import FlowSpec

__all__ = ["INVOKER", "Invoker", "ignore", "invoke", "serve"]

Invoker = Callable[[type["FlowSpec"]], None]

#: What calling a flow class does, in this context.
INVOKER: ContextVar[Invoker | None] = ContextVar("flowinfra_invoker", default=None)

_COMMAND_LINE = "flowinfra.cli.flowfile"


def ignore(flow: type[FlowSpec]) -> None:
    """For whoever imports a flow file and wants its classes only."""


def serve(file: Path) -> None:
    """A flow *file* that Python itself runs cannot be run to its end: its command line takes over, and ends the process.

    Nothing happens where something is installed in this context, or Python runs another file.
    """
    if INVOKER.get() is None and getattr(sys.modules.get("__main__"), "__file__", None) == str(file):
        importlib.import_module(_COMMAND_LINE).serve_file(file)


def invoke(flow: type[FlowSpec]) -> None:
    """Hand *flow* to what is installed in this context, else to the command line of flow files."""
    installed = INVOKER.get()
    if installed is not None:
        installed(flow)
        return
    main: Invoker = importlib.import_module(_COMMAND_LINE).main
    main(flow)
