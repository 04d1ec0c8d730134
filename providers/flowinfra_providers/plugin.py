"""``pulumi-resource-flowinfra``: the provider as a plugin of the real Pulumi engine."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Serve the provider until the engine ends it; the first line on stdout is the port."""
    from flowinfra._version import __version__
    from flowinfra_providers.provider import FlowinfraProvider
    from flowinfra_providers.serving import serve

    serve(sys.argv[1:], __version__, FlowinfraProvider())
