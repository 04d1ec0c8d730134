"""Fixtures for the tests that run real engines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines.pulumi_cli import PulumiCli

ENGINES_SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "engines.py"


@pytest.fixture(scope="session")
def pulumi_cli_folder() -> Path:
    """The folder of the built Pulumi CLI; without it the test is skipped, or fails if required."""
    found = subprocess.run(
        [sys.executable, str(ENGINES_SCRIPT), "path", "pulumi"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode != 0:
        message = "needs the built Pulumi CLI: run `make engines`"
        if os.environ.get("REQUIRE_ENGINES") == "1":
            pytest.fail(f"{message}\n{found.stderr}", pytrace=False)
        pytest.skip(message)
    return Path(found.stdout.strip())


@pytest.fixture
def pulumi_cli(pulumi_cli_folder: Path, tmp_path: Path) -> PulumiCli:
    """An isolated user of the Pulumi CLI, whose files are gone with the test."""
    return PulumiCli.create(pulumi_cli_folder, tmp_path / "pulumi")
