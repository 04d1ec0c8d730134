"""Stack modes: what ``flowinfra:mode`` changes where neither the program nor the stack says otherwise.

==================  =========================  ============================================
setting             ``development``            ``production``
==================  =========================  ============================================
``name_prefix``     the user's name            none
``paused``          true                       false
``tags``            user and mode              none
``require_clean``   false                      true
``branch``          any                        origin's default branch, if git knows it
``protect``         false                      true
``require_plan``    false                      false: a stack that wants it says so
==================  =========================  ============================================

Each of them can be set singly, and then the mode changes nothing about it and says nothing about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from flowinfra.components.settings import Settings
from flowinfra.model.deployment import Deployment
from flowinfra.model.plan import AppliedDefault

__all__ = ["Mode", "prefixed", "safe_user"]

_PLAIN: Final = re.compile(r"[a-z0-9]{1,20}")


def safe_user(name: str) -> str:
    """A user's name as a prefix of names: lower-case letters and digits.

    A name that is not of that form gets ``_`` and eight hex digits of its hash behind it, so that no two users have the
    same; there is no ``-`` in it, so that no prefix with a name behind it equals another one with another name.
    """
    if _PLAIN.fullmatch(name):
        return name
    word = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:20].strip("_")
    return f"{word or 'user'}_{sha256(name.encode()).hexdigest()[:8]}"


def prefixed(prefix: str, name: str) -> str:
    """``<prefix>-<name>``; a name that begins so already, and every name with an empty prefix, stays."""
    return name if not prefix or name.startswith(f"{prefix}-") else f"{prefix}-{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """What holds for a stack: its settings, and its mode's defaults for those that are not set.

    Attributes:
        name: ``development``, ``production`` or empty.
        user: whose stack it is, where the prefix is the user's; empty where developers do not have names of their own.
        prefix: what names begin with.
        paused: deployments are deployed paused.
        tags: put on every run.
        require_clean: only a clean checkout is deployed.
        branch: only this one is; empty means any, and None origin's default branch, if git knows it.
        protect: what holds data or tokens is protected.
        require_plan: only saved plans are applied.
        by_mode: the names of the settings that are as they are because of the mode.
    """

    name: str = ""
    user: str = ""
    prefix: str = ""
    paused: bool = False
    tags: tuple[str, ...] = ()
    require_clean: bool = False
    branch: str | None = ""
    protect: bool = False
    require_plan: bool = False
    by_mode: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings, user: str) -> Mode:
        """The mode of a stack with these settings, for *user*."""
        development, production = settings.mode == "development", settings.mode == "production"
        given = {
            "name_prefix": settings.name_prefix,
            "paused": settings.paused,
            "tags": settings.tags,
            "require_clean": settings.require_clean,
            "branch": settings.branch,
            "protect": settings.protect,
        }
        changes = ("name_prefix", "paused", "tags") if development else ("require_clean", "branch", "protect")
        own = development and settings.name_prefix is None
        tags = (f"user:{user}", "mode:development") if development else ()
        return cls(
            name=settings.mode,
            user=user if own else "",
            prefix=safe_user(user) if own else settings.name_prefix or "",
            paused=development if settings.paused is None else settings.paused,
            tags=tags if settings.tags is None else settings.tags,
            require_clean=production if settings.require_clean is None else settings.require_clean,
            branch=(None if production else "") if settings.branch is None else settings.branch,
            protect=production if settings.protect is None else settings.protect,
            require_plan=settings.require_plan,
            by_mode=frozenset(n for n in changes if settings.mode and given[n] is None),
        )

    @property
    def guards(self) -> bool:
        """Whether it asks about the checkout or for a saved plan."""
        return self.require_clean or self.branch != "" or self.require_plan

    def of_deployment(self, deployment: Deployment) -> Deployment:
        """*deployment* as it is deployed in this mode."""
        tags = tuple(dict.fromkeys([*deployment.tags, *self.tags]))
        return deployment.model_copy(
            update={
                "name": prefixed(self.prefix, deployment.name),
                "paused": deployment.paused or self.paused,
                "tags": tags,
            }
        )

    def defaults(self, before: Deployment, after: Deployment) -> tuple[AppliedDefault, ...]:
        """What the mode itself has made different between what the author wrote and what is deployed.

        The address is left to whoever knows it.
        """
        effects = {
            "name_prefix": f"deployed as {after.full_name}" if before.name != after.name else "",
            "paused": "deployed paused: nothing starts it by itself" if after.paused and not before.paused else "",
            "tags": _enumerated("tagged ", [t for t in after.tags if t not in before.tags]),
            "protect": "its production token can be neither deleted nor replaced" if self.protect else "",
        }
        return tuple(self._default(s, effect) for s, effect in effects.items() if effect and s in self.by_mode)

    def stack_defaults(self, default_branch: str) -> tuple[AppliedDefault, ...]:
        """The same for the stack as a whole; *default_branch* is origin's, empty if git does not know one."""
        branch = f"only the branch {default_branch} is deployed (origin's default)" if default_branch else ""
        effects = {
            "require_clean": "only a checkout without changes is deployed" if self.require_clean else "",
            "branch": branch if self.branch is None else "",
        }
        return tuple(self._default(s, effect) for s, effect in effects.items() if effect and s in self.by_mode)

    def _default(self, setting: str, effect: str) -> AppliedDefault:
        mode: Literal["development", "production"] = "development" if self.name == "development" else "production"
        return AppliedDefault(mode=mode, setting=f"flowinfra:{setting}", effect=effect)


def _enumerated(title: str, words: Iterable[str]) -> str:
    text = ", ".join(words)
    return f"{title}{text}" if text else ""
