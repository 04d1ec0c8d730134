"""One attempt of one task: from its parents' commits to its own.

The order of the writes is the protocol. ``begin.json`` first; then the artifacts as blobs, which nobody sees yet; then
``artifacts.json``, create-only: the one moment at which the task has happened. Only then the copies that others read
(``control.json``, ``last.json``) and, from the last task, the run's ``end.json``. An attempt that is killed between two
of them is repeated and finds what is there; of two that run at once, one commits and the other ends without effect.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.loader import load_entrypoint
from flowinfra.authoring.parameters import Parameter
from flowinfra.diagnostics import AuthoringError, FlowinfraError, PackagingError, RunError, error, warning
from flowinfra.orchestrators.start import StartedRun
from flowinfra.packaging.files import StoredFile, store_file
from flowinfra.packaging.store import Store
from flowinfra.runtime.artifacts import Ref, encode_all
from flowinfra.runtime.current import Parameters, TaskInfo, running
from flowinfra.runtime.decisions import Decided, decide
from flowinfra.runtime.failures import TaskFailure, error_document, in_source, user_trace
from flowinfra.runtime.lineage import TaskRef
from flowinfra.runtime.parameters import resolve
from flowinfra.runtime.prepared import Exit, Prepared, prepare
from flowinfra.runtime.redaction import Redaction
from flowinfra.runtime.rundata import AttemptFolder, CommitValue, RunData, now_ms
from flowinfra.runtime.taskstate import TaskState, changed_values, unambiguous
from flowinfra.wire import FALLBACK, blob_key

__all__ = ["Call", "Exit", "Prepared", "Stopped", "prepare", "run_attempt", "unprepared"]

_SECRETS: Final = frozenset({"FI740", "FI741", "FI742", "FI743"})  # what SecretError says
_SEARCHED: Final = 1 << 20  # bytes of an artifact that is looked through for secrets
_ITEMS_LIMIT: Final = 256 * 1024  # bytes of a list that each task of a foreach reads as a whole to take one item


class Stopped(BaseException):
    """Raised in the step by SIGTERM; no ``except Exception`` swallows it."""


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of the task program."""

    release: str
    run: str
    step: str
    task: str
    attempt: str


def run_attempt(call: Call, store: Store, prepared: Prepared, unique: str, redaction: Redaction | None = None) -> Exit:
    """Carry out one attempt; what goes wrong is in its error.json and on stderr.

    Args:
        call: which one.
        store: where the run is.
        prepared: the release that the run is pinned to.
        unique: a name of this attempt that no other one has.
        redaction: takes the step's secrets out of what is printed and recorded.

    Raises:
        RunError: FI722, the release has no such task; then there is no place to write it to.
    """
    prepared.lineage.check(call.step, call.task)
    data = RunData(store, prepared.flow, call.run)
    folder = data.attempt(call.step, call.task, call.attempt, unique)
    hidden = redaction or Redaction()
    with hidden.during():
        try:
            return _Attempt(call, data, prepared, folder, hidden).run()
        except BaseException as why:  # noqa: BLE001 - a step may raise anything, SystemExit included
            code = _exit_code(why)
            if code is not Exit.STOPPED:  # whoever stopped it knows
                _say(hidden.text(user_trace(why)))
            try:
                folder.error(error_document(why, call.step, call.task, now_ms(), hidden.text))
                folder.end("failed")
            except FlowinfraError as second:
                _say(str(second))
            return code


@dataclass(frozen=True, slots=True)
class _Attempt:
    call: Call
    data: RunData
    prepared: Prepared
    folder: AttemptFolder
    redaction: Redaction

    @property
    def node(self) -> Mapping[str, Any]:
        return self.prepared.nodes[self.call.step]

    def run(self) -> Exit:
        call, data = self.call, self.data
        commit = data.find_commit(call.step, call.task)
        if commit is not None:  # an attempt before this one was stopped behind its commit
            self.publish(commit)
            return Exit.OK
        self.folder.begin(socket.gethostname(), os.getpid())
        parents = self.prepared.lineage.parents(call.step, call.task, data.control, data.last)
        commit = self.fallback(parents) if call.attempt == FALLBACK else self.step(parents)
        won = data.create_commit(call.step, call.task, commit)
        if not won:
            commit = data.commit(call.step, call.task)
        self.publish(commit)
        self.folder.end("committed" if won else "superseded")
        return Exit.OK

    def publish(self, commit: CommitValue) -> None:
        """Write the copies of a commit that others read."""
        self.data.publish(self.prepared.lineage, self.call.step, self.call.task, commit)

    # -- the step -------------------------------------------------------------------------------------------------

    def step(self, parents: Sequence[TaskRef]) -> CommitValue:
        self.fetch_secrets()
        owner, function = load_entrypoint(self.node["entrypoint"], self.prepared.configs)
        state = self.state(parents, owner)
        try:
            return self.result(owner, function, state, parents)
        except RunError as why:
            raise in_source(why, function, state.noted_at).with_traceback(why.__traceback__) from None

    def fetch_secrets(self) -> None:
        """Put the step's secrets into the environment, before anything of the flow's author runs; and hide them."""
        used = self.node.get("environment", "default")
        environments = self.prepared.release["graph"].get("environments", ())
        wanted = next((e["secrets"] for e in environments if e["name"] == used and e.get("secrets")), None)
        if wanted:
            from flowinfra.runtime.secrets import read_references, resolve_secrets  # most steps have none

            values = resolve_secrets(read_references(wanted), self.call.step, os.environ)
            self.redaction.hide(values.values())
            os.environ.update(values)

    def result(
        self, owner: type[FlowSpec], function: Callable[..., Any], state: TaskState, parents: Sequence[TaskRef]
    ) -> CommitValue:
        """Run the step; what it has made, as it is committed."""
        # Before the step, which may change what is in a list; parameters are what the run was given.
        given = self.kept(state.given)
        flow: FlowSpec = object.__new__(owner)
        flow.__dict__["_flowinfra"] = state
        with running(self.info(state)):
            if self.node.get("join"):
                function(flow, state.inputs)
            else:
                function(flow)
        decision = self.prepared.lineage.decides(self.call.step)
        decided = decide(flow, state, self.node, decision)
        catch = self.node.get("policy", {}).get("catch", {}).get("var")
        if catch and (catch not in flow.__dict__ or catch in state.loaded):
            flow.__dict__[catch] = None
            state.loaded.pop(catch, None)
        values, kept = changed_values(flow, state, self.prepared.fixed)
        there = {ref.blob for ref in state.base.values()}
        own = self.kept(values, there)
        refs = {**kept, **given, **own}
        items: Sequence[Ref] = ()
        each = 0
        if decision.kind == "foreach":
            items, each = self.items(decided, refs.get(decision.attribute))
        return CommitValue(
            refs,
            parents,
            self.folder.name,
            decision.kind != "none",
            decided.control,
            items,
            each,
        )

    def state(self, parents: Sequence[TaskRef], owner: type[FlowSpec]) -> TaskState:
        call, data, lineage = self.call, self.data, self.prepared.lineage
        given: dict[str, Any] = {}
        base: Mapping[str, Ref] = {}
        if lineage.joins(call.step):
            base = self.parameter_refs()
        elif parents:
            base = data.kept_commit(*parents[0]).artifacts
        else:
            values = self.parameters(owner)
            # A large file is read when the step asks for it, as by every later step.
            base = self.kept({name: value for name, value in values.items() if isinstance(value, StoredFile)})
            given = {name: value for name, value in values.items() if name not in base}
        return TaskState(data, lineage, call.step, call.task, parents, base, given=given)

    def parameter_refs(self) -> dict[str, Ref]:
        """The run's parameters, which every task has: as the first task has committed them."""
        if not self.prepared.fixed:
            return {}
        artifacts = self.data.commit(*self.prepared.lineage.first()).artifacts
        return {name: artifacts[name] for name in self.prepared.fixed if name in artifacts}

    def parameters(self, owner: type[FlowSpec]) -> dict[str, Any]:
        """The values of the run's parameters; the first task makes them, and the start documents where nobody did."""
        given = self.data.read_input()
        if given is None or self.data.read_run() is None:
            started = StartedRun(
                flow=self.prepared.flow,
                run=self.call.run,
                release=self.call.release,
                started_ms=now_ms(),
                target="unknown",
            )
            self.data.ensure_started(started, given or {})
        defaults: dict[str, Callable[[], Any]] = {}
        for spec in self.prepared.parameters:
            parameter = getattr(owner, spec["attribute"], None)
            if isinstance(parameter, Parameter) and parameter.callable_default is not None:
                defaults[spec["attribute"]] = parameter.callable_default
        folder = Path(getattr(sys.modules[owner.__module__], "__file__", None) or ".").resolve().parent
        flow, store = self.prepared.flow, self.data.store
        values = resolve(
            self.prepared.parameters, given or {}, defaults, folder, flow, lambda file: store_file(store, flow, file)
        )
        return {**values, **{b["attribute"]: b["value"] for b in self.prepared.bindings}}

    def info(self, state: TaskState) -> TaskInfo:
        names = [p["attribute"] for p in self.prepared.parameters]
        return TaskInfo(
            self.prepared.flow,
            self.call.run,
            self.call.step,
            self.call.task,
            int(self.call.attempt),
            Parameters(names, state.load),
            lambda: self.data.read_run() or {},
            lambda: self.prepared.release["graph"],
            self.data.store,
        )

    def kept(self, values: Mapping[str, Any], there: AbstractSet[str] = frozenset()) -> dict[str, Ref]:
        """Write *values*, but for what is *there*; what a commit says of them."""
        redactor = self.redaction.redactor
        open_: set[str] = set()

        def put(blob: str, data: bytes) -> None:
            if blob not in there:
                self.data.store.put_content(blob_key(self.data.flow, blob), data)
            if redactor and len(data) <= _SEARCHED and redactor.found_in(data):
                open_.add(blob)

        refs = encode_all(values, self.call.step, put, redact=redactor.text if redactor else None)
        for name in (name for name, ref in refs.items() if ref.blob in open_):
            _say(
                str(
                    warning(
                        "FI745",
                        f"self.{name} holds a secret of the step {self.call.step}, and is kept in the store as it is",
                        detail="whoever may read the run's artifacts can read it; only its short text is without it",
                        hint=f"rename it to self._{name}, or keep what it was used for instead",
                    )
                )
            )
        return refs

    def items(self, decided: Decided, whole: Ref | None) -> tuple[Sequence[Ref], int]:
        """The items of a foreach in blobs of their own, where a task had better not take its one out of the artifact."""
        size = 0 if whole is None else whole.size
        if (decided.listed and whole is not None and size <= _ITEMS_LIMIT) or not decided.items:
            return (), 0
        count = len(decided.items)
        each = max(1, count * _ITEMS_LIMIT // (4 * size)) if size > _ITEMS_LIMIT else count
        chunks = {str(i): list(decided.items[i : i + each]) for i in range(0, count, each)}
        refs = self.kept(chunks)
        return list(refs.values()), each

    # -- in place of the step -------------------------------------------------------------------------------------

    def fallback(self, parents: Sequence[TaskRef]) -> CommitValue:
        """All attempts have failed and the step has ``catch``: commit what was there before it, and the exception."""
        call, data, lineage = self.call, self.data, self.prepared.lineage
        failure = TaskFailure.from_document(data.last_error(call.step, call.task))
        decision = lineage.decides(call.step)
        if decision.kind != "none":
            raise RunError(
                error(
                    "FI724",
                    f"the step {call.step} has failed, and @catch cannot stand in for it",
                    detail=f"self.{decision.attribute} would have said what comes next ({decision.kind}); "
                    f"the step failed with {failure}",
                    hint="catch the exception inside the step and decide there, or put the risky part into a step before it",
                )
            )
        if lineage.joins(call.step):
            refs = {**unambiguous(data, parents or [lineage.opener(call.step, call.task)]), **self.parameter_refs()}
        elif parents:
            refs = dict(data.commit(*parents[0]).artifacts)
        else:
            owner, _ = load_entrypoint(self.node["entrypoint"], self.prepared.configs)
            refs = self.kept(self.parameters(owner))
        catch = self.node.get("policy", {}).get("catch", {}).get("var")
        if catch:
            refs |= self.kept({catch: failure})
        return CommitValue(refs, parents, self.folder.name, failed=True)


def unprepared(why: FlowinfraError) -> Exit:
    """The exit code where the code, the release or the store is not what a task needs: a store may be back later."""
    transient = isinstance(why, PackagingError) and all(d.code == "FI403" for d in why.diagnostics)
    return Exit.FAILED if transient else Exit.ENVIRONMENT


def _exit_code(why: BaseException) -> Exit:
    if isinstance(why, (Stopped, KeyboardInterrupt)):
        return Exit.STOPPED
    if isinstance(why, (PackagingError, AuthoringError)):
        return unprepared(why)
    codes = {d.code for d in why.diagnostics} if isinstance(why, RunError) else set()
    if codes and codes <= _SECRETS:
        return Exit.FAILED if codes == {"FI741"} else Exit.ENVIRONMENT
    return Exit.FATAL if isinstance(why, RunError) else Exit.FAILED


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # the step may have closed it
        sys.stderr.write(f"{text}\n")
