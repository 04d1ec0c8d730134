"""`self.next` in all its forms, read from the source; and every way to write it so that it cannot be read."""

from __future__ import annotations

import pytest

from flowinfra.model.graph import End, Foreach, Goto, Next, Split, Switch
from support.flows import Flows

FLOW = """
    class Flow(FlowSpec):
        @step
        def start(self):
            {next}

        @step
        def a(self):
            self.next(self.{after})

        @step
        def b(self):
            self.next(self.{after})

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass
"""

FORMS: dict[str, tuple[str, Next]] = {
    "one step": ("self.next(self.a)", Goto(to="a")),
    "two steps": ("self.next(self.a, self.b)", Split(to=("a", "b"))),
    "foreach": ('self.next(self.a, foreach="xs")', Foreach(to="a", over="xs")),
    "foreach, limited": (
        "self.next(self.a, foreach='xs', max_concurrency=10)",
        Foreach(to="a", over="xs", max_concurrency=10),
    ),
    "switch": (
        'self.next({"yes": self.a, "no": self.b}, condition="answer")',
        Switch(on="answer", cases={"yes": "a", "no": "b"}),
    ),
    "switch with a loop": (
        'self.next({"again": self.start, "done": self.a}, condition="answer")',
        Switch(on="answer", cases={"again": "start", "done": "a"}),
    ),
    "switch over numbers and truth": (
        "self.next({1: self.a, True: self.b, 2: self.b}, condition='answer')",
        Switch(on="answer", cases={"1": "a", "True": "b", "2": "b"}),
    ),
    "over several lines": (
        """self.next(
                {
                    "yes": self.a,
                    # a comment, and a comma at the end
                    "no": self.b,
                },
                condition="answer",
            )""",
        Switch(on="answer", cases={"yes": "a", "no": "b"}),
    ),
    "inside with": ("with open('/dev/null'): self.next(self.a)", Goto(to="a")),
    "behind a nested function that has a self of its own": (
        """class Walker:
                def walk(self):
                    self.next(self)

            self.next(self.a)""",
        Goto(to="a"),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_read(flows: Flows, form: str) -> None:
    """A transition is what its text says, without a run."""
    text, expected = FORMS[form]
    file = flows.written(FLOW.format(next=text, after="join" if isinstance(expected, (Split, Foreach)) else "end"))
    graph, _ = flows.read(file)
    assert graph is not None
    assert graph.step("start").next == expected
    assert graph.step("end").next == End()
    assert (graph.step("join").join, graph.step("a").join) == (True, False)


def test_self_may_have_another_name(flows: Flows) -> None:
    """What counts is the first parameter of the step, not that it is called self."""
    graph = flows.graph("""
        class Flow(FlowSpec):
            @step
            def start(this):
                this.next(this.end)

            @step
            def end(this):
                pass
    """)
    assert graph.step("start").next == Goto(to="end")


WRONG: dict[str, tuple[str, str, str]] = {
    "a variable": ("FI112", "self.next(todo)", "`todo` cannot be read as a step"),
    "a call": ("FI112", "self.next(getattr(self, 'a'))", "`getattr(self, 'a')` cannot be read"),
    "a text": ("FI112", "self.next('a')", "`'a'` cannot be read"),
    "a list": ("FI112", "self.next(*[self.a, self.b])", "`*[self.a, self.b]` cannot be read"),
    "nothing": ("FI112", "self.next()", "names no step"),
    "inside a function": ("FI112", "(lambda: self.next(self.a))()", "in a nested function"),
    "handed on": ("FI112", "go = self.next", "hands it to other code"),
    "computed foreach": ("FI112", "self.next(self.a, foreach='x' + 's')", "foreach is the name of an attribute"),
    "foreach over the items": ("FI112", "self.next(self.a, foreach=self.xs)", "foreach is the name of an attribute"),
    "foreach over no name": ("FI112", "self.next(self.a, foreach='my items')", "foreach is the name of an attribute"),
    "computed condition": ("FI112", "self.next({'x': self.a}, condition=c)", "condition is the name of an attribute"),
    "computed limit": ("FI112", "self.next(self.a, foreach='xs', max_concurrency=n)", "is a whole number above 0"),
    "no limit at all": ("FI112", "self.next(self.a, foreach='xs', max_concurrency=0)", "is a whole number above 0"),
    "computed case": ("FI112", "self.next({x: self.a}, condition='c')", "a case of a switch is a text"),
    "spread cases": ("FI112", "self.next({**more}, condition='c')", "a case of a switch is a text"),
    "case to no step": ("FI112", "self.next({'x': a}, condition='c')", "leads to a step written as self.<name>"),
    "a misspelt word": ("FI113", "self.next(self.a, for_each='xs')", "no `for_each` (did you mean 'foreach'?)"),
    "spread words": ("FI113", "self.next(self.a, **words)", "no `**words`"),
    "switch without condition": ("FI114", "self.next({'x': self.a})", "needs the attribute that decides"),
    "switch without cases": ("FI114", "self.next({}, condition='c')", "a switch without cases"),
    "a case twice": ("FI114", "self.next({'x': self.a, 'x': self.b}, condition='c')", "the case 'x' is there twice"),
    "a case twice, as a text and a number": (
        "FI114",
        "self.next({'1': self.a, 1: self.b}, condition='c')",
        "the case '1' is there twice",
    ),
    "condition without cases": ("FI114", "self.next(self.a, condition='c')", "condition goes with a dict of cases"),
    "cases beside a step": ("FI114", "self.next({'x': self.a}, self.b, condition='c')", "a dict of cases goes alone"),
    "a step beside cases": ("FI114", "self.next(self.b, {'x': self.a})", "a dict of cases goes alone"),
    "foreach over two steps": (
        "FI114",
        "self.next(self.a, self.b, foreach='xs')",
        "foreach goes with exactly one step",
    ),
    "foreach over cases": (
        "FI114",
        "self.next({'x': self.a}, condition='c', foreach='xs')",
        "foreach goes with exactly one step",
    ),
    "limit without foreach": ("FI114", "self.next(self.a, max_concurrency=2)", "max_concurrency goes with foreach"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_told_at_its_line(flows: Flows, case: str) -> None:
    """One finding that names the step, points to the line, and shows how to write it."""
    code, text, part = WRONG[case]
    (finding,) = flows.findings(FLOW.format(next=f"{text}  # <- here", after="end"))
    assert finding.code == code
    assert part in finding.summary
    assert "the step `start`" in finding.summary
    assert finding.hint


def test_two_transitions_are_told_at_the_second(flows: Flows) -> None:
    """A choice between two calls of self.next is refused, and the message shows the switch that says the same."""
    (finding,) = flows.findings("""
        class Flow(FlowSpec):
            @step
            def start(self):
                if self.big:
                    self.next(self.a)
                else:
                    self.next(self.end)  # <- here

            @step
            def a(self):
                self.next(self.end)

            @step
            def end(self):
                pass
    """)
    assert finding.code == "FI111"
    assert "has 2 transitions (lines 9, 11)" in finding.summary
    assert "condition=" in finding.hint


def test_a_step_without_and_an_end_with_a_transition(flows: Flows) -> None:
    """Every step but `end` leads on, and `end` does not; both are told at once."""
    found = flows.findings("""
        class Flow(FlowSpec):
            @step
            def start(self):  # <- here
                self.x = 1

            @step
            def end(self):  # <- here
                self.next(self.start)
    """)
    assert [d.code for d in found] == ["FI110", "FI115"]


def test_an_unknown_step_is_told_beside_other_mistakes(flows: Flows) -> None:
    """No graph is made of such a flow, yet a name that is no step is found; one that is meant as a step is told once."""
    found = flows.findings("""
        class Flow(FlowSpec):
            @step
            def start(self):  # <- here
                self.next(self.midle)

            @step
            def middle(self):
                self.next({"a": self.work, "b": self.end}, condition="way")

            def work(self):
                self.next(self.finish)  # <- here

            @step
            def finish(self):  # <- here
                pass
    """)
    assert [(d.code, "did you mean 'middle'?" in d.summary) for d in found] == [
        ("FI203", True),
        ("FI116", False),
        ("FI110", False),
    ]


def test_everything_wrong_in_a_file_comes_at_once(flows: Flows) -> None:
    """Three mistakes in three steps are three findings, in the order of the file."""
    found = flows.findings(
        """
        class Flow(FlowSpec):
            @step
            def start(self):
                self.next(a, for_each="xs")  # <- here

            @step
            async def a(self):
                self.next(self.end)

            @step
            def end(self, one, two):
                pass
    """.replace("# <- here", "")
    )
    assert [d.code for d in found] == ["FI112", "FI113", "FI140", "FI140"]
