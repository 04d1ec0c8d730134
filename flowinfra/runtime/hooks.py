"""Exit hooks of a local run: a process of its own that calls them when the run has ended.

The run has its terminal marker by then. So a hook finds it ended, and nothing that a hook does changes how. What it
prints is shown like the output of tasks and kept under the run (``wire.hook_folder``).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from flowinfra.model.states import RunState
from flowinfra.orchestrators.local.processes import end_of
from flowinfra.runtime.events import Event, Note, TaskLine
from flowinfra.runtime.localspec import LocalRun, StopSwitch
from flowinfra.runtime.logs import CHUNK_BYTES, PIPE_CHUNKS, Lines, LogWriter, Uploader
from flowinfra.runtime.rundata import RunData
from flowinfra.wire import ENV_CODE, ENV_STORE, hook_folder

__all__ = ["HOOK_SECONDS", "HOOK_STEP", "asked_hooks", "run_hooks"]

#: How long all hooks of a run may take together.
HOOK_SECONDS: Final = 600.0

#: What stands in the place of a step in front of the lines that hooks print.
HOOK_STEP: Final = "exit_hook"

_GRACE_SECONDS: Final = 2.0

#: The program lies above this layer, which therefore knows its name only.
_LAUNCH: Final = (
    "import sys; root = sys.argv.pop(1); root in sys.path or sys.path.append(root); "
    "from flowinfra.control.hookprogram import main; sys.exit(main(sys.argv[1:]))"
)


def asked_hooks(release: Mapping[str, Any], state: RunState) -> list[str]:
    """The functions of *release*, as ``module:name``, that are called after a run that ended with *state*."""
    on = "success" if state is RunState.SUCCEEDED else "error"
    return [hook["entrypoint"] for hook in release["graph"].get("hooks", ()) if hook["on"] == on]


def run_hooks(
    run: LocalRun,
    release: Mapping[str, Any],
    data: RunData,
    state: RunState,
    tell: Callable[[Event], None],
    switch: StopSwitch,
    *,
    seconds: float = HOOK_SECONDS,
) -> None:
    """Call the hooks that the end of *run* asks for, and wait for them.

    Args:
        run: the run, which has ended.
        release: its release as plain JSON.
        data: its documents.
        state: how it ended.
        tell: takes what they print, and a note if one fails.
        switch: ends them: SIGTERM, at the second use SIGKILL.
        seconds: how long they may take.
    """
    if run.only is not None or not asked_hooks(release, state):
        return
    root = str(Path(__file__).resolve().parents[2])
    ends, held = os.pipe()  # it closes with this process, however that ends, and then the hooks end too
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _LAUNCH, root, run.release, run.flow, run.run, state.value, str(ends)],
            pass_fds=[ends],
            env={**os.environ, **run.env, ENV_STORE: data.store.url, ENV_CODE: str(run.code)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as why:
        tell(Note(f"the exit hooks cannot be called: {why}"))
        os.close(held)
        return
    finally:
        os.close(ends)
    with process, open(held, "wb"):
        _Watch(process, data, "on_success" if state is RunState.SUCCEEDED else "on_error", tell, switch).until(seconds)
    if process.returncode:
        tell(Note(f"an exit hook has failed; the run itself {_WORDS.get(state.value, state.value)}"))


_WORDS: Final = {
    "succeeded": "has succeeded",
    "failed": "has failed",
    "timed_out": "took too long",
    "stopped": "was stopped",
}


#: By file descriptor: the stream, what keeps it, and its lines.
_Pipes: TypeAlias = dict[int, tuple[str, LogWriter, Lines]]


@dataclass(slots=True)
class _Watch:
    """The process of the hooks while it runs."""

    process: subprocess.Popen[bytes]
    data: RunData
    on: str
    tell: Callable[[Event], None]
    switch: StopSwitch
    stops: int = 0
    notes: list[str] = field(default_factory=list)

    def until(self, seconds: float) -> None:
        """Hand on what it prints until it has ended, which it has to within *seconds*.

        What it has started is not waited for: it is killed, and what has left its group holds its pipes in vain.
        """
        uploader = Uploader(self.data.store, self.notes.append)
        folder = hook_folder(self.data.flow, self.data.run)
        deadline = time.monotonic() + seconds
        end, over = end_of(self.process.pid), False
        with selectors.DefaultSelector() as selector:
            selector.register(self.switch, selectors.EVENT_READ)
            if end is not None:
                selector.register(end, selectors.EVENT_READ)
            pipes: _Pipes = {}
            for name, pipe in (("out", self.process.stdout), ("err", self.process.stderr)):
                assert pipe is not None
                pipes[pipe.fileno()] = (name, LogWriter(folder, name, uploader.put), Lines())
                selector.register(pipe.fileno(), selectors.EVENT_READ)
            try:
                while not over and (pipes or end is not None):
                    over = self._hear(selector, pipes, end, deadline)
                    now = time.monotonic()
                    if now >= deadline:
                        over = over or self.stops > 1  # it was killed, and its pipes are still open
                        self._stop()
                        deadline = now + _GRACE_SECONDS
                self._kill()
                for fd, (stream, writer, lines) in pipes.items():
                    self._read_rest(fd, stream, writer, lines)
            finally:
                self._kill()
                if end is not None:
                    os.close(end)
                uploader.close()
        for text in self.notes:
            self.tell(Note(text))

    def _hear(self, selector: selectors.BaseSelector, pipes: _Pipes, end: int | None, deadline: float) -> bool:
        """Take what comes next, and keep what has waited long enough; whether the process has ended."""
        over = False
        due = min((d for _, w, _ in pipes.values() if (d := w.due()) is not None), default=deadline)
        for key, _ in selector.select(max(0.0, min(due, deadline) - time.monotonic())):
            if key.fileobj is self.switch:
                self._stop()
            elif key.fd == end:
                over = True
            elif not self._read(key.fd, *pipes[key.fd]):
                selector.unregister(key.fd)
                del pipes[key.fd]
        now = time.monotonic()
        for _, writer, _ in pipes.values():
            if (at := writer.due()) is not None and at <= now:
                writer.flush()
        return over

    def _read(self, fd: int, stream: str, writer: LogWriter, lines: Lines) -> bool:
        data = os.read(fd, CHUNK_BYTES)
        if data:
            writer.write(data, time.monotonic())
        else:
            writer.flush()
        for line in lines.feed(data) if data else lines.end():
            self.tell(TaskLine(stream, line, HOOK_STEP, self.on, "0"))
        return bool(data)

    def _read_rest(self, fd: int, stream: str, writer: LogWriter, lines: Lines) -> None:
        os.set_blocking(fd, False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(PIPE_CHUNKS):
                if not self._read(fd, stream, writer, lines):
                    return
        writer.flush()
        for line in lines.end():
            self.tell(TaskLine(stream, line, HOOK_STEP, self.on, "0"))

    def _kill(self) -> None:
        """End the process and what it has left running."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _stop(self) -> None:
        self.switch.uses()
        self.stops += 1
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGTERM if self.stops == 1 else signal.SIGKILL)
