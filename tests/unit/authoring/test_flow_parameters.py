"""Parameters: every type, with and without a default, their names, and what they become in the graph."""

from __future__ import annotations

import datetime
import json
from typing import Any

import jsonschema
import pytest

from flowinfra.authoring.parameters import IncludeFile, JSONType, Parameter, to_json
from flowinfra.model.graph import FlowGraph, ParameterSpec
from support.flows import Flows

FLOW = """
    class Flow(FlowSpec):
        {parameters}

        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass
"""


def parameters_of(flows: Flows, *lines: str) -> tuple[ParameterSpec, ...]:
    """The parameters of a flow with *lines* in its class."""
    return flows.graph(FLOW.format(parameters="\n        ".join(lines))).parameters


TYPES: dict[str, tuple[str, str, dict[str, Any], Any]] = {
    "int": ("default=3", "int", {"type": "integer"}, 3),
    "float": ("default=0.1", "float", {"type": "number"}, 0.1),
    "float out of an int": ("default=1, type=float", "float", {"type": "number"}, 1.0),
    "str": ("default='x'", "str", {"type": "string"}, "x"),
    "bool": ("default=False", "bool", {"type": "boolean"}, False),
    "list": ("default=[1, 'a', None]", "list", {"type": "array"}, [1, "a", None]),
    "dict": ("default={'a': (1, 2)}", "dict", {"type": "object"}, {"a": [1, 2]}),
    "date": ("default=datetime.date(2024, 2, 29)", "date", {"type": "string", "format": "date"}, "2024-02-29"),
    "datetime": (
        "default=datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc)",
        "datetime",
        {"type": "string", "format": "date-time"},
        "2024-02-29T12:00:00+00:00",
    ),
    "JSON": ("type=JSONType, default=[{'a': 1}, 2.5]", "json", {}, [{"a": 1}, 2.5]),
    "JSON, the type as an object": ("type=JSONType(), default=None", "json", {}, None),
    "text, if nothing says otherwise": ("default=None", "str", {"type": ["string", "null"]}, None),
}


@pytest.mark.parametrize("case", TYPES)
def test_each_type_has_its_schema_and_its_default(flows: Flows, case: str) -> None:
    """The type is the given one or that of the default; the default is JSON that fits the schema."""
    arguments, kind, schema, default = TYPES[case]
    (spec,) = parameters_of(flows, f"alpha = Parameter({arguments}, help='of the model')")
    assert (spec.name, spec.attribute, spec.type, spec.json_schema) == ("alpha", "alpha", kind, schema)
    assert (spec.default, type(spec.default), spec.required) == (default, type(default), False)
    assert spec.help == "of the model"
    assert spec.source is not None
    jsonschema.validate(spec.default, spec.json_schema)


@pytest.mark.parametrize(
    "word", ["int", "float", "str", "bool", "list", "dict", "datetime.date", "datetime.datetime", "JSONType"]
)
def test_every_type_with_and_without_a_default(flows: Flows, word: str) -> None:
    """Without a default it is None unless it is required; a function is computed by a run."""
    bare, required, none, computed = parameters_of(
        flows,
        f"a = Parameter(type={word})",
        f"b = Parameter(type={word}, required=True)",
        f"c = Parameter(type={word}, default=None)",
        f"d = Parameter(type={word}, default=lambda: 1)",
    )
    assert (bare.required, bare.default, bare.computed_default) == (False, None, False)
    assert (required.required, required.default) == (True, None)
    assert bare.json_schema == none.json_schema
    assert (none.required, none.default, none.computed_default) == (False, None, False)
    jsonschema.validate(None, none.json_schema)
    assert (computed.required, computed.default, computed.computed_default) == (False, None, True)
    assert computed.json_schema == required.json_schema


def test_a_name_for_callers_may_differ_from_the_attribute(flows: Flows) -> None:
    """`batch-size` on the command line, `self.batch_size` in a step; a name may come first."""
    one, two = parameters_of(
        flows, "batch_size = Parameter('batch-size', default=8)", "n = Parameter(name='count', type=int)"
    )
    assert (one.name, one.attribute) == ("batch-size", "batch_size")
    assert (two.name, two.attribute) == ("count", "n")


def test_files_are_named_by_path(flows: Flows) -> None:
    """IncludeFile takes a path; its schema says how the content is kept."""
    data, text = parameters_of(
        flows,
        "query = IncludeFile(default='query.sql', help='SQL', encoding='latin-1')",
        "weights = IncludeFile('model-weights', required=True, is_text=False)",
    )
    assert (data.name, data.type, data.required) == ("model-weights", "file", True)
    assert data.json_schema["contentEncoding"] == "base64"
    assert (text.type, text.default, text.required) == ("file", "query.sql", False)
    assert text.json_schema == {"type": "string", "contentEncoding": "latin-1"}


WRONG: dict[str, tuple[str, str, str]] = {
    "a default of no type": ("FI120", "x = Parameter(default=(1, 2))", "the default (1, 2) is tuple"),
    "a set": ("FI120", "x = Parameter(default={1})", "the default {1} is set"),
    "another type": ("FI120", "x = Parameter('size', type=complex)", "Parameter 'size': the type is complex"),
    "a list of something": ("FI120", "x = Parameter(type=list[int])", "the type is list[int]"),
    "a type as text": ("FI120", "x = Parameter(type='int')", "the type is 'int'"),
    "a type that is a value": ("FI120", "x = Parameter(type={})", "the type is {}"),
    "required with a default": ("FI121", "x = Parameter(required=True, default=1)", "it is required and has a default"),
    "text for a number": ("FI121", "x = Parameter(type=int, default='1')", "the default '1' is no int"),
    "truth for a number": ("FI121", "x = Parameter(type=int, default=True)", "the default True is no int"),
    "a fraction for an int": ("FI121", "x = Parameter(type=int, default=1.5)", "the default 1.5 is no int"),
    "no number": ("FI121", "x = Parameter(default=float('nan'))", "the default nan is no float"),
    "a moment for a day": ("FI121", "x = Parameter(type=datetime.date, default=datetime.datetime.now())", "is no date"),
    "what JSON has not": ("FI121", "x = Parameter(default=[{1, 2}])", "the default is no JSON value"),
    "what JSON has not, inside JSONType": ("FI121", "x = Parameter(type=JSONType, default=1j)", "is no JSON value"),
    "required with a path": (
        "FI121",
        "x = IncludeFile(required=True, default='a')",
        "it is required and has a default",
    ),
    "a path that is none": ("FI121", "x = IncludeFile(default=3)", "the default 3 is no str"),
    "a value in place of the name": ("FI122", "x = Parameter(0.1)", "0.1 is no name of a parameter"),
    "a name with a blank": ("FI122", "x = Parameter('my size', default=1)", "'my size' is no name"),
    "a name that begins with a digit": ("FI122", "x = Parameter('1st', default=1)", "'1st' is no name"),
    "a private name": ("FI122", "_x = Parameter(default=1)", "'_x' is no name"),
    "a name as an option": ("FI122", "x = Parameter('--size', default=1)", "'--size' is no name"),
    "FlowSpec's own name": ("FI142", "input = Parameter(default=1)", "a parameter cannot be called `input`"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_parameter_is_told_at_its_line(flows: Flows, case: str) -> None:
    """One finding, at the line of the parameter, that shows what was given."""
    code, text, part = WRONG[case]
    (finding,) = flows.findings(FLOW.format(parameters=f"{text}  # <- here"))
    assert finding.code == code
    assert part in finding.summary
    assert finding.hint


def test_names_that_collide_are_told(flows: Flows) -> None:
    """Two parameters that one option would mean, and one parameter under two attributes."""
    found = flows.findings(
        FLOW.format(
            parameters="""a_b = Parameter(default=1)
        c = Parameter('a-b', default=2)  # <- here
        d = e = Parameter(default=3)  # <- here"""
        )
    )
    assert [d.code for d in found] == ["FI122", "FI122"]
    assert "two parameters are called 'a-b': a_b and c" in found[0].summary
    assert "one parameter stands under two names" in found[1].summary


def test_wrong_names_come_all_at_once(flows: Flows) -> None:
    """What is found when the graph is read comes together with what is wrong with the steps."""
    found = flows.findings("""
        class Flow(FlowSpec):
            next = Parameter(default=1)  # <- here
            x = Parameter("a b", default=1)  # <- here

            @step
            def start(self):  # <- here
                pass

            @step
            def end(self):
                pass
    """)
    assert [d.code for d in found] == ["FI142", "FI122", "FI110"]


def test_a_subclass_replaces_and_removes_parameters(flows: Flows) -> None:
    """The nearest class counts; an attribute that is no parameter takes the base's away."""
    graph = flows.graph("""
        class Base(FlowSpec):
            a = Parameter(default=1)
            b = Parameter(default=1)

            @step
            def start(self):
                self.next(self.end)

            @step
            def end(self):
                pass

        class Flow(Base):
            a = Parameter(default="text")
            b = 7
    """)
    assert [(p.name, p.type) for p in graph.parameters] == [("a", "str")]


def test_a_parameter_is_read_only_and_tells_its_type() -> None:
    """On the class it is the parameter itself; setting it on a flow is refused by name."""

    class Holder:
        alpha = Parameter(default=0.1)
        config = IncludeFile(default="c.toml")

    assert Holder.alpha.kind == "float"
    assert repr(Holder.alpha) == "Parameter('alpha', type=float)"
    assert repr(Holder.config) == "IncludeFile('config', type=file)"
    with pytest.raises(AttributeError, match="the parameter alpha cannot be set inside a run"):
        Holder().alpha = 1  # type: ignore[misc, assignment]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("float", 1, 1.0),
        ("json", {"a": (1, None)}, {"a": [1, None]}),
        ("date", datetime.date(2024, 1, 2), "2024-01-02"),
        ("str", None, None),
        ("str", "x", "x"),
    ],
)
def test_values_become_json(kind: str, value: Any, expected: Any) -> None:
    """What a parameter holds is JSON once it leaves Python."""
    assert to_json(kind, value) == expected
    json.dumps(to_json(kind, value))


def test_what_json_has_no_form_for_is_refused() -> None:
    """NaN and sets are errors of their own kind."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json("json", [float("nan")])
    with pytest.raises(TypeError, match="not JSON serializable"):
        to_json("json", {1})


def test_a_graph_with_parameters_survives_as_a_components_input(flows: Flows) -> None:
    """The keyed form keeps names, types and defaults, a default of None too."""
    graph = flows.graph(FLOW.format(parameters="a = Parameter(default=None)\n        b = Parameter(default=[None, 1])"))
    assert FlowGraph.from_keyed(json.loads(json.dumps(graph.keyed()))).content() == graph.content()


def test_a_json_type_is_only_a_name() -> None:
    """JSONType stands for `any JSON value` and does nothing by itself."""
    assert Parameter(type=JSONType, default={}).kind == Parameter(type=JSONType(), default={}).kind == "json"
