"""Importing flow files: which flow is meant, where it is imported from, and what an error in it looks like."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from flowinfra.authoring.loader import find_flow, import_file, load_entrypoint, load_flow, root_of, split_address
from flowinfra.diagnostics import AuthoringError, Diagnostic
from support.child import Python
from support.flows import HEAD, Flows

FLOW = (
    HEAD
    + """
class {name}(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""
)


def refused(file: Path, name: str | None = None, root: Path | None = None) -> Diagnostic:
    """The one finding with which loading *file* is refused."""
    with pytest.raises(AuthoringError) as caught:
        load_flow(file, name, root=root)
    (finding,) = caught.value.diagnostics
    return finding


# -- which flow -------------------------------------------------------------------------------------------------------


def test_the_only_flow_of_a_file_needs_no_name(flows: Flows) -> None:
    """One flow in a file is the one that is meant; by its name it is the same class."""
    file = flows.write(FLOW.format(name="Churn"))
    assert load_flow(file).__name__ == "Churn"
    assert load_flow(file, "Churn") is load_flow(file)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("flows/churn.py", ("flows/churn.py", None)),
        ("flows/churn.py:Churn", ("flows/churn.py", "Churn")),
        ("flows/churn.py:", ("flows/churn.py", None)),
        ("a:b/churn.py", ("a:b/churn.py", None)),
        ("churn:Churn", ("churn:Churn", None)),
    ],
)
def test_an_address_is_a_file_and_perhaps_a_name(address: str, parts: tuple[str, str | None]) -> None:
    """`file.py:Name`; a colon elsewhere belongs to the path."""
    assert split_address(address) == (Path(parts[0]), parts[1])


def test_several_flows_need_a_name(flows: Flows) -> None:
    """FI104 lists them and shows how to name one."""
    file = flows.write(FLOW.format(name="One") + FLOW.format(name="Two"))
    finding = refused(file)
    assert finding.code == "FI104"
    assert "One, Two" in finding.summary
    assert finding.hint.endswith(":One")
    assert load_flow(file, "Two").__name__ == "Two"


def test_an_unknown_name_gets_the_nearest_one(flows: Flows) -> None:
    """FI105 proposes the flow that was probably meant."""
    finding = refused(flows.write(FLOW.format(name="Churn")), "Chrun")
    assert finding.code == "FI105"
    assert "(did you mean 'Churn'?)" in finding.summary
    finding = refused(flows.write("x = 1\n"), "Churn")
    assert finding.detail == "it has no flow at all"


def test_a_file_without_a_flow_is_told(flows: Flows) -> None:
    """FI103, also where flows are only imported."""
    library = flows.write(FLOW.format(name="Churn"))
    assert refused(flows.write("class Other: pass\n")).code == "FI103"
    assert refused(flows.write(f"from {library.stem} import Churn\n")).code == "FI103"


@pytest.mark.parametrize("name", ["missing.py", "notes.txt", "folder.py"])
def test_what_is_no_python_file_is_told(flows: Flows, name: str) -> None:
    """FI101 for a file that is not there, is of another kind, or is a folder."""
    flows.write("x", "notes.txt")
    (flows.folder / "folder.py").mkdir()
    finding = refused(flows.folder / name)
    assert finding.code == "FI101"
    assert name in finding.summary


def test_a_class_may_be_known_by_another_name(flows: Flows) -> None:
    """Two names for one class are one flow."""
    file = flows.write(FLOW.format(name="Churn") + "\nAlias = Churn\n")
    assert find_flow(import_file(file), file).__name__ == "Churn"


# -- from where -------------------------------------------------------------------------------------------------------


def test_a_file_in_a_package_is_imported_as_its_module(flows: Flows) -> None:
    """Inside a package the module has its full name, relative imports work, and the root is above the package."""
    flows.write("", "shop_a/__init__.py")
    flows.write("", "shop_a/flows/__init__.py")
    flows.write("RATE = 3\n", "shop_a/rates.py")
    file = flows.write("from ..rates import RATE\n" + FLOW.format(name="Churn"), "shop_a/flows/churn.py")
    flow = load_flow(file)
    assert flow.__module__ == "shop_a.flows.churn"
    assert root_of(file) == flows.folder.resolve()
    assert str(flows.folder.resolve()) in sys.path


def test_a_file_beside_its_helpers_finds_them(flows: Flows) -> None:
    """A plain folder is the root of the files in it: they import each other by their names."""
    flows.write("def double(x): return 2 * x\n", "plain_b/helpers_of_b.py")
    file = flows.write("from helpers_of_b import double\n" + FLOW.format(name="Churn"), "plain_b/churn_of_b.py")
    assert load_flow(file).__module__ == "churn_of_b"
    assert root_of(file) == (flows.folder / "plain_b").resolve()


def test_a_root_may_be_given(flows: Flows) -> None:
    """With a project as root, a folder without __init__.py is a package too."""
    flows.write("X = 1\n", "lib_c/tools_c.py")
    file = flows.write("from lib_c.tools_c import X\n" + FLOW.format(name="Churn"), "flows_c/churn.py")
    assert load_flow(file, root=flows.folder).__module__ == "flows_c.churn"


def test_a_package_itself_may_be_a_flow_file(flows: Flows) -> None:
    """`__init__.py` is imported as the package."""
    file = flows.write(FLOW.format(name="Churn"), "pack_d/__init__.py")
    assert load_flow(file).__module__ == "pack_d"


def test_a_file_is_imported_once(flows: Flows) -> None:
    """Loading a file again gives the same class; another file of the same name is another module."""
    one = flows.write(FLOW.format(name="Churn"), "one/same_name_e.py")
    two = flows.write(FLOW.format(name="Churn"), "two/same_name_e.py")
    first = load_flow(one)
    assert load_flow(one) is first
    assert load_flow(two) is not first


NOT_IMPORTABLE = {
    "a module of the standard library": ("statistics.py", None),
    "a package that is installed": ("pytest.py", None),
    "flowinfra itself": ("flowinfra.py", None),
    "a dot in the name": ("churn.v2.py", None),
    "a dot in a folder below the root": ("flows.v2/churn.py", ""),
    "a folder that is called as a package": ("json/churn.py", ""),
}


@pytest.mark.parametrize("case", NOT_IMPORTABLE)
def test_a_name_that_a_task_could_not_import_is_refused(flows: Flows, case: str) -> None:
    """FI108 before anything is imported: what has the name already stays what it is."""
    name, root = NOT_IMPORTABLE[case]
    known = {word: sys.modules.get(word) for word in ("statistics", "pytest", "flowinfra", "json")}
    finding = refused(flows.write(FLOW.format(name="Churn"), name), root=None if root is None else flows.folder)
    assert finding.code == "FI108"
    assert finding.hint
    assert known == {word: sys.modules.get(word) for word in known}


def test_two_packages_of_one_name_are_told_apart(flows: Flows) -> None:
    """A second root whose package has the name of one that is imported already is refused, not mixed with it."""
    one = flows.write(FLOW.format(name="Churn"), "one/pack_f/churn.py")
    two = flows.write(FLOW.format(name="Churn"), "two/pack_f/train.py")
    load_flow(one, root=flows.folder / "one")
    assert refused(two, root=flows.folder / "two").code == "FI108"


def test_calling_the_flow_at_the_end_of_its_file_does_nothing_here(flows: Flows, capsys: pytest.CaptureFixture) -> None:
    """Neither the usual main guard nor a bare `MyFlow()` starts the flow's command line while it is loaded."""
    guarded = FLOW.format(name="Churn") + '\nif __name__ == "__main__":\n    Churn()\n'
    bare = FLOW.format(name="Churn") + "\nChurn()\n"
    for source in (guarded, bare):
        assert load_flow(flows.write(source)).__name__ == "Churn"
    assert capsys.readouterr() == ("", "")


# -- errors in the file -----------------------------------------------------------------------------------------------


def test_an_error_on_import_is_the_authors_own_trace(flows: Flows) -> None:
    """FI102 points to the author's innermost line, with a trace that holds no frame of ours or of the import system."""
    flows.write("def compute():\n    return 1 / 0\n", "helper_of_g.py")
    file = flows.write("import helper_of_g\n\nhelper_of_g.compute()\n", "flow_of_g.py")
    finding = refused(file)
    assert finding.code == "FI102"
    assert "ZeroDivisionError: division by zero" in finding.summary
    assert finding.source is not None
    assert (Path(finding.source.file).name, finding.source.line) == ("helper_of_g.py", 2)
    assert finding.detail.startswith("Traceback (most recent call last):")
    assert "helper_of_g.compute()" in finding.detail
    for word in ("importlib", "loader.py", "flowinfra"):
        assert word not in finding.detail


def test_an_error_in_a_library_points_to_the_line_that_called_it(flows: Flows) -> None:
    """Where a library refuses what the author gave it, the author's line is the one to mend."""
    finding = refused(flows.write("import json\n\n\njson.loads('{')  # the mistake\n"))
    assert finding.source is not None
    assert finding.source.line == 4
    assert "JSONDecodeError" in finding.detail


def test_what_led_to_an_error_is_shown_too(flows: Flows) -> None:
    """A chain of exceptions is shown whole, without our frames."""
    finding = refused(
        flows.write("try:\n    {}['key']\nexcept KeyError as why:\n    raise RuntimeError('no config') from why\n")
    )
    assert "KeyError: 'key'" in finding.detail
    assert "direct cause" in finding.detail
    assert finding.detail.rstrip().endswith("RuntimeError: no config")
    assert "importlib" not in finding.detail


@pytest.mark.parametrize("statement", ["raise SystemExit(3)", "import sys; sys.exit('bye')", "assert False"])
def test_a_file_cannot_end_the_process_that_loads_it(flows: Flows, statement: str) -> None:
    """sys.exit in a flow file is a finding like any other."""
    assert refused(flows.write(f"{statement}\n")).code == "FI102"


def test_a_package_that_is_missing_is_told_with_the_remedy(flows: Flows) -> None:
    """The finding says what to install or where to import it, at the line of the import."""
    finding = refused(flows.write("x = 1\nimport no_such_package_at_all\n"))
    assert finding.source is not None
    assert finding.source.line == 2
    assert "install it beside flowinfra" in finding.hint


def test_a_name_that_flowinfra_has_not_is_the_authors_mistake(flows: Flows) -> None:
    """A misspelt import from flowinfra is told at the author's line."""
    finding = refused(flows.write("from flowinfra import FlowSpek\n"))
    assert finding.source is not None
    assert finding.source.line == 1
    assert "FlowSpek" in finding.summary


@pytest.mark.parametrize("source", ["def f(:\n", "x = 1\n  y = 2\n", "print 'x'\n", "return 1\n"])
def test_a_file_that_is_no_python_is_told_at_its_line(flows: Flows, source: str) -> None:
    """A syntax error shows file, line and the text of the line, and no trace."""
    finding = refused(flows.write(source))
    assert finding.code == "FI102"
    assert "cannot be read as Python" in finding.summary
    assert finding.source is not None
    assert finding.source.line == len(source.splitlines())
    assert finding.detail == source.splitlines()[-1].strip()


def test_a_syntax_error_in_code_that_the_file_runs_has_a_trace(flows: Flows) -> None:
    """Eval of nonsense is an error at the line that calls it, not a place in a file that does not exist."""
    finding = refused(flows.write("x = 1\neval('1 +')\n"))
    assert finding.source is not None
    assert finding.source.line == 2


def test_a_failed_import_leaves_nothing_behind(flows: Flows) -> None:
    """The file can be mended, loaded and read again in the same process."""
    file = flows.write("raise RuntimeError\n")
    refused(file)
    assert file.stem not in sys.modules
    file.write_text(FLOW.format(name="Churn"))
    graph, found = flows.read(file)
    assert found == []
    assert graph is not None
    assert graph.name == "Churn"


# -- entry points -----------------------------------------------------------------------------------------------------


def test_an_entry_point_names_class_and_step(flows: Flows) -> None:
    """`module:Class.step` gives both; the step is the plain function."""
    file = flows.write(FLOW.format(name="Churn"))
    flow = load_flow(file)
    assert load_entrypoint(f"{file.stem}:Churn.end") == (flow, flow.end)  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["Churn.missing", "Missing.start", "start", "Other.start", ""])
def test_an_entry_point_that_is_not_there_is_told(flows: Flows, path: str) -> None:
    """FI107 says what was asked for and from where the module came."""
    file = flows.write(FLOW.format(name="Churn") + "\nclass Other:\n    def start(self): pass\n")
    load_flow(file)
    with pytest.raises(AuthoringError) as caught:
        load_entrypoint(f"{file.stem}:{path}")
    (finding,) = caught.value.diagnostics
    assert finding.code == "FI107"
    assert str(file.name) in finding.detail


def test_an_entry_point_whose_module_raises_is_told(flows: Flows) -> None:
    """A task whose module cannot be imported shows the author's trace."""
    file = flows.write("raise ValueError('no')\n")
    sys.path.insert(0, str(file.parent))
    with pytest.raises(AuthoringError, match="ValueError: no"):
        load_entrypoint(f"{file.stem}:Churn.start")


# -- what loading costs -----------------------------------------------------------------------------------------------


def test_loading_a_flow_imports_nothing_heavy(python: Python, flows: Flows) -> None:
    """A flow file with every authoring name is loaded, as a task does, without pydantic, pulumi or a store."""
    file = flows.write(FLOW.format(name="Churn"))
    program = """
import json, sys
from pathlib import Path
from flowinfra.authoring.loader import load_flow
load_flow(Path(sys.argv[1]))
print(json.dumps(sorted(sys.modules)))
"""
    loaded = {name.partition(".")[0] for name in json.loads(python.code(program, str(file)))}
    assert loaded & {"pydantic", "pulumi", "obstore", "asyncio", "click", "rich", "jsonschema"} == set()
