"""A class of steps becomes a graph: decorators in any order, environments, inheritance, names."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from pathlib import Path

import pytest

from flowinfra.authoring.graph import build_graph, located, read_graph, step_sources
from flowinfra.authoring.loader import load_entrypoint, load_flow, root_of
from flowinfra.authoring.settings import caller, seconds_of
from flowinfra.authoring.values import Resources
from flowinfra.cli.views.diagnostics import seen
from flowinfra.compiler.check import check
from flowinfra.diagnostics import AuthoringError, Source
from flowinfra.model.environment import Environment
from flowinfra.model.environment import Resources as ResourcesValue
from flowinfra.model.graph import Catch, FlowGraph, Goto, Location, Policy, Retry
from support.flows import HEAD, Flows

TWO_STEPS = """
    {before}

    class Flow(FlowSpec):
        {inside}

        {decorators}
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass
"""


def decorated(flows: Flows, decorators: str, *, before: str = "", inside: str = "") -> FlowGraph:
    """The graph of two steps, of which `start` has *decorators*, one per line."""
    lines = "\n        ".join(decorators.splitlines())
    return flows.graph(TWO_STEPS.format(before=before, inside=inside, decorators=lines))


# -- decorators -------------------------------------------------------------------------------------------------------

POLICIES: dict[str, tuple[str, Policy]] = {
    "retry": ("@retry", Policy(retry=Retry(times=3))),
    "retry with brackets": ("@retry()", Policy(retry=Retry(times=3))),
    "retry with all": (
        "@retry(times=5, delay='1m30s', backoff=2)",
        Policy(retry=Retry(times=5, delay_seconds=90, backoff=2)),
    ),
    "retry in minutes": ("@retry(minutes_between_retries=2)", Policy(retry=Retry(times=3, delay_seconds=120))),
    "no retry": ("@retry(times=0)", Policy()),
    "timeout as text": ("@timeout('1h30m')", Policy(timeout_seconds=5400)),
    "timeout as number": ("@timeout(90)", Policy(timeout_seconds=90)),
    "timeout as timedelta": ("@timeout(datetime.timedelta(days=2))", Policy(timeout_seconds=172800)),
    "timeout by units": ("@timeout(hours=1, minutes=1, seconds=1)", Policy(timeout_seconds=3661)),
    "timeout rounded": ("@timeout(1.6)", Policy(timeout_seconds=2)),
    "catch": ("@catch", Policy(catch=Catch())),
    "catch with a name": ("@catch(var='problem')", Policy(catch=Catch(var="problem"))),
}


@pytest.mark.parametrize("case", POLICIES)
def test_each_decorator_sets_its_field(flows: Flows, case: str) -> None:
    """A decorator is a typed patch on one field of the step's policy, and on nothing else."""
    text, policy = POLICIES[case]
    graph = decorated(flows, f"{text}\n@step")
    assert graph.step("start").policy == policy
    assert graph.step("end").policy == Policy()
    assert graph.environments == (Environment(name="default"),)


def test_decorators_stand_in_any_order(flows: Flows) -> None:
    """Above or below @step and each other: the same graph."""
    lines = ["@step", "@retry(times=2)", "@timeout('1h')", "@resources(cpu=2)"]
    steps = [decorated(flows, "\n".join(order)).step("start") for order in permutations(lines)]
    # each flow is a module of its own, so its entry point is
    graphs = {step.model_copy(update={"entrypoint": "", "source": None}).digest() for step in steps}
    assert len(graphs) == 1


def test_a_decorated_method_stays_a_method(flows: Flows) -> None:
    """No decorator wraps: the step can be called and tested as the author wrote it."""
    flow = flows.load(TWO_STEPS.format(before="", inside="", decorators="@retry\n        @catch\n        @step"))
    start = flow.__dict__["start"]
    assert start.__name__ == "start"
    assert not hasattr(start, "__wrapped__")


def test_a_decorator_of_the_authors_own_may_wrap_a_step(flows: Flows) -> None:
    """With functools.wraps, above or below @step, the step is read from the function inside."""
    before = """import functools

    def logged(function):
        @functools.wraps(function)
        def run(*args):
            return function(*args)

        return run
    """
    for decorators in ("@logged\n@step", "@step\n@logged", "@retry\n@logged\n@step"):
        assert decorated(flows, decorators, before=before).step("start").next == Goto(to="end")


WRONG: dict[str, tuple[str, str, str]] = {
    "no step": ("FI130", "@retry(times=1)  # <- here", "@retry is on `start`, which is no step"),
    "retries that are no number": ("FI131", "@retry(times='3')  # <- here\n@step", "times='3' is no whole number"),
    "too many retries": ("FI131", "@retry(times=101)  # <- here\n@step", "times=101 is no whole number"),
    "truth as number": ("FI131", "@retry(times=True)  # <- here\n@step", "times=True is no whole number"),
    "a delay that is no duration": ("FI131", "@retry(delay='soon')  # <- here\n@step", "'soon' is no duration"),
    "a negative delay": ("FI131", "@retry(delay=-1)  # <- here\n@step", "-1 is no duration"),
    "a backoff below 1": ("FI131", "@retry(backoff=0.5)  # <- here\n@step", "backoff=0.5 is no number from 1"),
    "an infinite backoff": ("FI131", "@retry(backoff=float('inf'))  # <- here\n@step", "backoff=inf is no number"),
    "timeout without brackets": ("FI131", "@timeout  # <- here\n@step", "@timeout: it has no limit"),
    "timeout of nothing": ("FI131", "@timeout()  # <- here\n@step", "0 seconds is less than one"),
    "endless timeout": ("FI131", "@timeout(float('inf'))  # <- here\n@step", "inf is no duration"),
    "timeout of text": ("FI131", "@timeout(minutes='x')  # <- here\n@step", "is no duration"),
    "catch into no name": ("FI131", "@catch(var='my problem')  # <- here\n@step", "'my problem' is no name"),
    "catch into a private name": ("FI131", "@catch(var='_x')  # <- here\n@step", "'_x' is no name"),
    "resources without brackets": ("FI131", "@resources  # <- here\n@step", "@resources: it has no values"),
    "environment without brackets": ("FI131", "@environment  # <- here\n@step", "@environment: it has no variables"),
    "a variable that is no text": ("FI131", "@environment({'N': 1})  # <- here\n@step", "the variable 'N' is no text"),
    "no cpu": ("FI134", "@resources(cpu=0)  # <- here\n@step", "cpu=0 is no positive number"),
    "memory without a unit that exists": ("FI134", "@resources(memory='4 GB')  # <- here\n@step", "'4 GB' is no size"),
    "half a gpu": ("FI134", "@resources(gpu=0.5)  # <- here\n@step", "gpu=0.5 is no whole number"),
    "two retries": ("FI135", "@retry(times=1)  # <- here\n@retry(times=2)\n@step", "has @retry twice"),
    "catch into a step": ("FI142", "@catch(var='end')  # <- here\n@step", "cannot be called `end`"),
    "catch into input": ("FI142", "@catch(var='input')  # <- here\n@step", "cannot be called `input`"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_decorator_is_told_at_its_line(flows: Flows, case: str) -> None:
    """One finding, at the line of the decorator, that shows what was given and what could be."""
    code, decorators, part = WRONG[case]
    lines = "\n        ".join(decorators.splitlines())
    (finding,) = flows.findings(TWO_STEPS.format(before="", inside="", decorators=lines))
    assert finding.code == code
    assert part in finding.summary
    assert finding.hint


def test_the_same_decorator_twice_with_one_value_is_no_conflict(flows: Flows) -> None:
    """Said twice, meant once."""
    assert decorated(flows, "@retry(times=2)\n@retry(times=2)\n@step").step("start").policy.retry == Retry(times=2)


@pytest.mark.parametrize("text", ["@step(retries=2)", "@step()"])
def test_step_takes_no_brackets(flows: Flows, text: str) -> None:
    """@step with brackets is told at its line."""
    (finding,) = flows.findings(TWO_STEPS.format(before="", inside="", decorators=f"{text}  # <- here"))
    assert finding.code == "FI102"
    assert "step()" in finding.summary


def test_step_is_for_methods(flows: Flows) -> None:
    """@step on what is no function is told."""
    (finding,) = flows.findings("""
        @step  # <- here
        class Flow(FlowSpec):
            pass
    """)
    assert finding.code == "FI133"
    assert "without brackets" in finding.hint


DURATIONS = {"90s": 90, "15m": 900, "1h30m": 5400, " 2d ": 172800, "1.5h": 5400, "1h 5s": 3605, 0: 0, 2.5: 2.5}


@pytest.mark.parametrize("text", DURATIONS)
def test_durations_are_seconds(text: str | float) -> None:
    """Numbers are seconds; texts have a unit behind each number."""
    assert seconds_of(text, "x", Source("f")) == DURATIONS[text]
    assert seconds_of(timedelta(seconds=DURATIONS[text]), "x", Source("f")) == DURATIONS[text]


@pytest.mark.parametrize("text", ["", " ", "5", "h", "5 min", "-5s", "1h-5s", True, float("nan"), None, [1]])
def test_what_is_no_duration_is_refused(text: object) -> None:
    """A text without a unit, a negative number, and what is neither."""
    with pytest.raises(AuthoringError, match="is no duration"):
        seconds_of(text, "@timeout", Source("f"))  # type: ignore[arg-type]


SIZES = {512: 512, "512Mi": 512, "4Gi": 4096, "4 GiB": 4096, "1.5g": 1536, "1T": 1024**2, 0.2: 1}


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_mebibytes(size: int | str) -> None:
    """Numbers are MiB; texts have a binary unit."""
    assert Resources(memory=size).memory_mib == SIZES[size]
    assert Resources(disk=size).disk_mib == SIZES[size]


def test_resources_point_to_where_they_are_written() -> None:
    """A wrong value in Resources(...) is told at the line that holds it."""
    line = caller().line + 2
    with pytest.raises(AuthoringError) as caught:
        Resources(memory="much")
    assert caught.value.diagnostics[0].source == Source(__file__, line)


# -- environments -----------------------------------------------------------------------------------------------------


def test_an_environment_is_shared_by_name(flows: Flows) -> None:
    """Steps of one TaskEnvironment share one environment of the graph; a clone has a name of its own."""
    graph = flows.graph("""
        small = TaskEnvironment("small", image="img", resources=Resources(cpu=1, memory="1Gi"), env_vars={"A": "1"})
        large = small.clone_with("large", resources=Resources(cpu=8))
        bare = large.clone_with("bare", image="", env_vars={})

        class Flow(FlowSpec):
            @small.step
            def start(self):
                self.next(self.a)

            @small.step(retries=2, timeout="5m", catch="why")
            def a(self):
                self.next(self.b)

            @large.step
            def b(self):
                self.next(self.c)

            @step
            def c(self):
                self.next(self.end)

            @bare.step()
            def end(self):
                pass
    """)
    used = {"start": "small", "a": "small", "b": "large", "c": "default", "end": "bare"}
    assert {s.name: s.environment for s in graph.steps} == used
    assert graph.environments == (
        Environment(name="bare", resources=ResourcesValue(cpu=8)),
        Environment(name="default"),
        Environment(name="large", image="img", resources=ResourcesValue(cpu=8), env_vars={"A": "1"}),
        Environment(name="small", image="img", resources=ResourcesValue(cpu=1, memory_mib=1024), env_vars={"A": "1"}),
    )
    assert graph.step("a").policy == Policy(retry=Retry(times=2), timeout_seconds=300, catch=Catch(var="why"))


def test_a_steps_own_settings_make_an_environment_of_its_own(flows: Flows) -> None:
    """What @resources and @environment add is merged over the step's environment, under the step's name."""
    graph = decorated(
        flows,
        "@resources(memory='2Gi', gpu=1)\n@environment({'B': '2'})\n@small.step",
        before="small = TaskEnvironment('small', resources=Resources(cpu=1, memory='1Gi'), env_vars={'A': '1', 'B': '1'})",
    )
    assert graph.step("start").environment == "small.start"
    merged = ResourcesValue(cpu=1, memory_mib=2048, gpu=1)
    assert graph.environment("small.start") == Environment(
        name="small.start", resources=merged, env_vars={"A": "1", "B": "2"}
    )


def test_settings_that_change_nothing_make_no_environment(flows: Flows) -> None:
    """@resources that repeat the environment's own leave the step in it."""
    before = "small = TaskEnvironment('small', resources=Resources(cpu=1))"
    graph = decorated(flows, "@resources(cpu=1)\n@small.step", before=before)
    assert graph.step("start").environment == "small"


def test_two_environments_with_one_name_are_told(flows: Flows) -> None:
    """A name stands for one environment; also `default`, which plain @step uses, and also where a step adds to it."""
    (finding,) = flows.findings("""
        one = TaskEnvironment("same", image="a")
        two = TaskEnvironment("same", image="b")  # <- here

        class Flow(FlowSpec):
            @resources(cpu=3)
            @one.step
            def start(self):
                self.next(self.end)

            @two.step
            def end(self):
                pass
    """)
    assert finding.code == "FI136"
    assert "made at" in finding.detail
    for first, second in (("@mine.step", "@step"), ("@step", "@mine.step")):
        (finding,) = flows.findings(f"""
        mine = TaskEnvironment("default", image="a")  # <- here

        class Flow(FlowSpec):
            {first}
            def start(self):
                self.next(self.end)

            {second}
            def end(self):
                pass
        """)
        assert finding.code == "FI136"
        assert "plain @step" in finding.detail


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("TaskEnvironment('')", ["'' is no name"]),
        ("TaskEnvironment('a b')", ["'a b' is no name"]),
        ("TaskEnvironment('größe')", ["'größe' is no name"]),
        ("TaskEnvironment('x' * 65)", ["is no name"]),
        ("TaskEnvironment('a.b', env_vars={'N': 1, 2: 'x'})", ["'a.b' is no name", "'N' is no text", "2 is no text"]),
        ("TaskEnvironment('a', image=3, resources=4)", ["image=3", "resources=4"]),
        ("TaskEnvironment('a').clone_with('b/c')", ["'b/c' is no name"]),
    ],
)
def test_a_wrong_environment_is_told_with_all_that_is_wrong(flows: Flows, text: str, parts: list[str]) -> None:
    """Every argument that is not usable is a finding, at the line of the author, also behind clone_with."""
    file = flows.written(f"env = {text}  # <- here\n")
    _, found = flows.read(file)
    assert [d.code for d in found] == ["FI132"] * len(parts)
    assert {d.source and d.source.line for d in found} == {4}
    assert all(any(part in d.summary for d in found) for part in parts)


# -- classes ----------------------------------------------------------------------------------------------------------

BASE = (
    HEAD
    + """
class Base(FlowSpec):
    rate = Parameter(default=0.5)

    @step
    def start(self):
        '''Begin.'''
        self.next(self.work)

    @step
    def work(self):
        self.next(self.end)

    @step
    def end(self):
        pass

    def helper(self):
        return 1
"""
)

DERIVED = (
    HEAD
    + """
from base_of_flows import Base

class Derived(Base):
    depth = Parameter(default=3)

    @retry
    @step
    def work(self):
        self.x = self.helper()
        self.next(self.more)

    @step
    def more(self):
        self.next(self.end)
"""
)


def test_a_flow_inherits_steps_and_parameters_from_another_file(flows: Flows) -> None:
    """A subclass has the steps of its base, its own in place of those, and says of each where it is written."""
    flows.write(BASE, "base_of_flows.py")
    file = flows.write(DERIVED, "derived_flow.py")
    graph, found = flows.read(file)
    assert graph is not None
    assert found == []
    base, derived = "base_of_flows.py", "derived_flow.py"
    places = {"start": base, "work": derived, "more": derived, "end": base}
    assert {s.name: s.source and s.source.file for s in graph.steps} == places
    assert graph.step("work").next == Goto(to="more")
    assert graph.step("work").policy.retry == Retry(times=3)
    assert graph.step("start").doc == "Begin."
    assert [p.name for p in graph.parameters] == ["depth", "rate"]
    assert graph.source == Location(file="derived_flow.py", line=7)


def test_a_task_gets_the_flow_itself_also_for_an_inherited_step(flows: Flows) -> None:
    """The entry point of a step names the flow's own class, so that what it overrides is what a base's step calls."""
    flows.write(BASE, "base_of_flows.py")
    flow = load_flow(flows.write(DERIVED, "derived_flow.py"))
    graph = build_graph(flow, root=flows.folder)
    assert graph.step("start").entrypoint == "derived_flow:Derived.start"
    owner, function = load_entrypoint(graph.step("start").entrypoint)
    assert owner is flow
    assert function is flow.start  # type: ignore[attr-defined]
    assert [(s.name, s.owner.__name__, s.file.name) for s in step_sources(flow)] == [
        ("start", "Base", "base_of_flows.py"),
        ("end", "Base", "base_of_flows.py"),
        ("work", "Derived", "derived_flow.py"),
        ("more", "Derived", "derived_flow.py"),
    ]


def test_a_base_whose_subclass_is_there_is_not_the_flow(flows: Flows) -> None:
    """Of a base and its subclass in one file, the subclass is meant."""
    file = flows.write(BASE + "\nclass Special(Base):\n    pass\n")
    assert load_flow(file).__name__ == "Special"
    assert load_flow(file, "Base").__name__ == "Base"


def test_steps_may_come_from_a_mixin(flows: Flows) -> None:
    """A class that is no FlowSpec can hold steps and parameters for several flows."""
    graph = flows.graph("""
        class Ending:
            note = Parameter(default="x")

            @step
            def end(self):
                pass

        class Flow(Ending, FlowSpec):
            @step
            def start(self):
                self.next(self.end)
    """)
    assert sorted(graph.by_name) == ["end", "start"]
    assert [p.name for p in graph.parameters] == ["note"]


def test_overriding_a_step_with_a_plain_method_takes_it_out(flows: Flows) -> None:
    """A method without @step is no step, whatever it was in the base: its name is unknown then."""
    file = flows.write(BASE + "\nclass Special(Base):\n    def work(self):\n        pass\n")
    _, found = flows.read(file)
    assert [d.code for d in found] == ["FI203", "FI204"]


def test_a_forgotten_step_is_told_as_such(flows: Flows) -> None:
    """A method that calls self.next is meant as a step: that is told, and not what follows from it."""
    (finding,) = flows.findings("""
        class Flow(FlowSpec):
            @step
            def start(self):
                self.next(self.work)

            def work(self):
                self.next(self.end)  # <- here

            @step
            def end(self):
                pass
    """)
    assert finding.code == "FI116"
    assert "`work`" in finding.summary


NAMES: dict[str, tuple[str, str, str]] = {
    "a step called as FlowSpec's own": ("FI142", "def next(self):  # <- here", "a step cannot be called `next`"),
    "a step with more parameters": ("FI140", "def a(self, inputs, more):  # <- here", "takes (self, inputs, more)"),
    "a step with a keyword": ("FI140", "def a(self, *, inputs):  # <- here", "takes (self, *, inputs)"),
    "a step with any": ("FI140", "def a(self, *inputs):  # <- here", "takes (self, *inputs)"),
    "a step without self": ("FI140", "def a():  # <- here", "takes ()"),
    "an async step": ("FI140", "async def a(self):  # <- here", "is async"),
    "a step with a long name": ("FI141", f"def {'a' * 65}(self):  # <- here", "has 65 characters"),
    "a step with umlauts": ("FI141", "def größer(self):  # <- here", "other characters than a to z"),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_step_that_cannot_be_one_is_told(flows: Flows, case: str) -> None:
    """Names and signatures that a step cannot have, at the line of its def."""
    code, text, part = NAMES[case]
    (finding,) = flows.findings(f"""
    class Flow(FlowSpec):
        @step
        def start(self):
            self.next(self.end)

        @step
        {text}
            self.next(self.end)

        @step
        def end(self):
            pass
    """)
    assert finding.code == code
    assert part in finding.summary
    assert finding.hint


def test_a_second_name_for_a_step_is_told(flows: Flows) -> None:
    """An alias is one step under two names, which the graph cannot tell from two steps."""
    (finding,) = flows.findings("""
        class Flow(FlowSpec):
            @step
            def start(self):
                self.next(self.end)

            @step
            def end(self):  # <- here
                pass

            finish = end
    """)
    assert (finding.code, "the step `finish` is written as `end`" in finding.summary) == ("FI143", True)


def test_a_decorator_that_hides_a_step_is_told(flows: Flows) -> None:
    """What a decorator without functools.wraps returns is not the step that the author wrote."""
    (finding,) = flows.findings("""
        def logged(function):
            def run(self):  # <- here
                return function(self)

            return run

        class Flow(FlowSpec):
            @step
            @logged
            def start(self):
                self.next(self.end)

            @step
            def end(self):
                pass
    """)
    assert finding.code == "FI143"
    assert "functools.wraps" in finding.hint


def test_a_name_may_have_64_characters(flows: Flows) -> None:
    """The longest name that is allowed is."""
    name = "a" * 64
    graph = flows.graph(f"""
        class Flow(FlowSpec):
            @step
            def start(self):
                self.next(self.{name})

            @step
            def {name}(self):
                self.next(self.end)

            @step
            def end(self):
                pass
    """)
    assert name in graph.by_name


def test_a_flow_made_without_a_file_is_told(flows: Flows) -> None:
    """A class out of exec has no source to read transitions from."""
    flow = flows.load("""
        space = {}
        exec("from flowinfra import FlowSpec, step\\nclass Flow(FlowSpec):\\n    @step\\n    def start(self): pass", space)
        Flow = space["Flow"]
        Flow.__module__ = __name__
    """)
    _, found = read_graph(flow, root=flows.folder)
    assert [d.code for d in found] == ["FI106"]


def test_build_graph_raises_all_findings(flows: Flows) -> None:
    """Whoever wants a graph or nothing gets every finding in one error."""
    flow = flows.load("""
        class Flow(FlowSpec):
            @step
            def start(self):
                pass

            @step
            def end(self):
                self.next(self.start)
    """)
    with pytest.raises(AuthoringError) as caught:
        build_graph(flow, root=flows.folder)
    assert [d.code for d in caught.value.diagnostics] == ["FI110", "FI115"]


def test_places_are_relative_to_the_root_and_seen_from_here(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph keeps places relative to its root, so that clones agree; a reader sees them from the working folder."""
    body = "class Flow(FlowSpec):\n    @step\n    def start(self):\n        self.next(self.gone)\n"
    ending = "\n    @step\n    def end(self):\n        pass\n"
    file = flows.write(f"{HEAD}\n{body}{ending}", "flows/a_flow.py")
    flow = load_flow(file)
    graph = build_graph(flow, root=root_of(file))
    assert graph.step("start").source == Location(file="a_flow.py", line=7)
    found = [d for d in check(graph) if d.code == "FI203"]
    assert [d.source for d in located(found, root_of(file))] == [Source(str(Path(file).resolve()), 7)]
    # the program of a stack runs in another folder than its reader: only a view may say from where
    monkeypatch.chdir(flows.folder)
    assert seen(Source(str(Path(file).resolve()), 7)) == Source("flows/a_flow.py", 7)
    monkeypatch.chdir(Path(file).parent)
    assert seen(Source(str(Path(file).resolve()), 7)) == Source("a_flow.py", 7)
