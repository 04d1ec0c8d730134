"""The real Pulumi CLI, run offline and away from whatever the machine has of Pulumi."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

# Nothing else of the caller's environment reaches the CLI: no login, no account, no CI vendor.
INHERITED = ("LANG", "LC_ALL", "TMPDIR", "TZ")


class PulumiCliError(Exception):
    """A command of the CLI ended with an unexpected exit code; carries all that it printed."""

    def __init__(self, result: subprocess.CompletedProcess[str]) -> None:
        super().__init__(
            f"{' '.join(map(str, result.args))}: exit code {result.returncode}\n"
            f"--- stdout\n{result.stdout}\n--- stderr\n{result.stderr}"
        )
        self.result = result


@dataclass(frozen=True)
class PulumiCli:
    """One isolated user of the CLI: a home, a file backend and a passphrase of their own."""

    engines: Path
    """The folder with ``pulumi`` and its language host."""
    root: Path
    passphrase: str = "correct horse battery staple"
    path: tuple[Path, ...] = ()
    """More folders for PATH, such as those of provider plugins."""
    variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def create(
        cls,
        engines: Path,
        root: Path,
        *,
        path: tuple[Path, ...] = (),
        variables: Mapping[str, str] | None = None,
    ) -> Self:
        """Make the folders below ``root`` and return the CLI that uses them."""
        cli = cls(engines, root, path=path, variables=dict(variables or {}))
        for folder in (cli.home, cli.backend):
            folder.mkdir(parents=True)
        return cli

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def backend(self) -> Path:
        """The folder behind the file:// backend; stacks lie in its ``.pulumi/stacks``."""
        return self.root / "backend"

    @property
    def environment(self) -> dict[str, str]:
        # The language host takes the first Python on PATH, so the running one comes before the
        # system's. The symbolic link of a virtual environment must not be resolved.
        folders = (self.engines, Path(sys.executable).parent, *self.path)
        return {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            "HOME": str(self.home),
            "NO_COLOR": "1",
            "PATH": os.pathsep.join([*map(str, folders), os.defpath]),
            "PULUMI_BACKEND_URL": self.backend.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": self.passphrase,
            "PULUMI_CREDENTIAL_STORE": "plaintext",
            "PULUMI_DEBUG_COMMANDS": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DISABLE_REGISTRY_RESOLVE": "true",
            "PULUMI_HOME": str(self.home / ".pulumi"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_SUPPRESS_NEO_LINK": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.variables,
        }

    def run(
        self,
        *arguments: str,
        cwd: Path,
        stack: str | None = None,
        check: bool = True,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``pulumi ARGUMENTS``; a failure raises unless ``check`` is false."""
        command = [str(self.engines / "pulumi"), "--non-interactive", "--color=never", *arguments]
        if stack is not None:
            command += ["--stack", stack]
        with subprocess.Popen(
            command,
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A group of its own: plugins that outlive the CLI would hold its pipes open.
            start_new_session=True,
        ) as process:
            try:
                stdout, stderr = process.communicate(timeout=timeout)
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        result = subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
        if check and result.returncode != 0:
            raise PulumiCliError(result)
        return result

    def run_json(self, *arguments: str, cwd: Path, stack: str | None = None) -> Any:
        """Run a command that knows ``--json`` and return what it printed, parsed."""
        return json.loads(self.run(*arguments, "--json", cwd=cwd, stack=stack).stdout)

    def preview_json(self, *options: str, cwd: Path, stack: str) -> dict[str, Any]:
        """The plan of ``pulumi preview --json``: its ``steps``, ``changeSummary`` and ``diagnostics``."""
        plan: dict[str, Any] = self.run_json("preview", *options, cwd=cwd, stack=stack)
        return plan

    def outputs(self, *, cwd: Path, stack: str, show_secrets: bool = False) -> dict[str, Any]:
        """The stack's outputs; secret ones are masked unless asked for."""
        options = ("--show-secrets",) if show_secrets else ()
        outputs: dict[str, Any] = self.run_json("stack", "output", *options, cwd=cwd, stack=stack)
        return outputs
