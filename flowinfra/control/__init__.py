"""Control: reading runs, running flows and deploying them from Python.

====================  ===========================================================================================
``client``            :class:`~.client.Flow`, :class:`~.client.Run`, :class:`~.client.Step`, :class:`~.client.Task`,
                      :class:`~.client.Artifact`: what has run, read out of the store
``values``            :class:`~.values.Artifact`, and what ``task.artifacts`` and ``task.data`` are
``node``              what all of them have in common
``listing``           the names of what there is, in their order
``place``             which store and which project that is, and how a run stands
``report``            what views show of runs, read once
``find``, ``logs``    what a word on a command line means; the log lines of a run
``direct``            runs straight from a checkout, and ``decospecs``: what ``--with`` adds to their steps
``resuming``          runs that go on where another one has ended
``spinning``          one task once more, with recorded inputs
``notebook``          flows that are written in a notebook, and ``cells``: what of it they need
``runner``            :class:`~.runner.runner.Runner`: runs in processes of their own
``invocation``        which flow, with which options and where: what Runner and Deployer are told
``child``             a process that does something for this one, and ends with it; ``spool`` keeps what it prints,
                      ``messages`` is how errors and values travel
``operate``           starting and watching runs of what is deployed
``deployer``          deploying from Python: :class:`~flowinfra.Deployer` and what it gives, on every target
``stacks``            which project, stack, settings and engine
``stackfiles``        listing, making and removing stacks; reading and changing their configuration
``newproject``        the files that ``flowinfra init`` writes
``plans``             what a plan means for flows
``missing``           what is said when something is not there: what is, and how to list it
====================  ===========================================================================================

In comes a pathspec (``Flow/run/step/task``), out come values. What may not happen here: a global (each object knows
where it was read from), a listing that reads what nobody looks at, a value that is decoded before its hash was verified,
an orchestrator that must be reachable for what the store knows.
"""
