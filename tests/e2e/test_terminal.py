"""What someone sees who watches a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.project import Project

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def on_a_terminal(project: Project, *arguments: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run `python ARGUMENTS` on a terminal of 100 columns; its exit code, and all that was written there."""
    screen, end = pty.openpty()
    environment = {k: v for k, v in project.environment().items() if k not in ("NO_COLOR", "CI")}
    environment |= {"TERM": "xterm", "COLUMNS": "100", "LINES": "30", **(env or {})}
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=project.folder, env=environment, stdin=end, stdout=end, stderr=end
    )
    os.close(end)
    written = bytearray()
    while True:
        try:
            data = os.read(screen, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not data:
            break
        written += data
    os.close(screen)
    return process.wait(), written.decode()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A folder with the flow file fan.py."""
    project = Project(tmp_path)
    project.add("fan.py")
    return project


def test_rows_are_redrawn_and_what_tasks_print_stays(project: Project) -> None:
    """While the run goes on there is a row per step; at the end the rows stay once, and how it ended stands below."""
    code, written = on_a_terminal(project, "fan.py", "run", "--pause", "0.5", "--max-workers", "1")
    assert code == 0
    assert "\x1b[?25l" in written  # the cursor is hidden,
    assert written.rstrip().rfind("\x1b[?25h") > written.rfind("\x1b[?25l")  # and is back in the end
    text = _CONTROL.sub("", written)
    assert re.search(r"each +\d done +1 running", text)
    last = project.steady(text[text.rindex("[end 0] total 3") :])
    assert "✓ each   3 done" in last
    assert last.endswith(
        "Fan succeeded after N s (6 tasks)\n  results  flowinfra show Fan/RUN\n  logs     flowinfra logs Fan/RUN\n"
    )
    assert "[each 0.1] item 1\n" in text.replace("\x1b", "")
    assert "\x1b[1;32mFan succeeded\x1b[0m" in written.replace("\x1b[32;1m", "\x1b[1;32m")


def test_a_failure_is_red_and_named(project: Project) -> None:
    """The step that failed has a cross, the count of failures and of repetitions."""
    code, written = on_a_terminal(project, "fan.py", "run", "--fail", "raise", "--max-workers", "1", "-q")
    assert code == 1
    text = _CONTROL.sub("", written)
    assert "[each 0.1] failed after" in text
    assert "ValueError: one is not allowed" in text
    assert re.search(r"✗ each +1 done +1 failed +1 repeated", text)


@pytest.mark.parametrize("variable", [{"CI": "true"}, {"TERM": "dumb"}])
def test_where_nobody_watches_nothing_is_redrawn(project: Project, variable: dict[str, str]) -> None:
    """In CI, and on a terminal that cannot, progress is plain lines."""
    code, written = on_a_terminal(project, "fan.py", "run", env=variable)
    assert code == 0
    assert "\x1b[?25l" not in written
    assert "[start 0] done in" in written


def test_no_color_means_none(project: Project) -> None:
    """NO_COLOR and --color never leave no colour anywhere."""
    for arguments, env in ((["show"], {"NO_COLOR": "1"}), (["show", "--color", "never"], {})):
        code, written = on_a_terminal(project, "fan.py", *arguments, env=env)
        assert (code, "\x1b[" in written) == (0, False)
    assert "\x1b[1mFan\x1b[0m" in on_a_terminal(project, "fan.py", "show")[1]
