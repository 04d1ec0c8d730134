"""The processes of runs that were started from Python: many at once, cancelled, killed, orphaned. All of them are real."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flowinfra import ExecutingRun, Runner
from flowinfra.model.states import RunState
from support.leftovers import Mark
from support.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a flow that says what it is told to say."""
    project = Project(tmp_path / "project")
    (project.folder / ".flowinfra").mkdir(parents=True)
    project.add("talk.py")
    return project


@pytest.fixture
def mark() -> Mark:
    """What the processes of this test are known by."""
    return Mark()


def runner(project: Project, mark: Mark | None = None, **options: Any) -> Runner:
    env = mark.env if mark else None
    return Runner(project.folder / "talk.py", cwd=project.folder, **{"show_output": False, "env": env, **options})


# -- what is printed ------------------------------------------------------------------------------------------------


def test_lines_of_a_megabyte_and_several_readers(project: Project) -> None:
    """Lines of a megabyte that are no ASCII come whole, once, in order, to each of several readers at once."""

    async def read(running: ExecutingRun, stream: Any) -> list[str]:
        return [line async for _, line in running.stream_log(stream)]

    async def body() -> None:
        with await runner(project).async_run(lines=6, letters=500_000) as running:
            *found, aside = await asyncio.gather(*(read(running, "stdout") for _ in range(3)), read(running, "stderr"))
            expected = [f"[start 0] line {number} ü€😀" + "é" * 500_000 for number in range(6)]
            for lines in found:
                assert [line for line in lines if " line " in line] == expected
                assert "\n".join(lines) + "\n" == running.stdout
            assert aside == [f"[start 0] aside {number}" for number in range(6)]

    asyncio.run(body())


def test_what_is_left_running_keeps_nobody_waiting(project: Project, mark: Mark) -> None:
    """A process that a flow file leaves behind with the run's streams open does not keep the run from ending."""
    project.write(
        "talk.py",
        (project.folder / "talk.py").read_text(encoding="utf-8")
        + "\nif __name__ == 'talk': subprocess.Popen(['sleep', '1000'], start_new_session=True)\n",
    )
    with runner(project, mark).run(lines=1) as running:
        assert running.status == "successful"
    left = mark.alive()
    assert left
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert mark.gone()


# -- how it ends ----------------------------------------------------------------------------------------------------


def test_cancelling_who_waits_stops_the_run(project: Project, mark: Mark) -> None:
    """When the cancelled task goes on, the run has stopped, and so have the processes that its step has started."""

    async def body() -> None:
        with await runner(project, mark).async_run(hold="never", child=True) as running:
            await _printed(running)
            waiting = asyncio.create_task(running.wait())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert running.status == "failed"
            assert running.run.state is RunState.STOPPED
            assert mark.gone()

    asyncio.run(body())


def test_cancelling_a_start_leaves_nothing(project: Project, mark: Mark) -> None:
    """Cancelling a run that has not begun yet ends its process, whatever the flow file does while it is imported."""
    project.write("talk.py", "import time\ntime.sleep(1000)\n")

    async def body() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(runner(project, mark).async_run(), 0.3)
        assert mark.gone()

    asyncio.run(body())


def test_an_exception_in_the_block_stops_the_run(project: Project, mark: Mark) -> None:
    """Who leaves the `with` block by an exception leaves no run behind; who leaves it otherwise lets it go on."""

    async def body() -> None:
        with pytest.raises(KeyError), await runner(project, mark).async_run(hold="never") as running:
            raise KeyError
        await running.wait()
        assert running.status == "failed"
        go = project.folder / "go"
        with await runner(project, mark).async_run(hold=str(go)) as other:
            pass
        assert other.status == "running"
        go.touch()
        await other.wait()
        assert other.status == "successful"

    asyncio.run(body())
    assert mark.gone()


def test_an_exception_stops_runs_that_nobody_holds(project: Project, mark: Mark) -> None:
    """Who leaves the `with` block of a Runner by an exception leaves no run of it behind, kept in a variable or not."""

    async def start_and_fail() -> None:
        with runner(project, mark) as starter:
            await starter.async_run(hold="never")
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(start_and_fail())
    assert mark.gone()


def test_a_forked_copy_of_the_caller_removes_nothing(project: Project) -> None:
    """What a run has printed is there until the process ends that has started it, not a copy of that."""
    project.write(
        "forks.py",
        """
        import os
        import sys
        from flowinfra import Runner

        running = Runner("talk.py", show_output=False).run(lines=1)
        if (pid := os.fork()) == 0:
            sys.exit()
        os.waitpid(pid, 0)
        print("line 0" in running.stdout)
        """,
    )
    assert project.python("forks.py").stdout == "True\n"


def test_a_start_that_fails_leaves_nothing_open(project: Project) -> None:
    """Neither pipes nor sockets nor folders are left where no process can be started."""
    project.write(
        "fails.py",
        """
        import os
        import tempfile
        from flowinfra.control.child import Child

        tempfile.tempdir = os.getcwd() + "/temporary"
        os.mkdir(tempfile.tempdir)
        before = len(os.listdir("/dev/fd"))
        try:
            Child.start("nothing", {}, env={"A": "\\0"})
        except ValueError:
            print(len(os.listdir("/dev/fd")) - before, os.listdir(tempfile.tempdir))
        """,
    )
    assert project.python("fails.py").stdout == "0 []\n"


def test_a_killed_program_is_a_failed_run(project: Project, mark: Mark) -> None:
    """A run whose process is killed has failed; its tasks end with it."""

    async def body() -> None:
        with await runner(project, mark).async_run(hold="never", child=True) as running:
            await _printed(running)
            os.kill(running.pid, signal.SIGKILL)
            await running.wait()
            assert (running.status, running.returncode) == ("failed", -signal.SIGKILL)
            assert running.run.state is RunState.FAILED

    asyncio.run(body())
    assert mark.gone()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_run_outlives_who_has_started_it(project: Project, mark: Mark, number: int) -> None:
    """When the process that has started runs ends, however that is, its runs end, and all that they have started."""
    project.write("parent.py", PARENT)
    parent = subprocess.Popen(
        [sys.executable, "parent.py"],
        cwd=project.folder,
        env={**project.environment(), **mark.env},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "both run\n"
    assert len(mark.alive()) > 6
    parent.send_signal(number)
    parent.wait()
    assert mark.gone()
    parent.stdout.close()


def test_a_file_that_is_being_imported_is_no_orphan(project: Project, mark: Mark) -> None:
    """When who has started a run is killed while the flow file is imported, the process that imports it ends too."""
    project.write("talk.py", "import time\nprint('importing', flush=True)\ntime.sleep(1000)\n")
    project.write("parent.py", "from flowinfra import Runner\nRunner('talk.py').run()\n")
    parent = subprocess.Popen(
        [sys.executable, "parent.py"],
        cwd=project.folder,
        env={**project.environment(), **mark.env},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "importing\n"
    parent.kill()
    parent.wait()
    assert mark.gone()
    parent.stdout.close()


PARENT = """
    import asyncio
    from flowinfra import Runner

    async def main():
        runs = [await Runner("talk.py").async_run(hold="never", child=True, lines=1) for _ in range(2)]
        for running in runs:
            async for _ in running.stream_log("stderr"):
                break
        print("both run", flush=True)
        await asyncio.sleep(1000)

    asyncio.run(main())
"""


def test_an_interrupted_blocking_run_is_stopped(project: Project, mark: Mark) -> None:
    """Ctrl-C while `run` waits stops the run; what was interrupted hears of it as KeyboardInterrupt."""
    project.write(
        "parent.py",
        """
        from flowinfra import Runner

        try:
            Runner("talk.py").run(hold="never", child=True)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """,
    )
    parent = subprocess.Popen(
        [sys.executable, "parent.py"],
        cwd=project.folder,
        env={**project.environment(), **mark.env},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    while "line 2" not in parent.stdout.readline():
        pass
    parent.send_signal(signal.SIGINT)
    assert parent.stdout.read().splitlines()[-1] == "interrupted"
    assert parent.wait() == 0
    assert mark.gone()


# -- many -----------------------------------------------------------------------------------------------------------


MANY = """
    import asyncio, os, resource, sys, tempfile, threading
    from pathlib import Path
    from flowinfra import Runner

    count = int(sys.argv[1])

    async def one(number):
        running = await Runner("talk.py", show_output=False).async_run(lines=number % 7, fail=number % 5 == 0)
        await running.wait()
        status = running.status
        assert status == ("failed" if number % 5 == 0 else "successful"), (number, status, running.stderr)
        if status == "successful":
            assert running.run.data.total == number % 7
        assert running.stdout.count(" line ") == number % 7, running.stdout
        return running

    async def main():
        before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
        runs = await asyncio.gather(*(one(number) for number in range(count)))
        assert len({running.pathspec for running in runs}) == count
        if sys.platform == "linux":
            assert len(os.listdir("/proc/self/fd")) <= before + 2, os.listdir("/proc/self/fd")
        del runs

    asyncio.run(main())
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("no child is left")
    if sys.platform == "linux":  # what getrusage says is at least what the process was forked from
        kib = int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
    else:
        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(kib)
"""


def many(project: Project, count: int) -> int:
    """Start so many runs from one loop and check each; the largest resident set of who has started them, in KiB."""
    folder = project.folder / "tmp"
    folder.mkdir()
    project.write("many.py", MANY)
    done = Project(project.folder, {"TMPDIR": str(folder)}).python("many.py", str(count))
    assert done.stderr == ""
    left, kib = done.stdout.splitlines()
    assert left == "no child is left"
    assert list(folder.iterdir()) == []
    return int(kib)


def test_many_runs_from_one_loop(project: Project) -> None:
    """Runs that are started at once from one loop all end as they should; no zombie, file or descriptor is left."""
    assert many(project, 12) < 200_000


@pytest.mark.soak
def test_two_hundred_runs_from_one_loop(project: Project) -> None:
    """Two hundred at once end as they should; who has started them needs no memory per run worth mentioning."""
    assert many(project, 200) < 200_000


# -- at random ------------------------------------------------------------------------------------------------------


def stress(project: Project, mark: Mark, rounds: int, seed: int) -> None:
    """Start, wait for, cancel, time out, kill and abandon runs at random; afterwards nothing of them is left."""
    draw = random.Random(seed)
    plans = [
        (draw.choice(["wait", "cancel", "timeout", "kill", "term", "leave", "cut"]), draw.random() * 0.4)
        for _ in range(rounds)
    ]

    async def one(what: str, pause: float) -> None:
        hold = "" if what == "wait" else "never"
        if what == "cut":
            try:
                running = await asyncio.wait_for(runner(project, mark).async_run(hold=hold), pause)
            except TimeoutError:
                return
            await running.wait(timeout=0)  # it had begun already, and would go on for as long as this process lives
            return
        running = await runner(project, mark).async_run(hold=hold, child=what != "wait", lines=5)
        if what == "leave":
            with contextlib.suppress(KeyError), running:
                await asyncio.sleep(pause)
                raise KeyError
        elif what in ("kill", "term"):
            await asyncio.sleep(pause)
            os.kill(running.pid, signal.SIGKILL if what == "kill" else signal.SIGTERM)
        elif what == "cancel":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(running.wait(), pause)
        await running.wait(timeout=pause if what == "timeout" else None)
        expected = {"wait": "successful", "timeout": "timeout"}.get(what, "failed")
        assert (running.status, running.returncode is None) == (expected, False), what
        state = RunState.SUCCEEDED if what == "wait" else RunState.FAILED if what == "kill" else RunState.STOPPED
        assert running.run.state is state, what

    async def body() -> None:
        slots = asyncio.Semaphore(6)

        async def slotted(what: str, pause: float) -> None:
            async with slots:
                await one(what, pause)

        await asyncio.gather(*(slotted(*plan) for plan in plans))

    sys.stdout.write(f"seed {seed}\n")  # shown where the test fails
    asyncio.run(body())
    assert mark.gone()


def test_runs_at_random(project: Project, mark: Mark) -> None:
    """Whatever is done to runs in whatever order, each status is right and no process is left."""
    stress(project, mark, 14, random.randrange(1 << 32))


@pytest.mark.soak
def test_many_runs_at_random(project: Project, mark: Mark) -> None:
    """The same for minutes."""
    stress(project, mark, 300, random.randrange(1 << 32))


async def _printed(running: ExecutingRun) -> None:
    """Wait until a task of the run has printed something."""
    async for _ in running.stream_log("stderr"):
        return
