"""A census of the Python standard library: how large its packages are, and how complex their functions."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from flowinfra import DeploymentSpec, FlowSpec, Parameter, current, retry, step
from metrics import Function, count_lines, functions_of

TESTS = {"test", "tests", "idlelib", "lib2to3", "site-packages", "pydoc_data", "__pycache__", "__phello__"}


class Census(FlowSpec):
    """Count the lines of the standard library's packages and find their most complex functions."""

    limit = Parameter(default=10, type=int, help="how many packages, the largest first")
    threshold = Parameter(default=30, type=int, help="from which complexity on a function is a hotspot")

    @step
    def start(self) -> None:
        """List the packages."""
        library = Path(sysconfig.get_path("stdlib"))
        packages = [p for p in library.iterdir() if (p / "__init__.py").exists() and p.name not in TESTS]
        sizes = {p.name: sum(f.stat().st_size for f in sources_of(p)) for p in packages}
        self.library = str(library)
        self.packages = sorted(sizes, key=lambda name: (-sizes[name], name))[: self.limit]
        self.next(self.open_package, foreach="packages")

    @step
    def open_package(self) -> None:
        """One task per package."""
        self.package = self.input
        self.files = [str(f) for f in sources_of(Path(self.library) / self.package)]
        self.next(self.size, self.complexity)

    @step
    def size(self) -> None:
        """How many lines of code, comments and blanks."""
        counted = [count_lines(Path(f).read_text(encoding="utf-8", errors="replace")) for f in self.files]
        self.code = sum(c.code for c in counted)
        self.other = sum(c.other for c in counted)
        self.next(self.profile)

    @retry(times=2)
    @step
    def complexity(self) -> None:
        """How many ways lead through each function."""
        found: list[Function] = []
        for file in self.files:
            source = Path(file).read_text(encoding="utf-8", errors="replace")
            try:
                found += functions_of(ast.parse(source), Path(file).relative_to(self.library).as_posix())
            except SyntaxError:  # a few files there are wrong on purpose
                continue
        self.functions = len(found)
        self.hotspots = sorted(f for f in found if f.complexity >= self.threshold)
        self.next(self.profile)

    @step
    def profile(self, inputs: Sequence[Census]) -> None:
        """Size and complexity of one package side by side."""
        self.merge_artifacts(inputs, include=["package", "code", "other", "functions", "hotspots"])
        self.next(self.gather)

    @step
    def gather(self, inputs: Sequence[Census]) -> None:
        """All packages side by side."""
        self.table = sorted(
            ({"package": i.package, "code": i.code, "functions": i.functions} for i in inputs),
            key=lambda row: -row["code"],
        )
        self.hotspots = sorted(f for i in inputs for f in i.hotspots)[:10]
        self.verdict = "complex" if self.hotspots else "simple"
        self.next({"complex": self.name_hotspots, "simple": self.praise}, condition="verdict")

    @step
    def name_hotspots(self) -> None:
        """Say where to look first."""
        worst = self.hotspots[0]
        self.finding = f"{worst.name} in {worst.file} has {worst.complexity} ways through it"
        self.next(self.end)

    @step
    def praise(self) -> None:
        """Nothing stands out."""
        self.finding = f"no function has a complexity of {self.threshold} or more"
        self.next(self.end)

    @step
    def end(self) -> None:
        """Print the report."""
        total = sum(row["code"] for row in self.table)
        lines = [f"{row['package']:<16}{row['code']:>8,} lines{row['functions']:>7,} functions" for row in self.table]
        self.report = "\n".join([*lines, f"{'together':<16}{total:>8,} lines", "", self.finding])
        print(f"run {current.run_id}\n{self.report}")


def sources_of(package: Path) -> list[Path]:
    """The Python files of a package without its tests, sorted."""
    return sorted(f for f in package.rglob("*.py") if not TESTS & set(f.relative_to(package).parts))


stdlib = DeploymentSpec(Census, name="stdlib", tags=["example"], description="The census of this machine's Python")


if __name__ == "__main__":
    Census()
