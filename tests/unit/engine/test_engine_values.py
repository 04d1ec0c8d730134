"""Property values: paths, equality, ignoring, masking; and their way to the SDK and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.engine.marshal import from_property_values, from_struct, to_property_values, to_struct
from flowinfra.engine.urns import default_provider_name, is_default_provider, make_urn, package_of, urn_type
from flowinfra.engine.values import (
    RESOURCE,
    SECRET_TEXT,
    SIGNATURE,
    UNKNOWN,
    as_secret_as,
    changed_paths,
    covers,
    equal,
    keep_old,
    parse_path,
    plain,
    redact,
    secret,
    value_at,
)

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text()  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3) | inner.map(secret)
    ),
    max_leaves=10,
)
properties = st.dictionaries(st.text(min_size=1, max_size=4), values, max_size=4)


@given(properties)
def test_values_survive_the_way_to_the_sdk_and_back(value: dict[str, Any]) -> None:
    """Through protobuf and through PropertyValue: equal, and whole numbers stay whole."""
    assert equal(from_struct(to_struct(value)), value)
    assert equal(from_property_values(to_property_values(value)), value)
    assert repr(from_struct(to_struct({"n": 5, "f": 2.5, "big": 12345678901234}))["n"]) == "5"


@given(properties, properties)
def test_two_values_differ_exactly_where_paths_say(a: dict[str, Any], b: dict[str, Any]) -> None:
    """No path means equal, and every path leads to two things that differ."""
    paths = list(changed_paths(a, b))
    assert (not paths) == equal(a, b)
    for path in paths:
        if path:
            assert not equal(value_at(a, path), value_at(b, path)) or None in (value_at(a, path), value_at(b, path))


@given(properties, properties)
def test_ignoring_everything_keeps_everything(a: dict[str, Any], b: dict[str, Any]) -> None:
    """With each changed key ignored, the old inputs are left."""
    assert equal(keep_old(b, a, ["*"]), a)


@given(values)
def test_nothing_secret_is_left_in_what_is_shown(value: Any) -> None:
    """Masked at every depth."""
    shown = redact({"x": secret({"deep": "hunter2"}), "y": [secret("hunter2")], "z": value})
    assert "hunter2" not in repr({k: v for k, v in shown.items() if k != "z"})
    assert shown["x"] == SECRET_TEXT


@pytest.mark.parametrize(
    ("old", "new", "path", "kept"),
    [
        ({"a": 1}, {"a": 2}, "a", {"a": 1}),
        ({}, {"a": 2}, "a", {}),
        ({"a": 1}, {}, "a", {"a": 1}),
        ({"a": {"b": 1, "c": 1}}, {"a": {"b": 2, "c": 2}}, "a.b", {"a": {"b": 1, "c": 2}}),
        ({"a": [1, 2]}, {"a": [3, 4]}, "a[1]", {"a": [3, 2]}),
        ({"a": [{"b": 1}, {"b": 1}]}, {"a": [{"b": 2}, {"b": 3}]}, "a[*].b", {"a": [{"b": 1}, {"b": 1}]}),
        ({"a": {"x.y": 1}}, {"a": {"x.y": 2}}, 'a["x.y"]', {"a": {"x.y": 1}}),
        ({"a": 1}, {"a": {"b": 2}}, "a.b", {"a": {"b": 2}}),
    ],
)
def test_ignoring_a_path_puts_the_old_value_back(old: Any, new: Any, path: str, kept: Any) -> None:
    """At any depth; what one side lacks on the way stays."""
    assert keep_old(new, old, [path]) == kept


def test_paths_are_written_and_read() -> None:
    """Names as attributes, everything else in quotes."""
    assert list(changed_paths({"a": {"b c": [1, {"d": 1}]}}, {"a": {"b c": [1, {"d": 2}]}})) == ['a["b c"][1].d']
    assert parse_path('a["b c"][1].d') == ("a", "b c", 1, "d")
    assert value_at({"a": {"b c": [1, {"d": 2}]}}, 'a["b c"][1].d') == 2
    assert value_at({"a": 1}, "a.b.c") is None
    assert covers("a.*", "a.b.c")
    assert covers("a", "a")
    assert not covers("a.b", "a")
    assert not covers("a[0]", "a[1]")


def test_booleans_are_no_numbers() -> None:
    """True is not 1, and 1 is 1.0."""
    assert not equal(True, 1)
    assert not equal({"a": False}, {"a": 0})
    assert equal({"a": [1]}, {"a": [1.0]})
    assert plain({"a": secret([secret(1)])}) == {"a": [1]}


def test_references_to_resources_go_both_ways() -> None:
    """With the id, as the wire names it."""
    reference = {SIGNATURE: RESOURCE, "urn": "u", "id": "1"}
    assert from_property_values(to_property_values({"r": reference})) == {"r": reference}
    assert redact(reference) == "u"
    assert redact({"a": UNKNOWN}) == {"a": "<computed>"}


def test_names_of_resources() -> None:
    """The stack's type is no part of the chain; default providers are known by their names."""
    stack = "urn:pulumi:dev::proj::pulumi:pulumi:Stack::proj-dev"
    group = make_urn("dev", "proj", stack, "my:index:Group", "g")
    assert group == "urn:pulumi:dev::proj::my:index:Group::g"
    child = make_urn("dev", "proj", group, "toy:index:Thing", "a::b")
    assert child == "urn:pulumi:dev::proj::my:index:Group$toy:index:Thing::a::b"
    assert urn_type(child) == "toy:index:Thing"
    assert package_of("toy:index:Thing") == package_of("pulumi:providers:toy") == "toy"
    assert default_provider_name("1.2.0-rc+x") == "default_1_2_0_rc_x"
    assert is_default_provider("urn:pulumi:dev::proj::pulumi:providers:toy::default_0_1_0")
    assert not is_default_provider("urn:pulumi:dev::proj::pulumi:providers:toy::mine")


def test_what_is_read_is_secret_where_it_was_at_every_depth() -> None:
    """A provider that reads does not know what is; nothing that was secret becomes readable by it."""
    old = {"a": secret(1), "b": {"c": secret(2), "d": 3}, "e": [secret(4), 5], "f": [secret(6)], "g": 7}
    new = {"a": 10, "b": {"c": 20, "d": 30}, "e": [40, 50], "f": [60, 61], "g": 70, "h": 80}
    assert as_secret_as(new, old) == {
        "a": secret(10), "b": {"c": secret(20), "d": 30}, "e": [secret(40), 50], "f": secret([60, 61]), "g": 70, "h": 80,
    }  # fmt: skip
    assert as_secret_as({"b": secret(1), "e": [secret(2)]}, old) == {"b": secret(1), "e": [secret(2)]}
