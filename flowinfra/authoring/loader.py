"""Importing flow files and finding the flow in them."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from flowinfra.authoring.address import split_address
from flowinfra.authoring.configs import ConfigSources, differs, reading
from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.invoker import INVOKER, ignore
from flowinfra.authoring.settings import is_ours, placed
from flowinfra.diagnostics import AuthoringError, Diagnostic, Source, error, nearest

__all__ = [
    "find_flow",
    "forget_modules",
    "import_file",
    "load_entrypoint",
    "load_flow",
    "load_function",
    "load_variant",
    "root_of",
    "split_address",
]

#: The attribute of a flow's module that says where its configs came from.
_CONFIGS = "__flowinfra_configs__"

_IMPORT_SYSTEM = re.compile(r"^<frozen importlib|[\\/]importlib[\\/]__init__\.py$")


def root_of(file: Path) -> Path:
    """The folder that has to be on ``sys.path``: of the file, or the first above the package that it lies in."""
    folder = file.resolve().parent
    while (folder / "__init__.py").exists() and folder.parent != folder:
        folder = folder.parent
    return folder


def load_flow(
    file: Path, name: str | None = None, *, root: Path | None = None, configs: ConfigSources | None = None
) -> type[FlowSpec]:
    """The flow called *name* in *file*, or the only one there.

    Args:
        file: the flow file.
        name: of the class.
        root: as in :func:`import_file`.
        configs: where its configs come from (default: from their defaults).

    Raises:
        AuthoringError: there is no such file or flow, several and no name, the file raises while it is imported, or
            something is wrong with its configs.
    """
    return find_flow(import_file(file, root=root, configs=configs), file, name)


def import_file(file: Path, *, root: Path | None = None, configs: ConfigSources | None = None) -> ModuleType:
    """Import *file* as the module that it is seen from *root* (default: :func:`root_of`), which goes on ``sys.path``.

    A file that was imported before is imported again if it is asked for with other *configs*, and so are the other
    modules below *root*.

    Raises:
        AuthoringError: there is no such file, it cannot be imported under its name, or it raises; then the detail is
            the author's own trace.
    """
    path = file.resolve()
    if path.suffix != ".py" or not path.is_file():
        raise AuthoringError(
            error(
                "FI101",
                f"{file} is no Python file" if path.exists() else f"there is no file {file}",
                detail="a flow is a class in a .py file",
                hint="check the path; it is relative to the folder that you are in",
            )
        )
    top = (root or root_of(path)).resolve()
    parts = path.relative_to(top).with_suffix("").parts if path.is_relative_to(top) else (path.stem,)
    module_name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
    known = sys.modules.get(module_name)
    if known is not None and _file_of(known) == path:
        if configs is None or configs == getattr(known, _CONFIGS, ConfigSources()):
            return known
        forget_modules(top)
        known = None
    _check_name(file, top, parts)
    if str(top) not in sys.path:
        sys.path.insert(0, str(top))
    with _own_trace(path, top), _flows_only(), reading(configs or ConfigSources()):
        if known is None and len(parts) > 1:
            module = importlib.import_module(module_name)
            if _file_of(module) != path:
                raise AuthoringError(_taken(file, f"`{module_name}` is {_file_of(module)} here"))
            setattr(module, _CONFIGS, configs or ConfigSources())
            return module
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None  # a .py file always has a spec,
        assert spec.loader is not None  # and that one a loader
        module = importlib.util.module_from_spec(spec)
        setattr(module, _CONFIGS, configs or ConfigSources())
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(module_name, None)
            if known is not None:
                sys.modules[module_name] = known
            raise
        return module


def load_variant(flow: type[FlowSpec], configs: ConfigSources) -> type[FlowSpec]:
    """*flow*, which was imported before, with other configs; its module and those beside it stay what they were.

    Raises:
        AuthoringError: as :func:`load_flow`.
    """
    file = Path(inspect.getsourcefile(flow) or "")
    depth = flow.__module__.count(".") + (1 if file.stem == "__init__" else 0)
    root = root_of(file) if flow.__module__ == "__main__" else file.resolve().parents[depth]
    before = forget_modules(root)
    try:
        return load_flow(file, flow.__name__, root=root, configs=configs)
    finally:
        forget_modules(root)
        sys.modules.update(before)


def forget_modules(root: Path) -> dict[str, ModuleType]:
    """Forget the modules below *root*, so that they are imported anew; those that were there, by name."""
    top = root.resolve()
    gone = {
        name: module
        for name, module in sys.modules.items()
        if name != "__main__"
        and (path := _file_of(module)) is not None
        and path.is_relative_to(top)
        and not _is_installed(module)
    }
    for name in gone:
        del sys.modules[name]
    return gone


def _check_name(file: Path, top: Path, parts: tuple[str, ...]) -> None:
    """Refuse a name under which a task could not import the file again."""
    dotted = next((part for part in parts if "." in part), None)
    there = sys.modules.get(parts[0])
    paths = [Path(p).resolve() for p in getattr(there, "__path__", ())]
    if dotted is not None:
        raise AuthoringError(_taken(file, f"a dot in `{dotted}` means a package to Python"))
    if len(parts) == 1 and (parts[0] in sys.stdlib_module_names or (there is not None and _is_installed(there))):
        raise AuthoringError(_taken(file, f"Python or a package has a module `{parts[0]}` already"))
    if len(parts) > 1 and there is not None and top / parts[0] not in paths:
        raise AuthoringError(_taken(file, f"another package `{parts[0]}` is imported already"))


def _taken(file: Path, why: str) -> Diagnostic:
    return error(
        "FI108",
        f"{file} cannot be imported under its name",
        detail=f"{why}, so a task that imports the flow would not find it",
        hint="rename it: letters, digits and _, and no name that a package has",
        source=placed(Source(str(file.resolve()))),
    )


def _is_installed(module: ModuleType) -> bool:
    file = _file_of(module)
    return file is None or is_ours(str(file)) or "site-packages" in file.parts


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file else None


def find_flow(module: ModuleType, file: Path, name: str | None = None) -> type[FlowSpec]:
    """The flow called *name* in *module*, or the only one that is written there.

    Raises:
        AuthoringError: there is none, or several and no name.
    """
    there = {
        n: v for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, FlowSpec) and v is not FlowSpec
    }
    if name is not None:
        if name in there:
            return there[name]
        raise AuthoringError(
            error(
                "FI105",
                f"there is no flow `{name}` in {file}{nearest(name, there)}",
                detail=f"its flows are {', '.join(there)}" if there else "it has no flow at all",
                hint="name one of them behind the colon",
                source=placed(Source(str(file))),
            )
        )
    # imported flows, and bases whose subclasses are flows here, are not what the file is for
    own = [v for v in dict.fromkeys(there.values()) if v.__module__ == module.__name__]
    flows = [v for v in own if not any(v is not w and issubclass(w, v) for w in own)]
    if len(flows) == 1:
        return flows[0]
    if not flows:
        raise AuthoringError(
            error(
                "FI103",
                f"there is no flow in {file}",
                detail="a flow is a subclass of flowinfra.FlowSpec",
                hint="write `class MyFlow(FlowSpec):` with the steps `start` and `end`",
                source=placed(Source(str(file))),
            )
        )
    names = [v.__name__ for v in flows]
    raise AuthoringError(
        error(
            "FI104",
            f"there are several flows in {file}: {', '.join(names)}",
            hint=f"name one of them, e.g. {file}:{names[0]}",
            source=placed(Source(str(file))),
        )
    )


def load_entrypoint(entrypoint: str, configs: ConfigSources | None = None) -> tuple[type[FlowSpec], Callable[..., Any]]:
    """The class and the function that ``module:Class.method`` names, for a task.

    Args:
        entrypoint: of a step.
        configs: what the release has recorded of the flow's configs.

    Raises:
        AuthoringError: the module raises while it is imported, or does not hold them.
    """
    module_name, _, path = entrypoint.partition(":")
    class_name, _, method = path.rpartition(".")
    owner, module = _class_in(module_name, class_name, configs or ConfigSources())
    if configs is not None and isinstance(owner, type) and differs(owner, configs):
        # Imported before it was known which release is run: by who was forked, as by a run that resumes another one.
        file = Path(str(module.__file__)).resolve()
        forget_modules(file.parents[module_name.count(".") + (1 if file.stem == "__init__" else 0)])
        owner, module = _class_in(module_name, class_name, configs)
    function = getattr(owner, method, None)
    if not (isinstance(owner, type) and issubclass(owner, FlowSpec)) or function is None:
        raise AuthoringError(
            error(
                "FI107",
                f"{entrypoint} does not name a step",
                detail=f"the module was imported from {getattr(module, '__file__', '?')}",
                hint="the release and the code belong together: deploy again, or fetch the bundle of this release",
            )
        )
    return owner, function


def _class_in(module_name: str, class_name: str, configs: ConfigSources) -> tuple[Any, ModuleType]:
    with _own_trace(Path(module_name)), _flows_only(), reading(configs):
        module = importlib.import_module(module_name)
    owner: Any = module
    for part in class_name.split("."):
        owner = getattr(owner, part, None)
    return owner, module


def load_function(entrypoint: str, configs: ConfigSources) -> Callable[..., Any]:
    """The function that ``module:name`` names, of a release whose configs are *configs*.

    Raises:
        AuthoringError: the module raises while it is imported, or does not hold it.
    """
    module_name, _, name = entrypoint.partition(":")
    with _own_trace(Path(module_name)), _flows_only(), reading(configs):
        module = importlib.import_module(module_name)
    found = getattr(module, name, None)
    if not callable(found):
        raise AuthoringError(
            error(
                "FI107",
                f"{entrypoint} does not name a function",
                detail=f"the module was imported from {getattr(module, '__file__', '?')}",
                hint="the release and the code belong together: deploy again, or fetch the bundle of this release",
            )
        )
    function: Callable[..., Any] = found
    return function


@contextlib.contextmanager
def _flows_only() -> Iterator[None]:
    """While a flow file is imported, ``MyFlow()`` at its end does nothing."""
    token = INVOKER.set(ignore)
    try:
        yield
    finally:
        INVOKER.reset(token)


@contextlib.contextmanager
def _own_trace(file: Path, top: Path | None = None) -> Iterator[None]:
    """Show an error in a flow file as the author's own trace, without our frames and those of the import system.

    The finding points to the innermost line below *top*: where a library refuses what the author gave it, the author's
    line is the one to mend.
    """
    try:
        yield
    except AuthoringError as why:
        raise AuthoringError(replace(d, source=d.source and placed(d.source)) for d in why.diagnostics) from None
    except (Exception, SystemExit) as why:  # noqa: BLE001 a flow file may raise anything
        if isinstance(why, SyntaxError) and why.filename and Path(why.filename).is_file():
            place = placed(Source(why.filename, why.lineno or 0))
            summary = f"the file cannot be read as Python: {why.msg}"
            text = (why.text or "").strip()
            raise AuthoringError(error("FI102", summary, detail=text, hint="mend that line", source=place)) from None
        trace = traceback.TracebackException.from_exception(why)
        _drop_frames(trace, set())
        frames = [
            f for f in trace.stack if top is None or Path(f.filename).resolve().is_relative_to(top)
        ] or trace.stack
        hint = "mend the line above; code that should run only in a step belongs into a step"
        if isinstance(why, ModuleNotFoundError):
            hint = "install it beside flowinfra, or import it inside the steps that need it"
        raise AuthoringError(
            error(
                "FI102",
                f"the flow file raises while it is imported: {type(why).__name__}{f': {why}' if str(why) else ''}",
                detail="".join(trace.format()).rstrip(),
                hint=hint,
                source=placed(Source(frames[-1].filename, frames[-1].lineno or 0)) if frames else Source(str(file)),
            )
        ) from None


def _drop_frames(trace: traceback.TracebackException, seen: set[int]) -> None:
    """Remove what is not the author's, also from the exceptions that led to it."""
    if id(trace) in seen:
        return
    seen.add(id(trace))
    frames = [f for f in trace.stack if not (is_ours(f.filename) or _IMPORT_SYSTEM.search(f.filename))]
    trace.stack = traceback.StackSummary.from_list(frames)
    for cause in (trace.__cause__, trace.__context__, *(trace.exceptions or ())):
        if cause is not None:
            _drop_frames(cause, seen)
