"""The JSON Schemas of what flowinfra writes and others read, as golden files: a change of one is made on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from flowinfra.model.base import SCHEMA_VERSION, Value, json_schema
from flowinfra.model.deployment import Deployment
from flowinfra.model.graph import FlowGraph
from flowinfra.model.plan import Plan
from flowinfra.model.program import Program
from flowinfra.model.release import Release
from flowinfra.model.snapshot import StackSnapshot
from support.golden import Golden

MODELS = [FlowGraph, Deployment, Plan, Release, Program, StackSnapshot]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_the_schema_is_that_of_the_golden_file(model: type[Value], golden: Golden) -> None:
    """A field is added, renamed or typed anew on purpose, and the schema itself is a valid one."""
    schema = json_schema(model)
    jsonschema.Draft202012Validator.check_schema(schema)
    text = json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    golden.check(f"schemas/{model.__name__}.json", text)


def published(model: type[Value], version: int) -> dict[str, Any]:
    """The schema of *model* as the first release with this schema version had it; nobody rewrites it."""
    file = Path(__file__).parent / "schemas" / "published" / f"{model.__name__}-{version}.json"
    schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return schema


def breaking(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What readers or documents of the schema *old* do not survive; new fields that may be left out are fine."""
    found: list[str] = []
    before, after = {"": old, **old.get("$defs", {})}, {"": new, **new.get("$defs", {})}
    for name, one in before.items():
        other = after.get(name, {})
        if name not in after:
            found.append(f"{name} is gone")
        elif "properties" not in one:
            found += [f"{name} is another type"] if meaning(one) != meaning(other) else []
        fields, now = one.get("properties", {}), other.get("properties", {})
        for field, was in fields.items():
            if field not in now:
                found.append(f"{name}.{field} is gone")
            elif meaning(was) != meaning(now[field]):
                found.append(f"{name}.{field} is of another type")
        changed = set(one.get("required", ())) ^ set(other.get("required", ()))
        found += [f"{name}.{field} is required now, or no longer" for field in sorted(changed)]
    return found


def meaning(schema: Any) -> Any:
    """A schema without what only explains it."""
    if isinstance(schema, dict):
        return {k: meaning(v) for k, v in schema.items() if k not in ("description", "default")}
    return [meaning(item) for item in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_change_that_breaks_readers_raises_the_version(model: type[Value]) -> None:
    """A document of this schema version is read by everything that has ever read this version, and the reverse."""
    found = breaking(published(model, SCHEMA_VERSION), json_schema(model))
    assert not found, f"{found}: raise SCHEMA_VERSION, add a migration, and publish the new schema beside the old one"


def test_what_breaks_readers_is_found() -> None:
    """Fields that go, change their type or their need, and words that an enumeration gains, are found; others not."""
    old = published(Plan, 1)

    def changed(edit: Callable[[dict[str, Any]], object]) -> list[str]:
        new = json.loads(json.dumps(old))
        edit(new)
        return breaking(old, new)

    assert changed(lambda s: s["properties"].pop("engine")) == [".engine is gone"]
    assert changed(lambda s: s["properties"]["stack"].update(type="integer")) == [".stack is of another type"]
    assert changed(lambda s: s["required"].append("unknown")) == [".unknown is required now, or no longer"]
    assert changed(lambda s: s["$defs"]["Action"]["enum"].append("import")) == ["Action is another type"]
    assert changed(lambda s: s["$defs"].pop("Change")) != []
    assert changed(lambda s: s["properties"].update(new={"type": "string", "default": ""})) == []
    assert changed(lambda s: s.update(description="other words")) == []
