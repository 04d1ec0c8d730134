"""The task program: ``flowinfra-task CODE RUN STEP TASK ATTEMPT``, one attempt of one task.

The five arguments are the same on every target: the digest of the release, the run, the step, the task's id, and the
number of the attempt (or ``fallback``). All else comes from the environment:

=====================  ============================================================================================
``FLOWINFRA_STORE``    URL of the store
``FLOWINFRA_CODE``     folder of the unpacked bundle; without it the bundle is fetched into the user's cache
``FLOWINFRA_ATTEMPT``  the orchestrator's own name of this attempt; else ``AWS_BATCH_JOB_ID``, else drawn
``FLOWINFRA_LOGS``     ``inherit`` where the orchestrator keeps what is printed; else it is kept in the store
=====================  ============================================================================================

The exit codes are :class:`flowinfra.runtime.task.Exit`: 0 done, 1 failed, 2 environment, 3 not worth repeating, 143
stopped.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from flowinfra.diagnostics import FlowinfraError, RunError, error
from flowinfra.packaging.store import Store
from flowinfra.runtime.logs import pumped
from flowinfra.runtime.redaction import Redaction
from flowinfra.runtime.task import Call, Exit, Prepared, Stopped, prepare, run_attempt, unprepared
from flowinfra.wire import ENV_ATTEMPT, ENV_CODE, ENV_LOGS, ENV_STORE, FALLBACK, TASK_PROGRAM, task_key

__all__ = ["console", "main"]


def main(argv: Sequence[str], environ: Mapping[str, str] | None = None, prepared: Prepared | None = None) -> int:
    """Carry out one attempt of one task.

    Args:
        argv: the five arguments.
        environ: the environment (default: that of the process).
        prepared: the release, where the process has it in memory and verified.

    Returns:
        An exit code, see :class:`flowinfra.runtime.task.Exit`; errors are on stderr.
    """
    env = os.environ if environ is None else environ
    with _stoppable():
        try:
            call, store = _read_call(argv, env)
            if prepared is None or prepared.digest != call.release:
                prepared = prepare(store, call.release)
            _find_code(prepared, store, env)
            unique = env.get(ENV_ATTEMPT) or env.get("AWS_BATCH_JOB_ID") or os.urandom(6).hex()
            prepared.lineage.check(call.step, call.task)
            redaction = Redaction(until_exit=env.get(ENV_LOGS) == "inherit")
            with redaction.afterwards(), _logs(call, prepared, store, unique, env):
                return run_attempt(call, store, prepared, unique, redaction)
        except FlowinfraError as why:
            sys.stderr.write(f"{why}\n")
            return unprepared(why)
        except Stopped:  # between two steps of ours: nothing has begun, or all is written
            return Exit.STOPPED


def console() -> NoReturn:
    """The program ``flowinfra-task``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    sys.exit(main(sys.argv[1:]))


def _read_call(argv: Sequence[str], env: Mapping[str, str]) -> tuple[Call, Store]:
    if len(argv) != 5 or not (argv[4].isdecimal() or argv[4] == FALLBACK):
        raise RunError(
            error(
                "FI720",
                f"usage: {TASK_PROGRAM} CODE RUN STEP TASK ATTEMPT; given were {' '.join(argv) or 'no arguments'}",
                detail=f"CODE is the digest of a release, ATTEMPT a number or {FALLBACK!r}",
                hint="orchestrators call this program; `flowinfra run` runs a flow",
            )
        )
    if not env.get(ENV_STORE):
        raise RunError(
            error(
                "FI720",
                f"{TASK_PROGRAM} is not told where the store is",
                hint=f"set {ENV_STORE} to its URL in the environment of the task",
            )
        )
    return Call(*argv), Store.open(env[ENV_STORE])


def _find_code(prepared: Prepared, store: Store, env: Mapping[str, str]) -> None:
    folder = env.get(ENV_CODE)
    if not folder:
        from flowinfra.packaging.unpack import ensure_unpacked

        folder = str(ensure_unpacked(store, prepared.release["bundle"], _cache(env)))
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _cache(env: Mapping[str, str]) -> Path:
    """A folder that only this user can write: code is run from it."""
    given = env.get("XDG_CACHE_HOME")
    with contextlib.suppress(OSError, RuntimeError):  # no home, or a read-only one
        cache = (Path(given) if given else Path.home() / ".cache") / "flowinfra"
        cache.mkdir(parents=True, exist_ok=True)
        if os.access(cache, os.W_OK):
            return cache
    return Path(tempfile.mkdtemp(prefix="flowinfra-"))


@contextlib.contextmanager
def _logs(call: Call, prepared: Prepared, store: Store, unique: str, env: Mapping[str, str]) -> Iterator[None]:
    if env.get(ENV_LOGS) == "inherit":
        yield
        return
    folder = f"attempts/{call.attempt}-{unique}/"
    with pumped(store, task_key(prepared.flow, call.run, call.step, call.task, folder)):
        yield


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM raises :class:`Stopped` in the step, so that it is recorded that, and where, it was stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may take signals
        return

    def stop(*_: Any) -> NoReturn:
        raise Stopped("stopped by SIGTERM")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


if __name__ == "__main__":
    console()
