from __future__ import annotations

import base64
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.authoring.parameters import schema_of, to_json
from flowinfra.diagnostics import ParameterError, Severity
from flowinfra.packaging.files import LocalFile, store_file
from flowinfra.packaging.store import Store
from flowinfra.runtime.parameters import check_parameters, parse_text, parse_texts, resolve, signature, to_python


def spec(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "attribute": name.replace("-", "_"), "type": kind, "json_schema": schema_of(kind), **more}


SPECS = [
    spec("alpha", "float", default=0.5),
    spec("min-size", "int", default=3),
    spec("since", "date", required=True),
    spec("seed", "int", computed_default=True),
    spec("names", "list", default=["a"]),
    spec("note", "str", default=None, json_schema={"type": ["string", "null"]}),
]


def stored(file: LocalFile) -> Any:
    """What input.json has for a small file."""
    return store_file(Store.open("memory://"), "F", file)


def codes(error: ParameterError) -> list[str]:
    return [d.code for d in error.diagnostics]


def test_the_input_is_made_complete() -> None:
    """What is not given has its default; what only the first task can make is left out."""
    assert check_parameters(SPECS, {"since": "2030-01-02", "min_size": 7}) == {
        "alpha": 0.5,
        "min-size": 7,
        "since": "2030-01-02",
        "names": ["a"],
        "note": None,
    }


def test_everything_that_is_wrong_comes_at_once_with_the_signature() -> None:
    """Missing, unknown with the nearest name, and wrong with the type and the value."""
    with pytest.raises(ParameterError) as found:
        check_parameters(SPECS, {"alhpa": 1, "min-size": "x", "names": {"a": 1}, "zzz": 0}, "Census")
    assert sorted(codes(found.value)) == ["FI710", "FI711", "FI711", "FI712", "FI712", "FI716"]
    text = str(found.value)
    assert "the parameter since (date) must be given" in text
    assert "no parameter 'alhpa' (did you mean 'alpha'?)" in text
    assert "the parameter min-size is of the type int; 'x' is none" in text
    assert "it is a JSON string" in text
    assert found.value.diagnostics[-1].severity is Severity.NOTE
    assert (
        'Census(alpha: float = 0.5, min-size: int = 3, since: date, seed: int = <computed>, names: list = ["a"], '
        "note: str = null)" in text
    )


def test_reserved_names_are_no_parameters() -> None:
    """What begins with a dollar sign belongs to the protocol."""
    assert check_parameters([], {"$run": "r1"}) == {}


WRONG = [
    ("int", True),
    ("int", 1.5),
    ("int", "1"),
    ("int", None),
    ("float", "1"),
    ("float", True),
    ("float", float("nan")),
    ("str", 1),
    ("bool", 1),
    ("bool", "true"),
    ("list", {}),
    ("dict", []),
    ("dict", {"a": object()}),
    ("json", {1, 2}),
    ("date", "2030-13-01"),
    ("date", 20300101),
    ("datetime", "yesterday"),
    ("file", 1),
]


@pytest.mark.parametrize(("kind", "value"), WRONG)
def test_a_value_that_does_not_fit_is_refused(kind: str, value: Any) -> None:
    """Types are JSON Schema's: true is no number, and text is read by nobody."""
    with pytest.raises(ParameterError, match="FI712"):
        check_parameters([spec("p", kind)], {"p": value})


@given(
    st.sampled_from(["int", "float", "str", "bool", "list", "dict", "json"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
)
def test_plain_types_are_checked_as_json_schema_does(kind: str, value: Any) -> None:
    """The short way for plain types, which loads no validator, accepts exactly what the validator accepts."""
    expected = jsonschema.Draft202012Validator(schema_of(kind)).is_valid(value)
    try:
        check_parameters([spec("p", kind)], {"p": value})
    except ParameterError:
        assert not expected
    else:
        assert expected


def test_a_richer_schema_is_checked_by_the_validator() -> None:
    """What a deployed schema demands holds, whatever it is; the message says where."""
    parameter = {**spec("p", "dict"), "json_schema": {"type": "object", "properties": {"n": {"minimum": 3}}}}
    assert check_parameters([parameter], {"p": {"n": 3}}) == {"p": {"n": 3}}
    with pytest.raises(ParameterError, match=r"\['n'\]: 1 is less than the minimum of 3"):
        check_parameters([parameter], {"p": {"n": 1}})


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "3", 3),
        ("int", "-03", -3),
        ("float", "1e3", 1000.0),
        ("float", "2", 2.0),
        ("str", "3", "3"),
        ("str", "", ""),
        ("bool", "True", True),
        ("bool", "0", False),
        ("list", '["a", 1]', ["a", 1]),
        ("dict", '{"a": null}', {"a": None}),
        ("json", "[1]", [1]),
        ("json", '"a"', "a"),
        ("date", "2030-01-31", "2030-01-31"),
        ("datetime", "2030-01-31T08:00:00Z", "2030-01-31T08:00:00+00:00"),
    ],
)
def test_texts_of_a_command_line(kind: str, text: str, value: Any) -> None:
    """Each type in the form in which people type it."""
    assert parse_text(spec("p", kind), text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "3.5"),
        ("int", "three"),
        ("float", "nan"),
        ("bool", "maybe"),
        ("list", "a,b"),
        ("list", '{"a": 1}'),
        ("dict", "[]"),
        ("json", "a"),
        ("json", "[" * 100_000),
        ("date", "31.01.2030"),
        ("datetime", "now"),
        ("file", "/does/not/exist"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused(kind: str, text: str) -> None:
    """The message has the type, the text and an example."""
    with pytest.raises(ParameterError, match="FI713") as found:
        parse_text(spec("p", kind), text)
    said = found.value.diagnostics[0]
    assert said.hint
    assert repr(text)[:80] in said.summary  # in quotes: an empty one, or one with blanks, is seen to be there


@pytest.mark.parametrize(("kind", "value"), [("str", "a\udc80"), ("json", {"a": ["\ud800"]}), ("list", ["\udfff"])])
def test_half_a_character_is_refused(kind: str, value: Any) -> None:
    """What cannot be written in UTF-8 (a command line may hold it) is told before the run starts."""
    with pytest.raises(ParameterError, match="lone surrogate") as found:
        check_parameters([spec("p", kind)], {"p": value})
    assert codes(found.value) == ["FI712", "FI716"]


def test_all_texts_that_cannot_be_read_come_at_once() -> None:
    """Unknown names are kept, for the check that comes next to name them with the nearest."""
    with pytest.raises(ParameterError) as found:
        parse_texts(SPECS, {"alpha": "x", "min_size": "y", "since": "2030-01-01"})
    assert codes(found.value) == ["FI713", "FI713"]
    assert parse_texts(SPECS, {"alpha": "1", "unknown": "z"}) == {"alpha": 1.0, "unknown": "z"}


def test_files_are_given_by_path_and_travel_as_content(tmp_path: Path) -> None:
    """Text in its encoding, everything else in base64."""
    (tmp_path / "latin").write_bytes("ü".encode("latin-1"))
    (tmp_path / "raw").write_bytes(b"\x00\xff")
    text = {**spec("t", "file"), "json_schema": {"type": "string", "contentEncoding": "latin-1"}}
    raw = {**spec("r", "file"), "json_schema": {"type": "string", "contentEncoding": "base64"}}
    given_text = stored(parse_text(text, str(tmp_path / "latin")))
    given_raw = stored(parse_text(raw, str(tmp_path / "raw")))
    assert (given_text, given_raw) == ("ü", base64.b64encode(b"\x00\xff").decode())
    values = resolve([text, raw], {"t": given_text, "r": given_raw}, {}, tmp_path, "F", stored)
    assert values == {"t": "ü", "r": b"\x00\xff"}
    with pytest.raises(ParameterError, match="it is no base64"):
        check_parameters([raw], {"r": "no base64"})


def test_a_default_file_is_read_beside_the_flow(tmp_path: Path) -> None:
    """The first task reads it, because the client may not have it."""
    (tmp_path / "data.txt").write_text("hello")
    parameter = spec("t", "file", default="data.txt")
    assert check_parameters([parameter], {}) == {}
    assert resolve([parameter], {}, {}, tmp_path, "F", stored) == {"t": "hello"}
    with pytest.raises(ParameterError, match="FI714"):
        resolve([parameter], {}, {}, tmp_path / "elsewhere", "F", stored)


@given(
    st.dates()
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC))
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(st.integers())
)
def test_python_values_survive_the_way_through_json(value: Any) -> None:
    """A default becomes JSON when the flow is compiled, and the same value again in the first task."""
    kinds = {
        datetime.date: "date",
        datetime.datetime: "datetime",
        int: "int",
        float: "float",
        list: "list",
    }
    kind = kinds[type(value)]
    found = to_python(spec("p", kind), to_json(kind, value))
    assert found == value
    assert type(found) is type(value)


def test_defaults_that_are_functions_are_called_by_the_first_task() -> None:
    """Their value is checked and converted like a given one; given values win."""
    calls: list[str] = []

    def today() -> datetime.date:
        calls.append("today")
        return datetime.date(2030, 1, 2)

    parameters = [spec("day", "date", computed_default=True), spec("seed", "int", computed_default=True)]
    defaults: dict[str, Callable[[], Any]] = {"day": today, "seed": lambda: 4}
    assert resolve(parameters, {}, defaults, Path(), "F", stored) == {"day": datetime.date(2030, 1, 2), "seed": 4}
    assert resolve(parameters, {"day": "2031-01-01"}, defaults, Path(), "F", stored)["day"] == datetime.date(2031, 1, 1)
    assert calls == ["today"]


def test_functions_that_fail_are_all_named() -> None:
    """With what they raise, or with what is wrong about what they return."""

    def broken() -> Any:
        raise LookupError("no network")

    parameters = [spec("a", "int", computed_default=True), spec("b", "int", computed_default=True)]
    with pytest.raises(ParameterError) as found:
        resolve(parameters, {}, {"a": broken, "b": lambda: "x"}, Path(), "F", stored)
    assert codes(found.value) == ["FI714", "FI714"]
    assert "LookupError: no network" in str(found.value)
    assert "'x': it is a JSON string" in str(found.value)


def test_a_signature_shortens_long_defaults() -> None:
    """It stays one line that can be read."""
    assert len(signature([spec("p", "str", default="x" * 1000)], "F")) < 120
