"""Where in the source a resource of the last state was registered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import flowinfra
from flowinfra.engine.places import place_of


@pytest.mark.parametrize(
    ("position", "place"),
    [
        ("project:///__main__.py#7,3", "__main__.py:7"),
        ("project:///../shared/flows.py#12", "../shared/flows.py:12"),
        ("project:///flowinfra/mine.py#1", "flowinfra/mine.py:1"),
        ("project:///.venv/lib/python3.12/site-packages/lib/x.py#4", ""),
        ("project:///__main__.py", ""),
        ("", ""),
    ],
)
def test_a_position_in_the_state_becomes_a_place_for_people(tmp_path: Path, position: str, place: str) -> None:
    """Only of what the project's authors have written."""
    assert place_of(position, tmp_path) == place


def test_a_place_in_flowinfra_itself_is_none(tmp_path: Path) -> None:
    """Also where flowinfra runs from its own source tree, which an author has not written either."""
    own = Path(flowinfra.__file__).parent / "components" / "local.py"
    project = tmp_path / "project"
    project.mkdir()
    relative = os.path.relpath(os.path.realpath(own), os.path.realpath(project))
    assert place_of(f"project:///{relative}#76", project) == ""
