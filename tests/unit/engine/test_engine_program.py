"""Running stack programs: files, functions, their errors, and what one run must not leave to the next."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import pulumi
import pytest
from pulumi.runtime import mocks

from engines.toy.library import Thing
from engines.toy.world import World, actions, change, nothing
from flowinfra.diagnostics import ConfigurationError, EngineError, error
from flowinfra.engine.base import LogEvent
from flowinfra.model.plan import Action

TESTS = Path(__file__).resolve().parents[2]

IMPORTS = "import pulumi\nfrom engines.toy.library import Thing\n"


def write(world: World, text: str, name: str = "__main__.py") -> Path:
    folder = world.project / "stack"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def test_a_folder_runs_as_the_real_engine_runs_it(world: World) -> None:
    """In its own folder, with its modules, as __main__; afterwards the process is as it was."""
    folder = write(world, "def make():\n    from engines.toy.library import Thing\n    Thing('helped')\n", "helper.py")
    write(
        world,
        f"""
        {IMPORTS.strip().splitlines()[0]}
        import os, sys
        import helper
        helper.make()
        pulumi.export("cwd", os.path.basename(os.getcwd()))
        pulumi.export("name", __name__)
        pulumi.export("project", pulumi.get_project())
        pulumi.export("root", os.path.basename(pulumi.get_root_directory()))
        """,
    )
    cwd, path, argv = os.getcwd(), list(sys.path), list(sys.argv)
    world.up(folder)
    assert world.outputs() == {"cwd": "stack", "name": "__main__", "project": "proj", "root": "project"}
    assert (os.getcwd(), sys.path, sys.argv) == (cwd, path, argv)
    assert change(world.preview(folder), "helped").source == "stack/helper.py:3"


def test_a_helper_is_the_one_beside_the_program(world: World, tmp_path: Path) -> None:
    """Also if the program of another project, run before in this process, has one of the same name."""
    for name in ("first", "second"):
        there = World(tmp_path / name)
        for part in (there.project, there.cloud):
            part.mkdir(parents=True)
        write(there, f"from engines.toy.library import Thing\nthing = lambda: Thing({name!r})\n", "shared_helper.py")
        folder = write(there, "import shared_helper\nshared_helper.thing()\n")
        assert set(actions(there.preview(folder))) == {"proj-dev", name}


def test_a_helper_that_registers_at_import_registers_every_time(world: World) -> None:
    """The module is imported anew for each run: otherwise the second run would delete what it makes."""
    write(world, IMPORTS + "Thing('one')\nThing('two')\n", "resources_at_import.py")
    folder = write(world, "import resources_at_import\n")
    assert world.up(folder).counts() == {Action.CREATE: 2}
    assert world.up(folder).counts() == {Action.SAME: 2}
    write(world, IMPORTS + "Thing('one')\n", "resources_at_import.py")
    assert actions(world.preview(folder)) == {"two": "delete"}


def test_a_program_that_registers_nothing_does_not_delete_everything(world: World) -> None:
    """A function that only imports a cached module would: it is refused, and destroy is what is meant for that."""
    world.up(lambda: Thing("a") and None)
    before = world.hashes()
    with pytest.raises(EngineError, match="FI642"):
        world.up(nothing)
    assert world.hashes() == before
    world.destroy()
    assert not world.named("new").preview(nothing).counts()


def test_a_missing_program_is_an_error(world: World) -> None:
    """A folder without __main__.py, and a file that is not there."""
    for program in (world.project, world.project / "missing.py"):
        with pytest.raises(EngineError, match="FI601"):
            world.preview(program)


def test_an_exception_is_shown_with_the_users_own_trace(world: World) -> None:
    """File, line and code of the program; no frame of the SDK or of the engine; nothing created."""
    folder = write(world, "def broken():\n    raise ValueError('a mistake')\n", "broken_helper.py")
    write(world, IMPORTS + "import broken_helper\nThing('before')\nbroken_helper.broken()\n")
    with pytest.raises(EngineError) as caught:
        world.up(folder)
    found = caught.value.diagnostics[0]
    assert found.code == "FI600"
    assert found.summary == "the stack program failed: ValueError: a mistake"
    assert str(found.source) == f"{folder / 'broken_helper.py'}:2"
    assert "broken_helper.broken()" in found.detail
    assert "site-packages" not in found.detail
    assert f"flowinfra{os.sep}engine" not in found.detail
    assert "runpy" not in found.detail
    assert world.live() == []
    assert not world.file.exists()


def test_a_program_that_is_no_python_is_shown_with_its_line(world: World) -> None:
    """Nothing of it ran, so the place comes from the parser."""
    folder = write(world, IMPORTS + "class (\n")
    with pytest.raises(EngineError) as caught:
        world.preview(folder)
    assert str(caught.value.diagnostics[0].source) == f"{folder / '__main__.py'}:3"


def test_an_exception_inside_an_apply_is_shown_too(world: World) -> None:
    """The SDK raises it in a task of its own; the trace still names the program's line."""

    def run() -> None:
        a = Thing("a")
        pulumi.export("x", a.urn.apply(int))

    with pytest.raises(EngineError, match=r"FI600.*invalid literal for int"):
        world.preview(run)


def test_errors_of_flowinfra_reach_the_user_as_they_are(world: World) -> None:
    """A component that finds something wrong says it in its own words."""

    def run() -> None:
        raise ConfigurationError(error("FI9" + "99", "a finding"))

    with pytest.raises(ConfigurationError, match="a finding"):
        world.preview(run)


@pytest.mark.parametrize("code", ["0", "1", "'stop'"])
def test_sys_exit_in_a_program_is_an_error(world: World, code: str) -> None:
    """Ending early is not the same as registering nothing more: nothing is deleted."""
    folder = write(world, IMPORTS + "Thing('a')\nThing('b')\n")
    world.up(folder)
    write(world, IMPORTS + f"import sys\nThing('a')\nsys.exit({code})\n")
    with pytest.raises(EngineError, match=r"FI600.*sys\.exit"):
        world.up(folder)
    assert len(world.live()) == 2


def test_several_failures_come_together(world: World) -> None:
    """Two resources that are wrong are both reported, although the SDK gives up after the first."""

    def run() -> None:
        Thing("one", size=-1)
        Thing("two", size=-2)

    with pytest.raises(EngineError) as caught:
        world.preview(run)
    named = {d.summary.split("'")[1] for d in caught.value.diagnostics}
    assert named <= {"one", "two"}
    assert named


def test_what_a_program_logs_is_told_and_kept(world: World) -> None:
    """Warnings and errors are findings of the plan; a logged error alone fails nothing."""

    def run() -> None:
        thing = Thing("a")
        pulumi.log.info("just so")
        pulumi.log.warn("careful", thing)
        pulumi.log.error("bad, and yet")

    plan = world.up(run)
    said = [(e.severity, e.message) for e in world.events if isinstance(e, LogEvent)]
    assert sorted(said) == [("error", "bad, and yet"), ("info", "just so"), ("warning", "careful")]
    assert {(f.severity, f.summary) for f in plan.findings} == {("error", "bad, and yet"), ("warning", "careful")}
    assert next(f for f in plan.findings if f.severity == "warning").address.endswith("::a")
    world.events.clear()
    world.up(run)
    assert len([e for e in world.events if isinstance(e, LogEvent)]) == 3


def test_asynchronous_programs_run(world: World) -> None:
    """An async function, and pulumi.run."""

    async def program() -> None:
        pulumi.export("x", Thing("a").arn)

    world.up(program)
    assert world.outputs()["x"].startswith("arn:toy:")

    def registered() -> None:
        async def main() -> pulumi.Inputs:
            return {"y": Thing("a").arn}

        pulumi.run(main)

    world.up(registered)
    assert world.outputs()["y"].startswith("arn:toy:")


def test_mocks_of_the_caller_survive(world: World) -> None:
    """A test of the user's that has set mocks in its context is not disturbed."""

    class Mocks(mocks.Mocks):
        def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, object]]:
            return f"{args.name}_id", dict(args.inputs)

        def call(self, args: mocks.MockCallArgs) -> dict[str, object]:
            return {}

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        pulumi.runtime.set_mocks(Mocks())
        root = pulumi.runtime.get_root_resource()
        assert world.preview(lambda: Thing("a") and None).counts() == {Action.CREATE: 1}
        assert pulumi.runtime.get_root_resource() is root
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_hooks_run_around_operations_and_previews_run_those_that_ask_for_it(world: World) -> None:
    """Creation, update and deletion; a failing hook stops its operation unless it may fail."""
    said: list[str] = []

    def run(size: int = 1, *, broken: bool = False, there: bool = True) -> object:
        def body() -> None:
            def hook(name: str, **options: bool) -> pulumi.ResourceHook:
                def call(args: pulumi.ResourceHookArgs) -> None:
                    said.append(name)
                    if broken:
                        raise RuntimeError("no")

                return pulumi.ResourceHook(name, call, pulumi.ResourceHookOptions(**options))

            binding = pulumi.ResourceHookBinding(
                before_create=[hook("bc")],
                after_create=[hook("ac")],
                before_update=[hook("bu", on_dry_run=True)],
                after_update=[hook("au", ignore_errors=True)],
                before_delete=[hook("bd")],
            )
            Thing("other")
            if there:
                Thing("a", pulumi.ResourceOptions(hooks=binding), size=size)

        return body

    world.up(run())
    assert said == ["bc", "ac"]
    assert world.resources()["a"]["resourceHooks"]["BeforeDelete"] == ["bd"]
    said.clear()
    world.preview(run(2))
    assert said == ["bu"]
    said.clear()
    world.up(run(2))
    assert said == ["bu", "bu", "au"]
    with pytest.raises(EngineError, match=r"FI608.*'bu'.*no"):
        world.up(run(3, broken=True))
    assert world.resources()["a"]["inputs"]["size"] == 2
    with pytest.raises(EngineError, match=r"FI609.*'bd'"):
        world.destroy()
    said.clear()
    world.up(run(there=False))
    assert said == ["bd"]


def test_hooks_of_components_run_when_their_outputs_are_known(world: World) -> None:
    """After their children; deletions run theirs too, and a hook that fails afterwards undoes nothing."""
    said: list[str] = []

    class Box(pulumi.ComponentResource):
        def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
            super().__init__("my:index:Box", name, {}, opts)
            inner = Thing(f"{name}-in", pulumi.ResourceOptions(parent=self))
            self.register_outputs({"arn": inner.arn})

    def run(*, there: bool) -> object:
        def body() -> None:
            def hook(name: str) -> pulumi.ResourceHook:
                def call(args: pulumi.ResourceHookArgs) -> None:
                    said.append(f"{name} {'arn' in (args.new_outputs or {})}")
                    if name == "ad":
                        raise RuntimeError("too late")

                return pulumi.ResourceHook(name, call)

            binding = pulumi.ResourceHookBinding(
                before_create=[hook("bc")], after_create=[hook("ac")], after_delete=[hook("ad")]
            )
            Thing("other")
            if there:
                Box("box", pulumi.ResourceOptions(hooks=binding))

        return body

    world.up(run(there=True))
    assert said == ["bc False", "ac True"]
    with pytest.raises(EngineError, match=r"FI608.*'ad'.*too late"):
        world.up(run(there=False))
    assert said[-1] == "ad False"
    assert "box" not in world.resources()
    assert not world.preview(run(there=False)).applyable


def test_transforms_change_what_is_registered(world: World) -> None:
    """Those of a resource before those of the stack; one that raises is named."""

    def by_stack(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
        if not args.type_.startswith("toy:"):
            return None
        if args.name == "bad":
            raise RuntimeError("not this one")
        return pulumi.ResourceTransformResult(
            {**args.props, "tags": {"size": str(args.props["size"])}},
            pulumi.ResourceOptions.merge(args.opts, pulumi.ResourceOptions(protect=True)),
        )

    def run(name: str) -> object:
        def body() -> None:
            pulumi.runtime.register_resource_transform(by_stack)
            own = pulumi.ResourceOptions(
                transforms=[lambda args: pulumi.ResourceTransformResult({**args.props, "size": 42}, args.opts)]
            )
            Thing(name, own)

        return body

    world.up(run("a"))
    assert world.resources()["a"]["inputs"]["tags"] == {"size": "42.0"}
    assert world.resources()["a"]["inputs"]["size"] == 42
    assert world.resources()["a"]["protect"] is True
    with pytest.raises(EngineError, match=r"(?s)FI608.*not this one"):
        world.preview(run("bad"))


def test_an_interrupt_lets_what_has_begun_end_and_begins_nothing_more(world: World) -> None:
    """Ctrl-C during a creation: it ends and is recorded, the next one is not begun, no lock is left."""
    script = textwrap.dedent(
        """
        import sys; from pathlib import Path; import pulumi
        from engines.toy.library import Thing; from engines.toy.world import World
        def run():
            slow = Thing("slow", sleep=3)
            Thing("next", pulumi.ResourceOptions(depends_on=[slow]))
        try:
            World(Path(sys.argv[1])).up(run)
        except KeyboardInterrupt:
            sys.exit(42)
        """
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    with subprocess.Popen([sys.executable, "-c", script, str(world.root)], env=env) as child:
        while not world.live():
            assert child.poll() is None
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        assert child.wait() == 42
    assert "slow" in world.resources()
    assert "next" not in world.resources()
    assert "pending_operations" not in world.latest
    assert list((world.state / ".pulumi").rglob("locks")) == []


def test_an_interrupted_destroy_deletes_nothing_more(world: World) -> None:
    """What is being deleted goes, what depends on nothing more stays for the next time."""

    def run() -> None:
        first = Thing("first")
        Thing("second", pulumi.ResourceOptions(depends_on=[first]))

    world.up(run)
    script = textwrap.dedent(
        """
        import os, signal, sys; from pathlib import Path
        from engines.toy.world import World
        from flowinfra.engine.base import ResourceEvent
        world = World(Path(sys.argv[1]))
        def interrupt(event):
            if isinstance(event, ResourceEvent) and event.phase == "start":
                os.kill(os.getpid(), signal.SIGINT)
        try:
            world.engine().destroy(world.ref(lambda: None), interrupt)
        except KeyboardInterrupt:
            sys.exit(42)
        """
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    assert subprocess.run([sys.executable, "-c", script, str(world.root)], env=env, check=False).returncode == 42
    assert "first" in world.resources()
    assert list((world.state / ".pulumi").rglob("locks")) == []
    world.destroy()
    assert world.live() == []


def test_outputs_are_waited_for_together(world: World) -> None:
    """Waiting for a program's outputs looks at each of them about once, not at all of them after each."""
    count = 60
    looked_at: list[int] = []

    def seen(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name == "_wait" and frame.f_code.co_filename == asyncio.tasks.__file__:
            looked_at.append(len(frame.f_locals["fs"]))

    def run() -> None:
        for number in range(count):
            Thing(f"t{number}")

    threading.setprofile(seen)
    try:
        world.preview(run)
    finally:
        threading.setprofile(None)
    outputs = 10 * count  # what the SDK keeps for one resource of the toy package
    assert 0 < sum(looked_at) < 2 * outputs


def test_resources_that_wait_for_one_another_are_named(world: World) -> None:
    """A circle through a component, which the SDK waits in for ever, ends the program and names who waits."""

    def circle() -> None:
        group = pulumi.ComponentResource("my:index:Group", "group")
        waits = Thing("waits", pulumi.ResourceOptions(depends_on=[group]), size=1)
        Thing("inside", pulumi.ResourceOptions(parent=group), size=1, tags={"of": waits.arn})
        Thing("apart", size=1)

    with pytest.raises(
        EngineError, match=r"FI635(?s:.)*inside \(toy:index:Thing\), waits \(toy:index:Thing\)"
    ) as raised:
        world.preview(circle)
    assert "apart" not in str(raised.value)


def test_a_program_that_waits_for_a_thread_of_its_own_is_not_stuck(world: World) -> None:
    """What a pool of the program still computes may take longer than the engine's patience with circles."""

    def slow() -> None:
        pool = ThreadPoolExecutor(1)

        async def computed() -> str:
            return await asyncio.get_running_loop().run_in_executor(pool, lambda: time.sleep(2.5) or "late")

        Thing("late", size=1, tags={"is": pulumi.Output.from_input(computed())})

    assert [c.address.rpartition("::")[2] for c in world.preview(slow).changes if c.custom] == ["late"]
