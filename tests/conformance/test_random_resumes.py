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
class OnPaper:
    """What has to be run again."""

    walk: Walk

    def rerun(self, committed: set[Place], rerun: set[str]) -> set[Place]:
        """The tasks of a resumed run that are run: those that are asked for or have not committed, and all behind them."""
        lineage = Lineage(self.walk.program)
        found: set[Place] = set()
        for place, parents in self.walk.parents.items():  # each behind its parents
            step, task = place
            before = list(parents)
            if not parents and lineage.joins(step):
                before = [tuple(lineage.opener(step, task))]
            if place not in committed or step in rerun or found.intersection(before):
                found.add(place)
        return found


def committed(observed: Observed, walk: Walk) -> set[Place]:
    """The tasks that have committed."""
    return {place for place in walk.parents if observed.data.find_commit(*place) is not None}


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
    max_examples=6,
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
        origin, before = "", set[Place]()
        ran: dict[Place, str] = {}
        for number, failing in enumerate((data.draw(place, label="first"), data.draw(place, label="second"), "")):
            run, rerun = f"r{number}", set[str]()
            fail.write_text("" if failing.partition("@")[0] in caught else failing)
            if origin and data.draw(st.booleans(), label="more is asked for"):
                rerun = {data.draw(st.sampled_from(names[1:-1] or ["end"]), label="step")}
            workers = data.draw(st.sampled_from([1, 3, 16]), label="workers")
            observed = FORK.run_flow(
                file, "Random", folder, run=run, origin=origin, rerun=list(rerun), max_workers=workers
            )
            allowed = OnPaper(walk).rerun(before, rerun)
            begun = {tuple(place.split("@")[:2]) for place in observed.trace()}
            assert begun <= allowed, f"run again without need: {begun - allowed}"
            before = committed(observed, walk)
            for task in before:
                if task in begun:
                    ran[task] = run
                    assert not observed.data.commit(*task).origin
                else:
                    assert observed.data.commit(*task).origin == f"Random/{ran[task]}/{task[0]}/{task[1]}"
            if observed.state == "succeeded":
                assert begun == allowed
                check_same(observed, wanted, walk)
                assert Counter(begun) == Counter(e["step"] and (e["step"], e["task"]) for e in _firsts(observed))
            origin = run


def _firsts(observed: Observed) -> list[dict[str, str]]:
    return [e for e in observed.events if e["kind"] == "task_started" and e["attempt"] == "0"]
