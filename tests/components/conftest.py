"""Stack programs in process, on the embedded engine with the real provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from flowinfra.engine.base import StackRef
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.model.plan import Change, Plan
from flowinfra_providers.provider import FlowinfraProvider


@dataclass(frozen=True)
class Stack:
    """One stack of a project of the test."""

    folder: Path
    project: str
    name: str

    def engine(self) -> EmbeddedEngine:
        """An engine that knows the package flowinfra."""
        return EmbeddedEngine({"flowinfra": FlowinfraProvider})

    def ref(self, program: Callable[[], object]) -> StackRef:
        """The stack with *program*."""
        return StackRef(self.project, self.name, self.folder, program, (self.folder / "state").as_uri())

    def config(self, values: Mapping[str, Any]) -> None:
        """Write the stack's configuration."""
        (self.folder / f"Pulumi.{self.name}.yaml").write_text(yaml.safe_dump({"config": dict(values)}))

    def preview(self, program: Callable[[], object]) -> Plan:
        """What an up of *program* would do."""
        return self.engine().preview(self.ref(program))

    def up(self, program: Callable[[], object]) -> Plan:
        """Deploy *program*."""
        return self.engine().up(self.ref(program))

    def destroy(self, program: Callable[[], object]) -> Plan:
        """Delete what is deployed."""
        return self.engine().destroy(self.ref(program))

    def outputs(self, program: Callable[[], object]) -> Mapping[str, Any]:
        """The stack's outputs, secrets shown."""
        return self.engine().outputs(self.ref(program), show_secrets=True)


@pytest.fixture
def make_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Stack]:
    """Makes stacks that share one home, as the stacks of one machine do."""
    monkeypatch.setenv("FLOWINFRA_HOME", str(tmp_path / "home"))
    for name in ("FLOWINFRA_STORE", "PULUMI_CONFIG", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)

    def make(project: str = "proj", name: str = "dev") -> Stack:
        folder = tmp_path / project
        folder.mkdir(exist_ok=True)
        (folder / "Pulumi.yaml").write_text(f"name: {project}\nruntime: python\n")
        return Stack(folder, project, name)

    return make


@pytest.fixture
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """One stack."""
    return make_stack()


def by_kind(plan: Plan) -> dict[str, Change]:
    """The changes of the package flowinfra by the last part of their type."""
    return {c.type.rsplit(":", 1)[-1]: c for c in plan.changes if c.type.startswith("flowinfra:")}
