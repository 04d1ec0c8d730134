"""`--with`: decorators that one run puts on every step."""

from __future__ import annotations

import pytest

from flowinfra.authoring.decorators import retry
from flowinfra.authoring.environment import step
from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.secrets import Secret
from flowinfra.authoring.settings import mark_of
from flowinfra.control.decospecs import decorate
from flowinfra.diagnostics import ConfigurationError


def a_flow() -> type[FlowSpec]:
    """A flow of two steps, of which the second says itself how often it is repeated."""

    class Flow(FlowSpec):
        @step
        def start(self) -> None:
            self.next(self.end)

        @retry(times=7)
        @step
        def end(self) -> None:
            pass

    return Flow


def settings(flow: type[FlowSpec], name: str) -> dict[str, object]:
    """What decorators say about a step."""
    mark = mark_of(vars(flow)[name])
    assert mark is not None
    return {p.field: p.value for p in mark.patches}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("retry", {"retry": (3, 0.0, 1.0)}),
        ("retry:times=2,delay=5s", {"retry": (2, 5.0, 1.0)}),
        ("retry:times=1,minutes_between_retries=2", {"retry": (1, 120.0, 1.0)}),
        ("timeout:minutes=1,seconds=30", {"timeout_seconds": 90}),
        ("timeout:limit=2h", {"timeout_seconds": 7200}),
        ('secrets:sources=["A","file:/b/c"]', {"secrets": (Secret("A"), Secret("/b/c", "file", "C"))}),
        ("catch:var=problem", {"catch": "problem"}),
        ('environment:vars={"A": "1, 2", "B": "[x"}', {"env_vars": {"A": "1, 2", "B": "[x"}}),
    ],
)
def test_a_decorator_as_text(spec: str, expected: dict[str, object]) -> None:
    """Arguments are JSON, or plain text; a comma inside brackets divides nothing."""
    flow = a_flow()
    decorate(flow, [spec])
    assert settings(flow, "start") == expected


def test_what_the_file_says_is_stronger() -> None:
    """A step that has the decorator keeps its own; the others get the one of the run."""
    flow = a_flow()
    decorate(flow, ["retry:times=2", "catch"])
    assert settings(flow, "start") == {"retry": (2, 0.0, 1.0), "catch": ""}
    assert settings(flow, "end") == {"retry": (7, 0.0, 1.0), "catch": ""}


def test_everything_that_is_wrong_comes_at_once() -> None:
    """An unknown decorator, an unknown argument, an argument out of range; then no step is changed."""
    flow = a_flow()
    with pytest.raises(ConfigurationError) as raised:
        decorate(flow, ["retri", "retry:tims=2", "retry:times=-1", "timeout", "catch:problem"])
    assert sorted(d.code for d in raised.value.diagnostics) == ["FI131", "FI131", "FI950", "FI950", "FI950"]
    assert settings(flow, "end") == {"retry": (7, 0.0, 1.0)}
    decorate(flow, [])
    assert settings(flow, "end") == {"retry": (7, 0.0, 1.0)}


def test_a_decorator_of_a_missing_target_is_refused_by_name() -> None:
    """`--with kubernetes` is never quietly left out, and says why it cannot be done."""
    with pytest.raises(ConfigurationError, match=r"FI954.*on Kubernetes"):
        decorate(a_flow(), ["kubernetes", "retry"])
