"""Operators' changes and stack modes under the unchanged Pulumi CLI, with the provider as its plugin."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.example import ROOT, Example
from support.repository import Repository
from tests.engines.pulumi_cli import PulumiCli

pytestmark = pytest.mark.engines


@pytest.fixture
def cli(pulumi_cli: PulumiCli, tmp_path: Path) -> PulumiCli:
    """The real CLI, which finds the package and its plugin; Ada works with it."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    plugin = plugins / "pulumi-resource-flowinfra"
    plugin.write_text('#!/bin/sh\nexec python -c "from flowinfra_providers.plugin import main; main()" "$@"\n')
    plugin.chmod(0o755)
    variables = {"PYTHONPATH": f"{ROOT}:{ROOT / 'providers'}", "FLOWINFRA_USER": "ada"}
    return replace(pulumi_cli, path=(plugins,), variables=variables)


@pytest.fixture
def example(cli: PulumiCli, tmp_path: Path) -> Example:
    """The example, whose flowinfra commands use the state and the passphrase of the real CLI."""
    example = Example.copy(
        tmp_path / "project",
        {
            "PULUMI_BACKEND_URL": cli.backend.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": cli.passphrase,
            "FLOWINFRA_USER": "ada",
        },
    )
    cli.run("stack", "init", "dev", cwd=example.folder)
    return example


def paused(example: Example) -> bool:
    """Whether the one deployment is paused now."""
    found: bool = example.document("show", "Census/stdlib")["paused"]
    return found


def changes(plan: dict[str, Any]) -> dict[str, str]:
    """Operation by name of `pulumi preview --json`, those that stay the same left out."""
    return {s["urn"].rsplit("::", 1)[-1]: s["op"] for s in plan["steps"] if s["op"] != "same"}


def test_an_operators_pause_holds_under_the_real_engine(cli: PulumiCli, example: Example) -> None:
    """Up, refresh and an update of something else leave it paused, on both engines in turn; then the code's change wins."""
    cli.run("up", "--yes", cwd=example.folder, stack="dev")
    example.flowinfra("pause", "Census/stdlib", "--reason", "full disk")
    assert changes(cli.preview_json(cwd=example.folder, stack="dev")) == {}
    cli.run("up", "--yes", cwd=example.folder, stack="dev")
    assert paused(example)
    cli.run("refresh", "--yes", cwd=example.folder, stack="dev")
    assert example.document("drift").get("drift", []) == []
    assert changes(cli.preview_json(cwd=example.folder, stack="dev")) == {}
    assert example.flowinfra("preview", "--expect-no-changes").returncode == 0
    cli.run("config", "set", "flowinfra:max_workers", "3", cwd=example.folder, stack="dev")
    cli.run("up", "--yes", cwd=example.folder, stack="dev")
    assert paused(example)
    assert example.document("drift").get("drift", []) == []
    example.flowinfra("resume", "Census/stdlib")
    cli.run("config", "set", "flowinfra:paused", "true", cwd=example.folder, stack="dev")
    cli.run("up", "--yes", cwd=example.folder, stack="dev")
    assert paused(example)
    assert example.document("show", "Census/stdlib")["operated"] is None


def test_production_guards_the_real_engine(cli: PulumiCli, example: Example) -> None:
    """`pulumi preview` warns of a dirty checkout, `pulumi up` is refused, and FLOWINFRA_FORCE=1 goes on; tokens are protected."""
    (example.folder / ".gitignore").write_text("Pulumi.dev.yaml\n")
    repository = Repository.create(example.folder)
    cli.run("config", "set", "flowinfra:mode", "production", cwd=example.folder, stack="dev")
    repository.write("stacks/new.py")
    said = cli.run("preview", cwd=example.folder, stack="dev")
    assert "`up` would refuse: error FI670" in said.stdout
    assert "the stack's mode is production" in said.stdout
    refused = cli.run("up", "--yes", "--skip-preview", cwd=example.folder, stack="dev", check=False)
    assert refused.returncode != 0
    assert "FI670" in refused.stdout + refused.stderr
    assert "stacks/new.py" in refused.stdout + refused.stderr
    assert not (example.folder / ".flowinfra" / "local.db").exists()
    forced = replace(cli, variables={**cli.variables, "FLOWINFRA_FORCE": "1"})
    assert "forced: error FI670" in forced.run("up", "--yes", cwd=example.folder, stack="dev").stdout
    repository.commit()
    cli.run("up", "--yes", cwd=example.folder, stack="dev")
    assert "protected" in cli.run("destroy", "--yes", cwd=example.folder, stack="dev", check=False).stdout


def test_a_development_stack_of_the_real_engine_is_the_developers(cli: PulumiCli, example: Example) -> None:
    """Names, tags and pause by mode are the same under both engines: one's state is unchanged for the other."""
    cli.run("config", "set", "flowinfra:mode", "development", cwd=example.folder, stack="dev")
    cli.run("up", "--yes", cwd=example.folder, stack="dev")
    shown = example.document("show", "Census/ada-stdlib")
    assert (shown["paused"], shown["tags"]) == (True, ["example", "user:ada", "mode:development"])
    assert example.flowinfra("preview", "--expect-no-changes").returncode == 0


def test_drift_on_the_real_engine(cli: PulumiCli, example: Example, tmp_path: Path) -> None:
    """Shown per property with its owner as on the embedded engine; put back as a whole resource, unless the program has changed."""
    folders = os.pathsep.join([str(cli.engines), str(tmp_path / "plugins"), os.environ["PATH"]])
    example = Example(
        example.folder,
        {**example.variables, "PATH": folders, "HOME": str(cli.home), "PULUMI_HOME": cli.environment["PULUMI_HOME"]},
    )
    example.flowinfra("config", "set", "flowinfra:engine", "pulumi")
    example.flowinfra("up", "--yes")
    example.flowinfra("pause", "Census/stdlib")
    with sqlite3.connect(example.folder / ".flowinfra" / "local.db") as database:
        database.execute("UPDATE deployments SET tags = '[\"hand\"]', max_workers = 9")
    (change,) = example.document("drift")["drift"]
    assert {(d["path"], d.get("owner", "code")) for d in change["drifted"]} == {
        ("paused", "operator"),
        ("tags[0]", "code"),
        ("maxWorkers", "code"),
    }
    refused = example.flowinfra("drift", "--revert", "Census/stdlib:tags", "--yes", check=False)
    assert "FI683" in refused.stderr
    example.flowinfra("config", "set", "flowinfra:max_workers", "3")
    changed = example.flowinfra("drift", "--revert", "Census/stdlib", "--yes", check=False)
    assert "FI685" in changed.stderr
    assert example.document("show", "Census/stdlib")["tags"] == ["hand"]
    example.flowinfra("config", "rm", "flowinfra:max_workers")
    example.flowinfra("drift", "--revert", "Census/stdlib", "--yes")
    shown = example.document("show", "Census/stdlib")
    assert (shown["tags"], shown["max_workers"], shown["paused"]) == (["example"], None, False)
    assert example.document("drift").get("drift", []) == []
