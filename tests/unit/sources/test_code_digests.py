from __future__ import annotations

from pathlib import Path

import pytest

from flowinfra.sources.digest import code_digests
from flowinfra.sources.walk import walk

FLOW = '''\
"""A flow."""
from __future__ import annotations
import logging, os
import flowinfra
from flowinfra import FlowSpec, Parameter, TaskEnvironment, retry, step
import stats
from text import clean as tidy, shout
from wrap import traced
import pkg.deep as deep
from base import Base

logging.basicConfig(level=10)
gpu = TaskEnvironment("gpu", image="a:1")
LIMIT = 10
RATE: float = 0.5
try:
    import fast
except ImportError:
    fast = None

def default_size():
    return 3

def helper(x):
    return inner(x) + LIMIT

def inner(x):
    return x * 2

def local_wrap(f):
    return f

class Model:
    def fit(self):
        return RATE

@flowinfra.project(name="p")
class F(Base):
    size = Parameter(default=default_size, help="h")
    FACTOR = 2
    DOUBLE = FACTOR * 2

    @step
    def start(self):
        self.x = helper(self.size)
        self.next(self.a, self.b)

    @retry(times=3)
    @gpu.step
    def a(self):
        self.y = self.compute(1) + self.FACTOR
        self.next(self.join)

    @traced("note")
    @step
    def b(self):
        from late import z
        self.y = Model().fit() + tidy(z)
        self.next(self.join)

    @local_wrap
    @step
    def join(self, inputs):
        self.y = getattr(self, "by_name")(inputs)
        self.next(self.end)

    @step
    def end(self):
        print(self.total, deep.x, self.DOUBLE, self.inherited())

    def compute(self, n):
        return n + self.offset()

    def offset(self):
        return 7

    def by_name(self, inputs):
        return stats.mean(inputs)

    @property
    def total(self):
        return 1

    @total.setter
    def total(self, value):
        self._t = value

    def __repr__(self):
        return "F"

    def unused(self):
        return "nothing"

if __name__ == "__main__":
    F()
'''

BASE = """\
from flowinfra import FlowSpec, step
import tools

class Base(FlowSpec):
    @step
    def from_base(self):
        self.q = tools.q
        self.next(self.end)

    def inherited(self):
        return beside() + self.offset()

    def offset(self):
        return 8

def beside():
    return 5
"""

FILES = {
    "flow.py": FLOW,
    "base.py": BASE,
    "stats.py": "import numbers_\ndef mean(x): return numbers_.ONE\n",
    "numbers_.py": "ONE = 1\n",
    "text.py": "def clean(x): return x\ndef shout(x): return x\n",
    "wrap.py": "def traced(note): return lambda f: f\n",
    "late.py": "z = 1\n",
    "fast.py": "w = 1\n",
    "tools.py": "q = 1\n",
    "pkg/__init__.py": "import pkg.side\n",
    "pkg/side.py": "s = 1\n",
    "pkg/deep.py": "x = 1\n",
}
STEPS = ("start", "a", "b", "join", "end", "from_base")
CLASSES = [("flow", "F"), ("base", "Base"), ("flowinfra.authoring.flowspec", "FlowSpec"), ("builtins", "object")]
ALL = set(STEPS)


def digests(root: Path, files: dict[str, str]) -> dict[str, str]:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return code_digests(walk(root / "flow.py"), CLASSES, STEPS)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return digests(tmp_path_factory.mktemp("before"), FILES)


@pytest.mark.parametrize(
    ("path", "old", "new", "changed"),
    [
        # the step itself
        ("flow.py", "self.compute(1)", "self.compute(2)", {"a"}),
        ("flow.py", "self.next(self.end)", "self.next(self.end, self.a)", set()),
        ("base.py", "self.q = tools.q", "self.q = 1", {"from_base"}),
        # definitions of its module, one by one and through one another
        ("flow.py", "return x * 2", "return x * 3", {"start"}),
        ("flow.py", "inner(x) + LIMIT", "inner(x) - LIMIT", {"start"}),
        ("flow.py", "LIMIT = 10", "LIMIT = 11", {"start"}),
        ("flow.py", "RATE: float = 0.5", "RATE: float = 0.6", {"b"}),
        ("flow.py", "    def fit(self):", "    def fit(self, more=1):", {"b"}),
        ("base.py", "return 5", "return 6", {"end"}),
        # members of the class: methods, properties, values, inherited ones, by a string, overridden ones, magic ones
        ("flow.py", "n + self.offset()", "n - self.offset()", {"a"}),
        ("flow.py", "return 7", "return 9", {"a", "end"}),
        ("base.py", "return 8", "return 9", {"a", "end"}),
        ("flow.py", "self._t = value", "self._t = 1", {"end"}),
        ("flow.py", "DOUBLE = FACTOR * 2", "DOUBLE = FACTOR * 3", {"end"}),
        ("flow.py", "FACTOR = 2\n", "FACTOR = 3\n", {"a", "end"}),
        ("flow.py", "stats.mean(inputs)", "stats.mean(2)", {"join"}),
        ("flow.py", 'return "F"', 'return "G"', ALL),
        ("flow.py", 'return "nothing"', 'return "something"', set()),
        # imported modules, as a whole and with what they import
        ("numbers_.py", "ONE = 1", "ONE = 2", {"join"}),
        ("text.py", "def shout(x): return x", "def shout(x): return 1", {"b"}),
        ("flow.py", "clean as tidy, shout", "clean as tidy, shout, other", set()),
        ("late.py", "z = 1", "z = 2", {"b"}),
        ("pkg/deep.py", "x = 1", "x = 2", {"end"}),
        ("pkg/side.py", "s = 1", "s = 2", {"end"}),
        ("tools.py", "q = 1", "q = 2", {"from_base"}),
        ("fast.py", "w = 1", "w = 2", set()),
        # decorators: policy is in the graph, own ones are code
        ("flow.py", "times=3", "times=4", set()),
        ("flow.py", "@gpu.step", "@gpu.step(more=1)", set()),
        ("flow.py", "@flowinfra.project(name='p')".replace("'", '"'), "", set()),
        ("flow.py", '@traced("note")', '@traced("other")', {"b"}),
        ("wrap.py", "return lambda f: f", "return lambda f: None", {"b"}),
        ("flow.py", "def local_wrap(f):\n    return f", "def local_wrap(f):\n    return None", {"join"}),
        # declarations: in the graph; what they refer to is code
        ("flow.py", 'image="a:1"', 'image="a:2"', set()),
        ("flow.py", 'help="h"', 'help="i"', set()),
        ("flow.py", "return 3", "return 4", {"start"}),
        # what runs before every step, and what never does
        ("flow.py", "level=10", "level=20", ALL),
        ("flow.py", "class F(Base):", "class F(Base, Mixin):", ALL),
        ("flow.py", "    F()\n", "    F(use_cli=False)\n", set()),
        # what says nothing
        ("flow.py", '"""A flow."""', '"""Another text."""\n# and a comment', set()),
        ("base.py", "def beside():\n", "\n\ndef beside():\n    'text'\n", set()),
    ],
)
def test_a_change_shows_in_the_steps_that_it_reaches(
    tmp_path: Path, before: dict[str, str], path: str, old: str, new: str, changed: set[str]
) -> None:
    """Changing one piece of code changes the digests of exactly the steps that may come to run it."""
    assert FILES[path].count(old) == 1 or old == "self.next(self.end)"
    after = digests(tmp_path, {**FILES, path: FILES[path].replace(old, new)})
    assert {step for step in STEPS if after[step] != before[step]} == changed


def test_renaming_the_class_changes_no_code(tmp_path: Path, before: dict[str, str]) -> None:
    """The name of the flow's class is in the entrypoint; the code is the same."""
    (tmp_path / "flow.py").write_text(
        FLOW.replace("class F(", "class Renamed(").replace("    F()\n", "    Renamed()\n")
    )
    for path, text in FILES.items():
        if path != "flow.py":
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(text)
    assert code_digests(walk(tmp_path / "flow.py"), [("flow", "Renamed"), *CLASSES[1:]], STEPS) == before


def test_equal_code_of_two_steps_has_one_digest(tmp_path: Path) -> None:
    """A digest is of what the code says: the name of the function is part of it, its place is not."""
    body = "    @step\n    def {}(self):\n        self.x = 1\n"
    first = digests(tmp_path / "1", {"flow.py": "class F:\n" + "".join(body.format(s) for s in STEPS)})
    second = digests(tmp_path / "2", {"flow.py": "class F:\n" + "".join(body.format(s) for s in reversed(STEPS))})
    assert first == second
    assert len(set(first.values())) == len(STEPS)


def test_a_step_that_no_class_defines_depends_on_everything(tmp_path: Path) -> None:
    """A step that is put on the class from outside changes with any own module."""
    files = {"flow.py": "import other\nclass F: pass\nsetattr(F, 'start', lambda self: 0)\n", "other.py": "x = 1"}
    first = digests(tmp_path / "1", files)
    second = digests(tmp_path / "2", {**files, "other.py": "x = 2"})
    assert first["start"] != second["start"]


def test_a_step_made_by_a_factory_follows_the_factory(tmp_path: Path) -> None:
    """A step that is assigned in the class changes with the call that makes it and with the module that it is from."""
    files = {
        "flow.py": "from factory import make\nclass F:\n    start = make(1)\n",
        "factory.py": "def make(n): return n",
    }
    found = [
        digests(tmp_path / "1", files)["start"],
        digests(tmp_path / "2", {**files, "flow.py": files["flow.py"].replace("1", "2")})["start"],
        digests(tmp_path / "3", {**files, "factory.py": "def make(n): return 0"})["start"],
    ]
    assert len(set(found)) == 3


@pytest.mark.parametrize(
    "text",
    [
        "if True:\n    class F:\n        def start(self): return {}\n",
        "class F:\n    if True:\n        def start(self): return {}\n",
        "class F:\n    def start(self): return 0\nclass F:\n    def start(self): return {}\n",
        "class F:\n    async def start(self): return {}\n",
        "from x import *\nclass F:\n    @step\n    def start(self): return {}\n",
        "def helper(): return {}\nclass F:\n    def start(self): helper.__wrapped__()\n",
        "match 1:\n    case y: z = {}\nclass F:\n    def start(self): return y\n",
        "x = 0\nx += {}\nclass F:\n    def start(self): return x\n",
        "x = {{}}\nx['k'] = {}\nclass F:\n    def start(self): return x\n",
        "def f():\n    global y\n    y = {}\ny = 0\nclass F:\n    def start(self): f(); return y\n",
        "class F:\n    def start(self, n=[{}]): return n\n",
        "class Outer:\n    v = {}\nclass F:\n    def start(self): return Outer.v\n",
        "from flowinfra import *\nclass F:\n    @step\n    def start(self): return {}\n",
    ],
)
def test_code_is_found_wherever_it_stands(tmp_path: Path, text: str) -> None:
    """A value that a step may come to use is part of its digest, however the source is put together."""
    first = digests(tmp_path / "1", {"flow.py": text.format(1)})
    second = digests(tmp_path / "2", {"flow.py": text.format(2)})
    assert first["start"] != second["start"]


def test_a_nested_class_is_found_by_its_qualified_name(tmp_path: Path) -> None:
    """A flow's class inside another class is found, and its steps are told apart."""
    text = "class Outer:\n    class F:\n        def start(self): return {}\n        def end(self): return 0\n"
    found = []
    for n in (1, 2):
        (tmp_path / "flow.py").write_text(text.format(n))
        found.append(code_digests(walk(tmp_path / "flow.py"), [("flow", "Outer.F")], ["start", "end"]))
    assert found[0]["start"] != found[1]["start"]
    assert found[0]["end"] == found[1]["end"]


def test_policy_from_a_star_import_is_left_out(tmp_path: Path) -> None:
    """Decorators that come with `from flowinfra import *` are policy too."""
    text = "from flowinfra import *\nclass F:\n    @retry(times={})\n    @step\n    def start(self): return 0\n"
    found = [digests(tmp_path / str(n), {"flow.py": text.format(n)})["start"] for n in (1, 2)]
    assert found[0] == found[1]


def test_many_steps_in_linear_time(tmp_path: Path) -> None:
    """A flow of 2,000 steps that share helpers gets its digests, each its own."""
    steps = [f"s{n}" for n in range(2000)]
    body = "".join(
        f"    def {s}(self):\n        self.x = helper({n})\n        self.next(self.end)\n" for n, s in enumerate(steps)
    )
    (tmp_path / "flow.py").write_text(f"def helper(n): return n\nclass F:\n{body}")
    found = code_digests(walk(tmp_path / "flow.py"), [("flow", "F")], steps)
    assert len(set(found.values())) == 2000


def test_a_new_way_is_no_new_code(tmp_path: Path) -> None:
    """Where a step leads is in the graph: another transition changes no step's digest."""
    text = """
from flowinfra import FlowSpec, step

class F(FlowSpec):
    @step
    def start(self):
        self.xs = [1]
        {}

    @step
    def end(self):
        pass
"""
    found = set()
    for i, way in enumerate(("self.next(self.end)", 'self.next(self.end, foreach="xs")')):
        file = tmp_path / str(i) / "f.py"
        file.parent.mkdir()
        file.write_text(text.format(way))
        found.add(tuple(code_digests(walk(file), [("f", "F")], ["start", "end"]).items()))
    assert len(found) == 1
