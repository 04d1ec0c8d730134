"""Functions of the program that the engine calls back: transforms and hooks.

The SDK serves them itself, over a small gRPC server that lives as long as the program; what is registered is only an
address and a token.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from pulumi.runtime.proto import callback_pb2, callback_pb2_grpc, resource_pb2

from flowinfra.diagnostics import EngineError, error
from flowinfra.engine.marshal import to_struct
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.urns import urn_name
from flowinfra.engine.values import Properties

__all__ = ["Hooks", "apply_transforms"]

M = TypeVar("M", bound=Message)


class CallbackAddress(Protocol):
    """Where a function of the program is served (``pulumirpc.Callback``)."""

    @property
    def target(self) -> str:
        """Host and port."""
        ...

    @property
    def token(self) -> str:
        """Which function."""
        ...


def _invoke(callback: CallbackAddress, request: Message, response: M) -> M:
    with grpc.insecure_channel(callback.target) as channel:
        stub = callback_pb2_grpc.CallbacksStub(channel)
        answer = stub.Invoke(
            callback_pb2.CallbackInvokeRequest(token=callback.token, request=request.SerializeToString())
        )
    response.ParseFromString(answer.response)
    return response


def apply_transforms(
    request: resource_pb2.RegisterResourceRequest, transforms: Sequence[CallbackAddress]
) -> resource_pb2.RegisterResourceRequest:
    """The registration *request* after *transforms*, in their order.

    Raises:
        EngineError: FI608, one of them raised.
    """
    for callback in transforms:
        options = resource_pb2.TransformResourceOptions(
            depends_on=request.dependencies,
            protect=request.protect,
            ignore_changes=request.ignoreChanges,
            provider=request.provider,
            version=request.version,
            retain_on_delete=request.retainOnDelete,
            additional_secret_outputs=request.additionalSecretOutputs,
            replace_on_changes=request.replaceOnChanges,
        )
        try:
            result = _invoke(
                callback,
                resource_pb2.TransformRequest(
                    type=request.type,
                    name=request.name,
                    custom=request.custom,
                    parent=request.parent,
                    properties=request.object,
                    options=options,
                ),
                resource_pb2.TransformResponse(),
            )
        except grpc.RpcError as problem:
            raise _failed(f"a transform of '{request.name}'", str(_details(problem))) from problem
        request.object.CopyFrom(result.properties)
        if result.HasField("options"):
            request.protect = result.options.protect
            request.retainOnDelete = result.options.retain_on_delete
            request.ignoreChanges[:] = result.options.ignore_changes
            request.additionalSecretOutputs[:] = result.options.additional_secret_outputs
            request.replaceOnChanges[:] = result.options.replace_on_changes
    return request


def _details(problem: grpc.RpcError) -> str:
    details: Callable[[], str] | None = getattr(problem, "details", None)
    return details() if details else str(problem)


def _failed(what: str, why: str) -> EngineError:
    first, _, rest = why.partition("\n")
    return EngineError(
        error("FI608", f"{what} failed: {first}", detail=rest.strip(), hint="correct the function in the stack program")
    )


class Hooks:
    """The hooks of one operation, by name; safe for several threads."""

    def __init__(self, *, dry_run: bool) -> None:
        self._dry_run = dry_run
        self._lock = threading.Lock()
        self._known: dict[str, resource_pb2.RegisterResourceHookRequest] = {}

    def register(self, request: resource_pb2.RegisterResourceHookRequest) -> None:
        """Take a hook of the program."""
        with self._lock:
            self._known[request.name] = request

    def run(
        self,
        kind: str,
        state: ResourceState,
        old: ResourceState | None = None,
        outputs: Properties | None = None,
    ) -> None:
        """Run the hooks of *kind* (``BeforeCreate``, ...) of a resource; a preview runs those that ask for it.

        Raises:
            EngineError: FI608, a hook failed; FI609, the program has not registered it.
        """
        for name in state.resource_hooks.get(kind, ()):
            hook = self._known.get(name)
            if hook is None:
                raise EngineError(
                    error(
                        "FI609",
                        f"the hook '{name}' of '{urn_name(state.urn)}' is not registered",
                        detail=f"{state.urn} was deployed with it ({kind}), and the program does not register it now",
                        hint="register the hook again in the stack program; to destroy the stack, use "
                        "`pulumi destroy --run-program`",
                    )
                )
            if self._dry_run and not hook.on_dry_run:
                continue
            request = resource_pb2.ResourceHookRequest(
                urn=state.urn,
                id=state.id,
                name=urn_name(state.urn),
                type=state.type,
            )
            if not kind.endswith("Delete"):
                request.new_inputs.CopyFrom(to_struct(state.inputs))
            if old is not None:
                request.old_inputs.CopyFrom(to_struct(old.inputs))
                request.old_outputs.CopyFrom(to_struct(old.outputs))
            if outputs is not None:
                request.new_outputs.CopyFrom(to_struct(outputs))
            try:
                problem = _invoke(hook.callback, request, resource_pb2.ResourceHookResponse()).error
            except grpc.RpcError as failure:
                problem = _details(failure)
            if problem and not hook.ignore_errors:
                raise _failed(f"the hook '{name}' of '{urn_name(state.urn)}'", problem)
