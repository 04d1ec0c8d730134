"""Loading the flow that a program is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowinfra.authoring.loader import load_flow

if TYPE_CHECKING:
    from flowinfra.authoring.flowspec import FlowSpec
    from flowinfra.control.invocation import FlowSource, TopOptions

__all__ = ["load_source"]


def load_source(source: FlowSource, top: TopOptions, *, goes_on: bool = False) -> type[FlowSpec]:
    """Import the flow; its configs come from what *top* says. Decorators are put on it by :mod:`..control.decospecs`.

    Args:
        source: where it is.
        top: what was said about it.
        goes_on: it shall go on from a run, and have the configs of that one.

    Raises:
        AuthoringError: as :func:`~flowinfra.authoring.loader.load_flow`; FI174, *top* gives configs to what goes on.
    """
    configs = None
    if top.config or top.config_value:
        from flowinfra.authoring.configs import ConfigSources

        configs = ConfigSources.given(top.config, top.config_value)
    if goes_on:
        from flowinfra.control.configs import load_resumable, refuse_configs

        if configs is not None:
            refuse_configs(configs)
        return load_resumable(source.file, source.name, root=source.root)
    return load_flow(source.file, source.name, root=source.root, configs=configs)
