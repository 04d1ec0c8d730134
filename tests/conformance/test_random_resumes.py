"""Random flows that fail at a random task and are resumed: as if they had never failed, and with no task too many."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from conformance.backends import FORK, Observed
from conformance.test_random_flows import method, renamed
from flowinfra.model.graph import Goto, StepNode
from flowinfra.runtime.lineage import Lineage
from strategies import T, Tree, graph_of, steps_of, trees
from support.walk import Place, Walk, program_of

HEADER = '''"""A random flow; the tasks that are named in the file FAIL raise."""
from hashlib import sha256
from pathlib import Path
from flowinfra import FlowSpec, catch, current, step

def draw(below, *about):
    return sha256(repr(({seed}, about)).encode()).digest()[0] % below

def work(flow, inputs=()):
    place = f"{{current.step_name}}@{{current.task_id}}"
    flow.mark = [place, [i.mark for i in inputs]]
    fail = Path({fail!r})
    if fail.exists() and place in fail.read_text().split():
        raise ValueError(place)

class Random(FlowSpec):
'''


def source_of(walk: Walk, tree: Tree, fail: Path, caught: Iterable[str]) -> str:
    """The flow file of *tree*; the steps *caught* always fail, and their failure is caught."""
    loops = {
        walk.program["sequences"][block["body"]][-1]["step"]: (sorted(block["again"]), sorted(block["exits"]))
        for sequence in walk.program["sequences"]
        for block in sequence
        if block["kind"] == "loop"
    }

    def one(node: StepNode) -> str:
        lines = method(node, loops).splitlines(keepends=True)
        lines.insert(3, f"        work(self{', inputs' if node.join else ''})\n")
        if node.name in caught:
            lines.insert(0, "    @catch(var='oops')\n")
            lines.insert(5, "        raise KeyError('always')\n")
        return "".join(lines)

    header = HEADER.format(seed=walk.seed, fail=str(fail))
    return header + "\n".join(one(node) for node in graph_of(tree).steps)


@dataclass(frozen=True)
class Past:
    """A run that has ended: which run each task that it has committed was run in, and what it was asked to run again."""

    name: str
    ran: dict[Place, str]
    rerun: set[str]


def run_again(walk: Walk, past: list[Past], rerun: set[str]) -> set[Place]:
    """On paper: the tasks that a run has to run which resumes the first of *past*, which has resumed the second, ..."""
    lineage = Lineage(walk.program)
    runs = [one.name for one in past]
    back: dict[Place, int] = {}
    for place, parents in walk.parents.items():  # each behind its parents
        step, task = place
        before = list(parents)
        if not parents and lineage.joins(step):
            before = [tuple(lineage.opener(step, task))]
        bound = min((back[one] for one in before), default=len(past))
        back[place] = -1
        for number, one in enumerate(past):
            if number > bound or step in rerun:
                break
            if place in one.ran:
                back[place] = runs.index(one.ran[place])
                break
            if step in one.rerun:
                break
        back[place] = min(back[place], bound)
    return {place for place, number in back.items() if number < 0}


def check_same(observed: Observed, wanted: Observed, walk: Walk) -> None:
    """Both runs have the same tasks, with the same parents, decisions and values."""
    assert observed.state == wanted.state == "succeeded", observed.error
    for step, task in walk.parents:
        one, other = observed.data.commit(step, task), wanted.data.commit(step, task)
        assert (one.parents, one.control, one.items, one.failed) == (
            other.parents,
            other.control,
            other.items,
            other.failed,
        )
        assert one.artifacts.keys() == other.artifacts.keys()
        values = [name for name in one.artifacts if name != "oops"]  # a failure says when and where it happened
        assert {n: one.artifacts[n].blob for n in values} == {n: other.artifacts[n].blob for n in values}


@given(trees(steps=10, depth=3), st.integers(0, 10**6), st.data())
@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_a_resumed_run_is_as_if_nothing_had_failed(tree: Tree, seed: int, data: st.DataObject) -> None:
    """Same tasks, ids and data as a run without failure; run again is what must be, and what is asked for, only."""
    tree = (T("first"), *tree, T("last"))
    names = list(steps_of(tree))
    tree = renamed(tree, {name: name for name in names} | {"first": "start", "last": "end"})
    walk = Walk(program_of(tree), seed)
    places = list(walk.parents)
    plain = [node.name for node in graph_of(tree).steps if isinstance(node.next, Goto)]
    caught = data.draw(st.sets(st.sampled_from(plain), max_size=2), label="caught") if plain else set()
    place = st.sampled_from([f"{step}@{task}" for step, task in places])
    with tempfile.TemporaryDirectory() as name:
        folder, file, fail = Path(name), Path(name) / "random_flow.py", Path(name) / "fail"
        file.write_text(source_of(walk, tree, fail, caught))
        wanted = FORK.run_flow(file, "Random", folder, run="whole")
        past: list[Past] = []
        for number, failing in enumerate((*(data.draw(place, label="failing") for _ in range(3)), "")):
            run, rerun = f"r{number}", set[str]()
            fail.write_text("" if failing.partition("@")[0] in caught else failing)
            if past and data.draw(st.booleans(), label="more is asked for"):
                rerun = {data.draw(st.sampled_from(names[1:-1] or ["end"]), label="step")}
            observed = FORK.run_flow(
                file,
                "Random",
                folder,
                run=run,
                origin=past[0].name if past else "",
                rerun=list(rerun),
                max_workers=data.draw(st.sampled_from([1, 3, 16]), label="workers"),
            )
            needed = run_again(walk, past, rerun)
            begun = {tuple(place.split("@")[:2]) for place in observed.trace()}
            assert begun <= needed, f"run again without need: {begun - needed}"
            ran: dict[Place, str] = {}
            for task in walk.parents:
                commit = observed.data.find_commit(*task)
                if commit is not None:
                    assert bool(commit.origin) == (task not in begun)
                    ran[task] = commit.origin.split("/")[1] if commit.origin else run
                    assert commit.origin in ("", f"Random/{ran[task]}/{task[0]}/{task[1]}")
            if observed.state == "succeeded":
                assert begun == needed
                check_same(observed, wanted, walk)
                assert Counter((e["step"], e["task"]) for e in _firsts(observed)) == Counter(begun)
            past.insert(0, Past(run, ran, rerun))
        assert past[0].ran.keys() == walk.parents.keys()


def _firsts(observed: Observed) -> list[dict[str, str]]:
    return [e for e in observed.events if e["kind"] == "task_started" and e["attempt"] == "0"]
