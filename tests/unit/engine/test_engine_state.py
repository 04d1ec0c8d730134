"""Files of the state: checkpoints, secrets, locks, history."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.toy.library import Thing
from engines.toy.provider import Toy
from engines.toy.world import World, actions, nothing
from flowinfra.diagnostics import EngineError
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.engine.state.backend import Backend
from flowinfra.engine.state.checkpoint import Snapshot, decode, encode, render
from flowinfra.engine.state.resources import Pending, ResourceState
from flowinfra.engine.state.secrets import Crypter, Passphrase, Vault
from flowinfra.engine.values import secret
from flowinfra.model.plan import Operation

TESTS = Path(__file__).resolve().parents[2]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_a_checkpoint_has_the_form_that_pulumi_checks() -> None:
    """Version, name, manifest with the digest of its version, secrets provider with its salt, empty things left out."""
    state = ResourceState("urn:pulumi:dev::proj::a:b:C::n", "a:b:C", custom=True, id="1", inputs={"z": 1, "a": 2})
    data = encode(
        "organization/proj/dev", [render(state)], [], hooked=False, salt="v1:s:v1:n:c", metadata={}, compressed=False
    )
    document = json.loads(data)
    latest = document["checkpoint"]["latest"]
    assert document["version"] == 3
    assert document["checkpoint"]["stack"] == "organization/proj/dev"
    assert latest["manifest"]["magic"] == hashlib.sha256(latest["manifest"]["version"].encode()).hexdigest()
    assert latest["secrets_providers"] == {"type": "passphrase", "state": {"salt": "v1:s:v1:n:c"}}
    assert latest["resources"] == [
        {"urn": state.urn, "custom": True, "id": "1", "type": "a:b:C", "inputs": {"a": 2, "z": 1}}
    ]
    assert b'"inputs":{"a":2,"z":1}' in data


@given(inputs=st.dictionaries(st.text(min_size=1, max_size=5), json_values, max_size=4), flags=st.booleans())
def test_what_is_written_is_read_back(inputs: dict[str, Any], flags: bool) -> None:
    """Resources, pending operations and what this engine does not know survive, compressed or not."""
    state = ResourceState(
        "urn:pulumi:dev::proj::a:b:C::n", "a:b:C", custom=True, inputs=inputs, protect=flags,
        dependencies=("x",), property_dependencies={"a": []}, rest={"stackTrace": [{"sourcePosition": "x"}]},
    )  # fmt: skip
    pending = Pending("creating", state)
    texts = [render(state)]
    data = encode(
        "organization/proj/dev",
        texts,
        [("creating", *texts)],
        hooked=flags,
        salt=None,
        metadata={"m": 1},
        compressed=flags,
    )
    assert decode(data, Path("dev.json")) == Snapshot((state,), (pending,), None, {"m": 1})


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"version": 5}, "version 5"),
        ({"version": 2}, "version 2"),
        ({"version": 4, "features": ["hooks", "views", "taint"]}, "features taint, views"),
        (
            {"version": 3, "checkpoint": {"latest": {"secrets_providers": {"type": "cloud", "state": {}}}}},
            "secrets provider 'cloud'",
        ),
    ],
)
def test_what_only_pulumi_reads_is_refused_by_name(world: World, document: dict[str, Any], words: str) -> None:
    """Newer versions, unknown features, other secrets providers; nothing is changed."""
    world.file.parent.mkdir(parents=True)
    (world.state / ".pulumi" / "meta.yaml").write_text("version: 1\n", encoding="utf-8")
    world.file.write_text(json.dumps(document), encoding="utf-8")
    before = world.hashes()
    with pytest.raises(EngineError, match=f"FI611(?s:.*){words}"):
        world.up(lambda: Thing("a") and None)
    assert world.hashes() == before


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 3, "checkpoint": {"latest": {"resources": [1]}}}'])
def test_a_damaged_state_is_an_error_that_names_the_file(world: World, content: str) -> None:
    """And where the last good one is."""
    world.file.parent.mkdir(parents=True)
    (world.state / ".pulumi" / "meta.yaml").write_text("version: 1\n", encoding="utf-8")
    world.file.write_text(content, encoding="utf-8")
    with pytest.raises(EngineError, match=r"FI610(?s:.*)damaged(?s:.*)backups") as caught:
        world.preview(nothing)
    assert str(world.file) in str(caught.value)


def test_other_backends_and_layouts_are_refused(tmp_path: Path) -> None:
    """A cloud's URL, and a folder in which stacks have no projects."""
    with pytest.raises(EngineError, match="FI613"):
        Backend.open("gs://bucket")
    (tmp_path / ".pulumi" / "stacks").mkdir(parents=True)
    (tmp_path / ".pulumi" / "stacks" / "dev.json").write_text("{}", encoding="utf-8")
    with pytest.raises(EngineError, match="FI614"):
        Backend.open(tmp_path.as_uri())


def test_a_compressed_state_stays_compressed(world: World) -> None:
    """A .json.gz is read, and written back as one."""
    world.up(lambda: Thing("a") and None)
    packed = world.file.with_name("dev.json.gz")
    packed.write_bytes(gzip.compress(world.file.read_bytes()))
    world.file.unlink()
    assert actions(world.up(lambda: Thing("a", size=2) and None)) == {"a": "update"}
    assert not world.file.exists()
    assert b'"size":2' in gzip.decompress(packed.read_bytes())
    assert list((world.state / ".pulumi" / "history").rglob("*.history.json.gz"))


def test_stacks_are_listed_made_and_removed(world: World) -> None:
    """An empty stack is a file; removing it removes its history, and nothing that is deployed."""
    backend = Backend.open(world.state.as_uri())
    assert backend.stacks("proj") == []
    assert backend.stack("proj", "dev").create()
    assert not backend.stack("proj", "dev").create()
    world.named("prod").up(lambda: Thing("a") and None)
    assert backend.stacks("proj") == ["dev", "prod"]
    backend.stack("proj", "prod").remove()
    assert backend.stacks("proj") == ["dev"]
    assert not any("prod" in p for p in world.hashes())
    assert len(world.live()) == 1


def test_a_state_that_cannot_be_locked_stops_the_update_before_it_begins(world: World) -> None:
    """A file stands where a folder should be: nothing is created."""
    (world.state / ".pulumi").mkdir(parents=True)
    (world.state / ".pulumi" / "locks").write_text("", encoding="utf-8")
    with pytest.raises(EngineError, match=r"FI610(?s:.*)Not a directory"):
        world.up(lambda: Thing("a") and None)
    assert world.live() == []


def test_a_full_disk_leaves_the_last_good_state(world: World) -> None:
    """A limit on the size of files stands for it: the error says so, the old state is whole, no draft is left."""
    world.up(lambda: Thing("a") and None)
    script = textwrap.dedent(
        """
        import resource, sys; from pathlib import Path
        from engines.toy.library import Thing; from engines.toy.world import World
        def run():
            Thing("a")
            Thing("b", payload="x" * 2000)
        world = World(Path(sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
        world.up(run)
        """
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    limit = str(world.file.stat().st_size + 1000)
    done = subprocess.run(
        [sys.executable, "-c", script, str(world.root), limit], env=env, capture_output=True, text=True, check=False
    )
    assert "FI612: the state of the stack cannot be written" in done.stderr
    assert "File too large" in done.stderr
    assert sorted(world.resources()) == ["a", "default_0_1_0", "proj-dev"]
    assert list((world.state / ".pulumi").rglob("*.tmp")) == []
    assert list((world.state / ".pulumi").rglob("locks")) == []


def test_a_crypter_reads_what_it_wrote_and_refuses_another_passphrase() -> None:
    """PBKDF2 and AES-GCM as Pulumi has them; the salt carries a check of the passphrase."""
    crypter = Crypter("one")
    text = crypter.encrypt("s3cret")
    version, nonce, body = text.split(":")
    assert version == "v1"
    assert len(base64.b64decode(nonce)) == 12
    assert len(base64.b64decode(body)) == len("s3cret") + 16
    assert Crypter("one", crypter.salt).decrypt(text) == "s3cret"
    with pytest.raises(EngineError, match="FI621"):
        Crypter("two", crypter.salt)
    with pytest.raises(EngineError, match="FI623"):
        crypter.decrypt(text[:-4] + "AAA=")
    for damaged in ("", "v1:", "v2:AAAA:v1:x:y", "v1:?:v1:x:y"):
        with pytest.raises(EngineError, match=r"FI62[13]"):
            Crypter("one", damaged or "x")


def test_the_crypter_opens_what_the_real_cli_encrypted() -> None:
    """A salt and a ciphertext that Pulumi 3.259 wrote with the passphrase `x`."""
    salt = "v1:PW+pyL2PoAk=:v1:I+EBQubRtqT6Oawv:B32i45HizGzJo4KVi8KIUS9m2TL+5w=="
    assert Crypter("x", salt).salt == salt


def test_a_vault_keeps_the_ciphertext_of_what_did_not_change() -> None:
    """Open and seal again: the same bytes; a changed value gets new ones."""
    vault = Vault(Passphrase(environment={"PULUMI_CONFIG_PASSPHRASE": "x"}), None)
    state = ResourceState("u", "t", inputs={"a": secret({"k": [1, "é"]}), "b": [secret("x")], "c": 1})
    sealed = vault.seal_state(state)
    assert "value" not in json.dumps(sealed.inputs)
    again = Vault(Passphrase(environment={"PULUMI_CONFIG_PASSPHRASE": "x"}), vault.salt)
    opened = again.open_state(sealed)
    assert opened == state
    assert again.seal_state(opened) == sealed
    other = ResourceState("u", "t", inputs={**opened.inputs, "a": secret({"k": [2, "é"]})})
    assert again.seal_state(other).inputs["b"] == sealed.inputs["b"]
    assert again.seal_state(other).inputs["a"] != sealed.inputs["a"]


def test_no_key_is_derived_where_nothing_is_secret(world: World) -> None:
    """Without a secret there is no salt, no passphrase is asked for, and no secrets provider is named."""
    engine = EmbeddedEngine({}, passphrase=Passphrase(environment={}))
    ref = world.ref(lambda: pulumi.export("x", 1))
    engine.up(ref)
    assert "secrets_providers" not in world.latest
    assert engine.outputs(ref, show_secrets=True) == {"x": 1}
    with pytest.raises(EngineError, match="FI622"):
        engine.up(world.ref(lambda: pulumi.export("x", pulumi.Output.secret(1))))


def test_the_passphrase_comes_from_the_environment_then_from_the_projects_own_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Generated once, readable by its owner only, hidden from git, and used again by the next engine."""
    (world.project / "Pulumi.yaml").write_text("name: proj\nruntime: python\n", encoding="utf-8")
    for name in [n for n in os.environ if n.startswith(("PULUMI", "FLOWINFRA"))]:
        monkeypatch.delenv(name)

    def run(value: str) -> dict[str, Any]:
        ref = world.ref(lambda: pulumi.export("x", pulumi.Output.secret(value)))
        EmbeddedEngine().up(ref)
        return EmbeddedEngine().outputs(ref, show_secrets=True)

    assert run("one") == {"x": "one"}
    file = world.project / ".flowinfra" / "passphrase"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (world.project / ".flowinfra" / ".gitignore").read_text(encoding="utf-8") == "*\n"
    assert run("two") == {"x": "two"}
    assert sorted(p.name for p in world.project.iterdir()) == [".flowinfra", "Pulumi.yaml"]
    with monkeypatch.context() as more:
        more.setenv("PULUMI_CONFIG_PASSPHRASE", "wrong")
        with pytest.raises(EngineError, match="FI621: wrong passphrase"):
            run("three")
    named = world.root / "named"
    named.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    file.unlink()
    with monkeypatch.context() as more:
        more.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(named))
        assert run("four") == {"x": "four"}
    with pytest.raises(EngineError, match="FI622"):
        run("five")
    assert not file.exists()


def test_a_wrong_passphrase_changes_nothing(world: World) -> None:
    """It is said what is wrong and what to do, for previews, updates and outputs; no file is touched."""
    world.up(lambda: Thing("a") and None)
    before = world.hashes()
    world.passphrase = "wrong"
    for act in (
        lambda: world.preview(lambda: Thing("a", size=2) and None),
        lambda: world.up(lambda: Thing("a", size=2) and None),
        world.destroy,
        world.refresh,
    ):
        with pytest.raises(EngineError, match=r"FI621: wrong passphrase(?s:.*)PULUMI_CONFIG_PASSPHRASE"):
            act()
    assert world.hashes() == before


def test_a_held_stack_is_not_touched(world: World) -> None:
    """Whoever comes second is told who holds it; a preview needs no lock; cancel removes it."""
    world.up(lambda: Thing("a") and None)
    with Backend.open(world.state.as_uri()).stack("proj", "dev").lock() as lock:
        before = world.hashes()
        with pytest.raises(EngineError, match=rf"FI620(?s:.*){lock.user}@{lock.host} \(pid {os.getpid()}\)"):
            world.up(lambda: Thing("a", size=2) and None)
        assert actions(world.preview(lambda: Thing("a", size=2) and None)) == {"a": "update"}
        assert world.hashes() == before
        assert world.engine().cancel(world.ref(nothing)) == [
            f"{lock.user}@{lock.host} (pid {lock.pid}) since {lock.since}"
        ]
    assert actions(world.up(lambda: Thing("a", size=2) and None)) == {"a": "update"}


def test_the_lock_of_a_dead_process_is_called_stale(world: World) -> None:
    """Of this machine only: nobody knows whether a process of another one runs."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    folder = world.state / ".pulumi" / "locks" / "organization" / "proj" / "dev"
    folder.mkdir(parents=True)
    lock = folder / "dead.json"
    content = {"pid": child.pid, "username": "u", "hostname": socket.gethostname(), "timestamp": "2030-01-01T00:00:00Z"}
    lock.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(EngineError, match=f"(?s)FI620.*{lock}.*does not run any more.*flowinfra cancel"):
        world.up(lambda: Thing("a") and None)
    lock.write_text(json.dumps({**content, "hostname": "elsewhere"}), encoding="utf-8")
    with pytest.raises(EngineError, match=r"(?s)FI620.*wait until"):
        world.up(lambda: Thing("a") and None)
    lock.write_text("{", encoding="utf-8")
    with pytest.raises(EngineError, match=r"FI620(?s:.*)\?@\?"):
        world.up(lambda: Thing("a") and None)


class Mute(Toy):
    """A provider that cannot look for what it has made."""

    find = None  # type: ignore[assignment]


def _sleeping(seconds: float) -> Callable[[], None]:
    def run() -> None:
        first = Thing("first")
        Thing("slow", pulumi.ResourceOptions(depends_on=[first]), sleep=seconds)

    return run


def test_a_killed_update_leaves_a_record_and_the_next_one_says_so(world: World) -> None:
    """Killed in a creation: the state is whole, the creation pending, the lock stale; it is kept until forgotten."""
    script = textwrap.dedent(
        """
        import sys; from pathlib import Path; import pulumi
        from engines.toy.library import Thing; from engines.toy.world import World
        def run():
            first = Thing("first")
            Thing("slow", pulumi.ResourceOptions(depends_on=[first]), sleep=300)
        World(Path(sys.argv[1])).up(run)
        """
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    with subprocess.Popen([sys.executable, "-c", script, str(world.root)], env=env) as child:
        try:
            while len(world.live()) < 2:
                assert child.poll() is None
                time.sleep(0.05)
        finally:
            child.send_signal(signal.SIGKILL)
    left = Backend.open(world.state.as_uri()).stack("proj", "dev").read()
    assert [(p.type, p.resource.urn.rpartition("::")[2]) for p in left.pending] == [("creating", "slow")]
    assert left.journaled
    with pytest.raises(EngineError, match=f"(?s)FI620.*pid {child.pid}.*does not run any more"):
        world.up(_sleeping(0))
    world.engine().cancel(world.ref(nothing))
    assert len(world.latest["pending_operations"]) == 1
    assert not (world.state / ".pulumi" / "journals").exists()
    mute = EmbeddedEngine({"toy": lambda: Mute(world.cloud)}, passphrase=world.secrets)
    plan = mute.up(world.ref(_sleeping(0)))
    assert actions(plan) == {"slow": "create"}
    assert [f.code for f in plan.findings] == ["FI630"]
    assert "interrupted while creating 'slow'" in plan.findings[0].summary
    assert len(world.live()) == 3  # the orphan is still there, and the record says so
    assert world.latest["pending_operations"]
    before = world.hashes()
    assert [f.code for f in mute.up(world.ref(_sleeping(0))).findings] == ["FI630"]
    assert world.hashes() == before
    mute.refresh(world.ref(nothing), clear_pending_creates=True)
    assert "pending_operations" not in world.latest
    assert mute.preview(world.ref(_sleeping(0))).findings == ()


def test_other_interrupted_operations_are_told_once(world: World) -> None:
    """An update or a deletion that did not end is looked at, and its record goes with the next write."""
    world.up(lambda: Thing("a") and None)
    document = json.loads(world.file.read_text(encoding="utf-8"))
    latest = document["checkpoint"]["latest"]
    latest["pending_operations"] = [{"type": "updating", "resource": latest["resources"][-1]}]
    world.file.write_text(json.dumps(document), encoding="utf-8")
    plan = world.up(lambda: Thing("a") and None)
    assert [f.code for f in plan.findings] == ["FI624"]
    assert plan.applyable
    assert "pending_operations" not in world.latest
    before = world.hashes()
    assert world.up(lambda: Thing("a") and None).findings == ()
    assert world.hashes() == before


def test_history_and_backups_are_written_once_per_change(world: World) -> None:
    """What `pulumi stack history` reads: kind, result, how many resources."""
    world.up(lambda: Thing("a") and None)
    world.up(lambda: Thing("a", size=2) and None)
    world.destroy()
    folder = world.state / ".pulumi" / "history" / "proj" / "dev"
    entries = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.history.json"))]
    assert [(e["kind"], e["result"]) for e in entries] == [
        ("update", "succeeded"), ("update", "succeeded"), ("destroy", "succeeded"),
    ]  # fmt: skip
    assert entries[1]["resourceChanges"] == {"same": 1, "update": 1}
    assert len(list((world.state / ".pulumi" / "backups" / "proj" / "dev").iterdir())) == 3
    assert list((world.state / ".pulumi").rglob("*.tmp")) == []


def test_a_destroy_that_is_refused_by_the_provider_can_go_on_later(world: World) -> None:
    """What could be deleted is gone from the state, what could not is still there."""

    def run(fail: Any) -> Callable[[], None]:
        def body() -> None:
            Thing("keeps", fail=fail, size=1)
            Thing("goes")

        return body

    world.up(run(False))
    document = json.loads(world.file.read_text(encoding="utf-8"))
    for resource in document["checkpoint"]["latest"]["resources"]:
        if resource["urn"].endswith("::keeps"):
            resource["outputs"]["fail"] = "delete"
    world.file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(EngineError, match="FI604: deleting 'keeps' failed: the toy cloud keeps it"):
        world.destroy()
    assert "goes" not in world.resources()
    assert "keeps" in world.resources()
    assert "pending_operations" not in world.latest
    assert actions(world.preview(nothing, operation=Operation.DESTROY)).keys() >= {"keeps"}


def test_of_many_that_come_at_once_at_most_one_holds_the_stack(tmp_path: Path) -> None:
    """Eight threads fight for a lock, again and again: never two at once, and no trace is left."""
    stack = Backend.open(tmp_path.as_uri()).stack("proj", "dev")
    inside: list[int] = []
    most: list[int] = []
    refused: list[str] = []

    def fight() -> None:
        for _ in range(20):
            try:
                with stack.lock():
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except EngineError as problem:
                refused.append(problem.diagnostics[0].code)

    threads = [threading.Thread(target=fight) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) <= {1}
    assert set(refused) <= {"FI620"}
    assert len(most) + len(refused) == 160
    assert not (tmp_path / ".pulumi" / "locks").exists()
