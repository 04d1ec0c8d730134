"""The targets that the conformance test of ``Deployer`` runs on, each with a driver that prepares a place for it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Protocol

from flowinfra import Deployer
from flowinfra.control.deployer.facade import TargetDeployer
from flowinfra.orchestrators.local.launch import worker_lock
from flowinfra.packaging.home import Home

FLOW = """
import datetime
import time
from pathlib import Path

from flowinfra import FlowSpec, JSONType, Parameter, get_namespace, step


class Hello(FlowSpec):
    alpha = Parameter("alpha", type=int, default=3)
    word = Parameter("word", default="old")
    when = Parameter("when", type=datetime.date, default=datetime.date(2030, 1, 1))
    more = Parameter("more", type=JSONType, default=None)
    wait_for = Parameter("wait-for", default="")

    @step
    def start(self):
        while self.wait_for and not Path(self.wait_for).exists():
            time.sleep(0.01)
        self.next(self.end)

    @step
    def end(self):
        self.result = [self.alpha, self.word, self.when.isoformat(), self.more]
        self.namespace = get_namespace()
"""


class Driver(Protocol):
    """What a target needs for the test; a class per target."""

    word: ClassVar[str]
    """The method of Deployer, and the word for the target."""
    words: ClassVar[Mapping[str, str]]
    """How it words ``running``, ``succeeded``, ``stopped`` and ``timed_out``."""

    @property
    def folder(self) -> Path:
        """The project."""
        ...

    def environment(self, user: str) -> dict[str, str]:
        """The variables of a user who works there."""
        ...

    def prepare(self) -> None:
        """Make the project, so that nothing of the machine is found instead."""
        ...

    def settle(self) -> None:
        """End what goes on."""
        ...


@dataclass(frozen=True)
class LocalDriver:
    """A project of its own; its worker ends with the test."""

    folder: Path
    word: ClassVar[str] = "local"
    words: ClassVar[Mapping[str, str]] = {
        "running": "running",
        "succeeded": "succeeded",
        "stopped": "stopped",
        "timed_out": "timed_out",
    }

    def environment(self, user: str) -> dict[str, str]:
        return {
            "FLOWINFRA_USER": user,
            "FLOWINFRA_CONFIG_HOME": str(self.folder.parent / f"settings-of-{user}"),
        }

    def prepare(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "Pulumi.yaml").write_text("name: shop\nruntime: python\n", encoding="utf-8")
        (self.folder / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
        (self.folder / "hello.py").write_text(FLOW, encoding="utf-8")

    def settle(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(worker_lock(Home.find(self.folder)).read_text()), signal.SIGTERM)


@dataclass(frozen=True)
class User:
    """Somebody who deploys there: his environment, and what his Deployer is."""

    driver: Driver
    name: str
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.driver.folder)

    def deployer(self, name: str | None = None, flow: str = "hello.py", **top: Any) -> TargetDeployer:
        deployer = Deployer(
            str(self.folder / flow),
            show_output=False,
            cwd=self.folder,
            env=self.driver.environment(self.name),
            **top,
        )
        made: TargetDeployer = getattr(deployer, self.driver.word)(name=name)
        return made

    def tokens(self) -> list[Path]:
        """The files in which his tokens are."""
        return sorted(Path(self.driver.environment(self.name)["FLOWINFRA_CONFIG_HOME"]).glob("tokens/*"))


def tree(folder: Path) -> dict[str, str]:
    """Everything below a folder: folders, and files by their content and time; databases by their time alone.

    Reading one in the process that has it open would free SQLite's locks on it.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        state = path.stat()
        database = path.name.startswith("local.db")
        content = sha256(path.read_bytes()).hexdigest() if path.is_file() and not database else "not read"
        found[str(path.relative_to(folder))] = json.dumps([content, state.st_mtime_ns])
    return found
