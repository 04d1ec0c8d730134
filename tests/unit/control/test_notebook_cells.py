"""A flow of a notebook as the text of a module."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.control.cells import Extract, extract

IMPORTS = "import math, sys\nfrom flowinfra import FlowSpec, NBRunner, step"
FLOW = '''class Small(FlowSpec):
    """A docstring."""

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        print(math.pi)'''


def test_what_the_class_uses_is_taken_from_other_cells() -> None:
    """Imports, functions, bases and plain constants come along from any cell, in the order in which they were run."""
    cells = [
        IMPORTS,
        "LIMIT = {'most': 3}\nunused = open('/dev/null')",
        "def helper(x):\n    return x + LIMIT['most']",
        FLOW.replace("math.pi", "helper(math.pi)"),
        "NBRunner(Small).nbrun()",
    ]
    found = extract(cells, cells[3], "Small")
    assert found.computed == ()
    assert (
        found.source
        == "\n\n".join(
            [
                "import math, sys",
                "from flowinfra import FlowSpec, NBRunner, step",
                "LIMIT = {'most': 3}",
                cells[2],
                cells[3],
            ]
        )
        + "\n"
    )


def test_a_cell_with_everything_in_it_loses_only_what_runs_it() -> None:
    """As in the field, imports, class and the line that runs it may stand in one cell; that line is not taken along."""
    cell = f"{IMPORTS}\n{FLOW}\nrun = NBRunner(Small).nbrun()\nprint(run)"
    found = extract([cell], cell, "Small")
    assert found == Extract(f"import math, sys\n\nfrom flowinfra import FlowSpec, NBRunner, step\n\n{FLOW}\n")


def test_what_was_run_last_holds() -> None:
    """A helper that was changed and run again is taken as it is now, and the flow's own cell before any other."""
    first, second = "def helper():\n    return 1", "def helper():\n    return 2"
    flow = FLOW.replace("math.pi", "helper()")
    assert second in extract([IMPORTS, first, flow, second], flow, "Small").source
    own = f"{first}\n{flow}"
    source = extract([IMPORTS, own, second], own, "Small").source
    assert first in source
    assert second not in source


def test_computed_values_are_named() -> None:
    """A value that another cell computes is no part of a file; all such names are found at once."""
    flow = FLOW.replace("math.pi", "table, model.weights, later")
    cells = [IMPORTS, "table = load()\nmodel = fit(table)", flow]
    assert extract(cells, flow, "Small", known={"later", "In"}).computed == ("later", "model", "table")


def test_what_the_same_cell_computes_is_computed_again() -> None:
    """Assignments of the flow's own cell are part of its module, whatever they compute."""
    cell = f"{IMPORTS}\nTWICE = 2 * math.pi\n" + FLOW.replace("math.pi", "TWICE")
    assert "TWICE = 2 * math.pi" in extract([cell], cell, "Small").source


def test_two_flows_in_a_cell_are_two_modules() -> None:
    """Each flow is taken without the other, unless it is derived from it."""
    other = FLOW.replace("Small", "Other")
    cell = f"{IMPORTS}\n{FLOW}\nNBRunner(Small).nbrun()\n{other}"
    assert "class Small" not in extract([cell], cell, "Other").source
    assert "nbrun" not in extract([cell], cell, "Other").source
    derived = cell.replace("class Other(FlowSpec)", "class Other(Small)")
    source = extract([derived], derived, "Other").source
    assert source.index("class Small") < source.index("class Other")


def test_settings_in_front_of_the_class_come_along() -> None:
    """Calls into imported modules, such as a longer path, are kept; magics and what only prints are not."""
    cell = (
        f"{IMPORTS}\nsys.path.append('lib')\nget_ipython().run_line_magic('pip', 'install x')\nprint('hi')\n"
        f"@decorate(1)\n{FLOW}"
    )
    source = extract([cell], cell, "Small").source
    assert "sys.path.append('lib')" in source
    assert "@decorate(1)\nclass Small" in source
    assert "get_ipython" not in source
    assert "print('hi')" not in source


@pytest.mark.parametrize("cell", ["%%broken\nnot python", "def make():\n    class Small: pass\n    return Small", ""])
def test_a_class_that_no_cell_writes_is_not_found(cell: str) -> None:
    """Where the class does not stand at the top of the cell there is no text for it."""
    assert extract([cell], cell, "Small").source == ""


def test_cells_that_cannot_be_read_harm_nobody() -> None:
    """Cells with errors and cells that await at their top are passed over or taken apart like others."""
    cells = ["oops(", "result = await something()\nSIZE = 3", IMPORTS, FLOW.replace("math.pi", "SIZE")]
    found = extract(cells, cells[3], "Small")
    assert "SIZE = 3" in found.source
    assert "await" not in found.source


def test_features_of_the_future_come_first() -> None:
    """A notebook keeps `from __future__` for all cells that come after it, and a module wants it on top."""
    cells = [IMPORTS, "from __future__ import annotations", FLOW]
    assert extract(cells, FLOW, "Small").source.startswith("from __future__ import annotations\n")


def test_star_imports_answer_for_names_that_nobody_binds() -> None:
    """Where a name is bound by no statement, imports of everything come along; else they do not."""
    cells = ["from tools import *", IMPORTS, FLOW, FLOW.replace("Small", "Other").replace("math.pi", "tool()")]
    assert "import *" not in extract(cells, cells[2], "Small").source
    assert "import *" in extract(cells, cells[3], "Other", known={"tool"}).source


@st.composite
def notebooks(draw: st.DrawFn) -> tuple[list[str], int]:
    """Cells that bind a few names, some of them again and again, and where among them the class was run."""
    cells = []
    for number in draw(st.lists(st.integers(0, 5), max_size=12)):
        used = [f"n{n}" for n in range(number) if draw(st.booleans())]
        constant = repr(draw(st.one_of(st.integers(), st.lists(st.text(max_size=3), max_size=2))))
        body = f"return ({constant}, [value() if callable(value) else value for value in ({''.join(f'{u}, ' for u in used)})])"
        forms = [
            f"n{number} = {constant}",
            f"def n{number}():\n    {body}",
            f"n{number}: object = {constant}\nother = 1",
        ]
        cells.append(draw(st.sampled_from(forms)))
    return cells, draw(st.integers(0, len(cells)))


@given(notebooks(), st.sets(st.integers(0, 5)))
def test_a_module_does_what_the_notebook_does(notebook: tuple[list[str], int], used: set[int]) -> None:
    """Whatever was run in which order, and however often: the class finds in its module what it finds in the notebook."""
    cells, at = notebook
    there: dict[str, Any] = {}
    for cell in cells:
        exec(cell, there)  # noqa: S102 it is ours
    names = "".join(f"n{n}, " for n in sorted(used) if f"n{n}" in there)
    own = f"class Flow:\n    def start(self):\n        return [n() if callable(n) else n for n in ({names})]"
    order = [*cells[:at], own, *cells[at:]]
    exec(own, there)  # noqa: S102
    try:
        expected = there["Flow"]().start()
    except NameError:
        return
    module: dict[str, Any] = {}
    found = extract(order, own, "Flow", set(there))
    exec(found.source, module)  # noqa: S102
    assert module["Flow"]().start() == expected
    assert found.computed == ()
