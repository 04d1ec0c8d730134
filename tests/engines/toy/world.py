"""A stack of toy resources whose cloud is a folder, run in process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engines.toy.provider import Toy
from flowinfra.engine.base import Event, StackRef
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.engine.state.secrets import Passphrase
from flowinfra.model.plan import Action, Change, Plan


@dataclass
class World:
    """One project in a folder of its own."""

    root: Path
    passphrase: str = "correct horse"
    stack: str = "dev"
    events: list[Event] = field(default_factory=list)

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def cloud(self) -> Path:
        return self.root / "cloud"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def secrets(self) -> Passphrase:
        return Passphrase(environment={"PULUMI_CONFIG_PASSPHRASE": self.passphrase})

    def engine(self, **options: Any) -> EmbeddedEngine:
        options.setdefault("passphrase", self.secrets)
        return EmbeddedEngine({"toy": lambda: Toy(self.cloud)}, **options)

    def ref(self, program: Callable[[], object] | Path) -> StackRef:
        return StackRef("proj", self.stack, self.project, program, self.state.as_uri())

    def up(self, program: Callable[[], object] | Path) -> Plan:
        return self.engine().up(self.ref(program), self.events.append)

    def preview(self, program: Callable[[], object] | Path, **options: Any) -> Plan:
        return self.engine().preview(self.ref(program), **options)

    def destroy(self) -> Plan:
        return self.engine().destroy(self.ref(nothing), self.events.append)

    def refresh(self, **options: Any) -> Plan:
        return self.engine().refresh(self.ref(nothing), **options)

    def outputs(self, *, show_secrets: bool = True) -> dict[str, Any]:
        return self.engine().outputs(self.ref(nothing), show_secrets)

    def named(self, stack: str) -> World:
        return replace(self, stack=stack)

    @property
    def file(self) -> Path:
        return self.state / ".pulumi" / "stacks" / "proj" / f"{self.stack}.json"

    @property
    def latest(self) -> dict[str, Any]:
        latest: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))["checkpoint"]["latest"]
        return latest

    def resources(self) -> dict[str, dict[str, Any]]:
        """What the state holds, by name."""
        return {r["urn"].rpartition("::")[2]: r for r in self.latest.get("resources", [])}

    def live(self) -> list[dict[str, Any]]:
        """What exists in the cloud."""
        return [json.loads(p.read_text(encoding="utf-8")) for p in sorted(self.cloud.iterdir())]

    def hashes(self) -> dict[str, str]:
        """Every file of the world with a digest of its content and the time of its last change."""
        return {
            str(p.relative_to(self.root)): f"{hashlib.sha256(p.read_bytes()).hexdigest()} {p.stat().st_mtime_ns}"
            for p in sorted(self.root.rglob("*"))
            if p.is_file()
        }


def nothing() -> None:
    """A program that registers nothing."""


def change(plan: Plan, name: str) -> Change:
    """The change of the resource *name*."""
    return next(c for c in plan.changes if c.name == name)


def actions(plan: Plan) -> dict[str, str]:
    """What is planned, by name, without what stays the same."""
    return {c.name: c.action.value for c in plan.changes if c.action is not Action.SAME}
