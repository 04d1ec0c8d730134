"""``@exit_hook``: functions that are called when a run has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Literal

from flowinfra.authoring.settings import Flow, caller, flow_patches, patch_flow, placed
from flowinfra.diagnostics import AuthoringError, Diagnostic, Source, error, raise_errors

__all__ = ["Hook", "exit_hook", "hooks_of"]


@dataclass(frozen=True, slots=True)
class Hook:
    """A function, and the endings after which it is called."""

    on: Literal["success", "error"]
    function: FunctionType
    image: str
    source: Source


def exit_hook(
    on_success: Iterable[Callable[..., Any]] | Callable[..., Any] = (),
    on_error: Iterable[Callable[..., Any]] | Callable[..., Any] = (),
    options: Mapping[str, Any] | None = None,
) -> Callable[[Flow], Flow]:
    """Call functions when a run of the flow has ended; those of several decorators are called in the order written.

    They are called once, one after the other, in a process of their own, behind the run's end: what they do or raise
    changes nothing of it. One that takes an argument is given the run (:class:`flowinfra.Run`).

    Args:
        on_success: functions of a module, for runs that have succeeded.
        on_error: the same, for runs that have failed, took too long or were stopped.
        options: ``image``: the container image that they run in, where the target uses containers.

    Raises:
        AuthoringError: FI172, it is no function that a process can import, there is none, or an option is not known.
    """
    source = caller()
    given = {"success": _listed(on_success), "error": _listed(on_error)}
    found = [d for on, functions in given.items() for f in functions for d in _problems(on, f, source)]
    if not any(given.values()):
        found.append(_wrong("there is no function", source))
    if options is not None and (not isinstance(options, Mapping) or set(options) - {"image"}):
        found.append(_wrong(f"options={options!r}: the only option is image", source))
    raise_errors(found, AuthoringError)
    image = str((options or {}).get("image", ""))

    def decorate(flow: Flow) -> Flow:
        if not isinstance(flow, type):
            raise AuthoringError(_wrong("it is not on a flow's class", source))
        hooks = [Hook(on, f, image, source) for on, functions in given.items() for f in functions]  # type: ignore[arg-type]
        return patch_flow(flow, "exit_hook", hooks, "@exit_hook", source)

    return decorate


def hooks_of(flow: type) -> list[Hook]:
    """The hooks of *flow*; decorators apply from the bottom up, and are read from the top down."""
    return [hook for patch in reversed(flow_patches(flow, "exit_hook")) for hook in patch.value]


def _listed(functions: Any) -> list[Any]:
    if functions is None:
        return []
    return list(functions) if isinstance(functions, Iterable) else [functions]


def _problems(on: str, function: Any, source: Source) -> Iterator[Diagnostic]:
    where = "on_success" if on == "success" else "on_error"
    if not isinstance(function, FunctionType):
        yield _wrong(f"{function!r} in {where} is no function", source)
    elif "<" in function.__qualname__:
        yield _wrong(f"the function {function.__qualname__} in {where} is not at the top of a module", source)
    elif _required(function) > 1:
        yield _wrong(f"the function {function.__qualname__} in {where} takes more than the run", source)


def _required(function: FunctionType) -> int:
    code = function.__code__
    positional = code.co_argcount - len(function.__defaults__ or ())
    return positional + code.co_kwonlyargcount - len(function.__kwdefaults__ or {})


def _wrong(what: str, source: Source) -> Diagnostic:
    return error(
        "FI172",
        f"@exit_hook: {what}",
        detail="a process of its own imports and calls it when the run has ended",
        hint="write `def notify(run): ...` at the top of the module, and @exit_hook(on_error=[notify])",
        source=placed(source),
    )
