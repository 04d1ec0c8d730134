"""The Local orchestrator: what is deployed on this machine, the queue of its runs, and the worker that runs them.

There is no daemon. Whoever triggers a run writes its input to the store and a row to the queue, and starts a worker if
none is alive; the worker runs what is queued, each run in a process of its own, and ends when there is nothing left.

::

    trigger ──input.json, run.json──▶ store ◀──────────── run process (flowinfra.runtime.localrun)
       │                                ▲                        ▲ start, stop        │ end.json
       └──row──▶ run queue ◀──claim── worker ────────────────────┘                    ▼
                                        └──────── finish ◀──── the run's lock is free

====================  ===========================================================================================
``records``           what is kept, as values, and the two protocols :class:`~.records.Deployments` and
                      :class:`~.records.RunQueue` behind which a server may stand one day
``sqlite``            both protocols on one SQLite file; the only SQL there is
``interpreter``       which Python a deployment was made with, and whether it still is that one
``processes``         who a process is, whether it still lives, and locks that die with their holder
``control``           telling the process of a run to hold back tasks
``launch``            starting a worker and starting a run
``worker``            ``python -m flowinfra.orchestrators.local.worker --home HOME``
``orchestrator``      :class:`~.orchestrator.LocalOrchestrator`: trigger, wait, stop, list
====================  ===========================================================================================

Three rules carry it. A claim is one transaction, so no run is started twice. A lock on a file is inherited by the
process that it stands for and freed by the kernel when that process ends, however it ends; so "is it alive" is never a
guess from a time stamp. And ``end.json`` is written create-only: whoever is first says how a run ended.
"""
