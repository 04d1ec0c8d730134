"""What a plan of each kind looks like as text, as markdown and as JSON. `make golden` rewrites the files."""

from __future__ import annotations

import json

import pytest

from flowinfra.cli.console import Console
from flowinfra.cli.views.plan_markdown import plan_markdown
from flowinfra.cli.views.plan_text import plan_text
from flowinfra.model.plan import Plan
from support.golden import Golden
from support.plans import samples

SAMPLES = samples()


@pytest.mark.parametrize("kind", SAMPLES)
def test_plan_as_text(golden: Golden, kind: str) -> None:
    """A plan as it stands in a terminal, without colour."""
    golden.check(f"plans/{kind}.txt", plan_text(SAMPLES[kind], Console(color="never")))


@pytest.mark.parametrize("kind", SAMPLES)
def test_plan_as_markdown(golden: Golden, kind: str) -> None:
    """A plan as it stands in the comment of a pull request."""
    golden.check(f"plans/{kind}.md", plan_markdown(SAMPLES[kind]))


@pytest.mark.parametrize("kind", SAMPLES)
def test_plan_as_json(golden: Golden, kind: str) -> None:
    """A plan as other programs read it; reading it gives the same plan."""
    document = SAMPLES[kind].to_json()
    golden.check(f"plans/{kind}.json", json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    assert Plan.from_json(json.loads(json.dumps(document))) == SAMPLES[kind]


@pytest.mark.parametrize("kind", [k for k in SAMPLES if k != "hostile"])
def test_plan_fits_a_terminal_of_80_columns(kind: str) -> None:
    """No line of a usual plan is longer than a terminal is wide."""
    text = plan_text(SAMPLES[kind], Console(color="never"))
    assert [line for line in text.splitlines() if len(line) > 80] == []
