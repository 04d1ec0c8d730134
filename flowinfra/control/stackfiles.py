"""The files of stacks: listing, making and removing stacks, and changing their configuration, in Pulumi's own files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowinfra.control.stacks import (
    backend_url,
    deselect_stack,
    known_stacks,
    require_stack,
    select_stack,
    selected_stack,
)
from flowinfra.diagnostics import ConfigurationError, EngineError, error
from flowinfra.engine.config import Project, StackConfig
from flowinfra.engine.state.backend import Backend, StackFile
from flowinfra.model.plan import counts
from flowinfra.packaging.home import Home

if TYPE_CHECKING:
    from flowinfra.engine.state.resources import ResourceState
    from flowinfra.engine.state.secrets import Crypter

__all__ = ["Setting", "StackFiles", "StackInfo"]

_SETTINGS = "flowinfra:"
_NEW = "config:\n  flowinfra:target: local\n"


@dataclass(frozen=True, slots=True)
class StackInfo:
    """What is known of a stack without running anything.

    Attributes:
        name: its name.
        selected: whether commands mean it without ``--stack``.
        resources: how many its state has, counted as plans count them; None if there is no state yet.
        updated: when its state was last changed.
        problem: the code of what is wrong with its state, if it cannot be read.
    """

    name: str
    selected: bool
    resources: int | None
    updated: datetime | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of a stack's configuration.

    Attributes:
        key: with its namespace.
        value: the value; None if it is secret and was not opened.
        secret: whether it is kept encrypted.
    """

    key: str
    value: Any
    secret: bool


@dataclass(frozen=True, slots=True)
class StackFiles:
    """The stacks of one project.

    Attributes:
        home: where the project keeps what is local.
        project: what Pulumi.yaml says.
    """

    home: Home
    project: Project

    @classmethod
    def find(cls, cwd: Path) -> StackFiles:
        """Those of the project that *cwd* lies in.

        Raises:
            ConfigurationError: FI901 to FI904, there is none, or it cannot be read.
        """
        return cls(Home.find(cwd), Project.find(cwd))

    # -- stacks ---------------------------------------------------------------------------------------------------

    def stacks(self) -> list[StackInfo]:
        """All stacks, by name."""
        try:
            selected = selected_stack(self.home, self.project)
        except ConfigurationError:  # nothing is selected
            selected = ""
        return [self._info(name, name == selected) for name in known_stacks(self.home, self.project)]

    def _info(self, name: str, selected: bool) -> StackInfo:
        file = self._file(name)
        if not file.exists:
            return StackInfo(name, selected, None, None)
        try:
            seconds = file.updated
            updated = None if seconds is None else datetime.fromtimestamp(seconds, UTC).astimezone()
            return StackInfo(name, selected, _counted(file.read().resources), updated)
        except EngineError as problem:  # one that is damaged hides no other
            return StackInfo(name, selected, None, None, problem.diagnostics[0].code)

    def name(self, given: str | None) -> str:
        """The stack *given*, or the selected one.

        Raises:
            ConfigurationError: FI930, there is no such stack, or none is selected.
        """
        name = given or selected_stack(self.home, self.project)
        require_stack(self.home, self.project, name)
        return name

    def select(self, name: str) -> None:
        """Make *name* the stack that commands mean without ``--stack``.

        Raises:
            ConfigurationError: FI930, there is no such stack.
        """
        select_stack(self.home, self.project, name)

    def init(self, name: str) -> list[Path]:
        """Make a stack and select it; the files that were made.

        Raises:
            ConfigurationError: FI905, that is no name for a stack; FI940, it is there.
            EngineError: its state cannot be written.
        """
        config = self.project.config(name)
        file = self._file(name)
        if file.exists:
            raise ConfigurationError(
                error(
                    "FI940",
                    f"the project {self.project.name} has a stack `{name}` already",
                    detail=f"its state is {file.where}",
                    hint=f"flowinfra stack select {name}",
                )
            )
        made = []
        if not config.path.exists():
            _write(config.path, _NEW)
            made.append(config.path)
        self.home.ensure()
        file.create()
        made.append(Path(file.where))
        self.select(name)
        return made

    def remove(self, name: str, *, force: bool = False, keep_config: bool = False) -> int:
        """Remove a stack: its state, its history, and its configuration; how many resources were forgotten.

        Args:
            name: which one.
            force: also if it still has resources; they stay where they are, and nobody knows of them any more.
            keep_config: leave ``Pulumi.<stack>.yaml`` there.

        Raises:
            ConfigurationError: FI930, there is no such stack.
            EngineError: FI941, it has resources; FI620, an operation is under way.
        """
        name = self.name(name)
        file = self._file(name)
        count = 0
        if file.exists:
            with file.lock():
                resources = file.read().resources
                count = _counted(resources)
                if resources and not force:
                    raise EngineError(
                        error(
                            "FI941",
                            f"the stack `{name}` still has {count} resource{'s' if count != 1 else ''}",
                            detail="without its state nobody would know of them any more",
                            hint=f"flowinfra destroy --stack {name}, or --force to forget them",
                        )
                    )
                file.remove()
        deselect_stack(self.home, name)
        config = self.project.config(name).path
        if not keep_config:
            with contextlib.suppress(FileNotFoundError):
                config.unlink()
        return count

    def _file(self, name: str) -> StackFile:
        return Backend.open(backend_url(self.home, self.project)).stack(self.project.name, name)

    # -- configuration --------------------------------------------------------------------------------------------

    def settings(self, stack: str, *, show_secrets: bool = False) -> list[Setting]:
        """All values that hold for *stack*, by key; secret ones as None unless they are shown.

        Raises:
            EngineError: FI621 to FI623, secrets are asked for and cannot be opened.
        """
        config = self.project.config(stack)
        return [self._setting(stack, config, key, show_secrets) for key in sorted(config.all_values)]

    def setting(self, stack: str, key: str, *, show_secrets: bool = True) -> Setting:
        """One value.

        Raises:
            ConfigurationError: FI908, it is not set.
            EngineError: as :meth:`settings`.
        """
        config = self.project.config(stack)
        return self._setting(stack, config, config.key(key), show_secrets)

    def set(self, stack: str, key: str, value: str, *, secret: bool = False) -> None:
        """Set a value, encrypted if it is secret.

        Raises:
            ConfigurationError: FI906 or FI909, that is no key, or the file cannot be written; FI920 or FI921, there is
                no such setting of flowinfra, or it takes another value.
        """
        config = self.project.config(stack)
        if config.key(key).startswith(_SETTINGS):
            from flowinfra.components.settings import Settings

            Settings.from_config(stack, {config.key(key): value})
        if not secret:
            config.set(key, value)
            return
        self.home.ensure()  # the passphrase may be made there
        config.set(key, value, crypter=self._crypter(stack))

    def unset(self, stack: str, key: str) -> None:
        """Remove a value.

        Raises:
            ConfigurationError: FI908, the stack does not set it; FI909, the file cannot be written.
        """
        self.project.config(stack).remove(key)

    def _setting(self, stack: str, config: StackConfig, key: str, show_secrets: bool) -> Setting:
        secret = config.is_secret(key)
        if not secret:
            return Setting(key, config.get(key), False)
        if not show_secrets:
            return Setting(key, None, True)
        config.refuse_other_providers()
        return Setting(key, config.reveal(key, self._crypter(stack).decrypt), True)

    def _crypter(self, stack: str) -> Crypter:
        from flowinfra.engine.base import StackRef
        from flowinfra.engine.embedded import EmbeddedEngine

        url = backend_url(self.home, self.project)
        return EmbeddedEngine().config_crypter(
            StackRef(self.project.name, stack, self.project.folder, self.project.main, url)
        )


def _counted(resources: Iterable[ResourceState]) -> int:
    return sum(counts(r.custom, r.type) for r in resources)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as why:
        raise ConfigurationError(
            error(
                "FI909",
                f"{path.name} cannot be written",
                detail=str(why.strerror or why),
                hint="look at free space and permissions there",
            )
        ) from why
