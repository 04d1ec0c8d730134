"""What a run of the Pulumi CLI talks to in this process, without the CLI."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, resource_pb2, resource_pb2_grpc

from flowinfra.engine.base import Options, StackRef
from flowinfra.engine.pulumi.host import Program, listening


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """An engine that takes the stack and knows no feature."""

    def GetDeploymentInfo(self, request: Any, context: Any) -> resource_pb2.DeploymentInfo:  # noqa: N802 - the protocol's name
        return resource_pb2.DeploymentInfo()

    def SupportsFeature(self, request: Any, context: Any) -> resource_pb2.SupportsFeatureResponse:  # noqa: N802 - the protocol's name
        return resource_pb2.SupportsFeatureResponse(hasSupport=False)

    def RegisterResource(self, request: Any, context: Any) -> resource_pb2.RegisterResourceResponse:  # noqa: N802 - the protocol's name
        return resource_pb2.RegisterResourceResponse(urn=f"urn:pulumi:dev::proj::{request.type}::{request.name}")

    def RegisterResourceOutputs(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: N802 - the protocol's name
        return empty_pb2.Empty()


@pytest.fixture
def monitor() -> Iterator[str]:
    """Its address."""
    server = grpc.server(ThreadPoolExecutor(2))
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(Monitor(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(grace=None).wait()


def run(program: Program, monitor: str, reached: threading.Event) -> None:
    """Ask for the program as the CLI does, and die as soon as it runs."""
    request = language_pb2.RunRequest(project="proj", stack="dev", monitor_address=monitor, parallel=2)
    with listening(program, lambda _: None, grace=0.5) as host, grpc.insecure_channel(host.client) as channel:
        call: Any = language_pb2_grpc.LanguageRuntimeStub(channel).Run.future(request)
        assert reached.wait(20), program.problem
        call.cancel()


def test_a_program_that_hangs_is_left_behind_when_the_cli_is_gone(tmp_path: Path, monitor: str) -> None:
    """Its thread does not keep the process; nothing else is left."""
    reached, release = threading.Event(), threading.Event()

    def hangs() -> None:
        reached.set()
        release.wait()

    program = Program(StackRef("proj", "dev", tmp_path, hangs, tmp_path.as_uri()), Options(), must_register=False)
    before = set(threading.enumerate())
    run(program, monitor, reached)
    assert not program.ended.is_set()
    left = [t for t in threading.enumerate() if t not in before and t.name.startswith("flowinfra-")]
    assert [t.name for t in left if not t.daemon and t.name.startswith("flowinfra-pulumi")] == []
    assert [t.daemon for t in left if t.name == "flowinfra-program"] == [True]
    release.set()
    assert program.ended.wait(60)


def test_what_a_program_raises_when_the_cli_is_gone_is_kept(tmp_path: Path, monitor: str) -> None:
    """Whoever waits for the CLI hears of it, although the CLI did not."""
    reached = threading.Event()

    def fails() -> None:
        reached.set()
        raise LookupError("too late")

    program = Program(StackRef("proj", "dev", tmp_path, fails, tmp_path.as_uri()), Options(), must_register=False)
    run(program, monitor, reached)
    assert program.ended.is_set()
    assert "too late" in str(program.problem)


def test_without_a_cli_that_connects_nothing_is_waited_for(tmp_path: Path) -> None:
    """It has died before: there is no program to end."""
    program = Program(StackRef("proj", "dev", tmp_path, lambda: None, ""), Options(), must_register=False)
    with listening(program, lambda _: None, grace=60):
        pass
    assert not program.begun


def test_an_exception_that_is_its_own_cause_is_looked_through_once(tmp_path: Path) -> None:
    """The SDK makes such circles; whoever follows one must come to an end."""
    first, second = RuntimeError("one"), RuntimeError("two")
    first.__cause__, second.__cause__ = second, first
    program = Program(StackRef("proj", "dev", tmp_path, lambda: None, "file:///nowhere"), Options(), False)
    program.problem = first
    assert not program.refused
    first.__cause__ = grpc.RpcError()
    assert program.refused
