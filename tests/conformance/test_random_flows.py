"""Random well-formed flows on real processes: what ran, and from what each task started."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from conformance.backends import FORK
from flowinfra.model.graph import Foreach, Goto, Split, StepNode, Switch
from strategies import C, L, M, P, T, Tree, graph_of, steps_of, trees
from support.walk import Walk, program_of

HEADER = '''"""A random flow."""
from hashlib import sha256
from flowinfra import FlowSpec, current, step

def draw(below, *about):
    return sha256(repr(({seed}, about)).encode()).digest()[0] % below

class Random(FlowSpec):
'''


def renamed(tree: Tree, names: dict[str, str]) -> Tree:
    """*tree* with other names of steps."""

    def one(block: T | P | M | C | L) -> T | P | M | C | L:
        match block:
            case T(step):
                return T(names[step])
            case P(branches):
                return P(tuple(renamed(b, names) for b in branches))
            case M(body, over, most):
                return M(renamed(body, names), over, most)
            case C(cases, on):
                return C(tuple((words, renamed(t, names)) for words, t in cases), on)
            case L(body, again, exits, on):
                return L(renamed(body, names), again, tuple((words, renamed(t, names)) for words, t in exits), on)

    return tuple(one(block) for block in tree)


def method(node: StepNode, loops: dict[str, tuple[list[str], list[str]]]) -> str:
    """A step that decides as the walk on paper does."""
    lines = ["@step", f"def {node.name}(self{', inputs' if node.join else ''}):", "    here = current.task_id"]
    match node.next:
        case Goto(to=to):
            lines.append(f"    self.next(self.{to})")
        case Split(to=to):
            lines.append(f"    self.next({', '.join(f'self.{t}' for t in to)})")
        case Foreach(to=to, over=over, max_concurrency=most):
            lines.append(f"    self.{over} = list(range(draw(4, {node.name!r}, here)))")
            limit = f", max_concurrency={most}" if most else ""
            lines.append(f"    self.next(self.{to}, foreach={over!r}{limit})")
        case Switch(on=on, cases=cases):
            if node.name in loops:
                again, exits = loops[node.name]
                lines.append("    outer, _, n = here.rpartition('-')")
                lines.append(f"    cases = {again} if int(n) < draw(3, {node.name!r}, outer) else {exits}")
                lines.append(f"    self.{on} = cases[draw(len(cases), {node.name!r}, outer, int(n))]")
            else:
                lines.append(f"    self.{on} = {sorted(cases)}[draw({len(cases)}, {node.name!r}, here)]")
            table = ", ".join(f"{case!r}: self.{to}" for case, to in cases.items())
            lines.append(f"    self.next({{{table}}}, condition={on!r})")
        case _:
            pass
    return "".join(f"    {line}\n" for line in lines)


@given(trees(steps=10, depth=3), st.integers(0, 10**6))
@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
def test_a_random_flow_runs_as_on_paper(tree: Tree, seed: int) -> None:
    """Exactly the tasks of the walk ran, once each, and each started from the parents that the walk handed on."""
    tree = (T("first"), *tree, T("last"))
    steps = list(steps_of(tree))
    tree = renamed(tree, {name: name for name in steps} | {"first": "start", "last": "end"})
    walk = Walk(program_of(tree), seed)
    loops = {
        walk.program["sequences"][block["body"]][-1]["step"]: (sorted(block["again"]), sorted(block["exits"]))
        for sequence in walk.program["sequences"]
        for block in sequence
        if block["kind"] == "loop"
    }
    source = HEADER.format(seed=seed) + "\n".join(method(node, loops) for node in graph_of(tree).steps)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "random_flow.py").write_text(source)
        observed = FORK.run_flow(folder / "random_flow.py", "Random", folder)
        assert observed.state == "succeeded", observed.error
        assert observed.trace() == Counter(f"{step}@{task}@0" for step, task in walk.parents)
        for (step, task), parents in walk.parents.items():
            commit = observed.commit(f"{step}@{task}")
            assert [tuple(parent) for parent in commit.parents] == parents
            if (step, task) in walk.control:
                assert commit.control == walk.control[step, task]
