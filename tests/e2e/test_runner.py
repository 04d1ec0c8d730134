"""Running a flow from Python: what is started, what is known about it, and what is said when it cannot be."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from flowinfra import Run, Runner
from flowinfra.diagnostics import AuthoringError, ConfigurationError, ControlError, FlowinfraError, ParameterError
from flowinfra.model.states import RunState
from support.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a flow that says what it is told to say."""
    project = Project(tmp_path / "project")
    (project.folder / ".flowinfra").mkdir(parents=True)
    project.add("talk.py")
    return project


def runner(project: Project, flow: str = "talk.py", **options: Any) -> Runner:
    return Runner(project.folder / flow, cwd=project.folder, **{"show_output": False, **options})


# -- blocking -------------------------------------------------------------------------------------------------------


def test_a_run_is_waited_for_and_read(project: Project) -> None:
    """`run` comes back when the run has ended, with its status, its output and the run itself to read."""
    with runner(project).run(lines=2, max_workers=1, tags=["a", "b"]) as running:
        assert (running.status, running.returncode) == ("successful", 0)
        assert running.run.data.total == 2
        assert running.run.user_tags == frozenset({"a", "b"})
        assert running.run.data.run == running.run.id
        assert "[start 0] line 1 ü€😀" in running.stdout
        assert running.stderr == "[start 0] aside 0\n[start 0] aside 1\n"
        assert running.pathspec == running.run.pathspec
    assert running.status == "successful"


def test_a_run_that_fails_is_no_error_of_the_call(project: Project) -> None:
    """A failed run comes back like any other; its status, exit code and output say that it failed, and why."""
    with runner(project).run(fail=True) as running:
        assert (running.status, running.returncode) == ("failed", 1)
        assert "ValueError: as told" in running.stdout
        assert "ValueError: as told" in running.stderr
        assert running.run.state is RunState.FAILED


def test_a_run_that_takes_too_long_says_so(project: Project) -> None:
    """The run option `timeout` ends the run, and its status is `timeout`."""
    with runner(project).run(hold="never", timeout=0.3) as running:
        assert (running.status, running.returncode) == ("timeout", 9)
        assert running.run.state is RunState.TIMED_OUT


def test_output_is_shown_while_it_comes(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """With show_output what the run prints is printed, each stream to its own; it can be read afterwards too."""
    with runner(project, show_output=True).run() as running:
        shown = capsys.readouterr()
        assert (shown.out, shown.err) == (running.stdout, running.stderr)
    with runner(project).run():
        assert capsys.readouterr() == ("", "")


def test_quiet_leaves_out_what_is_said_beside(project: Project) -> None:
    """With quiet, what tasks print and how the run goes are still said."""
    with runner(project, quiet=True).run(max_num_splits=3) as running:
        lines = running.stdout.splitlines()
        assert lines[0].startswith("[start 0] line 0")
        # Who reads one line at a time as long as the run runs needs some behind those of the tasks.
        assert len(lines) > lines.index("[start 0] line 2 ü€😀") + 2
        assert "FI862" not in running.stderr
    with runner(project).run(max_num_splits=3) as running:
        assert running.stdout.startswith("Talk ")
        assert "FI862" in running.stderr


def test_a_class_is_run_from_its_file(project: Project) -> None:
    """A flow may be given as its class; the process that runs it imports its file."""
    code = """
        from flowinfra import Runner
        from talk import Talk

        with Runner(Talk, show_output=False).run(lines=1) as running:
            print(running.status, running.run.data.total)
    """
    project.write("use.py", code)
    assert project.python("use.py").stdout == "successful 1\n"


def test_a_flow_is_not_imported_by_its_caller(project: Project) -> None:
    """What a flow file does while it is imported happens in the run's process, and is a part of its output."""
    project.write(
        "loud.py",
        "import os\nprint('imported by', os.getpid())\nfrom talk import Talk as Base\nclass Loud(Base): pass\n",
    )
    with runner(project, "loud.py:Loud").run(lines=0) as running:
        assert f"imported by {running.pid}" in running.stdout
        assert running.pid != os.getpid()


# -- where ----------------------------------------------------------------------------------------------------------


def test_a_run_belongs_to_the_project_of_its_folder(project: Project, tmp_path: Path) -> None:
    """cwd= says which project a run belongs to, and env= what its tasks see; the caller's own are untouched."""
    other = tmp_path / "other"
    (other / ".flowinfra").mkdir(parents=True)
    project.write("where.py", WHERE)
    with Runner(project.folder / "where.py", show_output=False, cwd=other, env={"SEEN": "yes"}).run() as running:
        assert running.run.data.seen == ("yes", str(other.resolve()))
        assert Run(running.pathspec, store=str(other / ".flowinfra" / "store")).successful
    assert "SEEN" not in os.environ
    assert not (project.folder / ".flowinfra" / "store").exists()


def test_a_profile_names_the_store(project: Project, tmp_path: Path) -> None:
    """profile= takes the settings of a file of the user's own; the run is read from where they have sent it."""
    store, folder = tmp_path / "elsewhere", tmp_path / "config" / "profiles"
    folder.mkdir(parents=True)
    (folder / "team.toml").write_text(f'FLOWINFRA_STORE = "{store}"\n', encoding="utf-8")
    project.write(
        "use.py",
        """
        from flowinfra import Runner

        with Runner("talk.py", show_output=False, profile="team").run() as running:
            print(running.run.data.total, end="")
        """,
    )
    there = Project(project.folder, {"FLOWINFRA_CONFIG_HOME": str(tmp_path / "config")})
    assert there.python("use.py").stdout == "3"
    assert store.is_dir()


WHERE = """
    import os
    from flowinfra import FlowSpec, step

    class Where(FlowSpec):
        @step
        def start(self):
            self.seen = (os.environ["SEEN"], os.getcwd())
            self.next(self.end)

        @step
        def end(self):
            pass
"""


# -- not blocking ---------------------------------------------------------------------------------------------------


def test_a_run_is_watched_while_it_runs(project: Project, tmp_path: Path) -> None:
    """`async_run` comes back as soon as the run can be read; its status changes when it ends."""

    async def body() -> None:
        go = tmp_path / "go"
        with await runner(project).async_run(hold=str(go), tags=["early"]) as running:
            assert (running.status, running.returncode) == ("running", None)
            assert "early" in running.run.user_tags
            assert running.run.state is RunState.RUNNING
            go.touch()
            assert await running.wait() is running
            assert (running.status, running.returncode) == ("successful", 0)

    asyncio.run(body())


def test_lines_come_as_they_are_printed(project: Project, tmp_path: Path) -> None:
    """A line is there while the step that has printed it still runs; the stream ends with the run."""

    async def body() -> list[str]:
        go = tmp_path / "go"
        found = []
        with await runner(project).async_run(hold=str(go)) as running:
            async for _, line in running.stream_log("stdout"):
                found.append(line)
                if line.startswith("[start 0] line 2"):
                    assert running.status == "running"
                    go.touch()
            assert running.status == "successful"
            assert "\n".join(found) + "\n" == running.stdout
        return found

    found = asyncio.run(body())
    assert [line for line in found if " line " in line] == [f"[start 0] line {n} ü€😀" for n in range(3)]


def test_a_position_may_be_handed_back(project: Project) -> None:
    """Reading goes on right behind the line that a position came with: while the run runs, and after its end."""

    async def body() -> None:
        with await runner(project).async_run(lines=50) as running:
            first = [item async for item in running.stream_log("stdout")]
            assert len(first) > 50
            for number in (0, 7, 49, len(first) - 1):
                rest = [item async for item in running.stream_log("stdout", position=first[number][0])]
                assert rest == first[number + 1 :]
            assert [item async for item in running.stream_log("stderr", position=10_000)] == []

    asyncio.run(body())


def test_waiting_prints_a_stream(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """`wait(stream=)` prints what comes there until the end."""

    async def body() -> str:
        with await runner(project).async_run() as running:
            await running.wait(stream="stderr")
            return running.stderr

    expected = asyncio.run(body())
    assert capsys.readouterr().out == expected


def test_waiting_ends_the_run_when_its_time_is_over(project: Project) -> None:
    """After `wait(timeout=)` the run has stopped, its status is `timeout`, and nothing is raised."""

    async def body() -> None:
        with await runner(project).async_run(hold="never") as running:
            await running.wait(timeout=0.1)
            assert running.status == "timeout"
            assert running.returncode is not None
            assert running.run.state is RunState.STOPPED
        with await runner(project).async_run() as running:
            await running.wait(timeout=120)
            assert running.status == "successful"

    asyncio.run(body())


def test_a_runner_may_be_entered_in_an_event_loop(project: Project) -> None:
    """`async with Runner(...)` is what `with` is: outside of it, the output of its runs was removed."""

    async def body() -> None:
        async with runner(project) as entered:
            running = await entered.async_run()
            await running.wait()
            assert "line" in running.stdout
        assert running.status == "successful"
        with pytest.raises(ControlError, match="FI859"):
            _ = running.stdout

    asyncio.run(body())


def test_what_is_no_stream_is_refused(project: Project) -> None:
    """Streams and positions that are none are refused at the call."""

    async def body() -> None:
        with await runner(project).async_run() as running:
            with pytest.raises(ConfigurationError, match="did you mean 'stdout'"):
                running.stream_log("stdot")  # type: ignore[arg-type]
            with pytest.raises(ConfigurationError, match="FI861"):
                running.stream_log("stdout", position=-1)
            with pytest.raises(ConfigurationError, match="FI861"):
                await running.wait(stream="out")  # type: ignore[arg-type]
            await running.wait()

    asyncio.run(body())


def test_output_is_gone_after_cleanup(project: Project) -> None:
    """Outside the `with` block the status is still known; the output was removed, and reading it says so."""
    with runner(project) as starts:
        running = starts.run()
        assert running.stdout
    with pytest.raises(ControlError, match="FI859"):
        _ = running.stdout
    assert running.status == "successful"
    assert running.run.data.total == 3


# -- going on and again ---------------------------------------------------------------------------------------------


def test_a_failed_run_is_resumed(project: Project) -> None:
    """`resume` goes on from the last run of the flow, or from the one that is named, in a new run."""
    source = project.write("heal.py", HEAL)
    with runner(project, source.name).run() as first:
        assert first.status == "failed"
    (project.folder / "well").touch()
    with runner(project, source.name).resume() as second:
        assert second.status == "successful"
        assert second.run.origin_pathspec == first.pathspec
        assert second.run.data.drawn == first.run["start"].task.data.drawn

    async def body() -> None:
        with await runner(project, source.name).async_resume(origin_run_id=first.run.id, tags=["again"]) as third:
            await third.wait()
            assert third.run.data.drawn == second.run.data.drawn

    asyncio.run(body())
    with pytest.raises(FlowinfraError, match="FI811"):
        runner(project, source.name).resume(origin_run_id="nothing")
    with pytest.raises(ConfigurationError, match="FI860"):
        runner(project, source.name).resume(alpha=3)


def test_one_task_is_run_again(project: Project) -> None:
    """`spin` runs one step again with the inputs that it had."""
    source = project.write("heal.py", HEAL)
    with runner(project, source.name).run() as first:
        drawn = first.run["start"].task.data.drawn
    (project.folder / "well").touch()
    with runner(project, source.name).spin("work") as spun:
        assert spun.status == "successful", spun.stderr
        assert spun.task.data.drawn == drawn


HEAL = """
    import random
    from pathlib import Path
    from flowinfra import FlowSpec, step

    class Heal(FlowSpec):
        @step
        def start(self):
            self.drawn = random.random()
            self.next(self.work)

        @step
        def work(self):
            if not Path(__file__).with_name("well").exists():
                raise ValueError("not yet")
            self.next(self.end)

        @step
        def end(self):
            pass
"""


# -- what cannot be started -----------------------------------------------------------------------------------------


def test_everything_wrong_with_a_call_is_said_before_anything_runs(project: Project) -> None:
    """Unknown names and wrong types are said together, and no run is recorded."""
    with pytest.raises(ParameterError) as caught:
        runner(project).run(lins=3, letters="4", max_workers="a")
    assert sorted(d.code for d in caught.value.diagnostics) == ["FI712", "FI853", "FI860"]
    with pytest.raises(ConfigurationError, match="FI954") as other:
        asyncio.run(runner(project, decospecs=["kubernetes", "retry"]).async_run())
    assert "cannot run a step on Kubernetes" in str(other.value)
    assert not list((project.folder / ".flowinfra").glob("store/runs/*"))


def test_a_decorator_is_put_on_every_step(project: Project) -> None:
    """`decospecs` is what `--with` is."""
    with runner(project, decospecs=["retry:times=1,minutes_between_retries=0"]).run(fail=True) as running:
        assert "is repeated: attempt 1" in running.stdout


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("import nothing_like_this\n", "FI102", "ModuleNotFoundError"),
        ("x = 1\n", "FI103", "there is no flow"),
        ("def f(:\n", "FI102", "cannot be read as Python"),
        ("import sys\nsys.exit(3)\n", "FI102", "SystemExit"),
        ("import os\nos.write(2, b'last words')\nos._exit(3)\n", "FI851", "last words"),
        ("import os\nos.kill(os.getpid(), 9)\n", "FI851", "signal 9"),
    ],
)
def test_a_file_that_cannot_be_imported_is_said(project: Project, text: str, code: str, said: str) -> None:
    """What is wrong with a flow file is raised by the call that wanted to run it, as `flowinfra check` would say it."""
    project.write("broken.py", text)
    with pytest.raises(FlowinfraError) as caught:
        runner(project, "broken.py").run()
    assert code in [d.code for d in caught.value.diagnostics]
    assert said in str(caught.value)


def test_a_file_that_runs_itself_while_it_is_imported_is_refused(project: Project) -> None:
    """A flow file that starts a run at its top level starts one, which says what is wrong, and no endless chain."""
    project.add("talk.py")
    text = (project.folder / "talk.py").read_text(encoding="utf-8").partition("if __name__")[0]
    project.write("chain.py", text + "from flowinfra import Runner\nRunner(Talk, show_output=False).run()\n")
    with pytest.raises(FlowinfraError) as caught:
        runner(project, "chain.py").run()
    assert [d.code for d in caught.value.diagnostics] == ["FI102"]
    assert "FI863" in str(caught.value)
    done = project.python("chain.py", check=False)
    assert done.returncode != 0
    assert "FI863" in done.stderr


def test_a_run_that_does_not_begin_is_given_up(project: Project) -> None:
    """A flow file that takes longer to import than file_read_timeout is stopped, and that is said."""
    project.write("slow.py", "import time\ntime.sleep(1000)\n")
    with pytest.raises(ControlError, match="FI855"):
        runner(project, "slow.py", file_read_timeout=0.3).run()
    with pytest.raises(ControlError, match="FI855"):
        asyncio.run(runner(project, "slow.py", file_read_timeout=0.3).async_run())


def test_what_is_no_folder_is_refused(project: Project, tmp_path: Path) -> None:
    """A folder that is not there is refused by the call that would work in it."""
    with pytest.raises(ConfigurationError, match="FI931"):
        Runner(project.folder / "talk.py", cwd=tmp_path / "nothing").run()
    with pytest.raises(AuthoringError, match="FI101"):
        Runner(project.folder / "nothing.py")


def test_a_broken_flow_is_said(project: Project) -> None:
    """What breaks a rule of flows is raised with everything that was found."""
    project.write("broken.py", BROKEN)
    with pytest.raises(FlowinfraError) as caught:
        runner(project, "broken.py").run()
    assert all(d.source is not None and d.source.file.endswith("broken.py") for d in caught.value.diagnostics)


BROKEN = """
    from flowinfra import FlowSpec, step

    class Broken(FlowSpec):
        @step
        def start(self):
            self.next(self.nowhere)
"""


def test_where_the_id_goes(project: Project, tmp_path: Path) -> None:
    """`run_id_file` gets the id of the run; a path that cannot be written is refused."""
    file = tmp_path / "id"
    with runner(project).run(run_id_file=file) as running:
        assert file.read_text(encoding="utf-8") == running.run.id
    with pytest.raises(ConfigurationError, match="FI951"):
        runner(project).run(run_id_file=str(tmp_path / "nothing" / "id"))
