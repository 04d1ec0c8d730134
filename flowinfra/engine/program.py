"""Running the user's stack program under a monitor of ours.

Each run has a thread of its own with an empty :class:`contextvars.Context` (the SDK keeps settings, configuration and
the root resource in context variables, and nowhere else), a loop and an executor of its own. So any number of runs can
follow one another or happen at once in one process, also while a loop runs in the caller's thread.

A program *file* needs more: the working directory, ``sys.path`` and the imported modules of the project belong to the
process, so runs of files follow one another. Modules beside the program are imported anew each time: one that is
cached would not register its resources again, and everything that it had registered would be deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib
import inspect
import os
import runpy
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import pulumi
import pulumi.runtime
from pulumi.runtime.settings import SETTINGS

from flowinfra.diagnostics import Diagnostic, EngineError, FlowinfraError, Source, error
from flowinfra.engine.base import Program
from flowinfra.engine.deadlock import LOOK_SECONDS, stuck
from flowinfra.engine.deployment import Deployment
from flowinfra.packaging.memo import MEMO

__all__ = ["as_file", "execute", "run_program", "translated", "user_trace"]

#: Working directory, module search path and loaded modules exist once in a process.
_FILES: Final = threading.Lock()

_HERE: Final = str(Path(__file__).parent)
_STANDARD: Final = f"{Path(os.__file__).parent}{os.sep}"
_CUT: Final = tuple(str(Path(module.__file__ or "").parent) for module in (pulumi, asyncio))


def run_program(deployment: Deployment, monitor: object, engine: object) -> None:
    """Run the program of *deployment* until it and everything that it registered has ended.

    Args:
        deployment: the operation; its ``failures`` are raised, where the SDK reports only the first.
        monitor: answers the SDK's calls about resources.
        engine: takes the SDK's log.

    Raises:
        FlowinfraError: what the monitor or the program raised of that kind.
        EngineError: FI600, the program raised something else.
        KeyboardInterrupt: the user interrupted; what had begun has ended and is recorded.
    """
    program = deployment.stack.program
    outcome: list[BaseException] = []

    def body() -> None:
        try:
            contextvars.Context().run(_run, deployment, monitor, engine, program)
        except BaseException as problem:  # noqa: BLE001 - raised again in the thread that waits
            outcome.append(problem)
        finally:
            over.set()

    over = threading.Event()
    # A program that hangs must not keep the process: whoever interrupts it a third time leaves it behind.
    thread = threading.Thread(target=body, name="flowinfra-program", daemon=True)
    with contextlib.nullcontext() if callable(program) else as_file(program):
        thread.start()
        deployment.wait(over)
    deployment.raise_failures()
    if outcome:
        raise translated(outcome[0], deployment.stack.project_dir)


def _run(deployment: Deployment, monitor: object, engine: object, program: Any) -> None:
    stack = deployment.stack
    settings = pulumi.runtime.Settings(
        project=stack.project,
        stack=stack.stack,
        organization="organization",
        monitor=monitor,
        engine=engine,
        parallel=deployment.parallel,
        dry_run=deployment.interpreter.dry_run,
        root_directory=str(stack.project_dir),
    )
    execute(
        program,
        settings,
        config=deployment.config,
        secret_keys=deployment.secret_keys,
        context=deployment.options.context,
        parallel=deployment.parallel,
    )


def execute(
    program: Program,
    settings: pulumi.runtime.Settings,
    *,
    config: Mapping[str, str],
    secret_keys: Iterable[str],
    context: Mapping[contextvars.ContextVar[Any], Any],
    parallel: int,
) -> None:
    """Run *program* to its end in the calling thread, whose context must be the program's own and hold no loop.

    Args:
        program: what to run; a file only inside of :func:`as_file`.
        settings: who answers the SDK's calls.
        config: the stack's configuration.
        secret_keys: those of its keys whose values are secret.
        context: variables that the program finds set.
        parallel: how many calls the SDK makes at once.
    """
    MEMO.set({})
    for variable, value in context.items():
        variable.set(value)
    pulumi.runtime.set_all_config(dict(config), list(secret_keys))
    pulumi.runtime.configure(settings)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pool = ThreadPoolExecutor(parallel, thread_name_prefix="flowinfra-step")
    loop.set_default_executor(pool)
    # After a failure the SDK abandons tasks; what they would complain about has been said.
    loop.set_exception_handler(lambda *_: None)
    threads = frozenset(threading.enumerate())
    first: list[BaseException] = []
    told: BaseException | None = None
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(_entry(program, first, lambda: stuck(pool, threads))))
    except BaseException as problem:
        if not first or isinstance(problem, KeyboardInterrupt):
            raise
        told = first[0]  # the SDK tells what followed from it instead
    finally:
        pool.shutdown(wait=True)  # steps in flight end, and are recorded
        while left := asyncio.all_tasks(loop):  # a task that is cancelled may leave another one
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
        asyncio.set_event_loop(None)
    if told is not None:  # not inside of the handler, which would make it the consequence of what followed
        raise told


def _entry(
    program: Any, first: list[BaseException], look: Callable[[], Diagnostic | None]
) -> Callable[[], Awaitable[None] | None]:
    def call() -> Awaitable[None]:
        result = program() if callable(program) else None
        if not callable(program):
            runpy.run_path(str(program), run_name="__main__")
        return _ended(result if inspect.isawaitable(result) else None, first, look)

    return call


async def _ended(
    result: Awaitable[None] | None, first: list[BaseException], look: Callable[[], Diagnostic | None]
) -> None:
    """Wait for what the program has begun, for all of it at once; *first* gets what the first output raised.

    *look* tells whether nothing can happen any more.

    The SDK would wait as well, but look at everything again after each output: with thousands of resources that takes
    longer than all else. What is left is still the SDK's. A program given to `pulumi.run` only begins after this.
    """
    if result is not None:
        await result
    if getattr(pulumi.runtime.get_root_resource(), "_async_program", None) is not None:
        return
    settings: Any = SETTINGS  # what it has are properties of the context
    before: Diagnostic | None = None
    while not first and (waiting := [output for output in settings.outputs if not output.done()]):
        done, _ = await asyncio.wait(waiting, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
        first += [problem for output in done if not output.cancelled() and (problem := output.exception()) is not None]
        found = None if done else look()
        if found is not None and found == before:  # seen twice: what was just about to happen has had its time
            first.append(EngineError(found))
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()  # the SDK waits for all of them, also after a failure
            raise first[0]
        before = found


# -- program files ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def as_file(program: Path) -> Iterator[None]:
    """Run the program file (or folder) *program* inside: with its folder as working directory and its modules anew.

    Raises:
        EngineError: FI601, there is no such program.
    """
    folder = program if program.is_dir() else program.parent
    if not (program / "__main__.py").is_file() if program.is_dir() else not program.is_file():
        raise EngineError(
            error(
                "FI601",
                "there is no stack program",
                detail=f"{program / '__main__.py' if program.is_dir() else program} does not exist",
                hint="write it, or correct `main` in Pulumi.yaml",
                source=Source(str(program)),
            )
        )
    with _FILES:
        cwd, path, argv = os.getcwd(), list(sys.path), sys.argv
        _forget_modules(folder)
        try:
            os.chdir(folder)
            sys.argv = [str(program)]
            if program.is_file():
                sys.path.insert(0, str(folder))
            yield
        finally:
            os.chdir(cwd)
            sys.path[:], sys.argv = path, argv


def _forget_modules(folder: Path) -> None:
    """Have the modules beside the program imported anew, except what is installed there.

    So are those of the same names that another project's program has left: this one's path begins with its own folder.
    """
    here = {Path(entry.name).stem for entry in os.scandir(folder)}
    roots = tuple({f"{folder}{os.sep}", f"{folder.resolve()}{os.sep}"})
    own = f"{Path(__file__).parents[1]}{os.sep}"
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name == "__main__" or not isinstance(file, str):
            continue
        if not file.startswith(roots) and (name.partition(".")[0] not in here or file.startswith(_STANDARD)):
            continue
        if "site-packages" not in file and "dist-packages" not in file and not file.startswith(own):
            del sys.modules[name]
    importlib.invalidate_caches()


# -- errors -----------------------------------------------------------------------------------------------------------


def translated(problem: BaseException, project_dir: Path) -> BaseException:
    """What to raise for what a program of the project in *project_dir* raised."""
    known: BaseException | None = problem
    seen: set[int] = set()
    while known is not None and id(known) not in seen:  # the SDK makes an exception its own cause
        if isinstance(known, FlowinfraError):
            return known
        seen.add(id(known))
        known = known.__cause__ or known.__context__
    if isinstance(problem, SystemExit):
        return _raised(f"it ended itself with sys.exit({problem.code!r})", problem, project_dir)
    if isinstance(problem, pulumi.RunError):
        return _raised(str(problem), problem, project_dir)
    if isinstance(problem, Exception):
        return _raised(traceback.format_exception_only(problem)[-1].strip(), problem, project_dir)
    return problem


def _raised(what: str, problem: BaseException, project_dir: Path) -> EngineError:
    place = _user_place(problem.__traceback__, project_dir)
    if isinstance(problem, SyntaxError) and problem.filename:  # its place is no frame, since nothing of it ran
        place = Source(problem.filename, problem.lineno or 0)
    found = EngineError(
        error(
            "FI600",
            f"the stack program failed: {what}",
            detail=user_trace(problem),
            hint="nothing was changed after this; correct the program, then run it again",
            source=place,
        )
    )
    found.__cause__ = problem
    return found


def _is_users(filename: str) -> bool:
    if filename.startswith(("<frozen ", _HERE, *_CUT)):
        return False
    return not filename.endswith((f"{os.sep}runpy.py", f"concurrent{os.sep}futures{os.sep}thread.py"))


def user_trace(problem: BaseException) -> str:
    """The traceback of *problem* without the frames of the SDK and of this engine."""
    report = traceback.TracebackException.from_exception(problem, compact=True)
    seen: set[int] = set()
    current: traceback.TracebackException | None = report
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        current.stack = traceback.StackSummary.from_list([f for f in current.stack if _is_users(f.filename)])
        current = current.__cause__ or current.__context__
    return "".join(report.format()).strip()


def _user_place(trace: TracebackType | None, project_dir: Path) -> Source | None:
    frames = [f for f in traceback.extract_tb(trace) if _is_users(f.filename)]
    inside = [f for f in frames if Path(f.filename).is_relative_to(project_dir)]
    chosen = inside or frames
    return Source(chosen[-1].filename, chosen[-1].lineno or 0) if chosen else None
