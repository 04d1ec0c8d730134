"""What the SDK can do works alike under both engines; locks, secrets and interruptions are understood by both."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from flowinfra.diagnostics import EngineError
from flowinfra.engine.config import Project
from flowinfra.engine.recorder import RecorderEngine
from flowinfra.engine.state.backend import Backend
from oracle import TESTS, Both

pytestmark = pytest.mark.engines


@pytest.fixture
def both(pulumi_cli_folder: Path, tmp_path: Path) -> Both:
    return Both.create(pulumi_cli_folder, tmp_path)


def test_configuration_references_hooks_functions_and_unknowns_are_the_same_in_both(both: Both) -> None:
    """The same program makes the same state and outputs in both, and each finds nothing to do in the other's."""
    other, ours, theirs = both.named("other"), both.named("ours"), both.named("theirs")
    for stack in (other, ours):
        assert Backend.open(stack.ref.backend_url).stack("proj", stack.stack).create()
        config = Project.find(both.project).config(stack.stack)
        config = config.set("plain", "p1").set("num", "3").set("object", {"a": {"b": "deep"}})
        config.set("pw", "s3cret", crypter=stack.engine.config_crypter(stack.ref))
    # The real CLI reads what was written here, and works with a copy of it.
    assert ours.real("config", "get", "pw").strip() == "s3cret"
    assert json.loads(ours.real("config", "get", "object")) == {"a": {"b": "deep"}}
    theirs.real("stack", "init")
    (both.project / "Pulumi.theirs.yaml").write_text(
        (both.project / "Pulumi.ours.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )

    both.set(parts=["config"])
    other.engine.up(other.ref)
    parts = ["config", "reference", "hooks", "invokes", "unknowns", "asynchronous"]
    log = both.project.parent / "hooks.log"
    both.set(parts=parts, other="organization/proj/other", log=str(log))
    ours.engine.up(ours.ref)
    said = log.read_text(encoding="utf-8")
    log.unlink()
    theirs.real("up", "--yes")
    assert log.read_text(encoding="utf-8") == said == "bc False False\nac True True\n"

    mine, others = ours.comparable(), theirs.comparable()
    assert mine.keys() == others.keys()
    for urn in mine:
        assert mine[urn] == others[urn]
    assert ours.checkpoint["version"] == theirs.checkpoint["version"] == 4
    assert ours.checkpoint["features"] == theirs.checkpoint["features"] == ["hooks"]
    outputs = ours.engine.outputs(ours.ref, show_secrets=True)
    assert outputs.items() >= {"hidden": "s3cret", "ref": "p1", "account": "123456789012", "echo": "yo"}.items()

    read = [("read", "pulumi:pulumi:StackReference::organization/proj/other")]
    assert ours.theirs() == read
    assert theirs.ours() == read
    assert not theirs.engine.preview(theirs.ref).applyable

    # Hooks of an update that one began are run by the other one; a deletion needs them registered.
    both.set(parts=parts, other="organization/proj/other", log=str(log), size=2)
    theirs.engine.up(theirs.ref)
    assert "bu True False" in log.read_text(encoding="utf-8")
    with pytest.raises(EngineError, match="FI609"):
        theirs.engine.destroy(theirs.ref)


def test_transforms_change_what_is_registered_alike(both: Both) -> None:
    """Transforms of a resource, of the stack, and of the old kind: equal states, nothing to do for the other one."""
    ours, theirs = both.named("ours"), both.named("theirs")
    both.set(parts=["transforms", "legacy_transforms"])
    ours.engine.up(ours.ref)
    theirs.real("stack", "init")
    theirs.real("up", "--yes")
    # The real engine notes a key that a transform adds as depending on nothing; no plan shows it.
    assert {u: r["inputs"] for u, r in ours.comparable().items() if "inputs" in r} == {
        u: r["inputs"] for u, r in theirs.comparable().items() if "inputs" in r
    }
    assert ours.theirs() == []
    assert theirs.ours() == []


def test_a_stack_without_secrets_has_no_salt_and_the_real_cli_goes_on_with_it(both: Both) -> None:
    """No secret, no key: the state names no secrets provider, the project gets no new file, the CLI accepts it."""
    both.set(parts=["small"])
    plan = both.engine.up(both.ref)
    assert plan.applyable
    # The toy's token is secret, so for a state without secrets only the stack and its output are left.
    both.set(parts=[])
    bare = both.named("bare")
    bare.engine.up(bare.ref)
    assert "secrets_providers" not in bare.checkpoint["checkpoint"]["latest"]
    assert list(both.project.glob("Pulumi.*.yaml")) == []
    bare.real("up", "--yes")
    assert bare.ours() == []
    assert not bare.engine.preview(bare.ref).applyable

    # With secrets the salt is in the state, and in the stack's file only once the real CLI or `config set` wants it.
    salt = both.checkpoint["checkpoint"]["latest"]["secrets_providers"]["state"]["salt"]
    both.set(parts=["small"])
    assert both.ours() == []
    both.set(parts=["small"], size=2)
    both.real("up", "--yes")
    assert both.ours() == []
    written = yaml.safe_load((both.project / "Pulumi.dev.yaml").read_text(encoding="utf-8"))
    assert written["encryptionsalt"] != salt
    both.set(parts=["small"], size=3)
    both.engine.up(both.ref)
    assert both.theirs() == []
    assert RecorderEngine().preview(both.ref).has_changes is False


def test_each_engine_respects_the_locks_of_the_other_one(both: Both) -> None:
    """Held here, the CLI refuses; held by the CLI, we refuse and name who holds it; previews go on."""
    both.set(parts=["small"])
    both.engine.up(both.ref)
    both.set(parts=["small"], size=2)
    file = both.cli.backend / ".pulumi" / "locks" / "organization" / "proj" / "dev"
    with Backend.open(both.ref.backend_url).stack("proj", "dev").lock() as lock:
        said = both.real("up", "--yes", check=False)
        assert "the stack is currently locked by 1 lock(s)" in said
        assert f"{lock.user}@{lock.host} (pid {lock.pid})" in said
    assert not file.exists()

    both.set(parts=["small", "sleeping"], slow=60)
    with subprocess.Popen(
        [str(both.cli.engines / "pulumi"), "up", "--yes", "--skip-preview", "--stack", "dev", "--non-interactive"],
        cwd=both.project,
        env=both.cli.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            while not any(p.read_text(encoding="utf-8").find('"sleep": 60') > 0 for p in both.cloud.iterdir()):
                assert process.poll() is None
                time.sleep(0.1)
            with pytest.raises(EngineError, match=f"(?s)FI620.*pid {process.pid}"):
                both.engine.up(both.ref)
            both.set(parts=["small"])
            both.engine.preview(both.ref)
        finally:
            os.killpg(process.pid, 9)
    # Killed in the middle: the lock is stale, and says so; then its record of what it was doing is understood.
    with pytest.raises(EngineError, match=r"(?s)FI620.*does not run any more"):
        both.engine.up(both.ref)
    assert len(both.engine.cancel(both.ref)) == 1
    findings = both.engine.preview(both.ref).findings
    assert any(f.code == "FI624" and "creating 'slow'" in f.summary for f in findings)


def test_the_real_cli_goes_on_where_the_embedded_engine_was_killed(both: Both) -> None:
    """A pending creation that we left is reported by the CLI, kept, and forgotten when it is told to."""
    both.set(parts=["sleeping"], slow=120)
    script = (
        "import sys; sys.path[:0] = [sys.argv[2], sys.argv[3]]\n"
        "from pathlib import Path\n"
        "from oracle import Both; from pulumi_cli import PulumiCli\n"
        "root = Path(sys.argv[1])\n"
        "cli = PulumiCli(root, root / 'pulumi')\n"
        "both = Both(cli, root / 'project', root / 'cloud')\n"
        "both.engine.up(both.ref)\n"
    )
    folders = [str(TESTS), str(TESTS / "engines")]
    with subprocess.Popen([sys.executable, "-c", script, str(both.project.parent), *folders]) as process:
        try:
            # The checkpoint, which is all that the real CLI sees, follows the journal within moments.
            while not (both.exists and "pending_operations" in both.checkpoint["checkpoint"]["latest"]) or not any(
                p.read_text(encoding="utf-8").find('"sleep": 120') > 0 for p in both.cloud.iterdir()
            ):
                assert process.poll() is None
                time.sleep(0.1)
        finally:
            process.kill()
    latest = both.checkpoint["checkpoint"]["latest"]
    assert [p["type"] for p in latest["pending_operations"]] == ["creating"]
    both.set(parts=["sleeping"])
    assert f"@{socket.gethostname()} (pid {process.pid})" in both.real("up", "--yes", check=False)
    both.real("cancel", "--yes")
    said = both.real("up", "--yes")
    assert "interrupted while creating" in said
    both.real("refresh", "--yes", "--clear-pending-creates")
    assert "pending_operations" not in both.checkpoint["checkpoint"]["latest"]
    # What the CLI has forgotten our journal has not: the orphan is found, and goes.
    assert both.ours() == [("delete", "toy:index:Thing::slow")]
    both.engine.up(both.ref)
    assert both.things_alive()
    assert both.ours() == []


@pytest.mark.parametrize("part", ["failing", "refused", "raising"])
def test_what_fails_fails_in_both_and_leaves_the_same_behind(both: Both, part: str) -> None:
    """A provider that fails, an input that is refused, a program that raises: the same resources are left."""
    both.set(parts=[part])
    ours, theirs = both.named("ours"), both.named("theirs")
    with pytest.raises(EngineError):
        ours.engine.up(ours.ref)
    theirs.real("stack", "init")
    assert "error" in theirs.real("up", "--yes", check=False)
    left = ours.comparable().keys() if ours.exists else set()
    # What ran beside the failure may have been done or not; the failure itself never is.
    assert not any(u.endswith(("::bad", "::neg")) for u in left)
    others = theirs.comparable().keys()
    assert not any(u.endswith(("::bad", "::neg")) for u in others)
    if part != "failing":
        assert set(left) == set(others) == set()
