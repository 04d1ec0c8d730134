"""@exit_hook: what can be one, and what the graph says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from flowinfra import exit_hook
from flowinfra.authoring.graph import build_graph
from flowinfra.authoring.loader import load_flow
from flowinfra.diagnostics import AuthoringError
from flowinfra.model.graph import FlowGraph
from flowinfra.targets.base import Capability, Feature, Support, check_target, features_of
from flowinfra.targets.local import Local
from support.flows import Flows

FLOW = """
from flowinfra import FlowSpec, exit_hook, step
from flows_of_hooks.helper import shared

def good(run):
    pass

def plain():
    pass

@exit_hook(on_success=[good, shared])
@exit_hook(on_success=plain, on_error=[plain], options={"image": "small"})
class Churn(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def hooked(flows: Flows) -> FlowGraph:
    """The graph of a flow with hooks in two modules."""
    flows.write("", "flows_of_hooks/__init__.py")
    flows.write("def shared(run=None):\n    pass\n", "flows_of_hooks/helper.py")
    file = flows.write(FLOW, "flows_of_hooks/churn.py")
    return build_graph(load_flow(file), root=flows.folder)


def test_the_graph_names_the_functions_in_the_order_written(flows: Flows) -> None:
    """By module and name, as a process of its own imports them; the graph says the same after a round trip."""
    graph = hooked(flows)
    assert [(h.on, h.entrypoint, h.image) for h in graph.hooks] == [
        ("success", "flows_of_hooks.churn:good", ""),
        ("success", "flows_of_hooks.helper:shared", ""),
        ("success", "flows_of_hooks.churn:plain", "small"),
        ("error", "flows_of_hooks.churn:plain", "small"),
    ]
    assert FlowGraph.from_keyed(graph.keyed()) == graph.model_copy(update={"doc": "", "source": None, **_bare(graph)})


def _bare(graph: FlowGraph) -> dict[str, Any]:
    return {"steps": tuple(s.model_copy(update={"doc": "", "source": None}) for s in graph.steps)}


def test_a_target_says_what_it_does_with_hooks(flows: Flows) -> None:
    """Local calls them; one that does not know them refuses."""

    class Other:
        name: ClassVar[str] = "other"
        capabilities: ClassVar[Mapping[Feature, Capability]] = {
            f: c for f, c in Local.capabilities.items() if f is not Feature.EXIT_HOOK
        }

    graph = hooked(flows)
    assert Feature.EXIT_HOOK in {feature for feature, _ in features_of(graph)}
    assert Local.capabilities[Feature.EXIT_HOOK].support is Support.NATIVE
    assert check_target(Local(), graph) == []
    assert [d.code for d in check_target(Other(), graph)] == ["FI301"]


def two(run: Any, more: Any) -> None:
    """Takes more than the run."""


WRONG: dict[str, Any] = {
    "nothing": {},
    "a lambda": {"on_error": [lambda: None]},
    "no function": {"on_success": ["notify"]},
    "one that takes too much": {"on_error": [two]},
    "an unknown option": {"on_error": [test_a_target_says_what_it_does_with_hooks], "options": {"gpu": 1}},
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_called_is_refused(case: str) -> None:
    """Where the decorator is written."""
    with pytest.raises(AuthoringError) as raised:
        exit_hook(**WRONG[case])
    assert [d.code for d in raised.value.diagnostics] == ["FI172"]
