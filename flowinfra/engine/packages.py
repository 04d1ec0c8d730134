"""Who answers the calls to providers: the interpreter in which a preview, an update and a recording differ.

A :class:`~flowinfra.engine.interpreter.Package` is one configured provider of one package; an
:class:`~flowinfra.engine.interpreter.Interpreter` opens them. :class:`Applying` calls the providers,
:class:`Previewing` calls them with ``preview`` and never lets them change anything; the recorder
(:mod:`flowinfra.engine.recorder`) answers from the last state. Everything above runs the same for all three.

Provider methods are coroutines. Each call runs in a thread with a loop of its own (:mod:`flowinfra.engine.calls`), so
that providers that block do not hold up one another; a provider therefore keeps no client that belongs to a loop.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TypeAlias

from pulumi.provider.experimental import provider as sdk
from pulumi.provider.experimental.property_value import PropertyValue

from flowinfra.diagnostics import EngineError, error
from flowinfra.engine.answers import Asked
from flowinfra.engine.calls import Calls
from flowinfra.engine.interpreter import (
    Checked,
    Created,
    Difference,
    Found,
    Invoked,
    Package,
    Sought,
    compare_inputs,
)
from flowinfra.engine.marshal import flatten, to_property_values
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.values import UNKNOWN, Properties, equal, has_unknown, is_secret, plain, secret
from flowinfra.model.partial import PartialFailure

__all__ = ["ENTRY_POINT_GROUP", "Applying", "Previewing", "ProviderFactory", "Providers"]

#: Installed packages offer providers here: name of the Pulumi package = class.
ENTRY_POINT_GROUP = "flowinfra.providers"

ProviderFactory: TypeAlias = Callable[[], sdk.Provider]

#: Inputs of a provider resource that belong to the engine and that the provider never sees.
_ENGINES_OWN = ("version", "__internal", "pluginDownloadURL")


# -- finding providers ------------------------------------------------------------------------------------------------


class Providers:
    """The providers that can be called in process: those given, then those of installed packages."""

    def __init__(self, given: Mapping[str, ProviderFactory] | None = None) -> None:
        self._given = dict(given or {})

    def make(self, name: str, wanted_by: str) -> sdk.Provider:
        """A new, not yet configured provider of the package *name*.

        Raises:
            EngineError: FI603, there is none, or it cannot be loaded.
        """
        factory = self._given.get(name)
        try:
            if factory is None:
                points = list(entry_points(group=ENTRY_POINT_GROUP, name=name))
                factory = points[0].load() if points else None
            if factory is not None:
                return factory()
        except Exception as problem:
            raise self._missing(name, wanted_by, f"it cannot be loaded: {problem}") from problem
        raise self._missing(name, wanted_by, f"no installed package offers it (entry point {ENTRY_POINT_GROUP})")

    def _missing(self, name: str, wanted_by: str, why: str) -> EngineError:
        return EngineError(
            error(
                "FI603",
                f"no provider for package '{name}' in the embedded engine",
                detail=f"{wanted_by} needs it; {why}",
                hint="install it, or use the Pulumi CLI as engine: `--engine pulumi` for once, "
                "`flowinfra config set flowinfra:engine pulumi` for good",
            )
        )


# -- providers, called for real ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FindRequest:
    """What a provider with a method ``find`` is asked: for the object that creating a resource has made, if it has.

    It answers with a ``ReadResponse`` (with an empty id if there is none), or with None where it cannot say. A name
    that the inputs give is not enough: what it finds is taken over, changed and deleted, so it must know by more than
    that, such as an owner or a name that it has drawn, that this stack has made it.
    """

    urn: str
    inputs: Mapping[str, PropertyValue]
    """The inputs as ``check`` had completed them, names that it had drawn among them."""


@dataclass(frozen=True)
class LivePackage:
    """A configured provider that does what it is asked."""

    provider: sdk.Provider
    accepts: sdk.ConfigureResponse
    name: str
    calls: Calls
    dry_run: bool = False

    def _asked(self, method: str, urn: str) -> Asked:
        return Asked(self.name, method, urn, self.dry_run)

    def check(self, urn: str, old: Properties, new: Properties, seed: bytes) -> Checked:
        asked = self._asked("check", urn)
        request = sdk.CheckRequest(urn, to_property_values(self._flat(old)), to_property_values(self._flat(new)), seed)
        answer = asked.call(self.calls, lambda: self.provider.check(request), sdk.CheckResponse)
        inputs = asked.properties(answer.inputs)
        for key, value in new.items():  # a provider that takes no secrets must not make them public
            if is_secret(value) and key in inputs:
                inputs[key] = secret(inputs[key])
        return Checked(inputs, asked.failures(answer.failures))

    def diff(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...]) -> Difference:
        asked = self._asked("diff", old.urn)
        request = sdk.DiffRequest(
            old.urn,
            old.id,
            to_property_values(self._flat(old.outputs)),
            to_property_values(self._flat(inputs)),
            list(ignore),
        )
        answer = asked.call(self.calls, lambda: self.provider.diff(request), sdk.DiffResponse)
        return asked.difference(answer, lambda: compare_inputs(old.inputs, inputs, ignore))

    def create(self, urn: str, inputs: Properties, timeout: float) -> Created:
        asked = self._asked("create", urn)
        request = sdk.CreateRequest(urn, to_property_values(self._flat(inputs)), timeout, self.dry_run)
        try:
            answer = asked.call(self.calls, lambda: self.provider.create(request), sdk.CreateResponse, timeout)
        except PartialFailure as problem:
            raise asked.unhealthy(problem, "") from problem
        created = Created(asked.identity(answer.resource_id), asked.properties(answer.properties))
        if not created.id and not self.dry_run:
            raise asked.nonsense("it returned no id")
        return created

    def update(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...], timeout: float) -> Properties:
        asked = self._asked("update", old.urn)
        request = sdk.UpdateRequest(
            old.urn,
            old.id,
            to_property_values(self._flat(old.outputs)),
            to_property_values(self._flat(inputs)),
            timeout,
            list(ignore),
            self.dry_run,
        )
        try:
            answer = asked.call(self.calls, lambda: self.provider.update(request), sdk.UpdateResponse, timeout)
        except PartialFailure as problem:
            raise asked.unhealthy(problem, old.id) from problem
        return asked.properties(answer.properties)

    def delete(self, old: ResourceState, timeout: float) -> None:
        request = sdk.DeleteRequest(old.urn, old.id, to_property_values(self._flat(old.outputs)), timeout)
        self._asked("delete", old.urn).call(self.calls, lambda: self.provider.delete(request), object, timeout)

    def read(self, urn: str, id_: str, inputs: Properties, outputs: Properties, timeout: float = 0) -> Found | None:
        asked = self._asked("read", urn)
        request = sdk.ReadRequest(
            urn, id_, to_property_values(self._flat(outputs)), to_property_values(self._flat(inputs))
        )
        try:
            answer = asked.call(self.calls, lambda: self.provider.read(request), sdk.ReadResponse, timeout)
        except PartialFailure as problem:
            unhealthy = asked.unhealthy(problem, id_)
            return Found(unhealthy.made.id, inputs, unhealthy.made.outputs, unhealthy.reasons)
        if not (found := asked.identity(answer.resource_id)):
            return None
        return Found(found, asked.properties(answer.inputs), asked.properties(answer.properties))

    def find(self, urn: str, inputs: Properties) -> Sought:
        find = getattr(self.provider, "find", None)
        if find is None:
            return Sought(told=False)
        asked = self._asked("find", urn)
        request = FindRequest(urn, to_property_values(self._flat(inputs)))
        answer = asked.call(self.calls, lambda: find(request), object, 0)
        if not isinstance(answer, sdk.ReadResponse):
            return Sought(told=False)
        if not (found := asked.identity(answer.resource_id)):
            return Sought(told=True)
        return Sought(True, Found(found, asked.properties(answer.inputs), asked.properties(answer.properties)))

    def invoke(self, token: str, arguments: Properties) -> Invoked:
        asked = self._asked("invoke", token)
        request = sdk.InvokeRequest(token, to_property_values(self._flat(arguments)))
        answer = asked.call(self.calls, lambda: self.provider.invoke(request), sdk.InvokeResponse)
        return Invoked(asked.properties(answer.return_value), asked.failures(answer.failures))

    def _flat(self, properties: Properties) -> Properties:
        accepts = self.accepts
        flat: Properties = flatten(properties, secrets=accepts.accept_secrets, resources=accepts.accept_resources)
        return flat


@dataclass(frozen=True)
class PreviewPackage(LivePackage):
    """A configured provider that says what it would do."""

    dry_run: bool = True

    def create(self, urn: str, inputs: Properties, timeout: float) -> Created:
        if not self.accepts.supports_preview:
            return Created(UNKNOWN, {})  # what is not said counts as unknown
        return Created(UNKNOWN, super().create(urn, inputs, timeout).outputs)

    def update(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...], timeout: float) -> Properties:
        return super().update(old, inputs, ignore, timeout) if self.accepts.supports_preview else {}

    def delete(self, old: ResourceState, timeout: float) -> None:
        """Previews delete nothing."""


@dataclass(frozen=True)
class UnknownPackage:
    """A provider whose configuration is not known before the update: nobody can be asked."""

    def check(self, urn: str, old: Properties, new: Properties, seed: bytes) -> Checked:
        return Checked(dict(new))

    def diff(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...]) -> Difference:
        return compare_inputs(old.inputs, inputs, ignore)

    def create(self, urn: str, inputs: Properties, timeout: float) -> Created:
        return Created(UNKNOWN, {})

    def update(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...], timeout: float) -> Properties:
        return {}

    def delete(self, old: ResourceState, timeout: float) -> None:
        """Previews delete nothing."""

    def read(self, urn: str, id_: str, inputs: Properties, outputs: Properties, timeout: float = 0) -> Found | None:
        return Found(id_, inputs, {})

    def find(self, urn: str, inputs: Properties) -> Sought:
        return Sought(told=False)

    def invoke(self, token: str, arguments: Properties) -> Invoked:
        return Invoked({})


# -- provider resources -----------------------------------------------------------------------------------------------


def _own(inputs: Properties) -> Properties:
    return {k: v for k, v in inputs.items() if k in _ENGINES_OWN}


def _bare(inputs: Properties) -> Properties:
    return {k: v for k, v in inputs.items() if k not in _ENGINES_OWN}


@dataclass(frozen=True)
class ConfigurationPackage:
    """The configured providers of one package, as resources: they exist in the state only."""

    provider: sdk.Provider
    name: str
    calls: Calls
    dry_run: bool = False

    def check(self, urn: str, old: Properties, new: Properties, seed: bytes) -> Checked:
        bare = _bare(new)
        request = sdk.CheckRequest(urn, to_property_values(_bare(old)), to_property_values(bare), seed)
        asked = Asked(self.name, "check_config", urn, self.dry_run)
        answer = asked.call(self.calls, lambda: self.provider.check_config(request), sdk.CheckResponse)
        inputs = asked.properties(answer.inputs)
        for key, value in bare.items():
            if is_secret(value) and key in inputs:
                inputs[key] = secret(inputs[key])
        return Checked({**inputs, **_own(new)}, asked.failures(answer.failures))

    def diff(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...]) -> Difference:
        # diff_config cannot be answered through the plugin server of the SDK: what it says is lost or inverted on the
        # way. So both engines are left with their own comparison, and decide alike.
        before, after = _bare(old.outputs), _bare(inputs)
        if equal(plain(before), plain(after)):
            same_version = old.inputs.get("version") == inputs.get("version")
            return Difference(not same_version, () if same_version else ("version",))
        return Difference(True, compare_inputs(_bare(old.inputs), after, ignore).keys)

    def create(self, urn: str, inputs: Properties, timeout: float) -> Created:
        return Created(UNKNOWN if self.dry_run else str(uuid.uuid4()), _outputs(inputs))

    def update(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...], timeout: float) -> Properties:
        return _outputs(inputs)

    def delete(self, old: ResourceState, timeout: float) -> None:
        """There is nothing behind it."""

    def read(self, urn: str, id_: str, inputs: Properties, outputs: Properties, timeout: float = 0) -> Found | None:
        return Found(id_, inputs, outputs)

    def find(self, urn: str, inputs: Properties) -> Sought:
        return Sought(told=True)

    def invoke(self, token: str, arguments: Properties) -> Invoked:
        return Invoked({})


def _outputs(inputs: Properties) -> Properties:
    return {k: v for k, v in inputs.items() if k != "__internal"}


# -- interpreters -----------------------------------------------------------------------------------------------------


def _configure(
    providers: Providers, name: str, inputs: Properties, wanted_by: str, calls: Calls
) -> tuple[sdk.Provider, sdk.ConfigureResponse]:
    provider = providers.make(name, wanted_by)
    arguments = _bare(inputs)
    request = sdk.ConfigureRequest(
        {f"{name}:config:{k}": plain(v) for k, v in arguments.items() if isinstance(plain(v), str)},
        to_property_values(arguments),
        True,
        True,
    )
    asked = Asked(name, "configure", name)
    return provider, asked.call(calls, lambda: provider.configure(request), sdk.ConfigureResponse)


@dataclass(frozen=True)
class Applying:
    """Provider calls happen."""

    providers: Providers
    builtin: Package
    calls: Calls = field(default_factory=Calls)
    dry_run: bool = False

    def open(self, name: str, inputs: Properties, wanted_by: str) -> Package:
        if name == "pulumi":
            return self.builtin
        return LivePackage(*_configure(self.providers, name, inputs, wanted_by, self.calls), name, self.calls)

    def configuration(self, name: str, wanted_by: str) -> Package:
        provider = sdk.Provider() if name == "pulumi" else self.providers.make(name, wanted_by)
        return ConfigurationPackage(provider, name, self.calls)

    def align(self, urn: str, old: Properties, new: Properties) -> Properties:
        return new

    def close(self) -> None:
        self.calls.close()


@dataclass(frozen=True)
class Previewing:
    """Provider calls are asked for with ``preview``, and what would change anything is left out."""

    providers: Providers
    builtin: Package
    calls: Calls = field(default_factory=Calls)
    dry_run: bool = True

    def open(self, name: str, inputs: Properties, wanted_by: str) -> Package:
        if name == "pulumi":
            return self.builtin
        if has_unknown(_bare(inputs)):
            self.providers.make(name, wanted_by)  # that it is missing must be said now, not in the middle of an update
            return UnknownPackage()
        return PreviewPackage(*_configure(self.providers, name, inputs, wanted_by, self.calls), name, self.calls)

    def configuration(self, name: str, wanted_by: str) -> Package:
        provider = sdk.Provider() if name == "pulumi" else self.providers.make(name, wanted_by)
        return ConfigurationPackage(provider, name, self.calls, dry_run=True)

    def align(self, urn: str, old: Properties, new: Properties) -> Properties:
        return new

    def close(self) -> None:
        self.calls.close()
