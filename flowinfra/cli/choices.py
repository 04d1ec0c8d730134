"""What may stand at a place of a command line: stacks, runs, deployments, flow files and their parameters.

Asked for while someone types. So nothing here runs a flow file, writes, or goes to a network, and what cannot be read
is not offered.
"""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from flowinfra.diagnostics import FlowinfraError

__all__ = [
    "Choice",
    "Outline",
    "OutlinedParameter",
    "decorators",
    "deployed_parameters",
    "deployments",
    "flow_files",
    "flows",
    "outline",
    "outlined_flows",
    "runs",
    "stacks",
]

_MOST_RUNS: Final = 50
_LARGEST_SOURCE: Final = 2_000_000  # bytes; nobody waits for the outline of a larger file


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing that may stand there.

    Attributes:
        value: as it is written.
        help: what it is, in a few words.
    """

    value: str
    help: str = ""


@dataclass(frozen=True, slots=True)
class OutlinedParameter:
    """A parameter, as far as one can tell without running its flow file.

    Attributes:
        name: as callers write it.
        kind: ``bool``, ``file`` or empty.
        help: what its author says of it.
    """

    name: str
    kind: str = ""
    help: str = ""


@dataclass(frozen=True, slots=True)
class Outline:
    """A flow, as far as its source tells.

    Attributes:
        parameters: in the order in which they are written.
        steps: the names of its steps.
        configs: the names of its configs.
    """

    parameters: tuple[OutlinedParameter, ...] = ()
    steps: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()

    def __add__(self, other: Outline) -> Outline:
        """Both; what *other* has by the same name holds."""
        parameters = {p.name: p for p in (*self.parameters, *other.parameters)}
        return Outline(
            tuple(parameters.values()),
            tuple(dict.fromkeys((*self.steps, *other.steps))),
            tuple(dict.fromkeys((*self.configs, *other.configs))),
        )


# -- a project ------------------------------------------------------------------------------------------------------


def stacks(start: Path) -> list[Choice]:
    """The stacks of the project of *start* that people select: those that a ``Deployer`` makes for itself are none."""
    from flowinfra.control.stacks import is_own_stack
    from flowinfra.engine.config import Project
    from flowinfra.engine.state.backend import Backend
    from flowinfra.packaging.home import Home

    with contextlib.suppress(FlowinfraError, OSError):
        project, home = Project.find(start), Home.find(start)
        names = {f.name[len("Pulumi.") : -len(".yaml")] for f in project.config_dir.glob("Pulumi.*.yaml")}
        if home.state_dir.is_dir():
            names.update(Backend.open(home.state_dir.as_uri()).stacks(project.name))
        return [Choice(name) for name in sorted(names) if not is_own_stack(name)]
    return []


def deployments(start: Path) -> list[Choice]:
    """The full names of what is deployed from the project of *start*, each with its stacks."""
    from flowinfra.orchestrators.local.orchestrator import LocalOrchestrator
    from flowinfra.packaging.home import Home

    found: dict[str, list[str]] = {}
    with contextlib.suppress(FlowinfraError, OSError):
        home = Home.find(start)
        if home.database.exists():
            for deployed in LocalOrchestrator.open(home).deployments.list():
                found.setdefault(deployed.deployment.full_name, []).append(deployed.deployment.stack)
    return [Choice(name, ", ".join(sorted(set(there)))) for name, there in sorted(found.items())]


def deployed_parameters(name: str, start: Path) -> list[OutlinedParameter]:
    """The parameters of the deployment that *name* means."""
    from flowinfra.control.operate import find_deployment

    with contextlib.suppress(FlowinfraError, OSError):
        there = find_deployment(name, start=start).parameters()
        return [
            OutlinedParameter(p["name"], p["type"] if p["type"] in {"bool", "file"} else "", p.get("help") or "")
            for p in there
        ]
    return []


def flows(start: Path) -> list[Choice]:
    """The flows that have run in the project of *start*."""
    from flowinfra.control.place import Place
    from flowinfra.packaging.home import Home
    from flowinfra.packaging.store import Store

    with contextlib.suppress(FlowinfraError, OSError):
        home = Home.find(start)
        if _is_there(home.store_url):
            return [Choice(name) for name in Place(home, Store.open(home.store_url)).flows()]
    return []


def runs(start: Path, begun: str) -> list[Choice]:
    """Runs of the project of *start*, newest first, as ``Flow/run``; the flows where *begun* names none yet."""
    from flowinfra.control.place import Place, local_time
    from flowinfra.packaging.home import Home
    from flowinfra.packaging.store import Store

    flow, slash, _ = begun.partition("/")
    if not slash:
        return [Choice(f"{there.value}/") for there in flows(start)]
    with contextlib.suppress(FlowinfraError, OSError):
        home = Home.find(start)
        if _is_there(home.store_url):
            newest = islice(Place(home, Store.open(home.store_url)).index(flow), _MOST_RUNS)
            return [
                Choice(f"{flow}/{entry.run}", f"{local_time(entry.started_ms):%Y-%m-%d %H:%M:%S}") for entry in newest
            ]
    return []


def _is_there(url: str) -> bool:
    # Others are on a network, or empty.
    return url.startswith("file://") and os.path.isdir(url.removeprefix("file://"))


def decorators() -> list[Choice]:
    """What ``--with`` takes."""
    return [Choice(name) for name in ("retry", "timeout", "catch", "resources", "environment", "secrets")]


# -- flow files -----------------------------------------------------------------------------------------------------


def flow_files(start: Path, begun: str) -> list[Choice]:
    """Folders and Python files that *begun* may become, those with a flow before others; behind a colon, its flows."""
    address, colon, _ = begun.rpartition(":")
    if colon and address.endswith(".py"):
        return [Choice(f"{address}:{name}") for name in outlined_flows(_read(start, address))]
    if begun.endswith(".py"):
        names = list(outlined_flows(_read(start, begun)))
        if len(names) > 1:
            return [Choice(f"{begun}:{name}") for name in names]
    typed, _, last = begun.rpartition("/")
    typed += "/" if "/" in begun else ""
    folder = start / os.path.expanduser(typed)
    with contextlib.suppress(OSError):
        there = sorted(folder.iterdir())
        seen = [p for p in there if p.name.startswith(last) and (last.startswith(".") or p.name[0] not in "._")]
        files = [p for p in seen if p.suffix == ".py" and p.is_file()]
        with_flow = [p for p in files if "FlowSpec" in _read(folder, p.name)]
        folders = [Choice(f"{typed}{p.name}/") for p in seen if p.is_dir()]
        return [*(Choice(f"{typed}{p.name}") for p in with_flow or files), *folders]
    return []


def outline(start: Path, address: str) -> Outline:
    """The flow ``file.py:Name``, or all flows of a file together."""
    file, colon, name = address.rpartition(":")
    if not (colon and file.endswith(".py")):
        file, name = address, ""
    there = outlined_flows(_read(start, file))
    return there[name] if name in there else sum(there.values(), Outline())


def outlined_flows(source: str) -> Mapping[str, Outline]:
    """The flows that are written in *source*; it is read as text, nothing is executed."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return {}
    found: dict[str, Outline] = {}
    bases: set[str] = set()
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        above = [_last_name(base) for base in node.bases]
        inherited = [found[name] for name in above if name in found]
        if "FlowSpec" in above or inherited:
            found[node.name] = sum(inherited, Outline()) + _outline(node.body)
            bases.update(name for name in above if name in found)
    # What others here are derived from is not what the file is for.
    return {name: flow for name, flow in found.items() if name not in bases}


def _outline(body: Iterable[ast.stmt]) -> Outline:
    parameters: list[OutlinedParameter] = []
    steps: list[str] = []
    configs: list[str] = []
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if any(_last_name(d.func if isinstance(d, ast.Call) else d) == "step" for d in node.decorator_list):
                steps.append(node.name)
            continue
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target, value = node.target, node.value
        else:
            continue
        if not (isinstance(target, ast.Name) and isinstance(value, ast.Call)):
            continue
        made_by = _last_name(value.func)
        given = {k.arg: k.value for k in value.keywords if k.arg}
        name = (_text(value.args[0]) if value.args else _text(given.get("name"))) or target.id
        if made_by == "Config":
            configs.append(name)
        elif made_by in {"Parameter", "IncludeFile"}:
            kind = "file" if made_by == "IncludeFile" else _kind(given)
            parameters.append(OutlinedParameter(name, kind, _text(given.get("help"))))
    return Outline(tuple(parameters), tuple(steps), tuple(configs))


def _kind(given: Mapping[str, ast.expr]) -> str:
    declared, default = given.get("type"), given.get("default")
    if declared is not None:
        return "bool" if _last_name(declared) == "bool" else ""
    return "bool" if isinstance(default, ast.Constant) and isinstance(default.value, bool) else ""


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _read(start: Path, file: str) -> str:
    path = start / os.path.expanduser(file)
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if path.stat().st_size <= _LARGEST_SOURCE:
            return path.read_text(encoding="utf-8")
    return ""
