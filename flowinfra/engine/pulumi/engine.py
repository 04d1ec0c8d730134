"""The engine `pulumi`: the same stacks, done by the Pulumi CLI, told as our own plans.

The CLI is run as every Automation API runs it: with the stack program *inline*, that is in this process, so that no
language host is needed and `Options.context` reaches the program. Its events become the plan
(:mod:`flowinfra.engine.pulumi.events`). Importing this module does not import pulumi.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowinfra.diagnostics import EngineError, FlowinfraError, error
from flowinfra.engine.base import Approve, Event, LogEvent, OnEvent, Options, StackRef
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.engine.pulumi.command import Done, PulumiCli, quiet_environment
from flowinfra.engine.pulumi.events import Translation
from flowinfra.engine.pulumi.messages import command_failure, ended_by_signal, no_stack
from flowinfra.engine.pulumi.stack import OpenStack, config_of, planned_outputs, surroundings
from flowinfra.engine.state.backend import Backend, StackFile, encode_snapshot
from flowinfra.engine.state.checkpoint import Snapshot
from flowinfra.engine.state.mending import refuse_flawed
from flowinfra.engine.state.secrets import Crypter, Passphrase
from flowinfra.engine.values import SECRET_TEXT
from flowinfra.model.plan import Basis, Operation, Plan
from flowinfra.packaging.home import Home

if TYPE_CHECKING:
    from flowinfra.engine.pulumi.host import Program

__all__ = ["PulumiEngine"]

_EVERYTHING = Options()
_COMMANDS = {Operation.UP: "up", Operation.DESTROY: "destroy", Operation.REFRESH: "refresh"}
#: What makes a state one that only the CLI can read: another compression or secrets provider, backend or layout.
_FOREIGN = frozenset({"FI611", "FI613", "FI614", "FI619"})


@dataclass(frozen=True)
class _Outcome:
    plan: Plan
    registered: int
    exists: bool


class PulumiEngine:
    """Everything that Pulumi can do, by the Pulumi CLI: see the module.

    An instance keeps nothing between operations and may be used by several threads.
    """

    name = "pulumi"

    def __init__(
        self, *, environment: Mapping[str, str] | None = None, passphrase: Passphrase | None = None, parallel: int = 0
    ) -> None:
        """Make an engine.

        Args:
            environment: that of the CLI, in which it is also looked for; by default this process's own.
            passphrase: where the passphrase comes from; by default the environment, then the project's own file.
            parallel: how many resources change at once; 0 leaves it to the CLI.
        """
        self._environment = environment
        self._passphrase = passphrase
        self._parallel = parallel

    # -- operations

    def preview(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        operation: Operation = Operation.UP,
        options: Options = _EVERYTHING,
    ) -> Plan:
        """What *operation* would do; changes nothing, not even for a stack that does not exist yet.

        Raises:
            FlowinfraError: the CLI is missing, the program fails, or the CLI refuses.
        """
        return self._preview(self._open(stack), operation, on_event, options).plan

    def up(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        options: Options = _EVERYTHING,
        approve: Approve | None = None,
    ) -> Plan:
        """Make what exists what the program says; without a change the CLI is not asked to change anything.

        Raises:
            FlowinfraError: something failed; what was done until then is recorded.
        """
        return self._change(stack, Operation.UP, on_event, options, approve)

    def destroy(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        options: Options = _EVERYTHING,
        approve: Approve | None = None,
    ) -> Plan:
        """Delete every resource of the stack, without running its program.

        Raises:
            FlowinfraError: one is protected, or something failed.
        """
        return self._change(stack, Operation.DESTROY, on_event, options, approve)

    def refresh(
        self,
        stack: StackRef,
        on_event: OnEvent | None = None,
        *,
        clear_pending_creates: bool = False,
        options: Options = _EVERYTHING,
        approve: Approve | None = None,
    ) -> Plan:
        """Take over into the state what the providers say exists.

        Args:
            stack: which one.
            on_event: told what happens.
            clear_pending_creates: forget the records of creations that were interrupted.
            options: what of it.
            approve: asked before.

        Raises:
            FlowinfraError: a provider failed.
        """
        return self._change(stack, Operation.REFRESH, on_event, options, approve, clear=clear_pending_creates)

    def outputs(self, stack: StackRef, show_secrets: bool = False) -> Mapping[str, Any]:
        """The outputs that the last operation recorded; a stack that does not exist has none.

        Raises:
            EngineError: FI621 or FI622, secrets are asked for and the passphrase is wrong or not known.
        """
        found = self._state(stack)
        if found is not None:
            return self._embedded(stack).outputs(stack, show_secrets)
        opened = self._open(stack)
        arguments = ["stack", "output", "--json", *(["--show-secrets"] if show_secrets else [])]
        with surroundings(opened, preview=False) as (environment, cwd, _):
            done = opened.cli.run([*arguments, "--stack", stack.stack], cwd=cwd, environment=environment)
        if done.code != 0:
            if no_stack(done.stderr):
                return {}
            raise EngineError(command_failure("stack output", done.code, done.stderr))
        values: dict[str, Any] = json.loads(done.stdout or "{}")
        return {k: SECRET_TEXT if v == "[secret]" and not show_secrets else v for k, v in values.items()}

    def cancel(self, stack: StackRef) -> Sequence[str]:
        """Remove the stack's locks, whoever holds them; who that was, as far as the backend tells.

        Raises:
            EngineError: the backend cannot be written.
        """
        if self._state(stack) is not None:
            return self._embedded(stack).cancel(stack)  # the locks are files, of the same form for both engines
        opened = self._open(stack)
        with surroundings(opened, preview=False) as (environment, cwd, _):
            done = opened.cli.run(["cancel", "--yes", "--stack", stack.stack], cwd=cwd, environment=environment)
        if done.code != 0:
            raise EngineError(command_failure("cancel", done.code, done.stderr))
        return ["the operation that the backend knew of"]

    # -- the stack as it is

    def _env(self) -> Mapping[str, str]:
        return os.environ if self._environment is None else self._environment

    def _secrets(self, stack: StackRef) -> Passphrase:
        if self._passphrase is not None:
            return self._passphrase
        home = Home.find(stack.project_dir)
        return Passphrase(home.passphrase_file, self._env(), home.ensure)

    def _embedded(self, stack: StackRef) -> EmbeddedEngine:
        return EmbeddedEngine(passphrase=self._secrets(stack))

    def _state(self, stack: StackRef) -> tuple[StackFile, Snapshot] | None:
        """Its state, where it can be read without the CLI."""
        try:
            file = Backend.open(stack.backend_url).stack(stack.project, stack.stack)
            return file, file.read()
        except EngineError as problem:
            if all(d.code in _FOREIGN for d in problem.diagnostics):
                return None
            raise

    def _open(self, stack: StackRef) -> OpenStack:
        environment = self._env()
        cli = PulumiCli.find(environment)
        config, inline = config_of(stack)
        state = self._state(stack)
        if state is not None:
            refuse_flawed(state[1].resources, state[0].where)
        return OpenStack(
            ref=stack,
            cli=cli,
            config=config,
            inline=inline,
            file=state[0] if state else None,
            snapshot=state[1] if state else None,
            exists=state[0].exists if state else True,
            environment=quiet_environment(environment, stack.backend_url),
            passphrase=self._secrets(stack),
        )

    # -- running the CLI

    def _run(
        self,
        stack: OpenStack,
        command: Sequence[str],
        translation: Translation,
        options: Options,
        *,
        preview: bool,
        must_register: bool = False,
    ) -> Program:
        """Run an operation of the CLI.

        Raises:
            FlowinfraError: it failed.
        """
        from flowinfra.engine.program import as_file
        from flowinfra.engine.pulumi.host import Program, listening

        program = Program(stack.ref, options, must_register, said=translation.said)
        translation.begin()
        source = stack.ref.program
        as_program = contextlib.nullcontext() if callable(source) or not stack.inline else as_file(source)
        with (
            surroundings(stack, preview=preview) as (environment, cwd, own),
            listening(program, translation.take) as host,
            as_program if translation.operation is Operation.UP else contextlib.nullcontext(),
        ):
            arguments = [*command, "--stack", stack.ref.stack, "--event-log", host.events, *own]
            arguments += ["--suppress-outputs", "--suppress-progress"]
            if stack.inline:
                arguments += ["--client", host.client, "--exec-kind", "auto.inline"]
            if self._parallel:
                arguments += ["--parallel", str(self._parallel)]
            for urn in options.targets:
                arguments += ["--target", urn]
            if options.target_dependents:
                arguments.append("--target-dependents")
            done = stack.cli.run(arguments, cwd=cwd, environment=environment)
        _raise_failures(stack, command[0], done, translation, program, environment)
        return program

    def _preview(self, stack: OpenStack, operation: Operation, on_event: OnEvent | None, options: Options) -> _Outcome:
        translation = Translation(stack.ref, operation, stack.snapshot, on_event, options.targets)
        outputs: dict[str, tuple[str, ...]] = {}
        with tempfile.TemporaryDirectory(prefix="flowinfra-plan-") as folder:
            saved = Path(folder) / "plan.json"
            command = [_COMMANDS[operation], "--preview-only"]
            if operation is Operation.UP:
                command = ["preview", "--save-plan", str(saved)]
            try:
                program = self._run(stack, command, translation, options, preview=True)
            except _NoStack:
                return self._preview(replace(stack, exists=False), operation, on_event, options)
            if saved.is_file():
                outputs = planned_outputs(json.loads(saved.read_text(encoding="utf-8")), stack)
        if operation is Operation.UP and stack.inline and not program.count and translation.deleted:
            from flowinfra.engine.pulumi.host import nothing_registered

            raise nothing_registered(f"{translation.deleted} resources of the stack would be deleted")
        return self._outcome(stack, translation, program, outputs)

    def _outcome(
        self, stack: OpenStack, translation: Translation, program: Program, outputs: Mapping[str, tuple[str, ...]]
    ) -> _Outcome:
        plan = translation.plan(program.registered, outputs, self.name)
        basis = Basis(state=stack.snapshot.digest) if stack.snapshot is not None else Basis()
        return _Outcome(plan.model_copy(update={"basis": basis}), program.count, stack.exists)

    def _change(
        self,
        ref: StackRef,
        operation: Operation,
        on_event: OnEvent | None,
        options: Options,
        approve: Approve | None,
        *,
        clear: bool = False,
    ) -> Plan:
        stack = self._open(ref)
        if stack.file is not None:
            stack.file.refuse_if_locked()
        registered = 0
        if operation is not Operation.REFRESH or approve is not None:
            while True:
                said: list[Event] = []
                outcome = self._preview(stack, operation, said.append, options)
                if not outcome.plan.applyable and not (clear and stack.snapshot and stack.snapshot.pending):
                    for event in said:
                        if on_event is not None and isinstance(event, LogEvent):
                            on_event(event)
                    return outcome.plan
                if approve is not None:
                    approve(outcome.plan)
                registered = outcome.registered
                stack = replace(stack, exists=outcome.exists)
                now = self._open(ref)
                if now.snapshot == stack.snapshot:
                    break
                stack = now  # somebody was faster than the preview
        settled = self._settle(stack)
        command = [_COMMANDS[operation], "--yes", "--skip-preview"]
        if clear:
            command.append("--clear-pending-creates")
        translation = Translation(ref, operation, stack.snapshot, on_event, options.targets)
        program = self._run(settled, command, translation, options, preview=False, must_register=registered > 0)
        return self._outcome(stack, translation, program, {}).plan

    def _settle(self, stack: OpenStack) -> OpenStack:
        """Make the state one that the CLI can begin with; the stack as it is then.

        The salt of its secrets goes into the state: else the CLI would write one into the settings of the stack, and a
        clone would not stay clean.
        """
        file, snapshot = stack.file, stack.snapshot
        if file is None or snapshot is None:
            if not stack.exists:
                with surroundings(stack, preview=False) as (environment, cwd, _):
                    command = ["stack", "init", "--no-select", "--stack", stack.ref.stack]
                    done = stack.cli.run(command, cwd=cwd, environment=environment)
                if done.code != 0:
                    raise EngineError(command_failure("stack init", done.code, done.stderr))
            return stack
        sealed = bool(stack.salt or stack.config.secrets_provider)
        if stack.exists and sealed and not snapshot.journaled:
            return stack
        home = Home.find(stack.ref.project_dir)
        root = file.backend.root
        if root is not None and root.is_relative_to(home.path):
            home.ensure()
        with file.lock():
            snapshot = file.fold()
            if not sealed:
                snapshot = replace(snapshot, salt=Crypter(stack.passphrase.need_or_make()).salt)
            if not stack.exists or not sealed:
                file.save(encode_snapshot(file.full_name, snapshot))
        return self._open(stack.ref)


class _NoStack(EngineError):
    """The CLI knows no such stack."""

    def __init__(self, stack: StackRef) -> None:
        super().__init__(
            error(
                "FI649",
                f"the backend has no stack `{stack.stack}`",
                detail=f"{stack.backend_url}, project {stack.project}",
                hint=f"run `flowinfra up`, or make it with `pulumi stack init {stack.stack}`",
            )
        )


def _raise_failures(
    stack: OpenStack,
    doing: str,
    done: Done,
    translation: Translation,
    program: Program,
    environment: Mapping[str, str],
) -> None:
    """Raise why a command failed, if it did.

    What the program raised comes first, unless it only ran into what the engine tells itself.
    """
    from flowinfra.engine.program import translated

    if done.code < 0:  # what the program raises then only follows from it
        raise EngineError(ended_by_signal(doing, -done.code))
    problem = program.problem
    if problem is not None:
        known = translated(problem, stack.ref.project_dir)
        ours = isinstance(known, FlowinfraError) and all(d.code != "FI600" for d in known.diagnostics)
        if ours or not (translation.failures and program.refused):
            raise known
    if done.code == 0:
        translation.forgive()
        return
    if translation.failures:
        raise EngineError(translation.failures)
    if no_stack(done.stderr):
        raise _NoStack(stack.ref)
    if not translation.ended:
        stack.cli.require_version(environment)
    raise EngineError(command_failure(doing, done.code, done.stderr or done.stdout))
