from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowinfra.diagnostics import Diagnostic, PackagingError
from flowinfra.sources.walk import Modules, default_root, walk


def write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def found(root: Path, files: dict[str, str], entry: str = "flow.py") -> Modules:
    return walk(write(root, files) / entry, root)


def names(modules: Modules) -> list[str]:
    return [m.name for m in modules.modules]


def refused(root: Path, files: dict[str, str], entry: str = "flow.py") -> tuple[Diagnostic, ...]:
    with pytest.raises(PackagingError) as caught:
        found(root, files, entry)
    return caught.value.diagnostics


class TestFollowing:
    def test_only_what_is_imported_is_found(self, tmp_path: Path) -> None:
        """The flow's own modules are followed through one another, once each, and others are left alone."""
        modules = found(
            tmp_path,
            {
                "flow.py": "import a\nimport json, numpy.linalg as la\nfrom requests import get\nimport flowinfra",
                "a.py": "import b",
                "b.py": "import a, flow",
                "unused.py": "import nothing_of_the_kind",
            },
        )
        assert names(modules) == ["a", "b", "flow"]
        assert modules.entry == "flow"
        assert modules.third_party == ("flowinfra", "numpy", "requests")
        assert modules.by_name["b"].imports == ("a", "flow")

    def test_imports_count_wherever_they_stand(self, tmp_path: Path) -> None:
        """Imports in functions, classes, conditions, loops, try blocks and matches are followed."""
        text = (
            "def f():\n    import in_function\n    async def g():\n        from in_nested import x\n"
            "class C:\n    import in_class\n"
            "if f:\n    import in_if\nelse:\n    import in_else\n"
            "try:\n    import in_try\nexcept ImportError:\n    import in_except\nfinally:\n    import in_finally\n"
            "for x in y:\n    import in_for\nwith x:\n    import in_with\n"
            "match x:\n    case 1:\n        import in_case\n"
        )
        wanted = re.findall(r"in_\w+", text)
        modules = found(tmp_path, {"flow.py": text, **{f"{n}.py": "" for n in wanted}})
        assert names(modules) == sorted(["flow", *wanted])

    def test_packages_are_loaded_on_the_way(self, tmp_path: Path) -> None:
        """The __init__ of each package on the way to a module is part of what importing it loads."""
        modules = found(
            tmp_path,
            {
                "flow.py": "import a.b.c as d",
                "a/__init__.py": "",
                "a/b/__init__.py": "import helper",
                "a/b/c.py": "",
                "a/other.py": "",
                "helper.py": "",
            },
        )
        assert names(modules) == ["a", "a.b", "a.b.c", "flow", "helper"]
        assert modules.by_name["flow"].imports == ("a", "a.b", "a.b.c")
        assert modules.by_name["a.b.c"].imports == ("a", "a.b")

    def test_relative_imports(self, tmp_path: Path) -> None:
        """All forms of relative imports lead to the modules of the package that they are written in."""
        modules = found(
            tmp_path,
            {
                "flow.py": "import pkg.sub.deep",
                "pkg/__init__.py": "from . import one\nNAME = 1",
                "pkg/one.py": "from .two import x as y",
                "pkg/two.py": "",
                "pkg/sub/__init__.py": "from .. import three, NAME",
                "pkg/sub/deep.py": "from ..four import z",
                "pkg/three.py": "",
                "pkg/four.py": "from .sub import beside",
                "pkg/sub/beside.py": "",
            },
        )
        wanted = "flow pkg pkg.four pkg.one pkg.sub pkg.sub.beside pkg.sub.deep pkg.three pkg.two"
        assert names(modules) == wanted.split()

    def test_folders_without_init_are_packages_too(self, tmp_path: Path) -> None:
        """A namespace package is followed to the modules in it and has no file of its own."""
        modules = found(
            tmp_path,
            {
                "flow.py": "import lib.a\nfrom lib.deep import b\nfrom lib.deep.c import x",
                "lib/a.py": "from . import d",
                "lib/d.py": "",
                "lib/deep/b.py": "",
                "lib/deep/c.py": "",
            },
        )
        assert names(modules) == ["flow", "lib.a", "lib.d", "lib.deep.b", "lib.deep.c"]

    def test_a_folder_of_data_does_not_hide_an_installed_package(self, tmp_path: Path) -> None:
        """A folder that only has the name of a package is not taken for it."""
        modules = found(tmp_path, {"flow.py": "import numpy.random, data", "numpy/notes.txt": "", "data/x.csv": ""})
        assert (names(modules), modules.third_party) == (["flow"], ("data", "numpy"))

    def test_own_modules_hide_installed_ones(self, tmp_path: Path) -> None:
        """As at run time, a module of the flow's own wins over one of the standard library."""
        modules = found(tmp_path, {"flow.py": "import json\nimport calendar.own", "json.py": "", "calendar/own.py": ""})
        assert names(modules) == ["calendar.own", "flow", "json"]

    def test_a_package_wins_over_a_module_of_its_name(self, tmp_path: Path) -> None:
        """Where both are there, Python takes the package, and so does the walk."""
        modules = found(tmp_path, {"flow.py": "import a", "a.py": "", "a/__init__.py": ""})
        assert modules.by_name["a"].path == "a/__init__.py"

    def test_flowinfra_in_a_checkout_is_not_the_flows_own(self, tmp_path: Path) -> None:
        """A root that happens to hold flowinfra's sources does not put them into the bundle."""
        files = {"flow.py": "import flowinfra.authoring", "flowinfra/__init__.py": "", "flowinfra/authoring.py": ""}
        assert names(found(tmp_path, files)) == ["flow"]

    def test_import_functions_with_a_written_name(self, tmp_path: Path) -> None:
        """importlib.import_module and __import__ are followed where the name is written out."""
        modules = found(
            tmp_path,
            {
                "flow.py": (
                    "import importlib\nfrom importlib import import_module\n"
                    "importlib.import_module('a')\nimport_module(name='pkg.b')\n__import__('c')\n"
                    "import_module('not_there')\n"
                ),
                "a.py": "",
                "pkg/__init__.py": "import importlib\nimportlib.import_module('.d', __name__)",
                "pkg/b.py": "",
                "pkg/d.py": "",
                "c.py": "",
            },
        )
        assert names(modules) == ["a", "c", "flow", "pkg", "pkg.b", "pkg.d"]
        assert modules.third_party == ("not_there",)

    def test_a_computed_import_is_a_warning(self, tmp_path: Path) -> None:
        """An import whose name only running would tell is pointed out with its place, and stops nothing."""
        modules = found(tmp_path, {"flow.py": "import importlib\n\nimportlib.import_module(f'plugins.{x}')\n"})
        only = modules.diagnostics[0]
        assert (only.code, only.severity.value, only.source and only.source.line) == ("FI435", "warning", 3)

    def test_a_star_import_loads_what_the_package_lists(self, tmp_path: Path) -> None:
        """Of a package, * loads the modules that its __all__ names."""
        files = {
            "flow.py": "from pkg import *\nfrom plain import *",
            "pkg/__init__.py": "__all__ = ['a', 'value']\n__all__ += ['b']\nvalue = 1",
            "plain.py": "",
        }
        modules = found(tmp_path, {**files, **{f"pkg/{n}.py": "" for n in "abc"}})
        assert names(modules) == ["flow", "pkg", "pkg.a", "pkg.b", "plain"]

    def test_each_import_is_known_by_its_place(self, tmp_path: Path) -> None:
        """Names that one statement imports are told apart by where they stand."""
        files = {"flow.py": "from pkg import a, \\\n  b\n", "pkg/__init__.py": "", "pkg/a.py": "", "pkg/b.py": ""}
        edges = found(tmp_path, files).by_name["flow"].edges
        assert [(e.line, e.column, e.modules) for e in edges] == [(1, 16, ("pkg", "pkg.a")), (2, 2, ("pkg", "pkg.b"))]

    def test_nothing_is_run(self, tmp_path: Path) -> None:
        """Modules are read, never imported: code that would fail or write when it runs does neither."""
        files = {"flow.py": "import a\nraise SystemExit(1)", "a.py": f"open({str(tmp_path / 'ran')!r}, 'w')\n1 / 0"}
        assert names(found(tmp_path, files)) == ["a", "flow"]
        assert not (tmp_path / "ran").exists()
        assert "flow" not in sys.modules

    def test_declared_encodings_are_read(self, tmp_path: Path) -> None:
        """A source in another encoding than UTF-8, and one with a byte order mark, are parsed as Python parses them."""
        (tmp_path / "flow.py").write_bytes(b"\xef\xbb\xbfimport a\n")
        (tmp_path / "a.py").write_bytes(b"# -*- coding: latin-1 -*-\nx = '\xe9'\nimport b\n")
        (tmp_path / "b.py").write_bytes(b"x = 1\r\ny = '\\d'\r\n")
        assert names(walk(tmp_path / "flow.py")) == ["a", "b", "flow"]


class TestRoot:
    def test_the_default_is_the_flows_folder(self, tmp_path: Path) -> None:
        """A flow file that lies in no package has its folder as the root."""
        file = write(tmp_path, {"flows/flow.py": "import a", "flows/a.py": "", "a.py": ""}) / "flows" / "flow.py"
        assert default_root(file) == tmp_path / "flows"
        assert [m.path for m in walk(file).modules] == ["a.py", "flow.py"]

    def test_a_flow_in_a_package_starts_above_it(self, tmp_path: Path) -> None:
        """A flow file in a package is imported from the first folder above that is none, packages included."""
        files = {"src/top/__init__.py": "", "src/top/sub/__init__.py": "", "src/top/sub/flow.py": "from .. import a"}
        file = write(tmp_path, {**files, "src/top/a.py": ""}) / "src/top/sub/flow.py"
        modules = walk(file)
        assert modules.root == tmp_path / "src"
        assert (modules.entry, names(modules)) == ("top.sub.flow", ["top", "top.a", "top.sub", "top.sub.flow"])

    def test_a_root_further_up(self, tmp_path: Path) -> None:
        """With the project as the root, modules are named and found from there."""
        modules = found(
            tmp_path, {"flows/flow.py": "import shared", "shared.py": "", "flows/a.py": ""}, "flows/flow.py"
        )
        assert names(modules) == ["flows.flow", "shared"]

    def test_the_place_of_the_project_does_not_matter(self, tmp_path: Path) -> None:
        """Two copies in two folders, one reached through a link, give equal modules."""
        files = {"flow.py": "import a", "a.py": "x = 1"}
        first = found(tmp_path / "one", files)
        write(tmp_path / "deep" / "two", files)
        (tmp_path / "link").symlink_to(tmp_path / "deep" / "two")
        second = walk(tmp_path / "link" / "flow.py")
        assert first.modules == second.modules
        assert second.root == tmp_path / "deep" / "two"

    @pytest.mark.parametrize(
        ("files", "entry", "root", "words"),
        [
            ({"flow.txt": ""}, "flow.txt", ".", ".py"),
            ({"my.flow.py": ""}, "my.flow.py", ".", "dot"),
            ({"flow.py": "", "sub/x.py": ""}, "flow.py", "sub", "lie under"),
            ({"flow.py": "", "flow/__init__.py": ""}, "flow.py", ".", "another module"),
        ],
    )
    def test_a_flow_file_without_a_name_is_refused(
        self, tmp_path: Path, files: dict[str, str], entry: str, root: str, words: str
    ) -> None:
        """A flow file that cannot be imported from the root is an error that says why."""
        write(tmp_path, files)
        with pytest.raises(PackagingError) as caught:
            walk(tmp_path / entry, tmp_path / root)
        only = caught.value.diagnostics[0]
        assert (only.code, words in only.summary) == ("FI437", True)

    def test_a_flow_file_that_is_not_there(self, tmp_path: Path) -> None:
        """A missing flow file is named."""
        with pytest.raises(PackagingError) as caught:
            walk(tmp_path / "none.py")
        assert [(d.code, "none.py" in d.summary) for d in caught.value.diagnostics] == [("FI436", True)]


class TestRefusals:
    def test_all_findings_come_at_once_with_their_places(self, tmp_path: Path) -> None:
        """Syntax errors and missing modules of several files are reported together, each with file and line."""
        diagnostics = refused(
            tmp_path,
            {
                "flow.py": "import a\nimport broken\nfrom pkg import nothing\n",
                "a.py": "\ndef f():\n    import pkg.gone\n",
                "broken.py": "x = 1\ndef f(:\n",
                "pkg/__init__.py": "from .also_gone import x",
            },
        )
        places = {(d.code, d.source and Path(d.source.file).name, d.source and d.source.line) for d in diagnostics}
        assert places == {
            ("FI432", "broken.py", 2),
            ("FI433", "flow.py", 3),
            ("FI433", "a.py", 3),
            ("FI433", "__init__.py", 1),
        }
        assert all(d.hint for d in diagnostics)

    @pytest.mark.parametrize("text", ["x = 'a\x00b'", "(" * 500 + ")" * 500, "x = '\\ud800", "# coding: none-such\n"])
    def test_what_python_cannot_read_is_named(self, tmp_path: Path, text: str) -> None:
        """Whatever makes the parser give up is an error that names the file."""
        diagnostics = refused(tmp_path, {"flow.py": "import a", "a.py": text})
        assert [(d.code, "a.py" in d.summary) for d in diagnostics] == [("FI432", True)]

    @pytest.mark.parametrize(
        "text",
        [
            "try:\n    from . import gone\nexcept ImportError:\n    gone = None",
            "try:\n    import pkg.gone\nexcept (KeyError, ModuleNotFoundError):\n    pass",
            "try:\n    from .gone import x\nexcept:\n    pass",
            "import contextlib\nwith contextlib.suppress(ImportError):\n    from .gone import x",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .gone import x",
            "import importlib\nimportlib.import_module('.gone', __name__)",
        ],
    )
    def test_a_module_that_the_flow_can_do_without_may_be_missing(self, tmp_path: Path, text: str) -> None:
        """A missing own module is no error where the code is prepared for it."""
        assert names(found(tmp_path, {"flow.py": "import pkg", "pkg/__init__.py": text})) == ["flow", "pkg"]

    @pytest.mark.parametrize(
        "text",
        [
            "x = 1",
            "from os import path as x",
            "def x(): ...",
            "for x in y: pass",
            "from os import *",
            "def __getattr__(name): ...",
            "globals()['x'] = 1",
            "import x.y",
            "with a as x: pass",
        ],
    )
    def test_a_name_that_a_package_may_define_is_no_module(self, tmp_path: Path, text: str) -> None:
        """What the package itself binds, or may bind, is not taken for a missing module."""
        modules = found(tmp_path, {"flow.py": "from pkg import x", "pkg/__init__.py": text})
        assert names(modules) == ["flow", "pkg"]

    def test_a_package_that_looks_elsewhere_is_believed(self, tmp_path: Path) -> None:
        """A package that changes its __path__ may have modules that the walk does not see."""
        files = {"flow.py": "import pkg.far", "pkg/__init__.py": "__path__.append('/opt')"}
        assert names(found(tmp_path, files)) == ["flow", "pkg"]

    @pytest.mark.parametrize(("path", "text"), [("flow.py", "from . import a"), ("pkg/a.py", "from ... import b")])
    def test_a_relative_import_above_the_root(self, tmp_path: Path, path: str, text: str) -> None:
        """A relative import that leaves the root is refused as Python refuses it."""
        diagnostics = refused(tmp_path, {"flow.py": "import pkg.a", "pkg/a.py": "", path: text})
        assert [(d.code, "above" in d.summary) for d in diagnostics] == [("FI433", True)]

    def test_a_compiled_module_is_refused(self, tmp_path: Path) -> None:
        """An own module that exists only as machine code is an error of its own kind that says what to do."""
        files = {
            "flow.py": "from pkg import fast",
            "pkg/__init__.py": "",
            "pkg/fast.cpython-311-x86_64-linux-gnu.so": "",
        }
        only = refused(tmp_path, files)[0]
        assert (only.code, "fast.cpython-311" in only.summary) == ("FI434", True)

    @pytest.mark.parametrize("link", ["a.py", "pkg"])
    def test_a_link_that_leaves_the_root_is_refused(self, tmp_path: Path, link: str) -> None:
        """A module or a package that is a link to somewhere else is named with its target."""
        root = write(tmp_path / "root", {"flow.py": "import a, pkg.b" if link == "a.py" else "import pkg.b"})
        write(tmp_path / "outside", {"a.py": "", "pkg/__init__.py": "", "pkg/b.py": ""})
        write(root, {} if link == "pkg" else {"pkg/b.py": ""})
        (root / link).symlink_to(tmp_path / "outside" / link)
        with pytest.raises(PackagingError) as caught:
            walk(root / "flow.py")
        for only in caught.value.diagnostics:
            assert only.code == "FI430"
            assert only.summary.startswith(f"{link} ")
            assert str(tmp_path / "outside" / link) in only.summary

    def test_a_link_inside_the_root_is_followed(self, tmp_path: Path) -> None:
        """A link that stays below the root counts as a module under its own name."""
        root = write(tmp_path, {"flow.py": "import a", "real/module.py": "import b", "b.py": ""})
        (root / "a.py").symlink_to(root / "real" / "module.py")
        (root / "loop").symlink_to(root / "loop")
        assert [m.path for m in walk(root / "flow.py").modules] == ["a.py", "b.py", "flow.py"]

    def test_a_flow_file_that_is_a_link_out_is_refused(self, tmp_path: Path) -> None:
        """The flow file itself is judged like every other module."""
        write(tmp_path, {"outside.py": "", "root/x.txt": ""})
        (tmp_path / "root" / "flow.py").symlink_to(tmp_path / "outside.py")
        with pytest.raises(PackagingError) as caught:
            walk(tmp_path / "root" / "flow.py", tmp_path / "root")
        assert [d.code for d in caught.value.diagnostics] == ["FI430"]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_without_permission_is_named(self, tmp_path: Path) -> None:
        """A module that cannot be read is an error with the system's reason."""
        write(tmp_path, {"a.py": ""})
        (tmp_path / "a.py").chmod(0)
        assert [d.code for d in refused(tmp_path, {"flow.py": "import a"})] == ["FI436"]


# -- against Python itself -------------------------------------------------------------------------------------------

_FOLDERS = ("", "p/", "p/q/", "n/", "n/m/")
_LEAVES = ("wfa", "wfb")
_files = st.sets(
    st.builds("{}{}.py".format, st.sampled_from(_FOLDERS), st.sampled_from((*_LEAVES, "__init__"))), max_size=9
)
_targets = st.lists(
    st.sampled_from(["wfa", "wfb", "p", "n", "p.wfa", "p.q", "p.q.wfb", "n.wfa", "n.m", "n.m.wfb"]), max_size=4
)


@given(_files, st.dictionaries(st.sampled_from(["wfa.py", "p/wfa.py", "p/q/wfb.py", "n/wfa.py"]), _targets), _targets)
@settings(max_examples=60)
def test_python_loads_what_the_walk_finds(
    tmp_path_factory: pytest.TempPathFactory, files: set[str], imports: dict[str, list[str]], first: list[str]
) -> None:
    """For random trees of packages and modules, importing the flow loads exactly the modules that the walk found."""
    root = tmp_path_factory.mktemp("w")

    def text(targets: list[str]) -> str:
        return "".join(f"try:\n    import {t}\nexcept ImportError:\n    pass\n" for t in targets)

    chosen = {path: text(imports.get(path, [])) for path in files if path != "__init__.py"}
    write(root, {**chosen, "wf_flow.py": text(first)})
    walked = {m.path for m in walk(root / "wf_flow.py", root).modules}

    before = dict(sys.modules)
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        importlib.import_module("wf_flow")
        origins = [getattr(m.__spec__, "origin", None) for n, m in sys.modules.items() if n not in before]
    finally:
        sys.path.remove(str(root))
        for name in set(sys.modules) - set(before):
            del sys.modules[name]
    loaded = {Path(o).relative_to(root).as_posix() for o in origins if o and Path(o).is_relative_to(root)}
    assert walked == loaded
