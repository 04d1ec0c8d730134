"""What of a step's code changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowinfra.sources.causes import Version, causes
from flowinfra.sources.walk import walk

FLOW = """
import helper
from flowinfra import FlowSpec, step

LIMIT = 3


def cleaned(x):
    return x


class F(FlowSpec):
    @step
    def start(self):
        self.x = cleaned(LIMIT)
        self.next(self.end)

    @step
    def end(self):
        print(helper.shout(self.tidy()))

    def tidy(self):
        return self.x
"""
HELPER = """
def shout(x):
    return str(x).upper()


def unused():
    return 1
"""


def version(folder: Path, flow: str, helper: str | None = HELPER) -> Version:
    """The code as it stands in a folder."""
    folder.mkdir()
    (folder / "flow.py").write_text(flow, encoding="utf-8")
    if helper is not None:
        (folder / "helper.py").write_text(helper, encoding="utf-8")
    return Version(walk(folder / "flow.py", folder), [("flow", "F")], ["start", "end"])


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("self.x = cleaned(LIMIT)", "self.x = cleaned(LIMIT + 1)", {"start": ["its own code"], "end": []}),
        ("return x\n", "return -x\n", {"start": ["cleaned"], "end": []}),
        ("LIMIT = 3", "LIMIT = 4", {"start": ["LIMIT"], "end": []}),
        ("return self.x", "return self.x * 2", {"start": [], "end": ["tidy"]}),
        ("self.next(self.end)", "self.next(self.end)  # then", {"start": [], "end": []}),
    ],
)
def test_what_changed_in_the_flow_file(tmp_path: Path, old: str, new: str, expected: dict[str, list[str]]) -> None:
    """The step itself, a helper, a constant or a method is named; a comment is nothing."""
    before, after = version(tmp_path / "a", FLOW), version(tmp_path / "b", FLOW.replace(old, new))
    found = causes(before, after, ["start", "end"])
    assert {step: [c.name for c in of] for step, of in found.items()} == expected


def test_what_changed_in_a_module_has_its_place(tmp_path: Path) -> None:
    """A definition of an imported module is named with file and line, wherever it has moved to."""
    changed = "\n\n" + HELPER.replace("upper", "lower")
    found = causes(version(tmp_path / "a", FLOW), version(tmp_path / "b", FLOW, changed), ["end", "missing"])
    (cause,) = found.pop("end")
    assert (cause.name, cause.path, cause.line) == ("helper.shout", "helper.py", 4)
    assert not found


def test_what_is_gone_has_no_place(tmp_path: Path) -> None:
    """A definition that went is named alone."""
    gone = HELPER.partition("\n\n\ndef unused")[0]
    (cause,) = causes(version(tmp_path / "a", FLOW), version(tmp_path / "b", FLOW, gone), ["end"])["end"]
    assert (cause.name, cause.path, cause.line) == ("helper.unused", "", 0)
