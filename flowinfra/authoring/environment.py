"""``TaskEnvironment``: the settings that steps share, and the decorators that it gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, overload

from flowinfra.authoring.decorators import catch as catch_decorator
from flowinfra.authoring.decorators import retry as retry_decorator
from flowinfra.authoring.decorators import timeout as timeout_decorator
from flowinfra.authoring.secrets import Secret, read_secrets
from flowinfra.authoring.settings import Function, caller, set_step
from flowinfra.authoring.values import Resources
from flowinfra.diagnostics import AuthoringError, Diagnostic, Source, error

__all__ = ["TaskEnvironment", "step"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class TaskEnvironment:
    """What code runs in: an image, resources, variables and secrets under one name.

    Args:
        name: how plans and logs call it; letters, digits, ``-`` and ``_``.
        image: a container image reference; empty means the target's default.
        resources: what one task may use.
        env_vars: environment variables of its tasks, as text.
        secrets: what its tasks get as environment variables too, by reference: see :func:`~flowinfra.secrets`.

    Raises:
        AuthoringError: a value is not usable; all that are wrong come at once (FI132, of secrets FI180).
    """

    __slots__ = ("env_vars", "image", "name", "resources", "secrets", "source")

    def __init__(
        self,
        name: str,
        *,
        image: str = "",
        resources: Resources | None = None,
        env_vars: Mapping[str, str] | None = None,
        secrets: Iterable[Secret | str | Mapping[str, str]] = (),
    ) -> None:
        self.source = caller()
        wrong = [k for k, v in (env_vars or {}).items() if not isinstance(k, str) or not isinstance(v, str)]
        problems = [f"the variable {key!r} is no text" for key in wrong]
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.append(f"{name!r} is no name")
        if not isinstance(image, str):
            problems.append(f"image={image!r} is no image reference")
        if resources is not None and not isinstance(resources, Resources):
            problems.append(f"resources={resources!r} is no Resources(...)")
        found = [
            error(
                "FI132",
                f"TaskEnvironment: {problem}",
                hint="names are up to 64 letters, digits, - and _; variables map text to text",
                source=self.source,
            )
            for problem in problems
        ]
        self.secrets, wrong_secrets = read_secrets(secrets, "TaskEnvironment", self.source)
        if found or wrong_secrets:
            raise AuthoringError([*found, *wrong_secrets])
        self.name = name
        self.image = image
        self.resources = resources or Resources()
        self.env_vars = dict(env_vars or {})

    def clone_with(
        self,
        name: str,
        *,
        image: str | None = None,
        resources: Resources | None = None,
        env_vars: Mapping[str, str] | None = None,
        secrets: Iterable[Secret | str | Mapping[str, str]] | None = None,
    ) -> TaskEnvironment:
        """Another environment under a new *name*: this one's settings, but for those that are given."""
        return TaskEnvironment(
            name,
            image=self.image if image is None else image,
            resources=resources or self.resources,
            env_vars=self.env_vars if env_vars is None else env_vars,
            secrets=self.secrets if secrets is None else secrets,
        )

    @overload
    def step(self, function: Function, /) -> Function: ...

    @overload
    def step(
        self,
        function: None = None,
        /,
        *,
        retries: int = ...,
        timeout: float | str | timedelta | None = ...,
        catch: str | None = ...,
    ) -> Callable[[Function], Function]: ...

    def step(
        self,
        function: Any = None,
        /,
        *,
        retries: int = 0,
        timeout: float | str | timedelta | None = None,
        catch: str | None = None,
    ) -> Any:
        """Mark a method of a flow as a step that runs in this environment.

        Args:
            function: the method, where the decorator is used without brackets.
            retries: further attempts after a failed one.
            timeout: how long one attempt may take: seconds, a timedelta, or text such as ``2h``.
            catch: the artifact that keeps the exception if all attempts fail; the run then goes on.
        """
        source = caller()

        def decorate(method: Any) -> Any:
            if not hasattr(method, "__code__"):
                raise AuthoringError(_not_a_method(method, source))
            if retries:
                method = retry_decorator(times=retries, _source=source)(method)
            if timeout is not None:
                method = timeout_decorator(timeout, _source=source)(method)
            if catch is not None:
                method = catch_decorator(var=catch, _source=source)(method)
            return set_step(method, self)

        return decorate if function is None else decorate(function)

    def __repr__(self) -> str:
        return f"TaskEnvironment({self.name!r})"


def step(function: Function, /) -> Function:
    """Mark a method of a flow as a step that runs in the default environment."""
    if not hasattr(function, "__code__"):
        raise AuthoringError(_not_a_method(function, caller()))
    return set_step(function, None)


def _not_a_method(thing: Any, source: Source) -> Diagnostic:
    return error(
        "FI133",
        f"@step: {thing!r} is no method",
        hint="write @step directly above `def name(self):` in a FlowSpec, without brackets",
        source=source,
    )
