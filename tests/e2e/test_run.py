"""`python flow.py run` and `flowinfra run`, as a user sees them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from support.project import Project, interrupt

END_OF_FAN = """\
Fan succeeded after N s (6 tasks)
  results  flowinfra show Fan/RUN
  logs     flowinfra logs Fan/RUN
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A folder with the flow file fan.py."""
    project = Project(tmp_path)
    project.add("fan.py")
    return project


def test_what_tasks_print_is_shown_with_its_task_in_front(project: Project) -> None:
    """Each stream of a task goes to the same stream of the command, line by line; progress goes to stderr."""
    done = project.python("fan.py", "run")
    assert sorted(done.stdout.splitlines()) == [*(f"[each 0.{n}] item {n}" for n in range(3)), "[end 0] total 3"]
    said = project.steady(done.stderr)
    assert said.startswith("Fan RUN started\n[start 0] done in N s\n")
    assert sorted(line for line in said.splitlines() if "harm" in line) == [
        f"[each 0.{n}] no harm in {n}" for n in range(3)
    ]
    assert said.endswith(END_OF_FAN)


def test_both_command_lines_do_the_same(project: Project) -> None:
    """`flowinfra run FILE` says what `python FILE run` says, and both runs are listed, newest first."""
    first = project.python("fan.py", "run", "--max-workers", "1")
    second = project.flowinfra("run", "fan.py", "--max-workers", "1")
    assert project.steady(first.stdout) == project.steady(second.stdout)
    assert project.steady(first.stderr) == project.steady(second.stderr)
    runs = [re.search(r"Fan (\S+) started", done.stderr) for done in (second, first)]
    assert [line["run"] for line in project.document("runs")] == [found and found[1] for found in runs]


def test_json_is_one_document_at_the_end(project: Project) -> None:
    """With --json nothing but how the run ended is printed, and it reads back as what the client says."""
    done = project.flowinfra("run", "fan.py", "--json")
    document = json.loads(done.stdout)
    assert done.stderr == ""
    assert document["state"] == "succeeded"
    assert document["error"] is None
    assert document["pathspec"] == f"Fan/{document['run']}" == project.newest("Fan")
    shown = project.document("show", document["run"])
    assert shown["release"] == document["release"]
    assert [(s["name"], s["tasks"]) for s in shown["steps"]] == [("start", 1), ("each", 3), ("join", 1), ("end", 1)]


def test_classes_of_the_flow_file_can_be_read_back(project: Project) -> None:
    """An artifact of a class in the flow file is no class of `__main__`, so another program can load it."""
    project.python("fan.py", "run")
    program = "from flowinfra import Flow; print(Flow('Fan').latest_run['join'].task.data.found)"
    assert project.python("-c", program).stdout == "[Found(item=0), Found(item=1), Found(item=2)]\n"


def test_a_failed_run_says_where_and_what_to_type_next(project: Project) -> None:
    """The exit code is 1, the author's own trace is shown, and the last lines lead to the task that failed."""
    done = project.python("fan.py", "run", "--fail", "raise", check=False)
    assert done.returncode == 1
    said = re.sub(r"\d+ tasks", "N tasks", project.steady(done.stderr))  # the others may be faster or not
    line = (project.folder / "fan.py").read_text().partition("raise ValueError")[0].count("\n") + 1
    assert said.endswith(
        """\
Fan failed after N s (N tasks, 1 retry)
  each 0.1: ValueError: one is not allowed
  results  flowinfra show Fan/RUN
  logs     flowinfra logs Fan/RUN --step each --task 0.1
  resume   python fan.py resume
"""
    )
    assert said.count("[each 0.1] is repeated: attempt 1\n") == 1
    trace = [line.removeprefix("[each 0.1] ") for line in said.splitlines() if line.startswith("[each 0.1] ")]
    assert trace.count(f'  File "FOLDER/fan.py", line {line}, in each') == 2, said
    assert "flowinfra/" not in said
    command = re.search(r"flowinfra (logs \S+ --step each --task 0.1)", done.stderr)
    assert command is not None
    assert "ValueError: one is not allowed" in project.flowinfra(*command[1].split()).stdout
    shown = project.flowinfra("show", project.newest("Fan"))
    assert "ValueError: one is not allowed" in shown.stdout
    assert "failed" in shown.stdout


def test_a_retried_task_is_counted(project: Project) -> None:
    """An attempt that fails once and then succeeds leaves a run that succeeded, with one retry."""
    done = project.python("fan.py", "run", "--fail", "once")
    assert "Fan succeeded after N s (6 tasks, 1 retry)\n" in project.steady(done.stderr)


@pytest.mark.parametrize(
    ("fail", "code", "words"),
    [
        ("items", "FI703", ["self.numbers", "int: 5", "start"]),
        ("lock", "FI705", ["self.guard", "lock", "start"]),
    ],
)
def test_what_a_step_leaves_wrong_is_named(project: Project, fail: str, code: str, words: list[str]) -> None:
    """A foreach over what is no list, and an artifact that cannot be kept: which attribute, which type, what to do."""
    done = project.python("fan.py", "run", "--fail", fail, "-q", check=False)
    assert done.returncode == 1
    assert code in done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert "hint: " in done.stderr
    assert done.stdout == ""


def test_quiet_hides_what_tasks_print_only(project: Project) -> None:
    """With --quiet the tasks' lines are not shown, and are in the logs all the same."""
    done = project.python("fan.py", "run", "--quiet")
    assert done.stdout == ""
    assert "harm" not in done.stderr
    assert "[end 0] total 3" in project.flowinfra("logs").stdout


def test_many_tasks_are_counted_not_listed(project: Project) -> None:
    """Of a step with many tasks the first ten have a line each, then every tenfold has one."""
    done = project.python("fan.py", "run", "--items", "105", "-q")
    lines = [line for line in done.stderr.splitlines() if "each" in line and "done" in line]
    assert len(lines) == 11
    assert lines[-1] == "[each] 100 tasks are done"


def test_tags_and_the_file_with_the_run_id(project: Project) -> None:
    """Tags are on the run; the run's id is in the file that was asked for."""
    project.python("fan.py", "run", "-q", "--tag", "one", "--tag", "two", "--run-id-file", "id.txt")
    (line,) = project.document("runs")
    assert line["run"] == (project.folder / "id.txt").read_text()
    assert line["tags"] == ["one", "two"]


def test_with_puts_decorators_on_steps_that_have_none(project: Project) -> None:
    """`--with retry` adds to the steps without @retry; what the file says about the others stays."""
    project.write(
        "once.py",
        """
        from flowinfra import FlowSpec, current, retry, step

        class Once(FlowSpec):
            @step
            def start(self):
                if current.retry_count < 2:
                    raise RuntimeError("not yet")
                self.next(self.end)

            @retry(times=0)
            @step
            def end(self):
                raise RuntimeError("never")
        """,
    )
    done = project.flowinfra("run", "once.py", "--with", "retry:times=2", "-q", check=False)
    assert done.returncode == 1
    assert done.stderr.count("[start 0] is repeated") == 2
    assert "[end 0] is repeated" not in done.stderr
    assert "end 0: RuntimeError: never" in done.stderr


def test_a_run_that_takes_too_long_is_stopped(project: Project) -> None:
    """`--timeout` stops the run; its state and the exit code say so."""
    done = project.python("fan.py", "run", "-q", "--pause", "60", "--timeout", "1s", check=False)
    assert done.returncode == 9
    assert "Fan timed out" in done.stderr
    assert project.document("runs")[0]["state"] == "timed_out"


def test_ctrl_c_stops_every_process(project: Project) -> None:
    """An interrupt ends all tasks; the run is recorded as stopped, the exit code is 8, no process is left."""
    process = project.start("fan.py", "run", "--pause", "600")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("[each 0.")
    pids = children_of(process.pid)
    assert pids
    interrupt(process)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 8, said
    assert "Fan was stopped after" in said
    assert [pid for pid in pids if alive(pid)] == []
    assert project.document("runs")[0]["state"] == "stopped"


def test_a_killed_run_leaves_no_process_and_counts_as_failed(project: Project) -> None:
    """When the command itself is killed, its tasks end with it, and the run is not said to be running."""
    process = project.start("fan.py", "run", "--pause", "600")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("[each 0.")
    pids = children_of(process.pid)
    process.kill()
    process.communicate(timeout=60)
    until = time.monotonic() + 30
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert [pid for pid in pids if alive(pid)] == []
    assert project.document("runs")[0]["state"] == "failed"


LEAVES = """
import subprocess
from flowinfra import FlowSpec, step

class Leaves(FlowSpec):
    @step
    def start(self):
        child = subprocess.Popen(["yes"], start_new_session=True)
        open("left", "w").write(str(child.pid))
        while child.poll() is None and not open("seen").read():
            pass
        self.next(self.end)

    @step
    def end(self):
        print("the end")

if __name__ == "__main__":
    Leaves()
"""


def test_what_a_task_leaves_printing_keeps_nobody(project: Project) -> None:
    """A process that has left the task's session and prints without end is not read to its end."""
    project.write("leaves.py", LEAVES)
    project.write("seen", "")
    process = project.start("leaves.py", "run")
    assert process.stdout is not None
    hangs = threading.Timer(120, process.kill)
    hangs.start()
    try:
        assert process.stdout.readline() == "[start 0] y\n"
        project.write("seen", "yes")
        last = ""
        for line in process.stdout:
            last = line
        assert (last, process.wait(timeout=60)) == ("[end 0] the end\n", 0)
    finally:
        hangs.cancel()
        process.kill()
        process.communicate()
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((project.folder / "left").read_text()), signal.SIGKILL)


def test_a_closed_pipe_ends_the_command_quietly(project: Project) -> None:
    """`python flow.py graph | head -1` prints no trace."""
    command = f"{sys.executable} fan.py show | head -1"
    done = subprocess.run(
        ["sh", "-c", command], cwd=project.folder, env=project.environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Fan")
    assert done.stderr == ""


def test_a_run_goes_on_without_a_reader(project: Project) -> None:
    """When whoever read the output goes away, the run is carried to its end all the same."""
    command = f"({sys.executable} fan.py run --items 30; echo $? > code) | head -1"
    subprocess.run(
        ["sh", "-c", command], cwd=project.folder, env=project.environment(), capture_output=True, text=True, check=True
    )
    assert (project.folder / "code").read_text() == "0\n"
    (run,) = project.document("runs")
    assert run["state"] == "succeeded"


def test_an_encoding_without_our_characters(project: Project) -> None:
    """Where the output's encoding has no arrow, it is written as an escape; nothing fails."""
    ascii_only = Project(project.folder, {"PYTHONIOENCODING": "ascii"})
    assert "\\u2192 join" in ascii_only.flowinfra("show", "fan.py").stdout
    assert "\\u2502 error FI101" in ascii_only.flowinfra("run", "no.py", check=False).stderr


def test_a_run_belongs_to_the_project_around_it(project: Project) -> None:
    """In a folder below a project the run goes into the project's store; the folder itself stays clean."""
    project.write("Pulumi.yaml", "name: demo\nruntime: python\n")
    project.write("flows/one.py", ONE)
    below = Project(project.folder / "flows")
    below.python("one.py", "run")
    assert [p.name for p in below.folder.iterdir() if p.name != "__pycache__"] == ["one.py"]
    assert project.document("runs")[0]["flow"] == "One"


ONE = """
from flowinfra import FlowSpec, step

class One(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    One()
"""


def test_starting_needs_no_pulumi_and_no_terminal_library(project: Project) -> None:
    """A run imports neither pulumi nor rich, and pydantic only after the process that starts tasks was forked."""
    done = project.python("-X", "importtime", "fan.py", "run", "--json")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line}
    roots = {name.partition(".")[0] for name in imported}
    assert "pydantic" in roots
    assert roots.isdisjoint({"pulumi", "rich", "grpc", "yaml", "jsonschema"})
    order = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line]
    assert order.index("flowinfra.runtime.workers") < order.index("pydantic")


def children_of(pid: int) -> list[int]:
    """The processes below *pid*, at any depth."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = dict(tuple(map(int, line.split())) for line in listed.stdout.splitlines())
    found: list[int] = []
    todo = [pid]
    while todo:
        parent = todo.pop()
        below = [child for child, above in parents.items() if above == parent]
        found += below
        todo += below
    return found


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z") and pid != os.getpid()
