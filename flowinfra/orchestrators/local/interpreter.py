"""Which Python a deployment was made with, and whether it still is that one.

A release says what code runs; on the other targets an image says in what. A local deployment has no image, so it
records the interpreter: its path, its version, and a digest of the names and versions of what is installed for it.

The module is also a script: ``<interpreter> interpreter.py`` prints that interpreter's own record as JSON. It imports
nothing but the standard library, so that it works in an environment that has no flowinfra.
"""

from __future__ import annotations

import hashlib
import json
import os
import site
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Interpreter", "ask_interpreter", "current_interpreter", "installed"]


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python and what is installed for it.

    Attributes:
        path: the executable as it was started; links are kept, because a virtual environment is a link.
        version: ``cpython-3.11.7``.
        packages: the SHA-256 over the sorted ``name==version`` lines of the installed distributions.
    """

    path: str
    version: str
    packages: str

    @property
    def language(self) -> str:
        """Implementation, major and minor version: what bytecode, pickles and wheels depend on."""
        return self.version.rpartition(".")[0]


def current_interpreter() -> Interpreter:
    """The interpreter that runs this; reads the folders of what is installed, about a millisecond."""
    version = f"{sys.implementation.name}-{'.'.join(map(str, sys.version_info[:3]))}"
    lines = "".join(f"{line}\n" for line in installed())
    return Interpreter(_executable(), version, hashlib.sha256(lines.encode()).hexdigest())


def _executable() -> str:
    """One path for one interpreter: a virtual environment's ``python``, ``python3`` and ``python3.11`` are the same."""
    if sys.prefix == sys.base_prefix:
        return os.path.realpath(sys.executable)
    return os.path.join(sys.prefix, "Scripts" if os.name == "nt" else "bin", "python")


def installed() -> list[str]:
    """``name==version`` of each installed distribution, sorted.

    Only the interpreter's own folders count, not what a caller added to ``sys.path``: the same interpreter must say the
    same wherever it is started. Names are read from the folders' names, as the wheel format fixes them.
    """
    folders = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    found: set[str] = set()
    for folder in folders:
        try:
            names = [entry.name for entry in Path(folder).iterdir()]
        except OSError:
            continue
        for name in names:
            stem, _, kind = name.rpartition(".")
            if kind in ("dist-info", "egg-info"):
                project, _, version = stem.partition("-")
                # Of an egg the version stands before "-py3.11".
                found.add(f"{project.lower().replace('_', '-')}=={version.partition('-')[0]}")
    return sorted(found)


def ask_interpreter(path: str) -> Interpreter:
    """The record of the interpreter at *path*, asked of itself.

    Raises:
        FileNotFoundError: there is nothing at *path*, or no program.
        ValueError: it is no Python that can be asked; the text is what it said.
    """
    if path in (sys.executable, _executable()):
        return current_interpreter()
    if not os.access(path, os.X_OK) or Path(path).is_dir():
        raise FileNotFoundError(path)
    try:
        done = subprocess.run(
            [path, str(Path(__file__).resolve())],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise ValueError(str(exc)) from exc
    try:
        told = json.loads(done.stdout)
        return Interpreter(path, told["version"], told["packages"])
    except (ValueError, TypeError, KeyError) as exc:
        last = (
            done.stderr.strip() or done.stdout.strip() or f"it ended with exit code {done.returncode}"
        ).splitlines()[-1]
        raise ValueError(last) from exc


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(current_interpreter())))
