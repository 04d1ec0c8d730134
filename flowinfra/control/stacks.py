"""Opening a stack: which project, which stack, which settings, which engine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import unquote

from flowinfra.canonical import framed_digest
from flowinfra.diagnostics import ConfigurationError, error, nearest
from flowinfra.engine.base import Engine, Program, StackRef
from flowinfra.engine.config import Project
from flowinfra.engine.state.backend import Backend
from flowinfra.packaging.home import Home

if TYPE_CHECKING:
    from flowinfra.components.settings import Settings  # loads pulumi, which is for commands that need a plan

__all__ = [
    "OpenStack",
    "backend_url",
    "deselect_stack",
    "domain_of",
    "is_own_stack",
    "known_stacks",
    "open_own_stack",
    "open_stack",
    "own_stack",
    "project_at",
    "require_stack",
    "select_stack",
    "selected_stack",
]

_SELECTED = "stack"  # the file in the home that keeps the selected stack of each project

_DEFAULT: Final = "dev"
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")
#: ``<domain>.of.<user>.<flow>-<deployment>-<8 hex digits>``
_OWN: Final = re.compile(r".+\.of\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+-[0-9a-f]{8}")


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


def own_stack(domain: str, user: str, target: str, full_name: str) -> str:
    """The name of the stack that a ``Deployer`` applies for one deployment; see docs/decisions/0025.

    Args:
        domain: the stack that is selected.
        user: whose stack it is.
        target: the word for what the deployment runs on.
        full_name: of the deployment.
    """
    digest = framed_digest("flowinfra own stack", domain, user, target, full_name)[:8]

    def word(text: str, most: int) -> str:
        return re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:most].strip("-") or "x"

    return f"{domain[:30]}.of.{word(user, 20)}.{word(full_name, 30)}-{digest}"


def is_own_stack(name: str) -> bool:
    """Whether :func:`own_stack` makes such names."""
    return _OWN.fullmatch(name) is not None


def project_at(home: Home) -> Project:
    """The project of *home*; where it has no ``Pulumi.yaml``, one that is called like its folder and has no program.

    Raises:
        ConfigurationError: FI902 to FI904, its file cannot be read.
    """
    for name in ("Pulumi.yaml", "Pulumi.yml"):
        if (home.project_dir / name).is_file():
            return Project.load(home.project_dir / name)
    folder = home.project_dir
    name = _NO_NAME.sub("-", folder.name)[:100].strip("-") or "project"
    return Project(name, folder / "Pulumi.yaml", folder, "python", folder)


def domain_of(home: Home, project: Project) -> str:
    """The stack within which a deployment of Python's has its name: the selected one; ``dev`` where there is none.

    Raises:
        ConfigurationError: FI930, there are several, and none is selected.
    """
    if not os.environ.get("PULUMI_STACK") and not known_stacks(home, project):
        return _DEFAULT
    return selected_stack(home, project)


def open_own_stack(home: Home, project: Project, domain: str, stack: str, program: Program) -> OpenStack:
    """Open a stack of :func:`own_stack` for *program*; the settings are those of *domain*.

    Raises:
        ConfigurationError: these settings are wrong.
    """
    from flowinfra.components.settings import Settings

    settings = Settings.from_config(domain, project.config(domain).all_values)
    ref = StackRef(project.name, stack, project.folder, program, backend_url(home, project), settings_of=domain)
    return OpenStack(home, project, domain, settings, ref, _engine("embedded", None))


def known_stacks(home: Home, project: Project, *, own: bool = False) -> list[str]:
    """The stacks that have a configuration file or a state, by name; those of :func:`own_stack` only if *own*."""
    prefix, suffix = "Pulumi.", ".yaml"
    files = {f.name[len(prefix) : -len(suffix)] for f in project.config_dir.glob(f"{prefix}*{suffix}")}
    backend = backend_url(home, project)
    ours = backend.startswith(("file://", "s3://"))
    states = set(Backend.open(backend).stacks(project.name)) if ours else set()
    return sorted(name for name in files | states if own or not is_own_stack(name))


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
    if len(there) == 1 or _DEFAULT in there:
        return there[0] if len(there) == 1 else _DEFAULT
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
    program = _refuse_program if is_own_stack(stack) else project.main
    ref = StackRef(project.name, stack, project.folder, program, backend_url(home, project))
    return OpenStack(home, project, stack, settings, ref, chosen)


def _refuse_program() -> NoReturn:
    raise ConfigurationError(
        error(
            "FI891",
            "this stack has no program: a Deployer has made it, for one deployment",
            detail="The program of the project would delete what is deployed with it.",
            hint="deploy again with Deployer(...).create(), or remove it with `flowinfra destroy`",
        )
    )


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
    there = known_stacks(home, project, own=is_own_stack(name))
    if name not in there:
        raise ConfigurationError(
            error(
                "FI930",
                f"the project {project.name} has no stack `{name}`{nearest(name, there)}",
                detail=f"its stacks are {', '.join(there)}" if there else "it has no stack yet",
                hint=f"flowinfra stack init {name}",
            )
        )
