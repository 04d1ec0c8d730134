"""Secrets by reference: how they are written, what is refused, and how they stand in the graph."""

from __future__ import annotations

import json

import pytest

from flowinfra.authoring.secrets import Secret, read_secrets, secrets, variable_of
from flowinfra.authoring.settings import Source
from flowinfra.diagnostics import AuthoringError
from flowinfra.model.environment import SecretRef
from support.flows import Flows

HERE = Source("here")


@pytest.mark.parametrize(
    ("written", "secret", "variable"),
    [
        ("DB", Secret("DB"), "DB"),
        ("environment:DB", Secret("DB"), "DB"),
        ("file:/run/secrets/db-token", Secret("/run/secrets/db-token", "file", "DB_TOKEN"), "DB_TOKEN"),
        ("file:~/2fa", Secret("~/2fa", "file", "SECRET_2FA"), "SECRET_2FA"),
        ("vault:team/api.key", Secret("team/api.key", "vault"), "API_KEY"),
        ("aws:arn:aws:x:secret:db", Secret("arn:aws:x:secret:db", "aws"), "DB"),
        (Secret("DB", env_var="OTHER"), Secret("DB", env_var="OTHER"), "OTHER"),
        ({"type": "file", "id": "/x/y", "env_var": "Z"}, Secret("/x/y", "file", "Z"), "Z"),
    ],
)
def test_the_ways_to_write_a_secret(written: object, secret: Secret, variable: str) -> None:
    """As text, as a Secret, and as the mapping that users of the field know."""
    found, problems = read_secrets([written], "@secrets", HERE)
    assert problems == []
    assert found == (secret,)
    assert variable_of(secret) == variable


def test_all_that_is_wrong_is_told_at_once() -> None:
    """What each is, why it is none, and how one is written."""
    wrong = [
        "a b",
        "file:relative",
        "file:",
        3,
        {"id": "x"},
        "UPPER:x",
        Secret("A", env_var="1"),
        "FLOWINFRA_STORE",
        "x:\n",
    ]
    with pytest.raises(AuthoringError) as found:
        secrets([*wrong, "GOOD"])
    assert [d.code for d in found.value.diagnostics] == ["FI180"] * len(wrong)
    assert all(d.hint and d.source for d in found.value.diagnostics)
    for nothing in ([], "DB", Secret("DB"), None):
        with pytest.raises(AuthoringError, match="FI180"):
            secrets(nothing)  # type: ignore[arg-type]


FLOW = """
from flowinfra import FlowSpec, Secret, TaskEnvironment, secrets, step

db = TaskEnvironment("db", secrets=["DB", Secret("TOKEN", env_var="T")])
other = db.clone_with("other", secrets=["file:/run/key"])

class Flow(FlowSpec):
    @db.step
    def start(self):
        self.next(self.mine)

    @secrets(["environment:DB", "vault:t"])
    @db.step
    def mine(self):
        self.next(self.end)

    @other.step
    def end(self):
        pass
"""


def test_the_graph_has_references_only(flows: Flows) -> None:
    """A step's own beside those of its environment, of two for one variable the step's; a clone keeps or replaces them."""
    graph = flows.graph(FLOW)
    assert {e.name: e.secrets for e in graph.environments} == {
        "db": (SecretRef(source="environment", name="DB"), SecretRef(source="environment", name="TOKEN", env_var="T")),
        "db.mine": (
            SecretRef(source="environment", name="DB"),
            SecretRef(source="vault", name="t"),
        ),
        "other": (SecretRef(source="file", name="/run/key", env_var="KEY"),),
    }
    assert json.dumps(graph.content()).count("vault") == 1
