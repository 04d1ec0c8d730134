"""Decorators of steps. Each is a typed patch on one field of a step's policy or environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, overload

from flowinfra.authoring.settings import Function, caller, patch, seconds_of
from flowinfra.authoring.values import Resources
from flowinfra.diagnostics import AuthoringError, Source, error

__all__ = ["catch", "environment", "resources", "retry", "timeout"]


@overload
def retry(function: Function, /) -> Function: ...


@overload
def retry(
    *,
    times: int = ...,
    delay: float | str | timedelta = ...,
    backoff: float = ...,
    minutes_between_retries: float | None = ...,
    _source: Source | None = ...,
) -> Callable[[Function], Function]: ...


def retry(
    function: Any = None,
    /,
    *,
    times: int = 3,
    delay: float | str | timedelta = 0,
    backoff: float = 1.0,
    minutes_between_retries: float | None = None,
    _source: Source | None = None,
) -> Any:
    """Repeat a step whose attempt failed or timed out; works with and without brackets.

    Args:
        function: the step, where the decorator is used without brackets.
        times: further attempts after the first, at most 100.
        delay: the pause before the first repetition: seconds, a timedelta, or text such as ``30s``.
        backoff: what each further pause is multiplied with, at least 1.
        minutes_between_retries: the pause in minutes, as the field's decorator calls it; instead of *delay*.

    Raises:
        AuthoringError: an argument is out of range (FI131).
    """
    source = _source or caller()
    if not isinstance(times, int) or isinstance(times, bool) or not 0 <= times <= 100:
        raise AuthoringError(error("FI131", f"@retry: times={times!r} is no number from 0 to 100", source=source))
    if not isinstance(backoff, (int, float)) or backoff < 1:
        raise AuthoringError(error("FI131", f"@retry: backoff={backoff!r} is less than 1", source=source))
    pause = delay if minutes_between_retries is None else minutes_between_retries * 60
    value = (times, seconds_of(pause, "@retry: delay", source), float(backoff))

    def decorate(step: Any) -> Any:
        return patch(step, "retry", value, "@retry", source)

    return decorate if function is None else decorate(function)


def timeout(
    limit: float | str | timedelta | None = None,
    *,
    seconds: float = 0,
    minutes: float = 0,
    hours: float = 0,
    _source: Source | None = None,
) -> Callable[[Function], Function]:
    """Stop an attempt that takes too long; every process that it started is stopped with it.

    Args:
        limit: seconds, a timedelta, or text such as ``2h``.
        seconds: added to *limit*; so are *minutes* and *hours*.

    Raises:
        AuthoringError: the sum is less than one second (FI131).
    """
    source = _source or caller()
    total = seconds_of(limit or 0, "@timeout", source) + seconds + 60 * minutes + 3600 * hours
    if total < 1:
        raise AuthoringError(
            error("FI131", f"@timeout: {total:g} seconds is less than one", hint="write @timeout('2h')", source=source)
        )
    return lambda function: patch(function, "timeout_seconds", round(total), "@timeout", source)


@overload
def catch(function: Function, /) -> Function: ...


@overload
def catch(*, var: str | None = ..., _source: Source | None = ...) -> Callable[[Function], Function]: ...


def catch(function: Any = None, /, *, var: str | None = None, _source: Source | None = None) -> Any:
    """Let the run go on when all attempts of a step have failed; works with and without brackets.

    Args:
        function: the step, where the decorator is used without brackets.
        var: the artifact that keeps the exception (``None`` while there was none); without it none does.

    Raises:
        AuthoringError: *var* is no name (FI131).
    """
    source = _source or caller()
    if var is not None and (not isinstance(var, str) or not var.isidentifier() or var.startswith("_")):
        raise AuthoringError(error("FI131", f"@catch: var={var!r} is no name of an artifact", source=source))

    def decorate(step: Any) -> Any:
        return patch(step, "catch", var or "", "@catch", source)

    return decorate if function is None else decorate(function)


def resources(
    cpu: float | None = None,
    memory: int | str | None = None,
    gpu: int | str | None = None,
    disk: int | str | None = None,
) -> Callable[[Function], Function]:
    """What one task of this step may use; what is not given stays as in its environment.

    Args:
        cpu: virtual CPUs.
        memory: MiB as a number, or text such as ``4Gi``.
        gpu: whole accelerators.
        disk: scratch space, like *memory*.
    """
    source = caller()
    value = Resources(cpu=cpu, memory=memory, gpu=gpu, disk=disk)
    return lambda function: patch(function, "resources", value, "@resources", source)


def environment(vars: Mapping[str, str]) -> Callable[[Function], Function]:
    """Environment variables of this step, beside those of its environment.

    Args:
        vars: names to text.

    Raises:
        AuthoringError: a name or a value is no text (FI131).
    """
    source = caller()
    wrong = [k for k, v in vars.items() if not isinstance(k, str) or not isinstance(v, str)]
    if wrong:
        raise AuthoringError(error("FI131", f"@environment: the variable {wrong[0]!r} is no text", source=source))
    value = dict(vars)
    return lambda function: patch(function, "env_vars", value, "@environment", source)
