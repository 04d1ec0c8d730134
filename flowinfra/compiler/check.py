"""The rules that a graph must keep, each a class with a code. :func:`check` runs them all and returns every finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import ClassVar

from flowinfra.authoring.transitions import unknown_step
from flowinfra.compiler.structure import Kind, Problem, Structure, structure
from flowinfra.diagnostics import Diagnostic, GraphError, Severity, Source, raise_errors, sort_diagnostics
from flowinfra.model.graph import End, FlowGraph, Foreach, Split, StepNode, Switch
from flowinfra.model.program import Program

__all__ = ["RULES", "Rule", "check", "compile_program"]


class Rule:
    """One rule. The docstring of a subclass says what it asks for and why; its code has a page in the docs."""

    code: ClassVar[str]

    def check(self, graph: FlowGraph, found: Structure) -> Iterator[Diagnostic]:
        """Every place where *graph* breaks the rule; *found* is its structure."""
        raise TypeError(f"{type(self).__name__} checks nothing")  # pragma: no cover

    def finding(self, graph: FlowGraph, step: str, summary: str, detail: str = "", hint: str = "") -> Diagnostic:
        """A diagnostic of this rule at *step*."""
        node = graph.by_name.get(step)
        place = (node.source if node else None) or graph.source
        return Diagnostic(
            self.code, Severity.ERROR, summary, detail, hint, place.source() if place else Source(graph.name)
        )


class _Shape(Rule):
    """A rule about the shape: it words one kind of problem that the structure pass finds."""

    kind: ClassVar[Kind]

    def check(self, graph: FlowGraph, found: Structure) -> Iterator[Diagnostic]:
        for problem in found.problems:
            if problem.kind is self.kind:
                summary, detail, hint = self.words(graph, problem)
                yield self.finding(graph, self.place(problem), summary, detail, hint)

    def place(self, problem: Problem) -> str:
        """The step whose source has to change."""
        return problem.step

    def words(self, graph: FlowGraph, problem: Problem) -> tuple[str, str, str]:
        """Summary, detail and hint for *problem*."""
        raise TypeError(f"{type(self).__name__} has no words")  # pragma: no cover


class StartExists(_Shape):
    """A flow begins with the step ``start``."""

    code, kind = "FI201", Kind.NO_START

    def words(self, graph: FlowGraph, problem: Problem) -> tuple[str, str, str]:
        return (
            f"the flow {graph.name} has no step `{problem.step}`",
            "every run begins there",
            "add a step called `start`",
        )


class EndExists(Rule):
    """A flow ends with the step ``end``, and only there, so that the end of a run is one task."""

    code = "FI202"

    def check(self, graph: FlowGraph, found: Structure) -> Iterator[Diagnostic]:
        ends = [step.name for step in graph.steps if isinstance(step.next, End)]
        if graph.kind == "static" and len(ends) > 1:
            yield self.finding(
                graph,
                ends[1],
                f"the flow {graph.name} ends in more than one step: {', '.join(ends)}",
                "the end of a run is one task",
                "lead all of them to one step called `end`",
            )
        if graph.kind == "static" and not _has_end(graph):
            yield self.finding(
                graph,
                "",
                f"the flow {graph.name} has no step `end`",
                "every run ends there",
                "add a step called `end` without self.next",
            )


class StepsExist(_Shape):
    """A transition leads to a step of the same flow."""

    code, kind = "FI203", Kind.UNKNOWN_STEP

    def check(self, graph: FlowGraph, found: Structure) -> Iterator[Diagnostic]:
        """As for every shape; a missing `end` is told once, by the rule that asks for it."""
        if _has_end(graph):
            yield from super().check(graph, found)
        else:
            others = tuple(p for p in found.problems if p.others[:1] != ("end",))
            yield from super().check(graph, Structure(None, others))

    def words(self, graph: FlowGraph, problem: Problem) -> tuple[str, str, str]:
        return unknown_step(problem.step, problem.others[0], graph.by_name)


class Reachable(_Shape):
    """Each step can be reached from ``start``; one that cannot is a mistake, since it never runs."""

    code, kind = "FI204", Kind.UNREACHABLE

    def check(self, graph: FlowGraph, found: Structure) -> Iterator[Diagnostic]:
        """As for every shape, but not for a step whose misspelt name another finding tells."""
        meant = {name for p in found.problems if p.kind is Kind.UNKNOWN_STEP for name in _meant(p.others[0], graph)}
        others = tuple(p for p in found.problems if p.step not in meant)
        yield from super().check(graph, Structure(None, others))

    def words(self, graph: FlowGraph, problem: Problem) -> tuple[str, str, str]:
        return (
            f"no step leads to `{problem.step}`",
            "it would never run",
            "name it in the self.next of the step before it, or remove it",
        )


class BranchesJoin(_Shape):
    """What a split or a foreach opens is joined by one step that takes ``inputs``, before the flow ends."""

    code, kind = "FI205", Kind.NEVER_JOINED

    def words(self, graph: FlowGraph, problem: Problem) -> tuple[str, str, str]:
        opener = problem.step
        what = "foreach" if isinstance(graph.step(opener).next, Foreach) else "branches"
        at = f": `{problem.others[0]}` ends inside it" if problem.others else ""
        return (
            f"the {what} of `{opener}` never join{'s' if what == 'foreach' else ''}{at}",
            "each branch has its own artifacts, and only a join says which of them go on",
            "lead all of its branches to one step that takes `inputs`: def join(self, inputs)",
        )


class JoinsHaveBranches(_Shape):
    """A step that takes ``inputs`` stands behind a split or a foreach."""

    code, kind = "FI206", Kind.NOTHING_TO_JOIN

    def words(self, graph: FlowGraph, problem: Problem) -> tuple[str, str, str]:
        return (
            f"the step `{problem.step}` takes inputs, but nothing is split where `{problem.others[0]}` leads to it",
            "there is one input only, and its artifacts are on self",
            "remove `inputs` from its signature, or split before it",
        )


class BranchesMeetInInputs(_Shape):
    """A step to which several branches lead takes ``inputs``."""

    code, kind = "FI207", Kind.NEEDS_INPUTS

    def words(self, graph: FlowGraph, problem: Problem) -> tuple[str, str, str]:
        step, opener = problem.step, problem.others[0]
        return (
            f"several branches of `{opener}` lead to `{step}`, which takes no inputs",
            "a step where branches meet has one set of artifacts per branch",
            f"write def {step}(self, inputs)",
        )


class ScopesAreKept(_Shape):
    """A transition does not lead into, or out of, what another step has split."""

    code, kind = "FI208", Kind.CROSSES_SCOPE

    def place(self, problem: Problem) -> str:
        """The step that leads there in another way than those before it."""
        return problem.others[2]

    def words(self, graph: FlowGraph, problem: Problem) -> tuple[str, str, str]:
        one, other = (f"inside what `{name}` opens" if name else "at the top" for name in problem.others[:2])
        return (
            f"the step `{problem.step}` is reached both {one} and {other} (from `{problem.others[2]}`)",
            "how many times it would run depends on the way there",
            "join before it, or give each way a step of its own",
        )


class BranchesHaveSteps(_Shape):
    """A branch has at least one step before its join."""

    code, kind = "FI209", Kind.EMPTY_BRANCH

    def words(self, graph: FlowGraph, problem: Problem) -> tuple[str, str, str]:
        return (
            f"`{problem.step}` leads straight into the join `{problem.others[0]}`",
            "an empty branch would have no artifacts to join",
            "put a step between them",
        )


class OneJoin(_Shape):
    """All branches of a split meet in the same join."""

    code, kind = "FI210", Kind.TWO_JOINS

    def words(self, graph: FlowGraph, problem: Problem) -> tuple[str, str, str]:
        return (
            f"what `{problem.step}` splits is joined by both `{problem.others[0]}` and `{problem.others[1]}`",
            "a join waits for all branches",
            "lead all branches to one of them",
        )


class LoopsHaveConditions(_Shape):
    """Going back to an earlier step needs a condition, or the flow would never end."""

    code, kind = "FI211", Kind.ENDLESS

    def words(self, graph: FlowGraph, problem: Problem) -> tuple[str, str, str]:
        step, to = problem.step, problem.others[0]
        return (
            f"`{step}` goes back to `{to}` without a condition",
            "the flow would never end",
            f'write self.next({{"again": self.{to}, "done": self.end}}, condition="verdict") and set self.verdict',
        )


class OneDeciderPerLoop(_Shape):
    """One step decides whether a loop goes on."""

    code, kind = "FI212", Kind.TWO_LOOPS

    def words(self, graph: FlowGraph, problem: Problem) -> tuple[str, str, str]:
        return (
            f"two steps go back to `{problem.step}`: `{problem.others[0]}` and `{problem.others[1]}`",
            "iterations are counted by the one step that decides on another one",
            "lead both to one step that goes back",
        )


class LoopsEnd(_Shape):
    """A loop has a case that leaves it."""

    code, kind = "FI213", Kind.NO_WAY_OUT

    def words(self, graph: FlowGraph, problem: Problem) -> tuple[str, str, str]:
        return (
            f"every case of `{problem.step}` goes back to `{problem.others[0]}`",
            "the flow would never end",
            "add a case that leads on",
        )


class Nested(_Shape):
    """Splits, switches and loops are nested in one another; every target runs nested blocks."""

    code, kind = "FI214", Kind.NOT_NESTED

    def words(self, graph: FlowGraph, problem: Problem) -> tuple[str, str, str]:
        return (
            f"`{problem.step}` leads to `{problem.others[0]}` in a way that no nesting expresses",
            "a loop is entered only at its first step and left only by its last one; a switch's cases meet in one step",
            "give one of the ways a step of its own that calls the same code",
        )


class CatchDecidesNothing(Rule):
    """A step with @catch decides nothing: when it fails, nobody could say which items or which case to go on with."""

    code = "FI215"

    def check(self, graph: FlowGraph, found: Structure) -> Iterator[Diagnostic]:
        for step in graph.steps:
            if step.policy.catch and isinstance(step.next, Foreach | Switch):
                what = "the items of a foreach" if isinstance(step.next, Foreach) else "the case of a switch"
                yield self.finding(
                    graph,
                    step.name,
                    f"the step `{step.name}` has @catch and decides {what}",
                    "when it fails there is nothing to decide by",
                    "do the risky work in a step of its own before it, with @catch there",
                )


class BranchesDiffer(Rule):
    """A split names each branch once."""

    code = "FI216"

    def check(self, graph: FlowGraph, found: Structure) -> Iterator[Diagnostic]:
        for step in graph.steps:
            if isinstance(step.next, Split) and (twice := _twice(step)):
                yield self.finding(
                    graph,
                    step.name,
                    f"the step `{step.name}` splits into `{twice}` more than once",
                    "both branches would be the same task",
                    "name another step, or use foreach for several tasks of one step",
                )


class JoinsAreNotStart(Rule):
    """The first step takes no ``inputs``: nothing comes before it."""

    code = "FI217"

    def check(self, graph: FlowGraph, found: Structure) -> Iterator[Diagnostic]:
        start = graph.by_name.get(graph.start)
        if start and start.join:
            yield self.finding(
                graph,
                start.name,
                f"the first step `{start.name}` takes inputs",
                "nothing comes before it",
                "write def start(self)",
            )


def _has_end(graph: FlowGraph) -> bool:
    return any(isinstance(step.next, End) for step in graph.steps)


def _meant(name: str, graph: FlowGraph) -> list[str]:
    """The step that a message about the unknown step *name* proposes."""
    return get_close_matches(name, list(graph.by_name), n=1, cutoff=0.6)


def _twice(step: StepNode) -> str:
    to = step.next.to if isinstance(step.next, Split) else ()
    return next((name for i, name in enumerate(to) if name in to[:i]), "")


#: Every rule, in the order of the codes.
RULES: tuple[Callable[[], Rule], ...] = (
    StartExists,
    EndExists,
    StepsExist,
    Reachable,
    BranchesJoin,
    JoinsHaveBranches,
    BranchesMeetInInputs,
    ScopesAreKept,
    BranchesHaveSteps,
    OneJoin,
    LoopsHaveConditions,
    OneDeciderPerLoop,
    LoopsEnd,
    Nested,
    CatchDecidesNothing,
    BranchesDiffer,
    JoinsAreNotStart,
)


def check(graph: FlowGraph) -> list[Diagnostic]:
    """Everything that is wrong with *graph*, sorted; empty if it can be compiled."""
    found = structure(graph)
    return sort_diagnostics(d for rule in RULES for d in rule().check(graph, found))


def compile_program(graph: FlowGraph) -> Program:
    """The program of *graph*.

    Raises:
        GraphError: the graph breaks rules; the error carries all findings.
    """
    raise_errors(check(graph), GraphError)
    program = structure(graph).program
    assert program is not None  # every problem of the structure pass has a rule that words it
    return program
