"""The interpreters of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSIONS = ((3, 11), (3, 12), (3, 13))


def interpreters() -> dict[tuple[int, int], Path]:
    """One interpreter of each version that this machine has."""
    found = {sys.version_info[:2]: Path(sys.executable)}
    shims = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in VERSIONS:
        name = f"python{version[0]}.{version[1]}"
        candidates = [*sorted(shims.glob(f"{version[0]}.{version[1]}.*/bin/{name}")), shutil.which(name)]
        for candidate in filter(None, candidates):
            if version not in found and _works(Path(candidate), version):
                found[version] = Path(candidate)
    return found


def _works(python: Path, version: tuple[int, int]) -> bool:
    asked = [str(python), "-c", "import sys; print(*sys.version_info[:2])"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)  # a shim may stand for nothing
    return done.stdout.split() == [str(n) for n in version]
