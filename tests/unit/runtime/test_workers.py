from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flowinfra.diagnostics import RunError
from flowinfra.runtime.threads import forkable, thread_count
from flowinfra.runtime.workers import Exited, Started, Workers, prepare_workers
from flowinfra.runtime.workserver import encode_message, read_messages
from support.child import Python


def ended(workers: Workers, count: int = 1) -> list[Exited]:
    """The next *count* ends."""
    out: list[Exited] = []
    while len(out) < count:
        out += [event for event in workers.events() if isinstance(event, Exited)]
    return out


def start(workers: Workers, key: int, argv: list[str], **env: str) -> tuple[int, int]:
    """Start the task program; the read ends of its output."""
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    workers.start(key, argv, env, out_end, err_end)
    return out, err


def text(fd: int) -> str:
    with open(fd, encoding="utf-8") as file:
        return file.read()


def test_a_task_gets_its_arguments_environment_and_streams() -> None:
    """A wrong command is the shortest task there is: it says so on stderr and ends with 2."""
    with prepare_workers("spawn") as workers:
        out, err = start(workers, 5, ["only", "two"])
        (exited,) = ended(workers)
        assert (exited.key, exited.status) == (5, 2)
        assert exited.maxrss_kib > 1000
        assert text(out) == ""
        assert "given were only two" in text(err)


def test_signals_reach_the_whole_group() -> None:
    """A task that is killed has ended with minus the number of the signal."""
    with prepare_workers("spawn") as workers:
        fds = start(workers, 1, ["x"] * 5)
        workers.signal(1, signal.SIGKILL)
        workers.signal(2, signal.SIGKILL)  # there is none
        (exited,) = ended(workers)
        assert exited.status in (-signal.SIGKILL, 2)  # it may have been faster
        for fd in fds:
            os.close(fd)


def test_when_the_process_is_gone_it_says_so() -> None:
    """Whoever waits is told instead of waiting for ever."""
    with prepare_workers("spawn") as workers:
        os.kill(workers._pid, signal.SIGKILL)
        with pytest.raises(RunError, match="FI727"):
            workers.events()
        workers.signal(1, signal.SIGTERM)  # harmless


def test_closing_ends_the_tasks() -> None:
    """Nothing is left when close returns."""
    workers = prepare_workers("spawn")
    fds = start(workers, 1, ["x"] * 5)
    pid = next(event.pid for event in iter(lambda: workers.events()[0], None) if isinstance(event, Started))
    workers.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    workers.close()
    for fd in fds:
        os.close(fd)


def test_a_process_with_threads_is_not_forked(python: Python) -> None:
    """It falls back to spawn and says which threads there are."""
    said = python.code(
        "import threading, time\n"
        "from flowinfra.runtime.workers import prepare_workers\n"
        "threading.Thread(target=time.sleep, args=(60,), name='poller', daemon=True).start()\n"
        "with prepare_workers('fork') as workers: print(workers.method, workers.note)\n"
    )
    assert said.startswith("spawn importing the flow has started 1 thread (poller)")


def test_a_process_without_threads_is_forked(python: Python) -> None:
    """The usual case, and the process that was forked leaves when it is closed."""
    said = python.code(
        "from flowinfra.runtime.workers import prepare_workers\n"
        "with prepare_workers('fork') as workers: print(workers.method, repr(workers.note))\n"
    )
    assert said == "fork ''\n"


def test_threads_that_end_before_a_fork_do_not_count(python: Python) -> None:
    """Libraries that expect forks, as OpenBLAS does, end their threads before one."""
    said = python.code(
        "import os, threading\n"
        "from flowinfra.runtime.threads import forkable, thread_count\n"
        "stop = threading.Event()\n"
        "thread = threading.Thread(target=stop.wait)\n"
        "thread.start()\n"
        "os.register_at_fork(before=lambda: (stop.set(), thread.join()))\n"
        "print(thread_count(), repr(forkable()), thread_count())\n"
    )
    assert said == "2 '' 1\n"


def test_the_entrypoint_and_the_scheduler_import_nothing_heavy(python: Python) -> None:
    """No pydantic, no asyncio, no Pulumi, and no store in use, before a task has begun."""
    said = python.code(
        "import sys\n"
        "import flowinfra.runtime.entrypoint, flowinfra.runtime.localrun, flowinfra.runtime.workserver\n"
        "print([m for m in ('pydantic', 'asyncio', 'pulumi', 'jsonschema', 'obstore', 'click') if m in sys.modules])\n"
    )
    assert said == "[]\n"


def test_messages_may_arrive_in_pieces() -> None:
    """Whatever the socket cuts in two is put together again."""
    messages: list[dict[str, Any]] = [{"a": 1}, {"text": "ü" * 1000}, {}]
    data = b"".join(map(encode_message, messages))
    buffer, found = bytearray(), []
    for i in range(0, len(data), 7):
        buffer += data[i : i + 7]
        found += read_messages(buffer)
    assert found == messages
    assert not buffer


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_threads_are_those_of_the_operating_system(tmp_path: Path) -> None:
    """A library's own threads count, though Python knows nothing of them."""
    script = (
        "import obstore\n"
        "from obstore.store import MemoryStore\n"
        "from flowinfra.runtime.threads import forkable, thread_count\n"
        "before = thread_count()\n"
        "obstore.put(MemoryStore(), 'a', b'x')\n"
        "print(before, thread_count() > 1, bool(forkable()))\n"
    )
    root = str(Path(__file__).resolve().parents[3])
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], env={"PYTHONPATH": root}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 True True\n"
    assert thread_count() >= 1
    assert isinstance(forkable(), str)
