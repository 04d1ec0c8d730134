"""What registrations ask for: inheritance, aliases, transforms, hooks, functions, and what is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from pulumi.runtime.proto import alias_pb2, resource_pb2

from engines.toy.described import Box
from engines.toy.library import Thing, Toy
from engines.toy.provider import Toy as ToyProvider
from engines.toy.world import World, actions
from flowinfra.diagnostics import EngineError
from flowinfra.engine.base import StackRef
from flowinfra.engine.durations import seconds_of
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.engine.registration import alias_urns, refuse_unsupported, with_plugin
from flowinfra.engine.transforms import transformed
from flowinfra.engine.urns import default_provider_name

Options = pulumi.ResourceOptions
Registration = resource_pb2.RegisterResourceRequest


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h30m", 5400), ("500ms", 0.5), (".5s", 0.5), ("1.5m", 90), ("0", 0), ("2us", 2e-6)]
)
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    """Numbers with units, one after the other."""
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "five minutes", "5 m", "m", "-1m", "1d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=f"^{text}$"):
        seconds_of(text)


def test_every_field_of_a_registration_is_honoured_or_refused() -> None:
    """A new field of the protocol must be looked at before it can be ignored."""
    honoured = [
        "type",
        "name",
        "parent",
        "custom",
        "object",
        "protect",
        "dependencies",
        "provider",
        "propertyDependencies",
        "deleteBeforeReplace",
        "version",
        "ignoreChanges",
        "additionalSecretOutputs",
        "aliasURNs",
        "customTimeouts",
        "deleteBeforeReplaceDefined",
        "acceptResources",
        "providers",
        "replaceOnChanges",
        "pluginDownloadURL",
        "retainOnDelete",
        "aliases",
        "deletedWith",
        "sourcePosition",
        "stackTrace",
        "transforms",
        "hooks",
        "hideDiffs",
    ]
    refused = [
        "importId",
        "remote",
        "pluginChecksums",
        "replace_with",
        "replacement_trigger",
        "packageRef",
        "envVarMappings",
        "snippetId",
        "state_migrations",
    ]
    # What the SDK can read, and handles of traces for display: the SDK in use can read all that is sent to it.
    told = [
        "acceptSecrets",
        "supportsPartialValues",
        "aliasSpecs",
        "parentStackTraceHandle",
        "supportsResultReporting",
        "accepts_byte_string",
    ]
    assert sorted(f.name for f in Registration.DESCRIPTOR.fields) == sorted([*honoured, *refused, *told])
    read = [
        "id",
        "type",
        "name",
        "parent",
        "properties",
        "dependencies",
        "provider",
        "version",
        "acceptSecrets",
        "additionalSecretOutputs",
        "acceptResources",
        "pluginDownloadURL",
        "pluginChecksums",
        "sourcePosition",
        "stackTrace",
        "parentStackTraceHandle",
        "packageRef",
        "accepts_byte_string",
    ]
    assert sorted(f.name for f in resource_pb2.ReadResourceRequest.DESCRIPTOR.fields) == sorted(read)
    invoke = [
        "tok",
        "args",
        "provider",
        "version",
        "acceptResources",
        "pluginDownloadURL",
        "pluginChecksums",
        "sourcePosition",
        "stackTrace",
        "parentStackTraceHandle",
        "packageRef",
        "accepts_byte_string",
        "dependsOn",
        "parent",
        "accept_output_values",
    ]
    assert sorted(f.name for f in resource_pb2.ResourceInvokeRequest.DESCRIPTOR.fields) == sorted(invoke)
    options = [
        "depends_on",
        "protect",
        "ignore_changes",
        "replace_on_changes",
        "version",
        "aliases",
        "provider",
        "custom_timeouts",
        "plugin_download_url",
        "retain_on_delete",
        "deleted_with",
        "delete_before_replace",
        "additional_secret_outputs",
        "providers",
        "plugin_checksums",
        "hooks",
        "import",
        "hide_diff",
        "replace_with",
        "replacement_trigger",
    ]
    assert sorted(f.name for f in resource_pb2.TransformResourceOptions.DESCRIPTOR.fields) == sorted(options)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"remote": True}, "remote components"),
        ({"importId": "x"}, "importing resources"),
        ({"replace_with": ["urn"]}, "replaceWith"),
        ({"replacement_trigger": {"string_value": "x"}}, "replacementTrigger"),
        ({"packageRef": "x"}, "parameterized packages"),
        ({"pluginChecksums": {"linux": b"x"}}, "checksums of plugins"),
        ({"snippetId": "x"}, "snippets"),
        ({"envVarMappings": {"A": "B"}}, "environment variables"),
        ({"hooks": {"on_error": ["h"]}}, "error hooks"),
        ({"state_migrations": [{"target": "x", "token": "y"}]}, "state migrations"),
    ],
)
def test_what_is_not_supported_is_refused_by_name_with_the_remedy(fields: dict[str, Any], says: str) -> None:
    """The feature, the resource, and both ways to the engine that has it."""
    with pytest.raises(EngineError, match=rf"(?s)FI602.*{says}.*urn:x.*--engine pulumi.*flowinfra:engine pulumi"):
        refuse_unsupported(Registration(type="t", **fields), "urn:x", {}, dry_run=True)
    empty = {"replacement_trigger": {"null_value": 0}} if "replacement_trigger" in fields else {}
    refuse_unsupported(Registration(type="t", **empty), "urn:x", {}, dry_run=True)


def test_aliases_are_found_under_former_names_of_parents(world: World) -> None:
    """As Pulumi computes them: specifications, and what a parent's former name makes of each."""
    stack = world.ref(lambda: None)
    parent, was = "urn:pulumi:dev::proj::my:index:Box::new", "urn:pulumi:dev::proj::my:index:Box::old"
    request = Registration(type="t:i:T", name="new-child", parent=parent)
    request.aliases.extend([alias_pb2.Alias(spec=alias_pb2.Alias.Spec(name="x", noParent=True, project="p2"))])
    assert alias_urns(request, stack, {}) == ("urn:pulumi:dev::p2::t:i:T::x",)
    below = "urn:pulumi:dev::proj::my:index:Box$t:i:T::"
    assert alias_urns(request, stack, {parent: was})[1:] == (f"{below}old-child", f"{below}x")
    request.ClearField("aliases")
    request.aliases.extend([alias_pb2.Alias(urn="urn:pulumi:dev::proj::a:b:C::d")])
    assert alias_urns(request, stack, {})[0] == "urn:pulumi:dev::proj::a:b:C::d"
    assert isinstance(stack, StackRef)


def test_the_plugin_of_a_provider_is_noted_as_pulumi_notes_it() -> None:
    """Version and address, in the name of a default provider and among the inputs of every provider."""
    assert default_provider_name("1.2.3") == "default_1_2_3"
    assert default_provider_name("1.2.3", "https://get.example.com/x") == "default_1_2_3_https_/get.example.com/x"
    assert default_provider_name("", "github://api/x") == "default_github_/api/x"
    assert with_plugin({"a": 1}, "", "") == {"a": 1}
    assert with_plugin({}, "1.0.0", "") == {"version": "1.0.0", "__internal": {}}
    assert with_plugin({}, "", "u") == {"__internal": {"pluginDownloadURL": "u"}}


def test_without_transforms_a_registration_stays_as_it_is() -> None:
    """Not even copied."""
    request = Registration(type="t", name="n")
    assert transformed(request, []) is request


def test_children_inherit_what_pulumi_lets_them_inherit(world: World) -> None:
    """Protection, `retainOnDelete`, `deletedWith`; and transforms of their parents."""

    def resize(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
        return pulumi.ResourceTransformResult({**args.props, "size": 7}, args.opts)

    def run() -> None:
        first = Thing("first")
        outer = Box("outer", Options(deleted_with=first, retain_on_delete=True, transforms=[resize]), {})
        inner = Box("inner", Options(parent=outer), {})
        Thing("deep", Options(parent=inner), size=1)
        Thing("own", Options(parent=inner, retain_on_delete=False), size=1)

    world.up(run)
    state = world.resources()
    assert state["deep"]["inputs"]["size"] == 7
    assert state["deep"]["retainOnDelete"] is True
    assert state["deep"]["deletedWith"] == state["first"]["urn"]
    assert "retainOnDelete" not in state["own"]
    assert actions(world.preview(run)) == {}


def test_transforms_see_outputs_and_their_options_count(world: World) -> None:
    """What is secret, unknown or depends on something is an output for them; what they ask for is done or refused."""
    seen: list[dict[str, str]] = []

    def run(change: Callable[[Options], None]) -> Callable[[], None]:
        def body() -> None:
            first = Thing("first")
            explicit = Toy("explicit", prefix="other")

            def transform(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult:
                seen.append({k: type(v).__name__ for k, v in args.props.items() if v is not None})
                assert args.opts is not None
                args.opts.provider = explicit
                args.opts.depends_on = [first]
                change(args.opts)
                return pulumi.ResourceTransformResult(args.props, args.opts)

            Thing("a", Options(transforms=[transform]), payload=first.arn, size=pulumi.Output.secret(1), kind="k")

        return body

    world.up(run(lambda _: None))
    assert seen[-1] == {"payload": "Output", "size": "Output", "kind": "str"}
    state = world.resources()
    assert state["a"]["id"].startswith("other-")
    assert state["a"]["dependencies"] == [state["first"]["urn"]]
    assert "ciphertext" in state["a"]["inputs"]["size"]

    def importing(opts: Options) -> None:
        opts.import_ = "x"

    with pytest.raises(EngineError, match=r"FI602.*importing resources"):
        world.preview(run(importing))


def test_hooks_know_the_options_and_may_not_share_a_name(world: World) -> None:
    """A hook that may fail is told as a warning; one that fails after the fact does not undo it."""
    seen: list[Any] = []

    def run() -> None:
        def tell(args: pulumi.ResourceHookArgs) -> None:
            seen.append(args)
            raise RuntimeError("never mind")

        before = pulumi.ResourceHook("before", tell, pulumi.ResourceHookOptions(ignore_errors=True))
        after = pulumi.ResourceHook("after", tell)
        hooks = pulumi.ResourceHookBinding(before_create=[before], after_create=[after])
        thing = Thing("a", Options(hooks=hooks, retain_on_delete=True))
        Thing("b", Options(depends_on=[thing]))

    with pytest.raises(EngineError, match=r"FI608.*'after' of 'a'.*never mind"):
        world.up(run)
    assert {"a", "b"} <= set(world.resources())
    assert len(seen) == 2
    said = [e.message for e in world.events if getattr(e, "severity", "") == "warning"]
    assert len([m for m in said if "the hook 'before' of 'a' failed" in m]) == 1

    def twice() -> None:
        for _ in range(2):
            pulumi.ResourceHook("same", lambda _: None)
        Thing("a")

    with pytest.raises(EngineError, match="FI659"):
        world.preview(twice)


def test_what_was_only_looked_up_and_is_owned_now_is_made_anew(world: World) -> None:
    """As in the real engine: the one that was read is not touched."""
    world.up(lambda: Thing("other") and None)
    id_ = world.resources()["other"]["id"]

    def run(*, owned: bool) -> Callable[[], None]:
        def body() -> None:
            Thing("other")
            Thing("x", Options() if owned else Options(id=id_))

        return body

    world.up(run(owned=False))
    assert actions(world.preview(run(owned=True))) == {"x": "replace"}
    world.up(run(owned=True))
    assert len(world.live()) == 2
    assert world.resources()["x"]["id"] != id_
    assert actions(world.preview(run(owned=True))) == {}


def test_creations_that_wait_for_one_another_both_end(world: World) -> None:
    """Independent resources are made at the same time: each of them sees the other one begin."""
    import asyncio

    class Meeting(ToyProvider):
        async def create(self, request: Any) -> Any:
            if not request.preview:
                (world.root / f"begun-{request.name}").touch()
                other = world.root / ("begun-b" if request.name == "a" else "begun-a")
                while not other.exists():  # noqa: ASYNC110 - what is waited for is in another loop
                    await asyncio.sleep(0.01)
            return await super().create(request)

    def run() -> None:
        Thing("a")
        Thing("b")

    engine = EmbeddedEngine({"toy": lambda: Meeting(world.cloud)}, passphrase=world.secrets)
    engine.up(world.ref(run))
    assert len(world.live()) == 2
