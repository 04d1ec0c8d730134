"""Configs: where their values come from, what they are inside a flow, and everything that may be wrong with them."""

from __future__ import annotations

import json
import pickle
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra import Config
from flowinfra.authoring.configs import ConfigSources, configs_of
from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.frozen import ConfigValue, frozen, misfit, plain
from flowinfra.authoring.graph import read_bindings, read_graph
from flowinfra.authoring.loader import load_entrypoint, load_flow, load_variant
from flowinfra.diagnostics import AuthoringError, Diagnostic
from flowinfra.packaging.build import build, compile_flow
from flowinfra.packaging.home import Home
from support.flows import Flows

FLOW = """
import json, tomllib
from flowinfra import Config, FlowSpec, Parameter, config_expr, environment, project, resources, retry, step

{head}

class Train(FlowSpec):
    {body}

    {decorator}
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def write(flows: Flows, *body: str, head: str = "", decorator: str = "", name: str = "") -> Path:
    """A flow file with these lines in the class."""
    return flows.write(FLOW.format(head=head, body="\n    ".join(body), decorator=decorator), name)


def load(flows: Flows, *body: str, configs: ConfigSources | None = None, **parts: str) -> type[FlowSpec]:
    """The flow of such a file."""
    return load_flow(write(flows, *body, **parts), configs=configs)


def value_of(flow: type[FlowSpec], attribute: str = "cfg") -> Any:
    """What a config of *flow* is in its steps."""
    return configs_of(flow)[attribute].__get__(object(), flow)


def findings(flows: Flows, *body: str, configs: ConfigSources | None = None, **parts: str) -> list[Diagnostic]:
    """What is found while a flow is loaded, or in its graph."""
    file = write(flows, *body, **parts)
    try:
        flow = load_flow(file, configs=configs)
    except AuthoringError as why:
        return list(why.diagnostics)
    return [*read_graph(flow, root=file.parent)[1], *read_bindings(flow, root=file.parent)[1]]


# -- where values come from -----------------------------------------------------------------------------------------


def test_a_default_file_lies_beside_the_flow(flows: Flows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is found from every folder, and is what the steps see."""
    flows.write('{"a": {"b": [1, 2]}}', "values.json")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    cfg = value_of(load(flows, 'cfg = Config("cfg", default="values.json")'))
    assert (cfg.a.b[1], cfg["a"]["b"]) == (2, [1, 2])


def test_what_is_given_is_stronger_than_the_default(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is looked for from the current folder, a value is text or the value itself; each replaces the default."""
    monkeypatch.chdir(flows.folder)
    flows.write('{"x": "file"}', "given.json")
    body = 'cfg = Config("my-cfg", default_value={"x": "default"})'
    assert value_of(load(flows, body)).x == "default"
    assert value_of(load(flows, body, configs=ConfigSources.given([("my-cfg", "given.json")]))).x == "file"
    assert value_of(load(flows, body, configs=ConfigSources.given([], {"my_cfg": '{"x": "text"}'}))).x == "text"
    assert value_of(load(flows, body, configs=ConfigSources.given((), [("my-cfg", {"x": "value"})]))).x == "value"


def test_parsers_are_functions_or_their_places(flows: Flows) -> None:
    """The text of a file, of a default and of a given value all go through the parser."""
    flows.write("x = 1", "values.toml")
    assert value_of(load(flows, 'cfg = Config("cfg", default="values.toml", parser=tomllib.loads)')).x == 1
    assert value_of(load(flows, 'cfg = Config("cfg", default_value="x = 2", parser="tomllib.loads")')).x == 2
    body = 'cfg = Config("cfg", parser="tomllib.loads")'
    assert value_of(load(flows, body, configs=ConfigSources.given((), {"cfg": "x = 3"}))).x == 3
    assert tomllib.loads("x = 3") == {"x": 3}


def test_a_config_that_nobody_gives_is_none(flows: Flows) -> None:
    """Not required and without a default, as in the field."""
    assert value_of(load(flows, 'cfg = Config("cfg")')) is None


def test_a_file_is_imported_again_for_other_configs(flows: Flows) -> None:
    """The same configs give the same class, other ones another; asking for none takes what is there."""
    file = write(flows, 'cfg = Config("cfg", default_value=1)')
    one = load_flow(file)
    two = load_flow(file, configs=ConfigSources.given((), {"cfg": 2}))
    assert one is not two
    assert (value_of(one), value_of(two)) == (1, 2)
    assert load_flow(file) is two
    assert load_flow(file, configs=ConfigSources.given((), {"cfg": 2})) is two


def test_a_variant_leaves_the_flow_as_it_was(flows: Flows) -> None:
    """Two deployments of one flow have two configs, and whoever imports the flow later gets the first one."""
    file = write(flows, 'cfg = Config("cfg", default_value=1)')
    one = load_flow(file)
    two = load_variant(one, ConfigSources.given((), {"cfg": 2}))
    assert (value_of(one), value_of(two), load_flow(file)) == (1, 2, one)
    assert build(one).release != build(two).release


def test_tasks_get_what_the_release_has_recorded(flows: Flows) -> None:
    """Neither the file nor the parser is there any more; a config of another flow in the file is left unread."""
    file = write(
        flows,
        'cfg = Config("cfg", default="gone.json", parser="no.such.parser")',
        "size = cfg.size * 2",
        name="recorded_flow.py",
    )
    flows.write("from flowinfra import *\n", "unused_beside.py")
    text = file.read_text() + "\nclass Other(FlowSpec):\n    cfg = Config('of_other', default='also_gone.json')\n"
    file.write_text(text + "    n = cfg.n + 1\n")
    recorded = {"bindings": [{"kind": "config", "name": "cfg", "value": {"size": 2}}]}
    load_flow(file, "Train", configs=ConfigSources.of_release(recorded))
    owner, _ = load_entrypoint("recorded_flow:Train.start", ConfigSources.of_release(recorded))
    assert (value_of(owner), vars(owner)["size"]) == ({"size": 2}, 4)


def test_who_imported_a_flow_with_other_configs_imports_it_again_for_a_task(flows: Flows) -> None:
    """A process that was forked before it was known which run is resumed has the values of today."""
    file = write(flows, 'cfg = Config("cfg", default_value=1)', name="forked_flow.py")
    load_flow(file)
    recorded = {"bindings": [{"kind": "config", "name": "cfg", "value": 7}]}
    owner, _ = load_entrypoint("forked_flow:Train.start", ConfigSources.of_release(recorded))
    assert value_of(owner) == 7


# -- what they are inside a flow ------------------------------------------------------------------------------------


def test_values_shape_the_flow(flows: Flows) -> None:
    """Decorators, parameters and the body of the class use them as they are."""
    file = write(
        flows,
        'cfg = Config("cfg", default_value={"cpu": 2, "env": {"MODE": "fast"}, "lr": 0.5, "names": ["a"]})',
        "lr = Parameter(default=cfg.lr)",
        "names = Parameter(default=cfg.names)",
        'twice = Parameter(default=config_expr("cfg.lr * 2"))',
        "count = len(cfg.names)",
        decorator="@resources(cpu=cfg.cpu)\n    @retry(times=config_expr('cfg.cpu + 1'))\n    @environment(vars=cfg.env)",
    )
    flow = load_flow(file)
    graph, found = read_graph(flow, root=file.parent)
    assert graph is not None, found
    start = graph.step("start")
    assert start.policy.retry is not None
    environment = graph.environment(start.environment)
    assert (start.policy.retry.times, environment.resources.cpu, environment.env_vars) == (3, 2, {"MODE": "fast"})
    assert {p.name: p.default for p in graph.parameters} == {"lr": 0.5, "names": ["a"], "twice": 1.0}
    assert vars(flow)["count"] == 1


def test_expressions_reach_configs_of_a_base_and_come_before_the_class(flows: Flows) -> None:
    """Both are worked out when the class is complete; by attribute or by name, with what the module has."""
    file = flows.write(
        """
from flowinfra import Config, FlowSpec, Parameter, config_expr, project, retry, step

FACTOR = 3

class Base(FlowSpec):
    settings = Config("cfg", default_value={"n": 2, "project": "demo"})

@project(name=config_expr("cfg.project"))
class Train(Base):
    n = Parameter(default=config_expr("settings.n * FACTOR"))

    @retry(times=config_expr("cfg.n"))
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""
    )
    flow = load_flow(file, "Train")
    graph, found = read_graph(flow, root=file.parent)
    assert graph is not None, found
    retry = graph.step("start").policy.retry
    assert retry is not None
    assert (retry.times, graph.parameters[0].default, graph.parameters[0].type) == (2, 6, "int")


def test_nothing_of_a_config_can_be_changed(flows: Flows) -> None:
    """Neither the value, nor what is in it, nor the attribute of the flow."""
    flow = load(flows, 'cfg = Config("cfg", default_value={"a": {"b": 1}, "c": [1]})')
    cfg = value_of(flow)
    for change in (
        lambda: cfg.update(a=1),
        lambda: cfg.__setitem__("a", 1),
        lambda: cfg.a.__setattr__("b", 2),
        lambda: cfg.c.append(2),
        lambda: cfg.c.__setitem__(0, 2),
        lambda: cfg.pop("a"),
    ):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    with pytest.raises(AttributeError, match="cannot be set"):
        configs_of(flow)["cfg"].__set__(object(), 1)
    assert cfg == {"a": {"b": 1}, "c": [1]}


def test_what_is_not_there_names_the_nearest(flows: Flows) -> None:
    """By attribute and by item."""
    cfg = value_of(load(flows, 'cfg = Config("cfg", default_value={"epochs": 3})'))
    with pytest.raises(AttributeError, match="did you mean 'epochs'"):
        _ = cfg.epoch
    with pytest.raises(KeyError, match="did you mean 'epochs'"):
        _ = cfg["epoch"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_a_frozen_value_is_equal_to_the_plain_one(value: Any) -> None:
    """It compares, pickles and becomes JSON as the plain one does, and becomes that again."""
    held = frozen(value)
    assert misfit(value) == ""
    assert held == value
    assert json.dumps(held) == json.dumps(value)
    assert pickle.loads(pickle.dumps(held)) == held
    assert json.dumps(plain(held)) == json.dumps(value)
    assert type(plain(held)) in (dict, list, str, int, float, bool, type(None))


def test_a_part_of_a_config_stays_one_as_an_artifact() -> None:
    """A step may hand on what it was given."""
    again = pickle.loads(pickle.dumps(frozen({"a": {"b": 1}}).a))
    assert isinstance(again, ConfigValue)
    assert again.b == 1


# -- what a release records -----------------------------------------------------------------------------------------


def test_a_release_records_values_with_digest_and_place(flows: Flows) -> None:
    """Another value makes another release; the same value from elsewhere does not."""
    file = write(flows, 'cfg = Config("my-cfg", default_value={"x": 1})')
    (binding,) = json.loads(build(load_flow(file)).release_bytes)["bindings"]
    assert (binding["kind"], binding["name"], binding["attribute"]) == ("config", "my-cfg", "cfg")
    assert (binding["value"], binding["source"]["file"]) == ({"x": 1}, file.name)
    assert len(binding["sha256"]) == 64
    release = build(load_flow(file)).release
    assert build(load_flow(file, configs=ConfigSources.given((), {"my-cfg": '{"x": 1}'}))).release == release
    assert build(load_flow(file, configs=ConfigSources.given((), {"my-cfg": '{"x": 2}'}))).release != release


def test_what_was_compiled_is_remembered_by_the_values(flows: Flows) -> None:
    """A changed config file gives another release, though not a byte of the code has changed."""
    home = Home(flows.folder / ".flowinfra", flows.folder, (flows.folder / "store").as_uri())
    values = flows.write('{"x": 1}', "values.json")
    file = write(flows, 'cfg = Config("cfg", default="values.json")')
    same = ConfigSources.given([("cfg", values)])
    first = compile_flow(load_flow(file), home)
    assert compile_flow(load_flow(file), home).release == first.release
    values.write_text('{"x": 2}')
    second = compile_flow(load_flow(file, configs=same), home)
    assert (first.release != second.release, second.configs) == (True, {"cfg": {"x": 2}})


# -- what may be wrong ----------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_comes_at_once(flows: Flows) -> None:
    """Also what is given and not there; what the flow makes of a config that cannot be read is no finding."""
    found = findings(
        flows,
        'a = Config("a", default="no.json")',
        'b = Config("b", default_value="{")',
        'c = Config("c", default_value={"at": {1, 2}})',
        'd = Config("d", required=True)',
        'e = Config("e", default_value="x", parser=json.loads)',
        'f = Config("f", default_value="x", parser="json.nothing")',
        'g = Config("g", default="x", default_value=1)',
        "n = Parameter(default=a.n)",
        decorator="@retry(times=b.times)",
        configs=ConfigSources.given([("aa", "x.json")]),
    )
    assert sorted(d.code for d in found) == ["FI160", "FI161", "FI162", "FI163", "FI164", "FI164", "FI165", "FI166"]
    assert all(d.source is not None for d in found if d.code != "FI165")
    assert "did you mean 'a'" in next(d.summary for d in found if d.code == "FI165")
    assert "at" in next(d.detail for d in found if d.code == "FI163")


CASES = {
    "broken JSON, with its line": (('cfg = Config("cfg", default_value=\'{\\n"a": nope}\')',), "FI162", '"a": nope'),
    "a key that is no text": (('cfg = Config("cfg", default_value={"a": {1: 2}})',), "FI163", "the key 1 of a"),
    "a number that JSON does not know": (('cfg = Config("cfg", default_value=[1, float("nan")])',), "FI163", "[1]"),
    "no name": (('cfg = Config("9")',), "FI160", "no name of a config"),
    "a default that is no path": (('cfg = Config("cfg", {"a": 1})',), "FI160", "no path of a file"),
    "a parser that is none": (('cfg = Config("cfg", parser=3)',), "FI160", "no function"),
    "two of one name": (
        ('a = Config("x", default_value=1)', 'b = Config("x", default_value=2)'),
        "FI160",
        "two configs",
    ),
    "an expression that is none": (
        ('cfg = Config("cfg", default_value=1)', 'n = config_expr("cfg +")'),
        "FI167",
        "cfg +",
    ),
    "an expression that raises": (
        ('cfg = Config("cfg", default_value={"epochs": 1})', 'n = config_expr("cfg.epoch")'),
        "FI167",
        "did you mean 'epochs'",
    ),
    "an expression over nothing": (('n = Parameter(default=config_expr("cfg.b"))',), "FI167", "no config"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_finding_says_what_and_where(flows: Flows, case: str) -> None:
    """One finding of its code, which shows what was written."""
    body, code, shown = CASES[case]
    found = [d for d in findings(flows, *body) if d.code != "FI103"]
    assert [d.code for d in found] == [code]
    assert shown in f"{found[0].summary} {found[0].detail}"
    assert found[0].hint
    assert found[0].source is not None


def test_a_decorator_says_where_it_stands_if_a_later_value_does_not_fit(flows: Flows) -> None:
    """The value comes when the class is complete, the place is that of the decorator."""
    head = "class Base(FlowSpec):\n    cfg = Config('cfg', default_value={'n': -1})"
    file = flows.write(
        FLOW.format(head=head, body="pass", decorator="@retry(times=config_expr('cfg.n'))").replace(
            "Train(FlowSpec)", "Train(Base)"
        )
    )
    flow = load_flow(file, "Train")
    (found,) = read_graph(flow, root=file.parent)[1]
    assert (found.code, found.source and found.source.line) == (
        "FI131",
        file.read_text().splitlines().index("    @retry(times=config_expr('cfg.n'))") + 1,
    )


def test_a_config_belongs_into_a_class(flows: Flows) -> None:
    """One of the module would be in no release, so no task would find it."""
    found = findings(flows, "pass", head='cfg = Config("cfg", default_value=1)')
    assert [d.code for d in found] == ["FI160"]


def test_one_config_is_given_once() -> None:
    """By a file or by a value; which one would hold is not to be seen from outside."""
    with pytest.raises(AuthoringError, match="FI169"):
        ConfigSources.given([("a", "x.json"), ("a", "y.json")])
    with pytest.raises(AuthoringError, match="FI169"):
        ConfigSources.given({"my-cfg": "x.json"}, {"my_cfg": 1})


def test_without_a_loader_a_config_waits() -> None:
    """Python runs a flow file once before its options are read; what cannot be read then is no error yet."""

    class Waiting:
        cfg = Config("cfg", required=True)
        other = Config("other", default="there is none.json")

    assert "later" in repr(Waiting.cfg.a.b[1] * 2)
    with pytest.raises(AuthoringError, match="FI166"):
        _ = Waiting().cfg
    with pytest.raises(AuthoringError, match="FI161"):
        _ = Waiting().other
