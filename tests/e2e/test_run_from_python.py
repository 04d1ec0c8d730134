"""Programs that run flows, each as a user writes it: what one expects of `Runner`, in our own words.

Every program is a script in a process of its own, beside the flow file that it names.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.project import Project

COUNTDOWN = """
import time

from flowinfra import FlowSpec, Parameter, step


class Countdown(FlowSpec):
    ticks = Parameter("how-many", default=3)
    pause = Parameter(default=0.0)

    @step
    def start(self):
        for tick in range(self.ticks):
            print(f"tick {tick} of {self.ticks} ✓", flush=True)
            time.sleep(self.pause)
        self.next(self.end)

    @step
    def end(self):
        self.over = True


if __name__ == "__main__":
    Countdown()
"""
RUN = r"Run\('Countdown/[0-9a-f-]+'\)"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A folder with the flow file."""
    project = Project(tmp_path)
    (tmp_path / ".flowinfra").mkdir()
    project.write("countdown.py", COUNTDOWN)
    return project


def printed(project: Project, program: str) -> str:
    """What a program prints that ends well."""
    return project.python(str(project.write("program.py", program))).stdout


def printed_async(project: Project, body: str) -> str:
    """What a program prints whose only coroutine is *body*."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return printed(
        project,
        "import asyncio\nfrom flowinfra import Flow, Runner\n\nasync def main():\n"
        + lines
        + "\n\nasyncio.run(main())\n",
    )


def test_a_run_is_waited_for_and_named(project: Project) -> None:
    """A blocking run shows what it prints, and is a run of the client afterwards."""
    out = printed(
        project,
        """
        from flowinfra import Runner

        with Runner("countdown.py").run() as done:
            print("over:", done.run)
        """,
    )
    assert "tick 2 of 3 ✓" in out
    assert re.search(rf"^over: {RUN}$", out, re.MULTILINE)


def test_status_output_and_results_of_a_quiet_run(project: Project) -> None:
    """With show_output=False nothing is shown; status, both outputs and the artifacts of the run tell all of it."""
    out = printed(
        project,
        """
        from flowinfra import Runner

        with Runner("countdown.py", show_output=False).run(how_many=2) as done:
            print(done.status, done.returncode, done.run.data.ticks)
            print("tick 1 of 2 ✓" in done.stdout, done.stderr == "")
        """,
    )
    assert out == "successful 0 2\nTrue True\n"


def test_a_parameter_of_another_type_is_refused_before_the_run(project: Project) -> None:
    """The declared type and the given value are named, and no run comes into being."""
    out = printed(
        project,
        """
        from flowinfra import Flow, FlowinfraError, Runner

        try:
            Runner("countdown.py").run(how_many="three")
        except FlowinfraError as why:
            print(why.diagnostics[0].summary)
        try:
            Flow("Countdown")
        except FlowinfraError as why:
            print(why.diagnostics[0].code)
        """,
    )
    assert "how-many" in out
    assert "int" in out
    assert "'three'" in out
    assert out.endswith("FI812\n")


def test_decorators_of_no_target_yet_are_named(project: Project) -> None:
    """A run on a platform that is not there is refused by its name; the same words come from the command line."""
    words = "cannot run a step on Kubernetes"
    out = printed(
        project,
        """
        from flowinfra import FlowinfraError, Runner

        try:
            Runner("countdown.py", pylint=False, decospecs=["kubernetes", "retry"]).run()
        except FlowinfraError as why:
            print(why)
        """,
    )
    assert "FI954" in out
    assert words in out
    done = project.python("countdown.py", "--no-pylint", "--with", "kubernetes", "--with", "retry", "run", check=False)
    assert done.returncode != 0
    assert "FI954" in done.stderr
    assert words in done.stderr


def test_options_of_a_run(project: Project) -> None:
    """Tags and the number of workers are given beside the parameters, and decorators to the constructor."""
    out = printed(
        project,
        """
        from flowinfra import Runner

        with Runner("countdown.py", show_output=False, decospecs=["retry"]).run(
            max_workers=1, tags=["mine", "a second"], how_many=0
        ) as done:
            print(sorted(done.run.user_tags), done.run.data.ticks)
        """,
    )
    assert out == "['a second', 'mine'] 0\n"


def test_a_run_is_looked_at_while_it_goes_on(project: Project) -> None:
    """The status is `running` until the end, and the event loop goes on meanwhile."""
    out = printed_async(
        project,
        """
with await Runner("countdown.py").async_run(pause=0.2) as running:
    looks = 0
    while running.status == "running":
        looks += 1
        await asyncio.sleep(0.05)
    print(looks > 1, running.status, running.run.successful)
""",
    )
    assert out == "True successful True\n"


def test_a_run_is_awaited(project: Project) -> None:
    """`wait` returns when the run has ended, and nothing is shown of a run in the background."""
    out = printed_async(
        project,
        """
with await Runner("countdown.py").async_run() as running:
    await running.wait()
    print(running.status, running.run.data.over)
""",
    )
    assert out == "successful True\n"


def test_lines_are_streamed(project: Project) -> None:
    """The lines of the log come one by one until the run has ended."""
    out = printed_async(
        project,
        """
with await Runner("countdown.py").async_run() as running:
    async for _, line in running.stream_log("stdout"):
        print("LINE", line)
""",
    )
    assert re.findall(r"^LINE .*tick (\d) of 3 ✓$", out, re.MULTILINE) == ["0", "1", "2"]


def test_a_log_is_taken_up_where_one_was(project: Project) -> None:
    """One line at a time while it runs, and the rest from the last position afterwards: each line once."""
    out = printed_async(
        project,
        """
with await Runner("countdown.py", quiet=True).async_run(how_many=6, pause=0.05) as running:
    lines = aiter(running.stream_log("stdout"))
    while running.status == "running":
        position, line = await anext(lines)
        print(line)
        await asyncio.sleep(0.1)
    async for _, line in running.stream_log("stdout", position=position):
        print(line)
""",
    )
    assert re.findall(r"tick (\d) of 6", out) == list("012345")


def test_runs_side_by_side(project: Project) -> None:
    """Several runs, each with its own parameters, are told one by one as they end."""
    out = printed_async(
        project,
        """
runs = [await Runner("countdown.py").async_run(how_many=n, tags=["together"]) for n in range(4)]
while runs:
    ended = [running for running in runs if running.status != "running"]
    for running in ended:
        print(running.run.data.ticks, running.status)
    runs = [running for running in runs if running not in ended]
    await asyncio.sleep(0.02)
print(len(list(Flow("Countdown").runs("together"))))
""",
    )
    assert sorted(out.splitlines()[:-1]) == [f"{n} successful" for n in range(4)]
    assert out.endswith("\n4\n")


@pytest.mark.parametrize("way", ["blocking", "awaited"])
def test_the_oldest_run_is_resumed(project: Project, way: str) -> None:
    """The first run of a flow is found by the client and resumed; what had not ended is run again."""
    project.flowinfra("run", "countdown.py", "--pause", "30", "--timeout", "0.3", "--quiet", check=False)
    project.flowinfra("run", "countdown.py", "--how-many", "1", "--quiet")
    project.edit("countdown.py", "time.sleep(self.pause)", "pass")
    if way == "blocking":
        out = printed(
            project,
            """
            from flowinfra import Flow, Runner

            oldest = list(Flow("Countdown"))[-1]
            with Runner("countdown.py", show_output=False).resume(origin_run_id=oldest.id) as running:
                print(running.status, running.run.origin_pathspec == oldest.pathspec, running.run.data.pause)
            """,
        )
    else:
        out = printed_async(
            project,
            """
oldest = list(Flow("Countdown"))[-1]
with await Runner("countdown.py").async_resume(origin_run_id=oldest.id) as running:
    await running.wait()
    print(running.status, running.run.origin_pathspec == oldest.pathspec, running.run.data.pause)
""",
        )
    assert out == "successful True 30.0\n"


def test_the_command_line_says_the_same(project: Project) -> None:
    """A run that a program has started is shown by the commands like any other, and the other way round."""
    pathspec = printed(
        project,
        """
        from flowinfra import Runner

        print(Runner("countdown.py", show_output=False).run(how_many=1).run.pathspec)
        """,
    ).strip()
    assert project.newest("Countdown") == pathspec
    assert "tick 0 of 1" in project.flowinfra("logs", pathspec).stdout
