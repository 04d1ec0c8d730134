"""Who may change a deployment: the stack that owns it, and whoever shows its production token."""

from __future__ import annotations

from typing import Protocol

from flowinfra.diagnostics import ControlError, error
from flowinfra.orchestrators.tokens import TokenHash

__all__ = ["Owned", "check_owner"]


class Owned(Protocol):
    """What every target keeps of a deployment beside what it runs."""

    @property
    def full_name(self) -> str:
        """``<flow>/<deployment>``."""
        ...

    @property
    def address(self) -> str:
        """Where it is deployed, in the target's own form."""
        ...

    @property
    def owner(self) -> str:
        """The stack in whose state it is, as ``<project>/<stack>``."""
        ...

    @property
    def token(self) -> TokenHash:
        """What is kept of its production token."""
        ...

    @property
    def generation(self) -> int:
        """How often the token was replaced."""
        ...


def check_owner(before: Owned, owner: str, authorize: str | None) -> bool:
    """Whether the ownership of *before* would move to *owner*, the stack that wants to change it.

    Args:
        before: the deployment as it is kept.
        owner: the stack, as ``<project>/<stack>``.
        authorize: the production token that was shown, if any.

    Raises:
        ControlError: FI820, another stack owns it and no token was shown; FI821, the token is not the right one.
    """
    if before.owner == owner:
        return False
    if authorize is None:
        raise ControlError(
            error(
                "FI820",
                f"{before.full_name} belongs to the stack {before.owner}, not to {owner}",
                detail=f"Its address is {before.address}. Changing, pausing or deleting it from another stack needs its "
                "production token, so that it does not happen by mistake.",
                hint="give the deployment another name, or show its token (authorize=..., or --authorize TOKEN): "
                f"`flowinfra outputs --show-secrets` of {before.owner} tells it, and DeployedFlow.production_token "
                "whoever has deployed it from Python",
            )
        )
    if not before.token.fits(authorize):
        raise ControlError(
            error(
                "FI821",
                f"the token that was shown is not the production token of {before.full_name}",
                detail=f"{before.address} belongs to the stack {before.owner}, generation {before.generation} of its token. "
                "Nothing was changed.",
                hint=f"ask for the present token: `flowinfra outputs --show-secrets` in {before.owner}",
            )
        )
    return True
