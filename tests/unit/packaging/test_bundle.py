from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.diagnostics import PackagingError
from flowinfra.packaging.bundle import Bundle, LeftOut, build, left_out
from flowinfra.packaging.datafiles import is_secret
from flowinfra.packaging.manifest import bundle_file, manifest_digest
from flowinfra.sources.walk import walk
from support.child import Python

FLOW = {"flow.py": "import pkg.a", "pkg/__init__.py": "", "pkg/a.py": "x = 1\n"}


def write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def bundled(root: Path, files: dict[str, str], *extra: str) -> Bundle:
    return build(walk(write(root, {**FLOW, **files}) / "flow.py"), extra)


def paths(bundle: Bundle) -> list[str]:
    return [f.path for f in bundle.files]


def refused(root: Path, files: dict[str, str], *extra: str) -> list[tuple[str, str]]:
    with pytest.raises(PackagingError) as caught:
        bundled(root, files, *extra)
    assert all(d.hint for d in caught.value.diagnostics)
    return [(d.code, d.summary) for d in caught.value.diagnostics]


class TestBuild:
    def test_the_modules_are_packed_and_nothing_else(self, tmp_path: Path) -> None:
        """Without patterns a bundle holds the modules that the flow imports, sorted."""
        bundle = bundled(tmp_path, {"unused.py": "", "data.csv": "1", ".env": "KEY=1"})
        assert paths(bundle) == ["flow.py", "pkg/__init__.py", "pkg/a.py"]
        assert bundle.files[2] == bundle_file("pkg/a.py", b"x = 1\n")

    def test_the_tar_is_the_same_everywhere(self, tmp_path: Path, python: Python) -> None:
        """Two copies with other times, modes, umask, hash seed and process give the same bytes."""
        first = bundled(tmp_path / "one", {"data/x.csv": "1"}, "data")
        second = write(tmp_path / "two" / "deep", {**dict(reversed(FLOW.items())), "data/x.csv": "1"})
        for file in second.rglob("*.py"):
            os.utime(file, (1, 1))
            file.chmod(0o700)
        code = (
            "import pathlib, sys; from flowinfra.packaging.bundle import build; from flowinfra.sources.walk import walk\n"
            "found = build(walk(pathlib.Path(sys.argv[1])), ['data'])\n"
            "sys.stdout.write(found.digest + found.data.hex())"
        )
        for seed in ("0", "1"):
            done = python.run("-c", code, str(second / "flow.py"), cwd=second, env={"PYTHONHASHSEED": seed})
            assert done.stdout == first.digest + first.data.hex()

    def test_members_carry_nothing_of_the_machine(self, tmp_path: Path) -> None:
        """Every member has time 0, no owner and mode 0644, also with names that are long or not ASCII."""
        name = "data/" + "long/" * 40 + "größe.csv"
        bundle = bundled(tmp_path, {name: "1"}, "data/**")
        with tarfile.open(fileobj=io.BytesIO(bundle.data)) as tar:
            members = tar.getmembers()
        assert [m.name for m in members] == paths(bundle)
        assert name in paths(bundle)
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.type) for m in members} == {
            (0, 0, 0, "", "", 0o644, tarfile.REGTYPE)
        }

    def test_the_digest_is_of_paths_and_contents(self, tmp_path: Path) -> None:
        """A changed byte or a renamed file changes the digest, an unchanged copy does not."""
        first = bundled(tmp_path / "1", {})
        assert bundled(tmp_path / "2", {}).digest == first.digest
        assert bundled(tmp_path / "3", {"pkg/a.py": "x = 2\n"}).digest != first.digest
        assert bundled(tmp_path / "4", {"flow.py": "import pkg.b", "pkg/b.py": "x = 1\n"}).digest != first.digest

    @given(st.dictionaries(st.text("ab/", min_size=1, max_size=4), st.binary(max_size=3), max_size=4), st.data())
    def test_no_two_manifests_share_a_digest(self, files: dict[str, bytes], data: st.DataObject) -> None:
        """The digest does not depend on order, and any other set of files has another one."""
        entries = [bundle_file(path, content) for path, content in files.items()]
        assert manifest_digest(data.draw(st.permutations(entries))) == manifest_digest(entries)
        path, content = data.draw(st.tuples(st.text("ab/", min_size=1, max_size=4), st.binary(max_size=3)))
        other = {**files, path: content}
        changed = manifest_digest(bundle_file(p, c) for p, c in other.items())
        assert (changed == manifest_digest(entries)) is (other == files)


class TestExtraFiles:
    FILES: ClassVar = {
        "data/a.csv": "",
        "data/b.txt": "",
        "data/deep/c.csv": "",
        "data/deep/er/d.csv": "",
        "top.csv": "",
        "data/__pycache__/x.pyc": "",
        "data/x.pyc": "",
        "data/.cache/y.csv": "",
        "data/[1].csv": "",
    }

    @pytest.mark.parametrize(
        ("pattern", "wanted"),
        [
            ("data/a.csv", ["data/a.csv"]),
            ("./data//a.csv", ["data/a.csv"]),
            ("data/*.csv", ["data/[1].csv", "data/a.csv"]),
            ("data/[1].csv", ["data/[1].csv"]),
            ("data/?.csv", ["data/a.csv"]),
            ("data/**/*.csv", ["data/[1].csv", "data/a.csv", "data/deep/c.csv", "data/deep/er/d.csv"]),
            ("**/c.csv", ["data/deep/c.csv"]),
            ("*.csv", ["top.csv"]),
            ("data/deep", ["data/deep/c.csv", "data/deep/er/d.csv"]),
            ("data/deep/", ["data/deep/c.csv", "data/deep/er/d.csv"]),
            ("data/d*", ["data/deep/c.csv", "data/deep/er/d.csv"]),
            ("data/deep/**", ["data/deep/c.csv", "data/deep/er/d.csv"]),
            ("data/.cache/*", ["data/.cache/y.csv"]),
        ],
    )
    def test_patterns(self, tmp_path: Path, pattern: str, wanted: list[str]) -> None:
        """A pattern asks for files below the root; stars stay in a folder, double ones do not, folders mean all in them."""
        bundle = bundled(tmp_path, self.FILES, pattern)
        assert paths(bundle) == sorted([*FLOW, *wanted])

    @pytest.mark.parametrize("pattern", ["data/*.none", "none", "../x", "/etc/hosts", "data/../../x", "", "."])
    def test_a_pattern_without_a_match_is_refused(self, tmp_path: Path, pattern: str) -> None:
        """A pattern that matches nothing, or leads out of the root, is an error that names it."""
        (tmp_path / "x").touch()
        found = refused(tmp_path / "root", self.FILES, pattern)
        assert found == [("FI438", f"no file matches {pattern!r}")]

    def test_secrets_that_are_asked_for_are_refused_all_at_once(self, tmp_path: Path) -> None:
        """Files with names of secrets are never packed: the error names each of them."""
        names = [
            ".env",
            ".env.prod",
            "key.pem",
            "id_rsa",
            "ID_ED25519",
            "credentials",
            "secrets.yaml",
            ".netrc",
            "a.KEY",
        ]
        found = refused(tmp_path, {**{f"conf/{n}": "x" for n in names}, "conf/ok.yaml": ""}, "conf", "conf/key.pem")
        assert {code for code, _ in found} == {"FI431"}
        assert {summary.split()[0] for _, summary in found} == {f"conf/{n}" for n in names}

    @pytest.mark.parametrize(
        "name", ["id_rsa.pub", ".env.example", "key.py", "credentials.py", "environment", "monkey.txt"]
    )
    def test_names_that_only_look_alike_are_fine(self, name: str) -> None:
        """Public keys, examples and ordinary names are no secrets."""
        assert not is_secret(name)

    def test_a_link_out_of_the_root_is_refused(self, tmp_path: Path) -> None:
        """A data file or folder that is a link to the outside is named with its target, however the pattern meets it."""
        root = write(tmp_path / "root", {"data/x.csv": "1"})
        write(tmp_path / "outside", {"secret.csv": "2", "more/y.csv": "3"})
        (root / "data" / "file.csv").symlink_to(tmp_path / "outside" / "secret.csv")
        (root / "data" / "folder").symlink_to(tmp_path / "outside" / "more")
        for pattern, wanted in (
            ("data", ["data/file.csv", "data/folder"]),
            ("data/*.csv", ["data/file.csv"]),
            ("data/folder/y.csv", ["data/folder"]),
            ("data/folder/*", ["data/folder"]),
        ):
            found = refused(root, {}, pattern)
            assert [(code, summary.split()[0]) for code, summary in found] == [("FI430", w) for w in wanted]
            assert all(str(tmp_path / "outside") in summary for _, summary in found)

    def test_links_inside_the_root_are_followed(self, tmp_path: Path) -> None:
        """Links that stay below the root are packed as the files they lead to, and circles end."""
        root = write(tmp_path, {"real/x.csv": "1"})
        (root / "data").mkdir()
        (root / "data" / "again").symlink_to(root / "real")
        (root / "data" / "circle").symlink_to(root / "data")
        (root / "data" / "x.csv").symlink_to("../real/x.csv")
        (root / "data" / "dangling").symlink_to("nowhere")
        assert paths(bundled(root, {}, "data")) == ["data/again/x.csv", "data/x.csv", *FLOW]

    def test_a_name_that_is_no_text_is_refused(self, tmp_path: Path) -> None:
        """A file whose name is no UTF-8 cannot be named by a manifest."""
        write(tmp_path, {"data/x": ""})
        try:
            (tmp_path / "data" / os.fsdecode(b"\xff.csv")).touch()
        except OSError:
            pytest.skip("this file system has only UTF-8 names")
        assert [code for code, _ in refused(tmp_path, {}, "data")] == ["FI436"]


class TestLeftOut:
    def test_each_file_that_is_not_packed_has_a_reason(self, tmp_path: Path) -> None:
        """What lies beside the flow and is not in the bundle is listed, in order, each with why."""
        root = write(
            tmp_path / "root",
            {
                "other.py": "",
                "notes.md": "",
                ".env": "",
                "old.pyc": "",
                "pkg/__pycache__/a.pyc": "",
                ".git/config": "",
                "venv/pyvenv.cfg": "",
                "venv/lib/x.py": "",
                "data/x.csv": "",
                "data/y.csv": "",
            },
        )
        (root / "link.py").symlink_to(write(tmp_path, {"outside.py": ""}) / "outside.py")
        bundle = bundled(root, {}, "data/x.csv")
        assert left_out(root, bundle) == (
            LeftOut(".env", "secret-like name"),
            LeftOut(".git/", "hidden folder"),
            LeftOut("data/y.csv", "not asked for"),
            LeftOut("link.py", "outside the root"),
            LeftOut("notes.md", "not asked for"),
            LeftOut("old.pyc", "byte code"),
            LeftOut("other.py", "not imported"),
            LeftOut("pkg/__pycache__/", "byte code"),
            LeftOut("venv/", "installed packages"),
        )

    def test_a_long_list_is_cut(self, tmp_path: Path) -> None:
        """No more entries than asked for are collected."""
        bundle = bundled(tmp_path, {f"x{n}.txt": "" for n in range(20)})
        assert len(left_out(tmp_path, bundle, limit=5)) == 5
