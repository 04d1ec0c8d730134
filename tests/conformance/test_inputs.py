"""What a run is given and what its tasks can ask for, on real processes."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from conformance.backends import FORK, SPAWN, LocalBackend
from conformance.shapes import FLOWS
from conformance.stored import Stored

INPUTS = FLOWS / "inputs.py"


def test_parameters_of_every_type_reach_the_steps(tmp_path: Path) -> None:
    """As Python values, defaults from functions and files included; what a step does to a list stays its own."""
    observed = FORK.run_flow(INPUTS, "Inputs", tmp_path, parameters={"the_count": 5, "any": {"x": [None]}})
    assert observed.state == "succeeded", observed.error
    assert observed.artifacts("end@0")["seen"] == {
        "count": 5,
        "share": [1.0, "float"],
        "on": True,
        "names": ["a"],
        "table": {"k": [1]},
        "any": {"x": [None]},
        "day": datetime.date(2030, 1, 2),
        "moment": datetime.datetime(2030, 1, 1, 8, tzinfo=datetime.UTC),
        "text": "beside the flow\n",
    }
    assert observed.artifacts("end@0")["count"] == 5


def test_a_default_file_is_in_the_bundle(tmp_path: Path) -> None:
    """Where there is no checkout, the first task finds it beside the unpacked flow."""
    stored = Stored.put(INPUTS, "Inputs", tmp_path)
    assert stored.task("start", "0").returncode == 0
    assert stored.observed.artifacts("start@0")["text"] == "beside the flow\n"


@pytest.mark.parametrize("backend", [FORK, SPAWN], ids=str)
def test_a_step_may_ask_about_its_task(backend: LocalBackend, tmp_path: Path) -> None:
    """`current` tells it, in threads that the step starts too; its temporary folder goes with the task."""
    observed = backend.run_flow(INPUTS, "Asks", tmp_path, tags=["one", "two"], user="ada")
    assert observed.state == "succeeded", observed.error
    artifacts = observed.artifacts("end@0")
    assert artifacts["told"] == {
        "pathspec": "Asks/r1/ask/0.0",
        "attempt": 0,
        "flow": "Asks",
        "tags": ["one", "two"],
        "username": "ada",
        "namespace": "user:ada",
        "origin": None,
        "running": True,
        "size": [7, {"size": 7}],
        "in_thread": ["ask"],
    }
    assert artifacts["left"] is False


def test_large_items_are_read_in_parts(tmp_path: Path) -> None:
    """No task of a foreach reads the whole list to get at its one item."""
    observed = FORK.run_flow(INPUTS, "LargeItems", tmp_path)
    assert observed.state == "succeeded", observed.error
    commit = observed.commit("start@0")
    assert commit.artifacts["items"].size > 1_000_000
    assert len(commit.items) > 10
    assert max(ref.size for ref in commit.items) < 200_000
    assert observed.artifacts("end@0")["heads"] == [((str(i) * 2)[:2], 20_000 * len(str(i))) for i in range(40)]
    assert observed.artifacts("end@0")["same"] is True
