"""The Pulumi CLI as a program of this machine: where it is, what it is told, how it is run and stopped.

Nothing here imports pulumi.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from flowinfra.diagnostics import EngineError, error

__all__ = ["ENV_PULUMI", "MINIMUM", "Done", "PulumiCli", "quiet_environment"]

#: Path of the CLI, where it is not on PATH.
ENV_PULUMI: Final = "FLOWINFRA_PULUMI"

#: The first version that sends its events over a connection instead of into a file.
MINIMUM: Final = (3, 206, 0)

#: How long the CLI may take to end its plugins, once it was told to give up.
_PATIENCE_S: Final = 10

_INSTALL: Final = (
    "install it from https://www.pulumi.com/docs/install/ (or name it with FLOWINFRA_PULUMI); stacks on Local need none: "
    "`--engine embedded`"
)


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class PulumiCli:
    """One installed CLI."""

    path: Path

    @classmethod
    def find(cls, environment: Mapping[str, str]) -> Self:
        """The CLI that FLOWINFRA_PULUMI names, else that on PATH, else that in ``~/.pulumi/bin``.

        Raises:
            EngineError: FI645, there is none.
        """
        named = environment.get(ENV_PULUMI)
        home = environment.get("HOME") or os.path.expanduser("~")
        folders = environment.get("PATH", os.defpath)
        # A name alone is looked for on PATH; a folder stands for the CLI in it.
        wanted = os.path.join(named, "pulumi") if named and os.path.isdir(named) else named
        found = shutil.which(wanted or "pulumi", path=folders)
        if found is None and not named:
            found = shutil.which("pulumi", path=os.path.join(home, ".pulumi", "bin"))
        if found is None:
            raise EngineError(
                error(
                    "FI645",
                    f"{ENV_PULUMI} names no program: {named}" if named else "the Pulumi CLI is not installed",
                    detail="looked for `pulumi` on PATH and in ~/.pulumi/bin" if not named else "",
                    hint=_INSTALL,
                )
            )
        return cls(Path(found).absolute())

    def require_version(self, environment: Mapping[str, str]) -> None:
        """Refuse a CLI that is too old.

        Raises:
            EngineError: FI645.
        """
        try:
            said = subprocess.run(
                [str(self.path), "version"], env=dict(environment), capture_output=True, text=True, check=False
            ).stdout.strip()
        except OSError as problem:
            said = str(problem.strerror or problem)
        match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", said)
        if match is None or tuple(map(int, match.groups())) < MINIMUM:
            raise EngineError(
                error(
                    "FI645",
                    f"the Pulumi CLI at {self.path} is too old: it says it is {said or 'nothing'}",
                    detail=f"flowinfra needs {'.'.join(map(str, MINIMUM))} or later",
                    hint=_INSTALL,
                )
            )

    def run(self, arguments: Sequence[str], *, cwd: Path, environment: Mapping[str, str]) -> Done:
        """Run ``pulumi ARGUMENTS`` to its end.

        An interrupt is passed on, so that the CLI ends what it has begun and writes it down; so is a second one, by
        which it gives that up and ends its plugins. If it does not, or by a third one, it is killed.

        Raises:
            EngineError: FI645, it cannot be started.
            KeyboardInterrupt: the user interrupted; the CLI has ended.
        """
        command = [str(self.path), "--non-interactive", "--color=never", *arguments]
        # Files, since plugins that outlive the CLI would hold pipes open.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env={**environment, "PATH": _path(environment, self.path)},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,  # else the terminal would interrupt it as well, which makes two of it
                )
            except OSError as problem:
                raise EngineError(
                    error(
                        "FI645",
                        f"the Pulumi CLI at {self.path} cannot be started: {problem.strerror or problem}",
                        hint=_INSTALL,
                    )
                ) from problem
            _wait(process)
            for file in (out, err):
                file.seek(0)
            said = [file.read().decode("utf-8", "replace") for file in (out, err)]
        return Done(process.returncode, said[0], said[1])


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        try:
            process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=_PATIENCE_S)
            except (KeyboardInterrupt, subprocess.TimeoutExpired):
                _kill(process)
        raise
    except BaseException:
        _kill(process)
        raise


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _path(environment: Mapping[str, str], cli: Path) -> str:
    """PATH with the CLI's folder, where its own plugins lie, and that of this interpreter's programs, where ours do."""
    folders = [str(cli.parent), str(Path(sys.executable).parent), sysconfig.get_path("scripts")]
    return os.pathsep.join(dict.fromkeys([*folders, *environment.get("PATH", os.defpath).split(os.pathsep)]))


def quiet_environment(environment: Mapping[str, str], backend_url: str) -> dict[str, str]:
    """*environment* with what makes the CLI work on *backend_url*, say nothing and ask nobody."""
    out = {
        **environment,
        "NO_COLOR": "1",
        "PULUMI_AUTOMATION_API": "true",
        "PULUMI_BACKEND_URL": backend_url,
        "PULUMI_DEBUG_COMMANDS": "true",  # else it does not know --event-log
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_SUPPRESS_NEO_LINK": "true",
    }
    if not backend_url.startswith(("http://", "https://")):
        # Without the service there is nobody to ask where packages come from.
        out.setdefault("PULUMI_DISABLE_REGISTRY_RESOLVE", "true")
    return out
