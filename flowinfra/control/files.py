"""Files that a user asked for: written whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from flowinfra.diagnostics import EngineError, Source, error

__all__ = ["write_file"]


def write_file(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write *data* to *path*; an earlier file stays as it was unless all of it is written.

    Args:
        path: which file; what is no regular file, such as ``/dev/stdout``, is written into.
        data: its content.
        private: only its owner may read it.

    Raises:
        EngineError: FI698, it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        target = path.resolve()  # where a link leads to, so that the link stays one
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        mode = 0o600 if private else 0o666  # less what the umask takes away
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as why:
        raise EngineError(
            error(
                "FI698",
                f"{path.name} cannot be written: {why.strerror or why}",
                hint="look at free space and permissions there, or name another file",
                source=Source(str(path)),
            )
        ) from why
