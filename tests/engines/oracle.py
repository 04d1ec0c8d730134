"""One project, seen by the real CLI and by the embedded engine, on the same state."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engines.toy.provider import Toy
from flowinfra.diagnostics import EngineError
from flowinfra.engine.base import Options, StackRef
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.engine.state.secrets import Passphrase
from flowinfra.model.plan import Action, Operation, Plan
from pulumi_cli import PulumiCli

TESTS = Path(__file__).resolve().parents[1]
PROGRAM = TESTS / "engines" / "toy" / "program" / "__main__.py"

_LOG = logging.getLogger(__name__)

Ops = list[tuple[str, str]]


@dataclass(frozen=True)
class Both:
    """A project folder with both engines."""

    cli: PulumiCli
    project: Path
    cloud: Path
    stack: str = "dev"
    said: list[str] = field(default_factory=list)
    """What the real engine said whenever it refused a plan."""

    @classmethod
    def create(cls, engines: Path, root: Path) -> Both:
        """A project with the toy provider; the state lies where the CLI keeps it."""
        project, cloud, plugins = root / "project", root / "cloud", root / "plugins"
        for folder in (project, cloud, plugins):
            folder.mkdir()
        plugin = plugins / "pulumi-resource-toy"
        # The shell starts the interpreter by its path: a first line has a short limit.
        plugin.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m engines.toy.provider "$@"\n', encoding="utf-8")
        plugin.chmod(0o755)
        (project / "Pulumi.yaml").write_text(
            "name: proj\nruntime: python\nplugins:\n  providers:\n    - {name: toy, path: ../plugins}\n",
            encoding="utf-8",
        )
        (project / "__main__.py").write_text(PROGRAM.read_text(encoding="utf-8"), encoding="utf-8")
        cli = PulumiCli.create(engines, root / "pulumi", variables={"TOY_DIR": str(cloud), "PYTHONPATH": str(TESTS)})
        both = cls(cli, project, cloud)
        both.set()
        return both

    def named(self, stack: str) -> Both:
        """The same project, another stack."""
        return replace(self, stack=stack)

    def set(self, **settings: Any) -> None:
        """Change the program."""
        (self.project / "settings.json").write_text(json.dumps(settings), encoding="utf-8")

    # -- the embedded engine

    @property
    def engine(self) -> EmbeddedEngine:
        passphrase = Passphrase(environment={"PULUMI_CONFIG_PASSPHRASE": self.cli.passphrase})
        return EmbeddedEngine({"toy": lambda: Toy(self.cloud)}, passphrase=passphrase)

    @property
    def ref(self) -> StackRef:
        return StackRef("proj", self.stack, self.project, self.project, self.cli.backend.as_uri())

    def ours(self, *targets: str, dependents: bool = False, operation: Operation = Operation.UP) -> Ops | None:
        """What the embedded engine would do; ``None`` if it refuses."""
        options = Options(targets=targets, target_dependents=dependents)
        try:
            return planned(self.engine.preview(self.ref, operation=operation, options=options))
        except EngineError as problem:
            _LOG.warning("%s", problem)  # pytest shows it if the other engine does not refuse
            return None

    # -- the real one

    def real(self, *arguments: str, check: bool = True) -> str:
        """Run the CLI on the stack; what it printed."""
        result = self.cli.run(*arguments, cwd=self.project, stack=self.stack, check=check)
        return result.stdout + result.stderr

    def theirs(
        self, *targets: str, dependents: bool = False, command: Sequence[str] = ("preview", "--json")
    ) -> Ops | None:
        """What the real engine would do; ``None`` if it refuses."""
        arguments = [*command, *(f"--target={t}" for t in targets), *(["--target-dependents"] if dependents else ())]
        result = self.cli.run(*arguments, cwd=self.project, stack=self.stack, check=False)
        if result.returncode != 0:
            self.said.append(result.stdout + result.stderr)
            _LOG.warning("%s\n%s", result.stdout[result.stdout.find('"diagnostics"') :], result.stderr)
            return None
        steps = json.loads(result.stdout).get("steps", [])
        return sorted(
            (s["op"], short(s["urn"]))
            for s in steps
            if s["op"] not in ("same", "create-replacement", "delete-replaced", "discard-replaced", "read-replacement")
        )

    # -- what is there

    @property
    def exists(self) -> bool:
        """Whether there is a state."""
        return (self.cli.backend / ".pulumi" / "stacks" / "proj" / f"{self.stack}.json").exists()

    @property
    def checkpoint(self) -> dict[str, Any]:
        path = self.cli.backend / ".pulumi" / "stacks" / "proj" / f"{self.stack}.json"
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return document

    def resources(self) -> list[dict[str, Any]]:
        """The resources in the state."""
        found: list[dict[str, Any]] = self.checkpoint["checkpoint"]["latest"].get("resources", [])
        return found

    def comparable(self) -> dict[str, Any]:
        """The resources in the state without what must differ: ids, names drawn at random, times, ciphertext."""
        out: dict[str, Any] = {}
        for resource in self.resources():
            text = json.dumps({k: v for k, v in resource.items() if k not in ("created", "modified", "stackTrace")})
            text = text.replace(f"urn:pulumi:{self.stack}::", "urn:pulumi:S::").replace(f"proj-{self.stack}", "proj-S")
            text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "UUID", text)
            text = re.sub(r"(toy|other)-[0-9a-f]{8}", r"\1-ID", text, flags=re.IGNORECASE)
            text = re.sub(r"-[0-9a-f]{7}\b", "-RANDOM", text)
            text = re.sub(r"v1:[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+", "CIPHER", text)
            entry = json.loads(text)
            entry["dependencies"] = sorted(entry.get("dependencies", []))
            entry["propertyDependencies"] = {k: sorted(v) for k, v in entry.get("propertyDependencies", {}).items()}
            out[entry["urn"]] = entry
        return out

    def things_alive(self) -> bool:
        """Whether what the state knows and what exists are the same."""
        known = {r["id"] for r in self.resources() if r["type"] == "toy:index:Thing" and not r.get("external")}
        return known == {p.stem for p in self.cloud.iterdir()}


def short(urn: str) -> str:
    return urn.split("::", 2)[2]


def planned(plan: Plan) -> Ops:
    """The operations of a plan as the CLI names them."""
    words: Mapping[Action, str] = {a: a.value for a in Action}
    return sorted((words[c.action], short(c.address)) for c in plan.changes if c.action is not Action.SAME)


__all__ = ["Both", "Ops", "planned", "short"]
