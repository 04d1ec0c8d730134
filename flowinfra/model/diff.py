"""What changed in a flow, in layers. The layer is the headline; the order of the layers is their severity."""

from __future__ import annotations

import enum
from typing import Any, Literal

from flowinfra.model.base import Value
from flowinfra.model.graph import Location

__all__ = ["FlowDiff", "Layer", "LayerChange"]


class Layer(enum.Enum):
    """Most severe first."""

    IDENTITY = "identity"
    INTERFACE = "interface"
    ACCESS = "access"
    SHAPE = "shape"
    ENVIRONMENT = "environment"
    CODE = "code"
    POLICY = "policy"
    SCHEDULE = "schedule"
    METADATA = "metadata"

    @property
    def rank(self) -> int:
        """0 is the most severe."""
        return list(Layer).index(self)


class LayerChange(Value):
    """One change: what it is about, and what it was and will be (either is ``None`` where it was not or will not be)."""

    layer: Layer
    subject: str
    """``step fit``, ``parameter alpha``, ``environment default``, ``deployment``, ..."""
    field: str = ""
    """What of the subject changed; empty where the whole subject came or went."""
    before: Any = None
    after: Any = None
    source: Location | None = None
    """Where it is written now; what is gone has no place."""
    effect: Literal["", "broadened", "narrowed"] = ""
    """Of access: whether steps may do more than before, or less."""
    because: tuple[str, ...] = ()
    """What is behind it or concerned by it, in words: the steps that use an environment, the helper that changed."""


class FlowDiff(Value):
    """The changes of one deployment, most severe first."""

    changes: tuple[LayerChange, ...] = ()
    before: str = ""
    """The digest of the release before; empty where there was none."""
    after: str = ""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that changed, most severe first."""
        return tuple(sorted({c.layer for c in self.changes}, key=lambda layer: layer.rank))

    @property
    def severity(self) -> Layer | None:
        """The most severe layer that changed; None if nothing did."""
        return min((c.layer for c in self.changes), key=lambda layer: layer.rank, default=None)
