"""Orchestrators: start, stop, list and watch runs, one package per target.

In comes a deployment's full name or a run's id; out go states and ids. What a run reads and writes is the wire protocol
(:mod:`flowinfra.wire`) on every target, so that whoever only *reads* runs needs no orchestrator: it is asked for what
the store cannot know, namely that a run waits, that it still lives, and that it shall stop.

====================  ===========================================================================================
``base``              :class:`~.base.Adapter`: what a ``Deployer`` asks of every target, and the values it answers with
``tokens``            production tokens and what is kept of them
``ownership``         who may change a deployment: its owner, and whoever shows the token
``start``             the documents that whoever starts a run writes
``local``             deployments and the run queue of a project in SQLite, and the worker that runs them
====================  ===========================================================================================

What may not happen here: code of a flow that is imported (a run is always another process), an artifact that is
decoded, a client of a cloud that is imported before it is used.
"""
