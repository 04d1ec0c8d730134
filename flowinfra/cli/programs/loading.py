"""Loading the flow that a program is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowinfra.authoring.loader import load_flow

if TYPE_CHECKING:
    from flowinfra.authoring.flowspec import FlowSpec
    from flowinfra.control.invocation import FlowSource, TopOptions

__all__ = ["load_source"]


def load_source(source: FlowSource, top: TopOptions) -> type[FlowSpec]:
    """Import the flow; its configs come from what *top* says. Decorators are put on it by :mod:`..control.decospecs`.

    Raises:
        AuthoringError: as :func:`~flowinfra.authoring.loader.load_flow`.
    """
    configs = None
    if top.config or top.config_value:
        from flowinfra.authoring.configs import ConfigSources

        configs = ConfigSources.given(top.config, top.config_value)
    return load_flow(source.file, source.name, root=source.root, configs=configs)
