"""``kill -9`` at every point of an operation on the embedded engine: nothing is lost, no orphan is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parents[2]

#: Runs in a child of its own, so that it may fork: for each point one child that kills itself there, and one that
#: goes on. The points are every append to the journal, every write of a checkpoint, and both ends of every provider call.
SCRIPT = """
import json, os, shutil, signal, sys
from pathlib import Path
import pulumi
from engines.toy.library import Thing
from engines.toy.provider import Toy
from engines.toy.world import World
from flowinfra.diagnostics import FlowinfraError
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.engine.state import backend, storage
from flowinfra.engine.state.secrets import Crypter

O = pulumi.ResourceOptions
left = 1 << 30

def point():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

class Mortal(Toy):
    async def create(self, request):
        if request.preview: return await super().create(request)
        point(); made = await super().create(request); point(); return made
    async def update(self, request):
        if request.preview: return await super().update(request)
        point(); made = await super().update(request); point(); return made
    async def delete(self, request):
        point(); await super().delete(request); point()

class MortalLog:
    def __init__(self, inner): self.inner = inner
    def append(self, data):
        point(); self.inner.append(data); point()
    def close(self): self.inner.close()

class MortalFolder(storage.Folder):
    def write(self, key, data, **options):
        point(); version = super().write(key, data, **options); point(); return version
    def log(self, key):
        point(); return MortalLog(super().log(key))
    def delete_log(self, key):
        point(); super().delete_log(key); point()

def engine(world, provider):
    return EmbeddedEngine({"toy": lambda: provider(world.cloud)}, passphrase=world.secrets, parallel=1)

def program(size, kind, extra):
    def run():
        a = Thing("a", size=size, kind=kind, payload=pulumi.Output.secret("pw"))
        b = Thing("b", ref=a.arn)
        Thing("c", O(delete_before_replace=True, depends_on=[b]), kind=kind)
        if extra:
            Thing("d", O(depends_on=[b]))
    return run

FIRST, SECOND, THIRD = program(1, "k1", True), program(2, "k2", False), program(3, "k2", True)

def child(body):
    pid = os.fork()
    if not pid:
        code = 3
        try:
            code = body() or 0
        except BaseException:
            import traceback; traceback.print_exc()
        finally:
            sys.stderr.flush(); os._exit(code)
    return os.waitpid(pid, 0)[1]

def act(world, what, provider):
    made = engine(world, provider)
    if what == "destroy":
        return made.destroy(world.ref(lambda: None))
    return made.up(world.ref({"first": FIRST, "second": SECOND, "third": THIRD}[what]))

def dies(world, what, number):
    def body():
        global left
        left = number
        backend.Folder = MortalFolder
        act(world, what, Mortal)
    return child(body)

def goes_on(world, what):
    def body():
        made = engine(world, Toy)
        made.cancel(world.ref(lambda: None))
        act(world, what, Toy)
        known = sorted(r["id"] for r in world.latest.get("resources", []) if r["type"] == "toy:index:Thing")
        there = sorted(p.stem for p in world.cloud.iterdir())
        again = act(world, what, Toy)
        problems = []
        if known != there: problems.append(f"state {known} cloud {there}")
        if again.applyable: problems.append("the next one changes something")
        if world.latest.get("pending_operations"): problems.append("still pending")
        if (world.state / ".pulumi" / "journals").exists(): problems.append("a journal is left")
        if problems: print(what, problems, file=sys.stderr)
        return 1 if problems else 0
    return child(body)

root, before, during, after, step, offset = Path(sys.argv[1]), *sys.argv[2:5], int(sys.argv[5]), int(sys.argv[6])
base = World(root / "base")
for folder in (base.project, base.cloud): folder.mkdir(parents=True)
passphrase = Crypter(base.passphrase)  # derives the key once for all children
(base.project / "Pulumi.yaml").write_text("name: proj\\nruntime: python\\n", encoding="utf-8")
(base.project / "Pulumi.dev.yaml").write_text(f"encryptionsalt: {passphrase.salt}\\n", encoding="utf-8")
if before != "nothing":
    act(base, before, Toy)
number, tried, bad = 1 + offset, 0, []
while True:
    world = World(root / str(number))
    shutil.copytree(root / "base", world.root)
    status = dies(world, during, number)
    if not os.WIFSIGNALED(status):
        assert status == 0, status
        break
    tried += 1
    if goes_on(world, after):
        bad.append(number)
    else:
        shutil.rmtree(world.root)
    number += step
print(json.dumps({"tried": tried, "bad": bad}))
"""


def run(folder: Path, before: str, during: str, after: str, step: int = 1, offset: int = 0) -> dict[str, Any]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), before, during, after, str(step), str(offset)],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["bad"] == [], f"{result}\n{done.stderr[-4000:]}"
    return result


@pytest.mark.parametrize(
    ("before", "during", "after"),
    [
        ("nothing", "first", "first"),
        ("first", "second", "second"),
        ("first", "second", "third"),
        ("first", "destroy", "destroy"),
        ("first", "destroy", "first"),
    ],
)
def test_killed_anywhere_the_next_operation_finds_everything(
    tmp_path: Path, before: str, during: str, after: str
) -> None:
    """After cancel and one more operation the state and the cloud are the same, nothing is pending or left over."""
    assert run(tmp_path, before, during, after, step=6, offset=len(before + during + after) % 6)["tried"] >= 4


@pytest.mark.soak
@pytest.mark.parametrize(
    ("before", "during", "after"),
    [
        ("nothing", "first", "first"),
        ("nothing", "first", "second"),
        ("first", "second", "second"),
        ("first", "second", "third"),
        ("first", "second", "destroy"),
        ("first", "destroy", "first"),
    ],
)
def test_every_single_point(tmp_path: Path, before: str, during: str, after: str) -> None:
    """The same with no point left out."""
    assert run(tmp_path, before, during, after)["tried"] > 30
