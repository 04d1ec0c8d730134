"""Creating, updating, replacing and deleting with the embedded engine, seen in the state and in the cloud."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest

from engines.toy import provider
from engines.toy.library import Group, Thing, Toy
from engines.toy.world import World, actions, change, nothing
from flowinfra.diagnostics import EngineError
from flowinfra.engine.base import ResourceEvent
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.engine.values import COMPUTED_TEXT, SECRET_TEXT
from flowinfra.model.plan import Action, Operation

Options = pulumi.ResourceOptions


def program(size: int = 1, kind: str = "k1", count: int = 2, **more: Any) -> Callable[[], None]:
    def run() -> None:
        a = Thing("a", size=size, kind=kind, **more)
        b = Thing("b", ref=a.arn)
        Group("g", count)
        pulumi.export("arn", b.arn)
        pulumi.export("size", size)

    return run


def test_a_preview_says_what_would_be_created_and_changes_nothing(world: World) -> None:
    """All creations, unknown values by name, the place in the program, and no file in the folder."""
    plan = world.preview(program())
    assert actions(plan) == {"proj-dev": "create", **dict.fromkeys(["a", "b", "g", "g-0", "g-1"], "create")}
    assert plan.counts() == {Action.CREATE: 4}
    assert plan.applyable
    assert change(plan, "b").after is not None
    assert change(plan, "b").after["ref"] == COMPUTED_TEXT
    assert plan.unknown == ("urn:pulumi:dev::proj::toy:index:Thing::b: ref",)
    file, _, line = change(plan, "a").source.rpartition(":")
    assert file == __file__
    assert 'Thing("a"' in Path(file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
    assert list(world.root.rglob("*.json*")) == []


def test_up_creates_in_the_order_of_dependencies_and_records_everything(world: World) -> None:
    """What depends gets the real value; parents, dependencies and the provider are in the state."""
    plan = world.up(program())
    assert plan.counts() == {Action.CREATE: 4}
    assert plan.unknown == ()
    state = world.resources()
    assert state["b"]["inputs"]["ref"] == state["a"]["outputs"]["arn"]
    assert state["b"]["dependencies"] == [state["a"]["urn"]]
    assert state["b"]["propertyDependencies"] == {"ref": [state["a"]["urn"]]}
    assert state["g-0"]["urn"].endswith("my:index:Group$toy:index:Thing::g-0")
    assert state["g-0"]["parent"] == state["g"]["urn"]
    assert state["a"]["provider"] == f"{state['default_0_1_0']['urn']}::{state['default_0_1_0']['id']}"
    assert state["g"]["outputs"]["arns"] == [state["g-0"]["outputs"]["arn"], state["g-1"]["outputs"]["arn"]]
    assert world.outputs() == {"arn": state["b"]["outputs"]["arn"], "size": 1}
    assert type(world.latest["resources"][0]["outputs"]["size"]) is int
    assert len(world.live()) == 4
    urns = [r["urn"] for r in world.latest["resources"]]
    for resource in world.latest["resources"]:
        before = urns[: urns.index(resource["urn"])]
        assert set(resource.get("dependencies", [])) <= set(before)
    done = [e.address for e in world.events if isinstance(e, ResourceEvent) and e.phase == "done"]
    assert len(done) == 6
    assert not any("pulumi:providers" in address for address in done)


def test_an_unchanged_up_writes_nothing(world: World) -> None:
    """No checkpoint, no history, no backup, no lock: not one file is another one, or younger."""
    world.up(program(payload="x"))
    before = world.hashes()
    plan = world.up(program(payload="x"))
    assert not plan.applyable
    assert not plan.has_changes
    assert world.hashes() == before
    world.refresh()
    assert world.hashes() == before


def test_an_unchanged_up_with_secrets_writes_nothing_either(world: World) -> None:
    """Sealed values are compared open; nothing is sealed anew."""

    def secretive() -> None:
        Thing("a", payload=pulumi.Output.secret({"deep": ["s3cret"]}))
        pulumi.export("s", pulumi.Output.secret("s3cret"))

    world.up(secretive)
    before = world.hashes()
    world.up(secretive)
    assert world.hashes() == before


def test_an_update_in_place_keeps_the_resource_and_leaves_the_others_alone(world: World) -> None:
    """One path is named, one file of the cloud changes, ids stay."""
    world.up(program())
    ids = {n: r.get("id") for n, r in world.resources().items()}
    plan = world.up(program(size=2))
    assert actions(plan) == {"a": "update"}
    assert change(plan, "a").changed == ("size",)
    assert change(plan, "a").replaced_by == ()
    assert {n: r.get("id") for n, r in world.resources().items()} == ids
    assert world.outputs()["size"] == 2
    assert change(plan, "proj-dev").reason == "outputs changed: size"


def test_a_replacement_creates_first_updates_what_depends_and_deletes_at_the_end(world: World) -> None:
    """The old one goes last; what refers to it by a replacing input is replaced as well."""
    world.up(program())
    plan = world.preview(program(kind="k2"))
    assert actions(plan) == {"a": "replace", "b": "replace"}
    assert change(plan, "a").replaced_by == ("kind",)
    assert change(plan, "b").replaced_by == ("ref",)
    world.events.clear()
    world.up(program(kind="k2"))
    order = [
        (e.action, e.address.rpartition("::")[2])
        for e in world.events
        if isinstance(e, ResourceEvent) and e.phase == "done"
    ]
    assert order == [("replace", "a"), ("replace", "b"), ("delete", "b"), ("delete", "a")]
    assert not any(r.get("delete") for r in world.latest["resources"])
    assert len(world.live()) == 4
    # A name that the provider had drawn for the old one is drawn anew.
    names = [thing["name"] for thing in world.live()]
    assert len(set(names)) == 4


def test_deleting_before_replacing_takes_what_depends_on_it_down_first(world: World) -> None:
    """The provider or the author asks for it; dependents go before, and come back after."""

    def run(kind: str) -> Callable[[], None]:
        def body() -> None:
            a = Thing("a", kind=kind, fixed=True)
            b = Thing("b", ref=a.arn)
            Thing("c", ref=b.arn)
            Thing("d", Options(depends_on=[a]))

        return body

    world.up(run("k1"))
    plan = world.preview(run("k2"))
    assert actions(plan) == {"a": "replace", "b": "replace", "c": "replace"}
    assert change(plan, "b").reason == "what it depends on is replaced"
    world.up(run("k2"))
    assert not world.preview(run("k2")).applyable
    assert len(world.live()) == 4
    assert not any(r.get("pendingReplacement") for r in world.latest["resources"])


def test_an_interrupted_replacement_is_completed_by_the_next_up(world: World) -> None:
    """Deleted, and creating its replacement failed: the state says so, and the next up creates it."""

    def run(kind: str, fail: bool) -> Callable[[], None]:
        return lambda: Thing("a", Options(delete_before_replace=True), kind=kind, fail=fail) and None

    world.up(run("k1", fail=False))
    with pytest.raises(EngineError, match="FI604"):
        world.up(run("k2", fail=True))
    assert world.live() == []
    assert world.resources()["a"]["pendingReplacement"] is True
    plan = world.preview(run("k3", fail=False))
    assert actions(plan) == {"a": "replace"}
    world.up(run("k3", fail=False))
    assert "pendingReplacement" not in world.resources()["a"]
    with pytest.raises(EngineError, match="FI604"):
        world.up(run("k4", fail=True))
    world.destroy()
    assert world.latest.get("resources") is None


def test_what_left_the_program_is_deleted_dependents_first(world: World) -> None:
    """The order of deletions is that of dependencies, turned around; providers go last."""
    world.up(program(count=2))
    world.events.clear()

    def rest() -> None:
        Thing("a", size=1, kind="k1")

    plan = world.up(rest)
    assert actions(plan) == dict.fromkeys(["b", "g", "g-0", "g-1"], "delete")
    assert change(plan, "g-0").before is not None
    assert change(plan, "g-0").after is None
    names = [e.address.rpartition("::")[2] for e in world.events if isinstance(e, ResourceEvent) and e.phase == "done"]
    assert names.index("g") > max(names.index("g-0"), names.index("g-1"))
    assert len(world.live()) == 1


def test_destroy_deletes_everything_and_leaves_an_empty_state(world: World) -> None:
    """Previewed as deletions, then done; a second destroy writes nothing."""
    world.up(program())
    plan = world.preview(nothing, operation=Operation.DESTROY)
    assert set(actions(plan).values()) == {"delete"}
    assert len(world.live()) == 4
    plan = world.destroy()
    assert plan.operation is Operation.DESTROY
    assert plan.counts() == {Action.DELETE: 4}
    assert world.live() == []
    assert "resources" not in world.latest
    before = world.hashes()
    assert not world.destroy().applyable
    assert world.hashes() == before


def test_a_protected_resource_is_neither_replaced_nor_deleted(world: World) -> None:
    """All protected ones are named at once, nothing is touched, and unprotecting is a change of the state only."""

    def run(kind: str = "k1", protect: bool = True) -> Callable[[], None]:
        def body() -> None:
            Thing("a", Options(protect=protect), kind=kind)
            Thing("b", Options(protect=protect))

        return body

    world.up(run())
    before = world.hashes()
    with pytest.raises(EngineError, match=r"FI606.*'a' is protected and would have to be replaced"):
        world.up(run(kind="k2"))
    with pytest.raises(EngineError) as caught:
        world.destroy()
    assert [d.code for d in caught.value.diagnostics] == ["FI606", "FI606"]
    assert world.hashes() == before
    plan = world.up(run(protect=False))
    assert plan.applyable
    assert not plan.has_changes
    assert change(plan, "a").reason == "protect changed"
    world.destroy()


def test_an_alias_renames_without_touching_the_resource(world: World) -> None:
    """Everything that refers to the old name follows; nothing is created or deleted."""

    def run(name: str, **options: Any) -> Callable[[], None]:
        def body() -> None:
            a = Thing(name, Options(**options))
            Thing("b", Options(depends_on=[a]), ref=a.arn)

        return body

    world.up(run("a"))
    id_ = world.resources()["a"]["id"]
    plan = world.up(run("a2", aliases=[pulumi.Alias(name="a")]))
    assert actions(plan) == {}
    assert plan.applyable
    assert change(plan, "a2").reason == "name changed"
    state = world.resources()
    assert state["a2"]["id"] == id_
    assert "a" not in state
    assert state["b"]["dependencies"] == [state["a2"]["urn"]]
    assert not world.preview(run("a2")).applyable


def test_two_resources_of_one_name_are_refused(world: World) -> None:
    """A URN is there once; an alias cannot take what another resource has."""

    def twice() -> None:
        Thing("a")
        Thing("a")

    with pytest.raises(EngineError, match="FI607"):
        world.preview(twice)

    def stolen() -> None:
        a = Thing("a")
        Thing("b", Options(aliases=[pulumi.Alias(name="a")], depends_on=[a]))

    world.up(lambda: Thing("a") and None)
    with pytest.raises(EngineError, match="FI607"):
        world.preview(stolen)


def test_ignored_changes_are_ignored_and_replace_on_changes_replaces(world: World) -> None:
    """The options of the SDK decide over what the provider says."""

    def run(size: int, tags: dict[str, str]) -> Callable[[], None]:
        return lambda: (
            Thing("a", Options(ignore_changes=["size"], replace_on_changes=["tags"]), size=size, tags=tags) and None
        )

    world.up(run(1, {"x": "1", "y": "1"}))
    assert actions(world.preview(run(2, {"x": "1", "y": "1"}))) == {}
    plan = world.preview(run(2, {"x": "1", "y": "2"}))
    assert actions(plan) == {"a": "replace"}
    assert change(plan, "a").changed == ("tags.y",)
    assert change(plan, "a").replaced_by == ("tags",)


def test_the_configuration_of_an_explicit_provider_reaches_it(world: World) -> None:
    """It is a resource of its own: created, updated in place, and used by those that name it."""

    def run(prefix: str) -> Callable[[], None]:
        return lambda: Thing("a", Options(provider=Toy("p", prefix=prefix))) and None

    world.up(run("one"))
    assert world.resources()["a"]["id"].startswith("one-")
    plan = world.up(run("two"))
    assert actions(plan) == {"p": "update"}
    assert change(plan, "p").changed == ("prefix",)


def test_secrets_are_sealed_in_the_state_masked_in_plans_and_keep_their_ciphertext(world: World) -> None:
    """Nothing of a secret is readable in any file or plan, and an unrelated change does not seal it anew."""

    def run(size: int) -> Callable[[], None]:
        def body() -> None:
            a = Thing(
                "a", Options(additional_secret_outputs=["arn"]), size=size, payload=pulumi.Output.secret("hunter2")
            )
            Thing("b", payload={"inner": a.token})
            pulumi.export("arn", a.arn)
            pulumi.export("nested", {"x": a.payload})

        return body

    plan = world.up(run(1))
    assert change(plan, "a").after is not None
    assert change(plan, "a").after["payload"] == SECRET_TEXT
    texts = [p.read_text(encoding="utf-8") for p in world.state.rglob("*") if p.is_file()]
    assert not any("hunter2" in t or "tok-toy" in t for t in texts)
    sealed = world.resources()["a"]["inputs"]["payload"]["ciphertext"]
    world.up(run(2))
    assert world.resources()["a"]["inputs"]["payload"]["ciphertext"] == sealed
    assert world.outputs(show_secrets=False) == {"arn": SECRET_TEXT, "nested": {"x": SECRET_TEXT}}
    assert world.outputs()["nested"] == {"x": "hunter2"}
    assert "hunter2" not in json.dumps(world.preview(run(3)).to_json())


def test_component_inputs_show_nested_paths(world: World) -> None:
    """A component's change is visible although nothing stands behind it."""
    world.up(program(count=1))
    plan = world.preview(program(count=2))
    group = change(plan, "g")
    assert (group.action, group.custom) == (Action.UPDATE, False)
    assert group.changed == ("count", "deep.list[1].count")
    assert plan.counts()[Action.CREATE] == 1
    assert Action.UPDATE not in plan.counts()


def test_all_wrong_inputs_of_a_resource_come_at_once(world: World) -> None:
    """What the provider refuses is named by property, with the place in the program."""
    with pytest.raises(EngineError) as caught:
        world.preview(lambda: Thing("a", size=-1, kind="bad") and None)
    found = caught.value.diagnostics
    assert [d.code for d in found] == ["FI605", "FI605"]
    assert sorted(d.summary.rpartition(": ")[2] for d in found) == ["must be >= 0", "must not be bad"]
    assert world.hashes() == {}


def test_a_failing_provider_leaves_what_was_done_and_says_what_failed(world: World) -> None:
    """Its own words are in the error, the rest is recorded, nothing stays pending, and history says failed."""

    def run(fail: bool) -> Callable[[], None]:
        def body() -> None:
            ok = Thing("ok")
            Thing("bad", Options(depends_on=[ok]), fail=fail)

        return body

    with pytest.raises(EngineError, match=r"creating 'bad' failed: the toy cloud refuses") as caught:
        world.up(run(fail=True))
    assert "ask its owner" in caught.value.diagnostics[0].detail
    assert "ok" in world.resources()
    assert "bad" not in world.resources()
    assert "pending_operations" not in world.latest
    failed = [e for e in world.events if isinstance(e, ResourceEvent) and e.phase == "failed"]
    assert [e.address.rpartition("::")[2] for e in failed] == ["bad"]
    history = sorted((world.state / ".pulumi" / "history" / "proj" / "dev").glob("*.history.json"))
    assert json.loads(history[-1].read_text(encoding="utf-8"))["result"] == "failed"
    assert list((world.state / ".pulumi").rglob("locks")) == []
    assert actions(world.up(run(fail=False))) == {"bad": "create"}


def test_a_package_without_a_provider_is_an_error_with_the_remedy(world: World) -> None:
    """It names the package, the resource that needs it, and the engine that has it."""

    class Bucket(pulumi.CustomResource):
        def __init__(self, name: str) -> None:
            super().__init__("aws:s3:Bucket", name, {})

    with pytest.raises(EngineError) as caught:
        world.preview(lambda: Bucket("data") and None)
    found = caught.value.diagnostics[0]
    assert found.code == "FI603"
    assert "'aws'" in found.summary
    assert "aws:s3:Bucket" in found.detail
    assert "flowinfra config set flowinfra:engine pulumi" in found.hint


def test_refresh_takes_over_what_changed_and_what_is_gone(world: World) -> None:
    """Drift is listed; the next preview brings back what the program says."""
    world.up(program())
    a = next(p for p in world.cloud.iterdir() if p.stem == world.resources()["a"]["id"])
    a.write_text(json.dumps({**json.loads(a.read_text(encoding="utf-8")), "size": 9}), encoding="utf-8")
    next(p for p in world.cloud.iterdir() if p.stem == world.resources()["b"]["id"]).unlink()
    plan = world.preview(nothing, operation=Operation.REFRESH)
    assert actions(plan) == {"a": "refresh", "b": "delete"}
    assert world.resources()["a"]["outputs"]["size"] == 1
    plan = world.refresh()
    assert {c.name for c in plan.drift} == {"a", "b"}
    assert world.resources()["a"]["outputs"]["size"] == 9
    assert "b" not in world.resources()
    assert actions(world.preview(program())) == {"a": "update", "b": "create"}


def test_a_resource_that_is_only_looked_up_is_never_deleted(world: World) -> None:
    """get() reads it, the state keeps it as external, destroy leaves it; one that is missing is an error."""
    (world.cloud / "toy-abc.json").write_text('{"size": 3}', encoding="utf-8")

    def run(id_: str) -> Callable[[], None]:
        return lambda: pulumi.export("size", Thing("g", Options(id=id_), size=0).size)

    plan = world.up(run("toy-abc"))
    assert actions(plan) == {"proj-dev": "create", "g": "read"}
    assert world.resources()["g"]["external"] is True
    before = world.hashes()
    world.up(run("toy-abc"))
    assert world.hashes() == before
    with pytest.raises(EngineError, match="FI631"):
        world.preview(run("toy-nope"))
    world.destroy()
    assert len(world.live()) == 1


def test_retained_and_deleted_with_are_left_to_themselves(world: World) -> None:
    """The option retainOnDelete keeps it; deletedWith saves the call where its owner goes as well."""

    def run() -> None:
        a = Thing("a")
        Thing("kept", Options(retain_on_delete=True), size=7)
        Thing("with", Options(deleted_with=a), size=8)

    world.up(run)
    world.destroy()
    assert sorted(t["size"] for t in world.live()) == [7, 8]
    assert "resources" not in world.latest


def test_independent_resources_change_at_once(world: World) -> None:
    """Eight creations wait for one another's beginning: one after the other would never end."""
    gate = threading.Barrier(8, timeout=60)

    class Waiting(provider.Toy):
        async def create(self, request: Any) -> Any:
            if not request.preview:
                await asyncio.to_thread(gate.wait)
            return await super().create(request)

    def run() -> None:
        for i in range(8):
            Thing(f"t{i}")

    engine = EmbeddedEngine({"toy": lambda: Waiting(world.cloud)}, passphrase=world.secrets)
    assert engine.up(world.ref(run)).counts() == {Action.CREATE: 8}


def test_many_stacks_at_once_and_inside_a_running_loop(world: World) -> None:
    """Six engines in threads, and one called from a coroutine: each sees only its own program."""
    results: dict[str, int] = {}
    root = pulumi.runtime.get_root_resource()

    def run(count: int) -> Callable[[], None]:
        def body() -> None:
            for i in range(count):
                Thing(f"{pulumi.get_stack()}-{i}", size=i)

        return body

    def one(count: int) -> None:
        own = world.named(f"s{count}")
        own.up(run(count))
        results[own.stack] = own.preview(run(count + 1)).counts()[Action.CREATE]

    threads = [threading.Thread(target=one, args=(n,)) for n in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {f"s{n}": 1 for n in range(1, 7)}

    async def inside() -> dict[Action, int]:
        return world.preview(run(3)).counts()

    assert asyncio.run(inside()) == {Action.CREATE: 3}
    assert pulumi.runtime.get_root_resource() is root


def test_what_is_not_supported_is_refused_by_name(world: World) -> None:
    """Imports, assets, remote components, replaceWith: each with its name and the engine that can."""

    class Remote(pulumi.ComponentResource):
        def __init__(self, name: str) -> None:
            super().__init__("other:index:Remote", name, {}, None, True)

    def replaced_with() -> None:
        Thing("b", Options(replace_with=[Thing("a")]))

    cases: dict[str, Callable[[], object]] = {
        "importing resources": lambda: Thing("a", Options(import_="toy-1")),
        "assets and archives": lambda: Thing("a", payload=pulumi.StringAsset("text")),
        "remote components": lambda: Remote("r"),
        "replaceWith": replaced_with,
        "error hooks": lambda: pulumi.ErrorHook("e", lambda _: False),
    }
    for what, case in cases.items():
        with pytest.raises(EngineError, match=f"FI602: {what}") as caught:
            world.preview(lambda case=case: case() and None)  # type: ignore[misc]
        assert "flowinfra:engine pulumi" in caught.value.diagnostics[0].hint


def test_a_stack_reads_the_outputs_of_another_one(world: World) -> None:
    """Secret ones stay secret; a stack that does not exist is named with those that do."""

    def first() -> None:
        pulumi.export("open", "o")
        pulumi.export("hidden", pulumi.Output.secret("h"))

    def second() -> None:
        other = pulumi.StackReference("organization/proj/first")
        pulumi.export("open", other.require_output("open"))
        pulumi.export("hidden", other.require_output("hidden"))

    world.named("first").up(first)
    world.up(second)
    assert world.outputs() == {"open": "o", "hidden": "h"}
    assert world.outputs(show_secrets=False)["hidden"] == SECRET_TEXT
    before = world.hashes()
    world.up(second)
    assert world.hashes() == before
    with pytest.raises(EngineError, match=r"(?s)FI632.*organization/proj/first"):
        world.preview(lambda: pulumi.StackReference("organization/proj/nope") and None)


def test_a_stash_keeps_its_first_output(world: World) -> None:
    """The input may change; the output stays what it was."""

    def run(value: str) -> Callable[[], None]:
        def body() -> None:
            stash = pulumi.Stash("kept", input=pulumi.Output.secret(value))
            pulumi.export("kept", stash.output)

        return body

    world.up(run("one"))
    plan = world.up(run("two"))
    assert change(plan, "kept").action is Action.UPDATE
    assert world.outputs() == {"kept": "one"}


def test_functions_of_providers_answer_or_fail_by_property(world: World) -> None:
    """A call returns values; what the provider refuses reaches the program."""
    options = pulumi.InvokeOptions(version="0.1.0")

    def run() -> None:
        pulumi.export("account", pulumi.runtime.invoke("toy:index:who", {"x": "hi"}, options).value["accountId"])

    world.up(run)
    assert world.outputs() == {"account": "123456789012"}
    with pytest.raises(EngineError, match="not this one"):
        world.preview(lambda: pulumi.runtime.invoke("toy:index:refuse", {}, options) and None)


def test_a_program_in_another_language_is_refused(world: World) -> None:
    """The embedded engine runs Python in its own process."""
    (world.project / "Pulumi.yaml").write_text("name: proj\nruntime: nodejs\n", encoding="utf-8")
    (world.project / "__main__.py").write_text("", encoding="utf-8")
    with pytest.raises(EngineError, match="FI602: stack programs in nodejs"):
        world.preview(world.project)
