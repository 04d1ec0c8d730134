"""``kill -9`` of one engine in the middle of ``up``, and the other one goes on."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from flowinfra.control.recovery import StoredState
from flowinfra.engine.state.backend import Backend
from oracle import TESTS, Both

pytestmark = pytest.mark.engines

PROGRAM = textwrap.dedent(
    """
    import json
    from pathlib import Path
    import pulumi
    from engines.toy.library import Thing
    turn = json.loads(Path("settings.json").read_text(encoding="utf-8"))["turn"]
    before = None
    for index in range(6):
        options = pulumi.ResourceOptions(
            depends_on=[before] if before is not None and index % 2 else [], delete_before_replace=index == 3
        )
        # A third changes in place, a third is replaced, the rest stays; one comes and goes.
        kind = str(turn) if index % 3 == 0 else "same"
        before = Thing(f"t{index}", options, size=turn if index % 3 == 1 else 0, kind=kind, sleep=0.15)
    Thing(f"turn{turn}", sleep=0.15)
    """
)

OURS = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from engines.toy.provider import Toy
    from flowinfra.engine.base import StackRef
    from flowinfra.engine.embedded import EmbeddedEngine
    from flowinfra.engine.state.secrets import Passphrase
    project, cloud, backend, passphrase = sys.argv[1:]
    engine = EmbeddedEngine(
        {"toy": lambda: Toy(cloud)}, passphrase=Passphrase(environment={"PULUMI_CONFIG_PASSPHRASE": passphrase})
    )
    engine.up(StackRef("proj", "dev", Path(project), Path(project), backend))
    """
)


def begin(both: Both, engine: str) -> subprocess.Popen[bytes]:
    """Start ``up`` in a session of its own."""
    if engine == "ours":
        paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
        command = [sys.executable, "-c", OURS, *map(str, (both.project, both.cloud, both.cli.backend.as_uri())),
                   both.cli.passphrase]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": paths, "TOY_DIR": str(both.cloud)}
    else:
        command = [str(both.cli.engines / "pulumi"), "--non-interactive", "up", "--yes", "--skip-preview", "-s", "dev"]
        environment = both.cli.environment
    return subprocess.Popen(
        command, cwd=both.project, env=environment, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill it with everything that it has started: plugins have process groups of their own, but its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = entry.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[3]) == process.pid:
                os.kill(int(entry.parent.name), signal.SIGKILL)
    process.wait()


def cloud(both: Both) -> list[tuple[str, int]]:
    found = []
    for path in both.cloud.iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append((path.name, path.stat().st_mtime_ns))
    return sorted(found)


def interrupt(both: Both, engine: str, chance: random.Random) -> None:
    """Begin an update and kill it at some moment after it has changed the first thing."""
    before = cloud(both)
    process = begin(both, engine)
    deadline = time.monotonic() + 60
    while process.poll() is None and cloud(both) == before and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 1.0))
    kill(process)


def unlock(both: Both) -> None:
    """What a user does: the real CLI's `cancel`; where that leaves a lock, because it cannot read the state, ours."""
    said = both.real("cancel", "--yes", check=False)
    if Backend.open(both.ref.backend_url).stack("proj", "dev").locks:
        print(f"pulumi cancel left the lock: {said}")  # noqa: T201 - shown if the test fails
        both.engine.cancel(both.ref)


def story(both: Both, points: Sequence[int], seed: int) -> None:
    """Kill one engine, go on with the other, and see that the state and the cloud are the same again."""
    chance = random.Random(seed)
    for point in points:
        both.set(turn=point)
        where = f"seed {seed}, point {point}"
        if point % 2:
            interrupt(both, "real", chance)
            unlock(both)
        else:
            interrupt(both, "ours", chance)
            if chance.random() < 0.5:
                both.engine.cancel(both.ref)
            else:  # knows nothing of our journal
                both.real("cancel", "--yes", check=False)
            if chance.random() < 0.7:
                both.real("up", "--yes", "--skip-preview")
        both.engine.up(both.ref)
        assert both.things_alive(), where
        assert "pending_operations" not in both.checkpoint["checkpoint"]["latest"], where
        assert not both.engine.preview(both.ref).applyable, where


@pytest.fixture
def both(pulumi_cli_folder: Path, tmp_path: Path) -> Both:
    made = Both.create(pulumi_cli_folder, tmp_path)
    (made.project / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    made.set(turn=0)
    made.engine.up(made.ref)
    return made


def test_whoever_is_killed_the_other_goes_on_and_nothing_is_lost(both: Both) -> None:
    """Five moments drawn at random, the engines in turn: what is alive is what the state knows, and nothing else."""
    seed = int(os.environ.get("FLOWINFRA_SEED", random.SystemRandom().randrange(10**6)))
    print(f"seed {seed}")  # noqa: T201 - to repeat it
    story(both, range(1, 6), seed)


@pytest.mark.soak
def test_a_hundred_random_moments(both: Both) -> None:
    """The same, a hundred times."""
    seed = int(os.environ.get("FLOWINFRA_SEED", random.SystemRandom().randrange(10**6)))
    print(f"seed {seed}")  # noqa: T201 - to repeat it
    story(both, range(1, 101), seed)


def test_what_either_exports_the_other_imports(both: Both, tmp_path: Path) -> None:
    """`stack export` and `state export` have one form, with secrets sealed or open."""
    stored = StoredState(both.ref, Backend.open(both.ref.backend_url).stack("proj", "dev"), both.engine)
    theirs, ours = tmp_path / "theirs.json", tmp_path / "ours.json"
    both.real("stack", "export", "--show-secrets", "--file", str(theirs))
    assert stored.restore(theirs).resources == len(both.resources())
    assert both.ours() == []
    assert both.theirs() == []
    ours.write_text(json.dumps(stored.export(show_secrets=True)), encoding="utf-8")
    both.real("stack", "import", "--file", str(ours))
    assert both.ours() == []
    assert both.theirs() == []
