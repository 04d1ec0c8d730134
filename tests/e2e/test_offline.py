"""Snapshots, offline previews and saved plans of the example, as a user runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from support.example import Example


def elsewhere(example: Example, folder: Path, snapshot: str) -> Example:
    """A checkout on a machine that has the program and a snapshot, and nothing else."""
    other = Example.copy(folder, {"PULUMI_CONFIG_PASSPHRASE": "not the one"})
    shutil.copy(example.folder / snapshot, other.folder / snapshot)
    return other


def test_a_snapshot_is_printed_before_it_is_written_and_asked_for(deployed: Example) -> None:
    """Nobody who can be asked is a no; --yes writes what is printed; - only prints."""
    file = deployed.folder / "snapshot.dev.json"
    printed = deployed.flowinfra("snapshot", check=False)
    assert printed.returncode == 8
    assert not file.exists()
    assert json.loads(printed.stdout)["stack"] == "dev"
    only = deployed.flowinfra("snapshot", "-o", "-")
    assert not file.exists()
    assert only.stdout == printed.stdout
    written = deployed.flowinfra("snapshot", "--yes")
    assert file.read_text(encoding="utf-8") == written.stdout == only.stdout
    again = deployed.flowinfra("snapshot", "--yes", "--out", "again.json", "--json")
    assert json.loads(again.stdout) == json.loads(written.stdout)
    assert (deployed.folder / "again.json").read_bytes() == file.read_bytes()


def test_a_preview_against_a_snapshot_needs_nothing_else(deployed: Example, tmp_path: Path) -> None:
    """No state, no passphrase, no provider, and a wrong passphrase does not matter; changes are those of the state."""
    deployed.flowinfra("snapshot", "--yes")
    other = elsewhere(deployed, tmp_path / "other", "snapshot.dev.json")
    same = other.document("preview", "--offline", "--base", "snapshot.dev.json")
    assert same["engine"] == "recorder"
    assert {c["action"] for c in same["changes"]} == {"same"}
    for project in (deployed, other):
        project.edit("stacks/census.py", 'name="stdlib"', 'name="stdlib2"')
    offline = other.document("preview", "--offline", "--base", "snapshot.dev.json")
    full = deployed.document("preview")
    assert {c["address"]: c["action"] for c in offline["changes"]} == {
        c["address"]: c["action"] for c in full["changes"]
    }
    assert offline["basis"] == full["basis"]
    assert not (other.folder / ".flowinfra" / "state").exists()
    assert not (other.folder / ".flowinfra" / "passphrase").exists()


def test_an_offline_preview_against_the_state_opens_no_secret(deployed: Example) -> None:
    """Neither a wrong passphrase nor a missing one hinders it."""
    (deployed.folder / ".flowinfra" / "passphrase").unlink()
    assert deployed.flowinfra("preview", check=False).returncode == 3
    offline = deployed.document("preview", "--offline")
    assert {c["action"] for c in offline["changes"]} == {"same"}


def test_a_snapshot_of_another_stack_is_refused(deployed: Example) -> None:
    """By name, with the stack that it is of."""
    deployed.flowinfra("snapshot", "--yes")
    done = deployed.flowinfra("preview", "--stack", "prod", "--offline", "--base", "snapshot.dev.json", check=False)
    assert done.returncode == 4
    assert "FI667" in done.stderr
    assert "--stack dev" in done.stderr


def test_what_a_snapshot_is_asked_for_is_checked(deployed: Example) -> None:
    """A path without a type, a key that is too short, a stack that is not there, a folder that is none."""
    assert deployed.flowinfra("snapshot", "--allow", "tags", check=False).returncode == 2
    (deployed.folder / "key").write_text("short")
    assert "FI699" in deployed.flowinfra("snapshot", "--key-file", "key", check=False).stderr
    assert deployed.flowinfra("snapshot", "--stack", "nope", check=False).returncode == 6
    assert "FI698" in deployed.flowinfra("snapshot", "--yes", "-o", "missing/x.json", check=False).stderr


def test_a_saved_plan_is_applied_or_refused(deployed: Example) -> None:
    """Saved, applied while nothing moved, and refused by file and by key afterwards."""
    deployed.edit("stacks/census.py", 'name="stdlib"', 'name="stdlib2"')
    saved = deployed.document("preview", "--save-plan", "plan.json")
    assert set(saved["basis"]["code"]) >= {"stacks/__main__.py", "stacks/census.py", "stacks/metrics.py"}
    deployed.edit("stacks/metrics.py", "import ast", "# a remark\nimport ast")
    deployed.edit("stacks/__main__.py", "fic.export(", "x = 1\nfic.export(")
    before = deployed.files()
    refused = deployed.flowinfra("up", "--plan", "plan.json", "--yes", check=False)
    assert refused.returncode == 4
    assert "FI694" in refused.stderr
    assert "stacks/__main__.py" in refused.stderr
    assert "FI692" not in refused.stderr
    after = deployed.files()
    assert {k: v for k, v in after.items() if "/cache/" not in k} == {
        k: v for k, v in before.items() if "/cache/" not in k
    }
    deployed.edit("stacks/__main__.py", "x = 1\nfic.export(", "fic.export(")
    deployed.flowinfra("preview", "--save-plan", "plan.json")
    assert "Done" in deployed.flowinfra("up", "--plan", "plan.json", "--yes").stdout
    again = deployed.flowinfra("up", "--plan", "plan.json", "--yes", check=False)
    assert "FI692" in again.stderr


def test_a_saved_plan_is_not_only_looked_at(deployed: Example, tmp_path: Path) -> None:
    """`up --plan --expect-no-changes` is refused: it would not do what the first asks for."""
    plan = tmp_path / "plan.json"
    plan.write_text("{}", encoding="utf-8")
    done = deployed.flowinfra("up", "--plan", str(plan), "--expect-no-changes", check=False)
    assert (done.returncode, "give one of them" in done.stderr) == (2, True)
