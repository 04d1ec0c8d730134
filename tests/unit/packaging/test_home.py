from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowinfra.diagnostics import PackagingError
from flowinfra.packaging.home import Home


def test_the_nearest_project_above_is_found(tmp_path: Path) -> None:
    """A folder deep inside a project uses the project's home, whether Pulumi.yaml or .flowinfra marks it."""
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    deep = inner / "a" / "b"
    deep.mkdir(parents=True)
    (outer / "Pulumi.yaml").write_text("name: x\n")
    assert Home.find(deep, {}).path == outer / ".flowinfra"
    (inner / ".flowinfra").mkdir()
    home = Home.find(deep, {})
    assert (home.path, home.project_dir) == (inner / ".flowinfra", inner)


def test_without_a_project_it_lies_where_one_starts(tmp_path: Path) -> None:
    """Outside of any project the home is in the folder that was started in, and looking for it makes nothing."""
    home = Home.find(tmp_path, {})
    assert home.path.parent == home.project_dir
    assert home.project_dir in (tmp_path, *tmp_path.parents)
    assert list(tmp_path.iterdir()) == []


def test_the_current_folder_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a start the search begins in the current folder."""
    (tmp_path / "Pulumi.yaml").touch()
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert Home.find(environ={}).project_dir == tmp_path


def test_the_environment_names_home_and_store(tmp_path: Path) -> None:
    """FLOWINFRA_HOME and FLOWINFRA_STORE win, and a relative store is made absolute."""
    home = Home.find(tmp_path, {"FLOWINFRA_HOME": str(tmp_path / "x" / ".." / "h"), "FLOWINFRA_STORE": "s3://b/p"})
    assert (home.path, home.store_url) == (tmp_path / "h", "s3://b/p")
    relative = Home.find(tmp_path, {"FLOWINFRA_STORE": "there"})
    assert relative.store_url == (Path.cwd() / "there").as_uri()


def test_everything_local_lies_in_it(tmp_path: Path) -> None:
    """Store, state, cache, database, passphrase and workers are all below the home."""
    (tmp_path / "Pulumi.yaml").touch()
    home = Home.find(tmp_path, {})
    assert home.store_url == (home.path / "store").as_uri()
    names = {p.relative_to(home.path).as_posix() for p in (home.state_dir, home.cache, home.database, home.workers)}
    assert names == {"state", "cache", "local.db", "workers"}
    assert home.passphrase_file == home.path / "passphrase"


def test_ensure_hides_it_from_git(tmp_path: Path) -> None:
    """The folder is made with an ignore file of its own, and an ignore file that is there is left alone."""
    home = Home.find(tmp_path, {"FLOWINFRA_HOME": str(tmp_path / "deep" / "home")})
    assert home.ensure() is home
    assert (home.path / ".gitignore").read_text() == "*\n"
    (home.path / ".gitignore").write_text("*\n!keep\n")
    home.ensure()
    assert (home.path / ".gitignore").read_text() == "*\n!keep\n"


def test_a_home_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    """Where a file stands in the way, the error names the folder and the reason."""
    (tmp_path / "file").touch()
    with pytest.raises(PackagingError) as caught:
        Home.find(tmp_path, {"FLOWINFRA_HOME": str(tmp_path / "file" / "home")}).ensure()
    only = caught.value.diagnostics[0]
    assert only.code == "FI406"
    assert str(tmp_path / "file" / "home") in only.summary
    assert os.strerror(20) in only.summary
