"""Running flows from Python: :class:`~.runner.Runner` and :class:`~.executing.ExecutingRun`.

A run has a process of its own (:mod:`flowinfra.cli.programs.run`), which imports the flow and ends with the one that has
started it. ``keywords`` is read there: it tells the flow's parameters from the options of a run.
"""
