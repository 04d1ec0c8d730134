"""What is added to an engine's plan: places, what would be lost, defaults, and the order."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowinfra.components.observe import Observed
from flowinfra.control.plans import enriched
from flowinfra.model.dataloss import HOLDS_DATA, data_of
from flowinfra.model.diff import Layer
from flowinfra.model.plan import Action, AppliedDefault
from support.plans import child, component, flow, gpu, inputs, observed, parameter, plan, resource

CHECKOUT = Path("/checkout")


def test_what_holds_data_comes_first_and_the_rest_stays_in_order() -> None:
    """Deletions and replacements of what holds data lead; creating or updating it loses nothing."""
    bucket = "aws:s3/bucket:Bucket"
    given = [
        resource("a:b:C", "one", Action.DELETE),
        resource(bucket, "new", Action.CREATE),
        resource(bucket, "kept", Action.UPDATE),
        resource(bucket, "gone", Action.DELETE),
        resource("a:b:C", "two", Action.CREATE),
        child("Token", Action.REPLACE),
    ]
    found = enriched(plan(*given))
    assert [c.name for c in found.changes] == ["gone", "churn-token", "one", "new", "kept", "two"]
    assert [bool(c.holds_data) for c in found.changes] == [True, True, False, True, True, False]
    assert enriched(found) == found


@pytest.mark.parametrize(
    ("token", "lost"),
    [
        ("flowinfra:index:Token", "the production token that clients show"),
        ("aws:dynamodb/table:Table", "all items of the table"),
        ("kubernetes:core/v1:PersistentVolumeClaim", "everything on the volume, unless its class retains it"),
        ("kubernetes:apps/v1:StatefulSet", HOLDS_DATA["kubernetes:apps:StatefulSet"]),
        ("kubernetes:apps/v1beta2:StatefulSet", HOLDS_DATA["kubernetes:apps:StatefulSet"]),
        ("kubernetes:apps/v1:Deployment", ""),
        ("aws:iam/role:Role", ""),
        ("kubernetes:", ""),
        ("", ""),
    ],
)
def test_what_is_lost_follows_from_the_type(token: str, lost: str) -> None:
    """The table is asked by type token, Kubernetes' versions left out."""
    assert data_of(token) == lost


def test_places_are_told_relative_to_the_project() -> None:
    """Steps and parameters have the line in the flow file, the deployment that of its specification."""
    graph = flow(parameters=(parameter(0.5),), steps={"fit": {"code_digest": "d" * 64}})
    change = component(inputs(flow(), "1"), inputs(graph, "2", paused=True))
    (found,) = enriched(plan(change), observed(graph), folder=CHECKOUT).changes
    assert found.flow is not None
    assert {(c.layer, str(c.source and c.source.source())) for c in found.flow.changes} == {
        (Layer.INTERFACE, "flows/churn.py:7"),
        (Layer.CODE, "flows/churn.py:17"),
        (Layer.SCHEDULE, "flows/deploy.py:30"),
    }


def test_places_outside_of_the_project_tell_nothing_of_the_machine() -> None:
    """A flow that lies elsewhere has places relative to its own folder."""
    graph = flow(parameters=(parameter(0.5),))
    change = component(inputs(flow(), "1"), inputs(graph, "2", paused=True))
    (found,) = enriched(plan(change), observed(graph), folder=Path("/elsewhere")).changes
    assert found.flow is not None
    assert {c.source.file for c in found.flow.changes if c.source} == {"churn.py", "deploy.py"}


def test_without_an_observer_there_are_no_places() -> None:
    """A plan of the real CLI or of a snapshot has the same changes without places."""
    graph = flow(parameters=(parameter(0.5),), environments=(gpu(cpu=9),))
    change = component(inputs(flow(), "1"), inputs(graph, "2"))
    (bare,) = enriched(plan(change)).changes
    (placed,) = enriched(plan(change), observed(graph), folder=CHECKOUT).changes
    assert bare.flow is not None
    assert placed.flow is not None
    assert [c.model_copy(update={"source": None}) for c in placed.flow.changes] == list(bare.flow.changes)


def test_places_of_another_flow_are_not_used() -> None:
    """Where the program has registered another graph than the plan has, nothing is told instead of something wrong."""
    graph = flow(parameters=(parameter(0.5),))
    (found,) = enriched(plan(component(inputs(flow(), "1"), inputs(graph, "2"))), observed(flow())).changes
    assert found.flow is not None
    assert all(c.source is None for c in found.flow.changes)


def test_defaults_have_the_address_of_their_deployment() -> None:
    """What a mode changed in a deployment names it, and is told once."""
    default = AppliedDefault(mode="development", setting="flowinfra:paused", effect="starts paused")
    change = component(None, inputs(flow(), "1"))
    found = enriched(plan(change), observed(flow(), default))
    assert found.defaults == (default.model_copy(update={"address": change.address}),)
    assert enriched(found, observed(flow(), default)).defaults == found.defaults


def test_inputs_of_a_newer_flowinfra_are_told_and_not_guessed() -> None:
    """The flow of a newer state gives FI660, and the resources stay as they are."""
    newer = {**inputs(flow(), "1"), "deployment": {"flow": "Churn", "name": "nightly", "schema_version": 99}}
    found = enriched(plan(component(newer, inputs(flow(), "2")), child("Release", Action.UPDATE)), Observed())
    assert [f.code for f in found.findings] == ["FI660"]
    assert found.changes[0].flow is None
    assert [c.action for c in found.changes] == [Action.UPDATE, Action.UPDATE]
    assert enriched(found).findings == found.findings


def test_providers_are_not_counted() -> None:
    """What exists in the state only (components, providers, the stack) is no resource where resources are counted."""
    provider = resource("pulumi:providers:aws", "aws", Action.CREATE)
    assert plan(provider, component(None, inputs(flow(), "1")), child("Token", Action.CREATE)).counts() == {
        Action.CREATE: 1
    }
