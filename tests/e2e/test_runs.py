"""show, runs and logs: reading what has run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from support.project import Project, interrupt

RUN = """\
Fan/RUN  succeeded
  started     WHEN, took N s
  release     DIGEST
  tags        mine

Parameters
  fail   ""
  items  3
  pause  0.0

Steps
  start  1 task   N s
  each   3 tasks  N s
  join   1 task   N s
  end    1 task   N s

Results
  found  list  [Found(item=0), Found(item=1), Found(item=2)]
  total  int   3
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A folder with the flow file fan.py, and one run of it."""
    project = Project(tmp_path)
    project.add("fan.py")
    project.python("fan.py", "run", "--tag", "mine")
    return project


def test_a_run_is_shown_by_any_of_its_names(project: Project) -> None:
    """By its id alone, by its pathspec, and by its flow's name if it is the latest; on both command lines."""
    pathspec = project.newest("Fan")
    texts = [project.flowinfra("show", name).stdout for name in (pathspec, pathspec.split("/")[1], "Fan")]
    texts.append(project.python("fan.py", "show", pathspec.split("/")[1]).stdout)
    assert [project.steady(text) for text in texts] == [RUN] * 4


def test_steps_tasks_and_artifacts_are_shown(project: Project) -> None:
    """A longer pathspec shows a step's tasks, a task with its artifacts and parents, an artifact's text."""
    run = project.newest("Fan")
    assert [line.split()[:3] for line in project.flowinfra("show", f"{run}/each").stdout.splitlines()[1:]] == [
        [f"0.{n}", "done", "0"] for n in range(3)
    ]
    task = project.flowinfra("show", f"{run}/each/0.2").stdout
    assert task.startswith(f"{run}/each/0.2  done\n")
    assert "  after    start/0\n" in task
    assert "Found(item=2)" in task
    assert project.flowinfra("show", f"{run}/join/0/total").stdout == "3\n"
    artifact = project.document("show", f"{run}/join/0/total")
    assert {**artifact, "bytes": 0} == {"name": "total", "type": "int", "bytes": 0, "text": "3"}


def test_a_name_of_nothing_is_answered_with_the_nearest(project: Project) -> None:
    """A run, step, task or artifact that does not exist: its own code, and what there is."""
    run = project.newest("Fan")
    table = [
        (run[:-1] + "x", "FI811", "did you mean"),
        (run.split("/")[1][:-1] + "x", "FI811", "did you mean"),
        ("Fna", "FI811", "did you mean 'Fan'"),
        ("Fna/" + run.split("/")[1], "FI812", "did you mean 'Fan'"),
        (run + "/eahc", "FI813", "did you mean 'each'"),
        (run + "/each/0.7", "FI814", "0.0, 0.1, 0.2"),
        (run + "/each/0.1/fuond", "FI815", "did you mean 'found'"),
        (run + "/a/b/c/d", "FI816", "Flow/run"),
        ("../" + run, "FI816", "Flow/run"),
    ]
    for name, code, words in table:
        done = project.flowinfra("show", name, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"│ error {code}: "), done.stderr
        assert words in done.stderr


def test_a_folder_in_which_nothing_has_run(tmp_path: Path) -> None:
    """Listing is empty and says what to type; showing is an error."""
    project = Project(tmp_path)
    done = project.flowinfra("runs")
    assert (done.stdout, "flowinfra run FILE" in done.stderr) == ("", True)
    assert project.document("runs") == []
    assert [d["code"] for d in project.findings("show", "x")] == ["FI842"]
    assert [d["code"] for d in project.findings("logs")] == ["FI842"]
    assert not (tmp_path / ".flowinfra").exists()


def test_runs_can_be_chosen(project: Project) -> None:
    """By flow, by state, and not more than asked for; newest first."""
    project.python("fan.py", "run", "--fail", "raise", "-q", check=False)
    project.write("other.py", (project.folder / "fan.py").read_text().replace("Fan", "Other"))
    project.python("other.py", "run", "-q")
    assert [(r["flow"], r["state"]) for r in project.document("runs")] == [
        ("Other", "succeeded"),
        ("Fan", "failed"),
        ("Fan", "succeeded"),
    ]
    assert [r["state"] for r in project.document("runs", "Fan")] == ["failed", "succeeded"]
    assert [r["flow"] for r in project.document("runs", "--state", "succeeded", "--limit", "1")] == ["Other"]
    assert [r["state"] for r in json.loads(project.python("fan.py", "runs", "--json").stdout)] == [
        "failed",
        "succeeded",
    ]
    assert project.document("runs", "--state", "running") == []
    table = project.flowinfra("runs", "Fan").stdout.splitlines()
    assert table[0].split() == ["RUN", "DEPLOYMENT", "STATE", "STARTED", "DURATION", "TAGS"]
    assert ("failed" in table[1], "mine" in table[2]) == (True, True)
    assert "did you mean 'Fan'" in project.flowinfra("runs", "Fann", check=False).stderr


def test_logs_of_a_run_its_steps_and_streams(project: Project) -> None:
    """All lines in the order of the flow, or those of a step, a task, a stream; a pathspec says it too."""
    run = project.newest("Fan")
    both = [line for n in range(3) for line in (f"[each 0.{n}] item {n}", f"[each 0.{n}] no harm in {n}")]
    assert project.flowinfra("logs").stdout.splitlines() == [*both, "[end 0] total 3"]
    assert project.flowinfra("logs", run, "--step", "end").stdout == "[end 0] total 3\n"
    assert project.flowinfra("logs", f"{run}/each/0.1").stdout.splitlines() == both[2:4]
    assert project.flowinfra("logs", run, "--task", "0.2", "--stream", "err").stdout.splitlines() == both[5:]
    assert project.python("fan.py", "logs", "--stream", "out", "--step", "each").stdout.splitlines() == both[::2]
    assert project.document("logs", run, "--step", "end") == [
        {"step": "end", "task": "0", "attempt": "0", "stream": "out", "text": "total 3"}
    ]


def test_logs_of_attempts(project: Project) -> None:
    """Each attempt's lines are kept; a later one is named in front of its lines, and one alone can be asked for."""
    project.python("fan.py", "run", "--fail", "once", "-q")
    both = project.flowinfra("logs", "Fan", "--task", "0.1", "--stream", "out").stdout
    assert both == "[each 0.1] item 1\n[each 0.1 attempt 1] item 1\n"
    first = project.flowinfra("logs", "Fan", "--task", "0.1", "--attempt", "0").stdout
    assert "ValueError: one is not allowed" in first
    assert "attempt 1" not in first
    done = project.flowinfra("logs", "Fan", "--attempt", "7", check=False)
    assert (done.returncode, "FI843" in done.stderr) == (1, True)


def test_logs_of_nothing(project: Project) -> None:
    """A step or a task that the run does not have."""
    for arguments, code in (
        (["--step", "eahc"], "FI813"),
        (["--step", "each", "--task", "0.9"], "FI814"),
        (["--task", "9"], "FI814"),
    ):
        assert [d["code"] for d in project.findings("logs", "Fan", *arguments)] == [code]


def test_logs_can_be_followed(project: Project) -> None:
    """--follow prints lines while they are written, each once, and ends with the run."""
    running = project.start("fan.py", "run", "--pause", "1.5", "--items", "4", "--max-workers", "1", "-q")
    while len(project.document("runs")) < 2:
        time.sleep(0.1)
    followed = project.flowinfra("logs", "Fan", "--follow", "--stream", "out")
    running.communicate(timeout=60)
    assert running.returncode == 0
    assert followed.stdout.splitlines() == [*(f"[each 0.{n}] item {n}" for n in range(4)), "[end 0] total 6"]


def test_ctrl_c_ends_following_and_not_the_run(project: Project) -> None:
    """Whoever has followed a run and leaves is not told that it was stopped; meanwhile it is shown as running."""
    running = project.start("fan.py", "run", "--pause", "600", "--max-workers", "1", "-q")
    while len(project.document("runs")) < 2:
        time.sleep(0.1)
    following = project.start("-m", "flowinfra.cli.main", "logs", "Fan", "--follow")
    assert following.stdout is not None
    assert following.stdout.readline().startswith("[each 0.")
    interrupt(following)
    assert (following.communicate(timeout=60)[1], following.returncode) == ("interrupted\n", 8)
    assert ", running for " in project.flowinfra("show", "Fan").stdout
    interrupt(running)
    running.communicate(timeout=60)
    assert ", took " in project.flowinfra("show", "Fan").stdout
