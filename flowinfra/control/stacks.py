"""Opening a stack: which project, which stack, which settings, which engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from flowinfra.diagnostics import ConfigurationError, error, nearest
from flowinfra.engine.base import Engine, StackRef
from flowinfra.engine.config import Project
from flowinfra.engine.state.backend import Backend
from flowinfra.packaging.home import Home

if TYPE_CHECKING:
    from flowinfra.components.settings import Settings  # loads pulumi, which is for commands that need a plan

__all__ = [
    "OpenStack",
    "backend_url",
    "deselect_stack",
    "known_stacks",
    "open_stack",
    "require_stack",
    "select_stack",
    "selected_stack",
]

_SELECTED = "stack"  # the file in the home that keeps the selected stack of each project


@dataclass(frozen=True, slots=True)
class OpenStack:
    """A stack, ready for an engine."""

    home: Home
    project: Project
    stack: str
    settings: Settings
    ref: StackRef
    engine: Engine


def backend_url(home: Home, project: Project | None = None, *, environ: Mapping[str, str] | None = None) -> str:
    """Where states are kept: ``PULUMI_BACKEND_URL``, else ``backend`` in Pulumi.yaml, else the project's own folder.

    As for the real CLI, a relative ``file://`` URL starts at the folder that the command works in, and ``~`` is the
    user's home. The result is absolute: programs change the folder.
    """
    given = (os.environ if environ is None else environ).get("PULUMI_BACKEND_URL") or (project and project.backend)
    if not given:
        return home.state_dir.as_uri()
    path = unquote(given.removeprefix("file://"))
    if not given.startswith("file://") or path.startswith("/"):
        return given
    return Path(path or ".").expanduser().absolute().as_uri()


def known_stacks(home: Home, project: Project) -> list[str]:
    """The stacks that have a configuration file or a state, by name."""
    prefix, suffix = "Pulumi.", ".yaml"
    files = {f.name[len(prefix) : -len(suffix)] for f in project.config_dir.glob(f"{prefix}*{suffix}")}
    backend = backend_url(home, project)
    ours = backend.startswith(("file://", "s3://"))
    states = set(Backend.open(backend).stacks(project.name)) if ours else set()
    return sorted(files | states)


def selected_stack(home: Home, project: Project) -> str:
    """The stack that commands mean without ``--stack``.

    ``PULUMI_STACK``, else what ``flowinfra stack select`` chose, else the only stack, else ``dev``.

    Raises:
        ConfigurationError: there is none of these (FI930).
    """
    given = os.environ.get("PULUMI_STACK")
    if given:
        return given
    chosen = home.path / _SELECTED
    if chosen.is_file():
        return chosen.read_text(encoding="utf-8").strip()
    there = known_stacks(home, project)
    if len(there) == 1 or "dev" in there:
        return there[0] if len(there) == 1 else "dev"
    raise ConfigurationError(
        error(
            "FI930",
            "no stack is selected" if there else f"the project {project.name} has no stack",
            detail=f"its stacks are {', '.join(there)}" if there else "a stack is one environment of the project",
            hint="flowinfra stack select NAME, or --stack NAME" if there else "flowinfra stack init dev",
        )
    )


def select_stack(home: Home, project: Project, name: str) -> None:
    """Make *name* the stack that commands mean without ``--stack``.

    Raises:
        ConfigurationError: there is no such stack (FI930).
    """
    require_stack(home, project, name)
    home.ensure()
    (home.path / _SELECTED).write_text(f"{name}\n", encoding="utf-8")


def deselect_stack(home: Home, name: str) -> None:
    """Forget the choice of *name*, if it is the one that was chosen."""
    chosen = home.path / _SELECTED
    if chosen.is_file() and chosen.read_text(encoding="utf-8").strip() == name:
        chosen.unlink()


def open_stack(cwd: Path, name: str | None = None, *, engine: str | None = None, base: Path | None = None) -> OpenStack:
    """Open the stack *name* (default: the selected one) of the project that *cwd* lies in.

    Args:
        cwd: a folder in the project.
        name: which stack.
        engine: ``embedded``, ``pulumi``, or ``recorder`` for previews offline; by default what the settings say.
        base: for the recorder: the snapshot to compare with. The stack may be one that this machine does not know.

    Raises:
        ConfigurationError: there is no project or no such stack, or its settings are wrong.
    """
    project = Project.find(cwd)
    home = Home.find(cwd)
    stack = name or selected_stack(home, project)
    if base is None:
        require_stack(home, project, stack)
    from flowinfra.components.settings import Settings

    config = project.config(stack)
    settings = Settings.from_config(stack, config.all_values)
    chosen = _engine(engine or settings.default_engine(), base)
    ref = StackRef(project.name, stack, project.folder, project.main, backend_url(home, project))
    return OpenStack(home, project, stack, settings, ref, chosen)


def _engine(name: str, base: Path | None) -> Engine:
    match name:
        case "recorder":
            from flowinfra.control.snapshotkey import snapshot_key
            from flowinfra.engine.recorder import RecorderEngine

            return RecorderEngine(base, key=snapshot_key() if base is not None else None)
        case "pulumi":
            from flowinfra.engine.pulumi import PulumiEngine

            return PulumiEngine()
        case _:
            from flowinfra.engine.embedded import EmbeddedEngine

            return EmbeddedEngine()


def require_stack(home: Home, project: Project, name: str) -> None:
    """Refuse a stack that does not exist.

    Raises:
        ConfigurationError: there is no such stack (FI930).
    """
    there = known_stacks(home, project)
    if name not in there:
        raise ConfigurationError(
            error(
                "FI930",
                f"the project {project.name} has no stack `{name}`{nearest(name, there)}",
                detail=f"its stacks are {', '.join(there)}" if there else "it has no stack yet",
                hint=f"flowinfra stack init {name}",
            )
        )
