"""The runtime: what runs inside a task, and the scheduler that runs a whole flow on this machine.

A run has two sides that never call each other; they meet in the store, at the keys of :mod:`flowinfra.wire`.

*Inside a task* (``flowinfra-task``, the same program on every target)::

    entrypoint ── task ──┬── lineage      where the step stands: its parents, what it decides, whether it ends the run
                         ├── parameters   the run's input as Python values
                         ├── current      what a step may ask about its task
                         ├── taskstate    what ``self`` reads and notes while the step runs; ``inputs`` of joins
                         ├── decisions    the transition that the step has asked for, and the control value
                         ├── artifacts    values to content-addressed blobs and back
                         ├── failures     what is told of a step that failed
                         ├── rundata      the documents of a run: begin, commit, control, end
                         └── prepared     a release as a run uses it, on both sides

*Around the tasks*, on this machine only::

    localrun ── localloop ──┬── localspec   what is asked of a run, and the switch that stops it
                            ├── scheduler   which task comes next: a pure state machine over the blocks
                            ├── reuse       what a run takes over from the one that it resumes, beside the loop
                            ├── workers     the process that starts tasks: a copy of one that has imported the flow and
                            │               nothing else (``workserver``), if ``threads`` finds that it can be copied
                            ├── logs        what tasks print, as chunks in the store and as lines for whoever watches
                            └── events      what happens, as values

In comes a release by digest and a run's input as JSON; out go commits, logs and one terminal marker. What may not
happen here: pydantic, asyncio or Pulumi at import (a task starts in milliseconds); a decision that another attempt of
the same task could not make again from the store alone; data in the orchestrator's state; a process that outlives the
scheduler.
"""
