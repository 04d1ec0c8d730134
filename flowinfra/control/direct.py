"""Direct runs: a flow in a checkout, run on this machine by the process that asks for it.

A direct run makes a release as a deployment does, so that whoever reads it later knows what ran; but its tasks import
the code of the checkout. It is entered into the project's run queue as its starter's own: it is listed and can be
stopped like any other run.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.diagnostics import ConfigurationError, Diagnostic, error
from flowinfra.model.states import RunState
from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator
from flowinfra.orchestrators.local.records import NewRun
from flowinfra.packaging.build import Compiled, compile_flow
from flowinfra.packaging.home import Home
from flowinfra.packaging.store import Store
from flowinfra.packaging.users import user_name
from flowinfra.runtime.events import Event, RunEnded
from flowinfra.runtime.lineage import steps_in_order
from flowinfra.runtime.localrun import MAX_WORKERS, LocalRun, StopSwitch, run_local
from flowinfra.runtime.workers import Workers
from flowinfra.wire import bundle_key, execution_name, release_key, run_id, scope_digits

__all__ = ["DirectRun", "RunOptions", "prepare_run"]

_PROJECT_NAME = re.compile(r"^name:\s*['\"]?([A-Za-z0-9_.-]+)", re.MULTILINE)
_MOST_TAGS, _LONGEST_TAG = 50, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What may be said about one run.

    Attributes:
        max_workers: how many of its tasks run at once.
        tags: what it is tagged with.
        timeout_seconds: for the whole run.
    """

    max_workers: int = MAX_WORKERS
    tags: tuple[str, ...] = ()
    timeout_seconds: float | None = None

    def __post_init__(self) -> None:
        wrong = [t for t in self.tags if not 1 <= len(t) <= _LONGEST_TAG]
        if wrong or len(self.tags) > _MOST_TAGS:
            raise ConfigurationError(
                error(
                    "FI949",
                    f"a run has at most {_MOST_TAGS} tags of 1 to {_LONGEST_TAG} characters",
                    detail=f"{wrong[0][:40]!r} is none" if wrong else f"{len(self.tags)} were given",
                )
            )


@dataclass(frozen=True, slots=True)
class DirectRun:
    """A run that is ready to be carried out.

    Attributes:
        home: the project's folder.
        built: the flow, compiled.
        run: the run's id.
        parameters: its complete input.
        options: what was said about it.
    """

    home: Home
    built: Compiled
    run: str
    parameters: Mapping[str, Any]
    options: RunOptions = field(default_factory=RunOptions)

    @property
    def pathspec(self) -> str:
        """``Flow/run``."""
        return f"{self.built.flow}/{self.run}"

    @property
    def steps(self) -> list[str]:
        """The flow's steps in the order in which a reader comes to them."""
        return steps_in_order(json.loads(self.built.release_bytes)["program"])

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Warnings about the flow."""
        return self.built.diagnostics

    def carry_out(
        self, workers: Workers, on_event: Callable[[Event], None], stop: StopSwitch | None = None
    ) -> RunEnded:
        """Run it to its end; what :func:`~flowinfra.runtime.localrun.run_local` says holds.

        Raises:
            PackagingError: the store cannot be used.
            ControlError: the run queue cannot be used.
        """
        store = Store.open(self.home.store_url)
        store.put_content(bundle_key(self.built.bundle.digest), self.built.bundle.data)
        store.put_content(release_key(self.built.release), self.built.release_bytes)
        orchestrator = LocalOrchestrator.open(self.home, store=store)
        user, flow = user_name(), self.built.flow
        tags = tuple(dict.fromkeys(self.options.tags))
        orchestrator.register(
            NewRun(run=self.run, flow=flow, release=self.built.release, store=store.url, tags=tags, user=user)
        )
        ended: RunEnded | None = None
        try:
            ended = run_local(
                LocalRun(
                    store_url=store.url,
                    flow=flow,
                    release=self.built.release,
                    run=self.run,
                    code=self.built.root,
                    max_workers=self.options.max_workers,
                    timeout_seconds=self.options.timeout_seconds,
                    tags=tags,
                    user=user,
                ),
                self.parameters,
                workers,
                on_event,
                stop,
            )
            return ended
        finally:
            state = RunState(ended.state) if ended else RunState.FAILED
            orchestrator.finish(self.run, state, ended.error if ended else None)


def prepare_run(
    flow: type[FlowSpec],
    parameters: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]],
    options: RunOptions,
    *,
    start: Path | None = None,
) -> DirectRun:
    """Compile *flow* and check what is given to it; nothing but the project's cache is written.

    Args:
        flow: its class.
        parameters: makes the run's complete input, given the parameters that the flow declares.
        options: what is said about the run.
        start: the folder whose project the run belongs to (default: the current one).

    Raises:
        FlowinfraError: the flow or its parameters are wrong; everything that was found.
    """
    home = Home.find(start)
    built = compile_flow(flow, home)
    values = parameters(built.parameters)
    now = time.time_ns() // 1_000_000
    run = run_id(scope_digits(_project(home), built.flow), execution_name(now))
    return DirectRun(home, built, run, values, options)


def _project(home: Home) -> str:
    """The project's name; read without a YAML parser, which takes longer to load than most runs have tasks."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        found = _PROJECT_NAME.search((home.project_dir / "Pulumi.yaml").read_text(encoding="utf-8"))
        if found:
            return found[1]
    return home.project_dir.name
