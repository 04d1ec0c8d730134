"""Stack modes: what they change, how each default is set singly, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowinfra.components as fic
from flowinfra import DeploymentSpec
from flowinfra.components import Settings
from flowinfra.components.modes import Mode, prefixed, safe_user
from flowinfra.components.observe import FORCED, OBSERVED, Observed
from flowinfra.control.modes import mode_findings
from flowinfra.control.plans import enriched
from flowinfra.control.stacks import OpenStack
from flowinfra.diagnostics import ConfigurationError, Diagnostic, FlowinfraError, Severity
from flowinfra.engine.base import Event, LogEvent, Options
from flowinfra.engine.config import Project
from flowinfra.model.deployment import Deployment
from flowinfra.model.plan import Action, Plan
from flowinfra.orchestrators.local.sqlite import Database, SqliteDeployments
from flowinfra.packaging.home import Home
from support.repository import Repository
from tests.components.conftest import Stack, by_kind
from tests.components.flows import Small

DEVELOPMENT = {"flowinfra:mode": "development"}
PRODUCTION = {"flowinfra:mode": "production"}


def program(name: str = "small", **spec: Any) -> Callable[[], None]:
    """A stack program with one deployment of Small."""

    def run() -> None:
        given = {"parameters": {"label": "x"}, **spec}
        fic.export(fic.FlowDeployment(name, DeploymentSpec(Small, name="nightly", **given)))

    return run


def deployed(stack: Stack) -> list[Any]:
    """What the Local orchestrator has."""
    return [d.deployment for d in SqliteDeployments(Database(Home.find(stack.folder).database)).list()]


@pytest.fixture
def ada(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack that Ada works with, in the folder of its project."""
    for name in ("FLOWINFRA_FORCE", "CI_COMMIT_BRANCH", "GITHUB_HEAD_REF", "GITHUB_REF_TYPE", "GIT_BRANCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FLOWINFRA_USER", "ada")
    monkeypatch.chdir(stack.folder)
    return stack


def open_(stack: Stack) -> OpenStack:
    project = Project.find(stack.folder)
    config = project.config(stack.name)
    settings = Settings.from_config(stack.name, config.all_values)
    return OpenStack(Home.find(stack.folder), project, stack.name, settings, stack.ref(program()), stack.engine())


def watched(stack: Stack, run: Callable[[], None], observed: Observed | None = None) -> Plan:
    """A preview as `flowinfra preview` makes it."""
    told = observed or Observed()
    return enriched(stack.engine().preview(stack.ref(run), options=Options(context={OBSERVED: told})), told)


def findings(stack: Stack, run: Callable[[], None], **options: Any) -> list[Diagnostic]:
    given = {"force": False, "saved_plan": False, **options}
    return mode_findings(open_(stack), watched(stack, run), **given)


# -- names ----------------------------------------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=60))
def test_a_users_name_is_made_safe_and_keeps_so(name: str) -> None:
    """Letters, digits and `_` only, short, and the same each time."""
    safe = safe_user(name)
    assert safe.isascii()
    assert set(safe) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert 0 < len(safe) <= 29
    assert safe_user(name) == safe


users = st.text(alphabet="abA-_. 1é", min_size=1, max_size=12)
names = st.text(alphabet="ab-_1", min_size=1, max_size=8)


@given(users, users, names, names)
def test_two_developers_never_get_the_same_name(one: str, other: str, first: str, second: str) -> None:
    """Whatever they are called and whatever they call their deployments, also where one contains the other."""
    prefix, another = safe_user(one), safe_user(other)
    if one != other and not first.startswith(f"{another}-") and not second.startswith(f"{prefix}-"):
        mine, yours = prefixed(prefix, first), prefixed(another, second)
        assert mine != yours


@given(users, names)
def test_a_prefix_is_put_in_front_once(user: str, name: str) -> None:
    """What is prefixed already stays, and what comes out is a name of a deployment."""
    once = prefixed(safe_user(user), name)
    assert prefixed(safe_user(user), once) == once
    assert Deployment(flow="F", name=once).name == once
    assert prefixed("", name) == name


# -- settings -------------------------------------------------------------------------------------------------------


def test_what_modes_set() -> None:
    """The defaults of both modes, and none without a mode."""
    none = Mode.of(Settings(stack="s"), "ada")
    assert none == Mode()
    dev = Mode.of(Settings(stack="s", mode="development"), "ada")
    assert (dev.prefix, dev.paused, dev.tags, dev.user) == ("ada", True, ("user:ada", "mode:development"), "ada")
    assert (dev.require_clean, dev.branch, dev.protect, dev.require_plan) == (False, "", False, False)
    prod = Mode.of(Settings(stack="s", mode="production"), "ada")
    assert (prod.prefix, prod.paused, prod.tags, prod.user) == ("", False, (), "")
    assert (prod.require_clean, prod.branch, prod.protect, prod.require_plan) == (True, None, True, False)


@pytest.mark.parametrize("mode", ["development", "production", ""])
def test_each_default_is_set_singly(mode: str) -> None:
    """An explicit setting holds in any mode, and is none of the mode's differences."""
    config: dict[str, Any] = {
        "flowinfra:name_prefix": "team",
        "flowinfra:paused": False,
        "flowinfra:tags": ["a", "b"],
        "flowinfra:require_clean": False,
        "flowinfra:branch": "release",
        "flowinfra:protect": False,
        "flowinfra:require_plan": True,
    } | ({"flowinfra:mode": mode} if mode else {})
    found = Mode.of(Settings.from_config("s", config), "ada")
    assert (found.prefix, found.paused, found.tags, found.user) == ("team", False, ("a", "b"), "")
    assert (found.require_clean, found.branch, found.protect, found.require_plan) == (False, "release", False, True)
    assert found.by_mode == frozenset()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("mode", "staging", "development, production"),
        ("name_prefix", "a-b", "letters, digits"),
        ("name_prefix", "a/b", "letters, digits"),
        ("name_prefix", "x" * 41, "at most 40"),
        ("protect", "yes", "true or false"),
        ("require_plan", 1, "true or false"),
        ("branch", "a b", "name of a branch"),
        ("tags", '["a", 1]', "list of tags"),
        ("tags", "[a", "list of tags"),
        ("tags", ["x" * 501], "list of tags"),
    ],
)
def test_wrong_values_are_told(key: str, value: Any, words: str) -> None:
    """Each with what it should have been."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_config("s", {f"flowinfra:{key}": value})
    (found,) = caught.value.diagnostics
    assert found.code == "FI921"
    assert words in found.summary


@pytest.mark.parametrize("value", [["a", "b"], '["a", "b"]', "a, b", "a,b,a"])
def test_tags_are_a_list_its_json_or_text_with_commas(value: Any) -> None:
    """All three ways in which a configuration can hold them."""
    assert Settings.from_config("s", {"flowinfra:tags": value}).tags == ("a", "b")


# -- development ----------------------------------------------------------------------------------------------------


def test_a_development_stack_deploys_the_developers_own(ada: Stack) -> None:
    """Name, tags and pause are the developer's; the resources are called as the program says."""
    ada.config(DEVELOPMENT)
    plan = ada.up(program(tags=["own"]))
    (found,) = deployed(ada)
    assert (found.full_name, found.paused) == ("Small/ada-nightly", True)
    assert found.tags == ("own", "user:ada", "mode:development")
    assert by_kind(plan)["FlowDeployment"].name == "small"
    assert set(ada.outputs(program())) == {"Small/ada-nightly"}
    assert not ada.preview(program(tags=["own"])).has_changes


def test_the_plan_says_what_the_mode_made_different(ada: Stack) -> None:
    """Each difference with its setting and its deployment; what the stack or the program says is none."""
    ada.config(DEVELOPMENT)
    plan = watched(ada, program())
    component = by_kind(plan)["FlowDeployment"]
    assert {(d.mode, d.setting, d.address) for d in plan.defaults} == {
        ("development", f"flowinfra:{name}", component.address) for name in ("name_prefix", "paused", "tags")
    }
    assert "deployed as Small/ada-nightly" in {d.effect for d in plan.defaults}
    ada.config({**DEVELOPMENT, "flowinfra:paused": False, "flowinfra:name_prefix": ""})
    assert {d.setting for d in watched(ada, program()).defaults} == {"flowinfra:tags"}
    ada.config(DEVELOPMENT)
    assert "flowinfra:paused" not in {d.setting for d in watched(ada, program(paused=True)).defaults}


def test_the_plain_cli_is_told_once_per_stack(ada: Stack) -> None:
    """Where nobody listens, the program's log says what the mode changes, however many deployments there are."""
    ada.config(DEVELOPMENT)
    said: list[str] = []

    def two() -> None:
        program("one")()
        fic.FlowDeployment("two", DeploymentSpec(Small, name="weekly", parameters={"label": "y"}))

    def listen(event: Event) -> None:
        if isinstance(event, LogEvent):
            said.append(event.message)

    ada.engine().preview(ada.ref(two), listen)
    (line,) = (text for text in said if "mode" in text)
    assert line.startswith("the stack's mode is development")
    assert "flowinfra:name_prefix" in line


def test_another_developers_stack_is_refused_by_name(ada: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bob's up on Ada's stack would take hers away: an error that tells him to make a stack of his own."""
    ada.config(DEVELOPMENT)
    ada.up(program())
    assert findings(ada, program(tags=["x"])) == []
    monkeypatch.setenv("FLOWINFRA_USER", "bob")
    (found,) = findings(ada, program())
    assert (found.code, found.severity) == ("FI674", Severity.ERROR)
    assert "Small/ada-nightly" in found.summary
    assert "flowinfra stack init dev-bob" in found.hint
    (forced,) = findings(ada, program(), force=True)
    assert (forced.code, forced.severity) == ("FI674", Severity.WARNING)
    assert forced.summary.startswith("forced by bob (--force): ")
    assert [d.code for d in findings(ada, program("renamed"))] == ["FI674"]
    ada.config({**DEVELOPMENT, "flowinfra:name_prefix": "team"})
    assert findings(ada, program()) == []


def test_two_developers_with_stacks_of_their_own_do_not_meet(
    make_stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both deploy the same program, and both are there."""
    stacks = {user: make_stack("proj", f"dev-{user}") for user in ("ada", "Ada")}
    for user, stack in stacks.items():
        monkeypatch.setenv("FLOWINFRA_USER", user)
        stack.config(DEVELOPMENT)
        stack.up(program())
    (first, second) = deployed(stacks["ada"])
    assert first.name != second.name


# -- production -----------------------------------------------------------------------------------------------------


@pytest.fixture
def production(ada: Stack) -> Repository:
    """A production stack in a clean checkout."""
    ada.config(PRODUCTION)
    (ada.folder / ".gitignore").write_text("state/\n")
    return Repository.create(ada.folder)


def test_a_clean_checkout_is_deployed_and_its_tokens_are_protected(ada: Stack, production: Repository) -> None:
    """The plan tells the mode's differences; what holds the token can be neither destroyed nor replaced."""
    assert findings(ada, program()) == []
    plan = watched(ada, program())
    by_setting = {d.setting: d.address for d in plan.defaults}
    assert by_setting["flowinfra:require_clean"] == ""
    assert by_setting["flowinfra:protect"] == by_kind(plan)["FlowDeployment"].address
    ada.up(program())
    (found,) = deployed(ada)
    assert (found.full_name, found.paused, found.tags) == ("Small/nightly", False, ())
    with pytest.raises(FlowinfraError, match="protected"):
        ada.destroy(program())
    assert len(deployed(ada)) == 1


def test_protection_can_be_taken_back(ada: Stack, production: Repository) -> None:
    """With flowinfra:protect false the next up lifts it, and everything can be deleted."""
    ada.up(program())
    ada.config({**PRODUCTION, "flowinfra:protect": False})
    production.commit()
    ada.up(program())
    ada.destroy(program())
    assert deployed(ada) == []


def test_a_dirty_checkout_is_refused(ada: Stack, production: Repository) -> None:
    """Preview tells, up refuses, --force goes on and says so; the plain engine is refused by the component itself."""
    production.write("flows/new.py")
    (found,) = findings(ada, program())
    assert (found.code, found.severity) == ("FI670", Severity.ERROR)
    assert "flows/new.py" in found.summary
    (forced,) = findings(ada, program(), force=True)
    assert "forced by ada (--force)" in forced.summary
    with pytest.raises(ConfigurationError, match="FI670"):
        ada.up(program())
    assert ada.preview(program()).has_changes
    assert not Home.find(ada.folder).database.exists()
    ada.engine().up(ada.ref(program()), options=Options(context={FORCED: True}))
    assert len(deployed(ada)) == 1


def test_the_plain_cli_can_be_forced_by_a_variable(
    ada: Stack, production: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FLOWINFRA_FORCE=1 goes on, with a warning that says what was forced."""
    production.write("new.py")
    monkeypatch.setenv("FLOWINFRA_FORCE", "1")
    said: list[str] = []
    ada.engine().up(ada.ref(program()), lambda e: said.append(e.message) if isinstance(e, LogEvent) else None)
    assert any(text.startswith("forced: error FI670") for text in said)
    assert len(deployed(ada)) == 1


def test_a_preview_of_the_plain_cli_warns(ada: Stack, production: Repository) -> None:
    """A preview goes through, and says what an up would refuse, once."""
    production.write("new.py")
    said: list[str] = []
    ada.engine().preview(ada.ref(program()), lambda e: said.append(e.message) if isinstance(e, LogEvent) else None)
    assert [t.split("\n")[0] for t in said if "FI670" in t] == [
        "`up` would refuse: error FI670: the checkout has changes that are in no commit: new.py"
    ]


def test_all_that_is_wrong_comes_at_once(ada: Stack, production: Repository) -> None:
    """Dirty, on another branch, and without a saved plan: three findings."""
    ada.config({**PRODUCTION, "flowinfra:branch": "release", "flowinfra:require_plan": True})
    assert {d.code for d in findings(ada, program())} == {"FI670", "FI671", "FI673"}
    with pytest.raises(ConfigurationError) as caught:
        ada.up(program())
    assert {d.code for d in caught.value.diagnostics} == {"FI670", "FI671", "FI673"}


def test_a_saved_plan_is_asked_for_where_the_stack_does(ada: Stack) -> None:
    """In any mode; one that was saved is all right."""
    ada.config({"flowinfra:require_plan": "true"})
    assert [d.code for d in findings(ada, program())] == ["FI673"]
    assert findings(ada, program(), saved_plan=True) == []
    with_changes = watched(ada, program())
    unchanged = with_changes.model_copy(
        update={"changes": tuple(c.model_copy(update={"action": Action.SAME}) for c in with_changes.changes)}
    )
    assert mode_findings(open_(ada), unchanged, force=False, saved_plan=False) == []


def test_no_checkout_at_all_is_refused_with_the_reason(ada: Stack) -> None:
    """A production stack outside of git says so."""
    ada.config(PRODUCTION)
    (found,) = findings(ada, program())
    assert found.code == "FI672"
    assert "no git checkout" in found.summary


def test_a_part_of_a_production_stack_is_told(ada: Stack, production: Repository) -> None:
    """A plan that leaves something out says that what is deployed is no commit's as a whole."""
    plan = watched(ada, program()).model_copy(update={"complete": False})
    (found,) = mode_findings(open_(ada), plan, force=False, saved_plan=False)
    assert (found.code, found.severity) == ("FI675", Severity.WARNING)


def test_without_a_mode_nothing_is_asked_or_told(ada: Stack) -> None:
    """A stack without a mode is as it was: no prefix, no question, nothing in the plan."""
    plan = watched(ada, program())
    assert plan.defaults == ()
    assert findings(ada, program()) == []
    assert by_kind(plan)["Token"].action is Action.CREATE
    assert "developer" not in (by_kind(plan)["FlowDeployment"].after or {})


def test_the_guard_listens_to_flowinfras_own_up(ada: Stack, production: Repository, tmp_path: Path) -> None:
    """Where flowinfra itself asks and refuses, the component does not do so a second time."""
    production.write("new.py")
    ada.engine().up(ada.ref(program()), options=Options(context={OBSERVED: Observed()}))
    assert len(deployed(ada)) == 1
