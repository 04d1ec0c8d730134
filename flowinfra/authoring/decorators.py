"""Decorators of steps. Each is a typed patch on one field of a step's policy or environment."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, overload

from flowinfra.authoring.later import configurable
from flowinfra.authoring.settings import Function, caller, patch, seconds_of
from flowinfra.authoring.values import Resources
from flowinfra.diagnostics import AuthoringError, Diagnostic, Source, error

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


@configurable("retry")
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
        raise AuthoringError(
            _wrong("@retry", f"times={times!r} is no whole number from 0 to 100", "@retry(times=3)", source)
        )
    if not isinstance(backoff, (int, float)) or not 1 <= backoff < math.inf:
        raise AuthoringError(_wrong("@retry", f"backoff={backoff!r} is no number from 1", "@retry(backoff=2)", source))
    pause = delay if minutes_between_retries is None else timedelta(minutes=minutes_between_retries)
    value = (times, seconds_of(pause, "@retry: delay", source), float(backoff))

    def decorate(step: Any) -> Any:
        return patch(step, "retry", value, "@retry", source)

    return decorate if function is None else decorate(function)


@configurable("timeout_seconds")
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
        seconds: added to *limit*.
        minutes: added to *limit*.
        hours: added to *limit*.

    Raises:
        AuthoringError: the sum is less than one second (FI131).
    """
    source = _source or caller()
    if callable(limit):
        raise AuthoringError(_wrong("@timeout", "it has no limit", "@timeout('2h')", source))
    given = (limit or 0, seconds, minutes * 60, hours * 3600)
    total = sum(seconds_of(part, "@timeout", source) for part in given)
    if total < 1:
        raise AuthoringError(_wrong("@timeout", f"{total:g} seconds is less than one", "@timeout('2h')", source))
    return lambda function: patch(function, "timeout_seconds", round(total), "@timeout", source)


@overload
def catch(function: Function, /) -> Function: ...


@overload
def catch(*, var: str | None = ..., _source: Source | None = ...) -> Callable[[Function], Function]: ...


@configurable("catch")
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
        raise AuthoringError(
            _wrong("@catch", f"var={var!r} is no name of an artifact", "@catch(var='problem')", source)
        )

    def decorate(step: Any) -> Any:
        return patch(step, "catch", var or "", "@catch", source)

    return decorate if function is None else decorate(function)


@configurable("resources")
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

    Raises:
        AuthoringError: a value is not positive or not readable (FI134), or there is none (FI131).
    """
    source = caller()
    if callable(cpu):
        raise AuthoringError(_wrong("@resources", "it has no values", "@resources(cpu=2, memory='4Gi')", source))
    value = Resources(cpu=cpu, memory=memory, gpu=gpu, disk=disk)
    return lambda function: patch(function, "resources", value, "@resources", source)


@configurable("env_vars")
def environment(vars: Mapping[str, str]) -> Callable[[Function], Function]:
    """Environment variables of this step, beside those of its environment.

    Args:
        vars: names to text.

    Raises:
        AuthoringError: a name or a value is no text (FI131).
    """
    source = caller()
    example = "@environment({'MODE': 'fast'})"
    if not isinstance(vars, Mapping):
        raise AuthoringError(_wrong("@environment", "it has no variables", example, source))
    wrong = [k for k, v in vars.items() if not isinstance(k, str) or not isinstance(v, str)]
    if wrong:
        raise AuthoringError(_wrong("@environment", f"the variable {wrong[0]!r} is no text", example, source))
    value = dict(vars)
    return lambda function: patch(function, "env_vars", value, "@environment", source)


def _wrong(decorator: str, what: str, example: str, source: Source) -> Diagnostic:
    return error("FI131", f"{decorator}: {what}", hint=f"e.g. {example}", source=source)
