"""The examples on the pages of the diagnostics are run: the first one fails as the page says, the mended one passes.

What a page can say beside its examples, in front of a code block:

* `<!-- file: models.py -->`: the name under which the file is saved; else it is the page's own.
* `<!-- name: Train -->`: which flow of the file is asked for.
* `<!-- config: name=file -->`, `<!-- config_value: name=json -->`, `<!-- branch: name -->`: options of the command line.
* `<!-- entrypoint: churn:Churn.fit -->`: the file is imported as a task does, for this step.
* the comment `# <- here` in the example: the line that the finding points to. Without one it points to the whole file.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from flowinfra.authoring.configs import ConfigSources
from flowinfra.authoring.loader import load_entrypoint, load_flow
from flowinfra.authoring.project import resolve_project
from flowinfra.diagnostics import AuthoringError, Diagnostic
from support.flows import MARK, Flows, imports_undone

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "diagnostics"
CODE = re.compile(r'"(FI[12]\d\d)"')
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SETTING = re.compile(r"<!-- (\w+): (\S+) -->")


def codes() -> list[str]:
    """Every code that reading or checking a flow can give."""
    files = [*(ROOT / "flowinfra" / "authoring").rglob("*.py"), *(ROOT / "flowinfra" / "compiler").rglob("*.py")]
    return sorted({code for file in files for code in CODE.findall(file.read_text(encoding="utf-8"))})


@dataclass(frozen=True)
class Example:
    """A flow file on a page."""

    source: str
    settings: dict[str, str]
    prose: str

    @property
    def marked(self) -> set[int]:
        """The lines that a finding should point to."""
        return {n for n, line in enumerate(self.source.splitlines(), 1) if MARK in line}

    def findings(self, flows: Flows, name: str) -> tuple[Path, list[Diagnostic]]:
        """What is found in it, saved under *name* if the page does not say otherwise."""
        file = flows.write(self.source, self.settings.get("file", name))
        if "entrypoint" not in self.settings:
            return file, self.read(flows, file)
        sys.path.insert(0, str(file.parent))
        sys.modules.pop(file.stem, None)
        try:
            load_entrypoint(self.settings["entrypoint"])
        except AuthoringError as error:
            return file, list(error.diagnostics)
        return file, []

    def read(self, flows: Flows, file: Path) -> list[Diagnostic]:
        """What is found when the file is read with the options that the page names."""
        name, branch = self.settings.get("name"), self.settings.get("branch")
        files, values = self.pair("config"), self.pair("config_value")
        try:
            configs = ConfigSources.given(files, values) if files or values else None
            found = flows.read(file, name, configs)[1]
            if branch is not None:
                resolve_project(load_flow(file, name), branch=branch, user="ada")
        except AuthoringError as error:
            return list(error.diagnostics)
        return found

    def pair(self, option: str) -> dict[str, str]:
        """The name and the value that the page gives to an option."""
        name, equals, value = self.settings.get(option, "").partition("=")
        return {name: value} if equals else {}


def example(code: str, heading: str) -> Example:
    """The one example of the page of *code* under *heading*."""
    text = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = FENCE.findall(section)
    assert len(blocks) == 1, f"{code}.md has {len(blocks)} Python blocks under '{heading}', not one"
    return Example(blocks[0], dict(SETTING.findall(section)), FENCE.sub("", section))


@pytest.mark.parametrize("code", codes())
def test_the_example_fails_as_the_page_says(code: str, tmp_path: Path) -> None:
    """Exactly the code of the page is found (others only where the page names them), at the line that is marked."""
    shown = example(code, "An example that fails")
    with imports_undone():
        file, found = shown.findings(Flows(tmp_path), f"example_{code.lower()}.py")
    assert {d.code for d in found} == {code} | set(re.findall(r"FI\d{3}", shown.prose)), found
    for finding in (d for d in found if d.code == code):
        assert finding.hint
        if shown.marked:
            assert finding.source is not None
            assert Path(finding.source.file).resolve() == file.resolve()
            assert finding.source.line in shown.marked
        else:
            assert finding.source is None or finding.source.line == 0
    assert shown.marked == {d.source.line for d in found if d.source and d.source.line}


@pytest.mark.parametrize("code", codes())
def test_the_mended_example_has_no_finding(code: str, tmp_path: Path) -> None:
    """The remedy that the page shows is one."""
    with imports_undone():
        _, found = example(code, "Mended").findings(Flows(tmp_path), f"mended_{code.lower()}.py")
    assert found == []


@pytest.mark.parametrize("code", codes())
def test_the_examples_are_flows_that_do_something(code: str) -> None:
    """Both are whole files with at least two methods and a body; they differ, or the page says what else is different."""
    failing, mended = example(code, "An example that fails"), example(code, "Mended")
    for shown in (failing, mended):
        compile(shown.source, "example", "exec", dont_inherit=True)
        assert shown.source.count("def ") >= 2
        assert len(shown.source.split("\n")) >= 10
    assert failing.source != mended.source or failing.settings != mended.settings


@pytest.mark.parametrize("code", codes())
def test_every_page_has_the_same_parts(code: str) -> None:
    """What it means, why it matters, what to do, an example that fails, and the mended one, in this order."""
    text = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "What it means",
        "Why it matters",
        "What to do",
        "An example that fails",
        "Mended",
    ]
    assert re.match(rf"# {code}: [a-z@`S]", text)
