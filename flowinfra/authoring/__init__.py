"""From Python to a graph: what a flow's author writes, and how it is read.

A flow file imports only names from here, so importing one costs next to nothing: the objects are plain classes, checked
when the graph is built. Reading a flow goes in three steps, each of which reports everything it finds:

1. ``loader`` imports the flow file; whatever it raises is shown as the author's own trace.
2. ``transitions`` reads ``self.next(...)`` from the syntax tree of each step, so a graph is known without running it.
3. ``graph`` joins both with the decorators' patches into a :class:`~flowinfra.model.graph.FlowGraph`.

What may not happen here: importing pydantic, a store or a target when a flow file is imported; and calling upwards.
The one exception is ``invoker``: ``MyFlow()`` at the end of a flow file has to reach the command line.
"""
