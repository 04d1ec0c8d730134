"""The engine's own package ``pulumi``: references to other stacks, stashes, and looking up a registered resource."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flowinfra.diagnostics import EngineError, error
from flowinfra.engine.base import unsupported
from flowinfra.engine.interpreter import Checked, Created, Difference, Found, Invoked, Sought
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.urns import urn_type
from flowinfra.engine.values import UNKNOWN, Properties, equal, has_secret, plain

__all__ = ["Builtin", "PreviewBuiltin"]

_STASH = "pulumi:index:Stash"
_REFERENCE = "pulumi:pulumi:StackReference"


@dataclass(frozen=True)
class Builtin:
    """Resources that need no provider."""

    stack_outputs: Callable[[str], Properties]
    """The outputs of another stack by its name."""
    resources: Callable[[], Iterable[ResourceState]]
    """Everything registered so far."""

    def check(self, urn: str, old: Properties, new: Properties, seed: bytes) -> Checked:
        _known(urn)
        return Checked(dict(new))

    def diff(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...]) -> Difference:
        same = equal(plain(old.inputs.get("input")), plain(inputs.get("input")))
        return Difference(not same, () if same else ("input",))

    def create(self, urn: str, inputs: Properties, timeout: float) -> Created:
        return Created(str(uuid.uuid4()), {"input": inputs.get("input"), "output": inputs.get("input")})

    def update(self, old: ResourceState, inputs: Properties, ignore: tuple[str, ...], timeout: float) -> Properties:
        return {"input": inputs.get("input"), "output": old.outputs.get("output")}

    def delete(self, old: ResourceState, timeout: float) -> None:
        """A stash is in the state only."""

    def read(self, urn: str, id_: str, inputs: Properties, outputs: Properties, timeout: float = 0) -> Found | None:
        if urn_type(urn) != _REFERENCE:
            return Found(id_, inputs, outputs)
        name = str(plain(inputs.get("name", id_)))
        values = self.stack_outputs(name)
        hidden = sorted(k for k, v in values.items() if has_secret(v))
        return Found(id_, inputs, {"name": name, "outputs": values, "secretOutputNames": hidden})

    def find(self, urn: str, inputs: Properties) -> Sought:
        return Sought(told=True)  # a stash that is in no state is nowhere

    def invoke(self, token: str, arguments: Properties) -> Invoked:
        if token != "pulumi:pulumi:getResource":
            raise unsupported(f"the function {token}")
        urn = plain(arguments.get("urn"))
        for state in self.resources():
            if state.urn == urn and not state.delete:
                return Invoked({"urn": state.urn, "id": state.id, "state": state.outputs})
        raise EngineError(
            error(
                "FI631",
                f"there is no resource {urn}",
                detail="pulumi.get_resource looks among the resources registered before it",
                hint="correct the URN, or register the resource first",
            )
        )


@dataclass(frozen=True)
class PreviewBuiltin(Builtin):
    """The same, before anything exists."""

    def create(self, urn: str, inputs: Properties, timeout: float) -> Created:
        return Created(UNKNOWN, {"input": inputs.get("input"), "output": inputs.get("input")})


def _known(urn: str) -> None:
    if urn_type(urn) != _STASH:
        raise unsupported(f"resources of type {urn_type(urn)}", where=urn)
