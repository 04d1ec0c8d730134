"""Where a project keeps what flowinfra writes: one folder, ``.flowinfra/``, that git does not see."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flowinfra.diagnostics import PackagingError, error
from flowinfra.packaging.store import absolute_url
from flowinfra.wire import ENV_STORE

__all__ = ["ENV_HOME", "FOLDER", "Home"]

#: Environment variable that names the folder itself instead of having it found.
ENV_HOME: Final = "FLOWINFRA_HOME"

#: The folder's name inside a project.
FOLDER: Final = ".flowinfra"

_PROJECT_FILE: Final = "Pulumi.yaml"


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of a project in which everything local lies.

    Attributes:
        path: the folder itself, absolute.
        project_dir: the project that it belongs to: the folder with ``Pulumi.yaml``, else the one that was started in.
        store_url: the object store of the project's runs.
    """

    path: Path
    project_dir: Path
    store_url: str

    @classmethod
    def find(cls, start: Path | str | None = None, environ: Mapping[str, str] | None = None) -> Home:
        """The home of whoever works in *start* (default: the current folder); reads folders and writes nothing.

        The path is ``FLOWINFRA_HOME``, else ``.flowinfra`` in the nearest folder at or above *start* that has it or a
        ``Pulumi.yaml``, else ``.flowinfra`` in *start*. The store is ``FLOWINFRA_STORE``, else ``store/`` in the home.
        """
        env = os.environ if environ is None else environ
        here = Path(start if start is not None else os.curdir).resolve()
        project = next((folder for folder in (here, *here.parents) if _is_project(folder)), here)
        given = env.get(ENV_HOME)
        path = Path(given).expanduser().resolve() if given else project / FOLDER
        store = env.get(ENV_STORE)
        return cls(path, project, absolute_url(store) if store else (path / "store").as_uri())

    @property
    def state_dir(self) -> Path:
        """The root of Pulumi's file backend; the state itself lies in ``.pulumi/`` below it."""
        return self.path / "state"

    @property
    def cache(self) -> Path:
        """What can be made again: unpacked bundles and the like."""
        return self.path / "cache"

    @property
    def database(self) -> Path:
        """The Local orchestrator's SQLite file: deployments and the run queue."""
        return self.path / "local.db"

    @property
    def passphrase_file(self) -> Path:
        """The generated passphrase that encrypts secrets in the state; whoever writes it gives it mode 0600."""
        return self.path / "passphrase"

    @property
    def workers(self) -> Path:
        """What the Local orchestrator's workers write about themselves."""
        return self.path / "workers"

    def ensure(self) -> Home:
        """Make the folder, with a ``.gitignore`` of ``*`` so that a clone stays clean; harmless if it is there.

        Raises:
            PackagingError: FI406, the folder cannot be made.
        """
        ignore = self.path / ".gitignore"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)  # artifacts are their owner's
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
        except OSError as exc:
            raise PackagingError(
                error(
                    "FI406",
                    f"the folder {self.path} cannot be made: {exc.strerror or exc}",
                    detail="flowinfra keeps state, runs and caches of a project there.",
                    hint=f"make the folder writable, free space, or set {ENV_HOME} to another folder",
                )
            ) from exc
        return self


def _is_project(folder: Path) -> bool:
    return os.path.isdir(folder / FOLDER) or os.path.isfile(folder / _PROJECT_FILE)
