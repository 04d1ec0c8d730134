"""A real Jupyter kernel, and what cells do in it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from support.project import Project

LONGEST = 120  # seconds; only ends what hangs


@dataclass(frozen=True)
class Ran:
    """What a cell did.

    Attributes:
        printed: on stdout and stderr.
        error: the name of what it raised; None if nothing.
        message: what that says.
        value: the text of its last expression's value.
    """

    printed: str
    error: str | None
    message: str
    value: str


@dataclass(frozen=True)
class Notebook:
    """A kernel that works in a project's folder."""

    project: Project
    client: BlockingKernelClient
    manager: KernelManager

    def cell(self, source: str) -> Ran:
        """Run a cell."""
        printed: list[str] = []
        values: list[str] = []

        def take(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                printed.append(content["text"])
            elif message["msg_type"] == "execute_result":
                values.append(content["data"]["text/plain"])

        reply = self.client.execute_interactive(source, timeout=LONGEST, output_hook=take)["content"]
        failed = reply["status"] == "error"
        return Ran(
            "".join(printed), reply["ename"] if failed else None, reply["evalue"] if failed else "", "".join(values)
        )

    def good(self, source: str) -> Ran:
        """Run a cell that raises nothing."""
        ran = self.cell(source)
        assert ran.error is None, f"{ran.error}: {ran.message}\n{ran.printed}"
        return ran

    def interrupted(self, source: str, when: Callable[[], bool]) -> str:
        """Run a cell, and interrupt it as soon as *when*; the name of what it raised."""
        request = self.client.execute(source)
        while not when():
            time.sleep(0.01)
        self.manager.interrupt_kernel()
        while True:
            reply = self.client.get_shell_msg(timeout=LONGEST)
            if reply["parent_header"].get("msg_id") == request:
                return str(reply["content"].get("ename"))

    def files(self) -> list[str]:
        """What lies in the folder beside what flowinfra keeps."""
        return sorted(p.name for p in self.project.folder.iterdir() if p.name not in {".flowinfra", "__pycache__"})


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Notebook]:
    """A kernel in a project of its own below *folder*."""
    project = Project(
        folder / "project",
        {
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_NO_CONFIG": "1",
            "FLOWINFRA_CONFIG_HOME": str(folder / "settings"),
        },
    )
    (project.folder / ".flowinfra").mkdir(parents=True)
    manager = KernelManager(connection_file=str(folder / "kernel.json"))
    manager._kernel_spec = KernelSpec(
        argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        display_name="Python",
        language="python",
    )
    manager.start_kernel(cwd=str(project.folder), env=project.environment())
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=LONGEST)
        yield Notebook(project, client, manager)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
