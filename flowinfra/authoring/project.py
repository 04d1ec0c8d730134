"""``@project``: several people and branches deploy and run one flow, and keep out of each other's way.

Whose run it is depends on who starts it, so it is no part of a release: a project's name stands in the flow, and the
branch is worked out when something is started or deployed (:func:`resolve_project`). Runs and deployments carry both as
tags, and from them everybody else knows them (:func:`project_of_tags`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from flowinfra.authoring.configs import names_of
from flowinfra.authoring.later import has_later, resolved
from flowinfra.authoring.settings import Flow, Patch, caller, flow_patches, patch_flow, placed
from flowinfra.diagnostics import AuthoringError, Diagnostic, Source, error, raise_errors

__all__ = ["Project", "check_project", "project", "project_of_tags", "resolve_project"]

_NAME: Final = re.compile(r"[a-z0-9_]{1,128}")
_PROJECT_TAG: Final = "project:"
_BRANCH_TAG: Final = "project_branch:"
_NAMES: Final = "1 to 128 of the characters a to z, 0 to 9 and _"


@dataclass(frozen=True, slots=True)
class Project:
    """Where a run or a deployment belongs.

    Attributes:
        name: the project.
        branch: ``user.<name>``, ``test.<branch>``, ``prod`` or ``prod.<branch>``.
        flow: the flow's name.
    """

    name: str
    branch: str
    flow: str

    @property
    def production(self) -> bool:
        """Whether it is the production of the project, or one of its variants."""
        return self.branch == "prod" or self.branch.startswith("prod.")

    @property
    def is_user_branch(self) -> bool:
        """Whether it belongs to one user alone."""
        return self.branch.startswith("user.")

    @property
    def flow_name(self) -> str:
        """``<project>.<branch>.<flow>``: what an imperative deployment is called."""
        return f"{self.name}.{self.branch}.{self.flow}"

    @property
    def tags(self) -> tuple[str, str]:
        """The tags of its runs."""
        return f"{_PROJECT_TAG}{self.name}", f"{_BRANCH_TAG}{self.branch}"


@dataclass(frozen=True, slots=True)
class _Declared:
    """The arguments of a decorator."""

    name: Any
    branch: Any
    production: Any


def project(name: str, branch: str | None = None, production: bool | None = None) -> Callable[[Flow], Flow]:
    """Put a flow into a project, in which each user and each branch has runs and deployments of their own.

    Args:
        name: of the project: up to 128 of ``a`` to ``z``, ``0`` to ``9`` and ``_``.
        branch: the one branch that the flow is run and deployed in; else ``--branch`` says it, else it is the user's own.
        production: whether it is the project's production; else ``--production`` says it.

    Raises:
        AuthoringError: FI170, an argument is not usable.
    """
    source = caller()
    given = _Declared(name, branch, production)
    if not has_later(name, branch, production):
        raise_errors(_problems(given, source), AuthoringError)

    def decorate(flow: Flow) -> Flow:
        if not isinstance(flow, type):
            raise AuthoringError(
                error("FI170", "@project is not on a flow's class", hint="write it above `class`", source=source)
            )
        return patch_flow(flow, "project", given, "@project", source)

    return decorate


def check_project(flow: type) -> tuple[_Declared | None, list[Diagnostic]]:
    """What the decorators of *flow* say together, if there is one, and what is wrong with them."""
    patches = flow_patches(flow, "project")
    found: list[Diagnostic] = []
    said: list[tuple[_Declared, Patch]] = []
    for patch in patches:
        try:
            names = names_of(flow)
            known = _Declared(
                *(resolved(v, names) for v in (patch.value.name, patch.value.branch, patch.value.production))
            )
        except AuthoringError as why:
            found += why.diagnostics
            continue
        wrong = _problems(known, patch.source)
        found += wrong
        if not wrong:
            said.append((known, patch))
    whole: dict[str, Any] = {"name": None, "branch": None, "production": None}
    for one, patch in said:
        for what in ("name", "branch", "production"):
            value = getattr(one, what)
            if value is not None and whole[what] not in (None, value):
                found.append(
                    error(
                        "FI171",
                        f"@project is given twice, with {what} {value!r} and {whole[what]!r}",
                        hint="keep one of them",
                        source=placed(patch.source),
                    )
                )
            whole[what] = value if whole[what] is None else whole[what]
    return (_Declared(**whole) if said else None), found


def resolve_project(
    flow: type,
    *,
    branch: str | None = None,
    production: bool = False,
    user: str,
    options: tuple[str, str] = ("--branch", "--production"),
) -> Project | None:
    """The project that a run or deployment of *flow* belongs to; None if the flow is in none.

    Args:
        flow: its class.
        branch: what ``--branch`` says.
        production: whether ``--production`` is given.
        user: who starts or deploys it, for the branch where nobody names one.
        options: what *branch* and *production* are called where they are given.

    Raises:
        AuthoringError: what :func:`check_project` finds; FI170, the branch is no name; FI171, an option differs from what
            the decorator says; FI173, an option is given and the flow is in no project.
    """
    declared, found = check_project(flow)
    raise_errors(found, AuthoringError)
    if declared is None:
        if branch is not None or production:
            option = options[0] if branch is not None else options[1]
            raise AuthoringError(
                error(
                    "FI173",
                    f"{option} is given, and the flow {flow.__name__} is in no project",
                    detail="branches are those of a project",
                    hint=f"write @project(name='...') above `class {flow.__name__}`, or leave {option} out",
                )
            )
        return None
    place = placed(flow_patches(flow, "project")[0].source)
    if branch is not None and not _NAME.fullmatch(branch):
        found.append(error("FI170", f"{options[0]} {branch}: it is no name of a branch", hint=f"use {_NAMES}"))
    if branch is not None and declared.branch not in (None, branch):
        found.append(_differs("branch", declared.branch, f"{options[0]} {branch}", place))
    if production and declared.production is False:
        found.append(_differs("production", declared.production, options[1], place))
    raise_errors(found, AuthoringError)
    chosen = declared.branch if branch is None else branch
    if production or declared.production:
        where = f"prod.{chosen}" if chosen else "prod"
    else:
        where = f"test.{chosen}" if chosen else f"user.{user}"
    return Project(declared.name, where, flow.__name__)


def project_of_tags(flow: str, tags: Iterable[str]) -> Project | None:
    """The project that a run of *flow* with these tags belongs to; None if it is in none."""
    found = {
        prefix: tag.removeprefix(prefix)
        for tag in tags
        for prefix in (_PROJECT_TAG, _BRANCH_TAG)
        if tag.startswith(prefix)
    }
    if len(found) < 2:
        return None
    return Project(found[_PROJECT_TAG], found[_BRANCH_TAG], flow)


def _problems(given: _Declared, source: Source) -> list[Diagnostic]:
    problems = [
        f"{what}={value!r} is no name"
        for what, value in (("name", given.name), ("branch", given.branch))
        if not (isinstance(value, str) and _NAME.fullmatch(value)) and not (what == "branch" and value is None)
    ]
    if given.production not in (None, True, False):
        problems.append(f"production={given.production!r} is neither True nor False")
    return [
        error("FI170", f"@project: {problem}", hint=f"names are {_NAMES}", source=placed(source))
        for problem in problems
    ]


def _differs(what: str, declared: Any, option: str, place: Source) -> Diagnostic:
    return error(
        "FI171",
        f"{option} is given, and the flow's @project says {what}={declared!r}",
        detail="it would run in another place than the flow says",
        hint=f"leave {option} out, or leave {what} out of the decorator",
        source=place,
    )
