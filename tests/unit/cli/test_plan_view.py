"""Plans as text."""

from __future__ import annotations

import re

import pytest

from flowinfra.cli.console import Console
from flowinfra.cli.views.plan_text import plan_text
from flowinfra.model.diff import FlowDiff, Layer, LayerChange
from flowinfra.model.plan import Action, Change, Plan


@pytest.mark.parametrize("layer", Layer)
def test_a_layer_stands_clear_of_what_changed_in_it(layer: Layer) -> None:
    """Names of layers and what changed are two columns, also for the longest name."""
    diff = FlowDiff(changes=(LayerChange(layer=layer, subject="step fit", field="cpu", before=1, after=2),))
    urn = "urn:pulumi:dev::demo::flowinfra:index:FlowDeployment::fit"
    flow = Change(
        address=urn,
        type="flowinfra:index:FlowDeployment",
        name="fit",
        action=Action.UPDATE,
        custom=False,
        flow=diff,
        after={"flow": {"name": "Fit"}, "deployment": {"flow": "Fit", "name": "d"}},
    )
    text = plan_text(Plan(project="demo", stack="dev", engine="embedded", changes=(flow,)), Console())
    assert re.search(rf"^    {layer.value} +~ step fit  cpu  1 → 2$", text, re.MULTILINE), text
