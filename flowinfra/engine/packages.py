"""Who answers the calls to providers: the interpreter in which a preview, an update and a recording differ.

A :class:`~flowinfra.engine.interpreter.Package` is one configured provider of one package; an
:class:`~flowinfra.engine.interpreter.Interpreter` opens them. :class:`Applying` calls the providers, :class:`Previewing` calls them with ``preview`` and never lets them change anything; the recorder
(:mod:`flowinfra.engine.recorder`) answers from the last state. Everything above runs the same for all three.

Provider methods are coroutines. Each call runs to its end in a loop of its own, in the thread of the caller, so that
providers that block do not hold up one another; a provider therefore keeps no client that belongs to a loop.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, TypeAlias, TypeVar

from pulumi.provider.experimental import provider as sdk

from flowinfra.diagnostics import EngineError, FlowinfraError, error
from flowinfra.engine.interpreter import Checked, Created, Difference, Found, Invoked, Package, compare_inputs
from flowinfra.engine.marshal import flatten, from_property_values, to_property_values
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.urns import urn_name
from flowinfra.engine.values import UNKNOWN, Properties, equal, has_unknown, is_secret, plain, secret

__all__ = ["ENTRY_POINT_GROUP", "Applying", "Previewing", "ProviderFactory", "Providers"]

#: Installed packages offer providers here: name of the Pulumi package = class.
ENTRY_POINT_GROUP = "flowinfra.providers"

ProviderFactory: TypeAlias = Callable[[], sdk.Provider]

#: Inputs of a provider resource that belong to the engine and that the provider never sees.
_ENGINES_OWN = ("version", "__internal", "pluginDownloadURL")

T = TypeVar("T")


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
                hint="use the Pulumi CLI as engine: `flowinfra config set flowinfra:engine pulumi`",
            )
        )


# -- providers, called for real ---------------------------------------------------------------------------------------


def _call(coroutine: Coroutine[Any, Any, T], what: str, urn: str) -> T:
    try:
        return asyncio.run(coroutine)
    except FlowinfraError:
        raise  # a provider of ours has said it better already
    except Exception as problem:
        text = str(problem).strip() or type(problem).__name__
        raise EngineError(
            error(
                "FI604",
                f"{what} '{urn_name(urn) if '::' in urn else urn}' failed: {text.splitlines()[0]}",
                detail="\n".join([urn, *text.splitlines()[1:]]),
                hint="nothing of it is recorded as done; correct the cause, then run the operation again",
            )
        ) from problem


def _failures(failures: list[sdk.CheckFailure] | None) -> tuple[tuple[str, str], ...]:
    return tuple((f.property, f.reason) for f in failures or ())


def _difference(answer: sdk.DiffResponse, old: Properties, new: Properties, ignore: tuple[str, ...]) -> Difference:
    replacing = (
        sdk.PropertyDiffKind.ADD_REPLACE,
        sdk.PropertyDiffKind.DELETE_REPLACE,
        sdk.PropertyDiffKind.UPDATE_REPLACE,
    )
    replaces = dict.fromkeys([*answer.replaces, *(k for k, d in answer.detailed_diff.items() if d.kind in replacing)])
    keys = dict.fromkeys([*answer.diffs, *answer.detailed_diff])
    if answer.changes is None:
        own = compare_inputs(old, new, ignore)
        return Difference(
            own.changed or bool(replaces), tuple(keys) or own.keys, tuple(replaces), answer.delete_before_replace
        )
    return Difference(answer.changes or bool(replaces), tuple(keys), tuple(replaces), answer.delete_before_replace)


@dataclass(frozen=True)
class LivePackage:
    """A configured provider that does what it is asked."""

    provider: sdk.Provider
    accepts: sdk.ConfigureResponse

    def check(self, urn: str, old: Properties, new: Properties, seed: bytes) -> Checked:
        given = self._flat(new)
        request = sdk.CheckRequest(urn, to_property_values(self._flat(old)), to_property_values(given), seed)
        answer = _call(self.provider.check(request), "checking", urn)
        inputs = from_property_values(answer.inputs)
        for key, value in new.items():  # a provider that takes no secrets must not make them public
            if is_secret(value) and key in inputs:
                inputs[key] = secret(inputs[key])
        return Checked(inputs, _failures(answer.failures))

    def diff(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...]) -> Difference:
        request = sdk.DiffRequest(
            old.urn,
            old.id,
            to_property_values(self._flat(old.outputs)),
            to_property_values(self._flat(inputs)),
            list(ignore),
        )
        return _difference(_call(self.provider.diff(request), "comparing", old.urn), old.inputs, inputs, ignore)

    def create(self, urn: str, inputs: Properties, timeout: float) -> Created:
        created = self._create(urn, inputs, timeout, preview=False)
        if not created.id:
            raise EngineError(
                error(
                    "FI604",
                    f"creating '{urn_name(urn)}' failed: the provider returned no id",
                    detail=urn,
                    hint="this is a mistake in the provider; what it made, if anything, is not recorded",
                )
            )
        return created

    def _create(self, urn: str, inputs: Properties, timeout: float, *, preview: bool) -> Created:
        request = sdk.CreateRequest(urn, to_property_values(self._flat(inputs)), timeout, preview)
        answer = _call(self.provider.create(request), "creating", urn)
        return Created(answer.resource_id or "", from_property_values(answer.properties))

    def update(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...], timeout: float) -> Properties:
        return self._update(old, inputs, ignore, timeout, preview=False)

    def _update(
        self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...], timeout: float, *, preview: bool
    ) -> Properties:
        request = sdk.UpdateRequest(
            old.urn,
            old.id,
            to_property_values(self._flat(old.outputs)),
            to_property_values(self._flat(inputs)),
            timeout,
            list(ignore),
            preview,
        )
        return from_property_values(_call(self.provider.update(request), "updating", old.urn).properties)

    def delete(self, old: ResourceState, timeout: float) -> None:
        request = sdk.DeleteRequest(old.urn, old.id, to_property_values(self._flat(old.outputs)), timeout)
        _call(self.provider.delete(request), "deleting", old.urn)

    def read(self, urn: str, id_: str, inputs: Properties, outputs: Properties) -> Found | None:
        request = sdk.ReadRequest(
            urn, id_, to_property_values(self._flat(outputs)), to_property_values(self._flat(inputs))
        )
        answer = _call(self.provider.read(request), "reading", urn)
        if not answer.resource_id:
            return None
        return Found(answer.resource_id, from_property_values(answer.inputs), from_property_values(answer.properties))

    def invoke(self, token: str, arguments: Properties) -> Invoked:
        request = sdk.InvokeRequest(token, to_property_values(self._flat(arguments)))
        answer = _call(self.provider.invoke(request), "calling", token)
        return Invoked(from_property_values(answer.return_value), _failures(answer.failures))

    def _flat(self, properties: Properties) -> Properties:
        accepts = self.accepts
        flat: Properties = flatten(properties, secrets=accepts.accept_secrets, resources=accepts.accept_resources)
        return flat


@dataclass(frozen=True)
class PreviewPackage(LivePackage):
    """A configured provider that says what it would do."""

    def create(self, urn: str, inputs: Properties, timeout: float) -> Created:
        if not self.accepts.supports_preview:
            return Created(UNKNOWN, {})  # what is not said counts as unknown
        return Created(UNKNOWN, self._create(urn, inputs, timeout, preview=True).outputs)

    def update(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...], timeout: float) -> Properties:
        return self._update(old, inputs, ignore, timeout, preview=True) if self.accepts.supports_preview else {}

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

    def read(self, urn: str, id_: str, inputs: Properties, outputs: Properties) -> Found | None:
        return Found(id_, inputs, {})

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
    new_id: Callable[[], str] = field(default=lambda: str(uuid.uuid4()))

    def check(self, urn: str, old: Properties, new: Properties, seed: bytes) -> Checked:
        bare = _bare(new)
        request = sdk.CheckRequest(urn, to_property_values(_bare(old)), to_property_values(bare), seed)
        answer = _call(self.provider.check_config(request), "checking", urn)
        inputs = from_property_values(answer.inputs)
        for key, value in bare.items():
            if is_secret(value) and key in inputs:
                inputs[key] = secret(inputs[key])
        return Checked({**inputs, **_own(new)}, _failures(answer.failures))

    def diff(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...]) -> Difference:
        # diff_config cannot be answered through the plugin server of the SDK: what it says is lost or inverted on the
        # way. So both engines are left with their own comparison, and decide alike.
        before, after = _bare(old.outputs), _bare(inputs)
        if equal(plain(before), plain(after)):
            same_version = old.inputs.get("version") == inputs.get("version")
            return Difference(not same_version, () if same_version else ("version",))
        return Difference(True, compare_inputs(_bare(old.inputs), after, ignore).keys)

    def create(self, urn: str, inputs: Properties, timeout: float) -> Created:
        return Created(self.new_id(), _outputs(inputs))

    def update(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...], timeout: float) -> Properties:
        return _outputs(inputs)

    def delete(self, old: ResourceState, timeout: float) -> None:
        """There is nothing behind it."""

    def read(self, urn: str, id_: str, inputs: Properties, outputs: Properties) -> Found | None:
        return Found(id_, inputs, outputs)

    def invoke(self, token: str, arguments: Properties) -> Invoked:
        return Invoked({})


def _outputs(inputs: Properties) -> Properties:
    return {k: v for k, v in inputs.items() if k != "__internal"}


# -- interpreters -----------------------------------------------------------------------------------------------------


def _configure(providers: Providers, name: str, inputs: Properties, wanted_by: str) -> LivePackage:
    provider = providers.make(name, wanted_by)
    arguments = _bare(inputs)
    request = sdk.ConfigureRequest(
        {f"{name}:config:{k}": plain(v) for k, v in arguments.items() if isinstance(plain(v), str)},
        to_property_values(arguments),
        True,
        True,
    )
    return LivePackage(provider, _call(provider.configure(request), "configuring the provider", name))


@dataclass(frozen=True)
class Applying:
    """Provider calls happen."""

    providers: Providers
    builtin: Package
    dry_run: bool = False

    def open(self, name: str, inputs: Properties, wanted_by: str) -> Package:
        return self.builtin if name == "pulumi" else _configure(self.providers, name, inputs, wanted_by)

    def configuration(self, name: str, wanted_by: str) -> Package:
        return ConfigurationPackage(sdk.Provider() if name == "pulumi" else self.providers.make(name, wanted_by))

    def align(self, urn: str, old: Properties, new: Properties) -> Properties:
        return new


@dataclass(frozen=True)
class Previewing:
    """Provider calls are asked for with ``preview``, and what would change anything is left out."""

    providers: Providers
    builtin: Package
    dry_run: bool = True

    def open(self, name: str, inputs: Properties, wanted_by: str) -> Package:
        if name == "pulumi":
            return self.builtin
        if has_unknown(_bare(inputs)):
            self.providers.make(name, wanted_by)  # that it is missing must be said now, not in the middle of an update
            return UnknownPackage()
        live = _configure(self.providers, name, inputs, wanted_by)
        return PreviewPackage(live.provider, live.accepts)

    def configuration(self, name: str, wanted_by: str) -> Package:
        provider = sdk.Provider() if name == "pulumi" else self.providers.make(name, wanted_by)
        return ConfigurationPackage(provider, new_id=lambda: UNKNOWN)

    def align(self, urn: str, old: Properties, new: Properties) -> Properties:
        return new
