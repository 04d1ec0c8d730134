from __future__ import annotations

import ast
import warnings

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from samples import SAMPLES

from flowinfra.sources.digest import ast_digest

# What ast.unparse cannot write: an integer with more decimal digits than Python prints.
PRINTABLE = {name: text for name, text in SAMPLES.items() if name != "constants"}
PRINTABLE["few constants"] = "\n".join(line for line in SAMPLES["constants"].splitlines() if not line.startswith("b ="))


def digest(source: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast_digest(ast.parse(source))


@pytest.mark.parametrize("source", PRINTABLE.values(), ids=PRINTABLE)
def test_formatting_changes_nothing(source: str) -> None:
    """Code that is written in another way but says the same keeps its digest."""
    assert digest(ast.unparse(ast.parse(source))) == digest(source)


@given(st.sampled_from(list(SAMPLES.values())), st.data())
def test_comments_and_blank_lines_change_nothing(source: str, data: st.DataObject) -> None:
    """Lines that say nothing may be put between any two statements."""
    lines = source.split("\n")
    starts = [min([n.lineno, *(d.lineno for d in getattr(n, "decorator_list", []))]) for n in ast.parse(source).body]
    for start in sorted(set(starts), reverse=True):
        lines[start - 1 : start - 1] = data.draw(st.lists(st.sampled_from(["", "# note", "    # note 'quoted", "\f"])))
    assert digest("\n".join(lines)) == digest(source)


class _Document(ast.NodeTransformer):
    def __init__(self, text: str) -> None:
        self.text = text

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.body.insert(0, ast.Expr(ast.Constant(self.text)))
        return node


@given(st.sampled_from(list(PRINTABLE.values())), st.text(max_size=20))
def test_docstrings_change_nothing(source: str, text: str) -> None:
    """A docstring that is added to every module, class and function leaves the digest as it is."""
    documented = ast.fix_missing_locations(_Document(text).visit(ast.parse(source)))
    assert ast_digest(documented) == digest(source)


def test_a_body_of_only_a_docstring_is_an_empty_one() -> None:
    """A function that has only a docstring says the same as one that has only pass."""
    assert digest("def f():\n    'text'") == digest("def f():\n    pass") == digest("def f():\n    'other'\n    pass")


_ALL = [(name, n) for name, text in PRINTABLE.items() for n, _ in enumerate(ast.walk(ast.parse(text)))]


@given(st.sampled_from(_ALL))
def test_another_name_or_constant_changes_it(place: tuple[str, int]) -> None:
    """Whatever name or constant is changed, wherever it stands, the digest changes."""
    name, n = place
    tree = ast.parse(PRINTABLE[name])
    before = ast_digest(tree)
    silent = {id(e.value) for e in ast.walk(tree) if isinstance(e, ast.Expr)}
    node = list(ast.walk(tree))[n]
    match node:
        case ast.Constant(value=str(text)):
            assume(id(node) not in silent)
            node.value = text + "x"
        case ast.Constant(value=int(number) | float(number)):
            assume(number + 1 != number)
            node.value = number + 1
        case ast.Constant():
            node.value = "x"
        case ast.Name(id=text):
            node.id = text + "x"
        case ast.Attribute(attr=text):
            node.attr = text + "x"
        case ast.arg(arg=text) | ast.keyword(arg=str(text)):
            node.arg = text + "x"
        case (
            ast.alias(name=text)
            | ast.FunctionDef(name=text)
            | ast.ClassDef(name=text)
            | ast.AsyncFunctionDef(name=text)
        ):
            node.name = text + "x"
        case _:
            assume(False)
    assert ast_digest(tree) != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("1", "True"),
        ("0", "False"),
        ("(x, 0.0)", "(x, -0.0)"),
        ("1.0", "1j"),
        ("f('x')", "f(b'x')"),
        ("f(...)", "f('...')"),
        ("f(None)", "f('None')"),
        ("f()", "f(None)"),
        ("f('ab', 'c')", "f('a', 'bc')"),
        ("f('\\ud800')", "f('\\udc00')"),
        ("f(a, b)", "f((a, b))"),
        ("f(a)", "f(*a)"),
        ("f(**a)", "f(a=a)"),
        ("a.b", "a['b']"),
        ("f'{x}'", "f'{x!s}'"),
        ("f(f'x')", "f('x')"),
        ("f'{x}y'", "f'{x}' + 'y'"),
        ("f'{x:>3}'", "f'{x:>4}'"),
        ("f'{x=}'", "f'{x}'"),
        ("[x]", "(x,)"),
        ("{x: y}", "{**x}"),
        ("lambda *, a=1, b: 0", "lambda *, a, b=1: 0"),
        ("lambda a, /: 0", "lambda a: 0"),
        ("def f(a=1): 0", "def f(*, a=1): 0"),
        ("def f(): 0", "async def f(): 0"),
        ("def f() -> int: 0", "def f(): 0"),
        ("x: int", "x = int"),
        ("x: int", "(x): int"),
        ("a < b < c", "a < (b < c)"),
        ("a - (b - c)", "a - b - c"),
        ("return_ = a if b else c", "return_ = a if c else b"),
        ("[x for x in y if a if b]", "[x for x in y if a and b]"),
        ("try: a\nexcept E: b", "try: a\nexcept* E: b"),
        ("try: a\nexcept E: b", "try: a\nexcept: b"),
        ("if a: b\nelse: c", "if a: b\nc"),
        ("while a:\n  b\nelse: c", "while a:\n  b\n  c"),
        ("from . import a", "from .. import a"),
        ("import a.b", "import a.b as a"),
        ("match x:\n  case None: 0", "match x:\n  case True: 0"),
        ("match x:\n  case _: 0", "match x:\n  case y: 0"),
        ("match x:\n  case [*_]: 0", "match x:\n  case [_]: 0"),
        ("a[1:2]", "a[1:2:]"),
        ("a[:]", "a[None]"),
    ],
)  # fmt: skip
def test_what_means_something_else_differs(one: str, other: str) -> None:
    """Pairs that look or are stored alike have two digests (but for what Python reads as the same)."""
    same = ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
    assert (digest(one) == digest(other)) is same


def test_samples_all_differ() -> None:
    """No two samples share a digest."""
    found = [digest(text) for text in SAMPLES.values()]
    assert len(set(found)) == len(found)


def test_any_depth_is_written() -> None:
    """A tree that is deeper than Python's stack has a digest."""
    node: ast.expr = ast.Name("x", ast.Load())
    for _ in range(20_000):
        node = ast.UnaryOp(ast.USub(), node)
    assert len(ast_digest(node)) == 64
