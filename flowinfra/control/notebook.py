"""Flows that are written in a notebook's cell: :class:`NBRunner` runs them, :class:`NBDeployer` deploys them.

A run's tasks are processes of their own, which import the flow. So for the time of a run or a deployment the flow stands
in a file beside the notebook's own modules (:mod:`flowinfra.control.cells` makes it), and is gone when that has ended,
however it ended.
"""

from __future__ import annotations

import inspect
import linecache
import os
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.control.cells import extract
from flowinfra.control.invocation import TopOptions
from flowinfra.diagnostics import ConfigurationError, error

if TYPE_CHECKING:
    from flowinfra.control.child import Child
    from flowinfra.control.client import Run
    from flowinfra.control.deployer.deployed import DeployedFlow
    from flowinfra.control.deployer.facade import TargetDeployer
    from flowinfra.control.deployer.options import CreateOptions
    from flowinfra.control.runner.executing import ExecutingRun
    from flowinfra.control.runner.runner import Runner

__all__ = ["NBDeployer", "NBRunner", "NotebookDeployer", "NotebookFlow", "WrittenFlow"]

_HEADER: Final = "# Written for as long as a run or a deployment out of a notebook takes; it may be deleted.\n\n"
_MOST_FILES: Final = 1000  # of one name in one folder


class NotebookFlow:
    """A flow as its cell had it when this was made.

    Attributes:
        flow: the class.
        folder: where its files are made, and what its own modules are imported from.
    """

    def __init__(self, flow: type[FlowSpec], folder: str | os.PathLike[str] | None) -> None:
        """Read the source of *flow* out of the notebook.

        Raises:
            ConfigurationError: FI885 to FI887, there is no notebook, or it cannot tell the source.
        """
        self.flow = flow
        self.folder = Path(os.path.abspath(folder if folder is not None else os.curdir))
        self._source = _source(flow)

    def settings(
        self,
        show_output: bool,
        profile: str | None,
        env: Mapping[str, str] | None,
        file_read_timeout: float,
        options: Mapping[str, Any],
    ) -> dict[str, Any]:
        """What a :class:`~flowinfra.Runner` or :class:`~flowinfra.Deployer` of its file is given."""
        return {
            "show_output": show_output,
            "profile": profile,
            "env": env,
            "cwd": self.folder,
            "file_read_timeout": file_read_timeout,
            **options,
        }

    def write(self) -> WrittenFlow:
        """Write it into a file of its own.

        Raises:
            ConfigurationError: FI888, that cannot be written.
        """
        for number in range(1, _MOST_FILES):
            file = self.folder / f"nb_{self.flow.__name__}{'' if number == 1 else f'_{number}'}.py"
            try:
                stream = file.open("x", encoding="utf-8")
            except FileExistsError:
                continue
            except OSError as why:
                raise _unwritable(file, why.strerror or str(why)) from why
            written = WrittenFlow(file, self.flow.__name__)
            try:
                with stream:
                    stream.write(_HEADER + self._source)
            except OSError as why:
                written.remove()
                raise _unwritable(file, why.strerror or str(why)) from why
            return written
        raise _unwritable(self.folder, f"there are {_MOST_FILES} files of this flow")


class WrittenFlow:
    """The file of a notebook's flow. It goes with this object, and with this process at the latest.

    Attributes:
        address: ``file.py:Name``.
        remove: removes the file; harmless if it is gone.
    """

    def __init__(self, file: Path, name: str) -> None:
        """A file that is there."""
        self.address = f"{file}:{name}"
        self.remove = weakref.finalize(self, file.unlink, missing_ok=True)

    def remove_behind(self, child: Child) -> None:
        """Remove it when *child* has ended, which nobody has to wait for."""

        def wait() -> None:
            child.wait(lambda: child.ended)
            self.remove()

        # A thread: the event loop in which the run was started may end before the run does.
        threading.Thread(target=wait, name=f"flowinfra-{child.pid}-file", daemon=True).start()


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
        self._flow = NotebookFlow(flow, base_dir)
        self._settings = self._flow.settings(show_output, profile, env, file_read_timeout, options)
        self._runners: list[tuple[Runner, WrittenFlow]] = []

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
        """Remove what is kept of the runs' outputs, and the files of runs that go on."""
        while self._runners:
            runner, written = self._runners.pop()
            runner.cleanup()
            written.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self.cleanup()

    def _ended(self, method: str, arguments: Mapping[str, Any]) -> Run:
        written = self._flow.write()
        try:
            runner = self._runner(written)
            try:
                executing: ExecutingRun = getattr(runner, method)(**arguments)
                return executing.run
            finally:
                runner.cleanup()
        finally:
            written.remove()

    def _blocking(self, method: str, arguments: Mapping[str, Any]) -> ExecutingRun:
        written = self._flow.write()
        try:
            runner = self._runner(written)
            executing: ExecutingRun = getattr(runner, method)(**arguments)
        finally:
            written.remove()
        self._runners.append((runner, written))
        return executing

    async def _started(self, method: str, arguments: Mapping[str, Any]) -> ExecutingRun:
        written = self._flow.write()
        try:
            runner = self._runner(written)
            executing: ExecutingRun = await getattr(runner, method)(**arguments)
        except BaseException:
            written.remove()
            raise
        self._runners.append((runner, written))
        written.remove_behind(executing._child)
        return executing

    def _runner(self, written: WrittenFlow) -> Runner:
        from flowinfra.control.runner.runner import Runner

        return Runner(written.address, **self._settings)


class NBDeployer:
    """Deploys a flow that is written in a notebook's cell: ``NBDeployer(Flow).local().create()``.

    Use it where one would use :class:`~flowinfra.Deployer`. What is deployed needs neither the notebook nor a file of it;
    deploying a changed cell changes the same deployment.
    """

    def __init__(
        self,
        flow: type[FlowSpec],
        show_output: bool = True,
        profile: str | None = None,
        env: Mapping[str, str] | None = None,
        base_dir: str | os.PathLike[str] | None = None,
        file_read_timeout: float = 3600,
        **options: Any,
    ) -> None:
        """Take the flow as its cell has it now.

        Args:
            flow: the class.
            show_output: show what the deploying process prints.
            profile: as for :class:`~flowinfra.Deployer`.
            env: as for :class:`~flowinfra.Deployer`.
            base_dir: the folder of the flow's own modules, whose project it is deployed in (default: the notebook's).
            file_read_timeout: as for :class:`~flowinfra.Deployer`.
            options: those before the command, as for :class:`~flowinfra.Deployer`.

        Raises:
            ConfigurationError: FI885 to FI887, this is no notebook, or the flow's source cannot be had from it; and
                what :class:`~flowinfra.Deployer` says of its options.
        """
        TopOptions.of(options)
        self._flow = NotebookFlow(flow, base_dir)
        self._settings = self._flow.settings(show_output, profile, env, file_read_timeout, options)

    def local(self, name: str | None = None) -> NotebookDeployer:
        """As :meth:`~flowinfra.Deployer.local`."""
        return NotebookDeployer(self._flow, self._settings, "local", name)

    def step_functions(self, name: str | None = None) -> NotebookDeployer:
        """As :meth:`~flowinfra.Deployer.step_functions`."""
        return NotebookDeployer(self._flow, self._settings, "step_functions", name)

    def argo_workflows(self, name: str | None = None) -> NotebookDeployer:
        """As :meth:`~flowinfra.Deployer.argo_workflows`."""
        return NotebookDeployer(self._flow, self._settings, "argo_workflows", name)

    def cleanup(self) -> None:
        """Nothing is left to remove: the flow stands in a file only while it is deployed."""


class NotebookDeployer:
    """Deploys a notebook's flow to one target; made by a method of :class:`NBDeployer`."""

    def __init__(self, flow: NotebookFlow, settings: Mapping[str, Any], target: str, name: str | None) -> None:
        """See :class:`NBDeployer`.

        Raises:
            ConfigurationError: FI890, there is no such target.
        """
        from flowinfra.control.deployer.targets import target_kind

        target_kind(target)
        self._flow = flow
        self._settings = settings
        self._target = target
        self._name = name

    def create(self, **options: Unpack[CreateOptions]) -> DeployedFlow:
        """Deploy the flow, or change what is deployed under its name.

        Args:
            options: as for :class:`~flowinfra.Deployer`: see :class:`~flowinfra.control.deployer.options.CreateOptions`.

        Raises:
            FlowinfraError: as for :class:`~flowinfra.Deployer`.
        """
        from flowinfra.control.deployer.facade import Deployer

        written = self._flow.write()
        try:
            deployer = Deployer(written.address, **self._settings)
            on_target: TargetDeployer = getattr(deployer, self._target)(self._name)
            return on_target.create(**options)
        finally:
            written.remove()


def _source(flow: type[FlowSpec]) -> str:
    """The text of the module with *flow*.

    Raises:
        ConfigurationError: FI885 to FI887.
    """
    shell = _shell()
    name = getattr(flow, "__name__", repr(flow))
    if shell is None:
        raise ConfigurationError(
            error(
                "FI885",
                f"{name} was given outside of a notebook",
                detail="NBRunner and NBDeployer read the flow out of the cells that were run",
                hint='give Runner or Deployer the flow\'s file, e.g. Runner("flow.py")',
            )
        )
    cells = [cell for cell in shell.user_ns.get("In", ()) if isinstance(cell, str)]
    own = _cell_of(flow, cells)
    hidden = set(getattr(shell, "user_ns_hidden", ()))
    known = {name for name in shell.user_ns if name not in hidden}
    found = extract(cells, own, name, known) if own else None
    if found is None or not found.source:
        raise ConfigurationError(
            error(
                "FI886",
                f"no cell has the source of {name}",
                detail="a flow's class stands at the top level of a cell, without a magic like %%time in front of it",
                hint='run the cell with the class again; a flow of a file is run with Runner("file.py:Name")',
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


def _cell_of(flow: Any, cells: Sequence[str]) -> str:
    """The cell that writes *flow*: its functions say so, or else it is the last one with its name; nothing if none."""
    if not (isinstance(flow, type) and issubclass(flow, FlowSpec)) or flow.__module__ != "__main__":
        return ""
    for value in vars(flow).values():
        code = getattr(inspect.unwrap(value), "__code__", None) if callable(value) else None
        if code is not None and not os.path.isfile(code.co_filename):
            return "".join(linecache.getlines(code.co_filename)).rstrip("\n")
    return next((cell for cell in reversed(cells) if extract([cell], cell, flow.__name__).source), "")


def _unwritable(file: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        error(
            "FI888",
            f"the notebook's flow cannot be written to {file}: {why}",
            detail="the run's tasks import it from there",
            hint="name a folder that may be written into, e.g. base_dir='.'",
        )
    )
