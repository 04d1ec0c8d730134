"""Providers that hang, die, answer nonsense or leave something half done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.provider.experimental import provider as sdk
from pulumi.provider.experimental.property_value import PropertyValue

from engines.toy.library import Thing
from engines.toy.provider import Toy
from engines.toy.world import World, actions, change, nothing
from flowinfra.diagnostics import EngineError
from flowinfra.engine.calls import Abandoned, Calls
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.model.plan import Plan

TESTS = Path(__file__).resolve().parents[2]
Options = pulumi.ResourceOptions


def engine(world: World, made: Callable[[], sdk.Provider]) -> EmbeddedEngine:
    return EmbeddedEngine({"toy": made}, passphrase=world.secrets)


def program(size: int = 1, **options: Any) -> Callable[[], None]:
    def run() -> None:
        first = Thing("first")
        Thing("a", Options(depends_on=[first], **options), size=size)

    return run


def up(world: World, made: Callable[[], sdk.Provider], run: Callable[[], None]) -> Plan:
    return engine(world, made).up(world.ref(run))


class Answering(Toy):
    """Answers some methods for the resource `a` with what it was given, or raises it."""

    def __init__(self, world: World, **answers: Any) -> None:
        super().__init__(world.cloud)
        self.answers = answers

    def _answer(self, method: str, request: Any) -> Any:
        answer = self.answers.get(method, ...)
        if answer is ... or not request.urn.endswith("::a") or getattr(request, "preview", False):
            return ...
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def check(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        answer = self._answer("check", request)
        return await super().check(request) if answer is ... else answer

    async def diff(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        answer = self._answer("diff", request)
        return await super().diff(request) if answer is ... else answer

    async def create(self, request: sdk.CreateRequest) -> sdk.CreateResponse:
        answer = self._answer("create", request)
        return await super().create(request) if answer is ... else answer

    async def update(self, request: sdk.UpdateRequest) -> sdk.UpdateResponse:
        answer = self._answer("update", request)
        return await super().update(request) if answer is ... else answer

    async def delete(self, request: sdk.DeleteRequest) -> None:
        if self._answer("delete", request) is ...:
            await super().delete(request)

    async def read(self, request: sdk.ReadRequest) -> sdk.ReadResponse:
        answer = self._answer("read", request)
        return await super().read(request) if answer is ... else answer


def created(id_: Any = "x", **properties: Any) -> sdk.CreateResponse:
    return sdk.CreateResponse(id_, properties)


NONSENSE: list[tuple[str, Any, str]] = [
    ("check", None, "returned a NoneType instead of a CheckResponse"),
    ("check", {"inputs": {}}, "returned a dict instead of a CheckResponse"),
    ("check", sdk.CheckResponse({"size": 1}), "'size' is a int instead of a PropertyValue"),  # type: ignore[dict-item]
    ("check", sdk.CheckResponse({1: PropertyValue(1.0)}), "name is the int 1"),  # type: ignore[dict-item]
    ("check", sdk.CheckResponse({}, ["size"]), "failures are no list"),  # type: ignore[list-item]
    ("check", sdk.CheckResponse({"size": PropertyValue(float("nan"))}), "'size' holds a number that JSON cannot say"),
    ("create", None, "returned a NoneType instead of a CreateResponse"),
    ("create", created(None), "returned no id"),
    ("create", created(""), "returned no id"),
    ("create", created(5), "the id is the int 5 instead of text"),
    ("create", created("x", out=PropertyValue(float("inf"))), "'out' holds a number"),
    ("create", created("x", out=PropertyValue([PropertyValue(float("nan"))])), "'out' holds a number"),
    ("create", created("x", out="text"), "'out' is a str instead of a PropertyValue"),
    ("create", created("x", out=PropertyValue(pulumi.StringAsset("x"))), "assets and archives that a provider returns"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "answer", "says"), NONSENSE)
def test_nonsense_is_named_with_the_provider_the_method_and_the_resource(
    world: World, method: str, answer: Any, says: str
) -> None:
    """Nothing that cannot be is recorded; what a creation may have made stays on record as pending."""
    with pytest.raises(EngineError, match=rf"(?s)(FI655|FI602).*{says}") as caught:
        up(world, lambda: Answering(world, **{method: answer}), program())
    text = str(caught.value)
    assert f"{method} of the provider for 'toy', for urn:pulumi:dev::proj::toy:index:Thing::a" in text
    if method == "create":
        assert [p["type"] for p in world.latest["pending_operations"]] == ["creating"]
        assert set(world.resources()) == {"proj-dev", "default_0_1_0", "first"}
    else:
        assert not world.file.exists()
    assert list((world.state / ".pulumi").rglob("locks/*")) == []


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("diff", None),
        ("diff", sdk.DiffResponse(changes="yes")),  # type: ignore[arg-type]
        ("diff", sdk.DiffResponse(changes=True, replaces=[1])),  # type: ignore[list-item]
        ("diff", sdk.DiffResponse(changes=True, detailed_diff={"size": "update"})),  # type: ignore[dict-item]
        ("update", None),
        ("update", sdk.UpdateResponse({"size": PropertyValue(float("nan"))})),
    ],
)
def test_nonsense_about_what_exists_loses_nothing(world: World, method: str, answer: Any) -> None:
    """The state keeps what it knew, and a later operation with a provider in its senses completes the change."""
    world.up(program())
    before = world.resources()["a"]
    with pytest.raises(EngineError, match="FI655"):
        up(world, lambda: Answering(world, **{method: answer}), program(2))
    assert world.resources()["a"] == before
    assert [p["type"] for p in world.latest.get("pending_operations", [])] == (
        ["updating"] if method == "update" else []
    )
    world.up(program(2))
    assert world.resources()["a"]["inputs"]["size"] == 2
    assert "pending_operations" not in world.latest


@pytest.mark.parametrize(
    "raised", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=lambda p: type(p).__name__
)
def test_a_provider_that_ends_itself_is_named_and_the_rest_goes_on(world: World, raised: BaseException) -> None:
    """The process lives, the lock goes, and whether it was created stays an open question in the state."""
    with pytest.raises(EngineError, match=rf"(?s)FI656.*creating 'a'.*{type(raised).__name__}"):
        up(world, lambda: Answering(world, create=raised), program())
    assert "first" in world.resources()
    assert [p["type"] for p in world.latest["pending_operations"]] == ["creating"]
    assert any("'a'" in f.summary for f in world.preview(program()).findings)


def test_a_provider_that_dies_while_deleting_leaves_the_resource_in_the_state(world: World) -> None:
    """Nobody knows whether it is gone; the next destroy asks again."""
    world.up(program())
    with pytest.raises(EngineError, match="FI656"):
        engine(world, lambda: Answering(world, delete=SystemExit(1))).destroy(world.ref(nothing))
    assert "a" in world.resources()
    assert [p["type"] for p in world.latest["pending_operations"]] == ["deleting"]
    world.destroy()
    assert world.live() == []


class Hanging(Toy):
    """Hangs while it creates `a`: in its loop, or in its thread."""

    def __init__(self, world: World, *, blocking: bool, until: threading.Event) -> None:
        super().__init__(world.cloud)
        self.blocking = blocking
        self.until = until

    async def create(self, request: sdk.CreateRequest) -> sdk.CreateResponse:
        if request.urn.endswith("::a") and not request.preview:
            if self.blocking:
                self.until.wait(60)
            else:
                import asyncio

                await asyncio.sleep(60)
        return await super().create(request)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_provider_that_hangs_is_given_up_after_its_custom_timeout(world: World, blocking: bool) -> None:
    """Also one that blocks its thread; the creation stays on record, and nobody waits."""
    until = threading.Event()
    options = {"custom_timeouts": pulumi.CustomTimeouts(create="200ms")}
    try:
        with pytest.raises(EngineError, match=r"(?s)FI654.*creating 'a' did not end within 0.2 s.*custom_timeouts"):
            up(world, lambda: Hanging(world, blocking=blocking, until=until), program(**options))
    finally:
        until.set()
    assert [p["type"] for p in world.latest["pending_operations"]] == ["creating"]
    assert "first" in world.resources()
    assert list((world.state / ".pulumi").rglob("locks/*")) == []


def test_custom_timeouts_are_kept_in_seconds_and_refused_if_they_are_none(world: World) -> None:
    """As the real engine keeps them; what is no duration is named with the resource."""
    timeouts = pulumi.CustomTimeouts(create="1m30s", update="1.5h", delete="500ms")
    world.up(program(custom_timeouts=timeouts))
    assert world.resources()["a"]["customTimeouts"] == {"create": 90, "update": 5400, "delete": 0.5}
    for text in ("soon", "5", "5 m", "m5"):
        with pytest.raises(EngineError, match=rf"FI658.*'a'.*create='{text}'"):
            world.preview(program(custom_timeouts=pulumi.CustomTimeouts(create=text)))


def test_a_second_interrupt_leaves_a_provider_that_hangs(world: World) -> None:
    """The first one waits for what has begun, the second does not: the lock goes, the creation stays on record."""
    script = textwrap.dedent(
        """
        import sys, threading; from pathlib import Path
        sys.path[:0] = sys.argv[2:]
        from engines.toy.world import World
        from unit.engine.test_engine_misbehaving import Hanging, program, up
        from flowinfra.diagnostics import FlowinfraError
        world = World(Path(sys.argv[1]))
        class Told(Hanging):
            async def create(self, request):
                if request.urn.endswith("::a") and not request.preview:
                    (world.root / "hangs").touch()
                return await super().create(request)
        try:
            up(world, lambda: Told(world, blocking=True, until=threading.Event()), program())
        except KeyboardInterrupt:
            sys.exit(42)
        """
    )
    folders = [str(TESTS.parent), str(TESTS)]
    command = [sys.executable, "-c", script, str(world.root), *folders]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)}) as child:
        while not (world.root / "hangs").exists():
            assert child.poll() is None
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        time.sleep(0.3)  # it goes on waiting
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 42
    assert [p["type"] for p in world.latest["pending_operations"]] == ["creating"]
    assert list((world.state / ".pulumi").rglob("locks/*")) == []


def test_what_is_made_but_not_healthy_is_kept_and_updated_the_next_time(world: World) -> None:
    """The operation fails; the state has it with its errors; an unchanged program then updates it."""
    (world.root / "sick").touch()

    def run() -> None:
        Thing("a", size=1)

    with pytest.raises(EngineError, match=r"(?s)FI657.*creating 'a'.*does not start.*nobody knows why"):
        world.up(run)
    assert world.resources()["a"]["initErrors"] == ["it does not start", "nobody knows why"]
    assert "pending_operations" not in world.latest
    assert len(world.live()) == 1
    plan = world.preview(run)
    assert actions(plan) == {"a": "update"}
    assert "does not start" in change(plan, "a").reason
    with pytest.raises(EngineError, match=r"FI657.*updating 'a'.*does not start again"):
        world.up(run)
    assert world.resources()["a"]["initErrors"] == ["it does not start again"]
    (world.root / "sick").unlink()
    assert actions(world.up(run)) == {"a": "update"}
    assert "initErrors" not in world.resources()["a"]
    assert actions(world.preview(run)) == {}


def test_a_refresh_takes_over_what_is_not_healthy_and_what_is_again(world: World) -> None:
    """It warns and goes on; the next refresh of something healthy clears the errors."""

    def run() -> None:
        Thing("a", size=1)

    world.up(run)
    (world.root / "sick").touch()
    plan = world.refresh()
    assert [(f.severity, f.code) for f in plan.findings] == [("warning", "FI657")]
    assert world.resources()["a"]["initErrors"] == ["it is down"]
    assert actions(world.preview(run)) == {"a": "update"}
    (world.root / "sick").unlink()
    world.refresh()
    assert "initErrors" not in world.resources()["a"]
    assert actions(world.preview(run)) == {}


def test_what_is_not_healthy_is_replaced_if_the_author_says_so(world: World) -> None:
    """`replaceOnChanges` can name it, as in the real engine."""
    (world.root / "sick").touch()

    def run() -> None:
        Thing("a", Options(replace_on_changes=["#initerror"]), size=1)

    with pytest.raises(EngineError, match="FI657"):
        world.up(run)
    (world.root / "sick").unlink()
    assert actions(world.up(run)) == {"a": "replace"}
    assert len(world.live()) == 1


def test_calls_end_when_they_are_closed_and_cancel_what_they_leave_behind() -> None:
    """Whoever waits is woken; a task that a call has started does not outlive it."""
    import asyncio

    calls = Calls()
    left: list[asyncio.Task[None]] = []

    async def leaving() -> int:
        left.append(asyncio.ensure_future(asyncio.sleep(60)))
        return 1

    assert calls.run(leaving) == 1
    assert left[0].cancelled()

    async def stubborn() -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return 2
        return 3

    assert calls.run(stubborn, 0.05) == 2
    begun = threading.Event()

    async def hanging() -> None:
        begun.set()
        await asyncio.sleep(60)

    caught: list[BaseException] = []

    def wait() -> None:
        try:
            calls.run(hanging)
        except Abandoned as problem:
            caught.append(problem)

    waiting = threading.Thread(target=wait)
    waiting.start()
    begun.wait()
    calls.close()
    waiting.join()
    assert len(caught) == 1
    with pytest.raises(Abandoned):
        calls.run(leaving)
