"""What the census measures: lines, and the cyclomatic complexity of functions (McCabe, 1976)."""

import ast
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Lines:
    """Lines of a file: those with code, and the others (comments and blanks)."""

    code: int
    other: int


@dataclass(frozen=True, order=True)
class Function:
    """A function; the most complex one sorts first."""

    order: tuple[int, str, str] = field(init=False, repr=False)
    name: str = field(compare=False)
    file: str = field(compare=False)
    complexity: int = field(compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", (-self.complexity, self.file, self.name))


def count_lines(source: str) -> Lines:
    """Count the lines of a source text."""
    lines = [line.strip() for line in source.splitlines()]
    code = sum(1 for line in lines if line and not line.startswith("#"))
    return Lines(code, len(lines) - code)


def functions_of(tree: ast.AST, file: str) -> list[Function]:
    """The functions of a module, nested ones included."""
    return [
        Function(node.name, file, complexity_of(node))
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def complexity_of(function: ast.AST) -> int:
    """One, and one more for each branch."""
    ways = 1
    for node in ast.walk(function):
        match node:
            case ast.If() | ast.For() | ast.AsyncFor() | ast.While() | ast.ExceptHandler() | ast.IfExp() | ast.Assert():
                ways += 1
            case ast.BoolOp():
                ways += len(node.values) - 1
            case ast.comprehension():
                ways += 1 + len(node.ifs)
            case ast.match_case():
                ways += 1
    return ways
