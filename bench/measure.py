"""What all figures share: clean children, medians, and the memory of a tree of processes."""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_SECONDS = 0.05
# What the caller's shell has set would measure another program than a new user's.
FOREIGN = ("FLOWINFRA_", "METAFLOW_", "PULUMI_", "PYTHON")


class BenchError(Exception):
    """A figure cannot be measured; the message says why."""


@dataclass(frozen=True)
class Context:
    """How a figure is to be measured."""

    runs: int
    """Of how many measurements the median is taken."""
    scratch: Path
    """A folder of its own, empty at first."""
    say: Callable[[str], None]
    """Tells whoever watches what is going on."""

    @property
    def command(self) -> str:
        """The installed command `flowinfra`."""
        path = Path(sys.executable).with_name("flowinfra")
        if not path.exists():
            raise BenchError(f"{path.name} is not installed beside {Path(sys.executable).name}: run `make bench`")
        return str(path)


@dataclass(frozen=True)
class Result:
    """What was measured."""

    measured: str
    bare: float
    """Seconds of `python -c pass`, the median of the same loop."""
    met: bool | None
    """Whether the target is met; None where there is none."""
    detail: str = ""


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    name: str
    what: str
    target: str
    measure: Callable[[Context], Result]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a user with default settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {**kept, **(extra or {})}


def run(command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """What *command* prints to stdout.

    Raises:
        BenchError: it failed; with the last lines that it printed.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-12:])
        raise BenchError(f"{shlex.join(command)} exited {done.returncode}\n{tail}")
    return done.stdout


def timed(command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> float:
    """Seconds from start to end of *command*, as a shell would see it."""
    started = time.perf_counter()
    run(command, cwd=cwd, env=env)
    return time.perf_counter() - started


def python(source: str, *, cwd: Path) -> float:
    """Seconds of `python -c SOURCE`."""
    return timed([sys.executable, "-c", source], cwd=cwd)


def bare(cwd: Path) -> float:
    """Seconds of a Python that does nothing: the floor of every figure, and a gauge of the machine at that moment."""
    return python("pass", cwd=cwd)


def median(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(values)


@dataclass(frozen=True)
class Memory:
    """The peak of a tree of processes, in bytes."""

    seconds: float
    largest: int
    """The largest resident set of one process of the tree."""
    together: int
    """The sum over the tree at its worst moment; on Linux shared pages count in proportion."""


def watch_memory(command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> Memory:
    """Run *command* and sample the memory of it and all its children.

    Raises:
        BenchError: it failed.
    """
    log = cwd / "output.txt"
    peaks = [0, 0]
    ended = threading.Event()

    def sample(pid: int) -> None:
        while not ended.wait(SAMPLE_SECONDS):
            sizes = tree_sizes(pid)
            if sizes:
                peaks[0] = max(peaks[0], *(resident for resident, _ in sizes))
                peaks[1] = max(peaks[1], sum(shared for _, shared in sizes))

    started = time.perf_counter()
    with log.open("wb") as out:
        child = subprocess.Popen(
            command, cwd=cwd, env=environment(env), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
        watcher = threading.Thread(target=sample, args=(child.pid,), daemon=True)
        watcher.start()
        code = child.wait()
        seconds = time.perf_counter() - started
        ended.set()
        watcher.join()
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
        raise BenchError(f"{shlex.join(command)} exited {code}\n{tail}")
    return Memory(seconds, peaks[0], peaks[1])


def tree_sizes(root: int) -> list[tuple[int, int]]:
    """For each process of the tree below *root*: its resident set, and its share of what it uses, in bytes."""
    parents = linux_parents() if Path("/proc/self/stat").exists() else None
    if parents is None:
        return ps_sizes(root)
    found = []
    for pid in descendants(root, parents):
        try:
            status = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:  # it has ended meanwhile
            continue
        kib = {line.partition(":")[0]: int(line.split()[1]) for line in status.splitlines()[1:]}
        found.append((kib.get("Rss", 0) * 1024, kib.get("Pss", 0) * 1024))
    return found


def linux_parents() -> dict[int, int]:
    """Each process with its parent."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                # The name in parentheses may hold anything, so the fields are counted from its end.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(fields[1])
    return parents


def ps_sizes(root: int) -> list[tuple[int, int]]:
    """The same by `ps`, which knows no shares."""
    listed = subprocess.run(["ps", "-axo", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in listed.splitlines()]
    sizes = {pid: kib * 1024 for pid, _, kib in rows}
    return [(sizes[pid], sizes[pid]) for pid in descendants(root, {pid: parent for pid, parent, _ in rows})]


def descendants(root: int, parents: Mapping[int, int]) -> list[int]:
    """*root* and what is below it."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, ())
    return [pid for pid in found if pid in parents]
