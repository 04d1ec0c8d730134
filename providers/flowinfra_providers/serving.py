"""Serving a provider as a plugin of the real Pulumi engine, partial failures included, for as long as that runs.

The SDK's own server has no way to say that a resource exists and is not as it should be; the protocol has
(``ErrorResourceInitFailed``), so it is said here. In process the engine understands the exception itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
from pulumi.provider.experimental import provider as sdk
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from flowinfra.model.partial import PartialFailure

__all__ = ["serve"]

#: As in the SDK (``_GRPC_CHANNEL_OPTIONS``): states can be large.
_MESSAGE_BYTES = 400 * 1024 * 1024
#: Seconds between two looks at whether the engine still runs, and those that calls get to end once it does not.
_LOOK_S, _GRACE_S = 1.0, 30.0


class _Servicer(ProviderServicer):
    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        return await _told(super().Create, request, context)

    async def Update(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        return await _told(super().Update, request, context)

    async def Read(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        return await _told(super().Read, request, context)


async def _told(method: Callable[[Any, Any], Awaitable[Any]], request: Any, context: Any) -> Any:
    try:
        return await method(request, context)
    except Exception as problem:
        partial: BaseException | None = problem
        while partial is not None and not isinstance(partial, PartialFailure):
            partial = partial.__cause__ or partial.__context__  # the SDK wraps what providers raise
        if partial is None:
            raise
        await context.abort_with_status(_status(partial, getattr(request, "id", "")))
        raise


def _status(partial: PartialFailure, known: str) -> grpc.Status:
    detail = provider_pb2.ErrorResourceInitFailed(
        id=partial.resource_id or known,
        properties=PropertyValue.marshal_map(partial.properties),
        reasons=partial.reasons,
    )
    message = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(partial))
    message.details.add().Pack(detail)
    status = grpc.Status()
    status.code = grpc.StatusCode.UNKNOWN
    status.details = str(partial)
    status.trailing_metadata = (("grpc-status-details-bin", message.SerializeToString()),)
    return status


def serve(arguments: Sequence[str], version: str, provider: sdk.Provider) -> None:
    """Serve *provider* until the engine ends the process, or is gone itself; the first line on stdout is the port.

    Args:
        arguments: those of the command line: the address of the engine, then what nobody needs here.
        version: the plugin's version.
        provider: what to serve.
    """
    engine = next((a for a in arguments if not a.startswith("-")), "")

    parent = os.getppid()

    async def run() -> None:
        size = [("grpc.max_receive_message_length", _MESSAGE_BYTES), ("grpc.max_send_message_length", _MESSAGE_BYTES)]
        server = grpc.aio.server(options=size)
        servicer = _Servicer(list(arguments), version, provider, engine_address=engine)
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        sys.stdout.buffer.write(f"{port}\n".encode())
        sys.stdout.buffer.flush()
        while os.getppid() == parent:  # an engine that was killed ends nobody
            if not await server.wait_for_termination(_LOOK_S):  # True says that the time is over
                return
        await server.stop(_GRACE_S)

    with contextlib.suppress(KeyboardInterrupt):  # how the engine ends its plugins
        asyncio.run(run())
