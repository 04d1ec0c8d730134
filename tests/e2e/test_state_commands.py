"""`flowinfra state`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

from support.project import Project


def test_a_state_is_exported_imported_damaged_and_repaired(tmp_path: Path) -> None:
    """Each command says what it did; without --yes nothing is replaced; --json is one document."""
    project = Project(tmp_path)
    project.write("Pulumi.yaml", "name: proj\nruntime: python\n")
    project.write("__main__.py", 'import pulumi\npulumi.export("x", 1)\n')
    project.flowinfra("stack", "init", "dev")
    project.flowinfra("up", "--yes")
    project.flowinfra("state", "export", "--file", "state.json")
    project.flowinfra("state", "export", "--show-secrets", "--file", "open.json")
    assert (project.folder / "open.json").stat().st_mode & 0o777 == 0o600
    printed = json.loads(project.flowinfra("state", "export").stdout)
    assert printed == json.loads((project.folder / "state.json").read_text(encoding="utf-8")) | {
        "deployment": printed["deployment"]
    }
    assert len(printed["deployment"]["resources"]) == 1
    assert project.flowinfra("state", "import", "--file", "state.json", check=False).returncode == 8
    done = json.loads(project.flowinfra("state", "import", "--file", "state.json", "--yes", "--json").stdout)
    assert done == {"imported": 1, "replaced": 1, "warnings": []}
    assert "nothing is wrong" in project.flowinfra("state", "repair").stdout
    checkpoint = next(project.folder.rglob("stacks/proj/dev.json"))
    checkpoint.write_text("{", encoding="utf-8")
    damaged = project.flowinfra("preview", check=False)
    assert damaged.returncode == 4
    assert "flowinfra state repair" in damaged.stderr
    asked = project.flowinfra("state", "repair", check=False)
    assert asked.returncode == 8
    assert "takes its place" in asked.stdout
    repaired = json.loads(project.flowinfra("state", "repair", "--yes", "--json").stdout)
    assert [step["kind"] for step in repaired["found"]] == ["checkpoint"]
    assert repaired["left"] == []
    assert project.flowinfra("preview", "--expect-no-changes").returncode == 0
    refused = project.flowinfra("state", "export", "--file", "/nowhere/state.json", check=False)
    assert "FI698" in refused.stderr


def test_an_exported_state_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """What was there stays if it cannot be written; a state with open secrets is nobody else's to read."""
    project = Project(tmp_path)
    project.write("Pulumi.yaml", "name: proj\nruntime: python\n")
    project.write("__main__.py", 'import pulumi\npulumi.export("x", 1)\n')
    project.flowinfra("stack", "init", "dev")
    project.flowinfra("up", "--yes")
    project.flowinfra("state", "export", "--file", "state.json")
    project.flowinfra("state", "export", "--file", "state.json", "--show-secrets")
    assert (project.folder / "state.json").stat().st_mode & 0o077 == 0
    assert json.loads(project.flowinfra("state", "export", "--file", "/dev/stdout").stdout)["version"] == 3
    (project.folder / "folder").mkdir()
    refused = project.flowinfra("state", "export", "--file", "folder", check=False)
    assert (refused.returncode, "FI698" in refused.stderr) == (4, True)
    assert not list(project.folder.glob(".*.tmp"))
    (project.folder / "no-state.json").write_text("{", encoding="utf-8")
    strange = project.flowinfra("state", "import", "--file", "no-state.json", check=False)
    assert (strange.returncode, "holds no state" in strange.stderr) == (4, True)  # nobody was asked before
