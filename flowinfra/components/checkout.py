"""The git checkout that is deployed from, and what a stack's mode says about it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flowinfra.components.modes import Mode
from flowinfra.diagnostics import Diagnostic, error

__all__ = ["Checkout", "checkout_findings", "read_checkout"]

#: Where build services name the branch of a checkout that is of a commit only, the first that is set.
_CI: Final = (
    "CI_COMMIT_BRANCH",
    "GITHUB_HEAD_REF",
    "BITBUCKET_BRANCH",
    "BUILDKITE_BRANCH",
    "CIRCLE_BRANCH",
    "GIT_BRANCH",
)
_SHOWN: Final = 5
_PATIENCE_S: Final = 60  # for git, which waits for file systems


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """What git says about a project's folder.

    Attributes:
        problem: why git says nothing; empty if it does.
        branch: the branch; where HEAD is detached the one that the build service names, or empty.
        commit: the commit, shortened; empty if there is none.
        detached: HEAD is a commit and no branch.
        changed: files that differ from the commit, relative to the checkout.
        untracked: files that git does not know and does not ignore.
        default_branch: the branch that ``origin/HEAD`` stands for; empty if git does not know it.
    """

    problem: str = ""
    branch: str = ""
    commit: str = ""
    detached: bool = False
    changed: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    default_branch: str = ""


def read_checkout(folder: Path, environ: Mapping[str, str] | None = None) -> Checkout:
    """What git says about *folder*; whatever keeps it from answering is the ``problem``."""
    env = dict(os.environ if environ is None else environ)
    try:
        status = _git(folder, env, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--", ".")
        origin = _git(folder, env, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD", check=False)
    except (OSError, subprocess.SubprocessError) as problem:
        return Checkout(problem=_why(problem))
    return _parsed(status, origin.strip().removeprefix("origin/"), env)


def checkout_findings(checkout: Checkout, mode: Mode, packed: Collection[str] = ()) -> list[Diagnostic]:
    """Why *mode* refuses to deploy from *checkout*.

    Args:
        checkout: what git says.
        mode: what is asked for.
        packed: paths of bundles: untracked files that have such an end count, like untracked Python files.
    """
    wanted = checkout.default_branch if mode.branch is None else mode.branch
    if not mode.require_clean and not wanted:
        return []
    if checkout.problem:
        return [
            error(
                "FI672",
                f"what is deployed from cannot be told: {checkout.problem}",
                detail=_asks(mode, wanted),
                hint="deploy from a git checkout, or set flowinfra:require_clean to false and flowinfra:branch to ''; "
                "--force (FLOWINFRA_FORCE=1 for the Pulumi CLI) goes on once",
            )
        ]
    found = []
    dirty = [*checkout.changed, *(path for path in checkout.untracked if _counts(path, packed))]
    if mode.require_clean and dirty:
        more = f" and {len(dirty) - _SHOWN} more" if len(dirty) > _SHOWN else ""
        found.append(
            error(
                "FI670",
                f"the checkout has changes that are in no commit: {', '.join(dirty[:_SHOWN])}{more}",
                detail=f"{_asks(mode, '')} Nobody else could tell what was deployed.",
                hint="commit, stash or ignore them; --force (FLOWINFRA_FORCE=1 for the Pulumi CLI) goes on once",
            )
        )
    if wanted and checkout.branch != wanted:
        here = checkout.branch or (
            f"no branch, but the commit {checkout.commit}" if checkout.commit else "no branch with a commit"
        )
        found.append(
            error(
                "FI671",
                f"this stack is deployed from the branch {wanted}, and the checkout is of {here}",
                detail=_asks(mode, wanted),
                hint=f"git switch {wanted}, or set flowinfra:branch; --force (FLOWINFRA_FORCE=1 for the Pulumi CLI) goes "
                "on once",
            )
        )
    return found


def _asks(mode: Mode, branch: str) -> str:
    who = f"the mode {mode.name}" if mode.by_mode & {"require_clean", "branch"} else "the stack's settings"
    what = [
        *(["a checkout without changes"] if mode.require_clean else []),
        *([f"the branch {branch}"] if branch else []),
    ]
    return f"{who[0].upper()}{who[1:]} ask{'s' if who.startswith('the mode') else ''} for {' and '.join(what)}."


def _counts(path: str, packed: Collection[str]) -> bool:
    name = path.rpartition("/")[2]
    if name.endswith(".py") or (name.startswith("Pulumi.") and name.endswith((".yaml", ".yml"))):
        return True
    return any(path == p or path.endswith(f"/{p}") for p in packed)


def _git(folder: Path, environ: Mapping[str, str], *arguments: str, check: bool = True) -> str:
    # Inside a hook git names its repository here, and it may be another one.
    clean = {k: v for k, v in environ.items() if k not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env={**clean, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=check,
        timeout=_PATIENCE_S,
    )
    return done.stdout.decode("utf-8", "replace")


def _why(problem: Exception) -> str:
    if isinstance(problem, FileNotFoundError):
        return "git is not installed"
    if isinstance(problem, subprocess.CalledProcessError):
        said: bytes = problem.stderr or b""
        lines = said.decode("utf-8", "replace").strip().splitlines()
        first = lines[0].removeprefix("fatal: ") if lines else f"git ended with {problem.returncode}"
        return "it is no git checkout" if first.startswith("not a git repository") else first
    if isinstance(problem, subprocess.TimeoutExpired):
        return f"git did not answer within {_PATIENCE_S} s"
    return str(problem)


def _parsed(status: str, default_branch: str, environ: Mapping[str, str]) -> Checkout:
    """Out of ``git status --porcelain=v2 --branch -z`` (git's manual of git-status, "Porcelain Format Version 2")."""
    branch = commit = ""
    changed: list[str] = []
    untracked: list[str] = []
    entries: Iterator[str] = iter(status.split("\0"))
    for entry in entries:
        kind, _, rest = entry.partition(" ")
        if kind == "#":
            word, _, value = rest.partition(" ")
            branch = value if word == "branch.head" else branch
            commit = value[:12] if word == "branch.oid" and value != "(initial)" else commit
        elif kind == "1":
            changed.append(rest.split(" ", 7)[-1])
        elif kind == "2":
            changed.append(rest.split(" ", 8)[-1])
            next(entries, None)  # the path before the renaming
        elif kind == "u":
            changed.append(rest.split(" ", 9)[-1])
        elif kind == "?":
            untracked.append(rest)
    detached = branch == "(detached)"
    return Checkout(
        branch=_branch_of_service(environ) if detached else branch,
        commit=commit,
        detached=detached,
        changed=tuple(changed),
        untracked=tuple(untracked),
        default_branch=default_branch,
    )


def _branch_of_service(environ: Mapping[str, str]) -> str:
    found = next((environ[name] for name in _CI if environ.get(name)), "")
    if not found and environ.get("GITHUB_REF_TYPE") == "branch":
        found = environ.get("GITHUB_REF_NAME", "")
    return found.removeprefix("origin/")
