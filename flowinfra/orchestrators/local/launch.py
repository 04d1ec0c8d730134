"""Starting a worker, and starting a run.

Both are processes that nobody waits for, and both hold a lock from before they exist until after they have ended: the
one who starts takes the lock and hands it over. So there is never a second worker, a run is never started twice, and
whoever finds the lock free knows that the process is gone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from flowinfra.diagnostics import ControlError, Diagnostic, error, warning
from flowinfra.orchestrators.local.control import run_control
from flowinfra.orchestrators.local.interpreter import Interpreter, ask_interpreter, installed
from flowinfra.orchestrators.local.processes import FileLock
from flowinfra.orchestrators.local.records import RunRecord
from flowinfra.packaging.home import ENV_HOME, Home
from flowinfra.wire import ENV_ATTEMPT, ENV_CODE, ENV_LOGS, ENV_NAMESPACE, ENV_STORE

__all__ = [
    "WorkerSettings",
    "check_interpreter",
    "log_tail",
    "prepare",
    "run_lock",
    "run_log",
    "start_run",
    "start_worker",
    "worker_lock",
    "worker_log",
]

#: What a run has no business with: the keys to the stack's state, and what belongs to the task that triggered it.
_WITHHELD: Final = frozenset(
    {
        "PULUMI_CONFIG_PASSPHRASE",
        "PULUMI_CONFIG_PASSPHRASE_FILE",
        "PULUMI_ACCESS_TOKEN",
        ENV_ATTEMPT,
        ENV_CODE,
        ENV_LOGS,
    }
)

_LOG_BYTES: Final = 1 << 20  # a worker's log above this is set aside once


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker works.

    Attributes:
        max_runs: how many runs it carries out at once.
        idle_seconds: how long it waits for another run before it ends.
        grace_seconds: how long a run that shall stop has until it is killed.
        program: the module that carries out one run; its arguments are ``--home HOME --flow FLOW --run RUN --control
            PIPE``, and the deployment's limits.
    """

    max_runs: int = 4
    idle_seconds: float = 5.0
    grace_seconds: float = 10.0
    program: str = "flowinfra.runtime.localrun"

    def arguments(self) -> list[str]:
        """The settings as the arguments of a worker."""
        return [
            f"--max-runs={self.max_runs}",
            f"--idle-seconds={self.idle_seconds}",
            f"--grace-seconds={self.grace_seconds}",
            f"--program={self.program}",
        ]


def worker_lock(home: Home) -> Path:
    """The file that the home's worker holds locked."""
    return home.workers / "worker.lock"


def worker_log(home: Home) -> Path:
    """What the home's workers say."""
    return home.workers / "worker.log"


def run_lock(home: Home, run: str) -> Path:
    """The file that the process of a run holds locked; its content is that process's number."""
    return home.workers / f"{run}.lock"


def run_log(home: Home, run: str) -> Path:
    """What the process of a run itself says; what its tasks say is in the store."""
    return home.workers / f"{run}.log"


def prepare(home: Home) -> Home:
    """Make the folders that workers write to.

    Raises:
        PackagingError: FI406, the home cannot be made.
        ControlError: FI827, the folder of the workers cannot be made.
    """
    home.ensure()
    try:
        home.workers.mkdir(exist_ok=True)
    except OSError as exc:
        raise ControlError(_cannot_start(home, str(exc))) from exc
    return home


def start_worker(home: Home, settings: WorkerSettings) -> bool:
    """Start a worker for *home*, detached from this process; False if one is alive.

    Raises:
        ControlError: FI827, it does not start.
    """
    prepare(home)
    try:
        lock = FileLock.acquire(worker_lock(home))
        if lock is None:
            return False
        try:
            with _opened_log(worker_log(home)) as log:
                command = [sys.executable, "-P", "-m", "flowinfra.orchestrators.local.worker", f"--home={home.path}"]
                # It forks and its first half ends at once: nobody has to collect the other, and an exit code says
                # whether it could start at all.
                done = subprocess.run(
                    [*command, f"--lock={lock.fd}", *settings.arguments()],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=home.path,
                    env=_environment(home),
                    pass_fds=[lock.fd],
                    start_new_session=True,
                    check=False,
                )
        finally:
            lock.release()
    except OSError as exc:
        raise ControlError(_cannot_start(home, str(exc))) from exc
    if done.returncode != 0:
        raise ControlError(_cannot_start(home, f"it ended with exit code {done.returncode}"))
    return True


def start_run(home: Home, record: RunRecord, lock: FileLock, settings: WorkerSettings) -> subprocess.Popen[bytes]:
    """Start the process of a claimed run; it shares *lock* and writes its number into it before anything else.

    Raises:
        OSError: it cannot be started.
    """
    launch = record.new.launch
    assert launch is not None
    fd = lock.fd

    def say_number() -> None:
        os.pwrite(fd, str(os.getpid()).encode(), 0)

    command = [launch.interpreter.path, "-P", "-m", settings.program, f"--home={home.path}"]
    limits = [] if launch.max_workers is None else [f"--max-workers={launch.max_workers}"]
    limits += [] if launch.timeout_seconds is None else [f"--timeout-seconds={launch.timeout_seconds}"]
    control = run_control(home, record.run)
    if not control.exists():
        os.mkfifo(control, 0o600)
    more = {ENV_NAMESPACE: launch.user_namespace} if launch.user_namespace else {}
    with _opened_log(run_log(home, record.run)) as log:
        return subprocess.Popen(
            [*command, f"--flow={record.new.flow}", f"--run={record.run}", f"--control={control}", *limits],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.path,
            env=_environment(home, {ENV_STORE: record.new.store, **more}),
            pass_fds=[fd],
            start_new_session=True,
            # Safe: the worker has one thread. The number must be there before the program can do anything, so that a
            # worker that dies now leaves behind whether the run was started.
            preexec_fn=say_number,  # noqa: PLW1509
        )


def check_interpreter(recorded: Interpreter) -> list[Diagnostic]:
    """What differs between the interpreter as it was recorded and as it is; an error means that it must not run."""
    try:
        found = ask_interpreter(recorded.path)
    except FileNotFoundError:
        return [
            error(
                "FI823",
                f"the interpreter of the deployment is gone: {recorded.path}",
                detail=f"It was {recorded.version}. A run uses the interpreter that its deployment was made with, never another.",
                hint="make that environment again, or deploy from the present one with `flowinfra up`",
            )
        ]
    except ValueError as exc:
        return [
            error(
                "FI823",
                f"the interpreter of the deployment does not work: {recorded.path}: {exc}",
                detail=f"It was {recorded.version}. A run uses the interpreter that its deployment was made with, never another.",
                hint="repair that environment, or deploy from the present one with `flowinfra up`",
            )
        ]
    if found.language != recorded.language:
        return [
            error(
                "FI824",
                f"{recorded.path} is {found.version} now; the deployment was made with {recorded.version}",
                detail="Installed packages, bytecode and pickled artifacts of one do not fit the other.",
                hint="deploy again with `flowinfra up`, or restore the interpreter",
            )
        ]
    changed = [
        what
        for what, differs in (
            (f"its version is {found.version} (was {recorded.version})", found.version != recorded.version),
            ("the packages that are installed", found.packages != recorded.packages),
        )
        if differs
    ]
    if not changed:
        return []
    return [
        warning(
            "FI825",
            f"the environment of {recorded.path} has changed since the deployment was made: {' and '.join(changed)}",
            detail="The run goes on with what is there now.",
            hint="`flowinfra up` records the present environment",
        )
    ]


def log_tail(path: Path, lines: int = 5) -> str:
    """The last lines of a log, or nothing."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _environment(home: Home, more: Mapping[str, str] | None = None) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name not in _WITHHELD}
    env |= {ENV_HOME: str(home.path), ENV_STORE: home.store_url, **(more or {})}
    if not any(line.startswith("flowinfra==") for line in installed()):
        # flowinfra is on the path and not installed (a checkout): a child finds it only if it is told.
        root = str(Path(__file__).resolve().parents[3])
        env["PYTHONPATH"] = os.pathsep.join([*filter(None, [env.get("PYTHONPATH")]), root])
    return env


def _opened_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def _cannot_start(home: Home, why: str) -> Diagnostic:
    tail = log_tail(worker_log(home))
    return error(
        "FI827",
        f"no worker can be started for {home.path}: {why}",
        detail=f"The run stays in the queue.{chr(10) + tail if tail else ''}",
        hint=f"look at {worker_log(home)}; the next `flowinfra trigger` or `--wait` tries again",
    )
