"""Programs that are data: what random tests make, change and give to both engines."""

from __future__ import annotations

from typing import Any

import pulumi

from engines.toy.library import Thing, Toy

Described = list[dict[str, Any]]


class Box(pulumi.ComponentResource):
    """A component that holds nothing by itself."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions, props: dict[str, Any]) -> None:
        super().__init__("my:index:Box", name, props, opts)
        self.register_outputs({})


def build(described: Described) -> None:
    """Register what is described, in its order; each entry may name earlier ones."""
    made: dict[str, Any] = {}
    for entry in described:
        made[entry["name"]] = _make(entry, made)
    things = [r for r in made.values() if isinstance(r, Thing)]
    if things:
        pulumi.export("last", things[-1].arn)


def _make(entry: dict[str, Any], made: dict[str, Any]) -> Any:
    options = pulumi.ResourceOptions(
        parent=made.get(entry.get("parent")),
        depends_on=[made[n] for n in entry.get("after", ())],
        provider=made.get(entry.get("provider")),
        protect=entry.get("protect"),
        delete_before_replace=entry.get("dbr"),
        retain_on_delete=entry.get("retain"),
        deleted_with=made.get(entry.get("deleted_with")),
        ignore_changes=entry.get("ignore"),
        replace_on_changes=entry.get("replace_on"),
        aliases=[
            pulumi.Alias(**{k: made.get(v) if k == "parent" else v for k, v in a.items()})
            for a in entry.get("aliases", ())
        ],
        additional_secret_outputs=entry.get("secret_outputs"),
    )
    if entry["what"] == "box":
        return Box(entry["name"], options, {"count": entry.get("size", 1)})
    if entry["what"] == "provider":
        return Toy(entry["name"], options, prefix=entry.get("prefix", "toy"))
    inputs: dict[str, Any] = {k: entry[k] for k in ("size", "kind", "tags", "fixed", "fail") if k in entry}
    if "ref" in entry:
        inputs["ref"] = made[entry["ref"]].arn
    if "payload" in entry:
        inputs["payload"] = made[entry["payload"]].arn
    return Thing(entry["name"], options, **inputs)
