"""Dividing a command line between our options and a flow's parameters."""

from __future__ import annotations

from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.parameters import JSONType, Parameter
from flowinfra.cli.arguments import (
    Given,
    described,
    hoisted,
    own_options,
    parameter_texts,
    parameter_values,
    parameters_of,
    separate,
    shadowed,
)
from flowinfra.diagnostics import ParameterError

OPTIONS = {"--help": False, "--tag": True, "-t": True, "--quiet": False, "-q": False}
KINDS = {"alpha": "float", "n-items": "int", "flag": "bool", "tag": "str"}


def is_file(word: str) -> bool:
    return word.endswith(".py")


@pytest.mark.parametrize(
    ("arguments", "subject", "ours", "rest"),
    [
        (["f.py"], "f.py", [], ()),
        (["f.py", "--alpha", "3"], "f.py", [], ("--alpha", "3")),
        (["--alpha", "3", "f.py"], "f.py", [], ("--alpha", "3")),
        (["--alpha=3", "f.py"], "f.py", [], ("--alpha=3",)),
        (["--flag", "f.py", "--alpha", "3"], "f.py", [], ("--flag", "--alpha", "3")),
        (["--tag", "x", "f.py", "-q"], "f.py", ["--tag", "x", "-q"], ()),
        (["--tag=x", "-tx", "-t", "x", "f.py"], "f.py", ["--tag=x", "-tx", "-t", "x"], ()),
        (["--tag", "--alpha", "f.py"], "f.py", ["--tag", "--alpha"], ()),
        (["--alpha", "-3", "f.py"], "f.py", [], ("--alpha", "-3")),
        (["folder", "--alpha", "other.py"], "folder", [], ("--alpha", "other.py")),
        (["--", "--odd.py"], "--odd.py", [], ()),
        (["--alpha", "3"], None, [], ("--alpha", "3")),
        ([], None, [], ()),
    ],
)
def test_separating(arguments: list[str], subject: str | None, ours: list[str], rest: tuple[str, ...]) -> None:
    """The subject is found wherever it stands; what is ours has its values with it, and the rest keeps its order."""
    parts = separate(arguments, OPTIONS, is_subject=is_file)
    assert (parts.subject, parts.ours, parts.rest) == (subject, ours, rest)


def test_where_there_is_no_subject_every_word_is_the_rest() -> None:
    """On a flow's own command line no word names a file."""
    assert separate(["x.py", "--alpha", "y.py"], OPTIONS, is_subject=None).rest == ("x.py", "--alpha", "y.py")


@given(st.lists(st.text(min_size=1)))
def test_nothing_is_lost(arguments: list[str]) -> None:
    """Whatever is written on a command line ends up in exactly one place."""
    parts = separate(arguments, OPTIONS, is_subject=is_file)
    found = [*parts.ours, *parts.rest, *([] if parts.subject is None else [parts.subject])]
    expected = list(arguments)
    if "--" in expected and "--" not in parts.ours:
        expected.remove("--")
    assert sorted(found) == sorted(expected)


@given(st.text())
def test_any_text_can_be_a_value(value: str) -> None:
    """`--name=VALUE` and `--param name=VALUE` take every text as it is."""
    assert parameter_texts([f"--alpha={value}"], KINDS).texts == {"alpha": value}
    assert parameter_texts([], KINDS, [f"alpha={value}"]).texts == {"alpha": value}


@pytest.mark.parametrize(
    ("rest", "texts"),
    [
        (["--alpha", "-3"], {"alpha": "-3"}),
        (["--n_items", "3"], {"n-items": "3"}),
        (["--n-items", "3"], {"n-items": "3"}),
        (["--flag"], {"flag": "true"}),
        (["--flag", "No"], {"flag": "No"}),
        (["--flag", "--alpha", "1"], {"flag": "true", "alpha": "1"}),
        (["--no-flag"], {"flag": "false"}),
        (["--flag=maybe"], {"flag": "maybe"}),
        (["--alpha", "1", "--alpha", "2"], {"alpha": "2"}),
        (["--other", "x"], {"other": "x"}),
        (["--other", "--alpha", "1"], {"other": "", "alpha": "1"}),
        (["--no-alpha", "1"], {"no-alpha": "1"}),
    ],
)
def test_parameters_as_they_are_written(rest: list[str], texts: dict[str, str]) -> None:
    """Names with - or _, booleans with and without a value, negative numbers; unknown names are kept."""
    assert parameter_texts(rest, KINDS) == Given(texts)


def test_what_is_no_parameter_is_found() -> None:
    """Stray words, names without a value and --param without = come together."""
    given = parameter_texts(["x", "--alpha"], KINDS, ["alpha", "=3", "flag=true"])
    assert [d.code for d in given.findings] == ["FI947", "FI945", "FI944", "FI944"]
    assert given.without_value == {"alpha"}
    assert given.texts == {"flag": "true"}


DECLARED: list[dict[str, Any]] = [
    {"name": "alpha", "attribute": "alpha", "type": "float", "json_schema": {"type": "number"}, "default": 0.5},
    {"name": "n", "attribute": "n", "type": "int", "json_schema": {"type": "integer"}, "required": True},
]


def test_values_are_complete_and_typed() -> None:
    """Texts become values of the declared types; defaults and recorded values fill up what is not given."""
    assert parameter_values(DECLARED, Given({"n": "3"}), "F") == {"alpha": 0.5, "n": 3}
    assert parameter_values(DECLARED, Given({"alpha": "2"}), "F", recorded={"n": 7}) == {"alpha": 2.0, "n": 7}


@pytest.mark.parametrize(
    ("given", "codes"),
    [
        (Given({}), ["FI710"]),
        (Given({"n": "x"}), ["FI713"]),
        (Given({}, without_value=frozenset({"n"})), []),
        (Given({"n": "1", "aplha": "2"}), ["FI711"]),
        (Given({"n": "1", "max-worker": "2"}), ["FI943"]),
        (Given({"n": "x", "aplha": "2", "max-worker": "2"}), ["FI711", "FI713", "FI943"]),
    ],
)
def test_each_mistake_is_said_once(given: Given, codes: list[str]) -> None:
    """One that is given wrong is not said to be missing too; the signature comes last."""
    if not codes:
        assert parameter_values(DECLARED, given, "F", options=["--max-workers"])["alpha"] == 0.5
        return
    with pytest.raises(ParameterError) as raised:
        parameter_values(DECLARED, given, "F", options=["--max-workers"])
    assert [d.code for d in raised.value.diagnostics] == [*codes, "FI716"]
    assert raised.value.diagnostics[-1].summary.endswith("F(alpha: float = 0.5, n: int)")


def test_shadowed_parameters() -> None:
    """An option of ours that was given and is called like a parameter is a warning."""
    (found,) = shadowed(["--tag", "x", "--quiet"], KINDS)
    assert "--param tag=VALUE" in found.hint
    assert shadowed(["-t", "x"], KINDS) == []


class Base(FlowSpec):
    first = Parameter(default=1, type=int)
    second = Parameter(default="x")


class Derived(Base):
    second = Parameter("two", required=True, type=JSONType, help="the second")
    third = Parameter(help="may be left out")


def test_parameters_of_a_class_and_its_bases() -> None:
    """By the callers' names, overridden ones once, in the order in which they are written."""
    assert list(parameters_of(Derived)) == ["first", "two", "third"]
    assert described(parameters_of(Derived)["two"]) == ("--two JSON", "the second  [required]")
    assert described(parameters_of(Derived)["third"]) == ("--third TEXT", "may be left out")
    assert described(parameters_of(Derived)["first"], ["--first"]) == ("--param first=INT", "[default: 1]")


def test_own_options_are_read_from_click() -> None:
    """Flags take no value, options do, in each of their spellings."""
    command = click.Command(
        "x", params=[click.Option(["--many", "-m"], multiple=True), click.Option(["--on/--off"]), click.Argument(["a"])]
    )
    assert own_options(command.params) == {
        "--help": False,
        "-h": False,
        "--many": True,
        "-m": True,
        "--on": False,
        "--off": False,
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["ls"]),
        (["ls"], ["ls"]),
        (["--tag", "set", "get", "k"], ["get", "--tag", "set", "k"]),
        (["--tag=set", "get", "k"], ["get", "--tag=set", "k"]),
        (["-q"], ["ls", "-q"]),
        (["get", "set"], ["get", "set"]),
        (["gte", "k"], ["gte", "k"]),
        (["--help"], ["--help"]),
        (["get", "--help"], ["get", "--help"]),
    ],
)
def test_a_groups_command_comes_first(arguments: list[str], expected: list[str]) -> None:
    """Options may stand on either side of the subcommand; without one the default is meant."""
    assert hoisted(arguments, ["ls", "get", "set"], OPTIONS, "ls") == expected
