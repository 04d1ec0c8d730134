"""The resources of the package `toy` and a component of them, as a stack program uses them."""

from __future__ import annotations

from typing import Any

import pulumi

VERSION = "0.1.0"


def _options(opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions.merge(pulumi.ResourceOptions(version=VERSION), opts)


class Thing(pulumi.CustomResource):
    arn: pulumi.Output[str]
    token: pulumi.Output[str]
    size: pulumi.Output[float]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, **inputs: Any) -> None:
        super().__init__("toy:index:Thing", name, {"arn": None, "token": None, "size": None, **inputs}, _options(opts))


class Toy(pulumi.ProviderResource):
    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, **inputs: Any) -> None:
        super().__init__("toy", name, inputs, _options(opts))


class Group(pulumi.ComponentResource):
    def __init__(self, name: str, count: int, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("my:index:Group", name, {"count": count, "deep": {"list": [1, {"count": count}]}}, opts)
        self.things = [
            Thing(f"{name}-{i}", pulumi.ResourceOptions(parent=self), size=i, tags={"i": str(i)}) for i in range(count)
        ]
        self.register_outputs({"arns": [t.arn for t in self.things]})
