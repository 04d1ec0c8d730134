"""Both engines on one bucket."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from flowinfra.diagnostics import EngineError
from flowinfra.engine.base import StackRef
from flowinfra.engine.state.backend import Backend
from oracle import Both, planned

pytestmark = pytest.mark.engines


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a server in this process."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/states", method="PUT")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()
    yield f"s3://states/team?region=us-east-1&endpoint=127.0.0.1:{port}&disableSSL=true&s3ForcePathStyle=true"
    server.stop()


def test_both_engines_share_a_bucket(pulumi_cli_folder: Path, tmp_path: Path, url: str) -> None:
    """What one deploys the other sees, changes and destroys; each respects the lock of the other one."""
    made = Both.create(pulumi_cli_folder, tmp_path)
    variables = {
        **made.cli.variables, "PULUMI_BACKEND_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    both = replace(made, cli=replace(made.cli, variables=variables))
    both.set(parts=["small"])
    ref = StackRef("proj", "dev", both.project, both.project, url)
    both.engine.up(ref)
    assert both.theirs() == []
    both.set(parts=["small"], size=2)
    both.real("up", "--yes", "--skip-preview")
    assert planned(both.engine.preview(ref)) == []
    with Backend.open(url).stack("proj", "dev").lock():
        assert "currently locked" in both.real("up", "--yes", "--skip-preview", check=False)
        with pytest.raises(EngineError, match="FI620"):
            both.engine.destroy(ref)
    both.engine.destroy(ref)
    assert list(both.cloud.iterdir()) == []
    assert both.theirs() != []
