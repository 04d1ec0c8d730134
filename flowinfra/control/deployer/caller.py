"""Who asks: as which user, out of which project, with which tokens. It decides what may be done without showing one.

A deployment is somebody's: of the stack in whose state it is. A ``Deployer``'s stack is one user's, so another user is
somebody else, whatever machine he works on. The rules, in one place:

==============================  =============================================================================
what                            who may, without showing the production token
==============================  =============================================================================
deploy over it, delete it       the stack of its own that this user has for it
end, suspend, resume its runs   the same, and whoever stands in the project whose program deployed it, as for
                                ``flowinfra stop`` and ``flowinfra pause``
trigger and read its runs       everybody
==============================  =============================================================================

A token with which somebody has deployed counts as shown, as long as it fits. It guards against mistakes; the security
boundary is whoever may write to the state, the queue and the store.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from flowinfra.control.deployer.tokens import TokenCache
from flowinfra.control.stacks import is_own_stack, own_stack, project_at
from flowinfra.orchestrators.base import Adapter, DeploymentInfo
from flowinfra.orchestrators.ownership import check_owner
from flowinfra.packaging.home import Home
from flowinfra.packaging.users import user_name

__all__ = ["Caller"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        user: his name.
        project: the project that he stands in.
        place: what tells this checkout of the project from another one.
        tokens: those that he knows.
        environ: his environment variables.
    """

    user: str
    project: str
    place: str
    tokens: TokenCache
    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, home: Home, environ: Mapping[str, str] | None = None) -> Self:
        """Whoever works in the project of *home* with these environment variables."""
        env = os.environ if environ is None else environ
        return cls(user_name(env), project_at(home).name, str(home.path), TokenCache.of(env), env)

    def stack(self, target: str, domain: str, full_name: str) -> str:
        """The name of the stack of his own for a deployment."""
        return own_stack(domain, self.user, target, full_name)

    def owner(self, target: str, found: DeploymentInfo) -> str:
        """The owner of *found*, as ``<project>/<stack>``, if it is his."""
        return f"{self.project}/{self.stack(target, found.domain, found.full_name)}"

    def token(self, found: DeploymentInfo) -> str | None:
        """The production token of *found*, if he knows it; one that fits no more is none."""
        kept = self.tokens.find(found.address, self.place)
        return kept if kept is not None and found.token.fits(kept) else None

    def require(self, target: str, found: DeploymentInfo, authorize: str | None) -> str | None:
        """Refuse to deploy over *found* or to delete it; the token that allows it, None where it is his own.

        Raises:
            ControlError: FI820, somebody else's, and no token was shown; FI821, it is not the right one.
        """
        shown = authorize or self.token(found)
        return shown if check_owner(found, self.owner(target, found), shown) else None

    def require_for_run(self, adapter: Adapter, deployment: str | None, authorize: str | None) -> None:
        """Refuse to operate a run of the deployment at this address; of one that is gone, everybody's.

        Raises:
            ControlError: as :meth:`require`.
        """
        found = adapter.find(deployment) if deployment is not None else None
        if found is None:
            return
        project, _, stack = found.owner.partition("/")
        if authorize is None and project == self.project and not is_own_stack(stack):
            return
        self.require(adapter.target, found, authorize)

    def remember(self, found: DeploymentInfo, token: str) -> None:
        """Keep the token of what he has deployed.

        Raises:
            ConfigurationError: FI893, it cannot be kept.
        """
        self.tokens.keep(found.address, self.place, token)
