"""tag and dump: what people say about runs, and what runs have left, on files and in a bucket."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.buckets import S3, serve_s3
from support.project import Project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A folder with the flow file fan.py, and one run of it."""
    project = Project(tmp_path_factory.mktemp("tags"))
    (project.folder / ".flowinfra").mkdir()
    project.add("fan.py")
    project.python("fan.py", "run", "--tag", "mine", "-q")
    return project


@pytest.fixture
def run(made: Project) -> str:
    """The pathspec of the run, which has no tag but the one that it was started with."""
    run = made.newest("Fan")
    given = made.document("tag", "list", run)["user_tags"]
    others = [tag for tag in given if tag != "mine"]
    if others:
        made.flowinfra("tag", "remove", run, *others)
    return run


# -- tag ----------------------------------------------------------------------------------------------------------------


def test_tags_are_changed_and_listed(made: Project, run: str) -> None:
    """Add, remove, replace and list, on both command lines, by any name of the run; what is left is printed."""
    assert made.flowinfra("tag", "add", run, "good", "two words").stdout.splitlines()[:3] == [
        "good",
        "mine",
        "two words",
    ]
    run_id = run.partition("/")[2]
    assert made.python("fan.py", "tag", "remove", run_id, "two words").stdout.splitlines()[:2] == ["good", "mine"]
    assert made.flowinfra("tag", "replace", "Fan", "good", "best").stdout.splitlines()[:2] == ["best", "mine"]
    listed = made.document("tag", "list", run)
    assert (listed["pathspec"], listed["user_tags"]) == (run, ["best", "mine"])
    assert "target:local" in listed["system_tags"]
    assert made.python("fan.py", "tag", "list").stdout.splitlines()[:2] == ["best", "mine"]
    assert made.document("runs")[0]["tags"] == ["best", "mine"]
    again = made.flowinfra("tag", "add", run, "best")
    assert "nothing to change" in again.stderr
    made.flowinfra("tag", "remove", run, "best")


def test_people_who_tag_at_once_lose_nothing(made: Project, run: str) -> None:
    """Six commands at once leave six tags."""
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda n: made.flowinfra("tag", "add", run, f"t{n}"), range(6)))
    assert made.document("tag", "list", run)["user_tags"] == ["mine", *(f"t{n}" for n in range(6))]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["add", "RUN", ""], "FI875"),
        (["remove", "RUN", "target:local"], "FI876"),
        (["add", "RUN/each", "x"], "FI816"),
        (["add", "Fann", "x"], "FI811"),
        (["list", "Fan/nothing"], "FI811"),
    ],
)
def test_what_cannot_be_tagged_is_told(made: Project, run: str, arguments: list[str], code: str) -> None:
    """Bad tags, system tags, and what is no run."""
    found = made.findings("tag", *(argument.replace("RUN", run) for argument in arguments))
    assert [d["code"] for d in found] == [code]


def test_runs_are_listed_by_their_tags(made: Project, run: str) -> None:
    """All tags that are asked for must be there; a system tag can be asked for too."""
    made.flowinfra("tag", "add", run, "a", "b")
    assert [
        line["pathspec"] for line in made.document("runs", "--tag", "a", "--tag", "b", "--tag", "target:local")
    ] == [run]
    assert made.document("runs", "--tag", "a", "--tag", "c") == []
    assert "no such run" in made.flowinfra("runs", "--tag", "c").stderr


# -- dump ---------------------------------------------------------------------------------------------------------------


def test_artifacts_are_printed(made: Project, run: str) -> None:
    """Of a run its result, of a step each task's, of a task its own, or one of them; JSON values as they are."""
    run_id = run.partition("/")[2]
    end = f"{run}/end/0"
    text = made.flowinfra("dump", run).stdout
    assert text.splitlines()[0] == end
    assert {"  total = 3", "  items = 3", '  fail = ""'} <= set(text.splitlines())
    assert "  found = [Found(item=0), Found(item=1), Found(item=2)]  [list, pickle, " in text
    assert made.python("fan.py", "dump", run_id).stdout == text
    assert made.python("fan.py", "dump", f"{run_id}/end").stdout == made.flowinfra("dump", end).stdout == text
    assert made.flowinfra("dump", f"{run_id}/end/0").stdout == text
    assert made.flowinfra("dump", f"{end}/total").stdout == f"{end}\n  total = 3\n"
    each = made.document("dump", f"{run}/each", "--include", "found")
    assert [task["pathspec"] for task in each] == [f"{run}/each/0.{n}" for n in range(3)]
    found = each[1]["artifacts"][0]
    assert (found["name"], found["codec"] != "json", found["text"], found["whole"]) == (
        "found", True, "Found(item=1)", False,
    )  # fmt: skip
    (total,) = made.document("dump", end, "--include", "total")[0]["artifacts"]
    assert (total["type"], total["codec"], total["bytes"], total["value"]) == ("int", "json", 1, 3)


def test_large_values_are_cut_unless_they_are_asked_for(made: Project, run: str) -> None:
    """Above the limit the short form is shown; a file gets everything."""
    cut = made.document("dump", f"{run}/start", "--max-value-size", "2", "--include", "numbers")[0]["artifacts"][0]
    assert ("value" in cut, cut["text"]) == (False, "[0, 1, 2]")
    file = made.folder / "out.json"
    done = made.flowinfra("dump", f"{run}/start", "-o", "out.json")
    assert "wrote 4 artifacts of 1 task into out.json" in done.stderr
    assert done.stdout == ""
    assert file.stat().st_mode & 0o077 == 0
    values = {a["name"]: a.get("value") for a in json.loads(file.read_text())[0]["artifacts"]}
    assert values == {"fail": "", "items": 3, "numbers": [0, 1, 2], "pause": 0.0}


def test_a_pickle_is_not_decoded_unless_asked_for(made: Project, run: str) -> None:
    """What reading it would run does not run; with --decode its owner sees the whole value."""
    trap = made.write(
        "trap.py",
        """
        from flowinfra import FlowSpec, step

        class Bomb:
            def __reduce__(self):
                return print, ("it ran",)

            def __repr__(self):
                return "a bomb"

        class Trap(FlowSpec):
            @step
            def start(self):
                self.bomb = Bomb()
                self.next(self.end)

            @step
            def end(self):
                pass

        if __name__ == "__main__":
            Trap()
        """,
    )
    made.python(trap.name, "run", "-q")
    for arguments in ([], ["--json"], ["-o", "bomb.json"], ["--max-value-size", "0"]):
        done = made.flowinfra("dump", "Trap", *arguments)
        assert "it ran" not in done.stdout + done.stderr
    assert "a bomb" in made.flowinfra("dump", "Trap").stdout
    assert "it ran" in made.flowinfra("dump", "Trap", "--decode").stdout


def test_what_is_not_there_is_told_with_what_is(made: Project, run: str) -> None:
    """Pathspecs with too few or too many parts, and unknown names with the nearest one."""
    for text, code, said in (
        (f"{run}/strat", "FI813", "did you mean 'start'?"),
        (f"{run}/each/0.3", "FI814", "0.0, 0.1, 0.2"),
        (f"{run}/end/0/totl", "FI815", "did you mean 'total'?"),
        (f"{run}/end/0/total/x", "FI816", "too many parts: 6, where 5"),
        ("Fann", "FI811", "did you mean 'Fan'?"),
    ):
        (finding,) = made.findings("dump", text)
        assert (finding["code"], said in finding["summary"] + finding["detail"]) == (code, True), finding
    (finding,) = made.findings("dump", run, "--include", "totl")
    assert (finding["code"], "did you mean 'total'?" in finding["summary"]) == ("FI815", True)
    (finding,) = made.findings("logs", f"{run}/end/0/total")
    assert (finding["code"], "too many parts: 5, where 4" in finding["detail"]) == ("FI816", True)


def test_a_task_that_has_not_ended_well_is_said_to_have_nothing(made: Project, run: str) -> None:
    """A step of which a task failed is dumped all the same; a run without a result is refused."""
    made.python("fan.py", "run", "--fail", "raise", "-q", check=False)
    failed = made.newest("Fan")
    tasks = made.document("dump", f"{failed}/each")
    assert tasks[1] == {"pathspec": f"{failed}/each/0.1", "artifacts": None}
    assert "each/0.1  has not ended well" in made.flowinfra("dump", f"{failed}/each").stdout
    assert [d["code"] for d in made.findings("dump", failed)] == ["FI818"]


def test_what_exit_hooks_print_is_among_the_logs(tmp_path: Path) -> None:
    """Behind the lines of the tasks, and alone if asked for."""
    project = Project(tmp_path)
    (tmp_path / ".flowinfra").mkdir()
    project.write(
        "hooked.py",
        """
        from flowinfra import FlowSpec, exit_hook, step

        def tell(run):
            print("hook saw", run.successful)

        @exit_hook(on_success=[tell])
        class Hooked(FlowSpec):
            @step
            def start(self):
                print("in start")
                self.next(self.end)

            @step
            def end(self):
                pass

        if __name__ == "__main__":
            Hooked()
        """,
    )
    project.python("hooked.py", "run", "-q")
    assert project.flowinfra("logs").stdout.splitlines() == ["[start 0] in start", "[exit_hook] hook saw True"]
    assert project.python("hooked.py", "logs", "--step", "exit_hook").stdout == "[exit_hook] hook saw True\n"


def test_a_resumed_run_tells_what_its_tasks_said_where_they_ran(tmp_path: Path) -> None:
    """Logs, attempts and values of tasks that were taken over are read as if they had run there; their origin is told."""
    project = Project(tmp_path, {"BROKEN": "1"})
    (tmp_path / ".flowinfra").mkdir()
    project.write(
        "again.py",
        """
        import os
        from flowinfra import FlowSpec, step

        class Again(FlowSpec):
            @step
            def start(self):
                print("first of all")
                self.x = 1
                self.next(self.end)

            @step
            def end(self):
                if os.environ.get("BROKEN"):
                    raise ValueError("not yet")
                print("done")

        if __name__ == "__main__":
            Again()
        """,
    )
    project.python("again.py", "run", "-q", check=False)
    origin = project.newest("Again")
    mended = Project(tmp_path)
    mended.python("again.py", "resume", "-q")
    run = mended.newest("Again")
    assert run != origin
    assert mended.flowinfra("logs", run).stdout.splitlines() == ["[start 0] first of all", "[end 0] done"]
    said = mended.python("-c", f"""
from flowinfra import Run, Task
run, task, end = Run("{run}"), Task("{run}/start/0"), Task("{run}/end/0")
print(run.origin_pathspec, task.origin_pathspec, end.origin_pathspec, task.stdout.strip(), task.created_at is not None)
print(run.successful, run.data.x, list(task.child_tasks) == [end], list(end.parent_tasks) == [task])
""").stdout  # fmt: skip
    assert said.splitlines() == [f"{origin} {origin}/start/0 None first of all True", "True 1 True True"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to others")
def test_values_of_another_user_are_not_decoded(made: Project, tmp_path: Path) -> None:
    """A store that belongs to someone else is read as text only."""
    project = Project(tmp_path)
    (tmp_path / ".flowinfra").mkdir()
    project.add("fan.py")
    project.python("fan.py", "run", "-q")
    os.chown(tmp_path / ".flowinfra" / "store", 12345, -1)
    assert "total = 3" in project.flowinfra("dump", "Fan").stdout
    assert [d["code"] for d in project.findings("dump", "Fan", "--decode")] == ["FI878"]


# -- in a bucket --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """A bucket."""
    with serve_s3() as server:
        yield server


READER = """
import json
from flowinfra import Flow, Flows, Run, Step
run = Flow("Fan").latest_successful_run
run.add_tags(["read", "again"])
run.remove_tag("again")
each = run["each"]
print(json.dumps({
    "flows": [flow.id for flow in Flows()],
    "total": run.data.total,
    "steps": [step.id for step in run],
    "found": [task.index for task in each],
    "out": [task.stdout for task in each],
    "err": each["0.1"].stderr,
    "failed": Step(each.pathspec)["0.1"].exception is not None,
    "children": [task.id for task in run["start"].task.child_tasks],
    "parents": [task.id for task in run["join"].task.parent_tasks],
    "tags": sorted(run.user_tags),
    "around": [[s.id for s in each.parent_steps], [s.id for s in each.child_steps], [*run["end"].child_steps]],
    "script": run.code.script_name,
    "finished": run.finished_at > run.created_at,
}))
"""


def test_a_run_in_a_bucket_is_read_tagged_and_dumped(s3: S3, tmp_path: Path) -> None:
    """FLOWINFRA_STORE=s3://... is all that is said; nothing of the run lies in a file here."""
    project = Project(tmp_path, {**s3.variables, "FLOWINFRA_STORE": s3.url("team")})
    (tmp_path / ".flowinfra").mkdir()
    project.add("fan.py")
    project.python("fan.py", "run", "--tag", "mine", "-q")
    assert json.loads(project.python("-c", READER).stdout) == {
        "flows": ["Fan"],
        "total": 3,
        "steps": ["end", "join", "each", "start"],
        "found": [0, 1, 2],
        "out": ["item 0\n", "item 1\n", "item 2\n"],
        "err": "no harm in 1\n",
        "failed": False,
        "children": ["0.0", "0.1", "0.2"],
        "parents": ["0.0", "0.1", "0.2"],
        "tags": ["mine", "read"],
        "around": [["start"], ["join"], []],
        "script": "fan.py",
        "finished": True,
    }
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda n: project.flowinfra("tag", "add", "Fan", f"t{n}"), range(3)))
    assert project.document("tag", "list")["user_tags"] == ["mine", "read", "t0", "t1", "t2"]
    assert "  total = 3" in project.flowinfra("dump", "Fan").stdout
    assert "  found = [Found(item=0), Found(item=1), Found(item=2)]" in project.python("fan.py", "dump", "Fan").stdout
    assert project.flowinfra("logs", "Fan", "--step", "end").stdout == "[end 0] total 3\n"
    assert project.document("runs")[0]["tags"] == ["mine", "read", "t0", "t1", "t2"]
    assert not (tmp_path / ".flowinfra" / "store").exists()
