"""Flows that are written in a notebook's cell: :class:`NBRunner` runs them, :class:`NBDeployer` deploys them.

A run's tasks are processes of their own, which import the flow. So for the time of a run or a deployment the flow stands
in a file beside the notebook's own modules (:mod:`flowinfra.control.cells` makes it), and is gone when that has ended,
however it ended.
"""

from __future__ import annotations

import contextlib
import inspect
import linecache
import os
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.control.cells import extract
from flowinfra.control.invocation import TopOptions
from flowinfra.diagnostics import ConfigurationError, error

if TYPE_CHECKING:
    from flowinfra.control.client import Run
    from flowinfra.control.runner.executing import ExecutingRun
    from flowinfra.control.runner.runner import Runner

__all__ = ["NBRunner", "NotebookFile"]

_HEADER: Final = "# Written for as long as a run or a deployment out of a notebook takes; it may be deleted.\n\n"
_MOST_FILES: Final = 1000  # of one name in one folder


class NotebookFile:
    """The file in which a notebook's flow stands while someone needs it.

    Attributes:
        flow: the class.
        folder: where the file is made, and what the flow's own modules are imported from.
    """

    def __init__(self, flow: type[FlowSpec], folder: str | os.PathLike[str] | None) -> None:
        self.flow = flow
        self.folder = Path(os.path.abspath(folder if folder is not None else os.curdir))
        # As it is now: the class may be written anew while its run goes on.
        self._source = _source(flow)

    @contextlib.contextmanager
    def written(self) -> Iterator[str]:
        """The address of the flow in its file, which is there inside only.

        Raises:
            ConfigurationError: FI888, the file cannot be written.
        """
        address, remove = self.write()
        try:
            yield address
        finally:
            remove()

    def write(self) -> tuple[str, weakref.finalize[Any, Any]]:
        """Write the file: its flow's address, and what removes it, at the end of this process at the latest.

        Raises:
            ConfigurationError: FI888, it cannot be written.
        """
        for number in range(1, _MOST_FILES):
            name = f"nb_{self.flow.__name__}{'' if number == 1 else f'_{number}'}.py"
            file = self.folder / name
            try:
                with file.open("x", encoding="utf-8") as stream:
                    # Removed however far the writing came.
                    remove = weakref.finalize(self, file.unlink, missing_ok=True)
                    stream.write(_HEADER + self._source)
            except FileExistsError:
                continue
            except OSError as why:
                file.unlink(missing_ok=True)
                raise _unwritable(file, why.strerror or str(why)) from why
            return f"{file}:{self.flow.__name__}", remove
        raise _unwritable(self.folder / f"nb_{self.flow.__name__}.py", f"there are {_MOST_FILES} of them")


class NBRunner:
    """Runs a flow that is written in a notebook's cell.

    The flow may stand in any cell that was run. What it uses of other cells (imports, functions, classes, plain
    constants) comes along; values that other cells computed are given as parameters.

    Use it where one would use :class:`~flowinfra.Runner`: its methods are the same, and ``nbrun`` and ``nbresume`` give
    the run itself. ``async_run`` and ``async_resume`` may be awaited in a cell.
    """

    def __init__(
        self,
        flow: type[FlowSpec],
        show_output: bool = True,
        profile: str | None = None,
        env: Mapping[str, str] | None = None,
        base_dir: str | os.PathLike[str] | None = None,
        file_read_timeout: int = 3600,
        **options: Any,
    ) -> None:
        """Take the flow as its cell has it now.

        Args:
            flow: the class.
            show_output: show what the run says and what its tasks print.
            profile: as for :class:`~flowinfra.Runner`.
            env: as for :class:`~flowinfra.Runner`.
            base_dir: the folder of the flow's own modules, in which it runs (default: the notebook's).
            file_read_timeout: as for :class:`~flowinfra.Runner`.
            options: those before the command, as for :class:`~flowinfra.Runner`.

        Raises:
            ConfigurationError: FI885 to FI887, this is no notebook, or the flow's source cannot be had from it; and
                what :class:`~flowinfra.Runner` says of its options.
        """
        TopOptions.of(options)
        self._file = NotebookFile(flow, base_dir)
        self._settings: dict[str, Any] = {
            "show_output": show_output,
            "profile": profile,
            "env": env,
            "cwd": self._file.folder,
            "file_read_timeout": file_read_timeout,
            **options,
        }
        self._runners: list[tuple[Runner, weakref.finalize[Any, Any]]] = []

    def nbrun(self, **arguments: Any) -> Run:
        """Run the flow to its end; the run, also where it failed.

        Args:
            arguments: as for :meth:`~flowinfra.Runner.run`.
        """
        return self._ended("run", arguments)

    def nbresume(self, **arguments: Any) -> Run:
        """Resume a run of the flow to its end; the new run.

        Args:
            arguments: as for :meth:`~flowinfra.Runner.resume`.
        """
        return self._ended("resume", arguments)

    def run(self, **arguments: Any) -> ExecutingRun:
        """As :meth:`~flowinfra.Runner.run`."""
        return self._blocking("run", arguments)

    def resume(self, **arguments: Any) -> ExecutingRun:
        """As :meth:`~flowinfra.Runner.resume`."""
        return self._blocking("resume", arguments)

    async def async_run(self, **arguments: Any) -> ExecutingRun:
        """As :meth:`~flowinfra.Runner.async_run`."""
        return await self._started("async_run", arguments)

    async def async_resume(self, **arguments: Any) -> ExecutingRun:
        """As :meth:`~flowinfra.Runner.async_resume`."""
        return await self._started("async_resume", arguments)

    def cleanup(self) -> None:
        """Remove what is kept of the runs' outputs, and the files of runs that nobody waited for."""
        while self._runners:
            runner, remove = self._runners.pop()
            runner.cleanup()
            remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self.cleanup()

    def _ended(self, method: str, arguments: Mapping[str, Any]) -> Run:
        with self._file.written() as address:
            runner = self._runner(address)
            try:
                executing: ExecutingRun = getattr(runner, method)(**arguments)
                return executing.run
            finally:
                runner.cleanup()

    def _blocking(self, method: str, arguments: Mapping[str, Any]) -> ExecutingRun:
        address, remove = self._file.write()
        try:
            runner = self._runner(address)
            executing: ExecutingRun = getattr(runner, method)(**arguments)
        finally:
            remove()
        self._runners.append((runner, remove))
        return executing

    async def _started(self, method: str, arguments: Mapping[str, Any]) -> ExecutingRun:
        address, remove = self._file.write()
        try:
            runner = self._runner(address)
            executing: ExecutingRun = await getattr(runner, method)(**arguments)
        except BaseException:
            remove()
            raise
        self._runners.append((runner, remove))
        # A thread, as the event loop may end before the run does.
        child = executing._child
        threading.Thread(
            target=lambda: (child.wait(lambda: child.ended), remove()), name=f"flowinfra-{child.pid}-file", daemon=True
        ).start()
        return executing

    def _runner(self, address: str) -> Runner:
        from flowinfra.control.runner.runner import Runner

        return Runner(address, **self._settings)


def _source(flow: type[FlowSpec]) -> str:
    """The text of the module with *flow*.

    Raises:
        ConfigurationError: FI885 to FI887.
    """
    shell = _shell()
    if shell is None:
        raise ConfigurationError(
            error(
                "FI885",
                f"{flow.__name__} was given outside of a notebook",
                detail="NBRunner and NBDeployer read the flow out of the cells that were run",
                hint='give Runner or Deployer the flow\'s file, e.g. Runner("flow.py")',
            )
        )
    own = _cell_of(flow)
    cells = [cell for cell in shell.user_ns.get("In", ()) if isinstance(cell, str)]
    hidden = set(getattr(shell, "user_ns_hidden", ()))
    known = {name for name in shell.user_ns if name not in hidden}
    found = extract(cells, own, flow.__name__, known) if own else None
    if found is None or not found.source:
        raise ConfigurationError(
            error(
                "FI886",
                f"no cell has the source of {flow.__name__}",
                detail="a flow's class stands at the top level of a cell, without a magic like %%time in front of it",
                hint='run the cell with the class again; a class of a file is run with Runner("file.py:Name")',
            )
        )
    if found.computed:
        raise ConfigurationError(
            error(
                "FI887",
                f"the flow {flow.__name__} uses `{name}`, which another cell computes",
                detail="a run's tasks are processes of their own: they import the flow's code and know no values of the "
                "notebook",
                hint=f"give `{name}` as a Parameter, make it in a step, or move the line that computes it into the "
                "flow's cell",
            )
            for name in found.computed
        )
    return found.source


def _shell() -> Any:
    """The notebook's shell; None outside of one."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def _cell_of(flow: type[FlowSpec]) -> str:
    """The cell in which a step of *flow* was written, where it says so; else nothing."""
    for value in vars(flow).values():
        code = getattr(inspect.unwrap(value), "__code__", None) if callable(value) else None
        lines = linecache.getlines(code.co_filename) if code is not None else []
        if code is not None and lines and not os.path.isfile(code.co_filename):
            return "".join(lines).rstrip("\n")
    return ""


def _unwritable(file: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        error(
            "FI888",
            f"the notebook's flow cannot be written to {file}: {why}",
            detail="the run's tasks import it from there",
            hint="name a folder that may be written into, e.g. base_dir='.'",
        )
    )
