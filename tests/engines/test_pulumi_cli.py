"""The built CLI and its language host run a Python program from an empty stack to none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines.pulumi_cli import PulumiCli

pytestmark = pytest.mark.engines

# The `virtualenv` option is left out: this language host knows only PATH.
PROJECT = """\
name: smoke
runtime: python
"""

PROGRAM = """\
import pulumi

config = pulumi.Config()
pulumi.export("greeting", f"hello {config.require('name')}")
pulumi.export("answer", 42)
pulumi.export("password", pulumi.Output.secret("hunter2"))
"""


def test_a_program_is_previewed_deployed_read_and_destroyed(pulumi_cli: PulumiCli, tmp_path: Path) -> None:
    """One stack lives through init, preview, up, output and destroy, its secret output masked."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "Pulumi.yaml").write_text(PROJECT)
    (project / "__main__.py").write_text(PROGRAM)

    pulumi_cli.run("stack", "init", "dev", cwd=project)
    pulumi_cli.run("config", "set", "name", "world", cwd=project, stack="dev")
    checkpoint = pulumi_cli.backend / ".pulumi" / "stacks" / "smoke" / "dev.json"

    plan = pulumi_cli.preview_json(cwd=project, stack="dev")
    assert [(step["op"], step["urn"]) for step in plan["steps"]] == [
        ("create", "urn:pulumi:dev::smoke::pulumi:pulumi:Stack::smoke-dev")
    ]
    assert plan["changeSummary"] == {"create": 1}

    pulumi_cli.run("up", "--yes", cwd=project, stack="dev")
    assert checkpoint.is_file()
    masked = {"greeting": "hello world", "answer": 42, "password": "[secret]"}
    assert pulumi_cli.outputs(cwd=project, stack="dev") == masked
    revealed = pulumi_cli.outputs(cwd=project, stack="dev", show_secrets=True)
    assert revealed == {**masked, "password": "hunter2"}
    assert pulumi_cli.preview_json(cwd=project, stack="dev")["changeSummary"] == {"same": 1}

    pulumi_cli.run("destroy", "--yes", cwd=project, stack="dev")
    assert pulumi_cli.outputs(cwd=project, stack="dev") == {}
    pulumi_cli.run("stack", "rm", "--yes", cwd=project, stack="dev")
    assert not checkpoint.exists()


def test_a_failing_command_can_be_looked_at(pulumi_cli: PulumiCli, tmp_path: Path) -> None:
    """With ``check`` off, the exit code and the message come back instead of an exception."""
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)

    result = pulumi_cli.run("preview", cwd=tmp_path, stack="absent", check=False)

    assert result.returncode != 0
    assert "no stack named 'absent' found" in result.stderr
