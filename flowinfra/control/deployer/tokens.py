"""The production tokens that a user knows: kept in a folder of his own, one file per deployment, for himself alone.

Whoever has deployed something, or has shown its token once, need not show it again. A token is worth something only as
long as it fits the deployment, so what is kept here is never trusted without a look at that.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from flowinfra.canonical import framed_digest
from flowinfra.diagnostics import ConfigurationError, error
from flowinfra.packaging.users import config_folder

__all__ = ["ENV_TOKENS", "TokenCache"]

#: Environment variable that names the folder of the tokens.
ENV_TOKENS: Final = "FLOWINFRA_TOKEN_HOME"

_KEY: Final = "production_token"


@dataclass(frozen=True, slots=True)
class TokenCache:
    """The tokens that a user knows.

    Attributes:
        folder: where they are; made when the first one is kept.
    """

    folder: Path

    @classmethod
    def of(cls, environ: Mapping[str, str] | None = None) -> Self:
        """That of the user: ``FLOWINFRA_TOKEN_HOME``, else ``tokens/`` among his settings."""
        env = os.environ if environ is None else environ
        given = env.get(ENV_TOKENS)
        return cls(Path(given).expanduser().absolute() if given else config_folder(env) / "tokens")

    def file(self, address: str, place: str) -> Path:
        """The file of the deployment at *address* in *place* (two checkouts of a project are two places)."""
        word = re.sub(r"[^A-Za-z0-9_-]+", "-", "/".join(address.split("/")[-2:]))[:60].strip("-")
        return self.folder / f"{word}-{framed_digest('flowinfra token of', address, place)[:16]}.json"

    def find(self, address: str, place: str) -> str | None:
        """The token that is kept for a deployment; None if none is, or it cannot be read."""
        try:
            token = json.loads(self.file(address, place).read_bytes())[_KEY]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return token if isinstance(token, str) else None

    def keep(self, address: str, place: str, token: str) -> None:
        """Keep the token of a deployment, readable by the user alone; nothing is written if it is there.

        Raises:
            ConfigurationError: FI893, it cannot be written.
        """
        if self.find(address, place) == token:
            return
        file = self.file(address, place)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=self.folder, prefix=".")  # of mode 0600
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as out:
                    json.dump({"address": address, _KEY: token}, out)
                os.replace(draft, file)
            except BaseException:
                os.unlink(draft)
                raise
        except OSError as why:
            raise ConfigurationError(
                error(
                    "FI893",
                    f"the production token cannot be kept: {why.strerror or why}",
                    detail=f"it would lie in {self.folder}; what was asked for is done, and the next change of the "
                    "deployment by another stack has to show the token",
                    hint=f"make the folder writable, or set {ENV_TOKENS} to another one",
                )
            ) from why

    def forget(self, address: str, place: str) -> None:
        """Forget the token of a deployment that is gone."""
        self.file(address, place).unlink(missing_ok=True)
