"""Pulumi providers in Python: one class each, called in process by the embedded engine and served as a plugin.

``provider.FlowinfraProvider`` is the package ``flowinfra``. It hands each resource type to a :class:`~.kinds.Kind`,
which knows plain Python values only: no protobuf, no Pulumi, no loop. Whatever blocks runs in a thread, because the
plugin server has one loop for all resources.
"""
