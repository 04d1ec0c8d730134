"""The JSON Schemas of what flowinfra writes and others read, as golden files: a change of one is made on purpose."""

from __future__ import annotations

import json

import jsonschema
import pytest

from flowinfra.model.base import Value, json_schema
from flowinfra.model.deployment import Deployment
from flowinfra.model.graph import FlowGraph
from flowinfra.model.plan import Plan
from flowinfra.model.program import Program
from flowinfra.model.release import Release
from support.golden import Golden


@pytest.mark.parametrize("model", [FlowGraph, Deployment, Plan, Release, Program], ids=lambda model: model.__name__)
def test_the_schema_is_that_of_the_golden_file(model: type[Value], golden: Golden) -> None:
    """A field is added, renamed or typed anew on purpose, and the schema itself is a valid one."""
    schema = json_schema(model)
    jsonschema.Draft202012Validator.check_schema(schema)
    text = json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    golden.check(f"schemas/{model.__name__}.json", text)
