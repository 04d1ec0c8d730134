"""``Runner``: start runs of a flow from Python, and wait for them or not.

::

    with Runner("flow.py").run(alpha=0.5) as running:
        print(running.status, running.run.data.score)
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from flowinfra.control.child import Child, Follower, too_long
from flowinfra.control.invocation import Invocation
from flowinfra.control.messages import encode_value
from flowinfra.control.runner.executing import Executing, ExecutingRun, ExecutingTask
from flowinfra.diagnostics import ConfigurationError, error

__all__ = ["Runner"]

_PROGRAM: Final = "flowinfra.cli.programs.run"

_Kind = TypeVar("_Kind", bound=Executing)


class Runner:
    """Starts runs of a flow on this machine, each in a process of its own. A context manager.

    The flow is never imported by this process, and no run outlives it.
    """

    def __init__(
        self,
        flow: str | os.PathLike[str] | type,
        show_output: bool = True,
        profile: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        file_read_timeout: float = 3600,
        **options: Any,
    ) -> None:
        """Check what is said; nothing is started.

        Args:
            flow: a file, ``file.py:Name``, or a class that is written in a file.
            show_output: whether :meth:`run` and :meth:`resume` print what the run prints.
            profile: a named set of settings, see :func:`~flowinfra.control.invocation.profile_variables`.
            env: variables of the run's processes, beside those of this process.
            cwd: the folder that they work in, whose project they belong to (default: the current one).
            file_read_timeout: how many seconds a run may take to begin.
            options: those that stand before the command on a command line (``decospecs=["retry"]`` for ``--with``), see
                :class:`~flowinfra.control.invocation.TopOptions`.

        Raises:
            FlowinfraError: the flow or an option is wrong; everything that was found.
        """
        self._invocation = Invocation.of(flow, options, profile=profile, env=env, cwd=cwd)
        self._show = show_output
        self._patience = file_read_timeout
        self._started: weakref.WeakSet[Executing] = weakref.WeakSet()
        self._running: list[Executing] = []  # also where nobody else holds them: they are stopped with the block

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        for executing in list(self._started):
            executing.__exit__(kind, why, trace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, why, trace)

    def cleanup(self) -> None:
        """Remove the files with what its runs have printed."""
        for executing in list(self._started):
            executing.cleanup()

    # -- blocking -------------------------------------------------------------------------------------------------

    def run(
        self,
        *,
        parameters: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        **keywords: Any,
    ) -> ExecutingRun:
        """Run the flow and wait for its end, however that is.

        Args:
            parameters: the flow's parameters, where a name means an option of the run too.
            options: options of the run, where a name means a parameter too.
            keywords: both: the flow's parameters, and ``max_workers``, ``tags``, ``run_id_file``, ``user_namespace``,
                ``timeout``, ``decospecs``. A value has the type that the flow declares; nothing is read from a text.

        Raises:
            FlowinfraError: the run cannot begin; the same error that ``flowinfra run`` says.
            KeyboardInterrupt: it was interrupted; the run was stopped.
        """
        return self._wait_for(ExecutingRun, "run", keywords, parameters, options)

    def resume(self, *, options: Mapping[str, Any] | None = None, **keywords: Any) -> ExecutingRun:
        """Go on from where a run has ended, in a new run, and wait for its end.

        Args:
            options: as *keywords*.
            keywords: ``origin_run_id`` (default: the last run of the flow), ``step_to_rerun``, ``rerun_changed``, and
                the options of :meth:`run`.

        Raises:
            FlowinfraError: as :meth:`run`; or the origin cannot be resumed.
        """
        return self._wait_for(ExecutingRun, "resume", keywords, None, options)

    def spin(self, task: str, *, options: Mapping[str, Any] | None = None, **keywords: Any) -> ExecutingTask:
        """Run one task again, with the inputs that it had, and wait for its end.

        Args:
            task: a step's name, or the pathspec of a task (``Flow/run/step/task``).
            options: as *keywords*.
            keywords: ``decospecs``, ``timeout``, ``user_namespace``.

        Raises:
            FlowinfraError: as :meth:`run`; or there is no such task.
        """
        return self._wait_for(ExecutingTask, "spin", keywords, None, options, task=task)

    # -- not blocking ---------------------------------------------------------------------------------------------

    async def async_run(
        self,
        *,
        parameters: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        **keywords: Any,
    ) -> ExecutingRun:
        """:meth:`run`, which returns as soon as the run has begun; nothing is printed."""
        return await self._begin(ExecutingRun, "run", keywords, parameters, options)

    async def async_resume(self, *, options: Mapping[str, Any] | None = None, **keywords: Any) -> ExecutingRun:
        """:meth:`resume`, which returns as soon as the run has begun; nothing is printed."""
        return await self._begin(ExecutingRun, "resume", keywords, None, options)

    async def async_spin(
        self, task: str, *, options: Mapping[str, Any] | None = None, **keywords: Any
    ) -> ExecutingTask:
        """:meth:`spin`, which returns as soon as the task has begun; nothing is printed."""
        return await self._begin(ExecutingTask, "spin", keywords, None, options, task=task)

    # -- both -----------------------------------------------------------------------------------------------------

    def _wait_for(
        self,
        kind: Callable[[Child, Mapping[str, Any]], _Kind],
        do: str,
        keywords: Mapping[str, Any],
        parameters: Mapping[str, Any] | None,
        options: Mapping[str, Any] | None,
        **more: Any,
    ) -> _Kind:
        child = self._start(do, keywords, parameters, options, more)
        follower = Follower(child, show=self._show)
        try:
            if not follower.wait(lambda: _has_begun(child), self._patience):
                raise too_long(f"{do} {self._invocation.flow.text}", self._patience)
            executing = self._executing(kind, child, do)
            # What reads the run is imported while it runs: it has a core of its own, and this process waits anyway.
            import flowinfra.control.client  # noqa: F401

            follower.wait(lambda: child.ended)
        except BaseException:
            if child.told("prepared") is None:
                child.kill()  # nothing of the run is there yet
            child.halt()
            raise
        return executing

    async def _begin(
        self,
        kind: Callable[[Child, Mapping[str, Any]], _Kind],
        do: str,
        keywords: Mapping[str, Any],
        parameters: Mapping[str, Any] | None,
        options: Mapping[str, Any] | None,
        **more: Any,
    ) -> _Kind:
        child = self._start(do, keywords, parameters, options, more)
        try:
            if not await child.until(lambda: _has_begun(child), self._patience):
                raise too_long(f"{do} {self._invocation.flow.text}", self._patience)
            return self._executing(kind, child, do)
        except BaseException:
            child.kill()  # nothing of the run is there yet
            await child.until(lambda: child.ended)
            raise

    def _start(
        self,
        do: str,
        keywords: Mapping[str, Any],
        parameters: Mapping[str, Any] | None,
        options: Mapping[str, Any] | None,
        more: Mapping[str, Any],
    ) -> Child:
        spec = {
            "do": do,
            "keywords": {name: encode_value(value) for name, value in keywords.items()},
            "parameters": _named("parameters", parameters),
            "options": _named("options", options),
            **more,
            **self._invocation.to_json(),
        }
        return Child.start(_PROGRAM, spec, env=self._invocation.env, cwd=self._invocation.cwd)

    def _executing(self, kind: Callable[[Child, Mapping[str, Any]], _Kind], child: Child, do: str) -> _Kind:
        prepared = child.told("prepared")
        if prepared is None:
            child.check(f"{do} {self._invocation.flow.text}")
        assert prepared is not None  # else that has raised
        executing = kind(child, prepared)
        self._started.add(executing)
        self._running = [other for other in self._running if other.returncode is None] + [executing]
        return executing


def _has_begun(child: Child) -> bool:
    return child.ended or child.told("prepared") is not None


def _named(what: str, given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise ConfigurationError(
            error(
                "FI853",
                f"{what}= takes a mapping of names to values; {given!r:.80} is none",
                hint=f"{what}={{'name': value}}; a parameter that is called {what!r} is given as "
                f"parameters={{{what!r}: value}}",
            )
        )
    return {name: encode_value(value) for name, value in given.items()}
