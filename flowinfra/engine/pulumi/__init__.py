"""The engine ``pulumi``: the Pulumi CLI does the work, and its events become our plan.

::

    engine.py      the operations; asks for approval between preview and update
      ├─ stack.py      the stack for the CLI: settings, passphrase, state, what it keeps of a planned update
      ├─ command.py    finds the CLI, runs it once per operation, reads its event log
      ├─ host.py       serves the program to the CLI over the SDK's own gRPC protocol, inline: in this process
      ├─ events.py     events to changes, pure
      └─ messages.py   what the CLI says when it fails, as diagnostics, pure

Importing it loads neither the SDK nor grpc; an operation does.
"""

from flowinfra.engine.pulumi.engine import PulumiEngine

__all__ = ["PulumiEngine"]
