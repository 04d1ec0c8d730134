"""What a run of the Pulumi CLI talks to in this process: the stack program, and the listener to engine events.

The CLI is told two addresses on the loopback interface, in the way in which every Automation API does it: ``--client``,
where a *language runtime* answers that runs the program here, and ``--event-log``, where the engine's events go.

The program's calls pass through :class:`_Watched` on their way to the CLI. So it is known where in the source each
resource is registered, which no event says, and a program that registers nothing is stopped before the engine deletes
everything that it did not register.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pulumi.runtime
from google.protobuf import empty_pb2
from pulumi.runtime.proto import (
    LanguageRuntimeServicer,
    engine_pb2,
    events_pb2,
    events_pb2_grpc,
    language_pb2,
    language_pb2_grpc,
    plugin_pb2,
    resource_pb2,
)

from flowinfra.diagnostics import EngineError, error
from flowinfra.engine.base import Options, StackRef
from flowinfra.engine.places import place_of_registration
from flowinfra.engine.program import execute
from flowinfra.engine.pulumi.events import EngineEvent, Registered
from flowinfra.engine.pulumi.messages import plain_text
from flowinfra.engine.registration import options_of
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.urns import STACK_TYPE

__all__ = ["Host", "Program", "listening"]

_OPTIONS = [
    ("grpc.max_receive_message_length", 1024 * 1024 * 400),
    ("grpc.max_send_message_length", 1024 * 1024 * 400),
    # How long a call may wait while the program keeps the interpreter busy; the default of 30 s is too short.
    ("grpc.server_max_unrequested_time_in_server", 30 * 60),
]
#: More calls at once than this do not make a program faster.
_MOST_PARALLEL = 64
_GRACE = 5.0


@dataclass(eq=False)
class Program:
    """One run of a stack program, and what became of it."""

    stack: StackRef
    options: Options
    must_register: bool
    """It has registered something when it was run before with the same code: now it must, too."""
    count: int = 0
    """How many resources it has registered, without the stack itself."""
    registered: dict[str, Registered] = field(default_factory=dict)
    """What it has registered, by URN."""
    said: set[tuple[str, str]] = field(default_factory=set)
    """What it has logged, by URN and text."""
    problem: BaseException | None = None
    """What it raised."""
    begun: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def refused(self) -> bool:
        """Whether it only raised because a call of it to the engine failed."""
        problem, seen = self.problem, set[int]()
        while problem is not None and id(problem) not in seen:  # the SDK makes an exception its own cause
            if isinstance(problem, grpc.RpcError):
                return True
            seen.add(id(problem))
            problem = problem.__cause__ or problem.__context__
        return False


@dataclass(frozen=True, slots=True)
class Host:
    """Where the CLI finds what it talks to, as values of its options."""

    client: str
    events: str


@contextlib.contextmanager
def listening(program: Program, on_event: Callable[[EngineEvent], None], *, grace: float = _GRACE) -> Iterator[Host]:
    """Answer the CLI as long as the block lasts.

    Args:
        program: what to run when the engine asks for it.
        on_event: told every event of the engine, one at a time.
        grace: seconds that a program gets to end when the CLI is gone; then it is left behind.
    """
    pool = ThreadPoolExecutor(4, thread_name_prefix="flowinfra-pulumi")
    server = grpc.server(pool, options=_OPTIONS)
    listener = _Events(on_event)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(_Language(program), server)
    events_pb2_grpc.add_EventsServicer_to_server(listener, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield Host(f"127.0.0.1:{port}", f"tcp://127.0.0.1:{port}")
    finally:
        server.stop(grace=grace).wait()
        pool.shutdown(wait=False)
        if program.begun:
            program.ended.wait(grace)


class _Events(events_pb2_grpc.EventsServicer):
    def __init__(self, on_event: Callable[[EngineEvent], None]) -> None:
        self._on_event = on_event
        self._lock = threading.Lock()

    def StreamEvents(self, request_iterator: Iterator[events_pb2.EventRequest], context: Any) -> empty_pb2.Empty:
        """Take the events of one operation."""
        for request in request_iterator:
            with self._lock:
                self._on_event(json.loads(request.event))
        return empty_pb2.Empty()


class _Language(LanguageRuntimeServicer):
    def __init__(self, program: Program) -> None:
        self._program = program

    def About(self, request: Any, context: Any) -> language_pb2.AboutResponse:
        """Which interpreter runs the program."""
        version = ".".join(map(str, sys.version_info[:3]))
        return language_pb2.AboutResponse(executable=sys.executable, version=version)

    def GetRequiredPlugins(self, request: Any, context: Any) -> language_pb2.GetRequiredPluginsResponse:
        """None ahead: plugins are looked for when a resource needs one."""
        return language_pb2.GetRequiredPluginsResponse()

    def GetRequiredPackages(self, request: Any, context: Any) -> language_pb2.GetRequiredPackagesResponse:
        """The same, in newer words."""
        return language_pb2.GetRequiredPackagesResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> plugin_pb2.PluginInfo:
        """This runtime has no version of its own."""
        return plugin_pb2.PluginInfo()

    def Run(self, request: language_pb2.RunRequest, context: Any) -> language_pb2.RunResponse:
        """Run the program; what it raises is kept, and the CLI is only told that there was something."""
        program, over = self._program, threading.Event()

        def body() -> None:
            try:
                contextvars.Context().run(_run, program, request)
            except BaseException as problem:  # noqa: BLE001 - raised again by whoever waits for the CLI
                program.problem = problem
            finally:
                program.ended.set()
                over.set()

        program.begun = True
        # A program that hangs must not keep the process once the CLI is gone; the threads of the pool would.
        threading.Thread(target=body, name="flowinfra-program", daemon=True).start()
        if context.add_callback(over.set):
            over.wait()
        problem = program.problem
        if problem is None:
            return language_pb2.RunResponse()
        return language_pb2.RunResponse(error=f"{type(problem).__name__}: {problem}", bail=True)


def _run(program: Program, request: language_pb2.RunRequest) -> None:
    parallel = max(1, min(request.parallel, _MOST_PARALLEL))
    settings: Any = pulumi.runtime.Settings(
        project=request.project,
        stack=request.stack,
        organization=request.organization or "organization",
        monitor=request.monitor_address,
        engine=request.args[0] if request.args else None,
        parallel=parallel,
        dry_run=request.dryRun,
        root_directory=str(program.stack.project_dir),
    )
    settings.monitor = _Watched(settings.monitor, program)
    if settings.engine is not None:
        settings.engine = _Log(settings.engine, program)
    execute(
        program.stack.program,
        settings,
        config=request.config,
        secret_keys=request.configSecretKeys,
        context=program.options.context,
        parallel=parallel,
    )


class _Log:
    """The engine as the program's log."""

    def __init__(self, stub: Any, program: Program) -> None:
        self._stub = stub
        self._program = program

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stub, name)

    def Log(self, request: engine_pb2.LogRequest) -> empty_pb2.Empty:
        """Pass a line on, if there is still somebody who reads it.

        After a failure the engine is gone while the SDK still logs how its calls fail. It would stop in the middle of
        that, and wait forever for what nobody then completes.
        """
        if request.severity != engine_pb2.DEBUG:
            self._program.said.add((request.urn, plain_text(request.message)))
            with contextlib.suppress(grpc.RpcError):
                self._stub.Log(request)
        return empty_pb2.Empty()


class _Watched:
    """The engine's resource monitor; sees what the program registers."""

    def __init__(self, stub: Any, program: Program) -> None:
        self._stub = stub
        self._program = program
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stub, name)

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:
        """Pass it on."""
        self._count(request)
        response: resource_pb2.RegisterResourceResponse = self._stub.RegisterResource(request)
        self._keep(request, response.urn, options_of(request))
        return response

    def ReadResource(self, request: resource_pb2.ReadResourceRequest) -> resource_pb2.ReadResourceResponse:
        """Pass it on."""
        self._count(request)
        response: resource_pb2.ReadResourceResponse = self._stub.ReadResource(request)
        self._keep(request, response.urn, ResourceState(response.urn, request.type))
        return response

    def SignalAndWaitForShutdown(self, request: empty_pb2.Empty) -> empty_pb2.Empty:
        """The program is over: from here on the engine deletes what was not registered.

        Raises:
            EngineError: FI642, nothing was.
        """
        if self._program.must_register and not self._program.count:
            raise nothing_registered("")
        response: empty_pb2.Empty = self._stub.SignalAndWaitForShutdown(request)
        return response

    def _count(self, request: Any) -> None:
        if request.type != STACK_TYPE:
            with self._lock:
                self._program.count += 1

    def _keep(self, request: Any, urn: str, options: ResourceState) -> None:
        source = place_of_registration(request, self._program.stack.project_dir)
        with self._lock:
            self._program.registered[urn] = Registered(options, source)


def nothing_registered(detail: str) -> EngineError:
    """The refusal of a program that would have everything deleted."""
    return EngineError(
        error(
            "FI642",
            "the stack program registered no resource",
            detail=(detail or "everything that the stack has would be deleted")
            + ". A program that is an imported module does nothing the second time it is run in one process",
            hint="register the resources in a function or in the program file itself; to delete everything, "
            "run `flowinfra destroy`",
        )
    )
