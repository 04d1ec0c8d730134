"""What a Runner is told, before anything is started: values on their way, names and types, options, profiles."""

from __future__ import annotations

import datetime
import math
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra import FlowSpec, IncludeFile, JSONType, Parameter
from flowinfra.cli.arguments import parameters_of
from flowinfra.control.direct import RunOptions
from flowinfra.control.invocation import FlowSource, Invocation, TopOptions, profile_variables
from flowinfra.control.messages import Foreign, decode_value, encode_value, error_from_json, error_to_json
from flowinfra.control.missing import NoSuchKey
from flowinfra.control.runner.keywords import RESUME, RUN, Given, Sorted, sort_out
from flowinfra.control.tagging import is_tag
from flowinfra.diagnostics import (
    AuthoringError,
    ConfigurationError,
    FlowinfraError,
    NotFoundError,
    ParameterError,
    Source,
    error,
)
from support.child import Python

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
VALUES = JSON | st.dates() | st.datetimes() | st.binary()


class Typed(FlowSpec):
    """A flow with a parameter of each type."""

    count = Parameter(default=1)
    rate = Parameter("learning-rate", default=0.5)
    name = Parameter(default="x")
    on = Parameter(default=False)
    items = Parameter(default=[1])
    table = Parameter(default={"a": 1})
    day = Parameter(default=datetime.date(2030, 1, 31))
    moment = Parameter(default=datetime.datetime(2030, 1, 31, 8, tzinfo=datetime.UTC))
    anything = Parameter(type=JSONType)
    file = IncludeFile()
    tags = Parameter(default="one that is an option too")


class Needs(FlowSpec):
    """A flow with a parameter that has to be given."""

    alpha = Parameter(type=float, required=True)


def sorted_out(flow: type[FlowSpec] = Typed, /, **keywords: Any) -> Sorted:
    return sort_out(Given("run", keywords), parameters_of(flow).values(), RUN, flow.__name__)


def refused(flow: type[FlowSpec] = Typed, /, **keywords: Any) -> FlowinfraError:
    with pytest.raises(FlowinfraError) as caught:
        sorted_out(flow, **keywords)
    return caught.value


# -- values on their way --------------------------------------------------------------------------------------------


@given(VALUES)
def test_a_value_arrives_as_it_was_given(value: Any) -> None:
    """Numbers, texts, lists, dicts, dates and bytes keep their types on their way to the program."""
    there = decode_value(encode_value(value))
    assert there == value
    assert type(there) is type(value)


def test_what_has_no_form_is_named() -> None:
    """A value that cannot travel arrives as its class and its representation, so that it can be complained about."""
    there = decode_value(encode_value({"a": [1, {1, 2}]}))
    assert there == {"a": [1, Foreign("set", "{1, 2}")]}
    assert decode_value(encode_value({1: "a"})) == Foreign("dict", "{1: 'a'}")


def test_numbers_of_numpy_are_numbers() -> None:
    """A scalar of NumPy is the number that it holds; an array is none."""
    numpy = pytest.importorskip("numpy")
    for value, kind in ((numpy.int64(3), int), (numpy.float32(0.5), float), (numpy.bool_(True), bool)):
        there = decode_value(encode_value(value))
        assert type(there) is kind
        assert there == value
    assert isinstance(decode_value(encode_value(numpy.zeros(2))), Foreign)


def test_an_error_arrives_as_it_was_raised() -> None:
    """An error keeps its class and its diagnostics on its way back."""
    first = error("FI811", "there is no run", detail="why", hint="do", source=Source("flow.py", 3))
    there = error_from_json(error_to_json(NotFoundError([first, error("FI812", "nor a flow")])))
    assert type(there) is NotFoundError
    assert there.diagnostics == (first, error("FI812", "nor a flow"))[::-1]
    assert type(error_from_json(error_to_json(NoSuchKey(first)))) is NotFoundError  # what is more is no program's


# -- keywords -------------------------------------------------------------------------------------------------------


def test_values_fit_their_types(tmp_path: Path) -> None:
    """Each type takes its Python values, and gives the run their JSON."""
    (tmp_path / "some.txt").write_text("text", encoding="utf-8")
    found = sorted_out(
        count=3,
        learning_rate=1,
        name="a",
        on=True,
        items=(1, "b"),
        table={"k": None},
        day=datetime.date(2031, 1, 1),
        moment=datetime.datetime(2031, 1, 1),  # noqa: DTZ001 - a parameter may have no time zone
        anything="{}",
        max_workers=2,
    )
    assert found.parameters == {
        "count": 3,
        "learning-rate": 1.0,
        "name": "a",
        "on": True,
        "items": [1, "b"],
        "table": {"k": None},
        "day": "2031-01-01",
        "moment": "2031-01-01T00:00:00",
        "anything": "{}",  # a text is a text: it is not read as JSON
    }
    assert type(found.parameters["learning-rate"]) is float
    assert found.options == {"max_workers": 2}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", "3"),
        ("count", 1.0),
        ("count", True),
        ("learning_rate", "0.5"),
        ("learning_rate", True),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("name", 3),
        ("name", Path("x")),
        ("on", 1),
        ("on", "true"),
        ("items", "[1]"),
        ("items", {"a": 1}),
        ("items", [datetime.date(2030, 1, 1)]),
        ("table", [1]),
        ("table", '{"a": 1}'),
        ("table", {"a": math.nan}),
        ("day", "2030-01-01"),
        ("day", datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)),
        ("moment", datetime.date(2030, 1, 1)),
        ("anything", Foreign("set", "{1}")),
        ("anything", b"bytes"),
        ("file", 3),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, value: Any) -> None:
    """A value of another type is refused with the declared type and the value; nothing is read from a text."""
    problem = refused(**{name: value})
    assert isinstance(problem, ParameterError)
    (said,) = problem.diagnostics
    assert said.code == "FI712"
    kind = next(p.kind for p in parameters_of(Typed).values() if p.name.replace("-", "_") == name)
    assert f"is of the type {kind}; {value!r} is none" in said.summary


def test_everything_wrong_is_said_at_once() -> None:
    """Unknown names, wrong options and wrong parameters come together, each with what is near or valid."""
    problem = refused(cuont=3, count="a", max_workers=0, tag=["x"], timeout="soon")
    said = {d.code: d for d in problem.diagnostics}
    assert sorted(d.code for d in problem.diagnostics) == ["FI712", "FI853", "FI853", "FI860", "FI860"]
    assert "(did you mean 'count'?)" in str(problem)
    assert "the parameters of Typed are count, learning_rate" in said["FI860"].detail
    assert "max_workers" in said["FI860"].detail


def test_a_number_that_is_too_large_is_refused() -> None:
    """A whole number that no float can hold is a value that does not fit, not a crash of the program."""
    (said,) = refused(learning_rate=10**400).diagnostics
    assert (said.code, said.detail) == ("FI712", "it is too large")


def test_what_a_value_is_needs_no_article() -> None:
    """The class of a value that does not fit is said in words that are right for every name; so are a dict's keys."""
    found = refused(name=1, anything=decode_value(encode_value({1: "a"})), items=[object()])
    said = {d.summary.split()[2]: d.detail for d in found.diagnostics}
    assert said["name"] == "it is of the type int"
    assert said["anything"] == "it has keys that are no texts"
    assert said["items"].endswith("which is of the type object")


def test_a_name_in_the_wrong_mapping_is_told_where_it_belongs() -> None:
    """A parameter among the options, or an option among the parameters, is said to be one, not to be unknown."""
    with pytest.raises(ConfigurationError) as caught:
        sort_out(Given("run", {}, {"max_workers": 2}, {"count": 1}), parameters_of(Typed).values(), RUN, Typed.__name__)
    assert {(d.code, d.summary, d.hint) for d in caught.value.diagnostics} == {
        (
            "FI860",
            "'count' is not an option: it is a parameter of Typed",
            "give it as run(count=...), or in parameters={...}",
        ),
        (
            "FI860",
            "'max_workers' is not a parameter of Typed: it is an option",
            "give it as run(max_workers=...), or in options={...}",
        ),
    }


def test_a_missing_parameter_is_named() -> None:
    """A parameter that has to be given and is not is named with how it is given in Python."""
    (said,) = refused(Needs).diagnostics
    assert said.code == "FI710"
    assert "alpha=..." in said.hint


def test_a_name_that_means_two_things_is_refused() -> None:
    """A parameter that is called like an option is never lost: the caller says which one is meant."""
    (said,) = refused(tags=["a"]).diagnostics
    assert said.code == "FI854"
    given = Given("run", {}, {"tags": "the parameter"}, {"tags": ["the option"]})
    found = sort_out(given, parameters_of(Typed).values(), RUN, "Typed")
    assert found.parameters == {"tags": "the parameter"}
    assert found.options == {"tags": ("the option",)}


def test_what_is_given_twice_is_refused() -> None:
    """A parameter or an option that stands in its mapping and beside it is told, whichever value was meant."""
    given = Given("run", {"max_workers": 2, "n": 1}, {"n": 2}, {"max_workers": 3})
    with pytest.raises(FlowinfraError) as raised:
        sort_out(given, parameters_of(Typed).values(), RUN, "Typed")
    assert [d.code for d in raised.value.diagnostics if d.code == "FI864"] == ["FI864", "FI864"]


def test_resume_takes_no_parameters() -> None:
    """A resumed run has the parameters of its origin: giving others is refused."""
    with pytest.raises(ConfigurationError) as caught:
        sort_out(Given("resume", {"alpha": 1, "origin_run_id": "x"}), None, RESUME, "Needs")
    assert [d.code for d in caught.value.diagnostics] == ["FI860"]


def test_options_without_effect_are_said() -> None:
    """Limits that the field has and flowinfra has not are taken, and it is said that they do nothing."""
    found = sorted_out(max_num_splits=10)
    assert [d.code for d in found.warnings] == ["FI862"]


# -- options before the command -------------------------------------------------------------------------------------


def test_top_options_are_checked_together() -> None:
    """Unknown options, wrong types and what is not there are all found in the constructor."""
    with pytest.raises(ConfigurationError) as caught:
        TopOptions.of({"pylnt": False, "quiet": 1, "decospecs": "retry", "environment": "conda", "datastore": "s3"})
    assert sorted(d.code for d in caught.value.diagnostics) == ["FI852", "FI853", "FI853", "FI858", "FI858"]
    assert "(did you mean 'pylint'?)" in str(caught.value)


def test_top_options_travel() -> None:
    """What is said before the command arrives in the program; None means that nothing is said."""
    given = {
        "pylint": False,
        "quiet": True,
        "decospecs": ["retry:times=2"],
        "config_value": {"c": {"a": datetime.date(2030, 1, 1)}},
        "branch": "x",
        "production": False,
        "environment": None,
    }
    top = TopOptions.of(given)
    assert TopOptions.from_json(top.to_json()) == top
    assert top.decospecs == ("retry:times=2",)
    assert top.config_value == (("c", {"a": datetime.date(2030, 1, 1)}),)


def test_a_store_is_a_variable_of_the_program(tmp_path: Path) -> None:
    """Which store a run uses is said to its processes, with what is said for this call as the strongest."""
    (tmp_path / "flow.py").write_text("", encoding="utf-8")
    told = Invocation.of(tmp_path / "flow.py", {"datastore_root": "/some/store"}, env={"A": "1"}, cwd=tmp_path)
    assert (told.env["FLOWINFRA_STORE"], told.env["A"], told.cwd) == ("/some/store", "1", tmp_path)


def test_what_no_environment_can_hold_is_refused(tmp_path: Path) -> None:
    """All of it is named before anything starts, and no value is shown: it may be a secret."""
    (tmp_path / "flow.py").write_text("", encoding="utf-8")
    wrong: Any = {"A": b"hunter2", "B": "hunter2\0", "C=D": "x", "": "x", 5: "x", "FINE": "x"}
    with pytest.raises(ConfigurationError) as caught:
        Invocation.of(tmp_path / "flow.py", {}, env=wrong)
    assert [d.code for d in caught.value.diagnostics] == ["FI853"] * 5
    assert "hunter2" not in str(caught.value)


def test_what_stands_beside_the_options_is_checked_too(tmp_path: Path) -> None:
    """A profile, an environment or a folder of another type is refused with what it should be, all at once."""
    (tmp_path / "flow.py").write_text("", encoding="utf-8")
    wrong: Any = {"profile": 3, "env": "TEAM=north", "cwd": 5}
    with pytest.raises(ConfigurationError) as caught:
        Invocation.of(tmp_path / "flow.py", {}, **wrong)
    assert [d.code for d in caught.value.diagnostics] == ["FI853"] * 3


# -- which flow -----------------------------------------------------------------------------------------------------


def test_a_flow_is_a_file_a_name_in_it_or_a_class(tmp_path: Path) -> None:
    """All three ways to name a flow lead to its file."""
    file = tmp_path / "flow.py"
    file.write_text("", encoding="utf-8")
    assert FlowSource.of(str(file)) == FlowSource(file)
    assert FlowSource.of(f"{file}:Name") == FlowSource(file, "Name")
    assert FlowSource.of(PurePosixPath(file)) == FlowSource(file)
    there = FlowSource.of(Typed)
    assert (there.file, there.name) == (Path(__file__).resolve(), "Typed")
    assert FlowSource.from_json(there.to_json()) == there


def test_a_class_that_no_file_holds_is_for_notebooks() -> None:
    """A class that another process cannot import is refused, and NBRunner is named."""

    class Inside(FlowSpec):
        pass

    for flow in (Inside, type("Made", (FlowSpec,), {"__module__": "nowhere"}), int, 3):
        with pytest.raises(ConfigurationError) as caught:
            FlowSource.of(flow)  # type: ignore[arg-type]
        assert caught.value.diagnostics[0].code == "FI856"
    with pytest.raises(ConfigurationError, match="NBRunner"):
        FlowSource.of(Inside)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A path that leads to no Python file is refused with the place that was looked at."""
    with pytest.raises(AuthoringError, match=r"there is no file nothing\.py"):
        FlowSource.of("nothing.py")
    with pytest.raises(AuthoringError, match="is no Python file"):
        FlowSource.of(tmp_path)


# -- profiles -------------------------------------------------------------------------------------------------------


def test_a_profile_is_a_set_of_settings(tmp_path: Path) -> None:
    """A profile's settings become variables of the run's processes."""
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "team.toml").write_text('FLOWINFRA_STORE = "s3://bucket/runs"\n', encoding="utf-8")
    (folder / "bad.toml").write_text('PATH = "x"\nFLOWINFRA_USER = 3\n', encoding="utf-8")
    (folder / "torn.toml").write_text("FLOWINFRA_STORE =\n", encoding="utf-8")
    env = {"FLOWINFRA_CONFIG_HOME": str(tmp_path)}
    assert profile_variables("team", env) == {"FLOWINFRA_STORE": "s3://bucket/runs"}
    assert profile_variables(None, env) == {}
    for name, said in (("teem", "did you mean 'team'"), ("bad", "PATH"), ("torn", "is no TOML")):
        with pytest.raises(ConfigurationError, match=said):
            profile_variables(name, env)


# -- what is imported -----------------------------------------------------------------------------------------------


def test_the_program_of_a_run_imports_nothing_heavy(python: Python) -> None:
    """Neither who starts a run nor the process that carries it out waits for libraries that no run needs."""
    for modules in (
        "flowinfra.control.runner.runner",
        "flowinfra.cli.programs.run, flowinfra.control.runner.keywords, flowinfra.control.direct, flowinfra.cli.views.run",
    ):
        said = python.code(
            f"import sys, {modules}\n"
            "heavy = ('asyncio', 'click', 'pydantic', 'pulumi', 'rich', 'obstore', 'numpy', 'importlib.metadata')\n"
            "print([name for name in heavy if name in sys.modules])\n"
        )
        assert said == "[]\n"


# -- tags -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["", "x" * 501, "two\nlines", "half a character \udc80"])
def test_a_run_starts_with_no_tag_that_it_could_not_be_given_later(tag: str) -> None:
    """What a run is tagged with at its start obeys the rule of `add_tag`, and is refused before anything starts."""
    with pytest.raises(ConfigurationError, match="FI949"):
        RunOptions(tags=("fine ü", tag))
    assert not is_tag(tag)
