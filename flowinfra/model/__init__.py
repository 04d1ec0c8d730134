"""Values: what every other layer hands on.

Everything in here is frozen, compares by content, and has one canonical JSON (:mod:`flowinfra.canonical`). Nothing in
here reads a file, a clock or an environment variable, and nothing knows how a value came about or what becomes of it.

=====================  ==========================================================================================
``base``               :class:`~flowinfra.model.base.Value`: frozen pydantic, canonical JSON, digest, schema
``states``             the one list of run states, and how each façade and each target words them (no pydantic)
``environment``        what code runs in: image, resources, variables, secrets, declared access
``graph``              :class:`~flowinfra.model.graph.FlowGraph`: steps, transitions, parameters, policies
``program``            the block tree that every target consumes
``deployment``         one deployment of a flow
``release``            what is promoted: graph, program, bundle and images by digest
``diff``               what changed in a flow, in layers, most severe first
``plan``               what an engine would do, and why
=====================  ==========================================================================================

Importing this package imports none of them: only a graph that is built pays for pydantic.
"""
