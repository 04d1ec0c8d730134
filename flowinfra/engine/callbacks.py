"""Functions of the program that the engine calls back: transforms and hooks.

The SDK serves them itself, over a small gRPC server that lives as long as the program; what is registered is only an
address and a token.
"""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from pulumi.runtime.proto import callback_pb2, callback_pb2_grpc, resource_pb2

from flowinfra.diagnostics import Diagnostic, EngineError, Severity, error
from flowinfra.engine.marshal import to_struct
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.urns import urn_name
from flowinfra.engine.values import Properties

__all__ = ["CallbackAddress", "Hooks", "details", "failed", "invoke"]

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


def invoke(callback: CallbackAddress, request: Message, response: M) -> M:
    """Call a function of the program; *response* filled with its answer.

    Raises:
        grpc.RpcError: it raised.
    """
    with grpc.insecure_channel(callback.target) as channel:
        stub = callback_pb2_grpc.CallbacksStub(channel)
        answer = stub.Invoke(
            callback_pb2.CallbackInvokeRequest(token=callback.token, request=request.SerializeToString())
        )
    response.ParseFromString(answer.response)
    return response


def details(problem: grpc.RpcError) -> str:
    """What the function of the program said."""
    said: Callable[[], str] | None = getattr(problem, "details", None)
    return str(said()) if said else str(problem)


def failed(what: str, why: str) -> EngineError:
    """The error for *what* of the program, which raised *why*."""
    first, _, rest = why.partition("\n")
    return EngineError(
        error("FI608", f"{what} failed: {first}", detail=rest.strip(), hint="correct the function in the stack program")
    )


class Hooks:
    """The hooks of one operation, by name; safe for several threads."""

    def __init__(self, *, dry_run: bool) -> None:
        self._dry_run = dry_run
        self.warn: Callable[[Diagnostic, str], None] = lambda *_: None
        """Told what went wrong in a hook that may fail, and with which resource."""
        self._lock = threading.Lock()
        self._known: dict[str, resource_pb2.RegisterResourceHookRequest] = {}

    def register(self, request: resource_pb2.RegisterResourceHookRequest) -> None:
        """Take a hook of the program.

        Raises:
            EngineError: FI659, it has no name, or one that another hook has.
        """
        with self._lock:
            if not request.name or request.name in self._known:
                raise EngineError(
                    error(
                        "FI659",
                        f"two hooks are called '{request.name}'" if request.name else "a hook has no name",
                        detail="resources refer to hooks by name",
                        hint="give each hook a name of its own",
                    )
                )
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
                request.new_options.CopyFrom(_options(state))
            if old is not None:
                if not kind.endswith("Create"):
                    request.old_options.CopyFrom(_options(old))
                request.old_inputs.CopyFrom(to_struct(old.inputs))
                request.old_outputs.CopyFrom(to_struct(old.outputs))
            if outputs is not None:
                request.new_outputs.CopyFrom(to_struct(outputs))
            try:
                problem = invoke(hook.callback, request, resource_pb2.ResourceHookResponse()).error
            except grpc.RpcError as failure:
                problem = details(failure)
            if not problem:
                continue
            raised = failed(f"the hook '{name}' of '{urn_name(state.urn)}'", problem)
            if not hook.ignore_errors:
                raise raised
            for found in raised.diagnostics:
                self.warn(dataclasses.replace(found, severity=Severity.WARNING), state.urn)


def _options(state: ResourceState) -> resource_pb2.ResourceOptions:
    """The options of a resource as hooks see them."""
    options = resource_pb2.ResourceOptions(
        depends_on=state.dependencies,
        ignore_changes=state.ignore_changes,
        replace_on_changes=state.replace_on_changes,
        provider=state.provider,
        deleted_with=state.deleted_with,
        hide_diff=state.hide_diff,
        parent=state.parent,
        additional_secret_outputs=state.additional_secret_outputs,
        protect=state.protect,
        retain_on_delete=state.retain_on_delete,
    )
    for kind, seconds in state.custom_timeouts.items():
        setattr(options.custom_timeouts, kind, f"{seconds}s" if isinstance(seconds, (int, float)) else str(seconds))
    for key, names in state.resource_hooks.items():
        getattr(options.hooks, re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower()).extend(names)
    return options
