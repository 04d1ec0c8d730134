"""The key of the keyed digests in snapshots."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from flowinfra.diagnostics import EngineError, error

__all__ = ["ENV_KEY", "snapshot_key"]

#: Environment variable with the key of keyed digests.
ENV_KEY: Final = "FLOWINFRA_SNAPSHOT_KEY"

_SHORTEST_KEY: Final = 16


def snapshot_key(key_file: Path | None = None, environ: Mapping[str, str] | None = None) -> bytes | None:
    """The key of keyed digests: the content of *key_file*, else ``FLOWINFRA_SNAPSHOT_KEY``; None if there is neither.

    Raises:
        EngineError: FI699, the file cannot be read, or the key is shorter than 16 bytes.
    """
    env = os.environ if environ is None else environ
    if key_file is None:
        key = env.get(ENV_KEY, "").strip().encode()
        where = ENV_KEY
    else:
        where = str(key_file)
        try:
            key = key_file.read_bytes().strip()
        except OSError as why:
            raise _no_key(where, f"it cannot be read: {why.strerror or why}") from why
        if not key:
            raise _no_key(where, "it is empty")
    if key and len(key) < _SHORTEST_KEY:
        raise _no_key(where, f"it has {len(key)} bytes; whoever has the snapshot could guess it")
    return key or None


def _no_key(where: str, why: str) -> EngineError:
    return EngineError(
        error(
            "FI699",
            f"the key of the snapshot in {where} cannot be used",
            detail=why,
            hint=f"use {_SHORTEST_KEY} random bytes or more, such as those of `openssl rand -hex 32`",
        )
    )
