"""What :class:`~flowinfra.Runner` and :class:`~flowinfra.Deployer` are told: which flow, with which options, and where.

Nothing in here imports a flow file: the program that is started does (:mod:`flowinfra.control.child`).
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from flowinfra.authoring.address import split_address
from flowinfra.control.messages import encode_value
from flowinfra.diagnostics import AuthoringError, ConfigurationError, Diagnostic, Source, error, nearest
from flowinfra.packaging.users import config_folder

__all__ = ["FlowSource", "Invocation", "TopOptions", "profile_variables", "wrong_type"]

_SETTING: Final = "FLOWINFRA_"


# -- which flow -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FlowSource:
    """Where a flow is written.

    Attributes:
        file: the file, absolute.
        name: the flow's name; None for the only one in it.
        root: the folder that its modules are imported from; None to find it by the packages around the file.
    """

    file: Path
    name: str | None = None
    root: Path | None = None

    @classmethod
    def of(cls, flow: str | os.PathLike[str] | type) -> Self:
        """The source of *flow*: a path, ``file.py:Name`` or a class.

        Raises:
            ConfigurationError: FI856, it is none of these, or a class that is written in no file.
            AuthoringError: FI101, there is no such file.
        """
        if isinstance(flow, type):
            return cls._of_class(flow)
        if not isinstance(flow, (str, os.PathLike)):
            raise ConfigurationError(
                error(
                    "FI856",
                    f"{flow!r} is no flow",
                    hint='give a file ("flow.py", "flow.py:Name") or a class that is written in a file',
                )
            )
        path, name = split_address(os.fspath(flow))
        file = Path(os.path.abspath(path.expanduser()))
        if file.suffix != ".py" or not file.is_file():
            raise AuthoringError(
                error(
                    "FI101",
                    f"{path} is no Python file" if file.exists() else f"there is no file {path}",
                    detail=f"looked for at {file}",
                    hint="check the path; it is relative to the folder that you are in, whatever cwd= says",
                )
            )
        return cls(file, name)

    @classmethod
    def _of_class(cls, flow: type) -> Self:
        from flowinfra.authoring.flowspec import FlowSpec

        module = sys.modules.get(flow.__module__)
        name = getattr(module, "__file__", None) if module is not None else None
        if not issubclass(flow, FlowSpec) or name is None or not Path(name).is_file() or "." in flow.__qualname__:
            why = "it is no FlowSpec" if not issubclass(flow, FlowSpec) else "its source is in no file"
            if "." in flow.__qualname__:
                why = f"it is written inside {flow.__qualname__.rpartition('.')[0]}"
            raise ConfigurationError(
                error(
                    "FI856",
                    f"the flow {flow.__name__} cannot be imported by a process of its own: {why}",
                    hint="write it at the top level of a .py file; in a notebook use NBRunner or NBDeployer",
                    source=_place(flow),
                )
            )
        from flowinfra.packaging.build import source_of

        file, root = source_of(flow)
        return cls(file, flow.__name__, root)

    @property
    def text(self) -> str:
        """As a person would write it: ``flow.py:Name``."""
        return self.file.name if self.name is None else f"{self.file.name}:{self.name}"

    def to_json(self) -> dict[str, Any]:
        """For the specification of a program; :meth:`from_json` reads it."""
        return {"file": str(self.file), "name": self.name, "root": None if self.root is None else str(self.root)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What :meth:`to_json` wrote."""
        root = document["root"]
        return cls(Path(document["file"]), document["name"], None if root is None else Path(root))


def _place(flow: type) -> Source | None:
    try:
        return Source(inspect.getsourcefile(flow) or "")
    except (OSError, TypeError):
        return None


# -- options that stand before the command --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TopOptions:
    """The options that stand before the command on a flow's command line; in Python they are given to the constructor.

    Attributes:
        quiet: say what tasks print and how the run goes, nothing beside.
        decospecs: decorators that every step gets (``--with``).
        config: (name, file) for each config that is read from a file.
        config_value: (name, value) for each config that is given as a value.
        branch: the project's branch.
        production: whether it is the project's production branch; None where nobody says.
        store: the URL of the object store; None for the project's.
    """

    quiet: bool = False
    decospecs: tuple[str, ...] = ()
    config: tuple[tuple[str, str], ...] = ()
    config_value: tuple[tuple[str, Any], ...] = ()
    branch: str | None = None
    production: bool | None = None
    store: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Check what was given by name.

        ``pylint`` is taken and means nothing (flows are always checked, by flowinfra itself); ``environment`` and
        ``metadata`` take the word ``local`` only, ``datastore`` the word ``local`` or the scheme of ``datastore_root``,
        which is the URL of the store.

        Raises:
            ConfigurationError: FI852, there is no such option; FI853, a value does not fit; FI858, what it asks for is
                not there. All of them at once.
        """
        found: list[Diagnostic] = []
        values: dict[str, Any] = {}
        for name, value in given.items():
            reader = _TOP.get(name)
            if reader is None:
                found.append(
                    error(
                        "FI852",
                        f"there is no option {name!r}{nearest(name, _TOP)}",
                        detail="it was given beside the flow, where the options stand that come before the command",
                        hint=f"the options are {', '.join(_TOP)}; parameters are given to run()",
                    )
                )
                continue
            if value is None:
                continue
            try:
                values[name] = reader[1](value)
            except (TypeError, ValueError):
                found.append(wrong_type(name, reader[0], value))
        found += _unavailable(values)
        if found:
            raise ConfigurationError(found)
        return cls(
            **{name: values[name] for name in cls.__dataclass_fields__ if name in values},
            **({"store": values["datastore_root"]} if "datastore_root" in values else {}),
        )

    def to_json(self) -> dict[str, Any]:
        """For the specification of a program; :meth:`from_json` reads it. The store is in the environment already."""
        return {
            "quiet": self.quiet,
            "decospecs": list(self.decospecs),
            "config": [list(pair) for pair in self.config],
            "config_value": [[name, encode_value(value)] for name, value in self.config_value],
            "branch": self.branch,
            "production": self.production,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What :meth:`to_json` wrote."""
        from flowinfra.control.messages import decode_value

        return cls(
            quiet=document["quiet"],
            decospecs=tuple(document["decospecs"]),
            config=tuple((name, file) for name, file in document["config"]),
            config_value=tuple((name, decode_value(value)) for name, value in document["config_value"]),
            branch=document["branch"],
            production=document["production"],
        )


def wrong_type(name: str, wanted: str, value: Any) -> Diagnostic:
    """FI853: the option *name* takes *wanted*, and *value* is something else."""
    text = repr(value)
    return error(
        "FI853",
        f"the option {name} takes {wanted}; {text if len(text) <= 80 else text[:80] + '…'} is none",
        detail=f"it is of the type {getattr(value, 'kind', type(value).__name__)}",
        hint=f"give {name} as {wanted}",
    )


def _unavailable(values: Mapping[str, Any]) -> list[Diagnostic]:
    found = []
    for name, why in (
        ("environment", "tasks of a local run import from this machine's Python; a deployment declares its own"),
        ("metadata", "what a run is, is kept in its store; there is no service to choose"),
    ):
        if values.get(name, "local") != "local":
            found.append(
                error(
                    "FI858",
                    f"{name}={values[name]!r} is not there",
                    detail=why,
                    hint=f"leave {name} out, or give 'local'",
                )
            )
    store = values.get("datastore", "local")
    scheme = str(values.get("datastore_root", "")).partition("://")[0]
    if store not in ("local", scheme):
        found.append(
            error(
                "FI858",
                f"datastore={store!r} does not say where",
                detail="a store is one URL",
                hint=f"give datastore_root='{store}://...', or set FLOWINFRA_STORE",
            )
        )
    return found


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _str(value: Any) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError
    return os.fspath(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise TypeError
    return tuple(value)


def _pairs(value: Any) -> tuple[tuple[str, Any], ...]:
    items: Sequence[Any] = list(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(items, (list, tuple)):
        raise TypeError
    pairs = [(name, item) for name, item in items]
    if not all(isinstance(name, str) for name, _ in pairs):
        raise TypeError
    return tuple(pairs)


def _files(value: Any) -> tuple[tuple[str, str], ...]:
    return tuple((name, os.path.abspath(_str(file))) for name, file in _pairs(value))


_TOP: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "branch": ("a text", _str),
    "config": ("a list of (name, file)", _files),
    "config_value": ("a list of (name, value)", _pairs),
    "datastore": ("a text", _str),
    "datastore_root": ("a URL or a path", _str),
    "decospecs": ("a list of texts", _texts),
    "environment": ("a text", _str),
    "metadata": ("a text", _str),
    "production": ("True or False", _bool),
    "pylint": ("True or False", _bool),
    "quiet": ("True or False", _bool),
}


# -- where ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invocation:
    """Which flow, with which options, in which folder and environment.

    Attributes:
        flow: its source.
        top: the options before the command.
        env: the whole environment of the program.
        cwd: the folder that the program works in; its project is that folder's.
    """

    flow: FlowSource
    top: TopOptions
    cwd: Path
    env: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(
        cls,
        flow: str | os.PathLike[str] | type,
        options: Mapping[str, Any],
        *,
        profile: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Check what a constructor was given.

        Args:
            flow: see :meth:`FlowSource.of`.
            options: see :meth:`TopOptions.of`.
            profile: see :func:`profile_variables`; its variables are stronger than those of this process.
            env: variables for the program; the strongest.
            cwd: default: the current folder.

        Raises:
            ConfigurationError: FI853, *profile*, *env* or *cwd* is none.
            FlowinfraError: as :meth:`FlowSource.of`, :meth:`TopOptions.of` and :func:`profile_variables`.
        """
        source = FlowSource.of(flow)
        top = TopOptions.of(options)
        unfit = [
            wrong_type(name, wanted, value)
            for name, wanted, value, kinds in (
                ("profile", "a text", profile, str),
                ("env", "a mapping of names to texts", env, Mapping),
                ("cwd", "a path", cwd, (str, os.PathLike)),
            )
            if value is not None and not isinstance(value, kinds)
        ]
        if unfit:
            raise ConfigurationError(unfit)
        variables = {**os.environ, **profile_variables(profile)}
        wrong = [problem for name, value in (env or {}).items() if (problem := _no_variable(name, value)) is not None]
        if wrong:
            raise ConfigurationError(wrong)
        variables |= env or {}
        if top.store is not None:
            variables["FLOWINFRA_STORE"] = top.store
        return cls(source, top, Path(os.path.abspath(os.fspath(cwd) if cwd is not None else os.curdir)), variables)

    def to_json(self) -> dict[str, Any]:
        """For the specification of a program: the flow and the options; folder and environment are the process's own."""
        return {"flow": self.flow.to_json(), "top": self.top.to_json()}


def _no_variable(name: Any, value: Any) -> Diagnostic | None:
    """Why no process can have the environment variable *name*; the value may be a secret, so it is not shown."""
    if not isinstance(name, str) or not name or "=" in name or "\0" in name:
        why = f"{name!r} is no name of an environment variable"
    elif not isinstance(value, str):
        why = f"the value of {name} is no text; it is of the type {type(value).__name__}"
    elif "\0" in value:
        why = f"the value of {name} has a zero in it"
    else:
        return None
    return error("FI853", f"the option env takes environment variables; {why}", hint="give names and values as texts")


def profile_variables(name: str | None, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of the profile *name*: the ``FLOWINFRA_*`` in ``profiles/<name>.toml`` of the user's folder.

    Raises:
        ConfigurationError: FI857, there is no such profile, or it is none.
    """
    if name is None:
        return {}
    folder = config_folder(environ) / "profiles"
    file = folder / f"{name}.toml"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as why:
        there = sorted(other.stem for other in folder.glob("*.toml"))
        summary = f"the profile {name} cannot be read: {why}" if file.exists() else f"there is no profile {name!r}"
        raise ConfigurationError(
            error(
                "FI857",
                summary + nearest(name, there),
                detail=f"the profiles are {', '.join(there)}" if there else f"there is no profile in {folder}",
                hint=f'write {file} with lines such as FLOWINFRA_STORE = "s3://bucket/runs"',
                source=Source(str(file)),
            )
        ) from why
    import tomllib

    try:
        variables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise ConfigurationError(
            error("FI857", f"the profile {name} is no TOML: {why}", hint="mend it", source=Source(str(file)))
        ) from why
    wrong = [k for k, v in variables.items() if not k.startswith(_SETTING) or not isinstance(v, str)]
    if wrong:
        raise ConfigurationError(
            error(
                "FI857",
                f"the profile {name} sets {key}, which is no text called {_SETTING}...",
                hint="a profile is a set of settings of flowinfra; give other variables with env=",
                source=Source(str(file)),
            )
            for key in wrong
        )
    return variables
