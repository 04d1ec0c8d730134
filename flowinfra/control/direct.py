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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.project import resolve_project
from flowinfra.control.tagging import LONGEST, MOST, is_tag
from flowinfra.diagnostics import ConfigurationError, Diagnostic, error
from flowinfra.model.states import RunState
from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator
from flowinfra.orchestrators.local.records import NewRun
from flowinfra.packaging.build import Compiled, compile_flow
from flowinfra.packaging.home import Home
from flowinfra.packaging.store import Store
from flowinfra.packaging.users import user_name
from flowinfra.runtime.events import Event, RunEnded
from flowinfra.runtime.lineage import TaskRef, steps_in_order
from flowinfra.runtime.localrun import run_local
from flowinfra.runtime.localspec import MAX_WORKERS, LocalRun, StopSwitch
from flowinfra.runtime.workers import Workers
from flowinfra.wire import ENV_NAMESPACE, bundle_key, execution_name, release_key, run_id, scope_digits

__all__ = ["DirectRun", "RunOptions", "in_project", "new_run_id", "prepare_run"]

_PROJECT_NAME = re.compile(r"^name:\s*['\"]?([A-Za-z0-9_.-]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What may be said about one run.

    Attributes:
        max_workers: how many of its tasks run at once.
        tags: what it is tagged with.
        timeout_seconds: for the whole run.
        user_namespace: the namespace in which its tasks read other runs; empty: as the environment says.
        env: variables that its tasks get beside those of this process.
        branch: the branch of the flow's project that it belongs to; None: as the flow says, else the user's own.
        production: it belongs to the project's production.
        system_tags: tags that are not its user's; made by :func:`in_project`.
    """

    max_workers: int = MAX_WORKERS
    tags: tuple[str, ...] = ()
    timeout_seconds: float | None = None
    user_namespace: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    branch: str | None = None
    production: bool = False
    system_tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wrong = [t for t in self.tags if not is_tag(t)]
        if wrong or len(self.tags) > MOST:
            raise ConfigurationError(
                error(
                    "FI949",
                    f"a run has at most {MOST} tags of 1 to {LONGEST} characters on one line",
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
        origin: the id of the run that it resumes, or one of whose tasks it repeats.
        rerun: of a resumed run: steps of which nothing is taken over.
        only: the one task that is run, where it is not the whole flow; such a run is listed nowhere.
        seed: documents that lie in the run before it begins, by key.
        warnings: what was found while it was prepared.
    """

    home: Home
    built: Compiled
    run: str
    parameters: Mapping[str, Any]
    options: RunOptions = field(default_factory=RunOptions)
    origin: str = ""
    rerun: frozenset[str] = frozenset()
    only: TaskRef | None = None
    seed: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    warnings: tuple[Diagnostic, ...] = ()

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
        """Warnings about the flow, and about what was given to the run."""
        return (*self.built.diagnostics, *self.warnings)

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
        tags = tuple(dict.fromkeys((*self.options.tags, *self.options.system_tags)))
        run = LocalRun(
            store_url=store.url,
            flow=self.built.flow,
            release=self.built.release,
            run=self.run,
            code=self.built.root,
            max_workers=self.options.max_workers,
            timeout_seconds=self.options.timeout_seconds,
            env=self._environment(),
            tags=tags,
            origin=self.origin,
            rerun=self.rerun,
            only=self.only,
            user=user_name(),
        )
        for key, data in self.seed.items():
            store.put(key, data)
        if self.only is not None:
            return run_local(run, self.parameters, workers, on_event, stop)
        orchestrator = LocalOrchestrator.open(self.home, store=store)
        orchestrator.register(
            NewRun(run=run.run, flow=run.flow, release=run.release, store=store.url, tags=tags, user=run.user)
        )
        ended: RunEnded | None = None
        try:
            ended = run_local(run, self.parameters, workers, on_event, stop)
            return ended
        finally:
            state = RunState(ended.state) if ended else RunState.FAILED
            orchestrator.finish(self.run, state, ended.error if ended else None)

    def _environment(self) -> dict[str, str]:
        own = {ENV_NAMESPACE: self.options.user_namespace} if self.options.user_namespace else {}
        return {**self.options.env, **own}


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
    options = in_project(flow, options)
    values = parameters(built.parameters)
    return DirectRun(home, built, new_run_id(home, built.flow), values, options)


def in_project(flow: type[FlowSpec], options: RunOptions) -> RunOptions:
    """*options* with the tags of the project that *flow* is in, if it is in one.

    Raises:
        FlowinfraError: FI170, FI171 or FI173, see :func:`flowinfra.authoring.project.resolve_project`.
    """
    project = resolve_project(flow, branch=options.branch, production=options.production, user=user_name())
    return options if project is None else replace(options, system_tags=project.tags)


def new_run_id(home: Home, flow: str) -> str:
    """An id for a run of *flow* that is started in the project of *home* now."""
    now = time.time_ns() // 1_000_000
    return run_id(scope_digits(_project(home), flow), execution_name(now))


def _project(home: Home) -> str:
    """The project's name; read without a YAML parser, which takes longer to load than most runs have tasks."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        found = _PROJECT_NAME.search((home.project_dir / "Pulumi.yaml").read_text(encoding="utf-8"))
        if found:
            return found[1]
    return home.project_dir.name
