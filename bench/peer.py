"""The peer that local runs are compared with: Metaflow, in a virtual environment of its own outside the tree."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from bench.measure import ROOT, BenchError, Context

LOCK = ROOT / "requirements" / "bench-metaflow.txt"


def version() -> str:
    """The version that the lock file pins."""
    found = re.search(r"^metaflow==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise BenchError(f"{LOCK.name} does not pin metaflow")
    return found[1]


def cache() -> Path:
    """Where the virtual environments of the bench are kept."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification says to ignore a relative path.
    return (base if base.is_absolute() else Path.home() / ".cache") / "flowinfra" / "bench"


def metaflow(context: Context) -> Path:
    """The Python that has Metaflow; installed at the first call, with the hashes of the lock file.

    Raises:
        BenchError: it cannot be installed.
    """
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = cache() / f"metaflow-{version()}-{digest}"
    python = home / "bin" / "python"
    if (home / "complete").exists():
        return python
    context.say(f"installing Metaflow {version()} into {home}")
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(LOCK)]
    for command in ([sys.executable, "-m", "venv", "--clear", str(home)], install):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"Metaflow cannot be installed: {done.stderr.strip()}")
    (home / "complete").touch()
    return python


def settings(folder: Path) -> dict[str, str]:
    """Metaflow's defaults, with a user's name and without that user's own configuration."""
    return {"USERNAME": "bench", "METAFLOW_HOME": str(folder / ".metaflowconfig")}
