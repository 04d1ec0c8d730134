"""The shapes that every target must run: which tasks, how often, with which ids, and what data comes out.

A shape is data: a flow file, parameters, and what is expected. Whoever can run a flow (a :class:`~.backends.Backend`)
runs the very same files and is compared with the very same expectations, which were written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FLOWS = Path(__file__).parent / "flows"


@dataclass(frozen=True)
class Shape:
    """One flow and what running it must give.

    Attributes:
        name: of the shape.
        file: the flow file in ``flows/``.
        flow: the class.
        trace: each attempt as ``step@task@attempt``, in no order.
        artifacts: of tasks (``step@task``), the artifacts that must be there, with their values.
        parameters: what is given to the run.
        state: how the run ends.
        error: what its error must say.
        absent: artifacts (``step@task.name``) that must not be there.
    """

    name: str
    file: str
    flow: str
    trace: tuple[str, ...]
    artifacts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    state: str = "succeeded"
    error: Mapping[str, Any] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        """The flow file."""
        return FLOWS / self.file


def at(*steps: str, task: str = "0", attempt: str = "0") -> tuple[str, ...]:
    """One attempt of each step under one id."""
    return tuple(f"{step}@{task}@{attempt}" for step in steps)


def each(count: int, *steps: str, task: str = "0") -> tuple[str, ...]:
    """One attempt of each step for each item of a foreach."""
    return tuple(f"{step}@{task}.{i}@0" for i in range(count) for step in steps)


def end(trail: str, **artifacts: Any) -> dict[str, dict[str, Any]]:
    """The artifacts of the end task."""
    return {"end@0": {"trail": trail, **artifacts}}


def _thrice() -> str:
    def b(x: int, y: str) -> str:
        return f"(start>a{x}>b{y}>cTrue|start>a{x}>b{y}>cNone)>jc"

    return "(" + "|".join(f"({b(x, 'k')}|{b(x, 'l')})>jb" for x in (0, 1)) + ")>ja>end"


_LOOP_ROUND = "(start>a>w0|start>a>w1)>join"

LINES = (
    Shape(
        "linear",
        "lines.py",
        "Linear",
        at("start", "a", "b", "end"),
        end(
            "start>a>b>end",
            said="hello hello",
            untouched={"kept": [1, 2.5, None, True, "ü"]},
            greeting="hello",
            times=2,
        ),
    ),
    Shape(
        "linear with parameters",
        "lines.py",
        "Linear",
        at("start", "a", "b", "end"),
        end("start>a>b>end", said="a 'b' $(c) ☃\n", greeting="a 'b' $(c) ☃\n", times=1),
        parameters={"greeting": "a 'b' $(c) ☃\n", "times": 1},
    ),
    Shape(
        "linear with a large parameter",
        "lines.py",
        "Linear",
        at("start", "a", "b", "end"),
        end("start>a>b>end", greeting="ü" * 200_000),
        parameters={"greeting": "ü" * 200_000, "times": 0},
    ),
    Shape(
        "split",
        "lines.py",
        "Split",
        at("start", "a", "b", "join", "end"),
        end("(start>a|start>b)>join>end", by_name=["a", "start>b"], seen=[7, "a"]),
    ),
    Shape(
        "nested split",
        "lines.py",
        "NestedSplit",
        at("start", "a", "b", "c", "d", "inner", "join", "end"),
        end("((start>a>c|start>a>d)>inner|start>b)>join>end"),
    ),
)

FOREACHS = (
    Shape(
        "foreach",
        "foreachs.py",
        "Foreach",
        at("start", "join", "end") + each(3, "work"),
        end(
            "(start>item0@0|start>item1@1|start>item2@2)>join>end",
            total=3,
            seen=["there", 3],
            items=["item0", "item1", "item2"],
        ),
        absent=("end@0.number",),
    ),
    Shape(
        "foreach of nothing",
        "foreachs.py",
        "Foreach",
        at("start", "join", "end"),
        end("()>join>end", total=0, seen=["there", 0], items=[]),
        parameters={"width": 0},
    ),
    Shape(
        "foreach of one",
        "foreachs.py",
        "Foreach",
        at("start", "join", "end") + each(1, "work"),
        end("(start>item0@0)>join>end", total=0),
        parameters={"width": 1},
    ),
    Shape(
        "foreach of fifty",
        "foreachs.py",
        "Foreach",
        at("start", "join", "end") + each(50, "work"),
        {"end@0": {"total": 1225}},
        parameters={"width": 50},
    ),
    Shape(
        "foreach three deep",
        "foreachs.py",
        "ForeachThrice",
        at("start", "join_a", "end")
        + each(2, "a", "join_b")
        + tuple(t for i in "01" for t in each(2, "b", "join_c", task=f"0.{i}"))
        + tuple(t for i in "01" for k in "01" for t in each(2, "c", task=f"0.{i}.{k}")),
        end(_thrice()),
    ),
    Shape(
        "foreach of two steps",
        "foreachs.py",
        "ForeachOfTwoSteps",
        at("start", "join", "end") + each(2, "a", "b"),
        end("(start>a0>b0|start>a1>b1)>join>end"),
    ),
    Shape(
        "split in foreach",
        "foreachs.py",
        "SplitInForeach",
        at("start", "join", "end") + each(2, "a", "b", "c", "inner"),
        end("((start>a0>b0|start>a0>c0)>inner0|(start>a1>b1|start>a1>c1)>inner1)>join>end"),
    ),
    Shape(
        "foreach in split",
        "foreachs.py",
        "ForeachInSplit",
        at("start", "a", "b", "inner", "join", "end") + each(2, "work"),
        end("((start>a>w0|start>a>w1)>inner|start>b)>join>end"),
    ),
)

SWITCHES = (
    Shape("switch", "switches.py", "Switch", at("start", "good", "end"), end("start>good>end")),
    Shape(
        "switch, the other case",
        "switches.py",
        "Switch",
        at("start", "bad", "end"),
        end("start>bad>end"),
        parameters={"case": "bad"},
    ),
    Shape(
        "nested switch",
        "switches.py",
        "NestedSwitch",
        at("start", "good", "very", "end"),
        end("start>good>very>end", answer=True),
    ),
    Shape(
        "switch in foreach, one case straight into the join",
        "switches.py",
        "SwitchInForeach",
        (*at("start", "join", "end"), *each(3, "look"), "even@0.0@0", "odd@0.1@0"),
        end("(start>look0>even|start>look1>odd|start>look2)>join>end"),
    ),
    Shape(
        "foreach in switch",
        "switches.py",
        "ForeachInSwitch",
        at("start", "many", "join", "end") + each(2, "work"),
        end("(start>many>w0|start>many>w1)>join>end"),
    ),
    Shape(
        "split in switch",
        "switches.py",
        "SplitInSwitch",
        at("start", "two", "a", "b", "join", "end"),
        end("(start>two>a|start>two>b)>join>end"),
    ),
    Shape(
        "switch in split",
        "switches.py",
        "SwitchInSplit",
        at("start", "a", "twice", "b", "join", "end"),
        end("(start>a>twice|start>b)>join>end", from_case="start>a>twice"),
    ),
)

LOOPS = (
    Shape(
        "loop of two steps",
        "loops.py",
        "Loop",
        at("start", "end") + tuple(t for n in range(3) for t in at("a", "b", task=f"0-{n}")),
        end("start>a>b>a>b>a>b>end", rounds=3),
    ),
    Shape(
        "loop of one step",
        "loops.py",
        "LoopOfOneStep",
        (*at("start", "end"), "again@0-0@0", "again@0-1@0"),
        end(">0>1>end", rounds=2),
    ),
    Shape(
        "loop in foreach, with exits",
        "loops.py",
        "LoopInForeach",
        (
            *at("start", "join", "end"),
            *each(2, "begin"),
            *(f"turn@0.{i}-{n}@0" for i in range(2) for n in range(i + 2)),
            "good@0.0@0",
        ),
        end("(start>p0>t>t>good|start>p1>t>t>t)>join>end"),
    ),
    Shape(
        "foreach in loop",
        "loops.py",
        "ForeachInLoop",
        at("start", "end")
        + tuple(t for n in range(2) for t in at("a", "join", task=f"0-{n}") + each(2, "work", task=f"0-{n}")),
        end(f"({_LOOP_ROUND}>a>w0|{_LOOP_ROUND}>a>w1)>join>end"),
    ),
    Shape(
        "loop in switch",
        "loops.py",
        "LoopInSwitch",
        (*at("start", "end"), "turn@0-0@0", "turn@0-1@0"),
        end("start>t>t>end"),
    ),
    Shape(
        "loop in loop",
        "loops.py",
        "LoopInLoop",
        at("start", "end")
        + tuple(t for n in range(2) for t in (*at("p", "b", task=f"0-{n}"), f"a@0-{n}-0@0", f"a@0-{n}-1@0")),
        end("start>p>a>a>b>p>a>a>b>end"),
    ),
)

FAILURES = (
    Shape("retry", "failures.py", "Retry", (*at("start", "a", "end"), "a@0@1"), {"end@0": {"attempts": 1}}),
    Shape(
        "retry in foreach",
        "failures.py",
        "RetryInForeach",
        (*at("start", "join", "end"), *each(2, "a"), "a@0.1@1"),
        {"end@0": {"attempts": [0, 1]}},
    ),
    Shape(
        "catch",
        "failures.py",
        "Catch",
        (*at("start", "a", "b", "end"), "a@0@1", "a@0@fallback"),
        {
            "end@0": {
                "kept": "kept",
                "told": ["ValueError", "on purpose", "a", True],
                "lost_is_there": False,
                "why_not": None,
            }
        },
        absent=("a@0.lost", "end@0.lost"),
    ),
    Shape(
        "failure",
        "failures.py",
        "Failure",
        (*at("start", "a"), "a@0@1"),
        state="failed",
        error={"step": "a", "task": "0", "type": "ValueError", "message": "on purpose"},
    ),
    Shape(
        "failure in split",
        "failures.py",
        "FailureInSplit",
        at("start", "a", "b"),
        state="failed",
        error={"step": "a", "message": "on purpose"},
    ),
    Shape(
        "failure in foreach",
        "failures.py",
        "FailureInForeach",
        ("start@0@0", "a@0.0@0"),
        state="failed",
        error={"step": "a", "task": "0.0", "message": "on purpose 0"},
    ),
    Shape(
        "timeout",
        "failures.py",
        "Timeout",
        at("start", "a"),
        state="failed",
        error={"step": "a", "type": "TaskTimeout"},
    ),
    Shape(
        "timeout and retry",
        "failures.py",
        "TimeoutAndRetry",
        (*at("start", "a", "end"), "a@0@1"),
        {"end@0": {"attempts": 1}},
    ),
    Shape(
        "artifacts that cannot be kept",
        "failures.py",
        "NotSerialisable",
        at("start", "a"),
        state="failed",
        error={"step": "a", "type": "RunError", "code": "FI705"},
    ),
    Shape(
        "foreach over a number",
        "failures.py",
        "NotIterable",
        at("start"),
        state="failed",
        error={"step": "start", "code": "FI703"},
    ),
    Shape(
        "a case that is not there",
        "failures.py",
        "NoSuchCase",
        at("start"),
        state="failed",
        error={"step": "start", "code": "FI704"},
    ),
    Shape(
        "a step that returns without self.next",
        "failures.py",
        "NoNext",
        at("start"),
        state="failed",
        error={"step": "start", "code": "FI701"},
    ),
    Shape(
        "inputs that disagree",
        "failures.py",
        "Disagreement",
        at("start", "join") + each(2, "a"),
        state="failed",
        error={"step": "join", "code": "FI708"},
    ),
)

SHAPES = (*LINES, *FOREACHS, *SWITCHES, *LOOPS, *FAILURES)
