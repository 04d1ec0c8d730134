"""What an interrupted creation has made is found by its inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import ReadResponse

import flowinfra.components as fic
from flowinfra import DeploymentSpec
from flowinfra_providers.provider import FlowinfraProvider
from flowinfra_providers.values import from_properties, to_properties
from tests.components.conftest import Stack, by_kind
from tests.components.flows import Small


@dataclass(frozen=True)
class Asked:
    """The request of an engine."""

    urn: str
    inputs: Mapping[str, PropertyValue]


def program() -> None:
    fic.FlowDeployment(
        "small", DeploymentSpec(Small, name="d", parameters={"label": "x"}), given_token="0123456789abcdef"
    )


def find(urn: str, inputs: Mapping[str, Any]) -> ReadResponse | None:
    return asyncio.run(FlowinfraProvider().find(Asked(urn, to_properties(inputs))))


def test_what_was_made_is_found_and_what_was_not_is_not(stack: Stack) -> None:
    """A deployment by its address, owner and token, objects by their digests; otherwise they are not there."""
    planned = by_kind(stack.up(program))
    for kind in ("Bundle", "Release", "LocalDeployment"):
        change = planned[kind]
        inputs = {**(change.after or {}), **({"token": "0123456789abcdef"} if kind == "LocalDeployment" else {})}
        there = find(change.address, inputs)
        assert there is not None
        assert there.resource_id
        assert from_properties(there.inputs) == inputs
        known = from_properties(there.properties)
        assert {k: known[k] for k in inputs} == inputs
    local = planned["LocalDeployment"]
    inputs = {**(local.after or {}), "token": "0123456789abcdef"}
    for other in ({"name": "e"}, {"stack": "another"}, {"token": "fedcba9876543210"}):
        there = find(local.address, {**inputs, **other})
        assert there is not None
        assert not there.resource_id
    there = find(planned["Bundle"].address, {"digest": "0" * 64})
    assert there is not None
    assert not there.resource_id


def test_a_token_that_was_not_recorded_is_nowhere(stack: Stack) -> None:
    """A token is kept in the state alone: an interrupted creation of one has left nothing that anyone need look for."""
    token = by_kind(stack.preview(program))["Token"]
    found = find(token.address, {"deployment": "Small/d", "generation": 0})
    assert found is not None
    assert found.resource_id == ""
