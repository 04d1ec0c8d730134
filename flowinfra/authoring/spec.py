"""``DeploymentSpec``: one deployment of a flow, as its author writes it."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.settings import caller, placed
from flowinfra.diagnostics import AuthoringError, error

if TYPE_CHECKING:
    from flowinfra.authoring.configs import ConfigSources
    from flowinfra.model.deployment import Deployment

__all__ = ["DeploymentSpec"]


class DeploymentSpec:
    """One deployment of a flow: which flow, under which name, with which values.

    Its full name is ``<flow>/<name>``. Flows are given as classes, or by their place as ``"flows/churn.py:Churn"``.

    Args:
        flow: a subclass of FlowSpec.
        name: the name of the deployment, free text without ``/``; ``default`` unless given.
        parameters: values for the flow's parameters, by the names that callers use.
        tags: put on every run; at most 50, each 1 to 500 characters.
        paused: deployed, but nothing starts it by itself.
        max_workers: how many tasks of one run may run at once.
        timeout_seconds: how long one run may take as a whole.
        user_namespace: the namespace in which the client looks inside of its runs.
        description: one line for those who operate it.
        config: files of the flow's configs by name, relative to the file that makes the spec.
        config_value: values of its configs by name: JSON, or text as a file holds it.
        flow_location: instead of *flow*: ``file.py`` or ``file.py:Name``, relative to the file that makes the spec.

    Raises:
        AuthoringError: an argument is not usable; all that are wrong come at once (FI150).
    """

    __slots__ = (
        "config",
        "config_value",
        "description",
        "flow",
        "flow_location",
        "max_workers",
        "name",
        "parameters",
        "paused",
        "source",
        "tags",
        "timeout_seconds",
        "user_namespace",
    )

    def __init__(
        self,
        flow: type[FlowSpec] | None = None,
        name: str = "default",
        *,
        parameters: Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        paused: bool = False,
        max_workers: int | None = None,
        timeout_seconds: int | None = None,
        user_namespace: str = "",
        description: str = "",
        flow_location: str | None = None,
        config: Mapping[str, str | os.PathLike[str]] | None = None,
        config_value: Mapping[str, Any] | None = None,
    ) -> None:
        self.source = caller()
        self.flow = flow
        self.flow_location = flow_location
        self.name = name
        wrong: list[tuple[str, str]] = []
        if not isinstance(parameters or {}, Mapping):
            wrong.append((f"parameters={parameters!r} is no dict", "write parameters={'name': value}"))
        self.parameters: dict[str, Any] = {} if wrong else dict(parameters or {})
        listed = (tags,) if isinstance(tags, str) else tags
        if not isinstance(listed, Iterable):
            wrong.append((f"tags={tags!r} is no list of texts", "write tags=['a', 'b']"))
        self.tags: tuple[str, ...] = tuple(listed) if isinstance(listed, Iterable) else ()
        self.paused = paused
        self.max_workers = max_workers
        self.timeout_seconds = timeout_seconds
        self.user_namespace = user_namespace
        self.description = description
        self.config: Mapping[str, str | os.PathLike[str]] = config or {}
        self.config_value: Mapping[str, Any] = config_value or {}
        wrong += self._problems()
        if wrong:
            place = placed(self.source)
            raise AuthoringError(
                error("FI150", f"DeploymentSpec: {what}", hint=hint, source=place) for what, hint in wrong
            )

    def _problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong, and what to write instead."""
        if (self.flow is None) == (self.flow_location is None):
            both = ", not both" if self.flow is not None else ""
            yield f"give a flow or a flow_location{both}", "e.g. DeploymentSpec(MyFlow, 'daily')"
        elif self.flow is not None and not (isinstance(self.flow, type) and issubclass(self.flow, FlowSpec)):
            yield f"{self.flow!r} is no subclass of FlowSpec", "give the class itself, e.g. DeploymentSpec(MyFlow)"
        if not isinstance(self.name, str) or not self.name.strip() or "/" in self.name:
            yield f"{self.name!r} is no name of a deployment", "a name is text without '/'"
        if len(self.tags) > 50 or any(not isinstance(t, str) or not 1 <= len(t) <= 500 for t in self.tags):
            yield "the tags are too many, too long, or no texts", "at most 50 tags of 1 to 500 characters"
        for name in ("max_workers", "timeout_seconds"):
            most = getattr(self, name)
            if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
                yield f"{name}={most!r} is no whole number above 0", "leave it out for the target's default"
        if not isinstance(self.user_namespace, str):
            yield f"user_namespace={self.user_namespace!r} is no text", "write a tag such as 'user:ada'"
        for what, given in (("config", self.config), ("config_value", self.config_value)):
            if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
                yield f"{what}={given!r} is no dict by name", f"write {what}={{'name': ...}}"
        yield from self._wrong_parameters()
        if not isinstance(self.paused, bool):
            yield f"paused={self.paused!r} is neither True nor False", "write paused=True or leave it out"
        if not isinstance(self.description, str):
            yield f"description={self.description!r} is no text", "write one line for those who operate it"

    def _wrong_parameters(self) -> Iterator[tuple[str, str]]:
        for name, value in self.parameters.items():
            try:
                json.dumps(_plain(value), allow_nan=False)
            except (TypeError, ValueError) as why:
                yield (
                    f"the parameter {name!r} has no JSON value: {why}",
                    "give a number, text, list, dict, date or None",
                )
            if not isinstance(name, str):
                yield f"the name {name!r} of a parameter is no text", "use the names that the flow declares"

    def load(self) -> type[FlowSpec]:
        """The flow's class, imported from its place if need be, and again if the spec gives configs of its own."""
        from flowinfra.authoring.loader import load_flow, load_variant, split_address

        configs = self._configs()
        if self.flow is not None:
            return load_variant(self.flow, configs) if configs.names() else self.flow
        location, name = split_address(str(self.flow_location))
        file = Path(os.path.normpath(Path(self.source.file).parent / location))
        if not file.is_file():
            raise AuthoringError(
                error(
                    "FI101",
                    f"DeploymentSpec: there is no file {file}",
                    detail="a flow is a class in a .py file",
                    hint="check flow_location; it is relative to the file in which the DeploymentSpec is made",
                    source=placed(self.source),
                )
            )
        loaded = load_flow(file, name)
        return load_variant(loaded, configs) if configs.names() else loaded

    def _configs(self) -> ConfigSources:
        from flowinfra.authoring.configs import ConfigSources

        folder = Path(self.source.file).parent
        return ConfigSources.given({name: folder / file for name, file in self.config.items()}, self.config_value)

    def value(self, flow_name: str) -> Deployment:
        """The validated value that plans, components and stores use; parameters as JSON."""
        from flowinfra.model.deployment import Deployment

        return Deployment(
            flow=flow_name,
            name=self.name,
            parameters={k: _plain(v) for k, v in self.parameters.items()},
            tags=tuple(dict.fromkeys(self.tags)),
            paused=self.paused,
            max_workers=self.max_workers,
            timeout_seconds=self.timeout_seconds,
            user_namespace=self.user_namespace,
            description=self.description,
        )

    def __repr__(self) -> str:
        flow = self.flow.__name__ if self.flow is not None else self.flow_location
        return f"DeploymentSpec({flow}, name={self.name!r})"


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, (datetime.date, datetime.datetime)) else value
