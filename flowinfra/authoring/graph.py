"""A flow's class → :class:`~flowinfra.model.graph.FlowGraph`. All findings come at once.

What is read is a plain document first (:func:`read_document`), the JSON of the graph: whoever runs a flow that he has
compiled before knows it by that document and never loads the model.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from flowinfra.authoring.configs import bindings_of, settle
from flowinfra.authoring.environment import TaskEnvironment
from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.hooks import Hook, hooks_of
from flowinfra.authoring.later import Later
from flowinfra.authoring.parameters import IncludeFile, Parameter, schema_of, to_json
from flowinfra.authoring.project import check_project
from flowinfra.authoring.secrets import merged_secrets, variable_of
from flowinfra.authoring.settings import Patch, StepMark, mark_of, placed
from flowinfra.authoring.transitions import Transition, line_of_next, read_transition, unknown_step
from flowinfra.authoring.values import Resources
from flowinfra.canonical import json_digest
from flowinfra.diagnostics import AuthoringError, Diagnostic, Source, error, raise_errors, sort_diagnostics

if TYPE_CHECKING:
    from flowinfra.model.graph import FlowGraph

__all__ = [
    "Document",
    "StepSource",
    "build_graph",
    "located",
    "read_bindings",
    "read_document",
    "read_graph",
    "step_sources",
]

#: A part of a graph as JSON.
Document = dict[str, Any]

_RESOURCES = ("cpu", "memory_mib", "gpu", "disk_mib")

#: What a flow class itself needs: steps, parameters and artifacts cannot be called so.
_RESERVED = frozenset(name for name in dir(FlowSpec) if not name.startswith("__"))


@dataclass(frozen=True, slots=True)
class StepSource:
    """Where a step is written: the function, its class, its file, and its syntax tree."""

    name: str
    function: Callable[..., Any]
    owner: type
    file: Path
    node: ast.FunctionDef | ast.AsyncFunctionDef
    mark: StepMark


@dataclass(slots=True)
class _Reading:
    """One reading of a class: what was found so far."""

    flow: type[FlowSpec]
    root: Path
    found: list[Diagnostic] = field(default_factory=list)
    environments: dict[str, Document] = field(default_factory=dict)
    bases: dict[str, TaskEnvironment | None] = field(default_factory=dict)  # None: the default of plain @step
    trees: dict[str, dict[int, ast.FunctionDef | ast.AsyncFunctionDef]] = field(default_factory=dict)
    ways: list[tuple[str, str, Source]] = field(default_factory=list)  # from a step to another name, and where


def build_graph(flow: type[FlowSpec], *, root: Path) -> FlowGraph:
    """The graph of *flow*, without code digests.

    Args:
        flow: a subclass of FlowSpec.
        root: the folder that source positions are relative to.

    Raises:
        AuthoringError: the class cannot be read as a flow; the error carries all findings.
    """
    graph, found = read_graph(flow, root=root)
    raise_errors(found, AuthoringError)
    assert graph is not None  # there are only findings that stop
    return graph


def step_sources(flow: type[FlowSpec]) -> list[StepSource]:
    """The steps of *flow* in the order in which they are written, base classes first."""
    return list(_steps(_Reading(flow, Path())))


def read_graph(flow: type[FlowSpec], *, root: Path) -> tuple[FlowGraph | None, list[Diagnostic]]:
    """The graph of *flow*, or None, and everything that was found."""
    from flowinfra.model.graph import FlowGraph

    document, found = read_document(flow, root=root)
    return (FlowGraph.from_json(document) if document else None), found


def read_document(flow: type[FlowSpec], *, root: Path) -> tuple[Document | None, list[Diagnostic]]:
    """The graph of *flow* as JSON, or None, and everything that was found."""
    reading = _Reading(flow, root.resolve())
    reading.found += [*settle(flow), *check_project(flow)[1]]
    given, steps = list(_parameters(reading)), list(_steps(reading))
    _check_names(reading, steps, given)
    parameters = [_parameter(reading, parameter) for parameter in given]
    nodes = [_node(reading, step) for step in steps]
    if reading.found:
        _check_ways(reading)
        return None, sort_diagnostics(reading.found)
    document = {
        "name": flow.__name__,
        "start": "start",
        "parameters": parameters,
        "environments": list(reading.environments.values()),
        "steps": nodes,
        "hooks": [_hook(reading, hook) for hook in hooks_of(flow)],
        "doc": inspect.cleandoc(flow.__doc__ or ""),
        "source": _class_location(reading),
    }
    return document, []


def read_bindings(flow: type[FlowSpec], *, root: Path) -> tuple[list[Document], list[Diagnostic]]:
    """What *flow* read while it was loaded, as a release records it, sorted by name; and what is wrong with it."""
    reading = _Reading(flow, root.resolve())
    bindings, found = bindings_of(flow)
    documents = [
        {
            "kind": "config",
            "name": binding.name,
            "value": binding.value,
            "sha256": json_digest(binding.value),
            "attribute": binding.attribute,
            "source": _location(reading, binding.source),
        }
        for binding in bindings
    ]
    return sorted(documents, key=lambda b: str(b["name"])), found


# -- steps ----------------------------------------------------------------------------------------------------------


def _steps(reading: _Reading) -> Iterator[StepSource]:
    there: dict[str, tuple[Any, type]] = {}
    for owner in reversed(reading.flow.__mro__):
        for name, value in vars(owner).items():
            there.pop(name, None)  # overridden: the place of the one that counts
            there[name] = (value, owner)
    for name, (value, owner) in there.items():
        mark = mark_of(value)
        if mark is None:
            if isinstance(value, FunctionType) and owner is not FlowSpec:
                _check_method(reading, value)
            continue
        function = inspect.unwrap(value)
        file = Path(function.__code__.co_filename)
        here = placed(Source(str(file), function.__code__.co_firstlineno))
        if not mark.is_step:
            first = mark.patches[0]
            reading.found.append(
                error(
                    "FI130",
                    f"{first.decorator} is on `{name}`, which is no step",
                    detail="decorators change how a step is run",
                    hint="add @step to it, or remove the decorator",
                    source=placed(first.source),
                )
            )
            continue
        node = _tree(reading, str(file)).get(function.__code__.co_firstlineno)
        if node is None:
            reading.found.append(
                error(
                    "FI106",
                    f"the source of the step `{name}` cannot be read",
                    detail="transitions are read from the source, so that a graph is known before it runs",
                    hint="write the flow into a .py file",
                    source=here if file.is_file() else _class_place(reading),
                )
            )
            continue
        if node.name != name:
            reading.found.append(
                error(
                    "FI143",
                    f"the step `{name}` is written as `{node.name}`",
                    detail="a step is known by the name behind `def`, in the graph as in self.next",
                    hint=f"write def {name}(self); a decorator of your own needs functools.wraps",
                    source=Source(here.file, node.lineno),
                )
            )
            continue
        yield StepSource(name, function, owner, file, node, mark)


def _check_method(reading: _Reading, function: FunctionType) -> None:
    """A method that calls self.next is meant as a step."""
    file = function.__code__.co_filename
    node = _tree(reading, file).get(function.__code__.co_firstlineno)
    if node is not None and (line := line_of_next(node)):
        reading.found.append(
            error(
                "FI116",
                f"the method `{node.name}` calls self.next and is no step",
                detail="only a step leads on to another one; what a step calls cannot do it for the step",
                hint="write @step above it, or call self.next in the step itself",
                source=placed(Source(file, line)),
            )
        )


def _tree(reading: _Reading, file: str) -> dict[int, ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions of *file* by the line of their first decorator, or of ``def``."""
    if file not in reading.trees:
        out: dict[int, ast.FunctionDef | ast.AsyncFunctionDef] = {}
        for node in ast.walk(_parsed(file)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                out[min([node.lineno, *(d.lineno for d in node.decorator_list)])] = node
        reading.trees[file] = out
    return reading.trees[file]


def _parsed(file: str) -> ast.Module:
    linecache.checkcache(file)  # it may have been mended since a trace showed it
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return ast.Module([], [])


def _node(reading: _Reading, step: StepSource) -> Document | None:
    here = placed(Source(str(step.file), step.node.lineno))
    before = len(reading.found)
    if not re.fullmatch("[A-Za-z0-9_]+", step.name):
        reading.found.append(
            error(
                "FI141",
                f"the name of the step `{step.name}` has other characters than a to z, digits and _",
                detail="it becomes the name of folders, of states and of containers, which are plain everywhere",
                hint="spell it with them; the docstring of the step has room for the rest",
                source=here,
            )
        )
    if len(step.name) > 64:
        reading.found.append(
            error(
                "FI141",
                f"the name of the step `{step.name[:20]}…` has {len(step.name)} characters",
                detail="a state of AWS Step Functions has at most 80, and suffixes need room",
                hint="use at most 64",
                source=here,
            )
        )
    if isinstance(step.node, ast.AsyncFunctionDef):
        reading.found.append(
            error(
                "FI140",
                f"the step `{step.name}` is async",
                hint="write `def`; await inside with asyncio.run",
                source=here,
            )
        )
    takes = [a.arg for a in [*step.node.args.posonlyargs, *step.node.args.args]]
    if len(takes) not in (1, 2) or step.node.args.vararg or step.node.args.kwonlyargs or step.node.args.kwarg:
        reading.found.append(
            error(
                "FI140",
                f"the step `{step.name}` takes ({ast.unparse(step.node.args)})",
                detail="a step takes self, and a join also its inputs; everything else is an artifact or a parameter",
                hint=f"write def {step.name}(self) or def {step.name}(self, inputs)",
                source=here,
            )
        )
    transition, found = read_transition(step.node, here.file)
    reading.found += found
    for to in dict.fromkeys([*transition.to, *(to for _, to in transition.cases)]) if transition else ():
        reading.ways.append((step.name, to, here))
    if transition is None and not found and step.name != "end":
        reading.found.append(
            error(
                "FI110",
                f"the step `{step.name}` does not say what comes next",
                detail="every step but `end` leads on",
                hint="add self.next(self.<step>) as its last line",
                source=here,
            )
        )
    if transition is not None and step.name == "end":
        reading.found.append(
            error(
                "FI115",
                "the step `end` has a transition",
                detail="a flow ends there",
                hint="remove self.next",
                source=here,
            )
        )
    environment = _environment(reading, step)
    policy = _policy(reading, step)
    if len(reading.found) > before or environment is None:
        return None
    return {
        "name": step.name,
        # of the flow itself, also where a base class holds the step: what a subclass overrides is what must run
        "entrypoint": f"{_module(reading)}:{reading.flow.__qualname__}.{step.name}",
        "next": _next(transition),
        "join": len(takes) == 2,
        "environment": environment,
        "policy": policy,
        "doc": inspect.cleandoc(step.function.__doc__ or ""),
        "source": _location(reading, Source(str(step.file), step.node.lineno)),
    }


def _next(transition: Transition | None) -> Document:
    if transition is None:
        return {"kind": "end"}
    if transition.cases:
        return {"kind": "switch", "on": transition.condition, "cases": dict(transition.cases)}
    if transition.foreach:
        most = transition.max_concurrency
        return {"kind": "foreach", "to": transition.to[0], "over": transition.foreach, "max_concurrency": most}
    if len(transition.to) == 1:
        return {"kind": "goto", "to": transition.to[0]}
    return {"kind": "split", "to": list(transition.to)}


def _patches(reading: _Reading, step: StepSource) -> dict[str, Patch]:
    out: dict[str, Patch] = {}
    for patch in step.mark.patches:
        if isinstance(patch.value, Later):
            continue  # a finding already
        if patch.field in out and out[patch.field].value != patch.value:
            reading.found.append(
                error(
                    "FI135",
                    f"the step `{step.name}` has {patch.decorator} twice, with different values",
                    hint="keep one of them",
                    source=placed(patch.source),
                )
            )
        out.setdefault(patch.field, patch)
    return out


def _policy(reading: _Reading, step: StepSource) -> Document:
    found = _patches(reading, step)
    patches = {name: patch.value for name, patch in found.items()}
    retry = patches.get("retry")
    var = patches.get("catch")
    there = inspect.getattr_static(reading.flow, var, None) if var else None
    if var in _RESERVED or isinstance(there, Parameter) or mark_of(there) is not None:
        reading.found.append(_reserved("an artifact of @catch", str(var), placed(found["catch"].source)))
    return {
        "retry": {"times": retry[0], "delay_seconds": retry[1], "backoff": retry[2]} if retry and retry[0] else None,
        "timeout_seconds": patches.get("timeout_seconds"),
        "catch": {"var": patches["catch"]} if "catch" in patches else None,
    }


def _environment(reading: _Reading, step: StepSource) -> str | None:
    """The name of the environment of *step*, which is put into the graph; a step's own decorators make one of its own."""
    base = step.mark.environment or TaskEnvironment("default")
    other = reading.bases.setdefault(base.name, step.mark.environment)
    if other is not step.mark.environment:
        one, two = (base, other) if step.mark.environment else (other or base, None)
        reading.found.append(
            error(
                "FI136",
                f"two environments are called {base.name!r}",
                detail=f"the other one is {f'made at {placed(two.source)}' if two else 'that of the steps with plain @step'}",
                hint="give one of them another name",
                source=placed(one.source),
            )
        )
        return None
    patches = {name: patch.value for name, patch in _patches(reading, step).items()}
    own: Resources | None = patches.get("resources")
    resources = {name: getattr(base.resources, name) for name in _RESOURCES}
    changed = {name: value for name in _RESOURCES if (value := getattr(own, name, None)) is not None}
    variables = {**base.env_vars, **patches.get("env_vars", {})}
    secrets = merged_secrets(base.secrets, patches.get("secrets", ()))
    mine = {**resources, **changed} != resources or variables != base.env_vars or secrets != base.secrets
    for clash in sorted(variables.keys() & {variable_of(secret) for secret in secrets}):
        reading.found.append(
            error(
                "FI181",
                f"the step `{step.name}` has the environment variable {clash} twice: as a text and as a secret",
                detail="the variables of its environment, of @environment and of its secrets are one set",
                hint="take the text away, or give the secret another variable: Secret(..., env_var=...)",
                source=placed(Source(str(step.file), step.node.lineno)),
            )
        )
    name = f"{base.name}.{step.name}" if mine else base.name
    reading.environments[name] = {
        "name": name,
        "image": base.image,
        "resources": {**resources, **changed},
        "env_vars": variables,
        "secrets": [{"source": s.source, "name": s.name, "env_var": s.env_var or ""} for s in secrets],
    }
    return name


# -- parameters -----------------------------------------------------------------------------------------------------


def _parameters(reading: _Reading) -> Iterator[Parameter[Any]]:
    there: dict[str, Any] = {}
    for owner in reversed(reading.flow.__mro__):
        there.update(vars(owner))
    for attribute, value in there.items():
        if isinstance(value, Parameter) and value.attribute == attribute:
            yield value
        elif isinstance(value, Parameter):
            reading.found.append(
                error(
                    "FI122",
                    f"one parameter stands under two names: {attribute} and {value.attribute}",
                    hint="make a Parameter() for each",
                    source=placed(value.source),
                )
            )


def _parameter(reading: _Reading, parameter: Parameter[Any]) -> Document | None:
    here = placed(parameter.source)
    plain = parameter.name.replace("-", "_")
    if not plain.isidentifier() or plain.startswith("_"):
        reading.found.append(
            error(
                "FI122", f"{parameter.name!r} is no name of a parameter", hint="letters, digits, _ and -", source=here
            )
        )
        return None
    if parameter.attribute in _RESERVED:
        reading.found.append(_reserved("a parameter", parameter.attribute, here))
        return None
    schema = schema_of(parameter.kind)
    if isinstance(parameter, IncludeFile) and not parameter.is_text:
        schema["contentEncoding"] = "base64"
    elif isinstance(parameter, IncludeFile):
        schema["contentEncoding"] = parameter.encoding
    optional = not parameter.required and parameter.default is None and parameter.callable_default is None
    if optional and "type" in schema:  # as in the field: without a default and not required it is None
        schema["type"] = [schema["type"], "null"]
    return {
        "name": parameter.name,
        "attribute": parameter.attribute,
        "type": parameter.kind,
        "json_schema": schema,
        "required": parameter.required,
        "default": to_json(parameter.kind, parameter.default),
        "computed_default": parameter.callable_default is not None,
        "help": parameter.help,
        "source": _location(reading, parameter.source),
    }


def _check_names(reading: _Reading, steps: list[StepSource], parameters: list[Parameter[Any]]) -> None:
    for step in steps:
        if step.name in _RESERVED:
            reading.found.append(_reserved("a step", step.name, placed(Source(str(step.file), step.node.lineno))))
    by_name: dict[str, Parameter[Any]] = {}
    for parameter in parameters:
        other = by_name.setdefault(parameter.name.replace("-", "_"), parameter)  # one option of a command line
        if other is not parameter:
            reading.found.append(
                error(
                    "FI122",
                    f"two parameters are called {parameter.name!r}: {other.attribute} and {parameter.attribute}",
                    detail=f"the other one is made at {placed(other.source)}",
                    hint="give one of them another name",
                    source=placed(parameter.source),
                )
            )


def _check_ways(reading: _Reading) -> None:
    """Unknown steps. The graph has a rule for them, but no graph can be made of a flow with other findings."""
    names = sorted(name for name in dir(reading.flow) if mark_of(inspect.getattr_static(reading.flow, name)))
    methods = {d.summary.split("`")[1] for d in reading.found if d.code == "FI116"}  # meant as steps: told already
    for step, to, here in reading.ways:
        if to not in (*names, *methods, "end"):
            summary, detail, hint = unknown_step(step, to, names)
            reading.found.append(error("FI203", summary, detail=detail, hint=hint, source=here))


def _reserved(what: str, name: str, source: Source) -> Diagnostic:
    return error(
        "FI142",
        f"{what} cannot be called `{name}`",
        detail=f"self.{name} is part of FlowSpec" if name in _RESERVED else f"self.{name} is something else already",
        hint="choose another name",
        source=source,
    )


def _hook(reading: _Reading, hook: Hook) -> Document:
    file = hook.function.__code__.co_filename
    module = _module_of(reading, file) or hook.function.__module__
    return {"on": hook.on, "entrypoint": f"{module}:{hook.function.__name__}", "image": hook.image}


# -- places ---------------------------------------------------------------------------------------------------------


def _class_location(reading: _Reading) -> Document | None:
    place = _class_place(reading)
    return _location(reading, place) if place else None


def _location(reading: _Reading, place: Source) -> Document:
    return {"file": _relative(reading, Path(place.file)), "line": place.line}


def _class_place(reading: _Reading) -> Source | None:
    file = inspect.getsourcefile(reading.flow)
    for node in ast.walk(_parsed(file)) if file else ():
        if isinstance(node, ast.ClassDef) and node.name == reading.flow.__name__:
            return Source(str(file), node.lineno)
    return None


def located(diagnostics: Iterable[Diagnostic], root: Path) -> list[Diagnostic]:
    """Findings about a graph, whose places are relative to *root*, with places that mean the same everywhere."""
    out = []
    for found in diagnostics:
        place = found.source
        if place is not None and (root / place.file).is_file():
            place = placed(Source(str(root / place.file), place.line))
        out.append(replace(found, source=place))
    return out


def _relative(reading: _Reading, file: Path) -> str:
    path = Path(file).resolve()
    return path.relative_to(reading.root).as_posix() if path.is_relative_to(reading.root) else path.name


def _module(reading: _Reading) -> str:
    # of an installed package if it is not below the root
    return _module_of(reading, inspect.getsourcefile(reading.flow)) or reading.flow.__module__


def _module_of(reading: _Reading, file: str | None) -> str:
    """The module that *file* is imported as; empty if it does not lie below the root."""
    path = Path(file).resolve() if file else None
    if path is None or not path.is_relative_to(reading.root):
        return ""
    parts = path.relative_to(reading.root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
