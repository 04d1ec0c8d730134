"""Code blocks out of texts that others wrote, in a folder named by FLOWINFRA_REFERENCE_TEXTS.

Nothing of those texts stands here: only which block of which file is run, and what is to be seen then. A block is run
as it stands but for its imports, which name us instead of its own library; what it needs around it is ours. A block that
cannot be run says why, and one that waits for a feature fails this test as soon as the feature is there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

import flowinfra
from support.project import Project

FOLDER: Final = os.environ.get("FLOWINFRA_REFERENCE_TEXTS", "")

pytestmark = pytest.mark.skipif(not FOLDER, reason="FLOWINFRA_REFERENCE_TEXTS names no folder of reference texts")

AT_ONCE: Final = 6
LONGEST: Final = 240  # seconds; only ends what hangs
BLOCK: Final = re.compile(
    r"^(?P<indent>[ \t]*)```(?P<language>\w*)[^\n`]*\n(?P<body>.*?)^(?P=indent)```[ \t]*$", re.MULTILINE | re.DOTALL
)
#: Their libraries in import lines, and ours.
IMPORTS: Final = (
    (re.compile(r"^(\s*)from (?:metaflow|prefect[\w.]*) import ", re.MULTILINE), r"\1from flowinfra import "),
    (re.compile(r"^(\s*)import flyte$", re.MULTILINE), r"\1import flowinfra as flyte"),
)


@dataclass(frozen=True, slots=True)
class Saved:
    """The block is a flow file: it is saved under this name for the others, and passes its check."""

    name: str


@dataclass(frozen=True, slots=True)
class Runs:
    """The block runs to its end.

    Attributes:
        says: patterns, each of which is found in what it prints.
        before: our code in front of it: what the text says to have done already.
        behind: our code behind it.
        prior: a command of ours, run before it; it may fail.
    """

    says: tuple[str, ...]
    before: str = ""
    behind: str = ""
    prior: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The block asks for what does not exist yet, and ends with this diagnostic, which names it."""

    code: str
    names: str
    before: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """The block is a command line; it ends with this diagnostic until what it asks for exists."""

    code: str
    names: str


@dataclass(frozen=True, slots=True)
class Waits:
    """The block needs these names, which are not public yet; nothing else of it is known to be wrong."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """The block is not run, for this reason."""

    why: str


Entry = Saved | Runs | Refused | Command | Waits | Left
NOT_RUN: Final = (Waits, Left)

RUN = r"Run\('SlowFlow/[0-9a-f-]+'\)"
HELLO: Final = """
from flowinfra import FlowSpec, Parameter, step

class HelloFlow(FlowSpec):
    alpha = Parameter(default=1)
    algorithm = Parameter(default="linear")

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        print(self.alpha, self.algorithm)
"""
DEPLOYER = "from flowinfra import Deployer\ndeployer = Deployer('helloflow.py', show_output=False)\n"
DEPLOYED = f"{DEPLOYER}deployed_flow = deployer.local().create()\n"
TRIGGERED = f"{DEPLOYED}triggered_run = deployed_flow.trigger()\n"
ENDED = "triggered_run.wait_for_completion(timeout=120)\nprint(triggered_run.status, triggered_run.run.data.alpha)\n"
# A block prints "finished" however its run has ended.
WELL = "from flowinfra import Flow\nassert next(iter(Flow('SlowFlow'))).successful\n"
TIMED_OUT = ("run", "slowflow.py", "--timeout", "1s", "--quiet")

SHELL = Left("a shell command of another program")
INSIDE = Left("shows how another program works inside")
TEMPLATE = Left("a form to be filled in, no program")
TASKS = ("TaskEnvironment.task",)
IMAGE = ("Image",)
RUN_TASK = ("run",)

TABLE: Final[Mapping[str, tuple[Entry, ...]]] = {
    # A deployed flow, triggered: everything but the target is common to all targets, so behind Local it runs today.
    "000": (
        Runs((r"^Deployer\(.helloflow.py.\)$",), behind="print(deployer)"),
        Refused("FI890", "Argo Workflows", DEPLOYER),
        Runs((r"^succeeded 1$",), DEPLOYED, ENDED),
        Runs((r"^succeeded 5$",), DEPLOYED, ENDED),
        Runs((r"^Run started Run\('HelloFlow/",), TRIGGERED),
        Runs(
            (r"^(stopped|succeeded)$",),
            TRIGGERED,
            "triggered_run.wait_for_completion(timeout=120)\nprint(triggered_run.status)",
        ),
    ),
    "001": (Refused("FI890", "Argo Workflows"),),
    "002": (
        SHELL,
        Waits(("flow", "task")),
        Left("waits for `deployment create FILE`, which reads specs: its paths are another machine's"),
        SHELL,
        SHELL,
        Left("a fragment: it awaits outside of a function, and its client needs a server"),
        Waits(("IntervalSchedule",)),
    ),
    "003": (
        Saved("slowflow.py"),
        Runs((rf"^{RUN} finished$", "2 seconds passed"), behind=WELL),
        Runs((rf"^✅ {RUN} succeeded:$", "4 seconds passed", "waited for 5 seconds$", "^-- stderr --$"), behind=WELL),
        Refused("FI954", "kubernetes"),
        Command("FI954", "kubernetes"),
        Runs((rf"^{RUN} has tags frozenset\(.*'another_tag'", "'myrun'")),
        Runs((r"^Run status is running$", rf"^{RUN} finished$"), behind=WELL),
        Runs((rf"^{RUN} finished$",), behind=WELL),
        Runs((r"^OUT: .*0 seconds passed$", r"^OUT: .*2 seconds passed$", rf"^{RUN} finished$"), behind=WELL),
        Runs((r"^STILL RUNNING: .*0 seconds passed$", r"6 seconds passed$", rf"^{RUN} finished$"), behind=WELL),
        Runs(
            (r"^5 runs are still running$", *(rf"^{RUN} ran for {seconds} seconds$" for seconds in range(5))),
            behind=WELL,
        ),
        Left("imports a player for the web page"),
        Runs(
            (r"^Resuming the first run of SlowFlow, ", rf"^Resumed run {RUN} completed$"), behind=WELL, prior=TIMED_OUT
        ),
        Runs(
            (r"^Resuming the first run of SlowFlow, ", rf"^Resumed run {RUN} completed$"), behind=WELL, prior=TIMED_OUT
        ),
    ),
    "004": (
        Waits(TASKS),
        SHELL,
        INSIDE,
        INSIDE,
        INSIDE,
        INSIDE,
        SHELL,
        Waits(TASKS),
        SHELL,
        Waits(("deploy", "init_from_config", *TASKS)),
        Waits(("deploy", "init_from_config", *TASKS)),
        SHELL,
        Waits(("deploy",)),
        SHELL,
        SHELL,
        TEMPLATE,
        Waits(RUN_TASK),
        SHELL,
        SHELL,
        TEMPLATE,
        Waits(("with_runcontext",)),
        TEMPLATE,
        Waits(("init_from_config", "with_runcontext")),
        SHELL,
        Waits(("init_from_config", "remote", *RUN_TASK)),
        SHELL,
        SHELL,
        SHELL,
        TEMPLATE,
        Waits(IMAGE),
        Waits(TASKS),
        Waits(TASKS),
        Waits(("init_from_config", *RUN_TASK, *TASKS)),
        SHELL,
        Waits(TASKS),
        Waits(TASKS),
        Waits(("group", *TASKS)),
        Waits(IMAGE),
        Waits(TASKS),
        Waits(("deploy", "init_from_config", *RUN_TASK)),
        Waits(("current_domain", *IMAGE)),
        Waits(("remote", *TASKS)),
        Waits(IMAGE),
        Waits(("init_from_config", *RUN_TASK)),
        Waits(TASKS),
        Runs(
            (r"^cpu_tasks gpu_tasks memory_tasks$",),
            "import flowinfra as flyte\n",
            "print(cpu_intensive_env.name, gpu_env.name, memory_intensive_env.name)",
        ),
    ),
}
ENTRIES: Final = {f"{text}-{number}": entry for text, entries in TABLE.items() for number, entry in enumerate(entries)}


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its language as the text says it, and its lines with our imports."""

    language: str
    body: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a block did."""

    code: int
    printed: str


@pytest.fixture(scope="module")
def blocks() -> dict[str, Block]:
    """The blocks of all texts, by file and number."""
    found: dict[str, Block] = {}
    for file in sorted(Path(FOLDER).glob("[0-9][0-9][0-9]_*.txt")):
        for number, match in enumerate(BLOCK.finditer(file.read_text(encoding="utf-8"))):
            body = textwrap.dedent(match["body"])
            for theirs, ours in IMPORTS:
                body = theirs.sub(ours, body)
            found[f"{file.name[:3]}-{number}"] = Block(match["language"], body)
    return {key: block for key, block in found.items() if key[:3] in TABLE}


def carry_out(key: str, blocks: Mapping[str, Block], folder: Path) -> Outcome:
    """Run a block in a new folder."""
    entry = ENTRIES[key]
    folder.mkdir()
    project = Project(folder, {"FLOWINFRA_CONFIG_HOME": str(folder / "settings")})
    (folder / ".flowinfra").mkdir()
    project.write("helloflow.py", HELLO)
    for number, other in enumerate(TABLE[key[:3]]):
        if isinstance(other, Saved):
            project.write(other.name, blocks[f"{key[:3]}-{number}"].body)
    body = blocks[key].body
    match entry:
        case Saved():
            command = ["-P", "-m", "flowinfra.cli.main", "check", entry.name]
        case Command():
            command = body.split()[1:]
        case Runs():
            if entry.prior:
                project.flowinfra(*entry.prior, check=False)
            command = [str(project.write("block.py", f"{entry.before}{body}\n{entry.behind}"))]
        case Refused():
            command = [str(project.write("block.py", f"{entry.before}{body}"))]
        case _:
            raise AssertionError(key)
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=project.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=LONGEST,
    )
    return Outcome(done.returncode, done.stdout)


def is_public(name: str) -> bool:
    """Whether flowinfra has it."""
    there: object = flowinfra
    for part in name.split("."):
        there = getattr(there, part, None)
    return there is not None


@pytest.mark.parametrize("text", sorted(TABLE))
def test_every_block_is_in_the_table(blocks: dict[str, Block], text: str) -> None:
    """Each block of each text has its entry, and what runs as Python is marked so, or not at all, in the text."""
    there = [key for key in blocks if key.startswith(text)]
    if not there:
        pytest.skip(f"the folder of reference texts has no {text}_*.txt")
    assert len(there) == len(TABLE[text])
    run = [key for key in there if isinstance(ENTRIES[key], (Saved, Runs, Refused))]
    assert {blocks[key].language for key in run} <= {"python"}


@pytest.mark.parametrize("text", sorted({key[:3] for key, entry in ENTRIES.items() if not isinstance(entry, NOT_RUN)}))
def test_the_blocks_of_a_text_do_what_the_table_says(blocks: dict[str, Block], tmp_path: Path, text: str) -> None:
    """With only its imports changed a block prints what its text lets a reader expect, or names what is missing.

    Each has a project and a process of its own; they run side by side, as most of the time they sleep.
    """
    keys = [key for key in blocks if key.startswith(text) and not isinstance(ENTRIES[key], NOT_RUN)]
    if not keys:
        pytest.skip(f"the folder of reference texts has no {text}_*.txt")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = dict(zip(keys, pool.map(lambda key: carry_out(key, blocks, tmp_path / key), keys), strict=True))
    wrong = {key: why for key, outcome in outcomes.items() if (why := mismatch(ENTRIES[key], outcome))}
    assert not wrong, "\n\n".join(f"{key}: {why}\n{outcomes[key].printed}" for key, why in wrong.items())


def mismatch(entry: Entry, outcome: Outcome) -> str:
    """What is not as the table says; empty if all is."""
    if isinstance(entry, (Refused, Command)):
        line = next((line for line in outcome.printed.splitlines() if entry.code in line), "")
        return "" if outcome.code != 0 and entry.names in line else f"it did not end with {entry.code}"
    if outcome.code != 0:
        return f"it ended with {outcome.code}"
    says = entry.says if isinstance(entry, Runs) else ()
    missing = [pattern for pattern in says if not re.search(pattern, outcome.printed, re.MULTILINE)]
    return f"not found: {', '.join(missing)}" if missing else ""


@pytest.mark.parametrize("key", [key for key, entry in ENTRIES.items() if isinstance(entry, Waits)])
def test_what_a_block_waits_for_is_still_missing(key: str) -> None:
    """A block that waits for a name is moved to those that run when the last of its names is there."""
    entry = ENTRIES[key]
    assert isinstance(entry, Waits)
    assert [name for name in entry.names if is_public(name)] == []
