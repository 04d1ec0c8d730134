"""The program that calls the exit hooks of a run that has ended: ``RELEASE FLOW RUN STATE FD``.

It is started by whoever carried the run out (:mod:`flowinfra.runtime.hooks`), which knows it by its name only. Where
store and code are stands in its environment, as for a task.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from flowinfra.authoring.configs import ConfigSources
from flowinfra.authoring.loader import load_function
from flowinfra.control.client import Run
from flowinfra.control.place import Address, Place
from flowinfra.diagnostics import FlowinfraError
from flowinfra.model.states import RunState
from flowinfra.packaging import release
from flowinfra.packaging.store import Store
from flowinfra.runtime.failures import user_trace
from flowinfra.runtime.hooks import asked_hooks
from flowinfra.wire import ENV_CODE, ENV_STORE

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Call the hooks, each whatever the others do; how many of them have failed."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    digest, flow, run, state, ends = argv
    _end_with(int(ends))
    sys.path.insert(0, os.environ[ENV_CODE])
    try:
        place = Place.open(Store.open(os.environ[ENV_STORE]))
        document = release.load(place.store, digest)
        node = Run(Address(place, (flow, run)))
    except FlowinfraError as why:
        sys.stderr.write(f"{why}\n")
        return 1
    configs = ConfigSources.of_release(document)
    asked = asked_hooks(document, RunState(state))
    return sum(not _called(entrypoint, configs, node) for entrypoint in asked)


def _end_with(fd: int) -> None:
    """End this process and all that it has started when the other end of the pipe *fd* is closed."""
    os.set_inheritable(fd, False)

    def wait() -> None:
        os.read(fd, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, name="flowinfra-end", daemon=True).start()


def _called(entrypoint: str, configs: ConfigSources, run: Run) -> bool:
    try:
        function = load_function(entrypoint, configs)
        function(*([run] if _takes_run(function) else []))
    except FlowinfraError as why:
        sys.stderr.write(f"the exit hook {entrypoint} has failed\n{why}\n")
    except (Exception, SystemExit) as why:  # noqa: BLE001 - a hook may raise anything
        sys.stderr.write(f"the exit hook {entrypoint} has failed\n{user_trace(why)}\n")
    else:
        return True
    return False


def _takes_run(function: Callable[..., Any]) -> bool:
    import inspect

    kinds = [p.kind for p in inspect.signature(function).parameters.values()]
    return any(kind not in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD) for kind in kinds)
