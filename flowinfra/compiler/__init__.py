"""From a graph to what targets consume. Everything here is a pure function of its arguments.

========== =======================================================================================================
structure  :class:`~flowinfra.model.graph.FlowGraph` → :class:`~flowinfra.model.program.Program`, in linear time
check      the rules that a graph must keep, each a class with a code; all findings come at once
diff       two graphs and deployments → :class:`~flowinfra.model.diff.FlowDiff`, in layers
draw       a graph as text, Mermaid or DOT
========== =======================================================================================================

What may not happen here: reading files, clocks or environment variables; knowing a target; importing user code.
"""
