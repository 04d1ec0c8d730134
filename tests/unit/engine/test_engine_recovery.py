"""What interrupted operations have left: found, taken over, settled; and states that are not as they should be."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pulumi.provider.experimental import provider as sdk

from engines.toy.library import Thing
from engines.toy.provider import Toy
from engines.toy.world import World, actions, change, nothing
from flowinfra.control.recovery import StoredState
from flowinfra.diagnostics import EngineError
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.engine.ledger import Ledger
from flowinfra.engine.saving import Saver
from flowinfra.engine.state import secrets
from flowinfra.engine.state.backend import Backend, StackFile
from flowinfra.engine.state.journal import Begun, Fold, Head, Kept, Put, line, parse, replay
from flowinfra.engine.state.mending import mended
from flowinfra.engine.state.order import in_order
from flowinfra.engine.state.resources import Pending, ResourceState
from flowinfra.engine.state.secrets import Vault
from flowinfra.engine.state.storage import Folder
from flowinfra.model.plan import Operation

Options = pulumi.ResourceOptions


def one(**inputs: Any) -> Callable[[], None]:
    return lambda: Thing("a", **inputs) and None


class Dying(Toy):
    """Its process is as good as dead once something was created: nobody hears of it."""

    async def create(self, request: Any) -> Any:
        made = await super().create(request)
        if not request.preview:
            raise SystemExit(f"killed after {made.resource_id}")
        return made


def interrupted(world: World, program: Callable[[], None]) -> None:
    """Leave behind what a process leaves that was killed right after it had created something."""
    dying = EmbeddedEngine({"toy": lambda: Dying(world.cloud)}, passphrase=world.secrets)
    with pytest.raises(BaseException):  # noqa: B017, PT011 - how it ends is not what is tested here
        dying.up(world.ref(program))
    assert [p["type"] for p in world.latest["pending_operations"]] == ["creating"]


def stack_file(world: World) -> StackFile:
    return Backend.open(world.state.as_uri()).stack("proj", world.stack)


def stored(world: World) -> StoredState:
    return StoredState(world.ref(nothing), stack_file(world), world.engine())


# -- adopting ---------------------------------------------------------------------------------------------------------


def test_an_orphan_is_found_and_taken_over_instead_of_made_twice(world: World) -> None:
    """The name that was drawn is in the record; the plan says why the resource appears, and a second up is empty."""
    interrupted(world, one(size=1))
    plan = world.preview(one(size=1))
    assert actions(plan) == {}
    assert change(plan, "a").reason == "adopted: an interrupted operation had created it"
    assert plan.applyable
    assert [(f.code, f.severity) for f in plan.findings] == [("FI624", "note")]
    world.up(one(size=1))
    assert len(world.live()) == 1
    assert world.resources()["a"]["outputs"]["name"] == world.live()[0]["name"]
    assert "pending_operations" not in world.latest
    assert not world.preview(one(size=1)).applyable


def test_an_orphan_that_the_program_wants_otherwise_is_updated_or_replaced(world: World) -> None:
    """It is the last state then: an update in place keeps it, a replacement deletes it."""
    interrupted(world, one(size=1, kind="k1"))
    assert actions(world.up(one(size=2, kind="k1"))) == {"a": "update"}
    assert len(world.live()) == 1
    world.destroy()
    interrupted(world, one(size=1, kind="k1"))
    assert actions(world.up(one(size=1, kind="k2"))) == {"a": "replace"}
    assert [thing["kind"] for thing in world.live()] == ["k2"]


def test_an_orphan_that_nobody_wants_is_deleted(world: World) -> None:
    """By up if the program does not register it any more, by destroy anyway."""
    interrupted(world, one())
    plan = world.up(lambda: Thing("b") and None)
    assert actions(plan) == {"a": "delete", "b": "create"}
    assert change(plan, "a").reason == "an interrupted operation had created it"
    assert len(world.live()) == 1
    world.destroy()
    interrupted(world, one())
    world.destroy()
    assert world.live() == []
    assert "pending_operations" not in world.latest


def test_an_interrupted_replacement_is_taken_over_and_the_old_one_goes(world: World) -> None:
    """Created before the old one was deleted: one of each is there, and one is left."""
    world.up(one(kind="k1"))
    interrupted(world, one(kind="k2"))
    assert len(world.live()) == 2
    world.up(one(kind="k2"))
    assert [thing["kind"] for thing in world.live()] == ["k2"]
    assert not world.preview(one(kind="k2")).applyable


def test_an_interrupted_replacement_that_was_taken_back_leaves_the_old_one(world: World) -> None:
    """The program is as before: what was created for the other one is left over."""
    world.up(one(kind="k1"))
    id_ = world.resources()["a"]["id"]
    interrupted(world, one(kind="k2"))
    world.up(one(kind="k1"))
    assert [thing["kind"] for thing in world.live()] == ["k1"]
    assert world.resources()["a"]["id"] == id_


def test_a_creation_that_did_not_happen_is_just_done(world: World) -> None:
    """The provider says that there is none; the record is gone."""
    interrupted(world, one())
    for file in world.cloud.iterdir():
        file.unlink()
    plan = world.up(one())
    assert actions(plan) == {"a": "create"}
    assert "it was not created" in plan.findings[0].summary
    assert "pending_operations" not in world.latest


def shared() -> None:
    """A thing whose name the user has chosen."""
    inputs = {"name": "shared", "kind": "k", "arn": None, "token": None}
    pulumi.CustomResource("toy:index:Thing", "a", inputs, pulumi.ResourceOptions(version="0.1.0"))


def test_an_object_whose_name_the_user_chose_is_not_taken_from_another_stack(world: World) -> None:
    """Its provider cannot tell whose it is: nothing is adopted or deleted, and the record says what nobody knows."""
    world.named("theirs").up(shared)
    theirs = list(world.cloud.iterdir())

    class Dead(Toy):
        async def create(self, request: Any) -> Any:
            if request.preview:
                return await super().create(request)
            raise SystemExit("killed before anything was created")

    engine = EmbeddedEngine({"toy": lambda: Dead(world.cloud)}, passphrase=world.secrets)
    with pytest.raises(EngineError, match="FI656"):
        engine.up(world.ref(shared))
    plan = world.preview(shared)
    assert actions(plan) == {"a": "create"}
    assert [f.code for f in plan.findings] == ["FI630"]
    world.up(lambda: Thing("other") and None)
    world.destroy()
    assert list(world.cloud.iterdir()) == theirs


class Register(Toy):
    """Objects are found by what the program calls them, as where an address is the id."""

    async def create(self, request: Any) -> Any:
        made = await super().create(request)
        if request.preview:
            return made
        address = f"toy-{made.properties['kind'].value}"
        (self._folder / f"{made.resource_id}.json").rename(self._folder / f"{address}.json")
        if "Dying" in made.properties["payload"].value:
            raise SystemExit("killed")
        return sdk.CreateResponse(address, made.properties)

    async def find(self, request: Any) -> Any:
        id_ = f"toy-{request.inputs['kind'].value}"
        return await self.read(sdk.ReadRequest(request.urn, id_, request.inputs, request.inputs))


def test_what_another_resource_stands_for_is_neither_adopted_nor_deleted(world: World) -> None:
    """A creation did not end, its resource was renamed: the object belongs to the new name, whoever looks for it."""
    engine = EmbeddedEngine({"toy": lambda: Register(world.cloud)}, passphrase=world.secrets)

    def program(name: str, payload: str) -> Callable[[], None]:
        return lambda: Thing(name, kind="k", payload=payload) and None

    with pytest.raises(EngineError, match="FI656"):
        engine.up(world.ref(program("a", "Dying")))
    plan = engine.up(world.ref(program("renamed", "alive")))
    assert actions(plan) == {"renamed": "create"}
    assert "it was not created" in plan.findings[0].summary
    assert [path.stem for path in world.cloud.iterdir()] == ["toy-k"]
    assert not engine.preview(world.ref(program("renamed", "alive"))).applyable


# -- the journal ------------------------------------------------------------------------------------------------------


def left_behind(world: World, state: ResourceState, *, base: str | None = None) -> StackFile:
    """A journal that says *state* was created, as a killed operation leaves it."""
    file = stack_file(world)
    log = file.journal()
    log.append(line(Head(file.read_checkpoint().digest if base is None else base)))
    log.append(line(Begun(0, Pending("creating", replace(state, id="", outputs={})))))
    log.append(line(Put(state, None, 0, made=True)))
    log.close()
    return file


def created(world: World, name: str) -> ResourceState:
    """A thing in the cloud that no state knows, as the state would have it."""
    known = next(r for r in stack_file(world).read().resources if r.custom and r.type == "toy:index:Thing")
    id_ = f"toy-{name}"
    (world.cloud / f"{id_}.json").write_text(json.dumps({"name": name}), encoding="utf-8")
    urn = known.urn.rpartition("::")[0] + f"::{name}"
    return replace(known, urn=urn, id=id_, inputs={"name": name}, outputs={"name": name})


def test_a_journal_that_was_left_is_part_of_the_state(world: World) -> None:
    """Previews and outputs see it, the next change folds it, a torn last line counts as not written."""
    world.up(one())
    state = created(world, "b")
    file = left_behind(world, state)
    path = world.state / ".pulumi" / "journals" / "proj" / "dev.jsonl"
    with path.open("ab") as log:
        log.write(line(Put(replace(state, id="torn")))[:-20])
    assert actions(world.preview(one())) == {"b": "delete"}
    assert file.read().journaled
    assert path.exists()
    world.up(one())
    assert not path.exists()
    assert len(world.live()) == 1
    assert not world.preview(one()).applyable


def test_a_journal_that_belongs_to_another_checkpoint_loses_nothing(world: World) -> None:
    """Somebody went on without it: what it had created is told, and deleted by the next up."""
    world.up(one())
    left_behind(world, created(world, "b"), base="of another history")
    plan = world.preview(one())
    assert actions(plan) == {"b": "delete"}
    assert [f.code for f in plan.findings] == ["FI618"]
    assert "'b' was created by an operation that was killed" in plan.findings[0].summary
    world.up(one())
    assert len(world.live()) == 1
    assert sorted(world.resources()) == ["a", "default_0_1_0", "proj-dev"]


def test_what_somebody_has_renamed_is_not_left_over(world: World) -> None:
    """The journal knows the object by another name than the state that went on without it: it is not deleted."""
    world.up(one())
    known = next(r for r in stack_file(world).read().resources if r.type == "toy:index:Thing")
    left_behind(world, replace(known, urn=known.urn.replace("::a", "::before")), base="of another history")
    plan = world.preview(one())
    assert not plan.applyable or actions(plan) == {}
    world.up(one())
    assert len(world.live()) == 1


def test_a_stack_that_was_removed_does_not_come_back_from_its_journal(world: World) -> None:
    """Its checkpoint had held everything; another engine has destroyed and removed it."""
    world.up(one())
    state = next(r for r in stack_file(world).read().resources if r.type == "toy:index:Thing")
    file = left_behind(world, state, base="")
    path = world.state / ".pulumi" / "journals" / "proj" / "dev.jsonl"
    whole = path.read_bytes()
    world.file.unlink()
    assert [r.id for r in file.read().resources] == [
        state.id
    ]  # a first operation that was killed before any checkpoint
    path.write_bytes(whole + line(Fold("a checkpoint", 1, (), ())) + line(Kept()))
    assert file.read().resources == ()
    assert actions(world.preview(one())) == {"a": "create", "proj-dev": "create"}


class FailingFolder(Folder):
    """A disk that is full for as long as `full` holds."""

    full = False

    def log(self, key: str) -> Any:
        inner, folder = super().log(key), self

        class Log:
            def append(self, data: bytes) -> None:
                if FailingFolder.full:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder.where(key))
                inner.append(data)

            def close(self) -> None:
                inner.close()

        return Log()


def saver(world: World) -> tuple[Saver, Ledger, StackFile]:
    """The journal of an operation on the present state, on such a disk."""
    file = StackFile(Backend(FailingFolder(world.state / ".pulumi")), "proj", world.stack)
    vault = Vault(world.secrets, None)
    snapshot = file.read()
    made = Saver(file, snapshot, vault)
    return made, Ledger(snapshot, vault, made), file


NEW = ResourceState("urn:pulumi:dev::proj::toy:index:Thing::n", "toy:index:Thing", custom=True, id="toy-n")


def test_a_journal_that_could_not_be_begun_is_begun_by_the_next_record(world: World) -> None:
    """The disk was full for the first record only: the journal is readable, and nothing is called pending."""
    world.up(one())
    journal, ledger, file = saver(world)
    FailingFolder.full = True
    with pytest.raises(EngineError, match=r"FI612(?s:.*)No space left"), ledger.operation("creating", NEW):
        pytest.fail("the provider is not to be called")
    FailingFolder.full = False
    ledger.commit(NEW)
    found = file.read()
    assert NEW in found.resources
    assert found.pending == ()
    journal.close()
    assert not file.read().journaled


def test_what_goes_on_after_its_operation_was_given_up_writes_nothing(world: World) -> None:
    """Nobody waits for it any more, and others may hold the stack: it is stopped by its next record."""
    world.up(one())
    for several in (False, True):
        journal, ledger, file = saver(world)
        if several:
            ledger.commit(NEW)
        journal.close()
        before = file.read()
        with pytest.raises(EngineError, match=r"FI612(?s:.*)given up"):
            ledger.commit(replace(NEW, id="late"))
        assert file.read() == before
        assert not file.read().journaled


def test_what_goes_on_after_another_one_has_taken_over_is_stopped(world: World) -> None:
    """Its lock was removed and the next operation has folded its journal: it begins nothing more."""
    world.up(one())
    journal, ledger, file = saver(world)
    ledger.commit(NEW)
    file.fold()
    with pytest.raises(EngineError, match=r"FI612(?s:.*)taken the stack over"), ledger.operation("creating", NEW):
        pytest.fail("the provider is not to be called")
    with pytest.raises(EngineError, match=r"FI61[26]"):
        journal.close()
    assert NEW in file.read().resources


def test_cancel_leaves_the_journal_to_whoever_may_still_run_elsewhere(world: World) -> None:
    """Of a process on another machine nobody knows here: its lock goes, its journal stays for the next operation."""
    world.up(one())
    file = left_behind(world, created(world, "b"))
    lock = world.state / ".pulumi" / "locks" / "organization" / "proj" / "dev" / "x.json"
    lock.parent.mkdir(parents=True)
    lock.write_text('{"pid": 1, "username": "u", "hostname": "elsewhere", "timestamp": "t"}', encoding="utf-8")
    checkpoint = world.file.read_bytes()
    assert len(world.engine().cancel(world.ref(nothing))) == 1
    assert (file.locks, world.file.read_bytes(), file.read().journaled) == ([], checkpoint, True)
    world.engine().cancel(world.ref(nothing))
    assert not file.read().journaled
    assert b"toy-b" in world.file.read_bytes()


def test_a_damaged_journal_is_refused_and_repaired(world: World) -> None:
    """Nothing is guessed: repair says what it takes over."""
    world.up(one())
    file = left_behind(world, created(world, "b"))
    path = world.state / ".pulumi" / "journals" / "proj" / "dev.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, b"00000000 {}\n", lines[-1]]))
    before = world.hashes()
    with pytest.raises(EngineError, match=r"FI615(?s:.*)line 4 of 5"):
        world.up(one())
    assert world.hashes() == before
    plan = stored(world).diagnose()
    assert [s.kind for s in plan.steps] == ["journal"]
    assert not stored(world).repair(plan).steps
    assert any(r.id == "toy-b" for r in file.read().resources)


def test_a_checkpoint_that_somebody_else_rewrites_meanwhile_is_not_overwritten(world: World) -> None:
    """Theirs stays, ours is in the journal, and the next command brings both together."""
    world.up(one())
    theirs = world.file.read_bytes()

    class Interfering(Toy):
        async def create(self, request: Any) -> Any:
            made = await super().create(request)
            if not request.preview:
                draft = world.file.with_name("theirs")
                draft.write_bytes(theirs.replace(b'"metadata":{}', b'"metadata":{"theirs":true}'))
                draft.replace(world.file)
            return made

    engine = EmbeddedEngine({"toy": lambda: Interfering(world.cloud)}, passphrase=world.secrets)

    def both() -> None:
        Thing("a")
        Thing("b")

    with pytest.raises(EngineError, match="FI616"):
        engine.up(world.ref(both))
    assert b'"theirs":true' in world.file.read_bytes()
    assert len(world.live()) == 2
    plan = world.up(one())
    assert [f.code for f in plan.findings] == ["FI618"]
    assert len(world.live()) == 1
    world.up(both)
    assert len(world.live()) == len([r for r in world.latest["resources"] if r["type"] == "toy:index:Thing"]) == 2


names = st.sampled_from([f"urn:pulumi:dev::proj::a:b:C::{n}" for n in "abcdef"])


@given(edges=st.dictionaries(names, st.lists(names, max_size=3), max_size=6), order=st.randoms())
def test_a_state_is_put_in_order_whatever_it_was(edges: dict[str, list[str]], order: Any) -> None:
    """Without circles everything comes behind what it names; nothing is lost; what is in order stays so."""
    states = [
        ResourceState(urn, "a:b:C", dependencies=tuple(d for d in edges[urn] if d < urn)) for urn in sorted(edges)
    ]
    shuffled = list(states)
    order.shuffle(shuffled)
    ordered = in_order(shuffled)
    there = {s.urn for s in states}
    for index, state in enumerate(ordered):
        assert state.edges() & there <= {s.urn for s in ordered[:index]}
    assert sorted(s.urn for s in ordered) == sorted(there)
    assert in_order(ordered) == ordered


@settings(max_examples=60)
@given(cut=st.integers(0, 400), records=st.lists(st.sampled_from("abc"), max_size=6))
def test_a_journal_that_is_cut_anywhere_reads_as_its_whole_lines(cut: int, records: Sequence[str]) -> None:
    """A crash tears at most the last line; what was written whole is read."""
    states = [ResourceState(f"urn:pulumi:dev::p::a:b:C::{n}{i}", "a:b:C", id=n) for i, n in enumerate(records)]
    lines = [line(Head("base")), *(line(Put(s)) for s in states)]
    data = b"".join(lines)[:cut]
    whole = data.count(b"\n")
    journal = parse(data, "j")
    if whole == 0:
        assert journal is None
        return
    assert journal is not None
    assert journal.records == tuple(Put(s) for s in states[: whole - 1])
    played = replay(journal, "base", [], [], None)
    assert played is not None
    assert [s.id for s in played.resources] == list(records[: whole - 1])


def test_a_journal_continues_from_the_fold_whose_checkpoint_is_there() -> None:
    """A crash may leave the old checkpoint or the new one: both are continued."""
    a, b, c = (ResourceState(f"urn:pulumi:dev::p::a:b:C::{n}", "a:b:C", id=n) for n in "abc")
    journal = parse(b"".join(line(r) for r in (Head("old"), Put(b), Fold("new", 1, (0,), ()), Put(c, 0))), "j")
    assert journal is not None
    for digest, resources in (("old", [a]), ("new", [b, a])):
        played = replay(journal, digest, resources, [], None)
        assert played is not None
        assert [s.id for s in played.resources] == ["b", "c"]
    assert replay(journal, "other", [], [], None) is None


# -- export, import, repair -------------------------------------------------------------------------------------------


def secretive() -> None:
    Thing("a", payload=pulumi.Output.secret({"deep": ["s3cret"]}))


def test_a_state_that_was_exported_is_imported_again(world: World, tmp_path: Path) -> None:
    """With secrets sealed or open: the same state, nothing to do, and a backup of the one before."""
    world.up(secretive)
    for open_ones in (False, True):
        document = stored(world).export(show_secrets=open_ones)
        assert ("s3cret" in json.dumps(document)) is open_ones
        file = tmp_path / "export.json"
        file.write_text(json.dumps(document), encoding="utf-8")
        done = stored(world).restore(file)
        assert (done.resources, done.replaced) == (3, 3)
        assert "s3cret" not in world.file.read_text(encoding="utf-8")
        assert not world.preview(secretive).applyable


def test_secrets_of_what_is_pending_are_sealed_and_opened_as_well(world: World, tmp_path: Path) -> None:
    """Records of interrupted creations hold inputs like any resource."""
    interrupted(world, secretive)
    assert "s3cret" not in world.file.read_text(encoding="utf-8")
    document = stored(world).export(show_secrets=True)
    assert "s3cret" in json.dumps(document["deployment"]["pending_operations"])
    file = tmp_path / "export.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    stored(world).restore(file)
    assert "s3cret" not in world.file.read_text(encoding="utf-8")
    world.up(secretive)
    assert len(world.live()) == 1


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "FI610"),
        ("{}", "FI610"),
        ('{"version": 3}', "FI610"),
        ('{"version": 9, "deployment": {}}', "FI611"),
        ('{"version": 3, "deployment": {"resources": [{"urn": "urn:pulumi:dev::other::a:b:C::x", "type": "a:b:C"}]}}',
         "FI617"),
        (('{"version": 3, "deployment": {"resources": [{"urn": "urn:pulumi:dev::proj::a:b:C::x", "type": "a:b:C", '
          '"parent": "urn:pulumi:dev::proj::a:b:C::y"}]}}'), "FI625"),
    ],
)  # fmt: skip
def test_what_is_no_state_of_this_stack_is_not_imported(world: World, tmp_path: Path, content: str, code: str) -> None:
    """Damaged, newer, foreign, not fitting together: refused, and the present state is untouched."""
    world.up(one())
    file = tmp_path / "wrong.json"
    file.write_text(content, encoding="utf-8")
    before = world.hashes()
    with pytest.raises(EngineError, match=code):
        stored(world).restore(file)
    with pytest.raises(EngineError, match="FI610"):
        stored(world).restore(tmp_path / "missing.json")
    assert {k: v for k, v in world.hashes().items() if k in before} == before


def test_a_held_stack_is_neither_imported_nor_repaired(world: World, tmp_path: Path) -> None:
    """Whoever holds it is told."""
    world.up(one())
    file = tmp_path / "export.json"
    file.write_text(json.dumps(stored(world).export()), encoding="utf-8")
    with stack_file(world).lock():
        with pytest.raises(EngineError, match="FI620"):
            stored(world).restore(file)
        with pytest.raises(EngineError, match="FI620"):
            stored(world).diagnose()


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 3, "checkpoint"'])
def test_a_damaged_checkpoint_is_replaced_by_the_newest_good_copy(world: World, content: bytes) -> None:
    """Repair says which and how old it is; afterwards nothing is wrong."""
    world.up(one())
    world.up(one(size=2))
    world.file.write_bytes(content)
    world.file.with_name("dev.json.bak").write_bytes(b"{")
    plan = stored(world).diagnose()
    assert [s.kind for s in plan.steps] == ["checkpoint"]
    assert "backups" in plan.steps[0].remedy
    assert "less than a minute old, 3 resources" in plan.steps[0].remedy
    assert not stored(world).repair(plan).steps
    assert not world.preview(one(size=2)).applyable


def test_the_copy_of_a_damaged_checkpoint_is_continued_by_the_journal(world: World) -> None:
    """What a killed operation had done since that copy is in its journal, and counts."""
    world.up(one())
    copy = world.file.read_bytes()
    state = created(world, "b")
    file = left_behind(world, state)
    with (world.state / ".pulumi" / "journals" / "proj" / "dev.jsonl").open("ab") as log:
        log.write(line(Fold("the one that is damaged", 1, (0, 1, 2), ())) + line(Kept()))
    world.file.with_name("dev.json.bak").write_bytes(copy)
    world.file.write_bytes(b"{")
    assert not stored(world).repair(stored(world).diagnose()).steps
    assert [r.delete for r in file.read().resources if r.id == state.id] == [False]


def test_a_damaged_state_is_replaced_by_an_import_only_with_force(world: World, tmp_path: Path) -> None:
    """There may be no good copy; the damaged file stays beside the new one."""
    world.up(one())
    file = tmp_path / "export.json"
    file.write_text(json.dumps(stored(world).export()), encoding="utf-8")
    world.file.write_bytes(b"{")
    with pytest.raises(EngineError, match="FI610"):
        stored(world).restore(file)
    assert stored(world).restore(file, force=True).resources == 3
    assert world.file.with_name("dev.json.bak").read_bytes() == b"{"
    assert not world.preview(one()).applyable


def test_links_that_lead_nowhere_duplicates_and_wrong_order_are_mended(world: World) -> None:
    """As `pulumi state repair` does; each flaw is named before anything is written."""

    def program() -> None:
        Thing("a")
        Thing("b")

    world.up(program)
    document = json.loads(world.file.read_text(encoding="utf-8"))
    resources = document["checkpoint"]["latest"]["resources"]
    resources[-1]["dependencies"] = ["urn:pulumi:dev::proj::toy:index:Thing::gone"]
    resources[-1]["parent"] = "urn:pulumi:dev::proj::toy:index:Thing::gone"
    document["checkpoint"]["latest"]["resources"] = [*reversed(resources), resources[0]]
    world.file.write_text(json.dumps(document), encoding="utf-8")
    plan = stored(world).diagnose()
    words = " ".join(s.what for s in plan.steps)
    assert "twice" in words
    assert "depends on" in words
    assert "parent" in words
    assert "before what they depend on" in words
    assert not stored(world).repair(plan).steps
    fixed, flaws = mended(stack_file(world).read().resources)
    assert flaws == []
    assert len(fixed) == 4


def test_repair_settles_interrupted_creations_without_a_program(world: World) -> None:
    """It asks the provider: what exists is taken over into the state."""
    interrupted(world, one())
    plan = stored(world).diagnose()
    assert [(s.kind, s.remedy) for s in plan.steps] == [("pending", "it exists and is taken over into the state")]
    assert not stored(world).repair(plan).steps
    assert world.resources()["a"]["id"] == next(world.cloud.iterdir()).stem
    assert not world.preview(one()).applyable


# -- other bad inputs -------------------------------------------------------------------------------------------------


def test_the_state_of_another_stack_is_refused(world: World) -> None:
    """A file that was copied from another stack would delete everything there: nothing is touched."""
    world.named("prod").up(one())
    world.file.write_bytes(world.named("prod").file.read_bytes())
    before = world.hashes()
    with pytest.raises(EngineError, match=r"FI617(?s:.*)urn:pulumi:prod::proj"):
        world.up(one())
    assert world.hashes() == before


@pytest.mark.parametrize("place", ["stacks", "journals", "stacks/proj"])
def test_a_file_where_a_folder_should_be_stops_before_anything_is_created(world: World, place: str) -> None:
    """That is no stack that does not exist yet: nothing is planned, and nothing is said to be in order."""
    path = world.state / ".pulumi" / place
    path.parent.mkdir(parents=True)
    path.write_text("", encoding="utf-8")
    for operation in (world.up, world.preview, lambda _: stored(world).diagnose()):
        with pytest.raises(EngineError, match=r"FI610(?s:.*)Not a directory"):
            operation(one())
    assert world.live() == []


@pytest.mark.skipif(
    os.geteuid() == 0, reason="root may write everywhere; a file in the place of a folder stands for it"
)
def test_a_state_folder_without_permission_is_named(world: World) -> None:
    """The error names the folder and what is missing."""
    (world.state / ".pulumi").mkdir(parents=True)
    (world.state / ".pulumi").chmod(0o500)
    with pytest.raises(EngineError, match=r"FI612(?s:.*)Permission denied"):
        world.up(one())
    (world.state / ".pulumi").chmod(0o700)


def test_of_several_ups_at_one_moment_exactly_one_goes_on(world: World) -> None:
    """The others are told who holds the stack; the resource is there once."""
    start = threading.Barrier(6)
    told: list[str] = []

    def run() -> None:
        start.wait()
        try:
            world.engine().up(world.ref(one(sleep=0.5)))
            told.append("done")
        except EngineError as problem:
            told.append(problem.diagnostics[0].code)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["FI620"] * 5 + ["done"]
    assert len(world.live()) == 1


def test_the_key_is_derived_once_and_only_for_secrets(world: World) -> None:
    """However many operations a process runs; none at all where nothing is secret."""
    secrets._derive.cache_clear()
    quiet = EmbeddedEngine({}, passphrase=world.secrets)
    quiet.up(world.named("quiet").ref(lambda: pulumi.export("x", 1)))
    assert secrets._derive.cache_info().misses == 0
    world.up(secretive)
    for _ in range(2):
        world.up(secretive)
        world.preview(nothing, operation=Operation.DESTROY)
        world.outputs()
    assert secrets._derive.cache_info().misses == 1


def test_what_a_change_costs_does_not_grow_with_the_stack(world: World) -> None:
    """Between two rewrites of the checkpoint only the record of the change is written."""
    many = 300

    def program() -> None:
        for index in range(many):
            Thing(f"t{index}")

    sizes: list[int] = []

    class Measured(Toy):
        async def create(self, request: Any) -> Any:
            if not request.preview:
                journal = world.state / ".pulumi" / "journals" / "proj" / "dev.jsonl"
                sizes.append(journal.stat().st_size)
            return await super().create(request)

    engine = EmbeddedEngine({"toy": lambda: Measured(world.cloud)}, passphrase=world.secrets)
    engine.up(world.ref(program))
    assert len(sizes) == many
    assert len(world.live()) == many
    # Folds list indices, so allow for them; a rewrite of the list for each change would be two orders above this.
    assert max(sizes) < many * 4000
