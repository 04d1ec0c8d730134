"""Plans as text."""

from __future__ import annotations

import json
import re

import pytest

from flowinfra.cli.console import ColorChoice, Console
from flowinfra.cli.views.plan_parts import rows_of
from flowinfra.cli.views.plan_text import plan_text
from flowinfra.model.diff import FlowDiff, Layer, LayerChange
from flowinfra.model.plan import Action, Change, Operation, Plan
from support.plans import child, component, flow, inputs, plan, resource, samples


@pytest.mark.parametrize("layer", Layer)
def test_a_layer_stands_clear_of_what_changed_in_it(layer: Layer) -> None:
    """Names of layers and what changed are two columns, also for the longest name."""
    diff = FlowDiff(changes=(LayerChange(layer=layer, subject="step fit", field="cpu", before=1, after=2),))
    urn = "urn:pulumi:dev::demo::flowinfra:index:FlowDeployment::fit"
    change = Change(
        address=urn,
        type="flowinfra:index:FlowDeployment",
        name="fit",
        action=Action.UPDATE,
        custom=False,
        flow=diff,
        after={"flow": {"name": "Fit"}, "deployment": {"flow": "Fit", "name": "d"}},
    )
    text = plan_text(Plan(project="demo", stack="dev", engine="embedded", changes=(change,)), Console())
    assert re.search(rf"^    {layer.value} +~ step fit  cpu  1 → 2$", text, re.MULTILINE), text


@pytest.mark.parametrize("kind", samples())
@pytest.mark.parametrize("color", ["always", "never"])
def test_no_plan_writes_its_own_control_characters(kind: str, color: ColorChoice) -> None:
    """What a flow is called cannot move the cursor, and colours are ours."""
    text = plan_text(samples()[kind], Console(color=color))
    assert re.sub(r"\x1b\[[0-9;]*m", "" if color == "always" else "no colour", text).replace("\n", "").isprintable()
    assert re.sub(r"\x1b\[[0-9;]*m", "", text) == plan_text(samples()[kind], Console(color="never"))


def test_data_loss_is_the_first_thing() -> None:
    """What would be lost stands above everything but what makes the plan doubtful, and is counted in the last line."""
    text = plan_text(samples()["data-lost"], Console())
    lines = text.splitlines()
    assert lines[0].startswith("! It cannot be applied")
    assert lines[2] == "! DATA WOULD BE LOST:"
    assert lines[-1].endswith("3 resources would lose data.")


def test_what_was_applied_is_told_in_the_past() -> None:
    """The record of an operation says what was done and lost."""
    text = plan_text(samples()["data-lost"].model_copy(update={"applyable": True}), Console(), applied=True)
    assert text.startswith("! Data was lost:\n")
    assert text.splitlines()[-1] == "Done: 1 updated, 1 replaced, 3 deleted."


def test_a_plan_without_changes_that_looked_at_a_part_says_so() -> None:
    """Nothing found is not the same as nothing there."""
    bare = Plan(project="demo", stack="dev", engine="embedded", targets=("a",), complete=False)
    text = plan_text(bare, Console())
    assert "Only 1 target: everything else was left out" in text
    assert "nothing changes as far as is known" in text


def test_many_resources_of_a_deployment_stay_readable() -> None:
    """Those of one kind are one word with a number, and the line is never wider than a terminal."""
    parent = component(None, inputs(flow(), "1"))
    kinds = [f"SomeKindOfResource{i}" for i in range(12)]
    own = [child(kind, Action.CREATE) for kind in kinds] + [child("Role", Action.CREATE)] * 3
    text = plan_text(plan(parent, *own), Console())
    assert "+ 3 × Role" in text
    assert max(map(len, text.splitlines())) <= 80


def test_json_inside_a_property_is_compared_as_json() -> None:
    """A definition that is one long text shows the one value in it that changes."""
    before, after = (json.dumps({"States": {"fit": {"Retry": n, "Next": "x"}}}) for n in (2, 5))
    change = resource("a:b:C", "x", Action.UPDATE, changed=("d[0]",), before={"d": [before]}, after={"d": [after]})
    assert "    d[0].States.fit.Retry  2 → 5\n" in plan_text(plan(change), Console())


def test_steps_that_changed_by_the_same_helper_are_one_row() -> None:
    """A helper that ten steps use is told once, with the steps; a step's own code stays a row of its own."""
    helper, own = ("tools.clean (tools.py:3)",), ("its own code",)
    changes = [LayerChange(layer=Layer.CODE, subject=f"step s{i}", field="code", because=helper) for i in range(9)]
    changes += [LayerChange(layer=Layer.CODE, subject=f"step t{i}", field="code", because=own) for i in range(2)]
    rows = rows_of(FlowDiff(changes=tuple(changes)), Layer.CODE)
    assert [(row.subject, row.what) for row in rows] == [
        ("tools.clean (tools.py:3)", ""),
        ("step t0", "its own code"),
        ("step t1", "its own code"),
    ]
    assert rows[0].note == "used by step s0, step s1, step s2, step s3, step s4, step s5 and 3 more"


def test_what_a_refresh_takes_over_is_told_once_and_deletes_nothing() -> None:
    """What drifted is shown with its fields; what is gone is forgotten by the state."""
    gone = resource("aws:sqs/queue:Queue", "events", Action.DELETE, holds_data="messages")
    text = plan_text(plan(gone, drift=(gone,), operation=Operation.REFRESH), Console())
    assert text.count("events") == 1
    assert "DATA" not in text
    assert text.splitlines()[-1] == "Plan: 1 to forget."


def test_an_offline_plan_with_unknowns_does_not_claim_that_nothing_changes() -> None:
    """What was not known may have changed."""
    same = resource("aws:sqs/queue:Queue", "events", Action.SAME)
    known = plan(same, engine="recorder")
    assert "what is deployed is what the program says" in plan_text(known, Console())
    unsure = known.model_copy(update={"unknown": (f"{same.address}: policy",)})
    text = plan_text(unsure, Console())
    assert "Not known offline:" in text
    assert "nothing changes as far as is known" in text


def test_why_a_resource_is_replaced_fits_the_screen() -> None:
    """Long values are wrapped at 80 columns."""
    long = {"name": "a" * 50}, {"name": "b" * 50}
    moved = child(
        "LocalDeployment",
        Action.REPLACE,
        before=long[0],
        after=long[1],
        changed=("name",),
        replaced_by=("name",),
        holds_data="",
    )
    before = inputs(flow(), "1" * 64)
    text = plan_text(plan(component(before, {**before, "release": "2" * 64}), moved), Console())
    assert "replaced because of" in text
    assert max(map(len, text.splitlines())) <= 80, text


def test_a_plan_as_json_is_the_same_whatever_the_order_of_its_inputs() -> None:
    """Inputs are sorted by name at every depth; lists keep their order."""
    one = resource("x:y:Z", "z", Action.CREATE, after={"b": {"d": 1, "c": [{"f": 1, "e": 2}]}, "a": 1})
    other = one.model_copy(update={"after": {"a": 1, "b": {"c": [{"e": 2, "f": 1}], "d": 1}}})
    assert json.dumps(plan(one).to_json()) == json.dumps(plan(other).to_json())


def test_a_flow_file_that_moved_is_one_line() -> None:
    """All steps that are the same functions in another module are told together; another function is told by itself."""
    steps = [("fit", "shop:Churn.fit", "sales:Churn.fit"), ("end", "shop:Churn.end", "sales:Churn.end")]
    steps.append(("load", "shop:Churn.load", "sales:Churn.read"))
    diff = FlowDiff(
        changes=tuple(
            LayerChange(layer=Layer.METADATA, subject=f"step {s}", field="entrypoint", before=b, after=a)
            for s, b, a in steps
        )
    )
    moved, other = rows_of(diff, Layer.METADATA)
    assert (moved.subject, moved.before, moved.after, moved.note) == (
        "entrypoints",
        "shop",
        "sales",
        "of step fit, step end",
    )
    assert other.subject == "step load"
