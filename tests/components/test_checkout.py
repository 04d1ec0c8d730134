"""What git says about a checkout, and what a stack's mode says about that, with real repositories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowinfra.components import Settings
from flowinfra.components.checkout import Checkout, checkout_findings, read_checkout
from flowinfra.components.modes import Mode
from support.repository import Repository

PRODUCTION = Mode.of(Settings(stack="prod", mode="production"), "ada")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with a project in a folder of it."""
    repository = Repository.create(tmp_path / "repo")
    repository.write("project/flows/a.py")
    repository.write("project/data/table.csv", "1\n")
    repository.write(".gitignore", "*.log\n")
    repository.commit()
    return repository


def read(repository: Repository, **variables: str) -> Checkout:
    return read_checkout(repository.folder / "project", {"PATH": os.environ["PATH"], **variables})


def codes(checkout: Checkout, mode: Mode = PRODUCTION, packed: tuple[str, ...] = ()) -> list[str]:
    return [d.code for d in checkout_findings(checkout, mode, packed)]


def test_a_clean_checkout_has_no_finding(repository: Repository) -> None:
    """Branch and commit are told, and nothing is wrong."""
    found = read(repository)
    assert (found.branch, found.detached, found.changed, found.untracked) == ("main", False, (), ())
    assert repository.git("rev-parse", "HEAD").startswith(found.commit)
    assert codes(found) == []


def test_changes_of_every_kind_are_dirty(repository: Repository) -> None:
    """Changed, staged, renamed and deleted files are named, with any characters in their names."""
    repository.write("project/é und so.py")
    repository.write("project/gone.py")
    repository.commit()
    repository.write("project/flows/a.py", "x = 2\n")
    repository.git("mv", "project/é und so.py", "project/neu.py")
    (repository.folder / "project" / "gone.py").unlink()
    repository.write("project/staged.txt", "new\n")
    repository.git("add", "project/staged.txt")
    found = read(repository)
    assert set(found.changed) == {"project/flows/a.py", "project/neu.py", "project/gone.py", "project/staged.txt"}
    (said,) = checkout_findings(found, PRODUCTION)
    assert said.code == "FI670"
    assert "project/flows/a.py" in said.summary


def test_a_conflict_is_dirty(repository: Repository) -> None:
    """A merge that is not finished counts."""
    repository.git("switch", "--quiet", "-c", "other")
    repository.write("project/flows/a.py", "x = 2\n")
    repository.commit()
    repository.git("switch", "--quiet", "main")
    repository.write("project/flows/a.py", "x = 3\n")
    repository.commit()
    with pytest.raises(Exception, match="merge"):
        repository.git("merge", "other")
    assert read(repository).changed == ("project/flows/a.py",)


def test_untracked_files_count_where_they_are_deployed(repository: Repository) -> None:
    """Python and stack settings always, others where a bundle has them; ignored ones and saved plans do not."""
    repository.write("project/data/new.csv")
    repository.write("project/plan.json")
    repository.write("project/run.log")
    repository.write("elsewhere.py")
    found = read(repository)
    assert set(found.untracked) == {"project/data/new.csv", "project/plan.json"}
    assert codes(found) == []
    assert codes(found, packed=("data/new.csv",)) == ["FI670"]
    repository.write("project/flows/b.py")
    assert codes(read(repository)) == ["FI670"]
    (repository.folder / "project/flows/b.py").unlink()
    repository.write("project/Pulumi.prod.yaml")
    assert codes(read(repository)) == ["FI670"]


def test_the_projects_own_folder_does_not_count(repository: Repository) -> None:
    """What flowinfra writes is ignored by its own file."""
    repository.write("project/.flowinfra/.gitignore", "*\n")
    repository.write("project/.flowinfra/cache/module.py")
    assert codes(read(repository)) == []


def test_another_branch_is_refused(repository: Repository) -> None:
    """The branch that is set, or else the one that origin's HEAD stands for; without either no branch is asked for."""
    repository.git("switch", "--quiet", "-c", "topic")
    assert codes(read(repository)) == []
    release = Mode.of(Settings(stack="prod", mode="production", branch="release"), "ada")
    (said,) = checkout_findings(read(repository), release)
    assert (said.code, "release" in said.summary, "topic" in said.summary) == ("FI671", True, True)
    repository.git("update-ref", "refs/remotes/origin/main", "HEAD")
    repository.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    assert read(repository).default_branch == "main"
    assert codes(read(repository)) == ["FI671"]
    assert codes(read(repository), Mode.of(Settings(stack="prod", mode="production", branch=""), "ada")) == []


def test_a_detached_head_is_named_by_its_commit_or_by_the_build_service(repository: Repository) -> None:
    """Build services check out commits and tell the branch in a variable; elsewhere the commit is the name."""
    repository.git("switch", "--quiet", "--detach")
    main = Mode.of(Settings(stack="prod", mode="production", branch="main"), "ada")
    found = read(repository)
    (said,) = checkout_findings(found, main)
    assert (found.detached, found.branch) == (True, "")
    assert f"the commit {found.commit}" in said.summary
    assert codes(read(repository, CI_COMMIT_BRANCH="main"), main) == []
    assert codes(read(repository, GIT_BRANCH="origin/main"), main) == []
    assert codes(read(repository, GITHUB_REF_TYPE="branch", GITHUB_REF_NAME="main"), main) == []
    assert codes(read(repository, GITHUB_REF_TYPE="tag", GITHUB_REF_NAME="main"), main) == ["FI671"]
    assert codes(read(repository, GITHUB_HEAD_REF="topic", GITHUB_REF_TYPE="branch", GITHUB_REF_NAME="main"), main)


def test_a_branch_of_git_goes_before_the_services_variable(repository: Repository) -> None:
    """A variable says nothing where HEAD is a branch."""
    main = Mode.of(Settings(stack="prod", mode="production", branch="main"), "ada")
    repository.git("switch", "--quiet", "-c", "topic")
    assert codes(read(repository, CI_COMMIT_BRANCH="main"), main) == ["FI671"]


@pytest.mark.parametrize("kind", ["no repository", "no git", "nothing committed"])
def test_what_cannot_be_told_is_refused(tmp_path: Path, kind: str) -> None:
    """A folder without git, a machine without git and a repository without a commit say why."""
    environ = {"PATH": "" if kind == "no git" else os.environ["PATH"]}
    if kind == "nothing committed":
        repository = Repository(tmp_path)
        repository.git("init", "--quiet")
        repository.write("a.py")
        assert codes(read_checkout(tmp_path, environ)) == ["FI670"]
        return
    found = read_checkout(tmp_path, environ)
    assert found.problem == {"no repository": "it is no git checkout", "no git": "git is not installed"}[kind]
    assert codes(found) == ["FI672"]
    assert codes(found, Mode.of(Settings(stack="s", mode="production", require_clean=False, branch=""), "a")) == []


def test_a_hooks_own_repository_is_not_asked(repository: Repository, tmp_path: Path) -> None:
    """Inside a hook of another repository the project's own one is meant."""
    other = Repository.create(tmp_path / "other", branch="elsewhere")
    found = read(repository, GIT_DIR=str(other.folder / ".git"), GIT_WORK_TREE=str(other.folder))
    assert found.branch == "main"
