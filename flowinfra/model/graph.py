"""A flow as a graph: what the front ends make and everything else reads.

A *static* graph is a class of steps: its transitions are known before it runs. A *dynamic* graph is a task that calls
tasks: it has one node per task that may be called, and ``calls`` edges instead of transitions.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from flowinfra.canonical import canonical_json
from flowinfra.diagnostics import Source
from flowinfra.model.base import SCHEMA_VERSION, Value
from flowinfra.model.environment import Environment

__all__ = [
    "Catch",
    "End",
    "FlowGraph",
    "Foreach",
    "Goto",
    "Hook",
    "Location",
    "Next",
    "ParameterSpec",
    "Policy",
    "Retry",
    "Split",
    "StepNode",
    "Switch",
    "targets_of",
]


class Location(Value):
    """Where something is written; ``file`` is relative to the folder of the flow file, with ``/``."""

    file: str
    line: int

    def source(self) -> Source:
        """The same place for a diagnostic."""
        return Source(self.file, self.line)


class Goto(Value):
    """One step after the other."""

    kind: Literal["goto"] = "goto"
    to: str


class Split(Value):
    """All of these, side by side, until their join."""

    kind: Literal["split"] = "split"
    to: Annotated[tuple[str, ...], Field(min_length=2)]


class Foreach(Value):
    """The same step once for each item of the artifact ``over``, until its join."""

    kind: Literal["foreach"] = "foreach"
    to: str
    over: str
    max_concurrency: Annotated[int, Field(gt=0)] | None = None


class Switch(Value):
    """The one step that the artifact ``on`` names; a case that leads back to an earlier step makes a loop."""

    kind: Literal["switch"] = "switch"
    on: str
    cases: Annotated[dict[str, str], Field(min_length=1)]


class End(Value):
    """Nothing comes after this step."""

    kind: Literal["end"] = "end"


Next = Annotated[Goto | Split | Foreach | Switch | End, Field(discriminator="kind")]


def targets_of(transition: Goto | Split | Foreach | Switch | End) -> tuple[str, ...]:
    """The steps that a transition may lead to, in the order in which they are written, each once."""
    match transition:
        case Goto(to=to) | Foreach(to=to):
            return (to,)
        case Split(to=to):
            return to
        case Switch(cases=cases):
            return tuple(dict.fromkeys(cases.values()))
        case End():
            return ()


class Retry(Value):
    """How often and when an attempt that failed is repeated."""

    times: Annotated[int, Field(ge=0, le=100)]
    """Further attempts after the first."""
    delay_seconds: Annotated[float, Field(ge=0)] = 0.0
    """The pause before the first repetition."""
    backoff: Annotated[float, Field(ge=1)] = 1.0
    """What each further pause is multiplied with."""


class Catch(Value):
    """When all attempts have failed, the step counts as done; its exception is kept in the artifact ``var``."""

    var: str = ""
    """Empty: the exception is recorded but no artifact holds it."""


class Policy(Value):
    """How a step is run, apart from what it runs in."""

    retry: Retry | None = None
    timeout_seconds: Annotated[int, Field(gt=0)] | None = None
    """How long one attempt may take."""
    catch: Catch | None = None


class ParameterSpec(Value):
    """A typed input of a flow."""

    outside_digest: ClassVar[frozenset[str]] = frozenset({"help", "source"})

    name: str
    """The name that callers use."""
    attribute: str
    """The attribute that holds the value inside the flow; usually the same as the name."""
    type: Literal["int", "float", "str", "bool", "list", "dict", "date", "datetime", "json", "file"]
    json_schema: dict[str, Any]
    """What a given value must fit (JSON Schema 2020-12)."""
    required: bool = False
    default: Any = None
    """The default as JSON; not there if the default is computed."""
    computed_default: bool = False
    """The default is a function; the first task of a run calls it."""
    help: str = ""
    source: Location | None = None

    @field_validator("json_schema")
    @classmethod
    def _whole_numbers(cls, schema: dict[str, Any]) -> dict[str, Any]:
        # to JSON Schema 1.0 is 1; engines carry every number as a float, and the digest must not notice
        whole: dict[str, Any] = _with_whole_numbers(schema)
        return whole


def _with_whole_numbers(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _with_whole_numbers(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_with_whole_numbers(value) for value in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node


class Hook(Value):
    """A function that is called when a run has ended."""

    on: Literal["success", "error"]
    """``error`` also means runs that took too long or were stopped."""
    entrypoint: str
    """``module:function``."""
    image: str = ""
    """The container image that it runs in, where the target uses containers; empty means its default."""


class StepNode(Value):
    """One step of a flow, or one task that a dynamic flow may call."""

    outside_digest: ClassVar[frozenset[str]] = frozenset({"doc", "source"})

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
    entrypoint: str
    """``module:Class.method`` or ``module:function``."""
    next: Next = End()
    join: bool = False
    """It takes ``inputs``: the results of what was split before it."""
    environment: str = "default"
    """The name of one of the graph's environments."""
    policy: Policy = Policy()
    code_digest: str = ""
    """A digest of its normalised syntax tree and of the flow's own modules that it uses."""
    calls: tuple[str, ...] = ()
    """The nodes that it may call (dynamic graphs only)."""
    doc: str = ""
    source: Location | None = None


class FlowGraph(Value):
    """A flow. Steps, parameters and environments are kept sorted by name: their order in the source means nothing."""

    outside_digest: ClassVar[frozenset[str]] = frozenset({"doc", "source"})

    schema_version: int = SCHEMA_VERSION
    name: str
    kind: Literal["static", "dynamic"] = "static"
    start: str
    """The first step; of a dynamic graph, the task that is its entry."""
    parameters: tuple[ParameterSpec, ...] = ()
    environments: tuple[Environment, ...] = ()
    steps: tuple[StepNode, ...]
    hooks: tuple[Hook, ...] = ()
    """In the order in which they are called."""
    doc: str = ""
    source: Location | None = None

    @field_validator("steps", "parameters", "environments")
    @classmethod
    def _sorted(cls, items: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(sorted(items, key=lambda item: item.name))

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what, names in (
            ("step", [s.name for s in self.steps]),
            ("parameter", [p.name for p in self.parameters]),
            ("environment", [e.name for e in self.environments]),
        ):
            if len(set(names)) != len(names):
                twice = sorted({n for n in names if names.count(n) > 1})
                raise ValueError(f"{what} {', '.join(twice)} is there more than once")
        return self

    @cached_property
    def by_name(self) -> dict[str, StepNode]:
        """The steps by name."""
        return {s.name: s for s in self.steps}

    def step(self, name: str) -> StepNode:
        """The step called *name*; KeyError if there is none."""
        return self.by_name[name]

    def environment(self, name: str) -> Environment:
        """The environment called *name*; the default one if the graph does not list it."""
        return next((e for e in self.environments if e.name == name), Environment(name=name))

    def keyed(self) -> dict[str, Any]:
        """The graph as a small object keyed by step, parameter and environment: what a component has as its input.

        Plain previews of any engine show a change in it as one line under the step that changed.
        """
        out = self.content()
        for field in ("steps", "parameters", "environments"):
            if field in out:
                out[field] = {item["name"]: {k: v for k, v in item.items() if k != "name"} for item in out[field]}
        for parameter in out.get("parameters", {}).values():
            if "default" in parameter:  # as text, because Pulumi drops the nulls inside an object
                parameter["default"] = canonical_json(parameter["default"]).decode()
        return {**out, "digest": self.digest()}

    @classmethod
    def from_keyed(cls, document: dict[str, Any]) -> Self:
        """The graph whose :meth:`keyed` form *document* is.

        Raises:
            ValueError: it does not fit the schema, or its digest is not that of its content.
        """
        digest = document.get("digest")
        plain = {k: v for k, v in document.items() if k != "digest"}
        for field in ("steps", "parameters", "environments"):
            if field in plain:
                plain[field] = [{"name": name, **item} for name, item in plain[field].items()]
        for parameter in plain.get("parameters", ()):
            if "default" in parameter:
                parameter["default"] = json.loads(parameter["default"])
        graph = cls.from_json(plain)
        if digest is not None and graph.digest() != digest:
            raise ValueError(f"the graph of {graph.name} has the digest {graph.digest()}, not {digest} as it says")
        return graph
