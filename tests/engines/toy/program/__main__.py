"""A stack program with one of everything; `settings.json` beside it says how it differs from its first version."""

import json
from pathlib import Path

import pulumi

from engines.toy.described import build
from engines.toy.library import Group, Thing, Toy

SETTINGS = json.loads(Path("settings.json").read_text(encoding="utf-8"))
Options = pulumi.ResourceOptions


def setting(name, default):
    return SETTINGS.get(name, default)


def everything():
    config = pulumi.Config()
    a = Thing(
        "a",
        size=setting("size", 5),
        tags={"x": "1", "n": [1, 2.5, True, None]},
        payload=config.get_secret("pw") or pulumi.Output.secret("hunter2"),
    )
    b = Thing(
        "b", Options(depends_on=[a], protect=bool(setting("protect", False))), ref=a.arn, kind=setting("kind", "k1")
    )
    group = Group("grp", setting("count", 2))
    explicit = Toy("explicit", prefix=setting("prefix", "other"))
    Thing("c", Options(provider=explicit, parent=group, ignore_changes=["size"]), size=setting("ignored", 7))
    d = Thing(
        setting("renamed", "d"),
        Options(aliases=[pulumi.Alias(name="d")], delete_before_replace=True),
        kind=setting("kind", "k1"),
        fixed=True,
    )
    Thing("e", ref=d.arn)
    Thing("f", Options(additional_secret_outputs=["arn"], replace_on_changes=["tags"]), tags=setting("tags", {}))
    stash = pulumi.Stash("stashed", input=pulumi.Output.secret("token-0"))
    pulumi.export("secret", pulumi.Output.secret({"a": [1, "two"]}))
    pulumi.export("token", a.token)
    pulumi.export("arn", b.arn)
    pulumi.export("stash", stash.output)
    pulumi.export("n", 3)
    pulumi.export("f", 2.5)
    pulumi.export("big", 12345678901234)
    pulumi.export("unicode", "é<>&")


def sleeping():
    first = Thing("first")
    if setting("slow", 0):
        Thing("slow", Options(depends_on=[first]), sleep=setting("slow", 0))


def small():
    Thing("only", size=setting("size", 1))
    pulumi.export("size", setting("size", 1))


def config():
    values = pulumi.Config()
    pulumi.export("plain", values.require("plain"))
    pulumi.export("deep", values.require_object("object")["a"]["b"])
    pulumi.export("pw", values.require_secret("pw"))
    Thing("cfg", payload=values.require_secret("pw"), size=values.get_int("num"))


def reference():
    other = pulumi.StackReference(setting("other", ""))
    pulumi.export("ref", other.require_output("plain"))
    pulumi.export("hidden", other.require_output("pw"))


def transforms():
    def by_stack(args):
        if args.custom and args.type_.startswith("toy:"):
            return pulumi.ResourceTransformResult({**args.props, "tags": {"by": "stack"}}, args.opts)
        return None

    def by_resource(args):
        return pulumi.ResourceTransformResult({**args.props, "size": 42}, args.opts)

    pulumi.runtime.register_resource_transform(by_stack)
    Thing("tr", Options(transforms=[by_resource]))


def transformed_options():
    first = Thing("first")
    other = Toy("other", prefix="other")

    def change(args):
        opts = args.opts
        opts.depends_on = [first]
        opts.provider = other
        opts.protect = False
        opts.delete_before_replace = True
        opts.custom_timeouts = pulumi.CustomTimeouts(create="1m30s", delete="500ms")
        opts.deleted_with = first
        opts.retain_on_delete = True
        opts.ignore_changes = ["kind"]
        opts.replace_on_changes = ["tags"]
        opts.additional_secret_outputs = ["arn"]
        opts.aliases = [pulumi.Alias(name="before")]
        return pulumi.ResourceTransformResult({**args.props, "tags": {"by": "transform"}}, opts)

    def nothing(args):
        return None

    def seen(args):
        kinds = {k: type(v).__name__ for k, v in sorted(args.props.items()) if v is not None}
        return pulumi.ResourceTransformResult({**args.props, "tags": kinds}, args.opts)

    name = "renamed" if setting("renamed", False) else "before" if setting("before", False) else "timed"
    Thing(name, Options(transforms=[change]), size=1)
    Thing("untouched", Options(transforms=[nothing], depends_on=[other]), payload=first.arn)
    Thing("seen", Options(transforms=[seen]), payload=first.arn, size=pulumi.Output.secret(1), kind="k")
    outer = Group("outer", 0, Options(transforms=[seen], retain_on_delete=True, deleted_with=first))
    Thing("inner", Options(parent=outer), payload=first.token)


def legacy_transforms():
    pulumi.runtime.register_stack_transformation(
        lambda args: pulumi.ResourceTransformationResult({**args.props, "size": 9}, args.opts)
    )
    Thing("ltr")


def hooks():
    log = Path(setting("log", "hooks.log"))

    def hook(name, **options):
        def say(args):
            outputs = args.new_outputs or {}
            with log.open("a", encoding="utf-8") as file:
                file.write(f"{name} {bool(args.id)} {'arn' in outputs}\n")

        return pulumi.ResourceHook(name, say, pulumi.ResourceHookOptions(**options))

    binding = pulumi.ResourceHookBinding(
        before_create=[hook("bc")],
        after_create=[hook("ac")],
        before_update=[hook("bu", on_dry_run=True)],
        before_delete=[hook("bd")],
    )
    if not setting("gone", False):
        Thing("hk", Options(hooks=binding), size=setting("size", 1))


def invokes():
    options = pulumi.InvokeOptions(version="0.1.0")
    pulumi.export("account", pulumi.runtime.invoke("toy:index:who", {"x": "hi"}, options).value["accountId"])
    later = pulumi.Output.from_input(pulumi.runtime.invoke_async("toy:index:who", {"x": "yo"}, options))
    pulumi.export("echo", later.apply(lambda r: r["echo"]))


def unknowns():
    u = Thing("u")
    pulumi.export("applied", u.arn.apply(lambda v: v.upper()))
    Thing("u2", payload={"deep": [u.arn, {"s": pulumi.Output.secret(u.arn)}]})
    Thing("u3", payload=u)
    pulumi.export("whole", u)


def asynchronous():
    async def main():
        return {"later": Thing("late").arn}

    pulumi.run(main)


def described():
    build(setting("described", []))


def replaced():
    Thing("r", Options(delete_before_replace=True), kind=setting("kind", "k1"), fail=setting("fail", False))


def failing():
    Thing("before")
    Thing("bad", fail=True)


def refused():
    Thing("neg", size=-1)


def raising():
    Thing("before")
    raise ValueError("a mistake of the program")


for part in setting("parts", ["everything"]):
    globals()[part]()
