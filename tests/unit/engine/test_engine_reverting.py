"""A refresh of single properties, and one the other way round, on foreign resources."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest

from engines.toy.library import Thing
from engines.toy.world import World, actions, change
from flowinfra.diagnostics import EngineError
from flowinfra.engine.base import Options
from flowinfra.model.plan import Operation


def program(secret: str = "") -> Callable[[], None]:
    def run() -> None:
        Thing("a", size=1, payload="p", **({"extra": pulumi.Output.secret(secret)} if secret else {}))
        Thing("b", size=2)

    return run


def file_of(world: World, name: str) -> Path:
    """Where the cloud keeps the resource *name*."""
    return world.cloud / f"{world.resources()[name]['id']}.json"


def by_hand(world: World, name: str, **changes: Any) -> None:
    """Change the resource past the program."""
    path = file_of(world, name)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def live(world: World, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file_of(world, name).read_text())
    return found


def options(world: World, name: str, *fields: str, revert: bool = False) -> Options:
    urn = world.resources()[name]["urn"]
    return Options(targets=(urn,), fields={urn: fields} if fields else {}, revert=revert)


def test_one_property_is_taken_over_and_the_others_drift_on(world: World) -> None:
    """The state has the one that was asked for, and what else differs is still seen by the next refresh."""
    world.up(program())
    by_hand(world, "a", size=7, payload="q")
    world.refresh(options=options(world, "a", "size"))
    assert (world.resources()["a"]["inputs"]["size"], world.resources()["a"]["inputs"]["payload"]) == (7, "p")
    assert world.resources()["a"]["outputs"]["payload"] == "p"
    assert change(world.preview(program(), operation=Operation.REFRESH), "a").changed == ("payload",)


def test_what_is_recorded_is_put_back(world: World) -> None:
    """The provider gets the recorded inputs; afterwards nothing has drifted, and the program is not run."""
    world.up(program())
    before = live(world, "a")
    by_hand(world, "a", size=7, payload="q")
    by_hand(world, "b", size=9)
    plan = world.refresh(options=options(world, "a", revert=True))
    assert actions(plan) == {"a": "update"}
    assert live(world, "a") == before
    assert live(world, "b")["size"] == 9
    assert not world.preview(program(), operation=Operation.REFRESH, options=options(world, "a")).has_changes


def test_one_property_is_put_back(world: World) -> None:
    """The other one stays as it was changed, and stays drift."""
    world.up(program())
    by_hand(world, "a", size=7, payload="q")
    world.refresh(options=options(world, "a", "payload", revert=True))
    assert (live(world, "a")["size"], live(world, "a")["payload"]) == (7, "p")
    assert change(world.preview(program(), operation=Operation.REFRESH), "a").changed == ("size",)


def test_what_is_gone_is_made_again(world: World) -> None:
    """With what was recorded, under a new id that the state has then; the program sees no change."""
    world.up(program())
    was = live(world, "a")
    file_of(world, "a").unlink()
    plan = world.refresh(options=options(world, "a", revert=True))
    assert actions(plan) == {"a": "create"}
    assert live(world, "a") == was
    assert not world.preview(program()).has_changes


def test_a_preview_puts_nothing_back(world: World) -> None:
    """It says what would be done, and neither cloud nor state is another one."""
    world.up(program())
    by_hand(world, "a", size=7)
    before = world.hashes()
    plan = world.preview(program(), operation=Operation.REFRESH, options=options(world, "a", revert=True))
    assert change(plan, "a").changed == ("size",)
    assert world.hashes() == before


def test_secrets_stay_secret(world: World) -> None:
    """A secret that was changed by hand is put back, and is neither in the plan nor in the state in the clear."""
    world.up(program(secret="hush-1"))
    by_hand(world, "a", extra="hush-2")
    plan = world.refresh(options=options(world, "a", revert=True))
    assert live(world, "a")["extra"] == "hush-1"
    assert "hush" not in plan.model_dump_json()
    assert "hush" not in world.file.read_text()


def test_a_provider_that_fails_loses_nothing(world: World) -> None:
    """What failed is told, what is recorded stays recorded, and nothing is pending."""
    world.up(program())
    by_hand(world, "a", size=7)
    text = world.file.read_text().replace('"payload": "p"', '"payload": "p", "fail": true')
    world.file.write_text(
        text if '"fail": true' in text else text.replace('"payload":"p"', '"payload":"p","fail":true')
    )
    with pytest.raises(EngineError, match="refuses"):
        world.refresh(options=options(world, "a", revert=True))
    assert live(world, "a")["size"] == 7
    assert world.resources()["a"]["inputs"]["size"] == 1
    assert not world.latest.get("pending_operations")


def test_what_is_made_again_and_does_not_work_is_in_the_state(world: World) -> None:
    """The provider says that it exists and is not as it should be: it is recorded with that, and not made twice."""
    world.up(program())
    file_of(world, "a").unlink()
    sick = world.root / "sick"
    sick.touch()
    with pytest.raises(EngineError, match="FI657"):
        world.refresh(options=options(world, "a", revert=True))
    sick.unlink()
    assert world.resources()["a"]["initErrors"] == ["it does not start", "nobody knows why"]
    assert live(world, "a")["size"] == 1
    assert actions(world.up(program())) == {"a": "update"}
    assert len(world.live()) == 2
