"""The production token of a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from flowinfra.orchestrators.tokens import new_token
from flowinfra_providers.kinds import Created, Kind

__all__ = ["TokenKind"]


class TokenKind(Kind):
    """A random production token of 128 bits, which stays the same until another generation is asked for."""

    inputs: ClassVar = {"deployment": str, "generation": int, "given": str}
    optional = frozenset({"given"})
    replaces = frozenset({"deployment"})
    computed = frozenset({"token"})
    secrets = frozenset({"given", "token"})

    def create(self, values: Mapping[str, Any]) -> Created:
        return Created(values["deployment"], {**values, "token": values.get("given") or new_token()})

    findable: ClassVar[bool] = True

    def find(self, values: Mapping[str, Any]) -> Created | None:
        """Nothing: a token is in the state alone, so one that did not come to be recorded is nowhere."""
        return None

    def update(self, id: str, before: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        return {**values, "token": values.get("given") or self._kept(before, values) or new_token()}

    def _kept(self, before: Mapping[str, Any], values: Mapping[str, Any]) -> str:
        """The token as it is, unless another generation is asked for: one is replaced on request only."""
        return str(before.get("token") or "") if before.get("generation") == values["generation"] else ""
