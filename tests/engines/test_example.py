"""The example under the real Pulumi CLI and under flowinfra, on the same state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.example import ROOT, Example
from tests.engines.pulumi_cli import PulumiCli

pytestmark = pytest.mark.engines


@pytest.fixture
def cli(pulumi_cli: PulumiCli, tmp_path: Path) -> PulumiCli:
    """The real CLI, which finds the package and the plugin ``pulumi-resource-flowinfra``."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    plugin = plugins / "pulumi-resource-flowinfra"
    plugin.write_text('#!/bin/sh\nexec python -c "from flowinfra_providers.plugin import main; main()" "$@"\n')
    plugin.chmod(0o755)
    paths = f"{ROOT}:{ROOT / 'providers'}"
    return replace(pulumi_cli, path=(plugins,), variables={"PYTHONPATH": paths})


@pytest.fixture
def example(cli: PulumiCli, tmp_path: Path) -> Example:
    """The example, whose flowinfra commands use the state and the passphrase of the real CLI."""
    return Example.copy(
        tmp_path / "project",
        {"PULUMI_BACKEND_URL": cli.backend.as_uri(), "PULUMI_CONFIG_PASSPHRASE": cli.passphrase},
    )


def real(plan: dict[str, Any]) -> dict[str, str]:
    """Operation by resource of `pulumi preview --json`, which leaves some of those out that stay the same."""
    steps = ((s["urn"].split("::", 2)[2], s["op"]) for s in plan["steps"] if "pulumi:providers" not in s["urn"])
    return {name: op for name, op in steps if op != "same"}


def ours(plan: dict[str, Any]) -> dict[str, str]:
    """The same of `flowinfra preview --json`."""
    changes = (c for c in plan["changes"] if "pulumi:providers" not in c["address"])
    return {c["address"].split("::", 2)[2]: c["action"] for c in changes if c["action"] != "same"}


def test_deployed_by_pulumi_is_unchanged_for_flowinfra(cli: PulumiCli, example: Example) -> None:
    """Plain `pulumi preview` and `pulumi up` of the example; then `flowinfra preview` on that state shows no change."""
    cli.run("stack", "init", "dev", cwd=example.folder)
    planned = cli.preview_json(cwd=example.folder, stack="dev")
    assert real(planned) == ours(example.document("preview"))
    cli.run("up", "--yes", cwd=example.folder, stack="dev")
    assert example.flowinfra("preview", "--expect-no-changes").returncode == 0
    token = cli.outputs(cwd=example.folder, stack="dev", show_secrets=True)["Census/stdlib"]["production_token"]
    assert example.document("outputs", "Census/stdlib", "--show-secrets")["production_token"] == token
    before = example.files()
    assert "No changes" in example.flowinfra("up", "--yes").stdout
    assert example.files() == before


def test_both_see_the_same_change_and_take_turns(cli: PulumiCli, example: Example) -> None:
    """Deployed by flowinfra, changed by both in turns: each sees what the other did as done."""
    example.flowinfra("up", "--yes")
    assert real(cli.preview_json(cwd=example.folder, stack="dev")) == {}
    example.edit("stacks/census.py", "times=2", "times=5")
    planned = real(cli.preview_json(cwd=example.folder, stack="dev"))
    assert planned == ours(example.document("preview"))
    assert list(planned.values()).count("update") == 4
    cli.run("up", "--yes", cwd=example.folder, stack="dev")
    assert example.flowinfra("preview", "--expect-no-changes").returncode == 0
    example.edit("stacks/census.py", "times=5", "times=3")
    example.flowinfra("up", "--yes")
    assert real(cli.preview_json(cwd=example.folder, stack="dev")) == {}
    cli.run("destroy", "--yes", cwd=example.folder, stack="dev")
    assert "nothing to delete" in example.flowinfra("destroy", "--yes").stdout
