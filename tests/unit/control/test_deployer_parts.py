"""The parts of a ``Deployer`` that need no process: options, tokens, names of stacks, values."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.control.deployer.options import Create
from flowinfra.control.deployer.tokens import TokenCache
from flowinfra.control.deployer.values import checked, trigger_values
from flowinfra.control.stacks import domain_of, is_own_stack, known_stacks, own_stack, project_at
from flowinfra.diagnostics import ConfigurationError, ParameterError
from flowinfra.engine.config import Project
from flowinfra.packaging.home import Home

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
stacks = st.from_regex(r"[A-Za-z0-9_.-]{1,100}", fullmatch=True)


@given(stacks, names, st.tuples(names, names))
def test_every_deployment_has_a_stack_name_of_its_own(domain: str, user: str, full: tuple[str, str]) -> None:
    """It is a valid name of a stack, is known as one of these, and differs for every user, stack and target."""
    name = own_stack(domain, user, "local", "/".join(full))
    assert is_own_stack(name)
    Project("p", Path("/p/Pulumi.yaml"), Path("/p"), "python", Path("/p")).config(name)
    others = {
        own_stack(domain, f"{user}x", "local", "/".join(full)),
        own_stack(f"{domain}x", user, "local", "/".join(full)),
        own_stack(domain, user, "step_functions", "/".join(full)),
        own_stack(domain, user, "local", f"{'/'.join(full)}x"),
    }
    assert name not in others
    assert len(others) == 4


def test_stacks_of_deployments_are_not_the_project_s(tmp_path: Path) -> None:
    """They are not listed, and a project that has only such ones has none to select; then the domain is `dev`."""
    home = Home.find(tmp_path, {})
    project = project_at(home)
    assert project.name == tmp_path.name
    assert domain_of(home, project) == "dev"
    folder = home.state_dir / ".pulumi" / "stacks" / project.name
    folder.mkdir(parents=True)
    own = own_stack("dev", "ada", "local", "Hello/default")
    (folder / f"{own}.json").touch()
    assert known_stacks(home, project) == []
    assert known_stacks(home, project, own=True) == [own]
    assert domain_of(home, project) == "dev"
    (folder / "prod.json").touch()
    assert domain_of(home, project) == "prod"


def test_options_are_as_they_were_after_json() -> None:
    """What goes to the deploying process is what was given, with dates as JSON and a token without its prefix."""
    made = Create.of(
        {
            "authorize": " production:abc ",
            "tags": ["a"],
            "parameters": {"when": datetime.date(2030, 1, 2)},
            "max_workers": 3,
            "user_namespace": None,
        },
        "local",
    )
    assert (made.authorize, made.tags, made.parameters) == ("abc", ("a",), {"when": "2030-01-02"})
    assert Create.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tags", "a"),
        ("tags", [""]),
        ("tags", ["x"] * 51),
        ("tags", ["x" * 501]),
        ("max_workers", True),
        ("max_workers", 0),
        ("max_workers", 2.0),
        ("workflow_timeout", "9"),
        ("only_json", 1),
        ("given_token", ""),
        ("authorize", 3),
        ("parameters", {1: 2}),
        ("parameters", {"x": {1}}),
        ("parameters", {"x": float("nan")}),
        ("user_namespace", 1),
        ("deployer_attribute_file", 1),
    ],
)
def test_values_that_do_not_fit_are_refused(name: str, value: Any) -> None:
    """Each with the name of the option and what it takes."""
    with pytest.raises(ConfigurationError, match=name) as caught:
        Create.of({name: value}, "local")
    assert [d.code for d in caught.value.diagnostics] == ["FI853"]


def test_a_token_is_kept_per_place_and_for_its_user_alone(tmp_path: Path) -> None:
    """Two checkouts of a project do not share one; a file that is no token's is none."""
    cache = TokenCache(tmp_path / "tokens")
    assert cache.find("local:p/dev/F/d", "/a") is None
    cache.keep("local:p/dev/F/d", "/a", "one")
    cache.keep("local:p/dev/F/d", "/b", "two")
    cache.keep("local:p/dev/F/d", "/a", "three")
    assert (cache.find("local:p/dev/F/d", "/a"), cache.find("local:p/dev/F/d", "/b")) == ("three", "two")
    files = sorted(cache.folder.iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert len(files) == 2
    cache.file("local:p/dev/F/d", "/a").write_text("[]", encoding="utf-8")
    assert cache.find("local:p/dev/F/d", "/a") is None
    cache.forget("local:p/dev/F/d", "/b")
    cache.forget("local:p/dev/F/d", "/b")
    assert cache.find("local:p/dev/F/d", "/b") is None


def test_a_folder_that_cannot_hold_a_token_is_said(tmp_path: Path) -> None:
    """The error says where it would lie and how to choose another place."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="FLOWINFRA_TOKEN_HOME") as caught:
        TokenCache(tmp_path / "file" / "tokens").keep("local:p/dev/F/d", "/a", "one")
    assert [d.code for d in caught.value.diagnostics] == ["FI893"]


def test_the_folder_of_tokens_is_the_user_s(tmp_path: Path) -> None:
    """A variable names it, else it lies among the user's settings."""
    assert TokenCache.of({"FLOWINFRA_TOKEN_HOME": str(tmp_path)}).folder == tmp_path
    assert TokenCache.of({"FLOWINFRA_CONFIG_HOME": str(tmp_path)}).folder == tmp_path / "tokens"


SPECS = [
    {"name": "n", "type": "int", "required": True, "json_schema": {"type": "integer"}},
    {
        "name": "some-day",
        "type": "date",
        "default": None,
        "json_schema": {"type": ["string", "null"], "format": "date"},
    },
    {"name": "free", "type": "json", "default": None, "json_schema": {}},
]


def test_values_are_typed_by_what_is_deployed() -> None:
    """Dates become JSON, a text stays a text where anything may stand, and `_` stands for `-`."""
    given = trigger_values(SPECS, {"n": 1, "some_day": datetime.date(2030, 1, 2), "free": "{}"})
    assert checked(given)(SPECS, given.values, "F") == {"n": 1, "some-day": "2030-01-02", "free": "{}"}


def test_everything_that_is_wrong_with_values_comes_at_once() -> None:
    """What does not fit is not missing as well."""
    given = trigger_values(SPECS, {"n": "1", "some_day": "2030-01-02", "no": object(), "free": {1}})
    with pytest.raises(ParameterError) as caught:
        checked(given)(SPECS, given.values, "F")
    assert [d.code for d in caught.value.diagnostics] == ["FI711", "FI712", "FI712", "FI712", "FI716"]
    missing = trigger_values(SPECS, {})
    with pytest.raises(ParameterError, match="n \\(int\\) must be given"):
        checked(missing)(SPECS, missing.values, "F")
