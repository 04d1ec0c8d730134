"""preview, up, destroy, refresh and outputs of the example, as a user runs them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from support.example import Example

CHILDREN = {"Bundle", "Release", "Token", "LocalDeployment"}


def actions(plan: dict[str, object]) -> dict[str, str]:
    """Action by the short type of each resource of a plan, those of the engine's own left out."""
    changes = plan["changes"]
    assert isinstance(changes, list)
    return {c["type"].rsplit(":", 1)[-1]: c["action"] for c in changes if c["type"].startswith("flowinfra:")}


def test_first_preview_creates_everything_and_writes_no_state(example: Example) -> None:
    """A preview of a stack that was never deployed says what it would create, and creates nothing of it."""
    plan = example.document("preview")
    assert actions(plan) == {"FlowDeployment": "create", **dict.fromkeys(CHILDREN, "create")}
    written = set(example.files()) - set(Example.copy(example.folder.parent / "other").files())
    assert all(name.startswith((".flowinfra/cache/", ".flowinfra/.gitignore")) for name in written), written


def test_up_deploys_and_an_unchanged_up_writes_nothing(example: Example) -> None:
    """After an up the deployment is there; a second one leaves every file as it is, to the byte."""
    first = example.flowinfra("up", "--yes")
    assert "4 created" in first.stdout
    assert "flowinfra trigger Census/stdlib" in first.stderr
    with sqlite3.connect(example.folder / ".flowinfra" / "local.db") as database:
        assert database.execute("select count(*) from deployments").fetchone() == (1,)
    before = example.files()
    second = example.flowinfra("up", "--yes")
    assert "No changes" in second.stdout
    assert example.files() == before


def test_an_up_is_finished_although_nobody_reads_on(example: Example) -> None:
    """Whoever closes the pipe to which progress goes does not leave a deployment half done."""
    up = subprocess.Popen(
        [sys.executable, "-m", "flowinfra.cli.main", "up", "--yes"],
        cwd=example.folder,
        env=example.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert up.stderr is not None
    up.stderr.readline()
    up.stderr.close()
    assert up.wait() == 0
    assert example.flowinfra("preview", "--expect-no-changes").returncode == 0


def test_what_a_stack_program_prints_is_no_part_of_a_document(example: Example) -> None:
    """With --json stdout is one document; what the program prints goes to stderr."""
    said = 'import os, subprocess\nprint("hello")\nos.write(1, b"raw")\nsubprocess.run(["echo", "child"])\n'
    example.edit("stacks/census.py", "import ast\n", f"import ast\n{said}")
    assert example.document("preview")["project"] == "census"
    assert example.flowinfra("preview", "--markdown").stdout.startswith("### ")


def test_outputs_hide_the_token_unless_asked(deployed: Example) -> None:
    """The production token is a secret output; it is shown on request only, and survives a redeploy."""
    hidden = deployed.flowinfra("outputs").stdout
    shown = deployed.document("outputs", "Census/stdlib", "--show-secrets")
    assert shown["production_token"] not in hidden
    assert len(shown["production_token"]) >= 32
    state = (deployed.folder / ".flowinfra/state/.pulumi/stacks/census/dev.json").read_text()
    assert shown["production_token"] not in state
    deployed.edit("stacks/census.py", "default=10", "default=11")
    deployed.flowinfra("up", "--yes")
    again = deployed.document("outputs", "Census/stdlib", "--show-secrets")
    assert again["production_token"] == shown["production_token"]
    assert again["release"] != shown["release"]


@pytest.mark.parametrize(
    ("file", "old", "new", "layers"),
    [
        ("census.py", "default=10", "default=11", ["interface"]),
        ("census.py", "times=2", "times=5", ["policy"]),
        ("census.py", 'foreach="packages"', 'foreach="packages", max_concurrency=3', ["policy"]),
        ("metrics.py", "ways = 1", "ways = 2", ["code"]),
        ("census.py", '"""List the packages."""', '"""List the largest packages."""', ["metadata"]),
        ("census.py", 'tags=["example"]', 'tags=["example", "more"]', ["metadata"]),
        ("census.py", 'tags=["example"]', 'tags=["example"], paused=True', ["schedule"]),
        ("census.py", 'tags=["example"]', 'tags=["example"], parameters={"limit": 3}', ["interface"]),
    ],
)
def test_a_change_is_shown_in_its_layer(deployed: Example, file: str, old: str, new: str, layers: list[str]) -> None:
    """The preview names the layer of the flow in which something changed, and only that one."""
    deployed.edit(f"stacks/{file}", old, new)
    plan = deployed.document("preview")
    (component,) = [c for c in plan["changes"] if c["type"] == "flowinfra:index:FlowDeployment"]
    found = [c["layer"] for c in component["flow"]["changes"]]
    assert sorted(set(found)) == layers
    text = deployed.flowinfra("preview").stdout
    assert all(layer.upper() in text for layer in layers)


def test_expect_no_changes_exits_with_7(example: Example) -> None:
    """`--expect-no-changes` tells by its exit code whether anything would change, and changes nothing."""
    assert example.flowinfra("preview", "--expect-no-changes", check=False).returncode == 7
    assert example.flowinfra("up", "--expect-no-changes", "--yes", check=False).returncode == 7
    example.flowinfra("up", "--yes")
    assert example.flowinfra("preview", "--expect-no-changes").returncode == 0


def test_without_yes_and_without_a_terminal_nothing_happens(example: Example) -> None:
    """Where nobody can be asked, up shows its preview, changes nothing and says how to go on."""
    done = example.flowinfra("up", check=False)
    assert done.returncode == 8
    assert "--yes" in done.stderr
    assert not (example.folder / ".flowinfra/state").exists()


def test_destroy_removes_the_deployment_and_leaves_the_store(deployed: Example) -> None:
    """Destroy removes the deployment and its token; bundles and releases stay for the runs that they belong to."""
    stored = {n for n in deployed.files() if n.startswith(".flowinfra/store/")}
    done = deployed.flowinfra("destroy", "--yes")
    assert "4 deleted" in done.stdout
    with sqlite3.connect(deployed.folder / ".flowinfra" / "local.db") as database:
        assert database.execute("select count(*) from deployments").fetchone() == (0,)
    assert stored <= set(deployed.files())
    assert "No changes" in deployed.flowinfra("destroy", "--yes").stdout


def test_refresh_finds_what_is_gone(deployed: Example) -> None:
    """A deployment that someone removed by hand is found by refresh, and made again by the next up."""
    assert "No changes" in deployed.flowinfra("refresh", "--yes").stdout
    with sqlite3.connect(deployed.folder / ".flowinfra" / "local.db") as database:
        database.execute("delete from deployments")
    assert "1 forgotten" in deployed.flowinfra("refresh", "--yes").stdout
    assert actions(deployed.document("preview"))["LocalDeployment"] == "create"


def test_stacks_do_not_meet(example: Example) -> None:
    """Two stacks of one project deploy the same flow side by side, each with a token of its own."""
    example.flowinfra("up", "--yes", "--stack", "dev")
    example.flowinfra("up", "--yes", "--stack", "prod")
    tokens = {
        example.document("outputs", "Census/stdlib", "--show-secrets", "--stack", s)["production_token"]
        for s in ("dev", "prod")
    }
    assert len(tokens) == 2
    example.flowinfra("destroy", "--yes", "--stack", "dev")
    assert actions(example.document("preview", "--stack", "prod"))["LocalDeployment"] == "same"


@pytest.mark.parametrize(
    ("edit", "code", "words"),
    [
        (
            ("stacks/census.py", 'foreach="packages"', 'foreach="packages", froeach=1'),
            "FI113",
            ["froeach", "census.py"],
        ),
        (
            ("stacks/census.py", 'tags=["example"]', 'parameters={"limits": 3, "threshold": "x"}'),
            "FI711",
            ["limits", "limit"],
        ),
        (
            ("stacks/census.py", "def gather(self, inputs: Sequence[Census])", "def gather(self)"),
            "FI205",
            ["start", "inputs"],
        ),
        (("stacks/metrics.py", "import ast", "import ast\nimport nothing_like_this"), "FI600", ["nothing_like_this"]),
        (("Pulumi.dev.yaml", "flowinfra:target", "flowinfra:targte"), "FI920", ["flowinfra:target"]),
        (("Pulumi.dev.yaml", "local", "moon"), "FI921", ["moon", "local"]),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_deployed(
    example: Example, edit: tuple[str, str, str], code: str, words: list[str]
) -> None:
    """A mistake in the flow, the deployment or the settings ends `up` with a diagnostic before anything is made."""
    example.edit(*edit)
    done = example.flowinfra("up", "--yes", check=False)
    assert done.returncode != 0
    assert code in done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert "/flowinfra/" not in done.stderr.replace(str(example.folder), "")
    assert not (example.folder / ".flowinfra/local.db").exists()


def test_unknown_stack_names_the_known_ones(example: Example) -> None:
    """A stack that does not exist is answered with those that do and the command that makes one; the exit code is 6."""
    done = example.flowinfra("preview", "--stack", "pord", check=False)
    assert done.returncode == 6
    assert "dev, prod" in done.stderr
    assert "did you mean 'prod'" in done.stderr


def test_outside_a_project(tmp_path: Path) -> None:
    """Without a Pulumi.yaml the remedy is named."""
    done = Example(tmp_path).flowinfra("preview", check=False)
    assert done.returncode == 2
    assert "flowinfra init" in done.stderr


def test_a_preview_as_json_is_the_plan_value(example: Example) -> None:
    """The JSON of a preview is a Plan that reads back equal."""
    from flowinfra.model.plan import Plan

    document = example.document("preview")
    assert Plan.from_json(document).to_json() == document
    assert json.dumps(document)


def test_a_lock_that_was_left_is_told_and_cancelled(deployed: Example) -> None:
    """The lock of an operation that died stops the next one, which says who held it; `cancel` removes it."""
    folder = deployed.folder / ".flowinfra/state/.pulumi/locks/organization/census/dev"
    folder.mkdir(parents=True)
    held = {"pid": 4194304, "username": "ada", "hostname": "elsewhere", "timestamp": "2026-01-01T00:00:00Z"}
    (folder / "0d4c3a52-6c9e-4a7e-9f43-1d1f1a1b2c3d.json").write_text(json.dumps(held))
    deployed.edit("stacks/census.py", "times=2", "times=3")
    done = deployed.flowinfra("up", "--yes", check=False)
    assert done.returncode != 0
    assert "ada@elsewhere" in done.stderr
    assert "flowinfra cancel" in done.stderr
    assert deployed.flowinfra("cancel", check=False).returncode == 8
    removed = deployed.flowinfra("cancel", "--yes")
    assert "ada@elsewhere" in removed.stdout
    assert "on another machine, where it may still run" in removed.stderr
    assert "1 unchanged" in deployed.flowinfra("up", "--yes").stdout
