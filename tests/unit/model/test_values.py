"""Values: what is their content, what is not, and that every way through JSON gives the same value and digest."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flowinfra.canonical import canonical_json, framed_digest, json_digest, sha256_hex
from flowinfra.model.base import SCHEMA_VERSION, Value, json_schema, migrate
from flowinfra.model.deployment import Deployment
from flowinfra.model.diff import FlowDiff, Layer, LayerChange
from flowinfra.model.environment import Environment
from flowinfra.model.graph import End, FlowGraph, Goto, Location, ParameterSpec, StepNode, Switch, targets_of
from flowinfra.model.plan import Action, Change, Operation, Plan
from flowinfra.model.program import Program
from flowinfra.model.release import Release
from strategies import changed_as_by_protobuf, flow_graphs, json_values

END = StepNode(name="end", entrypoint="flow:F.end")
START = StepNode(name="start", entrypoint="flow:F.start", next=Goto(to="end"))
GRAPH = FlowGraph(name="F", start="start", steps=(START, END))

# -- canonical JSON ---------------------------------------------------------------------------------------------------


@given(json_values)
def test_canonical_json_keeps_the_value(value: Any) -> None:
    """What is read back is what was written, and writing it again gives the same bytes."""
    data = canonical_json(value)
    assert json.loads(data) == value
    assert canonical_json(json.loads(data)) == data


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=5), st.randoms())
def test_canonical_json_does_not_know_the_order_of_keys(value: dict[str, Any], random: Any) -> None:
    """Two dicts with the same content in another order are the same bytes and the same digest."""
    keys = list(value)
    random.shuffle(keys)
    assert canonical_json({key: value[key] for key in keys}) == canonical_json(value)
    assert json_digest({key: value[key] for key in keys}) == sha256_hex(canonical_json(value))


def test_canonical_json_is_compact_utf_8() -> None:
    """No white space, sorted keys, text as it is; tuples are lists."""
    assert canonical_json({"b": (1, 2.5, None, True), "a": "Zoë ✓"}) == '{"a":"Zoë ✓","b":[1,2.5,null,true]}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"x": [-float("inf")]}, "\ud800"])
def test_canonical_json_refuses_what_json_has_no_form_for(value: Any) -> None:
    """NaN, infinities and lone surrogates are errors, not bytes that only Python reads."""
    with pytest.raises(ValueError, match=r"not JSON compliant|surrogates not allowed"):
        canonical_json(value)


@pytest.mark.parametrize("value", [{1, 2}, b"x", object(), {"x": ...}])
def test_canonical_json_refuses_other_types(value: Any) -> None:
    """What is not made of JSON types is an error."""
    with pytest.raises(TypeError):
        canonical_json(value)


@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_framed_digests_tell_lists_of_parts_apart(one: list[bytes], other: list[bytes]) -> None:
    """Two lists of parts have the same digest only if they are the same list, however the bytes are divided."""
    assert (framed_digest(*one) == framed_digest(*other)) == (one == other)


def test_a_framed_digest_of_text_is_that_of_its_utf_8() -> None:
    """Text and its bytes are the same part; an empty part counts."""
    assert framed_digest("ä", "b") == framed_digest("ä".encode(), b"b")
    assert framed_digest("ab", "c") != framed_digest("a", "bc")
    assert framed_digest("a") != framed_digest("a", "")


# -- values -----------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(flow_graphs())
def test_a_graph_comes_back_from_json(graph: FlowGraph) -> None:
    """to_json and from_json are inverse, through real JSON text."""
    again = FlowGraph.from_json(json.loads(json.dumps(graph.to_json())))
    assert again == graph
    assert again.digest() == graph.digest()
    assert again.to_json() == graph.to_json()


@settings(max_examples=40)
@given(flow_graphs())
def test_a_graph_comes_back_from_its_keyed_form(graph: FlowGraph) -> None:
    """Keyed and from_keyed are inverse but for what is outside the digest, also where an engine made every number a float."""
    for document in (graph.keyed(), changed_as_by_protobuf(json.loads(json.dumps(graph.keyed())))):
        again = FlowGraph.from_keyed(document)
        assert again.content() == graph.content()
        assert again.digest() == graph.digest()
        assert again.keyed() == graph.keyed()


@settings(max_examples=40)
@given(flow_graphs())
def test_nothing_in_a_keyed_graph_gets_lost_as_an_engines_input(graph: FlowGraph) -> None:
    """The keyed form holds no null, which Pulumi would drop inside an object."""

    def nulls(node: Any) -> bool:
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        return node is None or any(map(nulls, children))

    assert not nulls(graph.keyed())


@settings(max_examples=40)
@given(flow_graphs(), st.randoms())
def test_a_digest_does_not_know_order_texts_or_places(graph: FlowGraph, random: Any) -> None:
    """Steps in another order, other docstrings and moved lines: the same content, the same digest."""
    steps = list(graph.steps)
    random.shuffle(steps)
    moved = [
        step.model_copy(update={"doc": step.doc + "!", "source": Location(file="other.py", line=random.randint(1, 99))})
        for step in steps
    ]
    parameters = [p.model_copy(update={"help": p.help + "?", "source": None}) for p in reversed(graph.parameters)]
    other = FlowGraph(
        name=graph.name,
        start=graph.start,
        steps=tuple(moved),
        parameters=tuple(parameters),
        environments=tuple(reversed(graph.environments)),
        doc=graph.doc + ".",
        source=Location(file="other.py", line=1),
    )
    assert other != graph
    assert other.content() == graph.content()
    assert other.digest() == graph.digest()
    assert other.keyed() == graph.keyed()


@settings(max_examples=40)
@given(flow_graphs(), flow_graphs())
def test_different_content_is_a_different_digest(one: FlowGraph, other: FlowGraph) -> None:
    """The digest tells apart what the content tells apart."""
    assert (one.digest() == other.digest()) == (one.content() == other.content())


@pytest.mark.parametrize(
    "change",
    [
        {"name": "G"},
        {"start": "end"},
        {"environments": (Environment(name="default", image="x"),)},
        {"parameters": (ParameterSpec(name="a", attribute="a", type="int", json_schema={}),)},
        {"steps": (START,)},
        {"steps": (START, END.model_copy(update={"join": True}))},
        {"steps": (START, END.model_copy(update={"code_digest": "f" * 64}))},
        {"steps": (START.model_copy(update={"next": Switch(on="x", cases={"a": "end"})}), END)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_a_graph_counts(change: dict[str, Any]) -> None:
    """A change of anything that a run could notice changes the digest."""
    assert GRAPH.model_copy(update=change).digest() != GRAPH.digest()


def test_a_keyed_graph_that_was_tampered_with_is_refused() -> None:
    """from_keyed holds the content against the digest that came with it."""
    document = GRAPH.keyed()
    document["steps"] = {**document["steps"], "more": {"entrypoint": "flow:F.more", "next": {"kind": "end"}}}
    with pytest.raises(ValueError, match="has the digest"):
        FlowGraph.from_keyed(document)


def test_the_keyed_form_is_small_and_by_name() -> None:
    """What a plain preview shows of a flow: one object per step, nothing that equals its default, the digest."""
    assert GRAPH.keyed() == {
        "schema_version": SCHEMA_VERSION,
        "name": "F",
        "kind": "static",
        "start": "start",
        "steps": {
            "end": {"entrypoint": "flow:F.end"},
            "start": {"entrypoint": "flow:F.start", "next": {"kind": "goto", "to": "end"}},
        },
        "digest": GRAPH.digest(),
    }


def test_values_are_frozen_and_know_their_fields() -> None:
    """A value cannot be changed, and an unknown field is refused, so that a typo is not lost."""
    with pytest.raises(ValidationError):
        GRAPH.name = "G"
    with pytest.raises(ValidationError, match="Extra inputs"):
        StepNode.model_validate({"name": "a", "entrypoint": "f:F.a", "retries": 3})


def test_names_of_a_graph_are_unique() -> None:
    """Two steps with one name are refused by name."""
    with pytest.raises(ValidationError, match="step end is there more than once"):
        FlowGraph(name="F", start="start", steps=(START, END, END))


def test_looking_into_a_graph_does_not_change_it() -> None:
    """by_name is remembered beside the content, not in it."""
    looked = FlowGraph.from_json(GRAPH.to_json())
    assert looked.step("start") == START
    assert looked == GRAPH
    assert looked.to_json() == GRAPH.to_json()
    assert looked.environment("other") == Environment(name="other")
    with pytest.raises(KeyError):
        looked.step("missing")


def test_a_switch_leads_to_each_step_once() -> None:
    """Targets are in the order in which they are written, without repetition."""
    assert targets_of(Switch(on="x", cases={"b": "q", "a": "p", "c": "q"})) == ("q", "p")
    assert targets_of(End()) == ()


# -- versions of the schema -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [SCHEMA_VERSION, float(SCHEMA_VERSION)])
def test_a_document_of_this_version_is_read(version: float) -> None:
    """The version may have become a float on its way through an engine."""
    assert FlowGraph.from_json({**GRAPH.to_json(), "schema_version": version}) == GRAPH


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 99.0, 0, -1, 1.5, "1", None])
def test_a_document_of_another_version_is_refused(version: Any) -> None:
    """A version that this flowinfra does not know, or that is none, is a ValueError that names it."""
    with pytest.raises(ValueError, match="schema version"):
        migrate({"schema_version": version})


def test_a_document_without_a_version_is_of_the_first() -> None:
    """A document that does not say its version is read as version 1."""
    assert migrate({"a": 1}) == {"a": 1, "schema_version": SCHEMA_VERSION}


# -- schemas ----------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(flow_graphs())
def test_what_is_written_fits_the_schema(graph: FlowGraph) -> None:
    """A validator that is not ours accepts the JSON of a graph, of a deployment and of a release."""
    values: list[Value] = [
        graph,
        Deployment(flow=graph.name, name="daily", parameters={"a": [1, None]}, tags=("x",), max_workers=3),
        Release(wire=1, flowinfra="1", graph=graph, program=Program(sequences=((),)), bundle="0" * 64),
    ]
    for value in values:
        jsonschema.Draft202012Validator(json_schema(type(value))).validate(value.to_json())


def test_the_schema_refuses_what_is_wrong() -> None:
    """The schema is no formality: an unknown field and a wrong type do not fit."""
    validator = jsonschema.Draft202012Validator(json_schema(Deployment))
    good = Deployment(flow="F", name="daily").to_json()
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "pause": True})
    assert not validator.is_valid({**good, "max_workers": 0})
    assert not validator.is_valid({**good, "name": "a/b"})


# -- the others -------------------------------------------------------------------------------------------------------


def test_a_release_is_named_by_the_bytes_that_are_stored() -> None:
    """The digest of a release is the SHA-256 of its stored bytes, so a task verifies it without a schema."""
    release = Release(wire=1, flowinfra="0.1", graph=GRAPH, program=Program(sequences=((),)), bundle="b")
    assert sha256_hex(release.stored()) == release.digest()
    assert Release.from_json(json.loads(release.stored())) == release


def test_a_deployment_has_a_full_name() -> None:
    """`<flow>/<name>`; a name with a slash is refused."""
    assert Deployment(flow="F", name="daily report").full_name == "F/daily report"
    with pytest.raises(ValidationError):
        Deployment(flow="F", name="a/b")


def test_layers_are_told_most_severe_first() -> None:
    """However changes are found, their layers come in the order of severity, each once."""
    changes = [
        LayerChange(layer=layer, subject="step a") for layer in (Layer.METADATA, Layer.CODE, Layer.CODE, Layer.SHAPE)
    ]
    assert FlowDiff(changes=tuple(changes)).layers == (Layer.SHAPE, Layer.CODE, Layer.METADATA)
    assert [layer.rank for layer in Layer] == list(range(len(Layer)))


def test_a_plan_counts_resources_only() -> None:
    """Components and the stack itself are no resources; reading is no change; enums travel as words."""

    def change(action: Action, *, custom: bool = True) -> Change:
        return Change(address="a", type="t", name="n", action=action, custom=custom)

    plan = Plan(
        project="p",
        stack="s",
        engine="e",
        operation=Operation.DESTROY,
        changes=(change(Action.CREATE, custom=False), change(Action.CREATE), change(Action.READ)),
    )
    assert plan.counts() == {Action.CREATE: 1, Action.READ: 1}
    assert plan.has_changes
    assert not Plan(project="p", stack="s", engine="e", changes=(change(Action.SAME), change(Action.READ))).has_changes
    assert plan.to_json()["operation"] == "destroy"
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert len({action.glyph for action in Action}) >= 6


def test_framed_digests_take_names_that_are_no_text() -> None:
    """File names that are not valid UTF-8 reach Python as lone surrogates; each has a digest of its own."""
    found = {framed_digest(name) for name in ("\udcff", "\udcfe", "?", "")}
    assert len(found) == 4
