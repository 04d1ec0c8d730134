"""One stack as the Pulumi CLI finds it: its configuration, its passphrase, and what a preview must not touch.

Nothing here imports pulumi.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from flowinfra.engine.base import StackRef
from flowinfra.engine.config import Project, StackConfig
from flowinfra.engine.pulumi.command import PulumiCli
from flowinfra.engine.pulumi.events import changed_outputs
from flowinfra.engine.state.backend import Backend, StackFile, encode_snapshot
from flowinfra.engine.state.checkpoint import Snapshot
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.state.secrets import Passphrase, Vault

__all__ = ["OpenStack", "config_of", "planned_outputs", "surroundings"]

_PASSPHRASE: Final = "PULUMI_CONFIG_PASSPHRASE"


@dataclass(frozen=True)
class OpenStack:
    """A stack as it is before an operation."""

    ref: StackRef
    cli: PulumiCli
    config: StackConfig
    inline: bool
    """The program is one in Python, which runs in this process."""
    file: StackFile | None
    """Its state; None where only the CLI reads it."""
    snapshot: Snapshot | None
    exists: bool
    environment: Mapping[str, str]
    passphrase: Passphrase

    @property
    def salt(self) -> str | None:
        """The salt of its secrets; None if it has none yet."""
        return self.config.salt or (self.snapshot.salt if self.snapshot else None)


@contextlib.contextmanager
def surroundings(stack: OpenStack, *, preview: bool) -> Iterator[tuple[dict[str, str], Path, list[str]]]:
    """Environment, working directory and arguments of a command.

    The CLI writes the salt of its secrets into the settings of a stack that have none: where it is in the state, or
    nothing is to be written, they are a copy. What else a preview would write goes into a folder of its own: the empty
    state of a stack that does not exist, the journal that a killed operation of the embedded engine has left.
    """
    environment = dict(stack.environment)
    environment.update(_key(stack, preview=preview))
    arguments: list[str] = []
    cwd = stack.ref.project_dir
    if stack.config.salt is None and stack.snapshot is not None and stack.snapshot.salt is not None:
        environment["PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER"] = "true"  # instead of a second salt
    with tempfile.TemporaryDirectory(prefix="flowinfra-pulumi-") as name:
        folder = Path(name)
        if _project_file(stack.ref.project_dir) is None:  # a program that is a function needs no project
            (folder / "Pulumi.yaml").write_text(f"name: {stack.ref.project}\nruntime: python\n", encoding="utf-8")
            cwd = folder
            arguments = ["--config-file", str(stack.config.path)]
        if stack.config.salt is None and (preview or "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER" in environment):
            copy = folder / f"Pulumi.{stack.ref.stack}.yaml"
            there = stack.config.path.is_file()
            copy.write_bytes(stack.config.path.read_bytes() if there else b"")
            arguments = ["--config-file", str(copy)]
        if preview and (not stack.exists or (stack.snapshot is not None and stack.snapshot.journaled)):
            environment["PULUMI_BACKEND_URL"] = _stand_in(stack, folder / "backend")
        yield environment, cwd, arguments


def config_of(stack: StackRef) -> tuple[StackConfig, bool]:
    """The stack's configuration, and whether its program runs in this process."""
    file = _project_file(stack.project_dir)
    if file is None:
        path = stack.project_dir / f"Pulumi.{stack.stack}.yaml"
        return StackConfig(stack.project, path, {}, {}, None, "", ""), True
    project = Project.load(file)
    return project.config(stack.stack), project.runtime == "python" or callable(stack.program)


def _project_file(folder: Path) -> Path | None:
    return next((folder / n for n in ("Pulumi.yaml", "Pulumi.yml") if (folder / n).is_file()), None)


def _key(stack: OpenStack, *, preview: bool) -> dict[str, str]:
    """The passphrase, as the CLI takes it."""
    found = stack.passphrase.find()
    if found is None and stack.salt is not None:
        found = stack.passphrase.need()
    if found is None and stack.file is not None and not stack.config.secrets_provider:
        # A preview of a stack that has no secrets seals nothing that anybody will read.
        found = secrets.token_hex() if preview else stack.passphrase.need_or_make()
    return {} if found is None else {_PASSPHRASE: found}


def _stand_in(stack: OpenStack, folder: Path) -> str:
    """A backend for a preview: the stack as it would be, and its neighbours as they are."""
    backend = Backend.open(folder.as_uri())
    file = backend.stack(stack.ref.project, stack.ref.stack)
    file.save(encode_snapshot(file.full_name, stack.snapshot or Snapshot()))
    real = stack.file.backend.root if stack.file is not None else None
    here = backend.root
    if real is not None and here is not None and (real / "stacks").is_dir():
        for path in (real / "stacks").glob("*/*.json*"):
            link = here / "stacks" / path.parent.name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(path)
    return folder.as_uri()


def planned_outputs(saved: Mapping[str, Any], stack: OpenStack) -> dict[str, tuple[str, ...]]:
    """Names of outputs that change, by URN, out of the CLI's own plan: it has compared secret ones as well."""
    states = {r.urn: r for r in (stack.snapshot.resources if stack.snapshot else ())}
    vault = Vault(stack.passphrase, stack.salt)
    out: dict[str, tuple[str, ...]] = {}
    for urn, planned in (saved.get("resourcePlans") or {}).items():
        goal = planned.get("goal") or {}
        difference = goal.get("outputDiff") or {}
        if goal.get("custom") or "same" not in (planned.get("steps") or ()):
            continue
        names = [*(difference.get("adds") or {}), *(difference.get("deletes") or ())]
        updates: dict[str, Any] = difference.get("updates") or {}
        old = states.get(urn, ResourceState(urn, ""))
        known = replace(old, outputs={k: v for k, v in old.outputs.items() if k in updates})
        # The CLI names a whole output, also if what differs inside is only what no preview knows.
        after = vault.open_state(replace(old, outputs=updates)) if updates else known
        names += changed_outputs(vault.open_state(known).outputs, after.outputs)
        if names:
            out[urn] = tuple(names)
    return out
